"""The verb ``demo``: a hub, two providers and four copies of what they push, and whether all of them are equal."""

import asyncio
import shlex
from pathlib import Path
from typing import Annotated

import typer

from scimhub.cli import output
from scimhub.cli.manage import AsJson
from scimhub.demo import play, telling
from scimhub.demo.hub import HubFailed
from scimhub.demo.play import Options
from scimhub.demo.result import Result
from scimhub.demo.screen import Screen

# What a shell gives for a program that Ctrl-C or SIGTERM ended.
_INTERRUPTED, _TERMINATED = 130, 143


def demo(
    number: Annotated[int, typer.Option("--people", min=1, max=100_000, help="How many people each provider has.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Another seed invents other people.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="A new folder for all files, which stay; else a temporary one.")] = None,
    stays: Annotated[bool, typer.Option("--keep", help="Leave the hub running until Ctrl-C, to look around.")] = False,
    picture: Annotated[Path | None, typer.Option("--svg", help="Also write what is shown as a picture to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start a hub, let Okta and Entra push people, and compare what arrived with what the hub holds."""
    screen = Screen(to_errors=as_json, is_pictured=picture is not None)
    shown: list[Result] = []

    def show(result: Result) -> None:
        shown.append(result)
        screen.say(*telling.tables(result), *telling.next_steps(_next(result, stays)))
        if picture is not None:
            screen.save_picture(picture, "make demo")
        if as_json:
            output.print_json(result.render())

    options = Options(number, seed, None if folder is None else folder.absolute(), stays)
    try:
        asyncio.run(play.run(options, screen, show))
    except HubFailed as error:
        raise output.fail([str(error)]) from None
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        if not shown:
            code = _INTERRUPTED if isinstance(error, KeyboardInterrupt) else _TERMINATED
            raise output.fail(["The demonstration was ended before it was over."], code) from None
    raise typer.Exit(0 if shown[0].is_good else output.REFUSED)


def _next(result: Result, stays: bool) -> list[tuple[str, str]]:
    """Three commands; without a hub that stays, such as make one of one's own."""
    if not stays:
        return [
            ("make demo DEMO=--keep", "the same, and the hub stays, so that you can look around"),
            ("make serve", "a hub of your own; it prints what to paste into the provider"),
            ("scimhub simulate google --help", "any of five providers against any SCIM server"),
        ]
    user = result.timelines[0].user if result.timelines else "NAME"
    return [
        (f"scimhub trace {shlex.quote(user)} --directory okta", "all of a timeline"),
        ("scimhub destination list --directory entra", "how far each destination is"),
        ("scimhub exchanges --directory entra", "what came in, what was rewritten, what was answered"),
    ]
