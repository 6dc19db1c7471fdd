"""Several processes that serve on one socket, and the one that looks after them (``scimhub serve --workers``).

Each worker is a node of its own on the common PostgreSQL database. A worker that dies is begun anew; SIGHUP begins all of
them anew, one after the other, each after its successor serves. The sockets belong to the process that looks after them, so
that no worker's end takes one away.
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event

from scimhub import serving, telemetry
from scimhub.directory.errors import Fault
from scimhub.settings import Settings

# Seconds between two looks at the workers, and before one that died at once is begun again.
_LOOK_EVERY = 0.2
_LONGEST_START = 60.0
_SHORTEST_LIFE = 2.0

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess
    has_begun: Event
    begun_at: float


class _Workers:
    """The processes. Numbers tell them apart; that with the first number also answers on the local socket."""

    def __init__(self, settings: Settings, listening: socket.socket, local: socket.socket | None) -> None:
        self._settings = settings
        self._listening = listening
        self._local = local
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, _Worker] = {}

    def begin(self, number: int) -> _Worker:
        has_begun = self._context.Event()
        local = self._local if number == 0 else None
        process = self._context.Process(
            target=_work, args=(self._settings, self._listening, local, has_begun), name=f"scimhub-{number}"
        )
        process.start()
        worker = self._running[number] = _Worker(number, process, has_begun, time.monotonic())
        return worker

    def replace_dead(self) -> None:
        for worker in list(self._running.values()):
            if worker.process.is_alive():
                continue
            _logger.error("worker died", extra={"worker": worker.number, "exit_code": worker.process.exitcode})
            if time.monotonic() - worker.begun_at < _SHORTEST_LIFE:
                time.sleep(_SHORTEST_LIFE)
            self.begin(worker.number)

    def renew(self, is_stopping: Callable[[], bool]) -> None:
        """Begin all anew, each after its successor serves."""
        for old in list(self._running.values()):
            new = self.begin(old.number)
            if not _has_begun(new, is_stopping):
                _logger.error("a new worker did not begin; the old one goes on", extra={"worker": old.number})
                _end(new)
                self._running[old.number] = old
                return
            _end(old)

    def end(self) -> bool:
        """Let all end what they are at; whether all did so in order."""
        for worker in self._running.values():
            worker.process.terminate()
        for worker in self._running.values():
            worker.process.join()
        return all(worker.process.exitcode == 0 for worker in self._running.values())


def _has_begun(worker: _Worker, is_stopping: Callable[[], bool]) -> bool:
    end = time.monotonic() + _LONGEST_START
    while time.monotonic() < end and worker.process.is_alive() and not is_stopping():
        if worker.has_begun.wait(_LOOK_EVERY):
            return True
    return False


def _end(worker: _Worker) -> None:
    worker.process.terminate()
    worker.process.join()


def run(settings: Settings, count: int) -> int:
    """Serve with so many processes until SIGTERM or SIGINT; returns the exit code. Raises Fault when it cannot begin."""
    if settings.database_file is not None:
        raise Fault(
            f"With SQLite one process has the database, and {count} were asked for; leave --workers out, or set "
            "SCIMHUB_DATABASE=postgresql://… for several."
        )
    telemetry.configure_logging(settings.log_level, settings.log_format)
    listening = serving.bind(settings)
    serving.prepare(settings)
    stopping, renewing = threading.Event(), threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: renewing.set())
    with serving.bind_local(settings.socket_path) as local:
        workers = _Workers(settings, listening, local)
        for number in range(count):
            workers.begin(number)
        _logger.info("workers begun", extra={"count": count})
        while not stopping.wait(_LOOK_EVERY):
            if renewing.is_set():
                renewing.clear()
                workers.renew(stopping.is_set)
            workers.replace_dead()
        return 0 if workers.end() else 1


def _work(settings: Settings, listening: socket.socket, local: socket.socket | None, has_begun: Event) -> None:
    """What one worker does, in its own process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Ctrl-C reaches all of them; the first process then tells the others, and being told twice would mean not to wait.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="scimhub-parent", daemon=True).start()
    raise SystemExit(serving.serve_on(settings, listening, local, begun=has_begun.set))


def _end_with_parent() -> None:
    """End in order when the process that looks after this one is gone: nobody would stop or renew it, and it has the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        _logger.error("the process that looks after the workers is gone; this one ends")
        os.kill(os.getpid(), signal.SIGTERM)
