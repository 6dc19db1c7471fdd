"""Where the demonstration is shown: the terminal or a pipe, moving bars on a terminal only, and on wish a picture of it all."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from scimhub.simulate.runner import Watch

_WIDTH = 120
_PICTURE_WIDTH = 112


class Screen:
    """``is_pictured`` keeps what is said, so that ``save_picture`` can draw it. ``to_errors`` leaves standard output alone."""

    def __init__(self, *, to_errors: bool = False, is_pictured: bool = False) -> None:
        terminal = Console(stderr=to_errors, highlight=False)
        self._console = terminal if terminal.is_terminal else Console(stderr=to_errors, highlight=False, width=_WIDTH)
        self._picture: Console | None = None
        if is_pictured:
            self._picture = Console(
                record=True, file=io.StringIO(), width=_PICTURE_WIDTH, force_terminal=True, highlight=False, _environ={}
            )

    def say(self, *what: RenderableType) -> None:
        """Show it, each on lines of its own."""
        for console in (self._console, self._picture):
            for each in what or ("",):
                if console is not None:
                    # print joins texts, and forgets on the way that one is not to be wrapped.
                    is_one_line = isinstance(each, Text) and each.no_wrap
                    overflow = each.overflow if isinstance(each, Text) else None
                    console.print(each, no_wrap=is_one_line, overflow=overflow, crop=overflow != "ignore")

    @contextmanager
    def bars(self) -> Iterator[Callable[[str], Watch]]:
        """Gives a function that opens a bar under a title, and gives the function that moves it."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as progress:

            def open_bar(title: str) -> Watch:
                bar = progress.add_task(title, total=None)
                return lambda phase, ended, total: progress.update(
                    bar, description=f"{title}: {phase}", completed=ended, total=total
                )

            yield open_bar

    def save_picture(self, file: Path, title: str) -> None:
        """Write what was said as an SVG that needs nothing from elsewhere; raises OSError."""
        if self._picture is None:
            return
        # The format names fonts on a server; a picture must not ask anybody.
        template = re.sub(r"\s*@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        drawn = self._picture.export_svg(title=title, code_format=template, unique_id="demo")
        file.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", "utf-8")
