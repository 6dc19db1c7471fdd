"""Progress: each result as a line, as soon as it is there."""

import sys

from bench.results import Figure, Row

HEAD = (
    f"{'server':<13} {'scenario':<16} {'users':>8} {'members':>8} {'clients':>7} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'hello/s':>8} {'ratio':>6} {'CPU µs':>8} {'DB µs':>7} {'hello µs':>8}"
)


def line(row: Row) -> str:
    members = "" if row.members is None else f"{row.members:,}"
    return (
        f"{row.server:<13} {row.scenario:<16} {row.users:>8,} {members:>8} {row.clients:>7} {row.rate:>8,.0f} "
        f"{row.p50_ms:>8.2f} {row.p99_ms:>8.2f} {row.hello_rate:>8,.0f} {row.ratio:>6.3f} "
        f"{row.cpu_us:>8,.0f} {row.database_cpu_us:>7,.0f} {row.hello_cpu_us:>8.1f}"
    )


def figure(found: Figure) -> str:
    return f"{found.server:<13} {found.name:<42} {found.users:>10,} users {found.value:>12,.2f} {found.unit}"


def say(text: str, quiet: bool) -> None:
    """On the error stream when the result is to be read by a program."""
    print(text, file=sys.stderr if quiet else sys.stdout, flush=True)
