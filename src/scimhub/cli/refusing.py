"""What a script gets when a verb that was asked for JSON refuses: one JSON document, as when it answers.

The sentences go to standard error in any case, and the exit code is the same.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from scimhub.cli import output
from scimhub.cli.output import Refusal


class Verbs(TyperGroup):
    """All verbs: however deep one lies, its refusal passes here."""

    # The framework's context has no public type that this method may name.
    def invoke(self, ctx: Any) -> Any:
        """The verb's result; of a refusal the problems are printed before it goes on, if JSON was asked for."""
        # Of a verb that was called wrongly nothing more is known than its words.
        is_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except Refusal as refusal:
            _print(list(refusal.problems), is_wanted=is_json and not refusal.is_answered)
            raise
        except typer.TyperException as error:  # wrong usage, which the framework tells a person
            _print([error.format_message()], is_wanted=is_json)
            raise
        except typer.Abort:
            _print(["It was broken off."], is_wanted=is_json)
            raise


def _print(problems: list[str], *, is_wanted: bool) -> None:
    if is_wanted:
        output.print_json({"problems": problems})
