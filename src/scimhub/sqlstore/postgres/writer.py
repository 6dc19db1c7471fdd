"""Writes on PostgreSQL: what waits for the same directory is committed together, and a directory has one writer at a time.

A lock on the directory, held until the commit, makes every node's writer see all that others have committed there and keeps
it from being overtaken. So the code that carries out intents may look before it writes, as on SQLite, and needs no locks of
its own; directories do not wait for each other. What makes this cheap is that a batch, not a write, waits for the lock and
for the disk.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import asyncpg

from scimhub.directory.errors import StoreUnavailable
from scimhub.scim import errors
from scimhub.sqlstore import batches
from scimhub.sqlstore.batches import LARGEST_BATCH, Unit
from scimhub.sqlstore.connection import Claim, Manner
from scimhub.sqlstore.postgres import buffering, driver, locks
from scimhub.sqlstore.postgres.buffering import BufferedConnection

T = TypeVar("T")
Borrow = Callable[[], AbstractAsyncContextManager[Any]]

# A transaction that lost its connection before it asked for the commit is tried so often.
_TRIES = 2
# Faults behind which the requester has waited long enough.
_WAITED_LONG = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class _Unit(Unit):
    """A unit and who waits for it."""

    manner: Manner
    future: asyncio.Future[Any]


class _CommitUnknown(Exception):
    """The connection was lost while the commit was on its way."""


class Writer:
    """The writer of one node. ``borrow`` lends a connection; ``committed`` is told the claim of each commit.

    ``note_catalog`` hears of a directory whose catalog another node has changed, and of its version.
    """

    def __init__(self, borrow: Borrow, committed: Callable[[Claim], None], note_catalog: Callable[[int, int], None]) -> None:
        self._borrow = borrow
        self._committed = committed
        self._note_catalog = note_catalog
        self._waiting: defaultdict[Claim, deque[_Unit]] = defaultdict(deque)
        self._draining: dict[Claim, asyncio.Task[None]] = {}
        self._unclaimed: set[asyncio.Task[None]] = set()
        self._closed = False
        self.reach: Callable[[str], None] = _reach_nothing

    async def submit(self, work: Callable[[Any], T], claim: Claim, manner: Manner, committed: Callable[[T], None] | None) -> T:
        """What the work returns, once it is on disk; raises what it raises, or StoreUnavailable."""
        if self._closed:
            raise StoreUnavailable("The database is being closed.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        unit = _Unit(work, committed, manner=manner, future=future)
        if claim is None:
            # Rows that nobody else writes: nothing to wait for.
            task = loop.create_task(self._settle(None, [unit]))
            self._unclaimed.add(task)
            task.add_done_callback(self._unclaimed.discard)
        else:
            self._waiting[claim].append(unit)
            if claim not in self._draining:
                self._draining[claim] = loop.create_task(self._drain(claim))
        return await future

    async def close(self) -> None:
        """Finish what waits."""
        self._closed = True
        await asyncio.gather(*self._draining.values(), *self._unclaimed, return_exceptions=True)

    async def _drain(self, claim: Claim) -> None:
        waiting = self._waiting[claim]
        while waiting:
            batch = [waiting.popleft()]
            while batch[0].manner == "shared" and waiting and waiting[0].manner == "shared" and len(batch) < LARGEST_BATCH:
                batch.append(waiting.popleft())
            await self._settle(claim, batch)
        # Nothing was awaited since the queue was found empty, so nobody can have come in between.
        del self._draining[claim], self._waiting[claim]

    # ------------------------------------------------------------------ one batch

    async def _settle(self, claim: Claim, batch: list[_Unit]) -> None:
        """Carry it out; whatever happens, everyone is answered."""
        try:
            await self._carry_out(claim, batch)
        except BaseException as error:
            # A defect of ours. The directory must go on, or everyone who writes to it would wait for ever.
            _log.exception("writer failed", extra={"units": len(batch)})
            _refuse(batch, batches.told(error))
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _carry_out(self, claim: Claim, batch: list[_Unit]) -> None:
        """Give each unit of the batch its value or its error, and answer."""
        try:
            await self._commit_somehow(claim, batch)
        except Exception as error:
            if len(batch) > 1 and not driver.is_unavailable(error) and not isinstance(error, _CommitUnknown):
                # The fault is one unit's: the innocent go on.
                for unit in batch:
                    await self._carry_out(claim, [unit])
                return
            _log.error("transaction failed", extra={"units": len(batch), "error": f"{type(error).__name__}: {error}"})
            for unit in batch:
                unit.value, unit.error = None, _translated(error)
        else:
            for unit in batch:
                unit.note_commit()
            self._committed(claim)
        for unit in batch:
            if unit.future.done():  # cancelled by its waiter; the write stands
                continue
            if unit.error is not None:
                unit.future.set_exception(_translated(unit.error))
            else:
                unit.future.set_result(unit.value)

    async def _commit_somehow(self, claim: Claim, batch: list[_Unit]) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._commit_once(claim, batch)
                break
            except Exception as error:
                if not tries_left or isinstance(error, _WAITED_LONG) or not driver.is_unavailable(error):
                    raise

    async def _commit_once(self, claim: Claim, batch: list[_Unit]) -> None:
        async with self._borrow() as raw:
            if not await self._transact(raw, claim, batch):
                _log.warning("batch runs again with savepoints", extra={"units": len(batch)})
                await self._transact(raw, claim, batch, savepoints=True)

    async def _transact(self, raw: Any, claim: Claim, batch: list[_Unit], *, savepoints: bool = False) -> bool:
        """Run the units and commit; False, with nothing written, when they must be run again with savepoints."""
        try:
            is_done = await _run(raw, await self._begin(raw, claim, batch), savepoints=savepoints)
            self.reach("after_write")
        except BaseException:
            await _roll_back(raw)
            raise
        if not is_done:
            await raw.execute("ROLLBACK")
            return False
        try:
            await raw.execute("COMMIT")
        except Exception as error:
            if not driver.is_unavailable(error):
                raise
            raise _CommitUnknown from error
        self.reach("after_commit")
        return True

    async def _begin(self, raw: Any, claim: Claim, batch: list[_Unit]) -> Sequence[Unit]:
        """Begin a transaction that has the claim to itself; the units that may run in it."""
        if claim is None:
            await raw.execute("BEGIN")
            return batch
        lock = f"BEGIN; SELECT pg_advisory_xact_lock({locks.WRITING}, {claim})"
        versions = batches.catalog_versions(batch)
        if not versions:
            await raw.execute(lock)
            return batch
        newest = max((version for version in versions if version is not None), default=None)
        # In one way to the server. The last statement sees what was committed by whoever had the lock before.
        is_at = "" if newest is None else f" AND catalog_version = {newest}"
        found = await raw.execute(f"{lock}; SELECT FROM directories WHERE key = {claim}{is_at}")
        current = newest
        if found != "SELECT 1":
            current = await raw.fetchval("SELECT catalog_version FROM directories WHERE key = $1", claim) or 0
            self._note_catalog(claim, current)
        return batches.admitted(batch, lambda _: current)


async def _run(raw: Any, batch: Sequence[Unit], *, savepoints: bool) -> bool:
    """Run the units within the open transaction, and have all that they write written; see ``batches.run``."""
    connection = BufferedConnection(raw)

    def run_wave(wave: Sequence[Unit], connection: BufferedConnection) -> bool:
        is_done = batches.run(connection, wave, savepoints=savepoints)
        connection.flush()
        return is_done

    for wave in buffering.waves(batch):
        if not savepoints:
            await connection.foresee(buffering.intents_of(wave))
        if not await driver.carry_out(partial(run_wave, wave), connection):
            return False
    return True


async def _roll_back(raw: Any) -> None:
    try:
        await raw.execute("ROLLBACK")
    except Exception as error:  # the connection is gone, and the transaction with it
        _log.info("rollback failed", extra={"error": f"{type(error).__name__}: {error}"})
        raw.terminate()


def _refuse(batch: Sequence[_Unit], error: Exception) -> None:
    for unit in batch:
        if not unit.future.done():
            unit.future.set_exception(error)


def _translated(error: Exception) -> Exception:
    if isinstance(error, _CommitUnknown):
        return StoreUnavailable("The connection to PostgreSQL was lost during a commit; whether it was made is not known.")
    if isinstance(error, asyncpg.ProgramLimitExceededError):
        return errors.invalid_value(
            "A value that is looked up by an index is too long for PostgreSQL, which takes about 2,600 bytes; shorten it."
        )
    if driver.is_unavailable(error) or isinstance(error, asyncpg.PostgresError):
        unavailable = driver.unavailable(error)
        unavailable.__cause__ = error
        return unavailable
    return error


def _reach_nothing(place: str) -> None:
    """The test's dice, where nobody throws any."""
