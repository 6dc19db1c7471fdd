"""Server processes on a core of their own, and what they cost."""

import base64
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench.load import pin
from tests.servers import kafka as apache_kafka
from tests.servers import postgres as postgresql

TOKEN = "benchmark-token-of-default"
ADMIN_TOKEN = "benchmark-token-of-the-admin"
SERVER_CORE = 0
LOAD_CORE = 1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hub keeps what it has: a folder, and if a server has the database, its URL and the server's first process."""

    folder: Path
    url: str | None = None
    database_pid: int | None = None

    def settings(self) -> dict[str, str]:
        """What the hub, and every command for it, is told."""
        return {
            "SCIMHUB_DATABASE": self.url or str(self.folder / "scimhub.db"),
            "SCIMHUB_DATA": str(self.folder),
            "SCIMHUB_BOOTSTRAP_TOKEN": TOKEN,
            "SCIMHUB_ADMIN_TOKEN": ADMIN_TOKEN,
            # Nothing is sealed that anybody wants to keep.
            "SCIMHUB_SECRET_KEYS": f"bench:{base64.b64encode(bytes(32)).decode()}",
            # Receivers of the benchmark are on this machine.
            "SCIMHUB_EGRESS_LOOPBACK": "true",
            "SCIMHUB_LOG_LEVEL": "warning",
        }


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; one whose database is another's has that one's first process too."""

    port: int
    pid: int
    database_pid: int | None = None

    def cpu_seconds(self) -> float:
        """The CPU time that the process has used so far, in user and in kernel mode."""
        # Linux makes a process's clock of its pid so (clock_getcpuclockid(3)): exact, where proc(5) counts ticks of 10 ms.
        return time.clock_gettime((~self.pid << 3) | 2)

    def database_cpu_seconds(self) -> float:
        """The CPU time of the database's processes, also of those that have ended; 0 without such."""
        if self.database_pid is None:
            return 0.0
        living = sum(sum(_cpu_ticks(child)[:2]) for child in children(self.database_pid))
        return (living + sum(_cpu_ticks(self.database_pid))) / _TICKS

    def memory_bytes(self) -> int:
        """The memory that the process has in use now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_ticks(pid: int) -> list[int]:
    """utime, stime, and both of children that ended, in ticks: fields 14 to 17 of proc(5). All 0 for one that is gone."""
    try:
        # The name in parentheses may hold blanks: count from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    return [int(field) for field in fields[11:15]]


def children(pid: int) -> list[int]:
    """The processes that this one has started and that live."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    arguments: Sequence[str],
    port: int,
    is_ready: Callable[[int], bool],
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    core: int = SERVER_CORE,
) -> Iterator[Server]:
    """Run ``python`` with these arguments on the core until the block ends."""
    process = subprocess.Popen(
        [python, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
        preexec_fn=lambda: pin(core),
    )
    try:
        end = time.monotonic() + 60
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(arguments)} did not start (exit code {process.poll()}).")
            time.sleep(0.005)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def surroundings(place: Place) -> dict[str, str]:
    """The environment of a hub or a command: its settings, and no others from where the benchmark was started."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCIMHUB_")} | place.settings()


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
def peer(core: int = SERVER_CORE) -> Iterator[Server]:
    port = free_port()
    with serving(["-m", "bench.peer", str(port)], port, _accepts, core=core) as server:
        yield server


@contextmanager
def hub(
    place: Place,
    path: str = "/readyz",
    *,
    settings: Mapping[str, str] | None = None,
    python: str = sys.executable,
    core: int = SERVER_CORE,
) -> Iterator[Server]:
    """The hub as an administrator runs it: authentication, exchanges and change log on, full durability.

    It has started when it answers the path with 200. ``settings`` are more of them; ``python`` is another checkout's.
    """
    port = free_port()
    environment = surroundings(place) | {"SCIMHUB_PORT": str(port)} | dict(settings or {})
    with serving(["-m", "scimhub", "serve"], port, lambda port: _answers(port, path), environment, python, core) as server:
        yield replace(server, database_pid=place.database_pid)


@contextmanager
def postgres() -> Iterator[postgresql.Server]:
    """A PostgreSQL server with fsync, on the core of the load: of two cores the hub has the other for itself."""
    with postgresql.serving(durable=True) as server:
        assert server.running is not None
        first = server.running.pid
        # Those who start later inherit it; one that only answered a question may be gone.
        pin(LOAD_CORE, first)
        for pid in children(first):
            with suppress(ProcessLookupError):
                pin(LOAD_CORE, pid)
        yield server


@contextmanager
def receiver(sort: str) -> Iterator[Server]:
    """A receiver of webhooks, which pins itself to the core of the load; see ``bench.receiver``."""
    port = free_port()
    with serving(["-m", "bench.receiver", sort, str(port)], port, _accepts) as server:
        yield server


@contextmanager
def kafka() -> Iterator[Server]:
    """Apache Kafka in a fast JVM, on the core of the load; raises Missing."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        broker, _ = apache_kafka.open_kafka(Path(name), apache_kafka.FAST)
        broker.start()
        try:
            assert broker.process is not None
            _pin_threads(broker.process.pid)
            yield Server(broker.port, broker.process.pid)
        finally:
            broker.stop()


@contextmanager
def kafka_receiver(servers: str, topic: str) -> Iterator[Server]:
    """The same for a topic of a Kafka that runs; see ``bench.kafka_receiver``."""
    port = free_port()
    with serving(["-m", "bench.kafka_receiver", servers, topic, str(port)], port, _accepts) as server:
        yield server


def _pin_threads(pid: int) -> None:
    """Keep all threads of a process on the core of the load; those that start later inherit it."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            pin(LOAD_CORE, int(thread.name))


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
