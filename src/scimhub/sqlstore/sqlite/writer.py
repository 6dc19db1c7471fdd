"""The one thread that writes: it gathers what waits, and commits it together (group commit, DECISIONS 2).

What an event loop submits in turns that follow each other comes to the thread together, and up to 256 units share a
transaction (``batches``). Where a full disk or an I/O error takes the whole transaction, the units are run again one by
one; what fails then gets StoreUnavailable. Nothing is answered before its commit is on disk. A unit may therefore run more
than once.
"""

import asyncio
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import apsw

from scimhub.directory.errors import StoreUnavailable
from scimhub.sqlstore import batches
from scimhub.sqlstore.batches import LARGEST_BATCH, Unit
from scimhub.sqlstore.sqlite import driver
from scimhub.sqlstore.sqlite.driver import SqliteConnection

# With so many units what a transaction costs by itself is little for each of them.
_WORTH_WAITING = 64

T = TypeVar("T")
FileWork = Callable[[SqliteConnection], T]
# As in ``sqlstore.connection``; bare: outside any transaction.
Manner = Literal["shared", "alone", "bare"]

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class _Unit(Unit):
    """A unit and who waits for it."""

    manner: Manner
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Writer:
    """Owns the writing connection. ``submit`` may be called from any event loop.

    ``catalog_version`` tells that of a directory, 0 of one that is gone. What changes it goes ``alone`` and notes it in its
    ``committed``, so that for the units of a batch it is what the transaction finds.
    """

    def __init__(self, connection: SqliteConnection, catalog_version: Callable[[int], int]) -> None:
        self._connection = connection
        self._catalog_version = catalog_version
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        # What each loop submitted and has not handed over. Guarded by the lock, as is ``_closed``.
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="scimhub-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: FileWork[T], manner: Manner = "shared", committed: Callable[[T], None] | None = None) -> T:
        """What the work returns, once it is on disk; raises what it raises, or StoreUnavailable.

        ``committed`` gets the result in the writer's thread, even when nobody waits any longer.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._closing:
            if self._closed:
                raise StoreUnavailable("The database is being closed.")
            waiting = self._waiting.setdefault(loop, [])
            waiting.append(_Unit(work, committed, manner=manner, loop=loop, future=future))
            if len(waiting) == 1:
                # Given to the thread at once, the first would be committed alone and the others after it: three batches
                # of four had but one unit when 32 clients wrote.
                loop.call_soon(self._hand_over, loop)
        return await future

    def _hand_over(self, loop: asyncio.AbstractEventLoop, seen: int = 0) -> None:
        """Queue what the loop submitted, once a turn has gone by in which it submitted nothing more than the ``seen``."""
        with self._closing:
            count = len(self._waiting.get(loop, ()))
            if seen < count < _WORTH_WAITING:
                # The requests of many clients come in over a few turns; one in which none comes takes microseconds.
                loop.call_soon(self._hand_over, loop, count)
                return
            for unit in self._waiting.pop(loop, ()):
                self._queue.put(unit)

    def close(self) -> None:
        """Finish what waits, bring the write-ahead log into the database, and end the thread."""
        with self._closing:
            if not self._closed:
                self._closed = True
                for unit in itertools.chain(*self._waiting.values()):
                    self._queue.put(unit)
                self._waiting.clear()
                self._queue.put(None)
        self._thread.join()

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        connection = self._connection
        held: list[_Unit | None] = []
        while True:
            unit = held.pop() if held else self._queue.get()
            if unit is None:
                break
            batch = [unit]
            try:
                if unit.manner == "shared":
                    self._gather(batch, held)
                self._carry_out(batch)
            except BaseException as error:
                # A defect of ours. The thread must live on, or everyone who writes would wait for ever.
                _log.exception("writer failed", extra={"units": len(batch)})
                _roll_back(connection)
                for one in batch:
                    one.error = one.error or batches.told(error)
            _answer(batch)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.Error as error:
            _log.warning("checkpoint failed", extra={"error": str(error)})
        connection.close()

    def _gather(self, batch: list[_Unit], held: list[_Unit | None]) -> None:
        """Add what waits and may share the batch; what comes next and may not goes into ``held``."""
        while len(batch) < LARGEST_BATCH:
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                return
            if unit is None or unit.manner != "shared":
                held.append(unit)
                return
            batch.append(unit)

    def _carry_out(self, batch: list[_Unit]) -> None:
        """Give each unit of the batch its value or its error, and have the values on disk."""
        connection = self._connection
        try:
            if batch[0].manner == "bare":
                batch[0].value = batch[0].work(connection)
            else:
                if not self._transact(batch):
                    _log.warning("batch runs again with savepoints", extra={"units": len(batch)})
                    connection.execute("ROLLBACK")
                    self._transact(batch, savepoints=True)
        except BaseException as error:  # whatever it is, the waiters must hear of it
            _roll_back(connection)
            _log.error("transaction failed", extra={"units": len(batch), "error": f"{type(error).__name__}: {error}"})
            if len(batch) > 1 and not isinstance(error, apsw.BusyError):
                # The fault may be one unit's, such as the one too large for what is left of the disk: the innocent go on.
                for unit in batch:
                    self._carry_out([unit])
                return
            for unit in batch:
                unit.value, unit.error = None, _translated(error)
            return
        for unit in batch:
            unit.note_commit()

    def _transact(self, batch: list[_Unit], *, savepoints: bool = False) -> bool:
        """Run the units and commit; False, with the transaction open, when they must be run again with savepoints."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        is_done = batches.run(connection, batches.admitted(batch, self._catalog_version), savepoints=savepoints)
        if is_done:
            connection.execute("COMMIT")
        return is_done


def _roll_back(connection: SqliteConnection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except apsw.Error as error:
        _log.error("rollback failed", extra={"error": str(error)})


def _translated(error: BaseException) -> Exception:
    if isinstance(error, apsw.Error | MemoryError):
        unavailable = driver.unavailable(error)
        unavailable.__cause__ = error
        return unavailable
    return batches.told(error)


def _answer(batch: list[_Unit]) -> None:
    """Wake all waiters with one call for each event loop; a call for each of them would cost more than their writes."""
    loops: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
    for unit in batch:
        loops.setdefault(unit.loop, []).append(unit)
    for loop, units in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, units)
        except RuntimeError:
            # The loop is closed; nobody waits there any longer.
            _log.info("answers without a waiter", extra={"units": len(units)})


def _resolve(units: Sequence[_Unit]) -> None:
    for unit in units:
        if unit.future.done():  # cancelled by its waiter; the write stands
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.value)
