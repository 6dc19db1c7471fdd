"""What every test may use."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.servers import postgres, running

_OF_TESTS = ("SCIMHUB_VECTORS", "SCIMHUB_TEST_POSTGRES", "SCIMHUB_TEST_PGBOUNCER")
_RUN_BY = {
    "ci": ".ci/run runs: Apache Kafka, RabbitMQ, the fault matrix in part, and what takes long",
    "long": "make matrix runs: crashes, faults of nodes, accidents with ten thousand",
}


def pytest_configure() -> None:
    """A shell that runs something behind itself has it ignore Ctrl-C, and so would the hubs that tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_shell():
    """A developer's own SCIMHUB_ variables must not reach the hubs that tests start; some are the tests' own."""
    for name in [name for name in os.environ if name.startswith("SCIMHUB_") and name not in _OF_TESTS]:
        del os.environ[name]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server for all tests; each makes databases of its own."""
    with postgres.serving() as server:
        yield server


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """What takes servers from elsewhere or takes long is chosen by -m ci and -m long."""
    for name in ("ci", "long"):
        if count := sum(item.get_closest_marker(name) is not None for item in items):
            running.left_out[name] = f"{count} tests that {_RUN_BY[name]}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tests that run beside each other in several processes tell the first one what they left out."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["left_out"] = running.left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    running.left_out |= getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which real servers this machine does not have, so that what was tested with them was left out."""
    for reason in running.left_out.values():
        terminalreporter.write_line(f"left out: {reason}")
