"""Drift and resync against real applications, and first loads of them: through the admin API of a live hub."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub.distribution.failpoints import AFTER_CHUNK
from tests.end_to_end import checker
from tests.end_to_end.checker import Journal
from tests.end_to_end.crashing import Supervisor, Writer, let_settled_go
from tests.end_to_end.live import TOKEN, LiveHub, free_port, group, patch, scim_headers, user, wait_until
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.test_scim_application import NEEDS_SCIMMY, admin, create, everybody, scim2_server, scimmy, settled, teams
from tests.servers.running import PATIENCE

Json = dict[str, Any]
TWIN = "/directories/default/destinations/twin"


def drift(hub: LiveHub, **query: Any) -> Json:
    with admin(hub) as client:
        answer = client.post(f"{TWIN}/drift", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


def plan(hub: LiveHub, **wish: Any) -> Json:
    with admin(hub) as client:
        answer = client.post(f"{TWIN}/resync/plans", json=wish)
        assert answer.status_code == 200, answer.text
        return answer.json()


def apply(hub: LiveHub, plan_id: str, **wish: Any) -> Json:
    with admin(hub) as client:
        answer = client.post(f"{TWIN}/resync/apply", json={"plan": plan_id, **wish})
        assert answer.status_code == 201, answer.text
        return over(hub)


def over(hub: LiveHub, name: str = "twin") -> Json:
    """The backfill of the destination when it is done."""
    found: list[Json] = []
    with admin(hub) as client:

        def is_done() -> bool:
            found.append(client.get(f"/directories/default/destinations/{name}/backfill").json())
            return found[-1]["state"] == "done"

        wait_until(is_done, "the backfill's end")
    return found[-1]


def found_in(report: Json) -> dict[str, list[Json]]:
    """The findings by category."""
    by_category: dict[str, list[Json]] = {}
    for one in report["samples"]:
        by_category.setdefault(one["category"], []).append(one)
    return by_category


@pytest.fixture(params=["scimhub", "scim2-server", pytest.param("scimmy", marks=NEEDS_SCIMMY)])
def application(request: pytest.FixtureRequest, start_hub: Callable[..., LiveHub], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An application in a process of its own, by name, and its base URL."""
    if request.param == "scimhub":
        yield request.param, start_hub().scim_url
        return
    port = free_port()
    words, path = (scim2_server if request.param == "scim2-server" else scimmy)(port)
    with (tmp_path / "application.log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}{path}"
    try:

        def answers() -> bool:
            try:
                return httpx.get(f"{url}/ServiceProviderConfig", headers=scim_headers(TOKEN), verify=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, "the application's first answer")
        yield request.param, url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_what_was_tampered_with_is_named_exactly_and_mended(start_hub: Callable[..., LiveHub], application: tuple[str, str]):
    name, url = application
    hub = start_hub(egress_loopback="true")
    with hub.client() as source, httpx.Client(base_url=url, headers=scim_headers(TOKEN), timeout=30, verify=False) as target:
        ids = [source.post("/Users", json=user(f"kim{n:02}", title=f"title {n}")).json()["id"] for n in range(12)]
        staff = source.post("/Groups", json=group("staff", *ids[:6])).json()["id"]
        create(hub, url)
        settled(hub)
        clean = drift(hub)
        assert clean["has_drift"] is False, clean
        assert (clean["ours"], clean["shown"]) == ({"User": 12, "Group": 1}, {"User": 12, "Group": 1})
        with admin(hub) as client:
            ledger = {one["resource_id"]: one["remote_id"] for one in client.get(f"{TWIN}/ledger").json()["items"]}

        # One is deleted, one is changed, one is taken out of its group, and a stranger comes.
        assert target.delete(f"/Users/{ledger[ids[8]]}").status_code == 204
        tampered = patch({"op": "replace", "path": "title", "value": "canary"})
        assert target.patch(f"/Users/{ledger[ids[9]]}", json=tampered).status_code in (200, 204)
        dropped = patch({"op": "remove", "path": f'members[value eq "{ledger[ids[2]]}"]'})
        assert target.patch(f"/Groups/{ledger[staff]}", json=dropped).status_code in (200, 204)
        added = patch({"op": "add", "path": "members", "value": [{"value": ledger[ids[7]]}]})
        assert target.patch(f"/Groups/{ledger[staff]}", json=added).status_code in (200, 204)
        stranger = target.post("/Users", json=user("stranger")).json()["id"]

        report = drift(hub)
        by_category = found_in(report)
        assert set(by_category) == {"missing", "different", "members", "extra"}
        ((missing,), (different,), (members,), (extra,)) = (
            by_category[category] for category in ("missing", "different", "members", "extra")
        )
        assert missing["resource_id"] == ids[8]
        assert (different["resource_id"], different["paths"], different["values"]) == (ids[9], ["title"], None)
        assert (members["resource_id"], members["members_lacking"], members["members_beyond"]) == (staff, [ids[2]], [ids[7]])
        assert (extra["remote_id"], extra["was_ours"]) == (stranger, False)
        assert "canary" not in str(report)
        assert found_in(drift(hub, values=True))["different"][0]["values"] == {"title": ["title 9", "canary"]}

        made = plan(hub)
        assert made["counts"] == {
            "add": {"User": 1},
            "adopt": {},
            "change": {"Group": 1, "User": 1},
            "remove": {},
            "conflict": {},
        }
        before = len(everybody(target))
        applied = apply(hub, made["id"])
        assert (applied["told"], applied["arrived"], applied["failed"]) == (3, 3, 0)
        settled(hub)
        healed = drift(hub)
        assert healed["has_drift"] is False, (name, healed)
        assert set(found_in(healed)) == {"extra"}
        assert len(everybody(target)) == before + 1
        assert teams(target) == teams(source)
        with admin(hub) as client:
            again = client.post(f"{TWIN}/resync/apply", json={"plan": made["id"]})
            assert (again.status_code, "The plan was applied at" in again.text) == (409, True)


def test_a_plan_that_the_world_has_left_behind_is_not_applied(start_hub: Callable[..., LiveHub]):
    hub, twin = start_hub(egress_loopback="true"), start_hub()
    with hub.client() as source, twin.client() as target:
        ids = [source.post("/Users", json=user(f"kim{n:02}", title="clerk")).json()["id"] for n in range(10)]
        create(hub, twin.scim_url)
        settled(hub)
        for one in target.get("/Users").json()["Resources"]:
            target.patch(f"/Users/{one['id']}", json=patch({"op": "replace", "path": "title", "value": "x"}))
        made = plan(hub)
        assert made["counts"]["change"] == {"User": 10}
        source.patch(f"/Users/{ids[0]}", json=patch({"op": "replace", "path": "title", "value": "boss"}))
        settled(hub)
        with admin(hub) as client:
            refused = client.post(f"{TWIN}/resync/apply", json={"plan": made["id"]})
            assert (refused.status_code, "1 of the 10 resources in the plan have changed" in refused.text) == (409, True)
            assert client.post(f"{TWIN}/resync/apply", json={"plan": "none"}).status_code == 404
        apply(hub, made["id"], most_moved_percent=10)
        assert drift(hub)["has_drift"] is False
        assert everybody(target) == everybody(source)


def test_whom_the_application_reactivated_meets_the_brake_before_a_resync_deactivates_him(start_hub: Callable[..., LiveHub]):
    hub, twin = start_hub(egress_loopback="true"), start_hub()
    with hub.client() as source, twin.client() as target, admin(hub) as client:
        ids = [source.post("/Users", json=user(f"kim{n:02}")).json()["id"] for n in range(12)]
        create(hub, twin.scim_url)
        assert client.put(f"{TWIN}/brake", json={"enabled": False}).status_code == 200
        for id in ids:
            source.patch(f"/Users/{id}", json=patch({"op": "replace", "path": "active", "value": False}))
        settled(hub)
        there = target.get("/Users").json()["Resources"]
        assert [one["active"] for one in there] == [False] * 12
        assert client.put(f"{TWIN}/brake", json={"settle_seconds": 1}).status_code == 200
        for one in there:
            target.patch(f"/Users/{one['id']}", json=patch({"op": "replace", "path": "active", "value": True}))
        made = plan(hub)
        assert made["counts"]["change"] == {"User": 12}
        assert "will trip at 12 removals of 12 User" in made["verdict"]
        applied = apply(hub, made["id"])
        assert applied["told"] == 12
        wait_until(lambda: client.get(f"{TWIN}/brake").json()["tripped"], "the trip")
        assert sum(not one["active"] for one in target.get("/Users").json()["Resources"]) <= 5
        client.post(f"{TWIN}/brake/release", json={"all": True})
        wait_until(
            lambda: not any(one["active"] for one in target.get("/Users").json()["Resources"]), "the end of all that waited"
        )


def test_who_is_there_already_is_adopted_and_who_was_ours_may_be_removed(start_hub: Callable[..., LiveHub]):
    hub, twin = start_hub(egress_loopback="true"), start_hub()
    with hub.client() as source, twin.client() as target:
        old = source.post("/Users", json=user("old")).json()["id"]
        create(hub, twin.scim_url, configuration={"on_delete": "delete"})
        settled(hub)
        source.delete(f"/Users/{old}")
        settled(hub)
        # It comes back there without us, under our externalId, and somebody is made there whom we get only now.
        target.post("/Users", json=user("old", externalId=old))
        target.post("/Users", json=user("kim"))
        with admin(hub) as client:
            client.post(f"{TWIN}/pause", json={})
        source.post("/Users", json=user("kim", title="boss"))
        report = drift(hub)
        assert report["counts"]["User"]["waiting"] == 1
        assert found_in(report)["extra"][0]["was_ours"] is True or found_in(report)["extra"][1]["was_ours"] is True
        with admin(hub) as client:
            client.post(f"{TWIN}/resume")
        settled(hub)
        assert plan(hub)["counts"]["remove"] == {}
        made = plan(hub, remove_extra=True)
        assert made["counts"]["remove"] == {"User": 1}
        apply(hub, made["id"])
        settled(hub)
        assert set(everybody(target)) == {"kim"}
        assert drift(hub)["has_drift"] is False


def test_a_new_application_is_filled_beside_what_happens_and_by_a_hub_that_is_killed(start_hub: Callable[..., LiveHub]):
    hub, twin = start_hub(egress_loopback="true"), start_hub()
    with hub.client() as source:
        ids = [source.post("/Users", json=user(f"kim{n:03}", title="clerk")).json()["id"] for n in range(300)]
        for n in range(5):
            source.post("/Groups", json=group(f"team{n}", *ids[n * 40 : n * 40 + 40]))
        configuration = {"base_url": twin.scim_url}
        body = {"name": "twin", "kind": "scim_app", "configuration": configuration, "secret": TOKEN, "backfill": True}
        with admin(hub) as client:
            assert client.post("/directories/default/destinations", json=body).status_code == 201
    with twin.client() as target:

        def some_are_there() -> bool:
            return target.get("/Users", params={"count": 0}).json()["totalResults"] > 20

        wait_until(some_are_there, "the first of them")
        hub.kill()
        hub.start()
        with hub.client() as source:
            for n in range(0, 60, 2):
                source.patch(f"/Users/{ids[n]}", json=patch({"op": "replace", "path": "title", "value": f"boss {n}"}))
            source.post("/Users", json=user("late"))
            done = over(hub)
            assert (done["total"], done["looked_at"]) == (305, done["looked_at"])
            settled(hub)
            assert everybody_of(target) == everybody_of(source)
            assert len(everybody_of(target)) == 301
            assert drift(hub)["has_drift"] is False


def everybody_of(client: httpx.Client) -> dict[str, Json]:
    found: dict[str, Json] = {}
    first = 1
    while some := client.get("/Users", params={"count": 200, "startIndex": first}).json()["Resources"]:
        found |= {one["userName"]: {"title": one.get("title"), "active": one.get("active")} for one in some}
        first += len(some)
    return found


@pytest.mark.ci  # a hub dies and begins again, with many people
@pytest.mark.parametrize("place", ["after_send", AFTER_CHUNK, "before_settle"])
def test_a_backfill_survives_the_death_of_the_hub_and_takes_no_version_back(place: str, tmp_path: Path):
    settings = {"SCIMHUB_EGRESS_LOOPBACK": "true"}
    hub = LiveHub(tmp_path, settings).start()
    with Receiver() as receiver:
        with hub.client() as source:
            ids = [source.post("/Users", json=user(f"kim{n:03}")).json()["id"] for n in range(500)]
            for n in range(4):
                source.post("/Groups", json=group(f"team{n}", *ids[n * 50 : n * 50 + 50]))
        with admin(hub) as client:
            body = {"name": "all", "configuration": {"url": receiver.url}, "backfill": True}
            made = client.post("/directories/default/destinations", json=body)
            assert made.status_code == 201, made.text
            receiver.secrets.append(made.json()["secret"])
        hub.kill()
        supervisor = Supervisor(hub, place, 7)
        journal = Journal()
        writer = Writer(hub.client(), journal, 11)
        writer._users += ids[:40]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(writer.run).result()
        wait_until(lambda: supervisor.deaths > 0, "a death")
        supervisor.end()
        let_settled_go(hub)
        over(hub, "all")
        settled(hub, "all")
        assert hub.stop() == 0
        state = asyncio.run(checker.read_state(tmp_path / "scimhub.db"))
        accepted = [arrival for arrival in receiver.arrivals if arrival.status < 300 and arrival.event.tells_of_resource]
        checker.check_stable(accepted)
        checker.check_final(state, accepted)
        newest: dict[str, int] = {}
        seen: set[str] = set()
        for arrival in accepted:
            event = arrival.event
            if arrival.delivery_id not in seen:
                seen.add(arrival.delivery_id)
                assert event.version >= newest.get(event.resource_id, 0), event
                newest[event.resource_id] = event.version
