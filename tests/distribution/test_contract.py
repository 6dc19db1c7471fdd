"""The published contract describes every event that the envelope makes, and nothing is described that does not exist."""

import copy
import re
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from scimhub.directory.records import Change
from scimhub.directory.representation import Viewpoint
from scimhub.distribution import contract, contract_channels, contract_examples, envelope, subscription
from scimhub.distribution.delivery import Message, Replay, Subscription
from scimhub.distribution.envelope import MEMBERS_PER_EVENT, Envelope
from scimhub.scim.catalog import (
    ENTERPRISE_URN,
    GROUP_URN,
    STANDARD_TYPES,
    USER_URN,
    build_catalog,
    standard_catalog,
    standard_schemas,
)
from scimhub.scim.schema import ResourceType, parse_schema

ROOT = "https://hub.example"
DOCUMENTS = {name: contract.document(name, ROOT) for name in contract.standard_names()}
REGISTRY = Registry().with_resources((document["$id"], Resource.from_contents(document)) for document in DOCUMENTS.values())
EXAMPLES = list(contract_examples.examples(ROOT))
DEVICE_URN = "urn:example:params:scim:schemas:Device"
BADGE_URN = "urn:example:params:scim:schemas:Badge"


def closed(schema: Any) -> Any:
    """The schema, refusing whatever it does not describe."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: value if key == "examples" else closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        inner["additionalProperties"] = False
    return inner


CLOSED_REGISTRY = Registry().with_resources(
    (document["$id"], Resource.from_contents(closed(document))) for document in DOCUMENTS.values()
)


def validate(event: Any, *, is_closed: bool = True) -> None:
    """The event against the document that it names itself, as a receiver would."""
    registry = CLOSED_REGISTRY if is_closed else REGISTRY
    name = event["dataschema"].removeprefix(f"{ROOT}/contract/1/").removesuffix(".json")
    document = contract.document(name, ROOT)["$id"]
    for name, reference in (("event", f"{document}#/$defs/event"), ("data", document)):
        part = event if name == "event" else event["data"]
        validator = Draft202012Validator(
            {"$ref": reference}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        validator.validate(part)


# --------------------------------------------------------------------------- the documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_a_valid_schema_that_says_where_it_is(name):
    Draft202012Validator.check_schema(DOCUMENTS[name])
    assert DOCUMENTS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert DOCUMENTS[name]["$id"] == f"{ROOT}/contract/1/{name}.json"


def test_there_is_a_document_for_each_standard_type_and_one_for_all_others():
    assert contract.standard_names() == ("user", "group", "resource")
    assert contract.document("device", ROOT) == DOCUMENTS["resource"]
    assert [contract.is_type_name(name) for name in ("user", "my-app_2", "", "User", "../x", "a.b", "2x")] == [
        *(True, True),
        *(False,) * 5,
    ]


def test_the_resource_has_every_attribute_that_is_ever_returned():
    resource = DOCUMENTS["user"]["$defs"]["resource"]["properties"]
    kind = standard_catalog().kinds["User"]
    expected = {attribute.name for attribute in kind.base.attributes if attribute.returned != "never"} - {"groups"}
    assert set(resource) == expected | {"schemas", "id", "externalId", "meta", ENTERPRISE_URN}
    assert "password" not in resource
    assert set(resource["name"]["properties"]) == {
        *("formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"),
    }
    assert resource["emails"]["items"]["properties"]["primary"]["type"] == "boolean"
    assert resource["emails"]["items"]["properties"]["type"]["examples"] == ["work", "home", "other"]
    assert resource["x509Certificates"]["items"]["properties"]["value"]["contentEncoding"] == "base64"
    assert set(resource["meta"]["properties"]) == {"resourceType", "lastModified", "location", "version"}
    assert "department" in resource[ENTERPRISE_URN]["properties"]
    assert set(DOCUMENTS["group"]["$defs"]["resource"]["properties"]) == {"schemas", "id", "externalId", "meta", "displayName"}


def test_the_types_are_those_that_each_kind_can_have():
    assert DOCUMENTS["user"]["$defs"]["event"]["properties"]["type"]["enum"] == [
        f"scimhub.user.{verb}" for verb in ("created", "deleted", "deactivated", "activated", "updated", "state")
    ]
    assert DOCUMENTS["group"]["$defs"]["event"]["properties"]["type"]["enum"] == [
        f"scimhub.group.{verb}"
        for verb in ("created", "deleted", "updated", "member.added", "member.removed", "members.changed", "state")
    ]


# --------------------------------------------------------------------------- events


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.name}: {example.summary}")
def test_every_example_validates(example):
    validate(contract_examples.render(example.message))


def test_there_is_an_example_of_every_type():
    types = {type for name in ("user", "group") for type in DOCUMENTS[name]["$defs"]["event"]["properties"]["type"]["enum"]}
    assert {example.message.attributes["type"] for example in EXAMPLES} == types
    assert {example.name for example in EXAMPLES} == {type.removeprefix("scimhub.") for type in types}


WHOLE_USER = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "userName": "dana",
    "name": {"formatted": "Dana R", "familyName": "R", "honorificPrefix": "Dr"},
    "active": True,
    "emails": [{"value": "d@example.com", "type": "work", "primary": True, "display": "D"}],
    "photos": [{"value": "https://example.com/p.png", "type": "photo"}],
    "addresses": [{"formatted": "x", "locality": "y", "primary": False}],
    "roles": [{"value": "admin"}],
    "x509Certificates": [{"value": "aGk="}],
    ENTERPRISE_URN: {"department": "D", "manager": {"value": "m", "$ref": "../Users/m", "displayName": "M"}},
}


def change(kind: str = "User", operation: Any = "updated", **parts: Any) -> Change:
    after = {"User": WHOLE_USER, "Group": {"schemas": [GROUP_URN], "displayName": "G"}, "Device": DEVICE}[kind]
    return Change(
        **{
            "position": 7,
            "id": "c7",
            "operation": operation,
            "directory": 1,
            "kind": kind,
            "resource_id": "r1",
            "version": 3,
            "source": 1,
            "exchange_id": "x1",
            "time": "2026-11-23T20:41:35.123Z",
            "after": None if operation == "deleted" else orjson.dumps(after).decode(),
            "before": {},
            "external_id": None,
            "members_added": (),
            "members_removed": (),
            **parts,
        }
    )


DEVICE = {"schemas": [DEVICE_URN], "serial": "7", BADGE_URN: {"color": "red"}}


def _schema(urn: str, name: str, attribute: str) -> Any:
    return parse_schema({"id": urn, "name": name, "attributes": [{"name": attribute, "type": "string"}]})


CATALOG = build_catalog(
    1,
    (*standard_schemas(), _schema(DEVICE_URN, "Device", "serial"), _schema(BADGE_URN, "Badge", "color")),
    (*STANDARD_TYPES, ResourceType("Device", "/Devices", "A device.", DEVICE_URN)),
)


def scope_of(wanted: Subscription = Subscription(), replay: Replay | None = None) -> Envelope:  # noqa: B008 - frozen
    viewpoint = Viewpoint(CATALOG, f"{ROOT}/scim/acme/v2", "k3")
    return Envelope("acme", ROOT, viewpoint, subscription.bind(wanted, CATALOG), replay)


def events_of(scope: Envelope, made: Change, members: tuple[str, ...] = ()) -> list[Message]:
    notice = scope.interest.assess(made)
    assert notice is not None
    return envelope.of_notice(scope, notice, members)


IDS = tuple(f"m{n}" for n in range(MEMBERS_PER_EVENT * 2 + 1))
ONLY_NAMES = Subscription(attributes=("userName", "displayName"))


@pytest.mark.parametrize(
    "scope, made, members, types",
    [
        (scope_of(), change(operation="created", version=1), (), ["user.created"]),
        (scope_of(), change(before={"title": "x"}, external_id="e"), (), ["user.updated"]),
        (scope_of(), change(before={"active": False}), (), ["user.activated"]),
        (scope_of(), change(operation="deleted", before=WHOLE_USER), (), ["user.deleted"]),
        (
            scope_of(Subscription(filters={"User": 'userName eq "dana"'})),
            change(before={"userName": "x"}),
            (),
            ["user.created"],
        ),
        (scope_of(Subscription(filters={"User": 'userName eq "x"'})), change(before={"userName": "x"}), (), ["user.deleted"]),
        (scope_of(ONLY_NAMES), change(before={"userName": "x", "title": "y"}), (), ["user.updated"]),
        (scope_of(ONLY_NAMES), change("Group", "created", members_added=("a",)), (), ["group.created"]),
        (scope_of(replay=Replay("p1", 9)), change(before={"title": "x"}), (), ["user.updated"]),
        (scope_of(), change("Group", "created", members_added=("a",)), (), ["group.created"]),
        (scope_of(), change("Group", before={"displayName": "H"}, members_added=("a",)), (), ["group.updated"]),
        (scope_of(), change("Group", members_added=("a",)), (), ["group.member.added"]),
        (scope_of(), change("Group", members_removed=("a",)), (), ["group.member.removed"]),
        (scope_of(), change("Group", members_added=("a",), members_removed=("b",)), (), ["group.members.changed"]),
        (scope_of(), change("Group", "deleted"), (), ["group.deleted"]),
        (
            scope_of(),
            change("Group", members_added=IDS),
            (),
            ["group.member.added", "group.member.added", "group.member.added"],
        ),
        (
            scope_of(),
            change("Group", "created", members_added=IDS[:1500]),
            (),
            ["group.created", "group.member.added"],
        ),
        (
            scope_of(),
            change("Group", members_added=IDS[:1500], members_removed=("z",)),
            (),
            ["group.members.changed", "group.members.changed"],
        ),
        (
            scope_of(Subscription(filters={"Group": 'displayName eq "G"'})),
            change("Group", before={"displayName": "H"}),
            IDS[:1001],
            ["group.created", "group.member.added"],
        ),
        (scope_of(), change("Device", "created"), (), ["device.created"]),
        (scope_of(), change("Device", before={"serial": "6"}), (), ["device.updated"]),
        (scope_of(), change("Device", "deleted"), (), ["device.deleted"]),
    ],
)
def test_every_event_of_the_envelope_validates(scope, made, members, types):
    events = [orjson.loads(message.body) for message in events_of(scope, made, members)]
    assert [event["type"] for event in events] == [f"scimhub.{type}" for type in types]
    for event in events:
        # What an administrator added is described by the directory, not by the contract.
        validate(event, is_closed=made.kind != "Device")


def test_a_run_validates():
    scope = scope_of()
    notices = [scope.interest.assess(change("Group", version=n, position=n, members_added=(f"m{n}",))) for n in (3, 4, 5)]
    notices.append(scope.interest.assess(change("Group", version=6, position=6, members_removed=("m3",))))
    (message,) = envelope.of_run(scope, [notice for notice in notices if notice is not None])
    event = orjson.loads(message.body)
    validate(event)
    assert (event["data"]["fromVersion"], event["data"]["version"]) == (3, 6)


EVENT = contract_examples.render(EXAMPLES[0].message)
GROUP_EVENT = next(contract_examples.render(one.message) for one in EXAMPLES if one.name == "group.member.added")
DELETED = next(contract_examples.render(one.message) for one in EXAMPLES if one.name == "user.deleted")


@pytest.mark.parametrize(
    "event, path, value",
    [
        (EVENT, "specversion", "0.3"),
        (EVENT, "type", "scimhub.user.member.added"),
        (EVENT, "type", "scimhub.group.created"),
        (EVENT, "sequence", "101"),
        (EVENT, "time", "yesterday"),
        (EVENT, "id", "a.b"),
        (EVENT, "Upper", "x"),
        (EVENT, "data", None),
        (EVENT, "data.version", "1"),
        (EVENT, "data.version", 0),
        (EVENT, "data.cause", "whim"),
        (EVENT, "data.resourceType", "Group"),
        (EVENT, "data.changed", None),
        (EVENT, "data.resource", None),
        (EVENT, "data.resource.userName", 7),
        (EVENT, "data.resource.emails", {}),
        (EVENT, "data.resource.active", "true"),
        (EVENT, "data.resource.id", None),
        (GROUP_EVENT, "data.members", None),
        (GROUP_EVENT, "data.members.added", None),
        (GROUP_EVENT, "data.members.added", ["a", "a"]),
        (GROUP_EVENT, "data.members.added", [str(n) for n in range(1001)]),
        (GROUP_EVENT, "data.part", 1),
        (DELETED, "data.resource", {"id": "x", "schemas": []}),
        (DELETED, "data.changed", []),
        (DELETED, "subject", None),
    ],
)
def test_an_event_that_breaks_the_contract_does_not_validate(event, path, value):
    broken = copy.deepcopy(event)
    *way, last = path.split(".")
    holder = broken
    for name in way:
        holder = holder[name]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    if path == "data.changed" and event is DELETED:
        broken["data"]["resource"] = {"id": "x", "schemas": []}
    with pytest.raises(ValidationError):
        validate(broken, is_closed=False)


def test_what_a_later_version_adds_is_no_mistake():
    grown = copy.deepcopy(EVENT)
    grown["traceparent"] = "00-abc"
    grown["data"]["novelty"] = 1
    grown["data"]["resource"][BADGE_URN] = {"color": "red"}
    validate(grown, is_closed=False)


# --------------------------------------------------------------------------- AsyncAPI

CHANNELS = contract_channels.describe(ROOT)


def references(document: Any) -> list[str]:
    if isinstance(document, list):
        return [found for one in document for found in references(one)]
    if not isinstance(document, dict):
        return []
    own = [document["$ref"]] if isinstance(document.get("$ref"), str) else []
    return own + [found for value in document.values() for found in references(value)]


def resolve(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        document = document[part]
    return document


def test_every_reference_leads_somewhere():
    found = references(CHANNELS)
    assert len(found) > 30
    for reference in found:
        place, _, pointer = reference.partition("#")
        document = DOCUMENTS[place.removeprefix(f"{ROOT}/contract/1/").removesuffix(".json")] if place else CHANNELS
        assert isinstance(resolve(document, pointer), dict), reference


def test_both_channels_carry_a_message_for_every_type_and_one_for_added_types():
    types = [
        type.removeprefix("scimhub.")
        for name in ("user", "group")
        for type in DOCUMENTS[name]["$defs"]["event"]["properties"]["type"]["enum"]
    ]
    assert list(CHANNELS["components"]["messages"]) == [*types, "resource", "test"]
    carried = {"webhook": [*types, "resource", "test"], "feed": [*types, "resource"]}
    assert {name: list(channel["messages"]) for name, channel in CHANNELS["channels"].items()} == carried
    for operation in CHANNELS["operations"].values():
        assert operation["action"] == "send"
        names = [reference["$ref"].rpartition("/")[2] for reference in operation["messages"]]
        assert names == carried[operation["channel"]["$ref"].rpartition("/")[2]]
    assert CHANNELS["asyncapi"] == "3.0.0"
    assert CHANNELS["info"]["version"] == "1"
    # AsyncAPI 3.0: the keys of components.
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in CHANNELS["components"]["messages"])


def test_every_message_has_examples_that_validate_and_are_of_its_type():
    for name, message in CHANNELS["components"]["messages"].items():
        if name in ("resource", "test"):
            continue
        assert message["examples"]
        for example in message["examples"]:
            validate(example["payload"])
            assert example["payload"]["type"] == message["name"] == f"scimhub.{name}"


def test_the_servers_are_the_hub_and_the_receiver():
    assert CHANNELS["servers"]["hub"] == {"host": "hub.example", "protocol": "https"}
    below = contract_channels.describe("http://h:8080/identity")["servers"]["hub"]
    assert below == {"host": "h:8080", "protocol": "http", "pathname": "/identity"}
