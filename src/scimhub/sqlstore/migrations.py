"""Migrations: numbered SQL files, applied in order, forward only. Each database has its own.

A file is never edited after its release. A database that a newer program has migrated is refused, because this one
cannot know what the rows mean now.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources

from scimhub.directory.errors import StoreUnusable

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


def new_history(random: Callable[[int], bytes]) -> dict[str, str]:
    """The hub's values that name a history: a log epoch, and what page cursors are signed with."""
    return {"log_epoch": random(4).hex(), "cursor_secret": random(32).hex()}
