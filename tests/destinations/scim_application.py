"""A small SCIM application for the tests: it keeps what it is told, and misbehaves as a test says.

It has been written from the RFC for these tests, and knows of PATCH what our sender writes.
"""

import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from scimhub import clock
from scimhub.destinations import kinds
from scimhub.distribution.delivery import Destination, Message, Outcome, Secret, Subscription
from scimhub.distribution.ledger import Remote
from scimhub.distribution.ports import Sender
from scimhub.sqlstore.store import SqlStore
from tests.consumer.hub import Place, open_sqlite
from tests.destinations.receivers import LOOPBACK, Received, Receiver, receiving

Json = dict[str, Any]
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
TOKEN = "the-token-of-the-application"
SCIM = "application/scim+json"
T0 = "2026-11-23T20:00:00.000Z"
_FILTER = re.compile(r'([\w.]+) eq "((?:[^"\\]|\\.)*)"')
_MEMBER = re.compile(r'members\[value eq "([^"]+)"\]')


@dataclass
class Answer:
    status: int
    body: Json | bytes | None = None
    headers: tuple[str, ...] = ()
    media_type: str = SCIM
    # The connection ends after the request was carried out, and no byte of the answer goes out.
    is_dropped: bool = False

    def render(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else b"" if self.body is None else orjson.dumps(self.body)
        lines = (
            f"HTTP/1.1 {self.status} X",
            f"Content-Length: {len(content)}",
            f"Content-Type: {self.media_type}",
            *self.headers,
        )
        return "\r\n".join((*lines, "", "")).encode() + content


def error(status: int, scim_type: str = "", detail: str = "") -> Answer:
    return Answer(status, {"schemas": [ERROR], "status": str(status), "scimType": scim_type, "detail": detail})


HTML_404 = Answer(404, b"<html>Not Found</html>", media_type="text/html")
# What a test puts in the place of the answer, or None to let the application answer.
Fault = Callable[[Received, Json | None], Answer | None]


@dataclass
class Application:
    """``faults`` are asked first, in order; ``after`` changes what the application would answer."""

    ability: Json | None = field(
        default_factory=lambda: {"patch": {"supported": True}, "filter": {"supported": True}, "etag": {"supported": True}}
    )
    stored: dict[str, dict[str, Json]] = field(default_factory=lambda: {"Users": {}, "Groups": {}})
    faults: list[Fault] = field(default_factory=list)
    after: list[Callable[[Received, Answer], Answer]] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    ignores_filters: bool = False
    # How a list comes in pages: by index or by cursor; empty for all at once.
    pages_by: str = ""
    keeps_dead_members: bool = False
    url: str = ""

    @property
    def users(self) -> dict[str, Json]:
        return self.stored["Users"]

    @property
    def groups(self) -> dict[str, Json]:
        return self.stored["Groups"]

    def writes(self) -> list[str]:
        """Every request that was to change something: its method and the endpoint."""
        return [f"{one.method} {urlsplit(one.path).path.split('/')[2]}" for one in self.requests if one.method != "GET"]

    def bodies(self, method: str) -> list[Json]:
        return [orjson.loads(one.body) for one in self.requests if one.method == method]

    def members(self, display: str) -> set[str]:
        """The userNames of the group's members."""
        group = next(one for one in self.groups.values() if one["displayName"] == display)
        return {self.users[member["value"]]["userName"] for member in group.get("members", ())}

    def add(self, endpoint: str, **content: Any) -> str:
        """Somebody who is there already."""
        return self._keep(endpoint, f"there-{next(self.ids)}", content)

    async def answering(self, receiver: Receiver, request: Received, reader: Any, writer: Any) -> None:
        self.requests.append(request)
        body = orjson.loads(request.body) if request.body else None
        answer = next((found for fault in self.faults if (found := fault(request, body)) is not None), None)
        answer = answer or self._answer(request, body)
        for change in self.after:
            answer = change(request, answer)
        if answer.is_dropped:
            writer.transport.abort()
            return
        writer.write(answer.render())
        await writer.drain()

    # ------------------------------------------------------------------ within

    def _answer(self, request: Received, body: Json | None) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return error(401)
        parts = urlsplit(request.path)
        _, _, endpoint, *rest = unquote(parts.path).split("/")
        if endpoint == "ServiceProviderConfig":
            return HTML_404 if self.ability is None else Answer(200, self.ability)
        if not rest:
            query = parse_qs(parts.query)
            return self._create(endpoint, body or {}) if request.method == "POST" else self._list(endpoint, query)
        if rest[0] not in self.stored[endpoint]:
            return error(404)
        etag = request.headers.get("if-match")
        if etag is not None and etag != self.stored[endpoint][rest[0]]["meta"]["version"]:
            return error(412)
        return self._one(request.method, endpoint, rest[0], body or {})

    def _one(self, method: str, endpoint: str, id: str, body: Json) -> Answer:
        found = self.stored[endpoint][id]
        if method == "DELETE":
            del self.stored[endpoint][id]
            for group in () if self.keeps_dead_members else self.groups.values():
                group["members"] = [one for one in group.get("members", ()) if one["value"] != id]
            return Answer(204)
        if method == "PUT":
            self._keep(endpoint, id, body)
        if method == "PATCH":
            refused = next((r for op in body["Operations"] if (r := self._apply(found, op)) is not None), None)
            if refused is not None:
                return refused
            self._keep(endpoint, id, found)
        found = self.stored[endpoint][id]
        return Answer(200, found, (f"ETag: {found['meta']['version']}",))

    def _create(self, endpoint: str, body: Json) -> Answer:
        name = str(body.get("userName", "")).lower()
        if endpoint == "Users" and any(one["userName"].lower() == name for one in self.users.values()):
            return error(409, "uniqueness", f"{body['userName']} is taken")
        id = self._keep(endpoint, f"r{next(self.ids)}", body)
        found = self.stored[endpoint][id]
        return Answer(201, found, (f"ETag: {found['meta']['version']}",))

    def _list(self, endpoint: str, query: dict[str, list[str]]) -> Answer:
        found = list(self.stored[endpoint].values())
        if "filter" in query and not self.ignores_filters:
            match = _FILTER.fullmatch(query["filter"][0])
            assert match is not None
            value = match[2].replace('\\"', '"').replace("\\\\", "\\")
            found = [one for one in found if str(one.get(match[1], "")).lower() == value.lower()]
        return Answer(200, self._page(found, query))

    def _page(self, found: list[Json], query: dict[str, list[str]]) -> Json:
        count, total = int(query.get("count", ["1000"])[0]), len(found)
        if self.pages_by == "cursor":
            first = int((query.get("cursor", [""])[0] or "0").removeprefix("c"))
            following = {"nextCursor": f"c{first + count}"} if first + count < total else {}
            return {"totalResults": total, "Resources": found[first : first + count], **following}
        first = max(0, int(query.get("startIndex", ["1"])[0]) - 1) if self.pages_by == "index" else 0
        some = found[first : first + count] if self.pages_by == "index" else found
        return {"totalResults": total, "Resources": some}

    def _keep(self, endpoint: str, id: str, content: Json) -> str:
        meta = {"version": f'W/"{next(self.versions)}"'}
        self.stored[endpoint][id] = {**content, "id": id, "meta": meta}
        return id

    def _apply(self, found: Json, operation: Json) -> Answer | None:
        op, path, value = operation["op"], operation["path"], operation.get("value")
        members = found.setdefault("members", []) if path.startswith("members") else []
        if op == "add" and path == "members":
            unknown = [one for one in value if one["value"] not in {**self.users, **self.groups}]
            if unknown:
                return error(400, "invalidValue")
            members += [one for one in value if one not in members]
            return None
        if op == "remove" and path.startswith("members"):
            named = _MEMBER.fullmatch(path)
            gone = {named[1]} if named else {one["value"] for one in value}
            if not gone <= {one["value"] for one in members}:
                return error(400, "noTarget")
            found["members"] = [one for one in members if one["value"] not in gone]
            return None
        holder, name = _place(found, path)
        if op == "remove":
            holder.pop(name, None)
        else:
            holder[name] = value
        return None


def _place(found: Json, path: str) -> tuple[Json, str]:
    if path.startswith("urn:"):
        urn, _, name = path.rpartition(":")
        return found.setdefault(urn, {}), name
    top, _, part = path.partition(".")
    return (found.setdefault(top, {}), part) if part else (found, top)


# --------------------------------------------------------------------------- a destination that is open


@dataclass
class Stage:
    """A store with one directory, a destination of kind ``scim_app`` in it, and the application."""

    application: Application
    store: SqlStore
    place: Place
    destination: Destination
    sender: Sender
    secrets: list[Secret]
    now: float = 1_800_000_000.0

    async def send(
        self,
        type: str,
        id: str,
        version: int = 1,
        *,
        added: tuple[str, ...] = (),
        removed: tuple[str, ...] = (),
        **resource: Any,
    ) -> Outcome:
        return await self.sender.send(told(type, id, version, added=added, removed=removed, **resource))

    async def remote(self, id: str) -> Remote:
        found = await self.store.find_remote(self.destination.key, id)
        assert found is not None
        return found

    async def waiting(self, group: str) -> set[str]:
        found = await self.store.list_pending(self.destination.key, group, "waiting")
        return {one.member_id for one in found}

    async def reopen(self) -> None:
        """As after a restart: nothing is known but the ledger."""
        await self.sender.close()
        self.sender = self._open()

    def _open(self) -> Sender:
        kind = kinds(LOOPBACK, lambda: self.now, self.store)["scim_app"]
        return kind.open(self.destination, self.secrets)


def told(
    type: str, id: str, version: int = 1, *, added: tuple[str, ...] = (), removed: tuple[str, ...] = (), **resource: Any
) -> Message:
    """The event of that type, as the envelope makes it."""
    resource_type = type.partition(".")[0].capitalize()
    attributes = {"specversion": "1.0", "id": f"{id}-{version}", "type": f"scimhub.{type}", "subject": id}
    if type == "test":
        return Message("t", attributes, b"{}")
    content: Json = {"resourceType": resource_type, "id": id, "version": version, "position": version, "cause": "write"}
    if not type.endswith(".deleted"):
        content |= {"changed": [], "resource": {"id": id, "schemas": [], "meta": {"version": "W/1"}, **resource}}
    if resource_type == "Group" and not type.endswith(".deleted"):
        content["members"] = {"added": list(added), "removed": list(removed)}
    return Message(f"{id}-{version}", attributes, orjson.dumps(content))


@asynccontextmanager
async def on_stage(
    folder: Path, application: Application | None = None, *, wish: Subscription | None = None, **configuration: Any
) -> AsyncIterator[Stage]:
    application = application or Application()
    store = open_sqlite(folder)
    try:
        async with receiving(application.answering) as receiver:
            application.url = f"http://127.0.0.1:{receiver.port}/scim"
            kind = kinds(LOOPBACK, lambda: 0.0, store)["scim_app"]
            checked = kind.check({"base_url": application.url, "timeout": 5, **configuration})
            place = await Place.open(store)
            destination = await store.create_destination(
                place.directory.key, "app", "scim_app", checked, wish or Subscription(), 0, clock.now_text()
            )
            secrets = [Secret("s", "password", TOKEN.encode(), "", T0, None)]
            stage = Stage(application, store, place, destination, None, secrets)  # type: ignore[arg-type]  # opened next
            stage.sender = stage._open()
            try:
                yield stage
            finally:
                await stage.sender.close()
    finally:
        await store.close()


def once(answer: Answer, method: str, endpoint: str = "") -> Fault:
    """That answer to the first such request."""
    left = [answer]

    def fault(request: Received, body: Json | None) -> Answer | None:
        is_meant = request.method == method and f"/{endpoint}" in request.path and "ServiceProviderConfig" not in request.path
        return left.pop() if left and is_meant else None

    return fault


def always(answer: Answer, method: str, endpoint: str = "") -> Fault:
    """That answer to every such request."""

    def fault(request: Received, body: Json | None) -> Answer | None:
        is_meant = request.method == method and f"/{endpoint}" in request.path and "ServiceProviderConfig" not in request.path
        return answer if is_meant else None

    return fault


def dropping(method: str, endpoint: str) -> Callable[[Received, Answer], Answer]:
    """Carry the first such request out, and let its answer be lost."""
    left = [True]

    def change(request: Received, answer: Answer) -> Answer:
        if left and request.method == method and f"/{endpoint}" in request.path:
            left.clear()
            return Answer(answer.status, is_dropped=True)
        return answer

    return change
