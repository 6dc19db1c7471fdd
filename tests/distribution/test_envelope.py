"""Changes as events: their bytes, their parts, their runs, and what must never be in them."""

import re
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from scimhub.directory.records import Change
from scimhub.directory.representation import Viewpoint
from scimhub.distribution import envelope, subscription
from scimhub.distribution.delivery import Message, Replay, Subscription
from scimhub.distribution.envelope import MEMBERS_PER_EVENT, Envelope
from scimhub.distribution.subscription import Notice
from scimhub.scim.catalog import (
    ENTERPRISE_URN,
    GROUP_URN,
    STANDARD_TYPES,
    USER_URN,
    Catalog,
    build_catalog,
    standard_catalog,
    standard_schemas,
)
from scimhub.scim.schema import ResourceType, SchemaExtension, parse_schema

SECRET_URN = "urn:example:scim:schemas:Secret"
ROOT = "https://hub.example"
Json = dict[str, Any]


def wrapping(catalog: Catalog | None = None, replay: Replay | None = None, **wish: Any) -> Envelope:
    catalog = catalog or standard_catalog()
    viewpoint = Viewpoint(catalog, f"{ROOT}/scim/acme/v2", "e1")
    return Envelope("acme", ROOT, viewpoint, subscription.bind(Subscription(**wish), catalog), replay)


def change(position: int, operation: str = "updated", kind: str = "User", **parts: Any) -> Change:
    """The change at a position, whose id and version follow from it."""
    before, after = parts.pop("before", {}), parts.pop("after", None)
    text = None if after is None else orjson.dumps(after).decode()
    added, removed = tuple(parts.pop("added", ())), tuple(parts.pop("removed", ()))
    external_id = parts.pop("external_id", None)
    assert not parts
    rest = (kind, "r1", position, 1, "x1", "2026-11-23T10:00:00.000Z", text, before, external_id, added, removed)
    return Change(position, f"c{position}", operation, 1, *rest)  # type: ignore[arg-type]


KIM = {"schemas": [USER_URN, ENTERPRISE_URN], "userName": "kim", "title": "boss", ENTERPRISE_URN: {"department": "Sales"}}
STAFF = {"schemas": [GROUP_URN], "displayName": "Staff"}


def membership(position: int, *, added: Any = (), removed: Any = ()) -> Change:
    return change(position, kind="Group", after=STAFF, added=added, removed=removed)


def notice(wrap: Envelope, made: Change) -> Notice:
    found = wrap.interest.assess(made)
    assert found is not None
    return found


def messages(wrap: Envelope, *changes: Change, members: tuple[str, ...] = ()) -> list[Message]:
    notices = [notice(wrap, one) for one in changes]
    return envelope.of_run(wrap, notices) if len(notices) > 1 else envelope.of_notice(wrap, notices[0], members)


def tell(wrap: Envelope, *changes: Change) -> tuple[Message, Json]:
    (message,) = messages(wrap, *changes)
    return message, orjson.loads(message.data)


# --------------------------------------------------------------------------- one change


def test_a_change_is_told_whole():
    made = change(7, before={"title": "clerk"}, after=KIM, external_id="e1")
    message, data = tell(wrapping(), made)
    assert message.delivery_id == "c7"
    assert message.attributes == {
        "specversion": "1.0",
        "id": "c7",
        "source": "/directories/acme",
        "type": "scimhub.user.updated",
        "subject": "r1",
        "time": "2026-11-23T10:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": "https://hub.example/contract/1/user.json",
        "sequence": "00000000000000000007",
        "partitionkey": "r1",
        "requestid": "x1",
        "epoch": "e1",
    }
    meta = {
        "resourceType": "User",
        "lastModified": "2026-11-23T10:00:00.000Z",
        "location": "https://hub.example/scim/acme/v2/Users/r1",
        "version": 'W/"e1.7"',
    }
    assert data == {
        "resourceType": "User",
        "id": "r1",
        "version": 7,
        "position": 7,
        "cause": "write",
        "changed": ["title"],
        "resource": {"id": "r1", "externalId": "e1", **KIM, "meta": meta},
    }


