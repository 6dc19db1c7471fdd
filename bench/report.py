"""The result as a plain table, and which aims were reached."""

import sys
from collections.abc import Sequence

from bench.rounds import Row

HEAD = (
    f"{'scenario':<20} {'users':>8} {'members':>8} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'hello/s':>9} {'ratio':>6} {'CPU µs':>7} {'hello µs':>8} {'target':>7}"
)
# Adding a member to the largest group may cost this many times what it costs at the smallest.
GROWTH = 1.5


def line(row: Row) -> str:
    members = "" if row.members is None else f"{row.members:,}"
    target = "" if row.target is None else f"{row.target:.2f}"
    mark = "" if row.is_met is None else (" met" if row.is_met else " not met")
    return (
        f"{row.scenario:<20} {row.users:>8,} {members:>8} {row.rate:>9,.0f} {row.p50_ms:>8.2f} {row.p99_ms:>8.2f} "
        f"{row.hello_rate:>9,.0f} {row.ratio:>6.3f} {row.cpu_us:>7.1f} {row.hello_cpu_us:>8.1f} {target:>7}{mark}"
    )


def targets(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The aims at the largest population: what was aimed at, what was reached."""
    largest = max((row.users for row in rows), default=0)
    found: list[dict[str, object]] = [
        {"what": _what(row), "target": row.target, "reached": round(row.ratio, 3), "met": row.is_met}
        for row in rows
        if row.users == largest and row.target is not None
    ]
    adding = {row.members: row.cpu_us for row in rows if row.scenario == "member add" and row.members is not None}
    if len(adding) > 1:
        small, large = min(adding), max(adding)
        growth = adding[large] / adding[small]
        what = f"CPU of member add at {large:,} members beside {small:,}"
        found.append({"what": what, "target": GROWTH, "reached": round(growth, 3), "met": growth <= GROWTH})
    return found


def _what(row: Row) -> str:
    return f"{row.scenario} at {row.users:,} users" + ("" if row.members is None else f" and {row.members:,} members")


def sentences(findings: Sequence[dict[str, object]]) -> list[str]:
    return [
        f"{'met    ' if found['met'] else 'NOT MET'}  {found['what']}: {found['reached']} (target {found['target']})"
        for found in findings
    ]


def say(text: str, quiet: bool) -> None:
    """Progress; on the error stream when the result is to be read by a program."""
    print(text, file=sys.stderr if quiet else sys.stdout, flush=True)
