"""Google Workspace auto-provisioning: ``application/json`` on every request, no groups, deactivation long before deletion.

Its update verb is not documented; PATCH with one operation for each attribute is our choice.
"""

from collections.abc import Mapping

from scimhub.simulate import attributes, steps
from scimhub.simulate.attributes import CORE_USER, ENTERPRISE_USER
from scimhub.simulate.people import Person
from scimhub.simulate.provider import Provider
from scimhub.simulate.steps import Asking, Conversation, Memory


def check(memory: Memory) -> Conversation:
    """Not documented; a look-up of nobody is what was seen with a Content-Type on a GET."""
    yield from find(memory.population.number("probe"))


def find(user_name: str) -> Asking[Mapping[str, object] | None]:
    return (yield from steps.find(steps.get("/Users", {"filter": steps.equals("userName", user_name)})))


def join(person: Person, memory: Memory) -> Conversation:
    found = yield from find(person.user_name)
    if found is not None:
        memory.users[person.key] = steps.id_of(found)
        yield from update(person, memory)
        return
    answer = yield steps.post("/Users", _creation(person))
    memory.users[person.key] = answer.id


def update(person: Person, memory: Memory) -> Conversation:
    path = f"/Users/{memory.users[person.key]}"
    answer = yield steps.get(path)
    changes = attributes.differences(answer.body, attributes.of(person))
    if changes:
        yield steps.patch(path, [{"op": "replace", "path": place, "value": value} for place, value in changes.items()])


def deactivate(person: Person, memory: Memory) -> Conversation:
    """Suspended, or the app switched off for the user; the administrator chooses how many days later."""
    yield steps.patch(f"/Users/{memory.users[person.key]}", [{"op": "replace", "path": "active", "value": False}])


def delete(person: Person, memory: Memory) -> Conversation:
    yield steps.delete(f"/Users/{memory.users[person.key]}")


def _creation(person: Person) -> dict[str, object]:
    return {
        "schemas": [CORE_USER, ENTERPRISE_USER],
        "userName": person.user_name,
        "name": {"givenName": person.given_name, "familyName": person.family_name},
        "emails": [{"value": person.email, "type": "work", "primary": True}],
        "title": person.title,
        "active": True,
        ENTERPRISE_USER: {"department": person.department},
    }


GOOGLE = Provider(
    name="google",
    domain="lanternfish.example",
    headers={"Accept": "application/json", "User-Agent": "Google-Auto-Provisioning"},
    content_type="application/json",
    concurrency=2,
    attributes=attributes.of,
    check=check,
    find=find,
    join=join,
    update=update,
    deactivate=deactivate,
    delete=delete,
    types_every_request=True,
)
