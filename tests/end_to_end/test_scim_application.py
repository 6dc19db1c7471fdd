"""A hub that keeps another hub as a SCIM application: people and groups come, move and leave, and the ends are equal."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.live import ADMIN_TOKEN, ROOT, TOKEN, LiveHub, free_port, group, patch, scim_headers, user, wait_until
from tests.servers import running
from tests.servers.running import PATIENCE

Json = dict[str, Any]


def admin(hub: LiveHub) -> httpx.Client:
    return httpx.Client(
        base_url=f"{hub.url}/admin/v1", headers={"authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=30, verify=False
    )


def create(hub: LiveHub, target: str, name: str = "twin", **wish: Any) -> Json:
    configuration = {"base_url": target, **wish.pop("configuration", {})}
    body = {"name": name, "kind": "scim_app", "configuration": configuration, "secret": TOKEN, "after": 0, **wish}
    with admin(hub) as client:
        answer = client.post("/directories/default/destinations", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()


def settled(hub: LiveHub, name: str = "twin") -> None:
    with admin(hub) as client:

        def is_done() -> bool:
            status = client.get(f"/directories/default/destinations/{name}").json()["status"]
            return status["lag"] == 0 and status["held"] == 0 and status["in_flight"] == 0

        wait_until(is_done, "the application's being up to date")


def everybody(client: httpx.Client) -> dict[str, Json]:
    """Each user by userName, as far as two hubs may agree about it."""
    found = client.get("/Users", params={"count": 200}).json()["Resources"]
    hidden = ("id", "meta", "externalId", "groups", "schemas")
    return {one["userName"]: {name: value for name, value in one.items() if name not in hidden} for one in found}


def teams(client: httpx.Client) -> dict[str, set[str]]:
    """The userNames of each group's members."""
    names = {one["id"]: one["userName"] for one in client.get("/Users", params={"count": 200}).json()["Resources"]}
    groups = client.get("/Groups", params={"count": 200}).json()["Resources"]
    return {one["displayName"]: {names[member["value"]] for member in one.get("members", ())} for one in groups}


def test_people_and_groups_come_move_and_leave(start_hub: Callable[..., LiveHub]):
    hub, target = start_hub(egress_loopback="true"), start_hub()
    with hub.client() as source, target.client() as twin:
        ids = [source.post("/Users", json=user(f"kim{number}", title="clerk")).json()["id"] for number in range(12)]
        staff = source.post("/Groups", json=group("staff", *ids[:6])).json()["id"]
        create(hub, target.scim_url)
        settled(hub)
        assert everybody(twin) == everybody(source)
        assert teams(twin) == teams(source) == {"staff": {f"kim{number}" for number in range(6)}}

        source.patch(f"/Users/{ids[0]}", json=patch({"op": "replace", "path": "title", "value": "boss"}))
        source.patch(f"/Users/{ids[1]}", json=patch({"op": "remove", "path": "title"}))
        source.patch(f"/Users/{ids[2]}", json=patch({"op": "replace", "path": "userName", "value": "renamed"}))
        source.patch(
            f"/Groups/{staff}",
            json=patch(
                {"op": "add", "path": "members", "value": [{"value": ids[7]}, {"value": ids[8]}]},
                {"op": "remove", "path": f'members[value eq "{ids[0]}"]'},
            ),
        )
        settled(hub)
        assert everybody(twin) == everybody(source)
        assert teams(twin) == teams(source)

        source.delete(f"/Users/{ids[3]}")
        source.patch(f"/Users/{ids[4]}", json=patch({"op": "replace", "path": "active", "value": False}))
        source.delete(f"/Groups/{staff}")
        settled(hub)
        there, here = everybody(twin), everybody(source)
        assert there.pop("kim3")["active"] is False  # who is deleted is deactivated there, unless told otherwise
        assert there == here
        assert teams(twin) == {}


def test_who_leaves_the_scope_leaves_and_who_enters_comes_with_the_groups(start_hub: Callable[..., LiveHub]):
    hub, target = start_hub(egress_loopback="true"), start_hub()
    with hub.client() as source, target.client() as twin:
        ids = [
            source.post("/Users", json=user(f"kim{n}", userType="Employee" if n else "Guest")).json()["id"] for n in range(3)
        ]
        source.post("/Groups", json=group("staff", *ids))
        create(hub, target.scim_url, subscription={"filters": {"User": 'userType eq "Employee"'}})
        settled(hub)
        assert set(everybody(twin)) == {"kim1", "kim2"}
        assert teams(twin) == {"staff": {"kim1", "kim2"}}
        # Nothing about the group changes; it is the person's coming that brings the membership.
        source.patch(f"/Users/{ids[0]}", json=patch({"op": "replace", "path": "userType", "value": "Employee"}))
        source.patch(f"/Users/{ids[1]}", json=patch({"op": "replace", "path": "userType", "value": "Guest"}))
        settled(hub)
        assert {name: one["active"] for name, one in everybody(twin).items()} == {"kim0": True, "kim1": False, "kim2": True}
        assert teams(twin)["staff"] >= {"kim0", "kim2"}
        with admin(hub) as client:
            listed = client.get("/directories/default/destinations/twin/ledger").json()["items"]
        states = {one["resource_id"]: one["state"] for one in listed if one["resource_type"] == "User"}
        assert states == {ids[0]: "present", ids[1]: "left", ids[2]: "present"}


