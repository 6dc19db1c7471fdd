"""Okta, a catalogue app: users by POST and PUT of our own representation, ``active`` and groups by PATCH.

Okta never deletes users. It reads neither ``/ServiceProviderConfig`` nor ``/Schemas``.
"""

from collections.abc import Sequence
from copy import deepcopy
from uuid import NAMESPACE_URL, uuid5

from scimhub.simulate import attributes, steps
from scimhub.simulate.attributes import CORE_GROUP, CORE_USER, EMPLOYEE_NUMBER, ENTERPRISE_USER
from scimhub.simulate.people import Group, Person
from scimhub.simulate.provider import Found, GroupShapes, Provider
from scimhub.simulate.steps import Asking, Conversation, Memory

# The most members in one request; the real number is not documented.
_MEMBERS_AT_ONCE = 100
_PAGE = 100


def okta_attributes(person: Person) -> dict[str, object]:
    """What must be on the server for a person."""
    return attributes.of(person) | {
        "displayName": person.display_name,
        "locale": "en-US",
        "externalId": _okta_id(person),
        EMPLOYEE_NUMBER: person.employee_number,
    }


def check(memory: Memory) -> Conversation:
    """The connection test: two constant lists."""
    yield steps.get("/Users", {"startIndex": 1, "count": 2})
    yield steps.get("/Groups", {"startIndex": 1, "count": _PAGE})


def find(user_name: str) -> Asking[Found | None]:
    # Okta tolerates 404 as "nobody".
    query = {"filter": steps.equals("userName", user_name), "startIndex": 1, "count": _PAGE}
    return (yield from steps.find(steps.get("/Users", query, frozenset({200, 404}))))


def update(person: Person, memory: Memory, _: Found | None) -> Conversation:
    """GET by id, then PUT of what came back, ``id``, ``meta`` and ``groups`` included, with the changes in it."""
    path = f"/Users/{memory.users[person.key]}"
    answer = yield steps.get(path)
    merged = deepcopy(dict(answer.body))
    for place, value in okta_attributes(person).items():
        attributes.write(merged, place, value)
    if (manager := _manager(person, memory)) is not None:
        attributes.write(merged, attributes.MANAGER, manager)
    schemas = merged.get("schemas")
    if isinstance(schemas, list) and ENTERPRISE_USER not in schemas:
        schemas.append(ENTERPRISE_USER)
    yield steps.put(path, merged)


def survey() -> Conversation:
    """An import: all pages of users and groups."""
    yield from steps.walk("/Users", _PAGE)
    yield from steps.walk("/Groups", _PAGE)


def push_group(group: Group, members: Sequence[Person], memory: Memory) -> Conversation:
    """Linked by name or created without members, then filled."""
    query = {"filter": steps.equals("displayName", group.name), "startIndex": 1, "count": _PAGE}
    found = yield from steps.find(steps.get("/Groups", query))
    if found is None:
        answer = yield steps.post("/Groups", {"schemas": [CORE_GROUP], "displayName": group.name, "members": []})
        found = answer.body
    memory.groups[group.name] = steps.id_of(found)
    yield from change_members(group, members, [], memory)


def change_members(group: Group, added: Sequence[Person], removed: Sequence[Person], memory: Memory) -> Conversation:
    """The name first, as Okta repeats it before each push of members; then removals by filter and additions with display."""
    group_id = memory.groups[group.name]
    path = f"/Groups/{group_id}"
    yield steps.patch(path, [{"op": "replace", "value": {"id": group_id, "displayName": group.name}}])
    leaving = [{"op": "remove", "path": f"members[{steps.equals('value', memory.users[each.key])}]"} for each in removed]
    entering = [{"value": memory.users[each.key], "display": each.user_name} for each in added]
    for start in range(0, max(len(leaving), len(entering)), _MEMBERS_AT_ONCE):
        part = slice(start, start + _MEMBERS_AT_ONCE)
        addition = [{"op": "add", "path": "members", "value": entering[part]}] if entering[part] else []
        yield steps.patch(path, [*leaving[part], *addition])


def _creation(person: Person, memory: Memory) -> dict[str, object]:
    enterprise: dict[str, object] = {"employeeNumber": person.employee_number, "department": person.department}
    if (manager := _manager(person, memory)) is not None:
        enterprise["manager"] = manager
    return {
        "schemas": [CORE_USER, ENTERPRISE_USER],
        "userName": person.user_name,
        "name": {"givenName": person.given_name, "familyName": person.family_name},
        "emails": [{"primary": True, "value": person.email, "type": "work"}],
        "displayName": person.display_name,
        "title": person.title,
        "locale": "en-US",
        "externalId": _okta_id(person),
        "groups": [],
        "password": f"Tide-{memory.population.number(f'password {person.key}')[:12]}-9q",
        "active": True,
        ENTERPRISE_USER: enterprise,
    }


def _manager(person: Person, memory: Memory) -> dict[str, str] | None:
    known = memory.manager_of(person)
    return None if known is None else {"value": known[0], "displayName": known[1]}


def _okta_id(person: Person) -> str:
    # As long as Okta's, and another one in every organisation.
    organisation = person.email.partition("@")[2]
    return f"00u{uuid5(NAMESPACE_URL, f'{organisation}/{person.key}').hex[:17]}"


OKTA = Provider(
    name="okta",
    domain="tidewater.example",
    headers={"Accept": "application/scim+json", "Accept-Charset": "utf-8", "User-Agent": "Okta SCIM Client 1.0.0"},
    content_type="application/scim+json; charset=utf-8",
    concurrency=5,
    attributes=okta_attributes,
    check=check,
    find=find,
    creation=_creation,
    update=update,
    deactivation={"op": "replace", "value": {"active": False}},
    groups=GroupShapes(push_group, change_members, drops_leavers=True),
    survey=survey,
    sends_manager=True,
    manager_first=True,
)
