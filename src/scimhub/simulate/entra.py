"""Microsoft Entra ID: PATCH one operation for each attribute, ``active`` as text, references in a pass of their own.

That is the default; with ``?aadOptscim062020`` on the tenant URL Entra speaks by the RFC: lower-case operations, booleans,
removal by filter, and single values gathered in one operation without a path.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from scimhub.simulate import attributes, steps
from scimhub.simulate.attributes import CORE_GROUP, CORE_USER, EMPLOYEE_NUMBER, ENTERPRISE_USER, MANAGER
from scimhub.simulate.people import Group, Person
from scimhub.simulate.provider import Found, GroupShapes, Provider
from scimhub.simulate.steps import Asking, Conversation, Memory, Operation

# The administrator appends it to the tenant URL.
COMPLIANCE_FLAG = "aadOptscim062020"

_ADSCIM_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
_WORK_PHONE = 'phoneNumbers[type eq "work"].value'
# The most members in one request; the real number is not documented.
_MEMBERS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Spelling:
    """How Entra writes PATCH operations."""

    set_all: Callable[[Mapping[str, object], Mapping[str, object]], list[Operation]]
    set_one: Callable[[str, str, object], Operation]
    add_members: Callable[[Sequence[str]], list[Operation]]
    remove_members: Callable[[Sequence[str]], list[Operation]]


def entra_attributes(person: Person) -> dict[str, object]:
    """What must be on the server for a person."""
    return attributes.of(person) | {
        "displayName": person.display_name,
        "name.formatted": person.display_name,
        "externalId": _mail_nickname(person),
        _WORK_PHONE: person.phone,
        EMPLOYEE_NUMBER: person.employee_number,
    }


def check(memory: Memory) -> Conversation:
    """The connection test: a user name that nobody has, several times in a row; 200 and an empty list is wanted."""
    for attempt in range(3):
        nobody = memory.population.number(f"probe {attempt}")
        if (yield from find(nobody)) is not None:
            raise steps.Unusable("The probe for a user who does not exist found somebody.")


def find(user_name: str) -> Asking[Found | None]:
    """The match query."""
    return (yield from steps.find(steps.get("/Users", {"filter": steps.equals("userName", user_name)})))


def update(spelling: Spelling, person: Person, memory: Memory, found: Found | None) -> Conversation:
    """What the match query found, or else a GET, is compared with what it should be; PATCH what differs."""
    path = f"/Users/{memory.users[person.key]}"
    if found is None:
        found = (yield steps.get(path)).body
    changes = attributes.differences(found, entra_attributes(person))
    if changes:
        yield steps.patch(path, spelling.set_all(found, changes))


def refer(spelling: Spelling, person: Person, memory: Memory) -> Conversation:
    """The manager: a reference probe, and a PATCH when it finds nobody."""
    manager = memory.manager_of(person)
    if manager is None:
        return
    user = memory.users[person.key]
    pair = f"{steps.equals('id', user)} and {steps.equals('manager', manager[0])}"
    if (yield from steps.find(steps.get("/Users", {"filter": pair, "attributes": "id"}))) is None:
        yield steps.patch(f"/Users/{user}", [spelling.set_one("Add", MANAGER, manager[0])])


def push_group(spelling: Spelling, group: Group, members: Sequence[Person], memory: Memory) -> Conversation:
    """Matched by displayName or created without members; they follow, several in a request."""
    query = {"excludedAttributes": "members", "filter": steps.equals("displayName", group.name)}
    found = yield from steps.find(steps.get("/Groups", query))
    if found is None:
        answer = yield steps.post("/Groups", _group_creation(group))
        found = answer.body
    memory.groups[group.name] = steps.id_of(found)
    yield from _patch_members(memory.groups[group.name], spelling.add_members, [memory.users[each.key] for each in members])


def change_members(
    spelling: Spelling, group: Group, added: Sequence[Person], removed: Sequence[Person], memory: Memory
) -> Conversation:
    """GET without members, and a reference probe for each before members are removed and added."""
    group_id = memory.groups[group.name]
    yield steps.get(f"/Groups/{group_id}", {"excludedAttributes": "members"})
    members = yield from _members_among(group_id, [memory.users[each.key] for each in removed])
    yield from _patch_members(group_id, spelling.remove_members, members)
    added_ids = [memory.users[each.key] for each in added]
    members = yield from _members_among(group_id, added_ids)
    yield from _patch_members(group_id, spelling.add_members, [user for user in added_ids if user not in members])


def _members_among(group_id: str, users: Sequence[str]) -> Asking[list[str]]:
    members = []
    for user in users:
        pair = f"{steps.equals('id', group_id)} and {steps.equals('members', user)}"
        hit = yield from steps.find(steps.get("/Groups", {"excludedAttributes": "members", "filter": pair}))
        if hit is not None:
            members.append(user)
    return members


def _patch_members(group_id: str, spell: Callable[[Sequence[str]], list[Operation]], members: Sequence[str]) -> Conversation:
    for start in range(0, len(members), _MEMBERS_AT_ONCE):
        yield steps.patch(f"/Groups/{group_id}", spell(members[start : start + _MEMBERS_AT_ONCE]))


def _creation(person: Person, _: Memory) -> dict[str, object]:
    # Entra lists the enterprise URN with or without values under it, and sends roles empty.
    return {
        "schemas": [CORE_USER, ENTERPRISE_USER],
        "externalId": _mail_nickname(person),
        "userName": person.user_name,
        "active": True,
        "displayName": person.display_name,
        "emails": [{"primary": True, "type": "work", "value": person.email}],
        "meta": {"resourceType": "User"},
        "name": {
            "formatted": person.display_name,
            "familyName": person.family_name,
            "givenName": person.given_name,
        },
        "phoneNumbers": [{"type": "work", "value": person.phone}],
        "roles": [],
        "title": person.title,
        ENTERPRISE_USER: {"department": person.department, "employeeNumber": person.employee_number},
    }


def _group_creation(group: Group) -> dict[str, object]:
    return {
        "schemas": [CORE_GROUP, _ADSCIM_GROUP],
        "externalId": group.external_id,
        "displayName": group.name,
        "meta": {"resourceType": "Group"},
    }


def _mail_nickname(person: Person) -> str:
    return person.user_name.partition("@")[0]


# --------------------------------------------------------------------------- the default spelling


def _default_one(verb: str, path: str, value: object) -> Operation:
    return {"op": verb, "path": path, "value": str(value) if isinstance(value, bool) else value}


def _default_all(found: Mapping[str, object], changes: Mapping[str, object]) -> list[Operation]:
    return [_default_one("Add" if attributes.read(found, path) is None else "Replace", path, changes[path]) for path in changes]


def _default_members(verb: str, members: Sequence[str]) -> list[Operation]:
    return [{"op": verb, "path": "members", "value": [{"$ref": None, "value": member} for member in members]}]


# --------------------------------------------------------------------------- the spelling with the compliance flag


def _compliant_one(verb: str, path: str, value: object) -> Operation:
    return {"op": verb.lower(), "path": path, "value": value}


def _compliant_all(found: Mapping[str, object], changes: Mapping[str, object]) -> list[Operation]:
    single = {path: value for path, value in changes.items() if "[" not in path}
    several = [_compliant_one("replace", path, value) for path, value in changes.items() if "[" in path]
    return [*several, {"op": "replace", "value": single}] if single else several


def _compliant_add(members: Sequence[str]) -> list[Operation]:
    return [{"op": "add", "path": "members", "value": [{"value": member} for member in members]}]


def _compliant_remove(members: Sequence[str]) -> list[Operation]:
    return [{"op": "remove", "path": f"members[{steps.equals('value', member)}]"} for member in members]


def _provider(spelling: Spelling) -> Provider:
    return Provider(
        name="entra",
        domain="kestrel.example",
        headers={"Accept": "application/scim+json", "User-Agent": None},
        content_type="application/scim+json; charset=utf-8",
        concurrency=10,
        attributes=entra_attributes,
        check=check,
        find=find,
        creation=_creation,
        update=partial(update, spelling),
        deactivation=spelling.set_one("Replace", "active", False),
        groups=GroupShapes(partial(push_group, spelling), partial(change_members, spelling)),
        deletes=True,
        refer=partial(refer, spelling),
        sends_manager=True,
        blank="+",
    )


ENTRA = _provider(Spelling(_default_all, _default_one, partial(_default_members, "Add"), partial(_default_members, "Remove")))
ENTRA_COMPLIANT = _provider(Spelling(_compliant_all, _compliant_one, _compliant_add, _compliant_remove))
