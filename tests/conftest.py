"""What every test may use."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_shell():
    """A developer's own SCIMHUB_ variables must not reach the hubs that tests start; SCIMHUB_VECTORS is the tests' own."""
    for name in [name for name in os.environ if name.startswith("SCIMHUB_") and name != "SCIMHUB_VECTORS"]:
        del os.environ[name]
