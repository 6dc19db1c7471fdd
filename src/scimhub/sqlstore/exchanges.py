"""Exchanges and attempts on their way to where they are kept, in batches, by a thread of their own (DECISIONS 24).

The thread also redacts what it is given: the event loop only hands over references. Whatever becomes of a batch, nobody
waits for it: what cannot be kept is dropped and counted.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NotRequired, TypedDict, Unpack
from urllib.parse import urlsplit

from scimhub.distribution.delivery import Attempt
from scimhub.exchanges import redaction
from scimhub.exchanges.records import DEFAULT_BODY_LIMIT, Content, Exchange, Found, Received, Search
from scimhub.sqlstore import attempts, exchange_rows
from scimhub.sqlstore.exchange_rows import Archive, Limits, Values
from scimhub.sqlstore.sqlite.exchanges import ExchangeFile
from scimhub.sqlstore.store import POSTGRES_SCHEMES

MIB = 1024 * 1024
# How long the thread gathers before it writes, and how long it rests before it looks for what has grown old, in seconds.
_GATHERING = 0.5
_RESTING = 3600.0
_LARGEST_BATCH = 5000
_LARGEST_BATCH_BYTES = 8 * MIB
# The bodies of so many exchanges are searched for secrets in one pass.
_AT_ONCE = 64
# What an exchange or attempt takes besides bodies, in bytes.
_OVERHEAD = 500
# Bodies that wait for the thread; beyond that only their beginnings are kept waiting.
_MOST_WAITING_BYTES = 64 * MIB
_MOST_WAITING = 20_000
_MOST_SEARCHED = 100_000

# What waits for the thread: an event is set when all before it is written, None ends the thread.
_Entry = Received | list[Attempt] | threading.Event | None

_log = logging.getLogger(__name__)


class Options(TypedDict):
    """What is recorded, how long it is kept, and how much of it a search looks at.

    The oldest exchanges and attempts beyond ``keep_days``, ``keep_count`` or ``keep_bytes`` go; a burst of more than
    ``most_waiting`` is dropped. A search looks at ``most_searched`` exchanges. ``now`` is asked in any thread.
    """

    now: Callable[[], str]
    content: NotRequired[Content]
    body_limit: NotRequired[int]
    keep_days: NotRequired[int]
    keep_count: NotRequired[int]
    keep_bytes: NotRequired[int]
    most_waiting: NotRequired[int]
    most_searched: NotRequired[int]
    # False: whoever opens them only looks, so that no file is made or brought to a new shape.
    writes: NotRequired[bool]


class Exchanges:
    """See ``exchanges.ports.ExchangeStore`` and ``distribution.ports.AttemptLog``; ``open_exchanges`` makes one."""

    def __init__(self, archive: Archive, limits: Limits, content: Content, body_limit: int, most_waiting: int) -> None:
        self._archive = archive
        self._content: Content = content
        self._body_limit = body_limit
        self._most_waiting = most_waiting
        # A batch is a small part of what is kept, so that there is never much more than that.
        self._largest_batch = max(1, min(_LARGEST_BATCH, limits.count // 16))
        self._largest_batch_bytes = min(_LARGEST_BATCH_BYTES, limits.size // 16)
        # Exchanges and attempts dropped before the queue, and after it; put into the queue, and taken out; and bytes of bodies
        # put in, and taken out. The first of each pair is written by those who record, the second by the thread, so that
        # neither needs a lock.
        self._refused = 0
        self._lost = 0
        self._put_in = 0
        self._taken_out = 0
        self._handed_over = 0
        self._taken = 0
        self._is_losing = False
        self._queue: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        # Set when the thread should not wait for more before it writes.
        self._hurry = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="scimhub-exchanges", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ recording

    @property
    def dropped(self) -> int:
        return self._refused + self._lost

    @property
    def is_on(self) -> bool:
        return self._content != "off"

    def record(self, received: Received) -> bool:
        if not self.is_on:
            return True
        size = len(received.request) + len(received.answer)
        if self._handed_over - self._taken > _MOST_WAITING_BYTES:
            limit = self._body_limit
            received = received._replace(request=received.request[:limit], answer=received.answer[:limit])
            size = len(received.request) + len(received.answer)
        if not self._put(received, 1):
            return False
        self._handed_over += size
        return True

    def record_attempts(self, attempts: Sequence[Attempt]) -> bool:
        return self._put(list(attempts), len(attempts))

    def _put(self, entry: Received | list[Attempt], count: int) -> bool:
        if self._closed or self._put_in - self._taken_out >= self._most_waiting:
            self._refused += count
            return False
        self._put_in += count
        self._queue.put(entry)
        return True

    async def flush(self) -> None:
        if self._closed:
            return
        written = threading.Event()
        self._queue.put(written)
        self._hurry.set()
        await asyncio.to_thread(written.wait)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._hurry.set()
        await asyncio.to_thread(self._thread.join)
        await self._archive.close()

    # ------------------------------------------------------------------ reading

    async def search(self, wanted: Search, limit: int = 50) -> Found:
        return await self._archive.search(wanted, limit)

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]:
        return await self._archive.find(ids)

    async def list_attempts(
        self,
        *,
        directory: str | None = None,
        destination: str | None = None,
        resource_id: str | None = None,
        positions: tuple[int, int] | None = None,
        failed_only: bool = False,
        limit: int = 100,
    ) -> Sequence[Attempt]:
        terms = attempts.terms_of(directory, destination, resource_id, positions, failed_only)
        return await self._archive.list_attempts(terms, limit)

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        batch = _Batch()
        while not batch.is_last:
            is_behind = batch.is_full
            batch = _Batch()
            try:
                entry = self._queue.get(timeout=_RESTING)
            except queue.Empty:
                self._write(iter(()), batch)
                continue
            if isinstance(entry, Received | list) and not is_behind:
                self._hurry.wait(_GATHERING)
            self._write(self._rows_from(entry, batch), batch)
            for waiter in batch.waiters:
                waiter.set()
            if self._queue.empty():
                self._hurry.clear()

    def _rows_from(self, entry: _Entry, batch: "_Batch") -> Iterator[Values]:
        """The rows of the exchanges from this entry on, as far as one batch goes; all else goes into the batch.

        Some rows are made when the first of them is asked for, and what they are made of is then let go: in the midst of a
        batch of megabytes each further look at it would be one into cold memory.
        """
        room = self._largest_batch_bytes
        some: list[Received] = []
        while True:
            if isinstance(entry, Received):
                size = len(entry.request) + len(entry.answer)
                self._taken += size
                self._taken_out += 1
                room -= size + _OVERHEAD
                batch.size += 1
                some.append(entry)
                if len(some) == _AT_ONCE:
                    yield from self._rows_of(some)
                    some = []
            elif isinstance(entry, list):
                self._taken_out += len(entry)
                room -= _OVERHEAD * len(entry)
                batch.size += len(entry)
                batch.attempts += entry
            elif entry is None:
                batch.is_last = True
            else:
                batch.waiters.append(entry)
            if self._queue.empty():
                break
            if room <= 0 or batch.size >= self._largest_batch:
                batch.is_full = True
                break
            entry = self._queue.get()
        yield from self._rows_of(some)

    def _write(self, rows: Iterator[Values], batch: "_Batch") -> None:
        try:
            first = list(islice(rows, 1))
            if batch.waiters and not batch.size:
                return
            self._archive.write(chain(first, rows), (attempts.values_of(attempt) for attempt in batch.attempts))
        except BaseException as error:
            # Exchanges are help, not truth: a full disk must not stop the hub's own work. What the batch had not come to goes
            # with it, so that who waits for it to be written does not wait for as many faults as there are exchanges.
            with suppress(BaseException):
                deque(rows, maxlen=0)
            self._note_loss(batch.size, error)
        else:
            self._note_success()

    def _note_loss(self, count: int, error: BaseException) -> None:
        self._lost += count
        if count and not self._is_losing:
            # Once, however long it lasts: batches come twice a second.
            _log.warning("exchanges are dropped", extra={"count": count, "error": f"{type(error).__name__}: {error}"})
            self._is_losing = True

    def _note_success(self) -> None:
        if self._is_losing:
            _log.warning("exchanges are kept again", extra={"dropped": self.dropped})
        self._is_losing = False

    def _rows_of(self, some: Sequence[Received]) -> list[Values]:
        is_full = self._content == "full"
        kept = redaction.keeps_all(some, self._body_limit) if is_full else [False] * len(some)
        return list(map(self._row_of, some, kept))

    def _row_of(self, received: Received, keeps_all: bool) -> Values:
        try:
            if keeps_all:
                return exchange_rows.values_as_received(received)
            return exchange_rows.values_of(redaction.redact(received, self._content, self._body_limit))
        except Exception:
            # Whatever a client managed to send, it must neither end this thread nor be stored as it came.
            _log.exception("an exchange could not be redacted; its content is not kept", extra={"request_id": received.id})
            return exchange_rows.values_of(redaction.bare(received))


@dataclass(slots=True)
class _Batch:
    """What one transaction takes from the queue."""

    # Exchanges and attempts.
    size: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    waiters: list[threading.Event] = field(default_factory=list)
    # Whether there was more than the batch may hold, and whether nothing comes any more.
    is_full: bool = False
    is_last: bool = False


async def open_exchanges(database: str | Path, **options: Unpack[Options]) -> Exchanges:
    """The exchanges of the hub whose database has that URL, or is the SQLite file at that path; raises StoreUnusable.

    The tables are made by opening the store, which comes first.
    """
    if isinstance(database, str) and urlsplit(database).scheme in POSTGRES_SCHEMES:
        # Its driver takes a while to load, and only who needs it has to have it.
        from scimhub.sqlstore.postgres.exchanges import ExchangeTables

        writes = options.get("writes", True)
        return _recording(await ExchangeTables.open(database, _limits(options), options["now"], writes=writes), options)
    return open_file_exchanges(Path(database), **options)


def open_file_exchanges(database: Path, **options: Unpack[Options]) -> Exchanges:
    """The exchanges in the file beside the SQLite database at that path; raises StoreUnusable."""
    archive = ExchangeFile(database, _limits(options), options["now"], writes=options.get("writes", True))
    return _recording(archive, options)


def _limits(options: Options) -> Limits:
    return Limits(
        days=options.get("keep_days", 30),
        count=options.get("keep_count", 1_000_000),
        size=options.get("keep_bytes", 1024 * MIB),
        searched=options.get("most_searched", _MOST_SEARCHED),
    )


def _recording(archive: Archive, options: Options) -> Exchanges:
    return Exchanges(
        archive,
        _limits(options),
        options.get("content", "full"),
        options.get("body_limit", DEFAULT_BODY_LIMIT),
        options.get("most_waiting", _MOST_WAITING),
    )
