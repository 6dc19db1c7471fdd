"""JumpCloud: activation writes a test user and a test group; PATCH with one operation for each attribute, real booleans.

It deletes nobody but its test user; empty groups are not created, and a group of the same name is taken over.
"""

from collections.abc import Sequence

from scimhub.simulate import attributes, steps
from scimhub.simulate.attributes import CORE_GROUP, CORE_USER, EMPLOYEE_NUMBER, ENTERPRISE_USER
from scimhub.simulate.people import Group, Person
from scimhub.simulate.provider import Found, GroupShapes, Provider
from scimhub.simulate.steps import Asking, Conversation, Memory

# A server may refuse DELETE: then the test user is deactivated.
_DELETED_OR_REFUSED = frozenset({200, 204, 403, 405, 501})
_CREATED_OR_PRESENT = frozenset({200, 201, 409})


def jumpcloud_attributes(person: Person) -> dict[str, object]:
    """What must be on the server for a person."""
    return attributes.of(person) | {"displayName": person.display_name, EMPLOYEE_NUMBER: person.employee_number}


def check(memory: Memory) -> Conversation:
    """Activation: a test user is created, changed, read, put in a test group, taken out; both are deleted."""
    mark = memory.population.number("activation")[:8]
    user_name = f"jctest.{mark}@{memory.population.domain}"
    user: dict[str, object] = {"schemas": [CORE_USER], "userName": user_name, "active": True}
    created = yield steps.post("/Users", user | {"name": _name("Test", "User")}, _CREATED_OR_PRESENT)
    left_over = (yield from find(user_name)) if created.status == 409 else None
    user_id = created.id if left_over is None else steps.id_of(left_over)
    yield steps.put(f"/Users/{user_id}", user | {"name": _name("Test", "Updated")})
    read = yield steps.get(f"/Users/{user_id}")
    if attributes.read(read.body, "name.familyName") != "Updated":
        raise steps.Unusable("The test user does not show the family name that the PUT before gave it.")
    group = yield steps.post("/Groups", {"schemas": [CORE_GROUP], "displayName": f"JC Test {mark}"})
    for verb in ("add", "remove"):
        yield steps.patch(f"/Groups/{group.id}", [_members(verb, [user_id])])
    yield steps.delete(f"/Groups/{group.id}", _DELETED_OR_REFUSED)
    deleted = yield steps.delete(f"/Users/{user_id}", _DELETED_OR_REFUSED)
    if deleted.status >= 400:
        yield steps.patch(f"/Users/{user_id}", [_replace("active", False)])


def find(user_name: str) -> Asking[Found | None]:
    return (yield from steps.find(steps.get("/Users", {"filter": steps.equals("userName", user_name)})))


def update(person: Person, memory: Memory, found: Found | None) -> Conversation:
    path = f"/Users/{memory.users[person.key]}"
    if found is None:
        found = (yield steps.get(path)).body
    changes = attributes.differences(found, jumpcloud_attributes(person))
    if changes:
        yield steps.patch(path, [_replace(place, value) for place, value in changes.items()])


def push_group(group: Group, members: Sequence[Person], memory: Memory) -> Conversation:
    found = yield from steps.find(steps.get("/Groups", {"filter": steps.equals("displayName", group.name)}))
    if found is None:
        answer = yield steps.post("/Groups", {"schemas": [CORE_GROUP], "displayName": group.name})
        found = answer.body
    memory.groups[group.name] = steps.id_of(found)
    yield from change_members(group, members, [], memory)


def change_members(group: Group, added: Sequence[Person], removed: Sequence[Person], memory: Memory) -> Conversation:
    """One request for those who go and one for those who come; a member is only its value."""
    path = f"/Groups/{memory.groups[group.name]}"
    for verb, people in (("remove", removed), ("add", added)):
        if people:
            yield steps.patch(path, [_members(verb, [memory.users[each.key] for each in people])])


def _creation(person: Person, _: Memory) -> dict[str, object]:
    return {
        "schemas": [CORE_USER, ENTERPRISE_USER],
        "userName": person.user_name,
        "name": _name(person.given_name, person.family_name),
        "displayName": person.display_name,
        "emails": [{"value": person.email, "type": "work", "primary": True}],
        "title": person.title,
        "active": True,
        ENTERPRISE_USER: {"department": person.department, "employeeNumber": person.employee_number},
    }


def _name(given: str, family: str) -> dict[str, str]:
    return {"givenName": given, "familyName": family}


def _replace(path: str, value: object) -> steps.Operation:
    return {"op": "replace", "path": path, "value": value}


def _members(verb: str, users: Sequence[str]) -> steps.Operation:
    return {"op": verb, "path": "members", "value": [{"value": user} for user in users]}


JUMPCLOUD = Provider(
    name="jumpcloud",
    domain="saltmarsh.example",
    headers={"Accept": "application/scim+json", "User-Agent": None},
    content_type="application/scim+json",
    concurrency=2,
    attributes=jumpcloud_attributes,
    check=check,
    find=find,
    creation=_creation,
    update=update,
    deactivation={"op": "replace", "path": "active", "value": False},
    groups=GroupShapes(push_group, change_members, creates_empty=False),
)
