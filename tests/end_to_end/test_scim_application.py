"""A hub that keeps another hub as a SCIM application: people and groups come, move and leave, and the ends are equal."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.end_to_end.live import ADMIN_TOKEN, TOKEN, LiveHub, group, patch, user, wait_until

Json = dict[str, Any]


def admin(hub: LiveHub) -> httpx.Client:
    return httpx.Client(base_url=f"{hub.url}/admin/v1", headers={"authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=30)


def create(hub: LiveHub, target: LiveHub, name: str = "twin", **wish: Any) -> Json:
    configuration = {"base_url": target.scim_url, **wish.pop("configuration", {})}
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

        wait_until(is_done, 20, "the application's being up to date")


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
        create(hub, target)
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
