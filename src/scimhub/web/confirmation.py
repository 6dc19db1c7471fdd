"""The word without which nothing is removed that cannot be had again: the name of what is removed, once more."""

from typing import Annotated

from fastapi import Query

from scimhub.directory.errors import Conflict, Invalid

Confirm = Annotated[str | None, Query(description="The name of what is removed, once more; without it nothing is removed.")]


def check(given: str | None, name: str, loss: str) -> None:
    """Raises Invalid for another name; where none was given Conflict, which says what would be lost."""
    if given is None:
        raise Conflict(
            f"Nothing is removed yet. {loss} To have that give confirm={name}, on the command line --confirm {name}."
        )
    if given != name:
        raise Invalid([f"The confirmation is {given[:80]!r}; it must be the name of what is removed, {name}."])
