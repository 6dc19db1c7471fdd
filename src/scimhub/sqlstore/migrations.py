"""Migrations: numbered SQL files, applied in order, forward only. Each database has its own.

A file is never edited after its release. A database that a newer program has migrated is refused, because this one
cannot know what the rows mean now.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources

from scimhub.directory.errors import StoreEmpty, StoreUnusable

_FILE_NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, the name of its file, and its SQL."""

    number: int
    name: str
    sql: str


@cache
def known(package: str) -> tuple[Migration, ...]:
    """The migrations that came with this program in the package's folder ``migrations``, in order."""
    folder = resources.files(package) / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if _FILE_NAME.fullmatch(entry.name))
    return tuple(Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names)


def check_not_newer(done: Collection[int], steps: tuple[Migration, ...]) -> None:
    """Raise StoreUnusable when the database has had a migration that the program does not know."""
    newest = max((step.number for step in steps), default=0)
    if done and max(done) > newest:
        raise StoreUnusable(
            f"The database is at migration {max(done)}, this program knows {newest}: it was opened by a newer scimhub. "
            "Start that one, or restore a backup that was made before."
        )


def incomplete(done: Collection[int], steps: tuple[Migration, ...]) -> StoreUnusable:
    """What stops whoever only looks, at a database that lacks migrations; of an empty one it is StoreEmpty."""
    if not done:
        return StoreEmpty("The database is empty; the first start of the hub fills it: scimhub serve.")
    newest = max(step.number for step in steps)
    return StoreUnusable(
        f"The database is at migration {max(done)}, this program needs {newest}, and who only looks does not change it. "
        "scimhub serve brings it there; as an older scimhub refuses it then, have that one back it up before."
    )


def former(applied: Collection[int]) -> int | None:
    """The migration that a database was at before these were applied; None when it was new, or lacked none."""
    return min(applied) - 1 or None if applied else None


def new_history(random: Callable[[int], bytes]) -> dict[str, str]:
    """The hub's values that name a history: a log epoch, and what page cursors are signed with."""
    return {"log_epoch": random(4).hex(), "cursor_secret": random(32).hex()}
