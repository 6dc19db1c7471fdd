"""Units of work that share one transaction without sharing their fate (DECISIONS 2).

One unit's refusal leaves its neighbours alone. A savepoint costs a third of a write, and units refuse before they write: so a
batch first runs without savepoints, and is run again with one for each unit where a unit left behind what it should not.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.intents import CatalogConflict, Delete, MembersMissing, NotFound, UniqueConflict, VersionConflict
from scimhub.scim import errors
from scimhub.sqlstore.connection import Connection
from scimhub.sqlstore.execution import CarryOut

LARGEST_BATCH = 256
# With these answers, whatever the unit had already written is rolled back.
_REFUSALS = (VersionConflict, UniqueConflict, NotFound, MembersMissing)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Unit:
    """One piece of work and what came of it. ``committed`` is called with the value once it is on disk."""

    work: Callable[[Any], Any]
    committed: Callable[[Any], None] | None
    value: object = None
    error: Exception | None = None

    def note_commit(self) -> None:
        """What the unit did is on disk."""
        if self.error is None and self.committed is not None:
            try:
                self.committed(self.value)
            except Exception as error:
                # A defect of ours, and no fate of those who were committed with it.
                _log.exception("a commit was not noted")
                self.error = error


def told(error: BaseException) -> Exception:
    """What a unit's waiter hears of it: nothing that would end the waiter's own thread or task."""
    return error if isinstance(error, Exception) else StoreUnavailable(f"The writer failed: {error!r}.")


def catalog_versions(batch: Iterable[Unit]) -> list[int | None]:
    """For each intent of the batch the version of the catalog by which it was computed, None where it depends on none."""
    return [_catalog_version(unit.work) for unit in batch if isinstance(unit.work, CarryOut)]


def _catalog_version(work: CarryOut) -> int | None:
    intent = work.intent
    return None if isinstance(intent, Delete) else intent.catalog_version


def admitted(batch: Sequence[Unit], version_of: Callable[[int], int | None]) -> list[Unit]:
    """The units that may run; the others have their answer.

    ``version_of`` gives the version of a directory's catalog as the transaction finds it: 0 of one that is gone, into which
    nothing is written any more, None where it does not matter. Rows that were computed by another catalog would lack what
    this one looks up.
    """
    going = []
    for unit in batch:
        if isinstance(unit.work, CarryOut):
            current = version_of(unit.work.intent.actor.directory)
            if current == 0:
                unit.error = errors.not_found("The directory is not there any more.")
                continue
            if current is not None and _catalog_version(unit.work) not in (None, current):
                unit.value, unit.error = CatalogConflict(current), None
                continue
        going.append(unit)
    return going


class WritingConnection(Connection, Protocol):
    """What running a batch asks of a connection besides."""

    @property
    def written(self) -> int:
        """How many rows have been changed on it."""

    @property
    def is_spoilt(self) -> bool:
        """Whether the transaction takes no further statement until it is rolled back to a savepoint."""

    def has_lost(self, error: Exception) -> bool:
        """Whether the error took the whole transaction with it."""


def run(connection: WritingConnection, batch: Sequence[Unit], *, savepoints: bool = False) -> bool:
    """Give each unit its value or its error, within a transaction that is open.

    False when one left rows behind that it should not: then the transaction must be rolled back, and the batch run with
    savepoints. Raises what took the transaction with it.
    """
    for unit in batch:
        if savepoints:
            connection.run("SAVEPOINT unit")
        written = connection.written
        is_kept = _run_one(connection, unit)
        if not is_kept and (connection.is_spoilt or connection.written != written):
            if not savepoints:
                return False
            connection.run("ROLLBACK TO unit")
        if savepoints:
            connection.run("RELEASE unit")
    return True


def _run_one(connection: WritingConnection, unit: Unit) -> bool:
    """Whether what the unit wrote is to be kept."""
    unit.value = unit.error = None
    try:
        unit.value = unit.work(connection)
    except Exception as error:
        if connection.has_lost(error):
            raise
        unit.error = error
        return False
    return not isinstance(unit.value, _REFUSALS)
