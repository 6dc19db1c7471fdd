"""What every test may use."""

import os

import pytest

from tests.servers import running


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_shell():
    """A developer's own SCIMHUB_ variables must not reach the hubs that tests start; SCIMHUB_VECTORS is the tests' own."""
    for name in [name for name in os.environ if name.startswith("SCIMHUB_") and name != "SCIMHUB_VECTORS"]:
        del os.environ[name]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which real servers this machine does not have, so that what was tested with them was left out."""
    for reason in running.left_out.values():
        terminalreporter.write_line(f"left out: {reason}")
