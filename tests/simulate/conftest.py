"""A hub in a process of its own, and a directory in it for each test."""

from collections.abc import Callable, Iterator
from itertools import count

import httpx
import pytest

from tests.end_to_end.live import ADMIN_TOKEN, LiveHub
from tests.simulate.served import Served


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    hub = LiveHub(tmp_path_factory.mktemp("simulated")).start()
    yield hub
    hub.stop()


@pytest.fixture(scope="session")
def new_directory(hub: LiveHub) -> Callable[[], Served]:
    """Make an empty directory; its SCIM base URL and token."""
    numbers = count(1)

    def make() -> Served:
        name = f"simulated-{next(numbers)}"
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        with httpx.Client(base_url=f"{hub.url}/admin/v1", headers=headers, trust_env=False, verify=False) as admin:
            admin.post("/directories", json={"name": name}).raise_for_status()
            admin.post(f"/directories/{name}/sources", json={"name": "idp"}).raise_for_status()
            wish = {"permissions": ["read", "write"], "expires": "never"}
            token = admin.post(f"/directories/{name}/sources/idp/tokens", json=wish).raise_for_status().json()
        return Served(f"{hub.url}/scim/{name}/v2", token["secret"])

    return make
