"""What the server must hold when the stories are told, and where it differs."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from scimhub.simulate import attributes, steps
from scimhub.simulate.people import Career, Person, Population
from scimhub.simulate.provider import Provider
from scimhub.simulate.stories import Story


@dataclass(frozen=True, slots=True)
class ExpectedUser:
    """``attributes`` by PATCH path; ``manager`` is the user name of whoever it must refer to, None: not compared."""

    user_name: str
    attributes: Mapping[str, object]
    manager: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """The users that must be there, user names that nobody may have, and the members of each group by user name."""

    users: tuple[ExpectedUser, ...]
    absent: tuple[str, ...]
    groups: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """At ``path`` of the user or group ``subject`` the server has ``found`` where ``wanted`` should be."""

    subject: str
    path: str
    wanted: object
    found: object

    def __str__(self) -> str:
        return f"{self.subject}: {self.path} is {self.found!r} and should be {self.wanted!r}."

    def render(self) -> dict[str, object]:
        return {"subject": self.subject, "path": self.path, "wanted": self.wanted, "found": self.found}


def expected(provider: Provider, population: Population, stories: Sequence[Story]) -> Expected:
    """The end state after all stories told so far, in this run and before it."""
    people = {career.key: _last(career, stories) for career in population.careers}
    leavers = {
        career.key: career.departure for career in population.careers if "leave" in stories and career.departure != "stays"
    }
    deleted = {key for key, departure in leavers.items() if departure == "deleted" and provider.deletes}
    users, absent = [], []
    for career in population.careers:
        person = people[career.key]
        if career.key in deleted:
            absent.append(person.user_name)
        else:
            wanted = provider.attributes(person) | {"active": career.key not in leavers}
            manager = people[person.manager].user_name if provider.sends_manager and person.manager is not None else None
            users.append(ExpectedUser(person.user_name, wanted, manager))
        if career.joined.user_name != person.user_name:
            absent.append(career.joined.user_name)
    groups: dict[str, frozenset[str]] = {}
    if provider.groups is not None:
        gone = set(leavers) if provider.groups.drops_leavers else deleted
        groups = {group.name: _members(group.name, people, gone) for group in population.groups}
        if not provider.groups.creates_empty:
            careers = population.careers if "move" in stories else ()
            ever = {name for each in careers if each.moved for name in each.moved.groups}
            ever |= {name for each in population.careers for name in each.joined.groups}
            groups = {name: members for name, members in groups.items() if name in ever}
    return Expected(tuple(users), tuple(absent), groups)


async def compare(
    client: httpx.AsyncClient, base_url: str, provider: Provider, population: Population, stories: Sequence[Story]
) -> list[Difference]:
    """Where the server at ``base_url`` differs from what is expected, users first; raises httpx.HTTPError, Unusable."""
    wanted = expected(provider, population, stories)
    reader = _Reader(client, base_url.partition("?")[0].rstrip("/"))
    names = [*(user.user_name for user in wanted.users), *wanted.absent]
    users = {name: await reader.find("/Users", "userName", name) for name in names}
    found_groups = [await reader.find_group(name) for name in wanted.groups]
    differences = [difference for user in wanted.users for difference in _compare_user(user, users)]
    differences += [Difference(name, "userName", None, name) for name in wanted.absent if users[name]]
    by_id = {str(found[0].get("id")): name for name, found in users.items() if found}
    for (name, members), found in zip(wanted.groups.items(), found_groups, strict=True):
        differences += _compare_group(name, members, found, by_id)
    return differences


class _Reader:
    """Reads one thing after the other; raises httpx.HTTPError."""

    def __init__(self, client: httpx.AsyncClient, root: str) -> None:
        self._client = client
        self._root = root

    async def find(self, endpoint: str, attribute: str, value: str) -> list[Mapping[str, object]]:
        """All resources that have the value."""
        answer = await self._get(f"{endpoint}?filter={quote(steps.equals(attribute, value), safe='')}")
        resources = answer.get("Resources", [])
        return [each for each in resources if isinstance(each, dict)] if isinstance(resources, list) else []

    async def find_group(self, name: str) -> list[Mapping[str, object]]:
        """The groups of that name, with their members as a GET of each shows them."""
        return [
            await self._get(f"/Groups/{quote(steps.id_of(each))}") for each in await self.find("/Groups", "displayName", name)
        ]

    async def _get(self, target: str) -> Mapping[str, object]:
        response = await self._client.get(self._root + target)
        response.raise_for_status()
        body = json.loads(response.content)
        return body if isinstance(body, dict) else {}


def _compare_user(user: ExpectedUser, users: Mapping[str, Sequence[Mapping[str, object]]]) -> Iterator[Difference]:
    found = users[user.user_name]
    if len(found) != 1:
        yield Difference(user.user_name, "number of users", 1, len(found))
        return
    for path, value in attributes.differences(found[0], user.attributes).items():
        yield Difference(user.user_name, path, value, attributes.read(found[0], path))
    if user.manager is not None:
        wanted = next((each.get("id") for each in users[user.manager]), None)
        shown = attributes.read(found[0], attributes.MANAGER)
        if shown != wanted:
            yield Difference(user.user_name, attributes.MANAGER, wanted, shown)


def _compare_group(
    name: str, members: frozenset[str], found: Sequence[Mapping[str, object]], by_id: Mapping[str, str]
) -> Iterator[Difference]:
    if len(found) != 1:
        yield Difference(name, "number of groups", 1, len(found))
        return
    listed = found[0].get("members", [])
    ids = [str(each.get("value")) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    shown = sorted(by_id.get(each, each) for each in ids)
    if shown != sorted(members):
        yield Difference(name, "members", sorted(members), shown)


def _last(career: Career, stories: Sequence[Story]) -> Person:
    return career.moved if career.moved is not None and "move" in stories else career.joined


def _members(name: str, people: Mapping[int, Person], gone: Collection[int]) -> frozenset[str]:
    return frozenset(person.user_name for key, person in people.items() if name in person.groups and key not in gone)
