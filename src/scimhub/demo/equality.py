"""Whether a copy holds exactly what the hub answers over SCIM: every resource, version, attribute and membership."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scimhub.consumer import Replica

_PAGE = 500
_ENDPOINTS = ("/Users", "/Groups")
# Members are compared by themselves; of which groups somebody is, the groups say.
_APART = frozenset({"members", "groups"})


@dataclass(frozen=True, slots=True)
class State:
    """One resource, wherever it was read; ``document`` is without members and groups."""

    type: str
    id: str
    name: str
    version: int
    document: Mapping[str, object]
    members: frozenset[str]


States = Mapping[str, State]


async def read_hub(client: httpx.AsyncClient, base_url: str) -> dict[str, State]:
    """All users and groups by id, as a list of each over SCIM shows them; raises httpx.HTTPError."""
    found: dict[str, State] = {}
    for endpoint in _ENDPOINTS:
        async for resource in _walk(client, base_url + endpoint):
            members = frozenset(str(each["value"]) for each in resource.get("members", ()))
            # Ours is W/"<epoch>.<version>".
            version = int(resource["meta"]["version"].strip('W/"').rpartition(".")[2])
            state = _state(resource["meta"]["resourceType"], resource["id"], version, resource, members)
            found[state.id] = state
    return found


def read_copy(file: Path) -> dict[str, State]:
    """All users and groups of a replica by id."""
    with Replica(file) as replica:
        return {
            held.id: _state(held.type, held.id, held.version, held.resource, frozenset(replica.members_of(held.id)))
            for held in replica.resources()
        }


def differences(hub: States, copy: States) -> list[str]:
    """A sentence for each thing in which the copy is not as the hub; empty when they are equal."""
    return [sentence for id in sorted(hub.keys() | copy.keys()) for sentence in _compare(id, hub, copy)]


def _compare(id: str, hub: States, copy: States) -> Iterator[str]:
    if id not in copy:
        yield f"{_whom(hub[id])} is missing."
        return
    if id not in hub:
        yield f"{_whom(copy[id])} is there, and the hub has it not."
        return
    wanted, found = hub[id], copy[id]
    whom = _whom(wanted)
    if found.version != wanted.version:
        yield f"{whom} has version {found.version}; the hub has {wanted.version}."
    for name in sorted(wanted.document.keys() | found.document.keys()):
        if found.document.get(name) != wanted.document.get(name):
            yield f"{whom}: {name} is {found.document.get(name)!r}; the hub has {wanted.document.get(name)!r}."
    for member in sorted(wanted.members - found.members):
        yield f"{whom} lacks the member {_name(member, hub)}."
    for member in sorted(found.members - wanted.members):
        yield f"{whom} has the member {_name(member, copy)}, whom the hub has not in it."


def _whom(state: State) -> str:
    return f"{state.type} {state.name or state.id}"


def _name(id: str, states: States) -> str:
    return (states[id].name if id in states else "") or id


def _state(type: str, id: str, version: int, resource: Mapping[str, Any], members: frozenset[str]) -> State:
    document = {name: value for name, value in resource.items() if name not in _APART}
    if isinstance(meta := document.get("meta"), dict):
        # An event tells of a change, not of how old the resource is.
        document["meta"] = {name: value for name, value in meta.items() if name != "created"}
    name = document.get("userName") or document.get("displayName") or ""
    return State(type, id, str(name), version, document, members)


async def _walk(client: httpx.AsyncClient, url: str) -> Any:
    start = 1
    while True:
        answer = await client.get(url, params={"startIndex": start, "count": _PAGE})
        answer.raise_for_status()
        page = answer.json()
        for resource in page.get("Resources", ()):
            yield resource
        start += _PAGE
        if start > page["totalResults"]:
            return
