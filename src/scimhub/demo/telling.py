"""The result for people: lines, timelines and tables."""

import shlex
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from scimhub.demo import timelines
from scimhub.demo.receipts import milliseconds
from scimhub.demo.result import Flow, Holding, Result, Timeline, Told

_MOST_DIFFERENCES = 10
_MOST_LINES = 24
_STYLES = {
    "sent": "bold",
    "changed": "bold cyan",
    "delivered": "green",
    "rewritten": "yellow",
    "retry": "yellow",
    "held": "yellow",
    "waiting": "yellow",
    "rejected": "bold red",
    "lost": "bold red",
}
_PARTS = {"joiner": "A joiner", "mover": "A mover", "leaver": "A leaver"}
_TALLIES = {"join": ("joined", "groups"), "move": ("moved", "groups"), "leave": ("left", "deleted")}


def story(told: Told) -> Text:
    """One line about a story that was told."""
    report = told.report
    counts = ", ".join(f"{report.tally(of)} {of}" for of in _TALLIES[told.story] if report.tally(of))  # type: ignore[arg-type]
    line = f"{told.directory:<7}{told.story:<7}{counts:<24}{report.requests:>6} requests in {report.seconds:.1f} s"
    failed = f", {len(report.failures)} failed" if report.failures else ""
    return Text(line + failed)


def timeline(shown: Timeline) -> Iterator[RenderableType]:
    """One person's timeline, cut to what fits a screen."""
    yield ""
    command = f"scimhub trace {shlex.quote(shown.user)} --directory {shown.directory}"
    yield Text.assemble((f"{_PARTS[shown.part]}: ", "bold"), command)
    for line in timelines.shorten(shown.lines, shown.user, shown.since, _MOST_LINES):
        text = Text(line, no_wrap=True, overflow="ellipsis")
        for word, style in _STYLES.items():
            text.highlight_regex(rf"^\S* +{word}\b", style)
        yield text


def tables(result: Result) -> Iterator[RenderableType]:
    """What is held, what arrived, and what is wrong."""
    yield ""
    yield _holdings(result.holdings)
    for each in result.holdings:
        yield from _differences(each)
    yield ""
    yield _flows(result.flows)
    for problem in result.problems:
        yield Text(problem, "bold red")
    yield ""
    if result.is_good:
        yield Text("Every copy equals the hub: every resource, version and membership.", "bold green")
    else:
        yield Text("Not all is as it should be; see above.", "bold red")
    yield f"2 × {result.people} people; the stories took {result.seconds_of_stories:.1f} s, everything {result.seconds:.1f} s."


def next_steps(commands: Sequence[tuple[str, str]]) -> Iterator[RenderableType]:
    """Commands to try, each with what it is for."""
    yield ""
    yield Text("What to try next", "bold")
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        yield Text(f"  {command.ljust(width)}   {purpose}")


def _holdings(holdings: Sequence[Holding]) -> Table:
    table = _table(("directory", "held by"), ("users", "groups", "memberships"), ("compared with",))
    for each in holdings:
        against = f"what {each.directory} believes" if each.holder == "hub" else "the hub"
        row = (each.directory, each.holder, f"{each.users:,}", f"{each.groups:,}", f"{each.memberships:,}")
        table.add_row(*row, Text.assemble(f"{against}: ", (each.verdict, "red" if each.differences else "green")))
    return table


def _differences(holding: Holding) -> Iterator[RenderableType]:
    for sentence in holding.differences[:_MOST_DIFFERENCES]:
        yield Text(f"  {holding.directory}, {holding.holder}: {sentence}", "red")
    if len(holding.differences) > _MOST_DIFFERENCES:
        yield Text(f"  … {len(holding.differences) - _MOST_DIFFERENCES} more; --json tells all", "red")


def _flows(flows: Sequence[Flow]) -> Table:
    numbers = ("events", "changes", "runs", "duplicates", "signatures", "snapshot", "p50", "p99")
    table = _table(("directory", "received by"), numbers, ())
    for flow in flows:
        receipts = flow.receipts
        counts = (receipts.events, receipts.changes, receipts.runs, receipts.duplicates)
        signatures = f"{receipts.verified:,}" if flow.destination == "webhook" else "–"
        snapshot = f"{receipts.snapshot:,}" if flow.destination == "feed" else "–"
        late = (_late(receipts.delays, 0.5), _late(receipts.delays, 0.99))
        table.add_row(flow.directory, flow.destination, *(f"{count:,}" for count in counts), signatures, snapshot, *late)
    table.caption = "p50, p99: from the commit in the hub until the copy has it on disk"
    table.caption_justify = "left"
    return table


def _late(delays: Sequence[float], share: float) -> str:
    found = milliseconds(delays, share)
    return "–" if found is None else f"{found:.0f} ms"


def _table(names: Sequence[str], numbers: Sequence[str], verdicts: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for name in names:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    for name in verdicts:
        table.add_column(name)
    return table
