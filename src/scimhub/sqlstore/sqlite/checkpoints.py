"""Moves committed pages from the write-ahead log into the database, mostly behind the writer's back.

A checkpoint by the writer stops all writes while the disk works: p99 of a write was 50 ms with it and 30 ms without. So a
thread of its own carries the pages over as the log grows. Only the writer, when it pauses, can see the log wholly carried
over, which lets SQLite begin it anew; so it finishes what little is left once the log is long.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

from scimhub.sqlstore.sqlite import driver
from scimhub.sqlstore.sqlite.driver import SqliteConnection

# Pages in the log at which the thread begins, and at which the writer finishes.
_EARLY = 1000
_LATE = 4000
# The thread rests so long between two checkpoints, in seconds; each of them waits for the disk.
_REST = 0.05
_CACHE_MIB = 2

_log = logging.getLogger(__name__)


class Checkpointer:
    """Watches the log of one database file, whose commits all pass through the writing connection.

    ``committed`` is called after each of them, in the writer's thread.
    """

    def __init__(self, path: Path, writing: SqliteConnection, committed: Callable[[], None]) -> None:
        self._tell = committed
        self._connection = driver.open_connection(path, writes=True, cache_mib=_CACHE_MIB)
        self._grown = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scimhub-checkpoint", daemon=True)
        self._thread.start()
        # In the place of SQLite's own automatic checkpoint.
        writing.set_wal_hook(self._committed)

    def close(self) -> None:
        """End the thread; the log stays as it is."""
        self._closing.set()
        self._grown.set()
        self._thread.join()
        self._connection.close()

    def _committed(self, writing: apsw.Connection, name: str, pages: int) -> int:
        """Called by SQLite in the writer's thread after each commit."""
        self._tell()
        if pages >= _LATE:
            _checkpoint(writing)
        elif pages >= _EARLY:
            self._grown.set()
        return apsw.SQLITE_OK

    def _run(self) -> None:
        while self._grown.wait() and not self._closing.is_set():
            self._grown.clear()
            _checkpoint(self._connection)
            self._closing.wait(_REST)


def _checkpoint(connection: apsw.Connection) -> None:
    try:
        # PASSIVE waits for nobody: what readers still need is carried over the next time.
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.BusyError:
        pass  # the other of the two is at it
    except apsw.Error as error:
        # The commits are safe in the log; whether the disk is full will be told by the next write.
        _log.warning("checkpoint failed", extra={"error": str(error)})
