"""OneLogin: a JSON template that the administrator fills with macros, so what is unknown comes as empty text.

Users by POST and PUT of the template, suspended by PATCH, deleted by DELETE; groups by listing, POST and PATCH.
"""

from collections.abc import Mapping, Sequence

from scimhub.simulate import attributes, steps
from scimhub.simulate.attributes import CORE_GROUP, CORE_USER, ENTERPRISE_USER
from scimhub.simulate.people import Group, Person
from scimhub.simulate.provider import Found, GroupShapes, Provider
from scimhub.simulate.steps import Asking, Conversation, Memory

_PAGE = 100


def check(memory: Memory) -> Conversation:
    """Somebody unknown, where 200 with an empty list and 404 are both right; then the groups, to know their names."""
    yield from find(f"{memory.population.number('probe')}@{memory.population.domain}")
    listed = yield from _list_groups()
    ours = {group.name for group in memory.population.groups}
    for each in listed:
        name = each.get("displayName")
        if isinstance(name, str) and name in ours:
            memory.groups[name] = steps.id_of(each)


def find(user_name: str) -> Asking[Found | None]:
    query = {"filter": steps.equals("userName", user_name)}
    return (yield from steps.find(steps.get("/Users", query, frozenset({200, 404}))))


def update(person: Person, memory: Memory, _: Found | None) -> Conversation:
    """PUT of the template, filled again."""
    yield steps.put(f"/Users/{memory.users[person.key]}", _template(person, memory))


def push_group(group: Group, members: Sequence[Person], memory: Memory) -> Conversation:
    if group.name not in memory.groups:
        answer = yield steps.post("/Groups", {"schemas": [CORE_GROUP], "displayName": group.name})
        memory.groups[group.name] = answer.id
    yield from change_members(group, members, [], memory)


def change_members(group: Group, added: Sequence[Person], removed: Sequence[Person], memory: Memory) -> Conversation:
    """One PATCH for those who come and one for those who go."""
    path = f"/Groups/{memory.groups[group.name]}"
    for verb, people in (("remove", removed), ("add", added)):
        if people:
            members = [{"value": memory.users[each.key]} for each in people]
            yield steps.patch(path, [{"op": verb, "path": "members", "value": members}])


def _list_groups() -> Asking[list[Mapping[str, object]]]:
    """ "Refresh entitlements": a list without parameters, and the rest of the pages when there are more."""
    answer = yield steps.get("/Groups")
    if len(answer.resources) >= answer.total:
        return answer.resources
    return (yield from steps.walk("/Groups", _PAGE))


def _template(person: Person, _: Memory) -> dict[str, object]:
    return {
        "schemas": [CORE_USER, ENTERPRISE_USER],
        "userName": person.user_name,
        "name": {"givenName": person.given_name, "familyName": person.family_name},
        "title": person.title,
        "userType": "",
        "timezone": "",
        "active": True,
        "emails": [{"value": person.email, "type": "work", "primary": True}],
        "addresses": [{"locality": "", "region": "", "country": ""}],
        ENTERPRISE_USER: {
            "organization": "",
            "department": person.department,
            "manager": {"value": "", "displayName": " "},
        },
    }


ONELOGIN = Provider(
    name="onelogin",
    domain="marram.example",
    headers={"Accept": "application/json", "User-Agent": ""},
    content_type="application/scim+json",
    concurrency=3,
    attributes=attributes.of,
    check=check,
    find=find,
    creation=_template,
    update=update,
    deactivation={"op": "replace", "path": "active", "value": False},
    groups=GroupShapes(push_group, change_members),
    deletes=True,
)