def test_a_delete_tells_nothing_but_who():
    gone = change(7, "deleted", before=KIM)
    assert tell(wrapping(), gone)[1] == {"resourceType": "User", "id": "r1", "version": 7, "position": 7, "cause": "write"}
    group = change(7, "deleted", kind="Group", before=STAFF, removed=("a",))
    assert tell(wrapping(), group)[1].keys() == {"resourceType", "id", "version", "position", "cause"}


def test_who_leaves_the_scope_takes_nothing_along():
    left = change(7, before={"title": "boss"}, after={**KIM, "title": "secret"})
    message, data = tell(wrapping(filters={"User": 'title eq "boss"'}), left)
    assert (message.attributes["type"], data["cause"], data.keys() & {"changed", "resource"}) == (
        "scimhub.user.deleted",
        "scope",
        set(),
    )
    assert b"secret" not in message.body


@pytest.mark.parametrize("wish", [{}, {"attributes": ("title", "department")}, {"attributes": ("title",)}])
def test_the_same_change_has_the_same_bytes_every_time(wish: Json):
    made = change(7, before={"title": "clerk"}, after=KIM, external_id="e1")
    first, second = (messages(wrapping(**wish), made) for _ in range(2))
    assert first == second
    assert first[0].body == second[0].body


@pytest.mark.parametrize(
    "made",
    [
        change(7, before={"title": None}, after={**KIM, "title": 'a "quoted" \\ \u2028 \U0001f980 \x01'}, external_id='"\\\n'),
        change(7, "created", after=KIM),
        change(7, "deleted", before=KIM),
        change(7, kind="Group", before={"displayName": 'x"'}, after=STAFF, added=["m1"], removed=["m2"]),
        change(7, "created", "Group", after=STAFF, added=[f"m{number}" for number in range(2 * MEMBERS_PER_EVENT)]),
    ],
)
def test_data_is_the_shortest_text_of_what_it_says(made: Change):
    for message in messages(wrapping(), made):
        assert message.data == orjson.dumps(orjson.loads(message.data))


def test_bytes_differ_as_soon_as_the_change_does():
    wrap = wrapping()
    bodies = {messages(wrap, change(position, after=KIM, before={"title": old}))[0].body for position in (7, 8) for old in "ab"}
    assert len(bodies) == 2  # what the title was before is nobody's business


# --------------------------------------------------------------------------- what a destination may see


def test_the_allow_list_leaves_id_and_schemas_and_what_it_names():
    wrap = wrapping(attributes=("title", "department"))
    made = change(7, before={"title": "clerk", "nickName": "old"}, after={**KIM, "nickName": "hidden"}, external_id="hidden")
    message, data = tell(wrap, made)
    assert data["changed"] == ["title"]
    assert data["resource"] == {
        "id": "r1",
        "schemas": KIM["schemas"],
        "title": "boss",
        ENTERPRISE_URN: {"department": "Sales"},
    }
    assert b"hidden" not in message.body


def test_members_that_the_allow_list_hides_are_not_told_when_a_group_is_made():
    wrap = wrapping(attributes=("displayName",))
    made = change(7, "created", kind="Group", after=STAFF, added=("hidden",))
    message, data = tell(wrap, made)
    assert data["members"] == {"added": [], "removed": []}
    assert b"hidden" not in message.body


def secret_catalog() -> Catalog:
    """Users whose extension has an attribute of each way to be returned."""
    attributes = [
        {"name": "shown"},
        {"name": "asked", "returned": "request"},
        {"name": "hidden", "returned": "never", "mutability": "writeOnly"},
    ]
    schema = parse_schema({"id": SECRET_URN, "name": "Secret", "attributes": attributes})
    user, group = STANDARD_TYPES
    extended = ResourceType(user.name, user.endpoint, "", user.schema, (*user.extensions, SchemaExtension(SECRET_URN)))
    return build_catalog(1, (*standard_schemas(), schema), (extended, group))


