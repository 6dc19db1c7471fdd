"""Server processes on a core of their own, and what they cost."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import pin

TOKEN = "benchmark-token-of-default"
ADMIN_TOKEN = "benchmark-token-of-the-admin"
SERVER_CORE = 0
LOAD_CORE = 1


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """The CPU time that the process has used so far, in user and in kernel mode."""
        # The name in parentheses may hold blanks: count from behind it. utime and stime are fields 14 and 15 of proc(5).
        fields = Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """The memory that the process has in use now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    arguments: Sequence[str], port: int, is_ready: Callable[[int], bool], settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run ``python`` with these arguments on the server's core until the block ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCIMHUB_")} | dict(settings or {})
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
        preexec_fn=lambda: pin(SERVER_CORE),
    )
    try:
        end = time.monotonic() + 30
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(arguments)} did not start (exit code {process.poll()}).")
            time.sleep(0.02)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def hello() -> Iterator[Server]:
    port = free_port()
    with serving(["-m", "bench.hello", "hello", str(port)], port, _accepts) as server:
        yield server


@contextmanager
def bare() -> Iterator[Server]:
    port = free_port()
    with serving(["-m", "bench.hello", "bare", str(port)], port, _accepts) as server:
        yield server


@contextmanager
def hub(folder: Path) -> Iterator[Server]:
    """The hub as an administrator runs it: authentication, exchanges and change log on, full durability."""
    port = free_port()
    settings = {
        "SCIMHUB_DATABASE": str(folder / "scimhub.db"),
        "SCIMHUB_PORT": str(port),
        "SCIMHUB_BOOTSTRAP_TOKEN": TOKEN,
        "SCIMHUB_ADMIN_TOKEN": ADMIN_TOKEN,
        # Receivers of the benchmark are on this machine.
        "SCIMHUB_EGRESS_LOOPBACK": "true",
        "SCIMHUB_LOG_LEVEL": "warning",
    }
    with serving(["-m", "scimhub", "serve"], port, _is_ready, settings) as server:
        yield server


@contextmanager
def receiver(sort: str) -> Iterator[Server]:
    """A receiver of webhooks, which pins itself to the core of the load; see ``bench.receiver``."""
    port = free_port()
    with serving(["-m", "bench.receiver", sort, str(port)], port, _accepts) as server:
        yield server


@contextmanager
def kafka_receiver(servers: str, topic: str) -> Iterator[Server]:
    """The same for a topic of a Kafka that runs; see ``bench.kafka_receiver``."""
    port = free_port()
    with serving(["-m", "bench.kafka_receiver", servers, topic, str(port)], port, _accepts) as server:
        yield server


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
