"""A real server of somebody else's, as a process of its own on this machine: started, killed, started again."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class Missing(Exception):
    """The server cannot be had on this machine; the text says what and why."""


# What was left out of this run of the tests, and why; the last lines of the run tell it.
left_out: dict[str, str] = {}
# Seconds that only something which hangs takes, on a machine with much other work as well.
PATIENCE = 120.0
# CI sets it: there nothing may be left out.
IS_REQUIRED = bool(os.environ.get("REQUIRE_SERVERS"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Program:
    """A server program. ``start`` after ``kill`` goes on with the same port and the same files."""

    command: Sequence[str]
    port: int
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    # Says whether it takes requests; by default, whether it takes connections.
    is_ready: Callable[[], bool] | None = None
    limit: float = PATIENCE
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + self.limit
        while not (self.is_ready or self._accepts)():
            code = self.process.poll()
            assert code is None, f"{self.command[0]} ended with {code}: {self.log[-2000:]}"
            assert time.monotonic() < end, f"{self.command[0]} did not start within {self.limit} s: {self.log[-2000:]}"
            time.sleep(0.01)

    def kill(self) -> None:
        """As a power cut would; whatever it had started goes with it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Properly, if it can."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It takes connections and what is sent over them, and does nothing, until ``thaw``."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, what)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def _end(self, how: signal.Signals) -> None:
        process = self.process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        # What it had started may take a moment longer to let go of the port.
        end = time.monotonic() + 10
        while self._accepts() and time.monotonic() < end:
            time.sleep(0.01)

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
