"""What every test may use."""

import os
from collections.abc import Iterator

import pytest

from tests.servers import postgres, running

_OF_TESTS = ("SCIMHUB_VECTORS", "SCIMHUB_TEST_POSTGRES", "SCIMHUB_TEST_PGBOUNCER")


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which real servers this machine does not have, so that what was tested with them was left out."""
    for reason in running.left_out.values():
        terminalreporter.write_line(f"left out: {reason}")
