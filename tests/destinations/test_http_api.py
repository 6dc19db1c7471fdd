"""A custom HTTP API against a real server on loopback: what each operation asks, what an answer means, and what is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimhub import clock
from scimhub.destinations import kinds
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import control
from scimhub.distribution.amendments import Amendment
from scimhub.distribution.delivery import Delivered, Destination, Message, Rejected, Retry, Secret, Subscription
from scimhub.distribution.ledger import Remote
from scimhub.distribution.ports import Amended, Sender
from scimhub.sqlstore.store import SqlStore
from tests.assembly import build_engine
from tests.consumer.hub import Place, open_sqlite
from tests.destinations.receivers import LOOPBACK, Received, Receiver, receiving, says, status
from tests.destinations.scim_application import T0, told
from tests.distribution.outside import Noted, until

TOKEN = "the-token-of-the-api"
KIM = {"userName": "kim@example.com", "displayName": "Kim Reyes", "active": True}
OPERATIONS: dict[str, Any] = {
    "user.created": {
        "method": "POST",
        "url": "/people?source=hub",
        "headers": {"X-Version": "version"},
        "body": {"object": {"key": "id", "login": "resource.userName", "full name": "resource.displayName"}},
        "success": {"status": [201]},
        "capture": "data.id",
    },
    "user.updated": {"method": "PUT", "url": "/people/{remote_id}", "body": {"object": {"login": "resource.userName"}}},
    "user.deactivated": {"method": "POST", "url": "/people/{remote_id}/lock"},
    "user.deleted": {"method": "DELETE", "url": "/people/{remote_id}", "success": {"status": [204, 404]}},
    "group.created": {"method": "PUT", "url": "/teams/{id}"},
    "group.member.added": {"method": "PUT", "url": "/teams/{id}/members/{member.remote_id}"},
    "group.member.removed": {"method": "DELETE", "url": "/teams/{id}/members/{member.remote_id}"},
}


@dataclass
class Api:
    """``answers`` are given in order, then 200; ids are made of the number of the request."""

    answers: list[bytes] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)

    def asked(self) -> list[str]:
        return [f"{one.method} {one.path.removeprefix('/api')}" for one in self.requests]

    async def answering(self, receiver: Receiver, request: Received, reader: Any, writer: Any) -> None:
        self.requests.append(request)
        if self.answers:
            await says(self.answers.pop(0))(receiver, request, reader, writer)
        elif request.path.startswith("/api/people") and request.method == "POST" and "lock" not in request.path:
            body = orjson.dumps({"ok": True, "data": {"id": 100 + len(self.requests)}})
            await status("201 Created", body, "Content-Type: application/json")(receiver, request, reader, writer)
        elif request.method == "DELETE":
            await status("204 No Content")(receiver, request, reader, writer)
        else:
            await status("200 OK", b"{}")(receiver, request, reader, writer)


@dataclass
class Stage:
    api: Api
    store: SqlStore
    destination: Destination
    sender: Sender
    url: str

    async def send(self, type: str, id: str, version: int = 1, **more: Any) -> Any:
        return await self.sender.send(told(type, id, version, **more))

    async def remote(self, id: str) -> Remote | None:
        return await self.store.find_remote(self.destination.key, id)


@asynccontextmanager
async def on_stage(folder: Path, api: Api | None = None, **configuration: Any) -> AsyncIterator[Stage]:
    opened = api or Api()
    store = open_sqlite(folder)
    try:
        async with receiving(opened.answering) as receiver:
            url = f"http://127.0.0.1:{receiver.port}/api"
            kind = kinds(LOOPBACK, lambda: 1_800_000_000.0, store)["http_api"]
            checked = kind.check({"base_url": url, "operations": OPERATIONS, "timeout": 2, **configuration})
            place = await Place.open(store)
            made = await store.create_destination(
                place.directory.key, "api", "http_api", checked, Subscription(), 0, clock.now_text()
            )
            sender = kind.open(made, [Secret("s", "password", TOKEN.encode(), "", T0, None)])
            try:
                yield Stage(opened, store, made, sender, url)
            finally:
                await sender.close()
    finally:
        await store.close()


async def test_each_operation_is_the_request_that_was_written_for_it(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered(201)
        assert await stage.send("user.updated", "k", 2, **{**KIM, "userName": "kim2@example.com"}) == Delivered(200)
        assert await stage.send("user.deactivated", "k", 3, **KIM) == Delivered(200)
        assert await stage.send("user.activated", "k", 4, **KIM) == Delivered(200)  # as an update
        assert await stage.send("user.deleted", "k", 5) == Delivered(204)
        first = stage.api.requests[0]
        assert stage.api.asked() == [
            "POST /people?source=hub",
            "PUT /people/101",
            "POST /people/101/lock",
            "PUT /people/101",
            "DELETE /people/101",
        ]
        assert orjson.loads(first.body) == {"key": "k", "login": "kim@example.com", "full name": "Kim Reyes"}
        assert {name: first.headers[name] for name in ("authorization", "idempotency-key", "x-version", "content-type")} == {
            "authorization": f"Bearer {TOKEN}",
            "idempotency-key": "k-1",
            "x-version": "1",
            "content-type": "application/json",
        }
        remote = await stage.remote("k")
        assert remote is not None
        assert (remote.state, remote.version, remote.remote_id) == ("gone", 5, None)


async def test_an_api_that_shows_what_it_was_sent_shows_no_secret_and_no_header(tmp_path: Path):
    api = Api([answer("400 No", f"{TOKEN} and plain words and more words".encode())])
    operation = {"method": "POST", "url": "/people", "headers": {"X-More": {"constant": "more words"}}}
    async with on_stage(tmp_path, api, headers={"X-Key": "plain words"}, operations={"user.created": operation}) as stage:
        outcome = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(outcome, Rejected)
        assert outcome.excerpt == "[redacted] and [redacted] and [redacted]"


async def test_an_event_that_comes_twice_or_late_asks_nothing(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.updated", "k", 3, **KIM)
        before = stage.api.asked()
        for type, version in (("user.updated", 3), ("user.updated", 2), ("user.created", 1), ("user.deleted", 2)):
            assert await stage.send(type, "k", version, **({} if type.endswith("deleted") else KIM)) == Delivered()
        assert stage.api.asked() == before
        # A replay is wanted: it asks again, under ids of its own.
        message = told("user.updated", "k", 2, **KIM)
        again = Message("k-2_r", {**message.attributes, "replayid": "r"}, message.data)
        assert await stage.sender.send(again) == Delivered(200)
        assert stage.api.requests[-1].headers["idempotency-key"] == "k-2_r"


async def test_who_is_not_there_yet_is_created_and_who_comes_back_too(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert await stage.send("user.deleted", "k", 1) == Delivered()  # nothing to remove
        await stage.send("user.updated", "k", 2, **KIM)
        await stage.send("user.created", "k", 3, **KIM)
        stage.api.answers.append(answer("404 Not Found"))
        assert await stage.send("user.deleted", "k", 4) == Delivered(404)
        await stage.send("user.created", "k", 5, **KIM)
        assert stage.api.asked() == [
            "POST /people?source=hub",
            "PUT /people/101",
            "DELETE /people/101",
            "POST /people?source=hub",
        ]


async def test_each_member_is_a_request_and_one_without_an_id_waits(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        for id in ("a", "b"):
            await stage.send("user.created", id, 1, userName=id)
        outcome = await stage.send("group.created", "g", 1, displayName="staff", added=("a", "c"))
        assert outcome == Retry("The member c has no id at the destination yet.")
        await stage.send("user.created", "c", 1, userName="c")
        assert await stage.send("group.created", "g", 1, displayName="staff", added=("a", "c")) == Delivered(200)
        await stage.send("group.members.changed", "g", 2, displayName="staff", added=("b",), removed=("a",))
        assert [one for one in stage.api.asked() if "teams" in one] == [
            "PUT /teams/g",
            "PUT /teams/g/members/101",
            "PUT /teams/g/members/101",  # once more, under the same idempotency key
            "PUT /teams/g/members/105",
            "DELETE /teams/g/members/101",
            "PUT /teams/g/members/102",
        ]
        keys = [one.headers["idempotency-key"] for one in stage.api.requests if "members/101" in one.path]
        assert keys == ["g-1_a", "g-1_a", "g-2_a"]


async def test_a_member_that_the_api_lost_makes_its_groups_wait_until_it_is_there_again_or_gone(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert isinstance(stage.sender, Amended)
        for id in ("a", "b"):
            await stage.send("user.created", id, 1, userName=id)
            await stage.sender.amend(Amendment(id, "User", is_missing=True))
        staff = {"displayName": "staff", "added": ("a", "b")}
        waits = Retry("The member a has no id at the destination yet.")
        assert await stage.send("group.created", "g", 1, **staff) == waits
        await stage.send("user.updated", "a", 2, userName="a")
        assert stage.api.asked()[-2:] == ["PUT /teams/g", "POST /people?source=hub"]
        assert await stage.send("user.deleted", "b", 2) == Delivered()  # nothing is there to be deleted
        assert await stage.send("group.created", "g", 1, **staff) == Delivered(200)
        assert [one for one in stage.api.asked() if "members" in one] == ["PUT /teams/g/members/104"]


async def test_who_is_gone_or_never_came_is_a_member_of_nothing(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "a", 1, userName="a")
        await stage.send("user.deleted", "a", 2)
        before = stage.api.asked()
        wish = {"displayName": "staff", "added": ("a",), "removed": ("a", "never")}
        assert await stage.send("group.members.changed", "g", 2, **wish) == Delivered()
        assert stage.api.asked() == before


async def test_what_is_not_configured_is_not_asked(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert await stage.send("badge.created", "b", 1, number=3) == Delivered()
        assert await stage.send("group.deleted", "g", 1) == Delivered()
        assert stage.api.requests == []


async def test_values_in_a_url_are_encoded_and_never_lead_elsewhere(tmp_path: Path):
    operations = {"user.created": {"method": "PUT", "url": "/people/{resource.userName}?at={resource.title}"}}
    async with on_stage(tmp_path, operations=operations) as stage:
        await stage.send("user.created", "k", 1, userName="../admin?x=1#y/ö", title="a&b=c")
        assert stage.api.asked() == ["PUT /people/..%2Fadmin%3Fx%3D1%23y%2F%C3%B6?at=a%26b%3Dc"]
        for name in ("..", ".", ""):
            refused = await stage.send("user.created", "l", 1, userName=name, title="t")
            assert refused == Rejected("The url needs resource.userName, which has no value here that can stand in a URL.")
        assert len(stage.api.requests) == 1


async def test_a_body_may_be_the_whole_resource_a_form_or_conditional(tmp_path: Path):
    operations = {
        "user.created": {"method": "POST", "url": "/a", "body": "resource"},
        "user.updated": {
            "method": "POST",
            "url": "/b",
            "format": "form",
            "body": {
                "object": {
                    "mail": 'resource.emails[type eq "Work"].value',
                    "all": "resource.emails.value",
                    "state": {"when": "active eq false", "then": {"constant": "off"}, "otherwise": {"constant": "on"}},
                    "none": "resource.title",
                }
            },
        },
    }
    emails = [{"value": "h@x.example", "type": "home"}, {"value": "w@x.example", "type": "work"}]
    async with on_stage(tmp_path, operations=operations) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.updated", "k", 2, **KIM, emails=emails)
        assert orjson.loads(stage.api.requests[0].body)["displayName"] == "Kim Reyes"
        assert stage.api.requests[1].body == b"mail=w%40x.example&all=h%40x.example&state=on"
        assert stage.api.requests[1].headers["content-type"] == "application/x-www-form-urlencoded"


CONDITIONS = [
    ('userName eq "KIM@example.com"', True),
    ('userName ne "x"', True),
    ('title ne "x"', True),
    ('title eq "x"', False),
    ("title eq null", True),
    ("userName eq null", False),
    ("userName pr and not (title pr)", True),
    ('displayName co "rey" or active eq false', True),
    ('displayName sw "kim" and displayName ew "reyes"', True),
    ('userName gt "a" and userName le "z"', True),
    ("level ge 3 and level lt 4", True),
    ("level eq 3.0", True),
    ("level eq true", False),
    ("active eq true", True),
    ("active gt 1", False),
    ('emails.value eq "w@x"', True),
    ('emails[type eq "work" and value co "w@"]', True),
    ('emails[type eq "home"].value eq "w@x"', False),
    ('urn:x:y:Z:a.b eq "c"', True),
]


@pytest.mark.parametrize("condition, holds", CONDITIONS)
async def test_conditions_hold_on_any_json(tmp_path: Path, condition: str, holds: bool):
    rule = {"when": condition, "then": {"constant": "yes"}, "otherwise": {"constant": "no"}}
    operations = {"user.created": {"method": "POST", "url": "/a", "body": rule}}
    emails = [{"value": "h@x", "type": "home"}, {"value": "w@x", "type": "work"}]
    async with on_stage(tmp_path, operations=operations) as stage:
        await stage.send("user.created", "k", 1, **KIM, level=3, emails=emails, **{"urn:x:y:Z": {"a": {"b": "c"}}})
        assert orjson.loads(stage.api.requests[0].body) == ("yes" if holds else "no")


# --------------------------------------------------------------------------- answers


def answer(line: str, body: bytes = b"", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


@pytest.mark.parametrize(
    "given, outcome",
    [
        (answer("200 OK"), Rejected("The API answered 200 OK, which is no success here.", 200)),
        (answer("410 Gone"), Rejected("The API answered 410 Gone, which is no success here.", 410)),
        (
            answer("400 Bad Request", b'{"why":"kim@example.com is odd"}'),
            Rejected(
                "The receiver answered 400 Bad Request: it does not accept this event.", 400, '{"why":"[personal] is odd"}'
            ),
        ),
        (
            answer("429 Too Many Requests", b"", "Retry-After: 9"),
            Retry("The receiver answered 429 Too Many Requests and asked to wait 9 s.", "destination", 9.0, 429),
        ),
        (
            answer("302 Found", b"", "Location: http://127.0.0.1:1/"),
            Retry("The receiver answered 302 Found; redirects are not followed: give the final URL.", "destination", None, 302),
        ),
        (answer("500 Oops"), Retry("The receiver answered 500 Internal Server Error.", "resource", None, 500)),
        (
            answer("201 Created", b'{"data": {}}'),
            Rejected("The API answered 201 without data.id, the id by which it is asked later.", 201),
        ),
        (
            answer("201 Created", b"<html>"),
            Rejected("The API answered 201 without data.id, the id by which it is asked later.", 201),
        ),
    ],
)
async def test_what_an_answer_means(tmp_path: Path, given: bytes, outcome: Any):
    async with on_stage(tmp_path, Api([given])) as stage:
        assert await stage.send("user.created", "k", 1, **KIM) == outcome
        assert await stage.remote("k") is None


async def test_success_may_stand_in_the_answer(tmp_path: Path):
    operations = {"user.created": {"method": "POST", "url": "/a", "success": {"status": 200, "path": "ok", "equals": True}}}
    api = Api([answer("200 OK", b'{"ok": false}'), answer("200 OK", b'{"ok": true}')])
    async with on_stage(tmp_path, api, operations=operations) as stage:
        failed = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(failed, Retry)
        assert failed.reason == "The API answered 200, and ok in the answer is not what means success."
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered(200)


async def test_an_api_that_hangs_holds_nothing_longer_than_its_time(tmp_path: Path):
    class Silent(Api):
        async def answering(self, receiver: Receiver, request: Received, reader: Any, writer: Any) -> None:
            await asyncio.Event().wait()

    async with on_stage(tmp_path, Silent(), timeout=1) as stage:
        outcome = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(outcome, Retry)
        assert outcome.reason.endswith("did not answer within 1 seconds.")


async def test_a_check_sends_the_test_operation_or_says_that_there_is_none(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        checked = await stage.send("test", "t")
        assert isinstance(checked, Delivered)
        assert checked.notes == (
            "No operation test is configured: only the credentials were made ready, and nothing was sent.",
        )
    folder = tmp_path / "other"
    folder.mkdir()
    async with on_stage(folder, operations={**OPERATIONS, "test": {"method": "GET", "url": "/me"}}) as stage:
        assert await stage.send("test", "t") == Delivered(200)
        assert stage.api.asked() == ["GET /me"]


async def test_a_header_that_cannot_be_sent_is_refused(tmp_path: Path):
    operations = {"user.created": {"method": "POST", "url": "/a", "headers": {"X-Name": "resource.displayName"}}}
    async with on_stage(tmp_path, operations=operations) as stage:
        refused = await stage.send("user.created", "k", 1, displayName="a\r\nX-Evil: 1")
        assert isinstance(refused, Rejected)
        assert "X-Evil" not in str(refused)
        assert stage.api.requests == []


# --------------------------------------------------------------------------- behind a real pump


async def test_a_directory_reaches_an_api_through_the_pump(tmp_path: Path):
    api, noted = Api(), Noted()
    store = open_sqlite(tmp_path)
    engine = build_engine(store, noted, Catalogs(store))
    try:
        async with receiving(api.answering) as receiver:
            await engine.start()
            place = await Place.open(store)
            ids = [await place.user(f"u{number}") for number in range(3)]
            configuration = {"base_url": f"http://127.0.0.1:{receiver.port}/api", "operations": OPERATIONS}
            made = await control.create(
                engine, place.directory, "api", "http_api", configuration, Subscription(), after=0, secret=TOKEN
            )
            staff = await place.group("staff", *ids)
            await place.delete("User", ids[0])
            head = await store.last_position()
            pump = engine.find_pump(made.destination.key)
            assert pump is not None
            await until(lambda: pump.cursor >= head, "the API's being told")
            await engine.close()
    finally:
        await store.close()
    asked = api.asked()
    assert asked.count("POST /people?source=hub") == 3
    assert asked.count(f"PUT /teams/{staff}") == 1
    # The first one may be gone before the group is told of them all.
    assert len({one for one in asked if one.startswith(f"PUT /teams/{staff}/members/")}) in (2, 3)
    assert sum(one.startswith("DELETE /people/") for one in asked) == 1
    assert {attempt.outcome for attempt in noted.attempts} <= {"delivered", "retry"}


# --------------------------------------------------------------------------- the configuration


def problems(change: Callable[[dict[str, Any]], None]) -> list[str]:
    configuration: dict[str, Any] = {"base_url": "https://api.example", "operations": orjson.loads(orjson.dumps(OPERATIONS))}
    change(configuration)
    kind = kinds(Policy(), lambda: 0.0, object())["http_api"]  # type: ignore[arg-type]  # nothing is looked up
    with pytest.raises(Invalid) as refused:
        kind.check(configuration)
    return refused.value.problems


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"method": "FETCH"}, "The operation user.created needs a method, one of GET, POST, PUT, PATCH, DELETE."),
    ({"url": "people"}, "The operation user.created needs url, a path behind base_url such as /people/{remote_id}."),
    ({"url": "/a b"}, "The operation user.created has '/a b' in its url, which cannot stand there; write it percent-encoded."),
    ({"url": "/a/{nobody}"}, "The operation user.created 'nobody' is nothing that an event has; there are id, type,"),
    ({"url": "/a/{id"}, "The operation user.created has '/a/{id' in its url, which cannot stand there;"),
    ({"body": {"object": {"a": "x"}}}, "The operation user.created, body a names a path that cannot be used: 'x' is nothing"),
    ({"headers": {"Host": "id"}}, "The header Host cannot be set; it belongs to the connection or to the hub."),
    ({"headers": {"X-A": {"constant": "a\r\nX-B: b"}}}, "The value of the header 'X-A' cannot be sent;"),
    ({"headers": {"X-A": 5}}, "The operation user.created, header X-A: is 5; a rule is a path,"),
    ({"format": "xml"}, "The operation user.created has a format that is neither json nor form."),
    ({"success": {"status": "all"}}, "The operation user.created has a success status that is no number from 100 to 599,"),
    ({"success": {"path": "ok"}}, "The operation user.created has a success with only one of path and equals;"),
    ({"success": []}, "The operation user.created has a success that is no object"),
    ({"capture": "a b"}, "The operation user.created, capture: 'a b' is no path"),
    ({"verb": "POST"}, "The operation user.created has no key 'verb';"),
]


@pytest.mark.parametrize("change, said", MISTAKES, ids=[said[:60] for _, said in MISTAKES])
def test_every_mistake_of_an_operation_is_one_sentence(change: dict[str, Any], said: str):
    found = problems(lambda configuration: configuration["operations"]["user.created"].update(change))
    assert [problem[: len(said)] for problem in found] == [said]


def test_operations_are_named_after_types_and_there_is_at_least_one():
    assert problems(lambda configuration: configuration.update(operations={})) == [
        'The operations must be an object with 1 to 100 such as "user.created".'
    ]
    (said,) = problems(lambda configuration: configuration["operations"].update({"user.hired": {}}))
    assert said.startswith(
        "The operation 'user.hired' is none; write a resource type in lower case, a dot, and one of created,"
    )


def test_a_destination_of_the_kind_is_a_value():
    made = kinds(LOOPBACK, lambda: 0.0, object())["http_api"]  # type: ignore[arg-type]
    assert made.check({"base_url": "http://127.0.0.1/", "operations": OPERATIONS, "auth": {"type": "none"}})["timeout"] == 15


ODD: list[Any] = [
    None,
    "",
    "x",
    5,
    -1,
    True,
    [],
    [1],
    [[]],
    {},
    {"a": 1},
    {"": None},
    {"type": []},
    {"type": "oauth", "scope": []},
]


@pytest.mark.parametrize("name", ["http_api", "scim_app"])
def test_whatever_stands_in_a_configuration_is_taken_or_refused_with_sentences(name: str):
    kind = kinds(Policy(), lambda: 0.0, object())[name]  # type: ignore[arg-type]
    configuration = {"base_url": "https://a.example", **({"operations": OPERATIONS} if name == "http_api" else {})}
    whole = kind.check(configuration)
    wishes = [{**configuration, key: value} for key in whole for value in ODD]
    if name == "http_api":
        first = OPERATIONS["user.created"]
        wishes += [{**configuration, "operations": {"user.created": {**first, key: value}}} for key in first for value in ODD]
    said: list[str] = []
    for wish in wishes:
        try:
            kind.check(wish)
        except Invalid as refused:
            said += refused.problems
    assert len(said) > len(whole)
    assert [problem for problem in said if not problem.endswith(".")] == []


async def test_what_is_larger_than_the_api_takes_is_refused_without_being_sent(tmp_path: Path):
    async with on_stage(tmp_path, largest_message=100) as stage:
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered(201)
        outcome = await stage.send("user.created", "m", 1, userName="kim@example.com", displayName="K" * 100)
        assert isinstance(outcome, Rejected)
        assert outcome.reason.endswith("bytes; the destination (largest_message) takes at most 100.")
        assert stage.api.asked() == ["POST /people?source=hub"]
