"""What verbs print: tables for people, JSON for machines on standard output; refusals on standard error."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

REFUSED = 1
WRONG_SETTINGS = 2
# Wide enough that a table in a pipe or a log is never cut.
_WIDTH_OFF_TERMINAL = 240


def print_json(value: object) -> None:
    """The value for a machine, keys as the admin API has them."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], when_empty: str) -> None:
    """Rows under headings; without rows the sentence."""
    if not rows:
        print(when_empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # Names and URLs are copied from the terminal, so they are folded and never shortened.
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text is not markup: a name in brackets stays what it is.
        table.add_row(*(Text(cell) for cell in row))
    print_lines(table)


def print_lines(table: Table) -> None:
    """The table: as wide as the terminal, or wide enough for a pipe and there without blanks behind its lines."""
    if sys.stdout.isatty():
        Console(soft_wrap=False).print(table)
        return
    console = Console(width=_WIDTH_OFF_TERMINAL)
    with console.capture() as lines:
        console.print(table)
    for line in lines.get().splitlines():
        print(line.rstrip())


def print_facts(facts: Mapping[str, object]) -> None:
    """One thing, a line for each of its properties."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name.ljust(width)}  {shown(value)}")


def print_done(sentence: str, answer: Mapping[str, object], as_json: bool) -> None:
    """The sentence for a person, or the answer for a machine."""
    if as_json:
        print_json(answer)
    else:
        print(sentence)


class Refusal(typer.Exit):
    """The end of a verb that refused or failed; ``is_answered`` if it has printed its JSON all the same."""

    def __init__(self, problems: Sequence[str], code: int, *, is_answered: bool) -> None:
        super().__init__(code)
        self.problems = problems
        self.is_answered = is_answered


def fail(problems: Sequence[str], code: int = REFUSED, *, is_answered: bool = False) -> Refusal:
    """Say each problem on standard error; to be raised. Whoever has printed an answer before says so."""
    for problem in problems:
        print(problem, file=sys.stderr)
    return Refusal(problems, code, is_answered=is_answered)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A moving bar while something takes long, on a terminal only."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        bar.add_task(what, total=None)
        yield


def counted(count: int, noun: str) -> str:
    """Such as ``1 resource`` or ``1,200 resources``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(str(each) for each in value) or "-"
        case dict():
            return ", ".join(f"{each} {name}" for name, each in value.items()) or "-"
        case _:
            return str(value)
