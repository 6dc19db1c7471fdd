"""A custom API of people and teams for the tests: it gives ids of its own, lists in pages, and misbehaves as a test says."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.destinations.receivers import Received, Receiver, status

Json = dict[str, Any]
TOKEN = "the-token-of-the-registry"
_BODY = {
    "object": {
        "key": "id",
        "login": "resource.userName",
        "title": "resource.title",
        "nick": "resource.nickName",
        "state": {"when": "active eq false", "then": {"constant": "locked"}, "otherwise": {"constant": "open"}},
    }
}
PEOPLE: Json = {
    "method": "GET",
    "url": "/people?sort=id",
    "items": "data.items",
    "id": "id",
    "our_id": "key",
    "total": "meta.total",
    "compare": {name: _BODY["object"][name] for name in ("login", "title", "nick", "state")},
}
TEAMS: Json = {
    "method": "GET",
    "url": "/teams",
    "items": "data.items",
    "id": "id",
    "match": {"path": "name", "equals": "resource.displayName"},
    "total": "meta.total",
    "members": "members.person",
    "compare": {"name": "resource.displayName"},
}
PAGING: dict[str, Json] = {
    "": {},
    "next": {"paging": {"next": "links.next"}},
    "cursor": {"paging": {"cursor": "after", "path": "meta.after"}},
    "page": {"paging": {"page": "page"}},
    "offset": {"paging": {"offset": "skip"}},
}


def operations(pages_by: str = "", **people: Any) -> Json:
    """What the registry is asked; ``people`` changes the request that lists them."""
    team = {"object": {"name": "resource.displayName"}}
    return {
        "user.created": {"method": "POST", "url": "/people", "body": _BODY, "capture": "id"},
        "user.updated": {"method": "PUT", "url": "/people/{remote_id}", "body": _BODY},
        "user.deleted": {"method": "DELETE", "url": "/people/{remote_id}", "success": {"status": [204, 404]}},
        "user.list": {**PEOPLE, **PAGING[pages_by], **people},
        "group.created": {"method": "POST", "url": "/teams", "body": team, "capture": "id"},
        "group.updated": {"method": "PUT", "url": "/teams/{remote_id}", "body": team},
        "group.deleted": {"method": "DELETE", "url": "/teams/{remote_id}"},
        "group.member.added": {"method": "PUT", "url": "/teams/{remote_id}/members/{member.remote_id}"},
        "group.member.removed": {"method": "DELETE", "url": "/teams/{remote_id}/members/{member.remote_id}"},
        "group.list": {**TEAMS, **PAGING[pages_by]},
    }


# What a test puts in the place of what is listed: JSON, or bytes; or None to let it be.
Change = Callable[[Received, Json], Any]


@dataclass
class Registry:
    """``changes`` are made to what would be listed, in order. Ids are numbers; a page has three items."""

    pages_by: str = ""
    url: str = ""
    first_page: int = 1
    stored: dict[str, dict[str, Json]] = field(default_factory=lambda: {"people": {}, "teams": {}})
    requests: list[Received] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    # The status of every list.
    status: str = "200 OK"
    # Attributes that it drops.
    drops: frozenset[str] = frozenset()
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(101))

    @property
    def people(self) -> dict[str, Json]:
        return self.stored["people"]

    @property
    def teams(self) -> dict[str, Json]:
        return self.stored["teams"]

    def person(self, login: str) -> Json:
        (found,) = [one for one in self.people.values() if one["login"] == login]
        return found

    def members(self, name: str) -> set[str]:
        (team,) = [one for one in self.teams.values() if one["name"] == name]
        return {self.people[str(id)]["login"] for id in team["members"] if str(id) in self.people}

    def asked(self, method: str = "") -> list[str]:
        """What was asked, without lists unless those are wanted."""
        wanted = [one for one in self.requests if one.method == method or (not method and one.method != "GET")]
        return [f"{one.method} {one.path.removeprefix('/api')}" for one in wanted]

    async def answering(self, receiver: Receiver, request: Received, reader: Any, writer: Any) -> None:
        self.requests.append(request)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        line, body = self._answer(request)
        await status(line, body, "Content-Type: application/json")(receiver, request, reader, writer)

    def _answer(self, request: Received) -> tuple[str, bytes]:
        name, *rest = urlsplit(request.path).path.removeprefix("/api/").split("/")
        if request.method == "GET":
            return self.status, self._list(request, name)
        body = orjson.loads(request.body) if request.body else {}
        if request.method == "POST":
            id = next(self.ids)
            self.stored[name][str(id)] = self._kept(name, {"id": id, **body})
            return "201 Created", orjson.dumps({"id": id})
        if rest[0] not in self.stored[name]:
            return "404 Not Found", b"{}"
        if len(rest) == 3:
            (self._join if request.method == "PUT" else self._leave)(self.teams[rest[0]]["members"], int(rest[2]))
        elif request.method == "PUT":
            before = self.stored[name][rest[0]]
            self.stored[name][rest[0]] = {**self._kept(name, body), "id": before["id"], "members": before["members"]}
        else:
            del self.stored[name][rest[0]]
        return "204 No Content", b""

    def _kept(self, name: str, body: Json) -> Json:
        kept = {key: value for key, value in body.items() if key not in self.drops}
        return {**kept, "members": []}

    @staticmethod
    def _join(members: list[int], id: int) -> None:
        if id not in members:
            members.append(id)

    @staticmethod
    def _leave(members: list[int], id: int) -> None:
        if id in members:
            members.remove(id)

    def _list(self, request: Received, name: str) -> bytes:
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        first, size = 0, 3
        match self.pages_by:
            case "":
                size = 1_000_000
            case "page":
                first = (int(query["page"]) - self.first_page) * size
            case "offset":
                first = int(query["skip"])
            case _:
                first = int(query.get("after", 0))
        items = [self._item(one) for one in self.stored[name].values()]
        answer: Json = {"data": {"items": items[first : first + size]}, "meta": {"total": len(items)}, "links": {}}
        if first + size < len(items):
            answer["meta"]["after"] = first + size
            answer["links"]["next"] = f"{name}?after={first + size}"
        changed: Any = answer
        for change in self.changes:
            found = change(request, answer)
            changed = changed if found is None else found
        return changed if isinstance(changed, bytes) else orjson.dumps(changed)

    def _item(self, stored: Json) -> Json:
        return {**stored, "members": [{"person": id, "since": "2026"} for id in stored["members"]]}
