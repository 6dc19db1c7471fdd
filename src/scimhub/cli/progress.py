"""How far long work has come: a bar with rate and remaining time on a terminal, else a line every few seconds."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

# Told the phase, how much is done, and how much there is; 0 when nobody knows.
Watch = Callable[[str, int, int], None]
_EVERY = 5.0
_LATELY = 30.0


@contextmanager
def watching(*, is_silent: bool) -> Iterator[Watch]:
    """What is to be told of the work while this lasts."""
    if is_silent:
        yield lambda phase, done, total: None
    elif sys.stderr.isatty():
        with _bar() as watch:
            yield watch
    else:
        yield Lines(time.monotonic).tell


class _Rate(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@contextmanager
def _bar() -> Iterator[Watch]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield partial(_move, progress, {})


def _move(progress: Progress, shown: dict[str, TaskID], phase: str, done: int, total: int) -> None:
    """Show how far the phase is; a new one takes the place of the one before."""
    if phase in shown:
        progress.update(shown[phase], completed=done, total=total or None)
        return
    for task in shown.values():
        progress.update(task, visible=False)
    shown[phase] = progress.add_task(phase, total=total or None, completed=done)


class Past:
    """How far it was, and when: the pace of lately tells better how long the rest takes than that of the start.

    Times are in seconds, of a clock that only grows.
    """

    def __init__(self, now: float, done: int) -> None:
        self._moments = deque([(now, done)])

    def rate(self, now: float, done: int) -> float:
        """How many are done in a second lately, now that so many are."""
        while len(self._moments) > 1 and now - self._moments[1][0] >= _LATELY:
            self._moments.popleft()
        before, done_then = self._moments[0]
        self._moments.append((now, done))
        return (done - done_then) / (now - before) if now > before else 0.0


class Lines:
    """A line on standard error now and then, for logs."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._phase = ""
        self._past = Past(monotonic(), 0)
        self._told = monotonic()

    def tell(self, phase: str, done: int, total: int) -> None:
        """Print how far the phase is, unless that was done a moment ago."""
        now = self._monotonic()
        if phase != self._phase:
            self._phase, self._past = phase, Past(now, done)
        if now - self._told < _EVERY:
            return
        self._told = now
        rate = self._past.rate(now, done)
        of = f" of {total:,}" if total else ""
        left = f", {(total - done) / rate:,.0f} s left" if total and rate else ""
        print(f"{phase}: {done:,}{of}, {rate:,.0f}/s{left}", file=sys.stderr, flush=True)
