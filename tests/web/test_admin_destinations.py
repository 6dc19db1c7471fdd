"""The admin API on destinations: the whole hub in this process, and a webhook's receiver on this machine."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub import settings as settings_of
from scimhub.app import Hub, open_hub
from scimhub.consumer import Event
from tests.end_to_end.live import TOKEN, patch, scim_headers, user
from tests.end_to_end.receiver import Receiver
from tests.servers.running import PATIENCE

DESTINATIONS = "/directories/default/destinations"
ONE = f"{DESTINATIONS}/payroll"
Json = dict[str, Any]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    environment = {
        "SCIMHUB_DATABASE": str(tmp_path / "scimhub.db"),
        "SCIMHUB_BOOTSTRAP_TOKEN": TOKEN,
        "SCIMHUB_EGRESS_LOOPBACK": "true",
    }
    async with open_hub(settings_of.load(environ=environment)) as opened:
        await opened.engine.start()
        yield opened
        await opened.engine.close()
        await opened.feed.close()


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """Who owns the hub's files."""
    transport = httpx.ASGITransport(hub.local_application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub/admin/v1") as opened:
        yield opened


@pytest.fixture
async def scim(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """An identity provider."""
    transport = httpx.ASGITransport(hub.application)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub/scim/default/v2", headers=scim_headers(TOKEN)
    ) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


async def create(client: httpx.AsyncClient, receiver: Receiver, name: str = "payroll", **wish: Any) -> Json:
    """A webhook whose receiver knows its secret."""
    body = {"name": name, "configuration": {"url": receiver.url}, "after": 0, **wish}
    answer = await client.post(DESTINATIONS, json=body)
    assert answer.status_code == 201, answer.text
    receiver.secrets.append(answer.json()["secret"])
    made: Json = answer.json()
    return made


async def person(scim: httpx.AsyncClient, name: str) -> str:
    answer = await scim.post("/Users", json=user(name))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        await asyncio.sleep(0.01)


async def shown(client: httpx.AsyncClient, path: str = ONE) -> Json:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def shown_when(client: httpx.AsyncClient, condition: Callable[[Json], object]) -> Json:
    """The destination as soon as it is so."""
    end = time.monotonic() + PATIENCE
    while not condition(found := await shown(client)):
        assert time.monotonic() < end, f"it stays {found}"
        await asyncio.sleep(0.02)
    return found


async def problems(answer: httpx.Response, status: int) -> list[str]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    return list(body.get("problems") or [body["detail"]])


# --------------------------------------------------------------------------- making and showing


async def test_a_webhook_is_made_and_shown_whole(client: httpx.AsyncClient, receiver: Receiver):
    wish = {"types": ["user.*"], "filters": {"User": "active eq true"}, "attributes": ["userName"]}
    wish |= {"mapping": {}, "style": "event"}
    made = await create(client, receiver, subscription=wish)
    assert made["secret"].startswith("whsec_")
    destination = made["destination"]
    assert {name: destination[name] for name in ("name", "directory", "kind", "state", "reason")} == {
        "name": "payroll",
        "directory": "default",
        "kind": "webhook",
        "state": "active",
        "reason": "",
    }
    assert destination["configuration"] == {
        "url": receiver.url,
        "format": "structured",
        "timeout": 15,
        "headers": {},
        "concurrency": 16,
        "largest_message": 0,
        "rate": 0,
        "signature": "hmac",
    }
    assert (destination["subscription"], destination["subscription_version"]) == (wish, 1)
    assert (destination["cursor"], destination["replay"], destination["replay_until"]) == (0, None, None)
    assert destination["status"] == {
        "head": 0,
        "lag": 0,
        "lag_seconds": 0.0,
        "held": 0,
        "held_error": "",
        "brake_held": 0,
        "brake_is_tripped": False,
        "brake_is_on": True,
        "oldest_leaver_seconds": 0.0,
        "in_flight": 0,
        "breaker": "closed",
        "error": "",
        "last_success": None,
        "delivered": 0,
        "failed": 0,
        "concurrency": 16,
        "waits_for": "",
    }
    assert await shown(client) == destination
    assert await shown(client, DESTINATIONS) == {"items": [destination]}


async def test_a_secret_is_shown_once_and_never_again(client: httpx.AsyncClient, receiver: Receiver):
    secret = (await create(client, receiver))["secret"]
    rotated = (await client.post(f"{ONE}/secret", json={})).json()["secret"]
    assert rotated != secret
    for answer in (await client.get(DESTINATIONS), await client.get(ONE), await client.post(f"{ONE}/pause", json={})):
        assert answer.status_code == 200
        for text in (secret, rotated):
            assert text.removeprefix("whsec_")[:12] not in answer.text


async def test_a_public_key_is_shown_and_the_private_one_never(client: httpx.AsyncClient, receiver: Receiver):
    made = await create(client, receiver, configuration={"url": receiver.url, "signature": "ed25519"})
    assert made["secret"].startswith("whpk_")
    assert made["destination"]["configuration"]["signature"] == "ed25519"
    assert "whsk_" not in (await client.get(ONE)).text


async def test_a_feed_gets_a_token(client: httpx.AsyncClient):
    answer = await client.post(DESTINATIONS, json={"name": "warehouse", "kind": "feed"})
    assert answer.status_code == 201
    assert answer.json()["secret"].startswith("scimhub_feed_")
    assert answer.json()["destination"]["status"]["breaker"] == ""
    refused = await problems(await client.post(f"{DESTINATIONS}/warehouse/check"), 409)
    assert refused == ["Destination warehouse is a feed: it fetches, nothing is sent to it."]


async def test_what_is_committed_arrives_signed_and_is_counted(
    client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver
):
    await create(client, receiver)
    kim = await person(scim, "kim")
    await scim.patch(f"/Users/{kim}", json=patch({"op": "replace", "path": "active", "value": False}))
    found = await shown_when(client, lambda now: now["cursor"] == 2)
    assert [event.type for event in receiver.events()] == ["scimhub.user.created", "scimhub.user.deactivated"]
    assert receiver.refused == []
    status = found["status"]
    assert (status["head"], status["lag"], status["delivered"], status["failed"], status["error"]) == (2, 0, 2, 0, "")
    assert status["last_success"] > found["created"]


# --------------------------------------------------------------------------- mistakes

MISTAKES = [
    ({"name": "Pay Roll"}, "The name 'Pay Roll' does not fit;"),
    (
        {"kind": "pigeon"},
        "'pigeon' is no kind of destination; there are webhook, http_api, scim_app, "
        "kafka, nats, rabbitmq, redis_streams, sns, sqs, feed.",
    ),
    ({"configuration": {}}, "A webhook needs url,"),
    ({"configuration": {"url": "ftp://a.example/"}}, "The url begins with 'ftp'; it must begin with https:// or http://."),
    ({"configuration": {"url": "https://a.example/", "ulr": 1}}, "A webhook's configuration has no key 'ulr';"),
    ({"subscription": {"types": ["user.hired"]}}, "The type 'user.hired' is none;"),
    ({"subscription": {"filters": {"User": "active eq"}}}, "The filter for User cannot be used: "),
    ({"subscription": {"attributes": ["shoeSize"]}}, "The attribute 'shoeSize' of the allow-list is one of no resource type"),
    ({"secret": "hunter2-hunter2"}, ""),
    ({"after": 7}, "The position 7 is not kept; write one from 0 to 0."),
]


async def test_a_mistake_is_told_in_one_sentence(client: httpx.AsyncClient):
    for wish, sentence in MISTAKES:
        body = {"name": "payroll", "configuration": {"url": "https://a.example/"}, **wish}
        told = await problems(await client.post(DESTINATIONS, json=body), 400)
        assert (len(told), told[0][: len(sentence)]) == (1, sentence)
        assert "hunter2" not in told[0]
    assert await shown(client, DESTINATIONS) == {"items": []}


async def test_all_mistakes_are_told_at_once(client: httpx.AsyncClient):
    body = {
        "name": "Pay Roll",
        "configuration": {"url": "ftp://a.example/", "timeout": 99},
        "subscription": {"types": ["user.hired"], "filters": {"User": "("}, "attributes": ["shoeSize"]},
        "secret": "hunter2-hunter2",
        "after": 7,
    }
    assert len(await problems(await client.post(DESTINATIONS, json=body), 400)) == 8


@pytest.mark.parametrize(
    "constant",
    ['"\\ud800"', '{"\\ud800": 1}', "1" * 30, "[" * 300 + "]" * 300, "NaN"],
    ids=["half a surrogate pair", "half a pair in a name", "too large", "too deep", "no number"],
)
async def test_json_that_cannot_be_kept_is_refused_and_no_defect(client: httpx.AsyncClient, receiver: Receiver, constant: str):
    subscription = '{"mapping": {"User": {"set": {"title": {"constant": HERE}}}}}'.replace("HERE", constant)
    body = f'{{"name": "payroll", "configuration": {{"url": "{receiver.url}"}}, "subscription": {subscription}}}'
    answer = await client.post(DESTINATIONS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The body holds what cannot be kept: ")


async def test_a_key_that_means_nothing_is_refused(client: httpx.AsyncClient):
    (told,) = await problems(await client.post(DESTINATIONS, json={"name": "payroll", "filter": "x"}), 400)
    assert told == "filter means nothing here."
    (told,) = await problems(await client.post(DESTINATIONS, json={"name": "payroll", "after": -1}), 400)
    assert told.startswith("after: ")


async def test_a_name_is_taken_once(client: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver)
    body = {"name": "payroll", "configuration": {"url": receiver.url}}
    assert await problems(await client.post(DESTINATIONS, json=body), 409) == [
        "Directory default has a destination payroll already."
    ]


ABSENT = [
    ("GET", "/directories/none/destinations", None),
    ("POST", "/directories/none/destinations", {"name": "payroll"}),
    *(
        (method, f"{DESTINATIONS}/nobody{rest}", body)
        for method, rest, body in (
            ("GET", "", None),
            ("PATCH", "", {}),
            ("DELETE", "", None),
            ("POST", "/check", None),
            ("POST", "/pause", {}),
            ("POST", "/resume", None),
            ("POST", "/secret", {}),
            ("POST", "/replay", {"after": 0}),
            ("GET", "/held", None),
            ("POST", "/held/retry", {}),
            ("POST", "/held/skip", {"resource_id": "x"}),
        )
    ),
]


async def test_what_is_not_there_is_404(client: httpx.AsyncClient):
    for method, path, body in ABSENT:
        (told,) = await problems(await client.request(method, path, json=body), 404)
        absent = "There is no directory 'none'" if "none" in path else "Directory default has no destination 'nobody'."
        assert told.startswith(absent), (method, path)


# --------------------------------------------------------------------------- changing


async def test_configuration_and_subscription_are_changed_apart(
    client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver
):
    await create(client, receiver)
    configured = (await client.patch(ONE, json={"configuration": {"url": receiver.url, "concurrency": 2}})).json()
    assert (configured["configuration"]["concurrency"], configured["subscription_version"]) == (2, 1)
    changed = (await client.patch(ONE, json={"subscription": {"types": ["group.*"]}})).json()
    assert (changed["configuration"], changed["subscription_version"]) == (configured["configuration"], 2)
    assert changed["subscription"] == {"types": ["group.*"], "filters": {}, "attributes": [], "mapping": {}, "style": "event"}
    await person(scim, "kim")
    await shown_when(client, lambda now: now["status"]["lag"] == 0)
    assert receiver.arrivals == []
    refused = await client.patch(ONE, json={"configuration": {"url": "x"}, "subscription": {"types": ["x"]}})
    assert len(await problems(refused, 400)) == 2


async def test_a_schema_on_which_a_destination_depends_is_neither_removed_nor_narrowed(
    client: httpx.AsyncClient, receiver: Receiver
):
    urn = "urn:example:scim:schemas:Badge"
    badge = {"id": urn, "name": "Badge", "attributes": [{"name": "floor"}, {"name": "colour"}]}
    schemas = f"{DESTINATIONS.rpartition('/')[0]}/schemas"
    assert (await client.post(schemas, json=badge)).status_code == 200
    await create(client, receiver, subscription={"filters": {"User": f'{urn}:floor eq "4"'}})
    narrowed = {**badge, "attributes": [{"name": "colour"}]}
    for answer in (await client.delete(f"{schemas}/{urn}"), await client.post(schemas, json=narrowed)):
        [problem] = await problems(answer, 409)
        assert problem.startswith("Destination payroll depends on it: ")
        assert "floor" in problem
    assert (await client.post(schemas, json={**badge, "attributes": [{"name": "floor"}]})).status_code == 200
    assert (await client.delete(ONE)).status_code == 204
    assert (await client.delete(f"{schemas}/{urn}")).status_code == 200


async def test_it_is_removed(client: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver)
    answer = await client.delete(ONE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(ONE)).status_code == 404


async def test_it_is_paused_with_a_reason_and_resumed(client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver)
    paused = (await client.post(f"{ONE}/pause", json={"reason": "moving house"})).json()
    assert (paused["state"], paused["reason"], paused["status"]["breaker"]) == ("paused", "moving house", "")
    await person(scim, "kim")
    found = await shown(client)
    assert (found["status"]["lag"], receiver.arrivals) == (1, [])
    assert found["status"]["lag_seconds"] >= 0
    resumed = (await client.post(f"{ONE}/resume")).json()
    assert (resumed["state"], resumed["reason"]) == ("active", "")
    await until(receiver.events, "the arrival")
    assert (await client.post(f"{ONE}/pause", json={})).json()["reason"] == "An administrator paused it."


async def test_a_rotated_secret_signs_beside_the_former_one(
    client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver
):
    made = await create(client, receiver)
    rotated = await client.post(f"{ONE}/secret", json={"overlap_hours": 1})
    assert rotated.status_code == 200
    assert rotated.json()["destination"]["name"] == "payroll"
    for secrets in ([made["secret"]], [rotated.json()["secret"]]):
        receiver.secrets[:] = secrets
        assert (await client.post(f"{ONE}/check")).json()["outcome"] == "delivered"
    # Without an overlap the former ones end at once.
    last = (await client.post(f"{ONE}/secret", json={"overlap_hours": 0})).json()["secret"]
    assert (await client.post(f"{ONE}/check")).json() == {
        "outcome": "retry",
        "status": 401,
        "reason": "The receiver answered 401 Unauthorized; check its credentials and its check of the signature.",
        "excerpt": "",
        "notes": [],
    }
    receiver.secrets[:] = [last]
    assert (await client.post(f"{ONE}/check")).json()["outcome"] == "delivered"
    (told,) = await problems(await client.post(f"{ONE}/secret", json={"overlap_hours": 721}), 400)
    assert told == "The overlap is 721 hours; it must be from 0 to 720."


# --------------------------------------------------------------------------- checking and replaying


async def test_a_check_tells_what_came_of_it(client: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver)
    assert (await client.post(f"{ONE}/check")).json() == {
        "outcome": "delivered",
        "status": 204,
        "reason": "",
        "excerpt": "",
        "notes": [],
    }
    assert [arrival.event.type for arrival in receiver.arrivals] == ["scimhub.test"]
    for status, outcome in ((500, "retry"), (400, "rejected"), (410, "gone")):
        receiver.answer = lambda event, status=status: status
        result = (await client.post(f"{ONE}/check")).json()
        assert (result["outcome"], result["status"]) == (outcome, status)
        assert str(status) in result["reason"]
    assert (await shown(client))["state"] == "active"  # a test changes nothing


async def test_a_replay_begins_at_a_position_or_a_time(client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver)
    for name in ("kim", "sam", "ann"):
        await person(scim, name)
    await shown_when(client, lambda now: now["cursor"] == 3)
    running = (await client.post(f"{ONE}/replay", json={"after": 1})).json()
    assert (running["replay_until"], len(running["replay"])) == (3, 36)
    await shown_when(client, lambda now: now["replay"] is None and now["cursor"] == 3)
    assert [arrival.delivery_id.partition("_")[2] for arrival in receiver.arrivals[3:]] == [running["replay"]] * 2
    await client.post(f"{ONE}/replay", json={"since": "2000-01-01T00:00:00Z"})
    await until(lambda: len(receiver.arrivals) == 8, "all three again")


@pytest.mark.parametrize(
    "wish, sentence",
    [
        ({}, "A replay begins behind a position (after) or at a time (since); give one of the two."),
        ({"after": 0, "since": "2026-01-01T00:00:00Z"}, "A replay begins behind a position (after) or at a time (since);"),
        ({"after": 9}, "The position 9 is not kept; write one from 0 to 0."),
        ({"after": -1}, "after: "),
        ({"since": "0001-01-01T00:00:00+14:00"}, "The time '0001-01-01T00:00:00+14:00' is not understood"),
        ({"since": "yesterday"}, "The time 'yesterday' is not understood; write one such as 2026-11-23T20:41:35Z."),
    ],
)
async def test_a_replay_that_cannot_be_is_refused(client: httpx.AsyncClient, receiver: Receiver, wish: Json, sentence: str):
    await create(client, receiver)
    (told,) = await problems(await client.post(f"{ONE}/replay", json=wish), 400)
    assert told.startswith(sentence)


async def test_who_is_behind_cannot_be_resumed(
    hub: Hub, client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver
):
    await create(client, receiver)
    await client.post(f"{ONE}/pause", json={})
    await person(scim, "kim")
    await hub.store.purge_changes(1)
    (told,) = await problems(await client.post(f"{ONE}/resume"), 409)
    assert told.startswith("Destination payroll has everything up to position 0, and changes up to 1 are no longer kept;")


# --------------------------------------------------------------------------- what is held


async def test_what_is_held_is_listed_tried_again_and_given_up(
    hub: Hub, client: httpx.AsyncClient, scim: httpx.AsyncClient, receiver: Receiver
):
    object.__setattr__(hub.engine.given, "chance", lambda: 0.0)  # the shortest delays that chance can bring
    refused: set[str] = set()

    def answer(event: Event) -> int:
        return 400 if event.resource_id in refused else 204

    receiver.answer = answer
    await create(client, receiver)
    await client.post(f"{ONE}/pause", json={})
    kim, sam = await person(scim, "kim"), await person(scim, "sam")
    await scim.patch(f"/Users/{kim}", json=patch({"op": "replace", "path": "title", "value": "boss"}))
    refused |= {kim, sam}
    assert await shown(client, f"{ONE}/held") == {"items": []}
    await client.post(f"{ONE}/resume")
    # What is held is known at once, the cursor when it is settled.
    found = await shown_when(client, lambda now: (now["status"]["held"], now["cursor"]) == (2, 3))
    assert found["status"]["lag"] == 0
    first, second = (await shown(client, f"{ONE}/held"))["items"]
    assert (first["resource_id"], first["first_position"], first["events"], first["events_are_more"]) == (kim, 1, 2, False)
    assert (first["attempts"], first["next_attempt"], "400" in first["error"]) == (3, None, True)
    assert (second["resource_id"], second["events"]) == (sam, 1)

    (told,) = await problems(await client.post(f"{ONE}/held/retry", json={"resource_id": "nobody"}), 404)
    assert told == "Destination payroll holds nothing of resource 'nobody'."
    refused.clear()
    assert (await client.post(f"{ONE}/held/skip", json={"resource_id": kim})).status_code == 204
    assert (await client.post(f"{ONE}/held/retry", json={})).json()["retried"] >= 1
    await shown_when(client, lambda now: now["status"]["held"] == 0)
    assert {(event.resource_id, event.position) for event in receiver.events()} == {(kim, 3), (sam, 2)}
    (told,) = await problems(await client.post(f"{ONE}/held/skip", json={"resource_id": kim, "everything": True}), 404)
    assert told.startswith("Destination payroll holds nothing of resource ")


# --------------------------------------------------------------------------- previews and the ledger


async def test_a_preview_tells_who_would_enter_and_saves_nothing(client: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver, subscription={"filters": {"User": 'title eq "nobody"'}})
    wish = {"filters": {}, "mapping": {"User": {"set": {"login": "userName"}}}, "samples": 1}
    found = (await client.post(f"{ONE}/preview", json=wish)).json()
    assert found["looked_at"] == sum(sum(counts.values()) for counts in found["counts"].values())
    assert (await client.get(ONE)).json()["subscription"]["mapping"] == {}
    (told,) = await problems(await client.post(f"{ONE}/preview", json={"mapping": {"User": {"set": {"a": "shoe"}}}}), 400)
    assert told.startswith("The mapping for User, a: names a path")
    (told,) = await problems(await client.patch(ONE, json={"subscription": {"mapping": {"Nobody": {}}}}), 400)
    assert told.startswith("The mapping for 'Nobody' names no resource type")


async def test_the_ledger_of_a_webhook_is_empty(client: httpx.AsyncClient, receiver: Receiver):
    await create(client, receiver)
    assert (await client.get(f"{ONE}/ledger")).json() == {"items": [], "next": None}
