"""What a provider says and hears: a conversation is a generator that yields a ``Step`` and is sent the ``Answer`` to it.

Nothing here waits or speaks to a network, so a provider's way of talking can be tested by handing it answers.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from scimhub.simulate.people import Person, Population

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Operation: TypeAlias = Mapping[str, object]

_FOUND = frozenset({200})
_CREATED = frozenset({200, 201})
_CHANGED = frozenset({200, 204})
# Somebody already gone is what a DELETE asks for.
_DELETED = frozenset({200, 204, 404})


class Unusable(Exception):
    """The answer has the right status, yet a provider cannot go on with it; says what is missing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request; ``right`` are the statuses with which the conversation goes on."""

    method: Method
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    right: frozenset[int] = _FOUND

    @property
    def kind(self) -> str:
        """The sort of request it is: ``GET /Users?filter``, ``PATCH /Groups/{id}``."""
        _, endpoint, *ids = self.path.split("/")
        listed = next((f"?{name}" for name in ("filter", "startIndex") if name in self.query), "")
        return f"{self.method} /{endpoint}{'/{id}' if ids else ''}{listed}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``body`` is empty when there was none or it was not a JSON object; ``retry_after`` is seconds."""

    status: int
    body: Mapping[str, object] = field(default_factory=dict)
    text: str = ""
    retry_after: float | None = None

    @property
    def id(self) -> str:
        """The resource's id; raises Unusable without one (Okta: "Create new user returned empty user")."""
        return id_of(self.body)

    @property
    def resources(self) -> list[Mapping[str, object]]:
        """The Resources of a ListResponse; raises Unusable when they are not a list of objects (RFC 7644 §3.4.2)."""
        found = self.body.get("Resources", [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise Unusable("The ListResponse's Resources are not a list of objects.")
        return found

    @property
    def total(self) -> int:
        """The totalResults of a ListResponse; raises Unusable unless it is an integer."""
        total = self.body.get("totalResults")
        if not isinstance(total, int) or isinstance(total, bool):
            raise Unusable(f"The ListResponse's totalResults is {total!r}, not an integer.")
        return total

    @property
    def detail(self) -> str:
        """What the server says was wrong, as the console of a provider shows it."""
        said = self.body.get("detail")
        return said if isinstance(said, str) else self.text[:200]


_T = TypeVar("_T")
Conversation: TypeAlias = Generator[Step, Answer, None]
Asking: TypeAlias = Generator[Step, Answer, _T]


@dataclass(slots=True)
class Memory:
    """What a provider knows: its population, and the server's ids of users by the person's key and of groups by name."""

    population: Population
    users: dict[int, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def known(self, people: Sequence[Person]) -> list[Person]:
        """Those whom the server has."""
        return [person for person in people if person.key in self.users]

    def manager_of(self, person: Person) -> tuple[str, str] | None:
        """The manager's id on the server and display name; None without one there."""
        if person.manager is None or person.manager not in self.users:
            return None
        return self.users[person.manager], self.population.careers[person.manager].joined.display_name


def get(path: str, query: Mapping[str, object] | None = None, right: frozenset[int] = _FOUND) -> Step:
    return Step("GET", path, {name: str(value) for name, value in (query or {}).items()}, right=right)


def post(path: str, body: Mapping[str, object], right: frozenset[int] = _CREATED) -> Step:
    return Step("POST", path, body=body, right=right)


def put(path: str, body: Mapping[str, object]) -> Step:
    return Step("PUT", path, body=body)


def patch(path: str, operations: Sequence[Operation]) -> Step:
    return Step("PATCH", path, body={"schemas": [PATCH_OP], "Operations": list(operations)}, right=_CHANGED)


def delete(path: str, right: frozenset[int] = _DELETED) -> Step:
    return Step("DELETE", path, right=right)


def equals(path: str, value: str) -> str:
    """``path eq "value"``, the value as a JSON string (RFC 7644 §3.4.2.2)."""
    return f"{path} eq {json.dumps(value, ensure_ascii=False)}"


def find(step: Step) -> Asking[Mapping[str, object] | None]:
    """The first resource that a list request gives, or None; where 404 is right it means nobody."""
    answer = yield step
    if answer.status == 404:
        return None
    # The whole list is the answer of a server that could not read the filter: taking the first would mix up people.
    if answer.total > 1 and "filter" in step.query:
        raise Unusable(f"The filter {step.query['filter']} should find one at most and found {answer.total}.")
    return next(iter(answer.resources), None)


def walk(endpoint: str, count: int) -> Asking[list[Mapping[str, object]]]:
    """All resources of an endpoint, page by page (RFC 7644 §3.4.2.4); raises Unusable when pages overlap."""
    found: list[Mapping[str, object]] = []
    while True:
        answer = yield get(endpoint, {"startIndex": len(found) + 1, "count": count})
        found += answer.resources
        if not answer.resources or len(found) >= answer.total:
            break
    ids = [id_of(each) for each in found]
    if len(set(ids)) < len(ids):
        raise Unusable(f"The pages of {endpoint} overlap: {len(ids)} resources, {len(set(ids))} different ids.")
    return found


def id_of(resource: Mapping[str, object]) -> str:
    """The resource's id; raises Unusable without one."""
    found = resource.get("id")
    if not isinstance(found, str) or not found:
        raise Unusable("The answer holds no id.")
    return found