@pytest.mark.parametrize("wish", [{}, {"attributes": (SECRET_URN,)}, {"attributes": (f"{SECRET_URN}:hidden", "userName")}])
def test_what_is_never_returned_or_only_on_request_is_in_no_event(wish: Json):
    document = {
        "schemas": [USER_URN],
        "userName": "kim",
        SECRET_URN: {"shown": "a", "asked": "canary-1", "hidden": "canary-2"},
    }
    made = change(7, "created", after=document)
    message, data = tell(wrapping(secret_catalog(), **wish), made)
    assert b"canary" not in message.body
    assert data["resource"].get(SECRET_URN, {"shown": "a"}) == {"shown": "a"}


def test_what_was_before_is_in_no_event():
    made = change(7, before={"title": "canary", f"{ENTERPRISE_URN}:department": "canary"}, after=KIM)
    assert b"canary" not in tell(wrapping(), made)[0].body


def test_context_attributes_tell_nothing_of_a_person():
    """CloudEvents 1.0: they may be logged by anybody on the way."""
    document = {**KIM, "userName": "canary", "displayName": "canary", "externalId": "canary"}
    made = change(7, before={"title": "canary"}, after=document, external_id="canary")
    assert not any("canary" in value for value in tell(wrapping(), made)[0].attributes.values())


# --------------------------------------------------------------------------- CloudEvents


@pytest.mark.parametrize("replay", [None, Replay("p1", 99)])
def test_names_and_values_of_attributes_are_legal(replay: Replay | None):
    message, _ = tell(wrapping(replay=replay), change(7, after=KIM, before={"title": "a"}))
    for name, value in message.attributes.items():
        assert re.fullmatch(r"[a-z0-9]{1,20}", name)
        assert value
        assert value.isprintable()
    # Standard Webhooks: the id is signed in front of a dot.
    assert "." not in message.delivery_id


def test_another_implementation_reads_the_body():
    message, data = tell(wrapping(), change(7, after=KIM, before={"title": "a"}))
    headers = {"content-type": "application/cloudevents+json; charset=UTF-8"}
    read = from_http(HTTPMessage(headers, message.body), JSONFormat(), lambda given, data: CloudEvent(given, data))
    assert (read.get_id(), read.get_type(), read.get_subject()) == ("c7", "scimhub.user.updated", "r1")
    assert read.get_extension("sequence") == "00000000000000000007"
    assert read.get_data() == data


def test_sequences_compare_as_texts_like_positions():
    wrap = wrapping()
    sequences = [
        tell(wrap, change(position, after=KIM, before={"title": "a"}))[0].attributes["sequence"]
        for position in (9, 10, 99, 100, 10**15)
    ]
    assert sequences == sorted(sequences)


# --------------------------------------------------------------------------- many members


def ids(count: int, prefix: str = "u") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_a_thousand_members_are_one_event():
    message, data = tell(wrapping(), membership(7, added=ids(MEMBERS_PER_EVENT)))
    assert (message.attributes["type"], data["members"]["added"]) == ("scimhub.group.member.added", ids(1000))
    assert "part" not in data


def test_more_members_come_in_parts_that_say_how_many_there_are():
    told = messages(wrapping(), membership(7, added=ids(1500), removed=ids(1000, "x")))
    first, second, third = [orjson.loads(message.data) for message in told]
    assert [message.attributes["id"] for message in told] == ["c7", "c7_2", "c7_3"]
    assert [message.attributes["type"].removeprefix("scimhub.group.") for message in told] == [
        "members.changed",
        "members.changed",
        "member.removed",
    ]
    assert [(data["part"], data["parts"]) for data in (first, second, third)] == [(1, 3), (2, 3), (3, 3)]
    assert first["members"] == {"added": ids(1000), "removed": []}
    assert second["members"] == {"added": ids(1500)[1000:], "removed": ids(500, "x")}
    assert third["members"] == {"added": [], "removed": ids(1000, "x")[500:]}
    assert ("resource" in first, "resource" in second, "changed" in third) == (True, False, False)
    assert second.keys() == {"resourceType", "id", "version", "position", "cause", "members", "part", "parts"}


