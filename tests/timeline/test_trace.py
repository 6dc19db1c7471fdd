"""Timelines through the real application: what was sent, rewritten and changed, and what became of it at destinations."""

import asyncio
from collections.abc import Iterator
from typing import Any

import apsw
import httpx
import pytest

from scimhub import clock
from scimhub.distribution.delivery import Attempt, Destination, Held, Subscription
from scimhub.distribution.ports import Settlement
from tests.conformance import hub as hubs
from tests.conformance.hub import Hub, Loop


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


@pytest.fixture(scope="module")
def application(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[hubs.Application]:
    with hubs.opened(loop, tmp_path_factory.mktemp("hub")) as opened:
        yield opened


@pytest.fixture
def hub(application: hubs.Application) -> Hub:
    return application.hub()


def ask(hub: Hub, of: object, **query: object) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(hub.opened.local_application)
        async with httpx.AsyncClient(transport=transport) as client:
            url = f"http://hub/admin/v1/directories/{hub.directory.name}/trace"
            return await client.get(url, params={"of": str(of), **{name: str(value) for name, value in query.items()}})

    return hub.loop.run(send())


def trace(hub: Hub, of: object, **query: object) -> dict[str, Any]:
    answer = ask(hub, of, **query)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def told(timeline: dict[str, Any]) -> list[str]:
    """Each entry in one word or two."""
    return [_told(entry) for entry in timeline["entries"]]


def _told(entry: dict[str, Any]) -> str:
    match entry["entry"]:
        case "sent":
            return f"{entry['exchange']['method']} {entry['exchange']['status']}"
        case "changed":
            return f"{entry['resource_type']} {entry['operation']}"
        case _:
            number = "" if entry["attempt"] is None else f" {entry['attempt']['number']}"
            return f"{entry['destination']} {entry['outcome']}{number}"


def destination(hub: Hub, name: str, **subscription: Any) -> Destination:
    made: Destination = hub.loop.run(
        hub.opened.store.create_destination(
            hub.directory.key, name, "webhook", {}, Subscription(**subscription), None, clock.now_text()
        )
    )
    return made


def settle(hub: Hub, made: Destination, cursor: int, *holds: Held) -> None:
    hub.loop.run(hub.opened.store.settle(made.key, Settlement(cursor, holds=holds)))


def differences(timeline: dict[str, Any], number: int) -> dict[str, tuple[Any, Any]]:
    changes = [entry for entry in timeline["entries"] if entry["entry"] == "changed"]
    return {each["path"]: (each["old"], each["new"]) for each in changes[number]["differences"]}


def test_a_joiner_a_mover_and_a_leaver(hub: Hub):
    ada = hub.lenient.user("ada@example.com", active="True", title="Engineer", favouriteColour="blue", password="pw-1")
    group = hub.lenient.group("Crew", ada["id"])
    hub.lenient.patch(f"/Users/{ada['id']}", {"op": "Replace", "path": "title", "value": "Captain"})
    hub.lenient.patch(f"/Users/{ada['id']}", {"op": "replace", "path": "active", "value": False})
    hub.lenient.delete(f"/Users/{ada['id']}")
    timeline = trace(hub, "ADA@example.com")
    assert timeline["subjects"] == [{"id": ada["id"], "resource_type": "User", "name": "ada@example.com", "is_deleted": True}]
    assert told(timeline) == [
        *("POST 201", "User created", "POST 201", "Group created"),
        *("PATCH 200", "User updated", "PATCH 200", "User updated"),
        *("DELETE 204", "User deleted", "Group updated"),
    ]
    sent = timeline["entries"][0]["exchange"]
    assert (sent["rewrites"], sent["dropped"]) == (["string-boolean", "password-not-kept"], ["favouriteColour"])
    assert '"password":"[redacted]"' in sent["request"]["text"]
    assert "pw-1" not in repr(timeline)
    assert timeline["entries"][4]["exchange"]["rewrites"] == ["operation-case"]
    assert differences(timeline, 0) == {
        "userName": (None, "ada@example.com"),
        "active": (None, True),
        "title": (None, "Engineer"),
    }
    assert differences(timeline, 2) == {"title": ("Engineer", "Captain")}
    assert differences(timeline, 3) == {"active": (True, False)}
    assert timeline["entries"][3]["members_added"] == [ada["id"]]
    assert timeline["entries"][-1]["members_removed"] == [ada["id"]]
    assert timeline["names"] == {ada["id"]: "ada@example.com", group["id"]: "Crew"}
    assert timeline["notes"] == []


def test_one_thing_is_found_by_all_that_it_is_known_by(hub: Hub):
    enterprise = {"employeeNumber": "701984"}
    answer = hub.lenient.post(
        "/Users", hubs.user("bo", externalId="ext-1", emails=[{"value": "Bo@Example.com"}], enterprise=enterprise)
    )
    change_id, request_id = answer.headers["scimhub-change"], answer.headers["x-request-id"]
    position = trace(hub, change_id)["entries"][1]["position"]
    for of in ("bo", "BO", "ext-1", "bo@example.com", "701984", answer.json()["id"], change_id, request_id.upper(), position):
        assert told(trace(hub, of)) == ["POST 201", "User created"], of
    hub.lenient.put(f"/Users/{answer.json()['id']}", hubs.user("robert"))
    former = trace(hub, "bo")
    assert told(former) == ["POST 201", "User created", "PUT 200", "User updated"]
    assert former["notes"] == ["Nobody is known as 'bo' now; shown is who was, by the change log."]
    assert told(trace(hub, change_id)) == ["POST 201", "User created"]


def test_what_means_several_things_is_shown_whole_with_a_note(hub: Hub):
    first = hub.lenient.user("someone")
    position = trace(hub, first["id"])["entries"][1]["position"]
    hub.lenient.user(str(position))
    timeline = trace(hub, position)
    assert told(timeline) == ["POST 201", "User created", "POST 201", "User created"]
    assert timeline["notes"] == [f"'{position}' names a position, the User {position}; all of it is shown."]


def test_who_returned_under_the_same_name_is_shown_with_who_left(hub: Hub):
    first = hub.lenient.user("ruth")
    hub.lenient.delete(f"/Users/{first['id']}")
    second = hub.lenient.user("ruth")
    timeline = trace(hub, "ruth")
    assert {(each["id"], each["is_deleted"]) for each in timeline["subjects"]} == {(first["id"], True), (second["id"], False)}
    assert told(timeline) == ["POST 201", "User created", "DELETE 204", "User deleted", "POST 201", "User created"]


def test_a_request_that_was_refused_is_found_by_whom_it_was_about(hub: Hub):
    hub.strict.post("/Users", hubs.user("nadia@example.com", active="yes"))
    timeline = trace(hub, "nadia@example.com")
    assert (timeline["subjects"], told(timeline)) == ([], ["POST 400"])
    assert "active" in timeline["entries"][0]["exchange"]["detail"]


def test_what_nobody_knows_is_absent(hub: Hub):
    for of in ("nobody", "999999999", "01a20aea-3e8f-7400-9fb6-aed10134fe05", "ffffffff-ffff-7fff-8fff-ffffffffffff"):
        answer = ask(hub, of)
        assert (answer.status_code, answer.json()["detail"][:21]) == (404, "Nothing in directory "), of
    assert ask(hub, "  ").status_code == 400


def test_another_directory_is_another_world(hub: Hub):
    answer = hub.elsewhere.post("/Users", hubs.user("zoe"))
    [position] = [
        change.position
        for change in hub.loop.run(hub.opened.store.read_changes(0, 10_000))
        if change.id == answer.headers["scimhub-change"]
    ]
    for of in ("zoe", answer.json()["id"], answer.headers["scimhub-change"], answer.headers["x-request-id"], position):
        assert ask(hub, of).status_code == 404, of


def test_only_so_many_of_the_last_changes_are_shown(hub: Hub):
    made = hub.lenient.user("max")
    for number in range(4):
        hub.lenient.patch(f"/Users/{made['id']}", hubs.replace("title", str(number)))
    timeline = trace(hub, "max", last=2)
    assert [entry["version"] for entry in timeline["entries"] if entry["entry"] == "changed"] == [4, 5]
    assert timeline["notes"] == ["User max has earlier changes; shown are the last 2."]


def test_a_request_that_is_not_kept_is_found_by_its_time(hub: Hub, application: hubs.Application):
    answer = hub.lenient.post("/Users", hubs.user("ole"))
    hub.loop.run(hub.opened.exchanges.flush())
    file = apsw.Connection(str(application.settings.data_directory / "scimhub-exchanges.db"))
    file.execute("DELETE FROM exchanges WHERE id = ?", (answer.headers["x-request-id"],))
    file.close()
    timeline = trace(hub, answer.headers["x-request-id"])
    assert told(timeline) == ["User created"]
    assert timeline["notes"] == ["The requests of 1 of the changes are not kept."]


# --------------------------------------------------------------------------- where it arrived


def test_each_attempt_is_shown_and_what_no_attempt_tells_of(hub: Hub):
    crm, audit = destination(hub, "crm"), destination(hub, "audit")
    made = hub.lenient.user("ida")
    position = trace(hub, "ida")["entries"][1]["position"]
    change_id = trace(hub, "ida")["entries"][1]["change_id"]
    assert told(trace(hub, "ida")) == ["POST 201", "User created", "audit waiting", "crm waiting"]
    assert trace(hub, "ida")["entries"][2]["detail"] == f"The destination is active and stands at position {audit.cursor}."

    def attempt(number: int, outcome: str, status: int, time: str = "") -> Attempt:
        given = (hub.directory.name, "crm", change_id, change_id, made["id"], position, position, number, outcome, status)
        return Attempt(time or clock.now_text(), *given, 1500, f"It answered {status}.", "busy" if status > 299 else "")

    hub.opened.exchanges.record_attempts([attempt(1, "retry", 503)])
    held = Held(made["id"], position, clock.now_text(), 1, "2026-11-24T10:00:00.000Z", "It answered 503.")
    settle(hub, crm, position, held)
    settle(hub, audit, position)
    timeline = trace(hub, "ida")
    assert told(timeline) == ["POST 201", "User created", "audit delivered", "crm held", "crm retry 1"]
    assert timeline["entries"][2]["detail"] == "No attempt is kept; the destination's cursor has passed the change."
    holding = timeline["entries"][3]
    assert holding["detail"] == "It answered 503. It failed once and is tried again."
    assert holding["next_attempt"] == "2026-11-24T10:00:00.000Z"
    assert timeline["entries"][4]["attempt"] == {
        "delivery_id": change_id,
        "first_position": position,
        "number": 1,
        "status": 503,
        "duration_us": 1500,
        "excerpt": "busy",
    }
    hub.opened.exchanges.record_attempts([attempt(2, "delivered", 200)])
    hub.loop.run(hub.opened.store.release_held(crm.key, made["id"]))
    assert told(trace(hub, "ida"))[-2:] == ["crm retry 1", "crm delivered 2"]


def test_a_run_of_membership_changes_arrives_once(hub: Hub):
    destination(hub, "crm")
    first, second = hub.lenient.user("a"), hub.lenient.user("b")
    group = hub.lenient.group("Deck")
    for member in (first, second):
        hub.lenient.patch(f"/Groups/{group['id']}", hubs.add("members", [{"value": member["id"]}]))
    positions = [entry["position"] for entry in trace(hub, "Deck")["entries"] if entry["entry"] == "changed"]
    run = (hub.directory.name, "crm", "d1", "c1", group["id"], positions[1], positions[2], 1, "delivered", 200, 900, "", "")
    hub.opened.exchanges.record_attempts([Attempt(clock.now_text(), *run)])
    timeline = told(trace(hub, "Deck"))
    assert timeline.count("crm delivered 1") == 1
    assert timeline.count("crm waiting") == 1  # the creation


UNWANTED = [
    ({"types": ("group.*",)}, "The subscription has no event types of User."),
    ({"filters": {"User": 'title eq "Boss"'}}, "The resource does not satisfy the filter of the subscription."),
    ({"types": ("user.deleted",)}, "The subscription wants neither this type of event nor the attributes that changed."),
]


@pytest.mark.parametrize("subscription, reason", UNWANTED, ids=["types", "filter", "verbs"])
def test_what_a_destination_does_not_want_says_why(hub: Hub, subscription: dict[str, Any], reason: str):
    destination(hub, "crm", **subscription)
    hub.lenient.user("eve")
    arrival = trace(hub, "eve")["entries"][-1]
    assert (arrival["outcome"], arrival["detail"]) == ("unwanted", reason)


def test_a_resource_of_an_activation_test_goes_nowhere(hub: Hub):
    destination(hub, "crm")
    hub.lenient.user("jctest.1a@example.com")
    arrival = trace(hub, "jctest.1a@example.com")["entries"][-1]
    assert (arrival["outcome"], arrival["detail"].split()[2]) == ("unwanted", "jumpcloud-test-user")


def test_a_destination_that_was_made_later_has_not_got_it(hub: Hub):
    hub.lenient.user("lea")
    destination(hub, "crm")
    assert told(trace(hub, "lea"))[-1] == "crm earlier"


def test_many_ask_at_once(hub: Hub):
    hub.lenient.user("kim")

    async def together() -> list[httpx.Response]:
        transport = httpx.ASGITransport(hub.opened.local_application)
        url = f"http://hub/admin/v1/directories/{hub.directory.name}/trace"
        async with httpx.AsyncClient(transport=transport) as client:
            return await asyncio.gather(*(client.get(url, params={"of": "kim"}) for _ in range(10)))

    assert {answer.status_code for answer in hub.loop.run(together())} == {200}
