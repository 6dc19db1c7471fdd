"""Events as examples, made by the very code that makes real ones: for the published contract and the documents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from scimhub.directory.records import Change
from scimhub.directory.representation import Viewpoint
from scimhub.distribution import envelope, subscription
from scimhub.distribution.delivery import Message, Subscription
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.subscription import Notice
from scimhub.scim import catalog
from scimhub.scim.catalog import ENTERPRISE_URN, GROUP_URN, USER_URN

ROOT_URL: Final = "https://scimhub.example.com"
_DANA: Final = "01936a3c-5d0e-7a41-9c2b-6f1e8d2a4b10"
_NOOR: Final = "01936a3c-5d0e-7f02-8be1-0a94c7d3e511"
_ASK: Final = "01936a50-1111-7a20-8e3f-5b6c7d8e9f01"
_ENGINEERS: Final = "01936a3c-6b7f-7c90-a5d4-91b2c3d4e5f6"

_DANA_JOINED: Final[Mapping[str, Any]] = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "userName": "dana@example.com",
    "name": {"givenName": "Dana", "familyName": "Reyes"},
    "displayName": "Dana Reyes",
    "emails": [{"value": "dana@example.com", "type": "work", "primary": True}],
    "active": True,
    ENTERPRISE_URN: {"employeeNumber": "70142", "department": "Engineering"},
}
_DANA_MOVED: Final[Mapping[str, Any]] = {
    **_DANA_JOINED,
    "title": "Team lead",
    ENTERPRISE_URN: {"employeeNumber": "70142", "department": "Platform"},
}
_ENGINEERS_MADE: Final[Mapping[str, Any]] = {"schemas": [GROUP_URN], "displayName": "Engineers"}


@dataclass(frozen=True, slots=True)
class Example:
    """One event. ``name`` is the type of the event without the hub's prefix, such as ``user.created``."""

    name: str
    summary: str
    message: Message


def examples(root_url: str = ROOT_URL) -> Iterator[Example]:
    """At least one event of each type that the standard resource types have."""
    standard = catalog.standard_catalog()
    everything = subscription.bind(Subscription(), standard)
    engineers = subscription.bind(Subscription(filters={"User": f'{ENTERPRISE_URN}:department eq "Engineering"'}), standard)
    viewpoint = Viewpoint(standard, f"{root_url}/scim/acme/v2", "k3")
    whole = Envelope("acme", root_url, viewpoint, everything)
    narrow = Envelope("acme", root_url, viewpoint, engineers)
    department = f"{ENTERPRISE_URN}:department"
    left = {**_DANA_MOVED, "active": False}
    for summary, scope, change in (
        ("Somebody joins.", whole, _of_user(101, 1, "created", _DANA_JOINED)),
        ("Somebody moves to another department.", whole, _moved(department)),
        ("The same for a destination that wants one department only: she leaves its scope.", narrow, _moved(department)),
        ("Somebody leaves: the account is switched off.", whole, _of_user(130, 3, "updated", left, {"active": True})),
        ("Somebody returns.", whole, _of_user(140, 4, "updated", _DANA_MOVED, {"active": False})),
        ("The account is deleted.", whole, _of_user(150, 5, "deleted", None, _DANA_MOVED)),
        ("A group is made, with two members.", whole, _of_group(160, 1, "created", {}, (_DANA, _NOOR))),
        ("A group gets another name.", whole, _of_group(170, 2, "updated", {"displayName": "Developers"})),
        ("Somebody becomes a member.", whole, _of_group(180, 3, "updated", {}, (_DANA,))),
        ("Somebody is a member no longer.", whole, _of_group(190, 4, "updated", {}, (), (_NOOR,))),
        ("A group is deleted.", whole, _of_group(210, 7, "deleted", _ENGINEERS_MADE)),
    ):
        notice = _notice(scope, change)
        yield Example(notice.type, summary, envelope.of_notice(scope, notice)[0])
    run = [
        _notice(whole, _of_group(200, 5, "updated", {}, (_NOOR,))),
        _notice(whole, _of_group(203, 6, "updated", {}, (), (_DANA,))),
    ]
    for summary, change in (
        ("Somebody as she is now, because a backfill asked for it.", _of_user(120, 2, "updated", _DANA_MOVED)),
        ("A group as it is now, with everybody who is a member.", _of_group(203, 6, "updated", {}, (_NOOR,))),
    ):
        state = whole.interest.state_of(change, _ASK)
        if state is None:  # pragma: no cover - both are wanted
            raise AssertionError(change)
        yield Example(state.type, summary, envelope.of_notice(whole, state)[0])
    message = envelope.of_run(whole, run)[0]
    yield Example(_name_of(message), "Two changes of members, which a webhook tells in one event.", message)


def render(message: Message) -> Any:
    """The event as JSON has it."""
    return orjson.loads(message.body)


def _name_of(message: Message) -> str:
    return message.attributes["type"].removeprefix(envelope.TYPE_PREFIX)


def _notice(scope: Envelope, change: Change) -> Notice:
    notice = scope.interest.assess(change)
    if notice is None:  # pragma: no cover - each of them is wanted
        raise AssertionError(change)
    return notice


def _moved(department: str) -> Change:
    return _of_user(120, 2, "updated", _DANA_MOVED, {"title": None, department: "Engineering"})


def _of_user(
    position: int, version: int, operation: Any, after: Mapping[str, Any] | None, before: Mapping[str, Any] | None = None
) -> Change:
    return _change(position, version, operation, "User", _DANA, after, before or {}, "00u1dana")


def _of_group(
    position: int,
    version: int,
    operation: Any,
    before: Mapping[str, Any],
    added: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
) -> Change:
    after = None if operation == "deleted" else _ENGINEERS_MADE
    return _change(position, version, operation, "Group", _ENGINEERS, after, before, None, added, removed)


def _change(
    position: int,
    version: int,
    operation: Any,
    kind: str,
    id: str,
    after: Mapping[str, Any] | None,
    before: Mapping[str, Any],
    external_id: str | None,
    added: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
) -> Change:
    return Change(
        position=position,
        id=f"01936a41-{position:04d}-7d10-b0c1-2a3b4c5d6e7f",
        operation=operation,
        directory=1,
        kind=kind,
        resource_id=id,
        version=version,
        source=1,
        exchange_id=f"01936a41-{position:04d}-7e55-8f00-112233445566",
        time=f"2026-11-23T20:{position // 60:02d}:{position % 60:02d}.123Z",
        after=None if after is None else orjson.dumps(after).decode(),
        before=before,
        external_id=external_id,
        members_added=added,
        members_removed=removed,
    )
