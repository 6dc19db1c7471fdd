"""What a run of the benchmark comes to: rows, single figures, and where they were measured; kept as JSON."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

SQLITE, POSTGRES, PEER = "sqlite", "postgres", "scim2-server"
_VERSIONS = ("uvicorn", "uvloop", "httptools", "apsw", "asyncpg", "scim2-server")


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario under load: medians over the rounds. ``server`` is the hub's database, or the other product."""

    server: str
    scenario: str
    users: int
    members: int | None
    clients: int
    rate: float
    p50_ms: float
    p99_ms: float
    hello_rate: float
    # Of the rounds' ratios, each to the run of hello just before it.
    ratio: float
    # CPU time for each operation, in microseconds: the server's process, its database's processes, hello, the load generator.
    cpu_us: float
    database_cpu_us: float
    hello_cpu_us: float
    load_cpu_us: float

    @property
    def cost_us(self) -> float:
        """What an operation costs the server and its database together."""
        return self.cpu_us + self.database_cpu_us


@dataclass(frozen=True, slots=True)
class Figure:
    """What is one number, such as the length of a walk."""

    server: str
    name: str
    users: int
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Result:
    """One run of the benchmark. ``surroundings`` and ``method`` are shown as they are."""

    surroundings: Mapping[str, str]
    method: Mapping[str, str]
    load_to_hello: float
    rows: Sequence[Row]
    figures: Sequence[Figure]

    def dump(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def parse(text: str) -> Result:
    """What ``dump`` wrote."""
    told: dict[str, Any] = json.loads(text)
    rows, figures = [Row(**each) for each in told["rows"]], [Figure(**each) for each in told["figures"]]
    return Result(told["surroundings"], told["method"], told["load_to_hello"], rows, figures)


def surroundings() -> dict[str, str]:
    """The machine and the versions, and how busy others keep it now."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _VERSIONS),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
