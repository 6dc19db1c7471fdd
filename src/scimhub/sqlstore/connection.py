"""What the modules of this package ask of a database, whichever it is: statements on a connection, and who runs them.

A unit of work is a plain function of a connection. It does not wait, does not know which database it speaks to, and may run
more than once: ``Database`` decides on which thread, in which transaction and together with whom it runs.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from scimhub.sqlstore.dialect import Dialect

SqlValue = str | int | float | bytes | None
# A row's types are those of the columns; the caller, who wrote the statement, knows them.
Row = Any

T = TypeVar("T")


class Connection(Protocol):
    """One connection. Statements have ``?`` for values, or ``?1``, ``?2``, … where one is used twice."""

    @property
    def dialect(self) -> Dialect:
        """How this database writes what databases write differently."""

    def fetch(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> list[Row]:
        """All rows of the statement. Nothing stays open behind it."""

    def fetch_one(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> Row:
        """The first row of the statement, or None."""

    def run(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> int:
        """Carry the statement out; how many rows it changed."""

    def execute(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> object:
        """Carry the statement out; it may wait for those that follow in the same transaction."""

    def executemany(self, sql: str, rows: Iterable[tuple[SqlValue, ...]], /) -> object:
        """``execute`` with each of the rows."""

    def new_key(self) -> int:
        """A number that no resource has had, for a new one's ``key``; it grows."""

    def one_moment(self) -> AbstractContextManager[None]:
        """What is read inside is of one moment."""


Work = Callable[[Connection], T]
# shared: in one transaction with others; alone: in its own, because it takes long.
Manner = Literal["shared", "alone"]
# What a unit of work changes, where there are several writers: a directory by its key, which then has no other writer until
# the commit; what administrators make; a destination's ledger, by its key with a minus; or, None, rows that nobody else writes.
ADMINISTRATION = 0
Claim = int | None


Verdict = Literal["OK", "WARN", "FAIL"]


class Finding(NamedTuple):
    """One thing that was looked at; a sentence of what was not found OK says what to do."""

    verdict: Verdict
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Health:
    """What ``scimhub doctor`` shows; sizes in bytes. No ``problems`` means that the database was found sound.

    ``findings`` are about the server, where there is one; ``nodes`` is how many serve from it, or did a minute ago.
    """

    problems: tuple[str, ...]
    size: int
    wal_size: int
    free_disk: int
    findings: tuple[Finding, ...] = ()
    nodes: int = 0


# Called with what has been copied so far and how much there is in all.
Progress = Callable[[int, int], None]


class Database(Protocol):
    """One open database, shared by the parts of the store. Everything raises StoreUnavailable when it cannot be reached."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def log_epoch(self) -> str:
        """Names the history that positions and versions belong to; it changes when a backup is restored."""

    @property
    def cursor_secret(self) -> bytes:
        """What page cursors are signed with; it lives as long as the database."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may have it open as well."""

    @property
    def migrated_from(self) -> int | None:
        """The migration that it was at before this opening brought it further; None when it was new, or needed none."""

    async def read(self, work: Work[T]) -> T:
        """What the work returns; for what takes microseconds."""

    async def fetch(self, sql: str, values: tuple[SqlValue, ...]) -> list[Row]:
        """All rows of one look-up, such as every request makes."""

    async def read_aside(self, work: Work[T]) -> T:
        """As ``read``, for what takes long enough to hold others up. What it reads is of one moment."""

    async def write(
        self,
        work: Work[T],
        claim: Claim = ADMINISTRATION,
        manner: Manner = "shared",
        committed: Callable[[T], None] | None = None,
    ) -> T:
        """What the work returns, once it is on disk. ``committed`` gets it then, even when nobody waits any longer."""

    async def erasing(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work so that nothing stays behind in the database's files of what its writes take the place of."""

    async def check_searchable(self) -> None:
        """Raise Conflict unless search indexes can be made here."""

    def catalog_version(self, directory: int) -> int:
        """The version of the directory's schemas and types; 0 when it is gone."""

    def note_catalog_version(self, directory: int, version: int) -> None:
        """A commit gave the directory's catalog that version; 0: it is gone."""

    async def number_changes(self) -> None:
        """See that all changes committed so far have their positions, where a commit does not give them."""

    def known_head(self) -> int | None:
        """The newest position that this process knows of, None where it is always as quick to read the newest there is."""

    def on_commit(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake``, which must not block, called in any thread after commits that may have added changes.

        By then ``known_head`` is one of theirs or a later one. Returns what ends it.
        """

    def arm(self, reach: Callable[[str], None]) -> None:
        """Have ``reach`` told of two places: before a commit, and after it."""

    async def back_up(self, target: Path, progress: Progress | None = None) -> None:
        """Copy the database into a new file while it runs; raises StoreUnusable."""

    async def analyze(self) -> None:
        """Have the database see how much there is of what, after much was loaded: by that it chooses its ways.

        Where it cannot now it will later by itself, and a warning is written."""

    async def check_alive(self) -> None:
        """Raise StoreUnavailable unless the database can be read, and the writer answers."""

    async def check(self) -> Health:
        """Look through the whole database, and measure it."""

    async def close(self) -> None:
        """Finish what waits, then close. It may be called twice."""
