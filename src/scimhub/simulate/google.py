"""Google Workspace auto-provisioning: ``application/json`` on every request, no groups, deactivation long before deletion.

Its update verb is not documented; PATCH with one operation for each attribute is our choice.
"""

from scimhub.simulate import attributes, steps
from scimhub.simulate.attributes import CORE_USER, ENTERPRISE_USER
from scimhub.simulate.people import Person
from scimhub.simulate.provider import Found, Provider
from scimhub.simulate.steps import Asking, Conversation, Memory


def check(memory: Memory) -> Conversation:
    """Not documented; a look-up of nobody is what was seen with a Content-Type on a GET."""
    yield from find(memory.population.number("probe"))


def find(user_name: str) -> Asking[Found | None]:
    return (yield from steps.find(steps.get("/Users", {"filter": steps.equals("userName", user_name)})))


def update(person: Person, memory: Memory, found: Found | None) -> Conversation:
    path = f"/Users/{memory.users[person.key]}"
    if found is None:
        found = (yield steps.get(path)).body
    changes = attributes.differences(found, attributes.of(person))
    if changes:
        yield steps.patch(path, [{"op": "replace", "path": place, "value": value} for place, value in changes.items()])


def _creation(person: Person, _: Memory) -> dict[str, object]:
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
    creation=_creation,
    update=update,
    deactivation={"op": "replace", "path": "active", "value": False},
    deletes=True,
    types_every_request=True,
)
