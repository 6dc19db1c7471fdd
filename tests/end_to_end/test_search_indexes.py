"""A search index is built by the running hub, through kill -9 and while others write."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from tests.end_to_end.live import ADMIN_TOKEN, LiveHub, user, wait_until

PEOPLE = 4000


async def fill(hub: LiveHub) -> None:
    """Load people by the admin API, a thousand at a time."""
    async with httpx.AsyncClient(base_url=f"{hub.url}/admin/v1", headers=admin(), timeout=60, verify=False) as client:
        for first in range(0, PEOPLE, 1000):
            lines = [{"line": n + 1, "resource": user(f"before{n:05}")} for n in range(first, first + 1000)]
            body = "\n".join(map(json.dumps, lines))
            headers = {"content-type": "application/x-ndjson"}
            query = {"source": "default"}
            answer = await client.post("/directories/default/imports", content=body, headers=headers, params=query)
            assert answer.status_code == 200, answer.text


def admin() -> dict[str, str]:
    return {"authorization": f"Bearer {ADMIN_TOKEN}"}


def index_of(hub: LiveHub) -> dict[str, object]:
    answer = httpx.get(
        f"{hub.url}/admin/v1/directories/default/indexes/User/userName", headers=admin(), timeout=30, verify=False
    )
    assert answer.status_code == 200, answer.text
    shown: dict[str, object] = answer.json()
    return shown


def total(hub: LiveHub, text: str) -> int:
    with hub.client() as client:
        answer = client.get("/Users", params={"filter": text, "count": "0"})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["totalResults"])


@pytest.mark.ci  # a hub dies and begins again, with thousands of people
def test_a_build_goes_on_after_kill_9_and_misses_nobody(start_hub: Callable[..., LiveHub]):
    hub = start_hub(scan_limit="1000")
    asyncio.run(fill(hub))
    wish = {"attribute": "userName"}
    begun = httpx.post(f"{hub.url}/admin/v1/directories/default/indexes", json=wish, headers=admin(), timeout=30, verify=False)
    assert (begun.status_code, begun.json()["state"]) == (202, "building")
    with hub.client() as client:
        assert client.post("/Users", json=user("between")).status_code == 201
    wait_until(lambda: index_of(hub)["done"] != 0, "a first step")
    hub.kill()
    hub.start()
    with hub.client() as client:
        assert client.post("/Users", json=user("after-the-crash")).status_code == 201
    wait_until(lambda: index_of(hub)["state"] == "ready", "the end of the build")
    assert total(hub, 'userName co "before0"') == PEOPLE
    assert total(hub, 'userName ew "e03999"') == 1
    assert total(hub, 'userName co "tween"') == 1
    assert total(hub, 'userName co "the-crash"') == 1


@pytest.mark.ci  # a build that lasts long enough to be watched
def test_the_command_watches_the_hub_build_it(start_hub: Callable[..., LiveHub]):
    hub = start_hub()
    asyncio.run(fill(hub))

    def scimhub(*words: str) -> str:
        environment = {"SCIMHUB_DATABASE": str(hub.folder / "scimhub.db"), "PATH": ""}
        command = [sys.executable, "-m", "scimhub", *words]
        done = subprocess.run(command, env=environment, cwd=hub.folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert scimhub("index", "add", "userName") == (
        f"userName of User is indexed, {PEOPLE} resources; filters use it from now on.\n"
    )
    assert total(hub, 'userName ew "e03999"') == 1
    assert json.loads(scimhub("index", "list", "--json"))[0]["state"] == "ready"
    scimhub("index", "remove", "userName")
    assert json.loads(scimhub("index", "list", "--json")) == []
    assert total(hub, 'userName ew "e03999"') == 1
