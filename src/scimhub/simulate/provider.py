"""What makes up one provider: its traits, and its functions from a person or a group to a conversation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from scimhub.simulate import steps
from scimhub.simulate.people import Career, Group, Person
from scimhub.simulate.steps import Asking, Conversation, Memory, Operation

Found: TypeAlias = Mapping[str, object]

# A change of members: who comes and who goes.
ChangeMembers: TypeAlias = Callable[[Group, Sequence[Person], Sequence[Person], Memory], Conversation]


@dataclass(frozen=True, slots=True)
class GroupShapes:
    """How a provider speaks of groups. ``drops_leavers``: leavers are taken out of their groups first."""

    push: Callable[[Group, Sequence[Person], Memory], Conversation]
    change: ChangeMembers
    creates_empty: bool = True
    drops_leavers: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's way of speaking.

    ``headers`` go with every request, None removes one that the HTTP library would add; ``content_type`` goes with a body, and
    with ``types_every_request`` also without. ``blank`` is how a blank is written in a query. ``attributes`` gives what must be
    on the server for a person, by PATCH path, without the manager; ``sends_manager`` tells whether that is sent, and
    ``manager_first`` that it is part of the create, so that whoever leads has to be there before. ``update`` is given what the
    match query found, when there was one. ``deletes``: leavers may end as deleted. ``refer`` is a separate pass for references,
    ``survey`` reads everything at the end.
    """

    name: str
    domain: str
    headers: Mapping[str, str | None]
    content_type: str
    concurrency: int
    attributes: Callable[[Person], dict[str, object]]
    check: Callable[[Memory], Conversation]
    find: Callable[[str], Asking[Found | None]]
    creation: Callable[[Person, Memory], dict[str, object]]
    update: Callable[[Person, Memory, Found | None], Conversation]
    deactivation: Operation
    groups: GroupShapes | None = None
    refer: Callable[[Person, Memory], Conversation] | None = None
    survey: Callable[[], Conversation] | None = None
    deletes: bool = False
    sends_manager: bool = False
    manager_first: bool = False
    types_every_request: bool = False
    blank: str = "%20"


def join(provider: Provider, person: Person, memory: Memory) -> Conversation:
    """The match query; whoever is found is taken over by an update, otherwise POST."""
    found = yield from provider.find(person.user_name)
    if found is not None:
        memory.users[person.key] = steps.id_of(found)
        yield from provider.update(person, memory, found)
        return
    answer = yield steps.post("/Users", provider.creation(person, memory))
    memory.users[person.key] = answer.id


def recall(provider: Provider, career: Career, memory: Memory) -> Asking[bool]:
    """Whether the server has the person; one who joined in an earlier run is looked up by either user name."""
    if career.key in memory.users:
        return True
    for name in dict.fromkeys(person.user_name for person in (career.joined, career.moved) if person is not None):
        found = yield from provider.find(name)
        if found is not None:
            memory.users[career.key] = steps.id_of(found)
            return True
    return False


def move(provider: Provider, career: Career, memory: Memory) -> Conversation:
    """What changed about the person; a provider with a pass for references leaves the manager to that."""
    person = career.moved or career.joined
    yield from _require(provider, career, memory)
    if provider.manager_first and person.manager is not None:
        yield from _require(provider, memory.population.careers[person.manager], memory)
    yield from provider.update(person, memory, None)


def refer(provider: Provider, person: Person, memory: Memory) -> Conversation:
    """The pass for references, when both ends are there."""
    if provider.refer is None or person.manager is None:
        return
    for key in (person.key, person.manager):
        yield from _require(provider, memory.population.careers[key], memory)
    yield from provider.refer(person, memory)


def deactivate(provider: Provider, career: Career, memory: Memory) -> Conversation:
    yield from _require(provider, career, memory)
    yield steps.patch(f"/Users/{memory.users[career.key]}", [provider.deactivation])


def delete(provider: Provider, career: Career, memory: Memory) -> Conversation:
    yield from _require(provider, career, memory)
    yield steps.delete(f"/Users/{memory.users[career.key]}")


def _require(provider: Provider, career: Career, memory: Memory) -> Conversation:
    """Raises Unusable when the server has not the person."""
    if not (yield from recall(provider, career, memory)):
        raise steps.Unusable(f"The server has no user {career.joined.user_name}; was the story join told?")