def test_a_large_group_is_created_in_parts():
    made = change(7, "created", kind="Group", after=STAFF, added=ids(1001))
    told = messages(wrapping(), made)
    assert [message.attributes["type"] for message in told] == ["scimhub.group.created", "scimhub.group.member.added"]


def test_a_group_that_enters_the_scope_brings_the_members_of_the_moment():
    wrap = wrapping(filters={"Group": 'displayName eq "Staff"'})
    entered = change(7, kind="Group", before={"displayName": "Other"}, after=STAFF, added=("new",), removed=("old",))
    (message,) = messages(wrap, entered, members=("a", "old", "new"))
    data = orjson.loads(message.data)
    assert (message.attributes["type"], data["cause"]) == ("scimhub.group.created", "scope")
    assert data["members"] == {"added": ["a", "new"], "removed": ["old"]}


# --------------------------------------------------------------------------- runs


def test_a_run_tells_the_final_state_of_each_member():
    run = (membership(7, added=("a", "b")), membership(8, removed=("a",)), membership(9, added=("c",), removed=("z",)))
    message, data = tell(wrapping(), *run)
    assert (message.delivery_id, message.attributes["type"]) == ("c7_c9", "scimhub.group.members.changed")
    assert message.attributes["sequence"] == "00000000000000000009"
    assert (data["fromVersion"], data["version"], data["position"], data["changed"]) == (7, 9, 9, [])
    assert data["members"] == {"added": ["b", "c"], "removed": ["a", "z"]}


@pytest.mark.parametrize(
    "run, verb",
    [
        ([{"added": ("a",)}, {"added": ("b",)}], "member.added"),
        ([{"removed": ("a",)}, {"removed": ("b",)}], "member.removed"),
        ([{"added": ("a",)}, {"removed": ("b",)}], "members.changed"),
    ],
)
def test_the_verb_of_a_run_is_what_its_changes_have_in_common(run: list[Json], verb: str):
    message, _ = tell(wrapping(), *(membership(7 + number, **parts) for number, parts in enumerate(run)))
    assert message.attributes["type"] == f"scimhub.group.{verb}"


def test_a_run_applied_twice_or_overlapped_by_another_gives_the_same_members():
    changes = [
        membership(7, added=("a", "b")),
        membership(8, removed=("a",)),
        membership(9, added=("a",), removed=("b",)),
        membership(10, added=("b", "c")),
    ]
    expected = {"a", "b", "c"}
    for runs in ([changes], [changes[:3], changes[1:]], [changes[:2], changes[:3], changes, changes[3:]]):
        held: set[str] = {"b"}
        for run in runs:
            data = tell(wrapping(), *run)[1]
            for _ in range(2):
                held = (held | set(data["members"]["added"])) - set(data["members"]["removed"])
        assert held == expected


def test_a_run_of_one_change_is_that_change():
    alone = membership(7, added=("a",))
    wrap = wrapping()
    assert envelope.of_run(wrap, [notice(wrap, alone)]) == messages(wrap, alone)


# --------------------------------------------------------------------------- replays


@pytest.mark.parametrize("position, marked", [(6, True), (7, True), (8, False)])
def test_a_replay_marks_what_lies_up_to_its_end(position: int, marked: bool):
    message, _ = tell(wrapping(replay=Replay("p1", 7)), change(position, after=KIM, before={"title": "a"}))
    assert message.attributes["id"] == f"c{position}"
    assert message.attributes.get("replayid") == ("p1" if marked else None)
    assert message.delivery_id == (f"c{position}_p1" if marked else f"c{position}")


def test_each_part_of_a_replayed_event_has_a_delivery_of_its_own():
    told = messages(wrapping(replay=Replay("p1", 7)), membership(7, added=ids(1001)))
    assert [message.delivery_id for message in told] == ["c7_p1", "c7_2_p1"]


def test_a_replayed_event_tells_the_same():
    made = change(7, after=KIM, before={"title": "a"})
    assert messages(wrapping(replay=Replay("p1", 7)), made)[0].data == messages(wrapping(), made)[0].data
