"""Whether somebody really wants it: asked at the terminal, on standard error, so that an answer stays JSON."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from scimhub.cli import output

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if somebody says so, or nobody is to be asked; ends the program with code 1."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise output.fail([f"{question} Nobody can be asked here; give --yes."])
    if not typer.confirm(question, err=True):
        raise output.fail(["Nothing was changed."])


def confirm_removal(find_loss: Callable[[], str], *, yes: bool) -> None:
    """As ``confirm``, for what cannot be had again, as ``find_loss`` says; a script has named it, and is taken at its word."""
    if not yes and sys.stdin.isatty():
        confirm(f"{find_loss()} Remove it?", yes=False)


def confirm_overruling(count: int, destination: str, *, is_named: bool, yes: bool) -> None:
    """As ``confirm``, where so many removals that were discarded are told after all; not of those that a script has named."""
    if count and (not is_named or sys.stdin.isatty()):
        removals = f"{output.counted(count, 'removal')} that {'was' if count == 1 else 'were'} discarded"
        confirm(f"Destination {destination} is told after all of {removals}, as far as its brake lets them go. Go on?", yes=yes)