# Where .ci/run installs what npm has; see tests/end_to_end/scimmy.
SCIMMY = ROOT / "build" / "scimmy"
HAS_SCIMMY = (SCIMMY / "node_modules").exists()
NEEDS_SCIMMY = pytest.mark.skipif(not HAS_SCIMMY, reason="SCIMMY is not installed; .ci/run does it")
if not HAS_SCIMMY:
    running.left_out["SCIMMY"] = "SCIMMY, a SCIM application from npm: it is not installed; .ci/run does it"


def scim2_server(port: int) -> tuple[list[str], str]:
    """The command that serves, and the path before /Users."""
    return [str(Path(sys.executable).with_name("scim2-server")), "--port", str(port), "--bearer-token", TOKEN], "/v2"


def scimmy(port: int) -> tuple[list[str], str]:
    return ["node", str(SCIMMY / "application.js"), str(port), TOKEN], "/scim"


@pytest.fixture(params=[scim2_server, pytest.param(scimmy, marks=NEEDS_SCIMMY)])
def other_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An application that we did not write, in a process of its own."""
    port = free_port()
    words, path = request.param(port)
    with (tmp_path / "application.log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}{path}"

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "application.log").read_text()
        try:
            return httpx.get(f"{url}/ServiceProviderConfig", headers=scim_headers(TOKEN), verify=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, "the application's start")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_an_application_that_we_did_not_write(start_hub: Callable[..., LiveHub], other_server: str):
    hub = start_hub(egress_loopback="true")
    with hub.client() as source, httpx.Client(base_url=other_server, headers=scim_headers(TOKEN), verify=False) as twin:
        there = twin.post("/Users", json=user("kim0", title="from before")).json()["id"]
        boss = source.post("/Users", json=user("boss")).json()["id"]
        ids = [source.post("/Users", json=user(f"kim{number}", title="clerk")).json()["id"] for number in range(6)]
        staff = source.post("/Groups", json=group("staff", *ids)).json()["id"]
        create(hub, other_server, configuration={"on_delete": "delete"})
        settled(hub)
        assert everybody(twin) == {name: one | {"active": True} for name, one in everybody(source).items()}
        assert teams(twin) == teams(source)
        assert twin.get(f"/Users/{there}").json()["title"] == "clerk"  # adopted, and written

        urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        source.patch(f"/Users/{ids[0]}", json=patch({"op": "replace", "path": "name.familyName", "value": "Okoro"}))
        source.patch(f"/Users/{ids[1]}", json=patch({"op": "remove", "path": "title"}))
        source.patch(f"/Users/{ids[2]}", json=patch({"op": "replace", "path": f"{urn}:manager.value", "value": boss}))
        source.patch(f"/Users/{ids[3]}", json=patch({"op": "replace", "path": "active", "value": False}))
        source.patch(f"/Groups/{staff}", json=patch({"op": "remove", "path": f'members[value eq "{ids[0]}"]'}))
        source.delete(f"/Users/{ids[5]}")
        settled(hub)
        here, now = everybody(source), everybody(twin)
        manager = now["kim2"].pop(urn)["manager"]["value"]
        assert twin.get(f"/Users/{manager}").json()["userName"] == "boss"
        here["kim2"].pop(urn)
        assert now == {name: {"active": True} | one for name, one in here.items()}
        assert teams(twin) == teams(source) == {"staff": {"kim1", "kim2", "kim3", "kim4"}}


@pytest.mark.ci  # several starts of a hub
def test_a_hub_that_is_killed_again_and_again_makes_nobody_twice(start_hub: Callable[..., LiveHub]):
    hub, target = start_hub(egress_loopback="true"), start_hub()
    count, teams_count = 120, 12
    with hub.client() as source:
        ids = [source.post("/Users", json=user(f"kim{number}")).json()["id"] for number in range(count)]
        for number in range(teams_count):
            source.post("/Groups", json=group(f"team{number}", *ids[number::teams_count]))
    create(hub, target.scim_url)
    with target.client() as twin:
        for wanted in (20, 60, 100):

            def has_so_many(wanted: int = wanted) -> bool:
                return twin.get("/Users", params={"count": 0}).json()["totalResults"] >= wanted

            wait_until(has_so_many, f"{wanted} people at the application")
            hub.kill()
            hub.start()
        settled(hub)
        with hub.client() as source:
            assert everybody(twin) == everybody(source)
            assert teams(twin) == teams(source)
            # Nothing keeps two groups from having one name there.
            assert twin.get("/Groups", params={"count": 0}).json()["totalResults"] == teams_count
