"""A whole hub in this process, and clients that speak SCIM to it, for the tests of the requirements.

The application runs on an event loop in a thread of its own, so that the tests read as plain sequences of requests. Each
test gets a directory of its own, and uses its strict source unless the row is about tolerance.
"""

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx

from scimhub import app, clock
from scimhub.directory import schemas, sources
from scimhub.directory.records import Change, Directory
from scimhub.settings import Settings
from tests.keys import SEALING_KEYS
from tests.servers.running import PATIENCE
from tests.servers.wired import Wired

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MESSAGE = "urn:ietf:params:scim:api:messages:2.0"
ORIGIN = "https://hub.example"

Result = TypeVar("Result")
Json = dict[str, Any]
# None leaves out a header that would else be sent.
Headers = Mapping[str, str | bytes | None]


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Client:
    """One source's way to its directory: paths are below the SCIM base URL."""

    loop: Loop
    application: Any
    directory: str
    token: str | None

    @property
    def base(self) -> str:
        return f"{ORIGIN}/scim/{self.directory}/v2"

    def request(
        self, method: str, path: str, body: object = None, headers: Headers | None = None, **options: Any
    ) -> httpx.Response:
        return self.loop.run(self._send(method, path, body, headers, **options))

    async def _send(
        self, method: str, path: str, body: object = None, headers: Headers | None = None, **options: Any
    ) -> httpx.Response:
        merged: dict[str, str | bytes | None] = {"authorization": None if self.token is None else f"Bearer {self.token}"}
        if body is not None:
            merged["content-type"] = "application/scim+json"
            options["content" if isinstance(body, bytes) else "json"] = body
        merged |= {name.lower(): value for name, value in (headers or {}).items()}
        sent = {name: value for name, value in merged.items() if value is not None}
        transport = Wired(self.application)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(
                method, path if path.startswith("http") else f"{self.base}{path}", headers=sent, **options
            )

    def together(self, *requests: Sequence[Any]) -> list[httpx.Response]:
        """Send them all at once; each is (method, path, body) and perhaps headers."""

        async def send() -> list[httpx.Response]:
            return await asyncio.gather(*(self._send(*request) for request in requests))

        return self.loop.run(send())

    def get(self, path: str, headers: Headers | None = None, **query: str) -> httpx.Response:
        return self.request("GET", path, headers=headers, params=query or None)

    def post(self, path: str, body: object, headers: Headers | None = None) -> httpx.Response:
        return self.request("POST", path, body, headers)

    def put(self, path: str, body: object, headers: Headers | None = None) -> httpx.Response:
        return self.request("PUT", path, body, headers)

    def patch(self, path: str, *operations: Mapping[str, Any], headers: Headers | None = None) -> httpx.Response:
        return self.request("PATCH", path, {"schemas": [f"{MESSAGE}:PatchOp"], "Operations": list(operations)}, headers)

    def delete(self, path: str, headers: Headers | None = None) -> httpx.Response:
        return self.request("DELETE", path, headers=headers)

    def bulk(self, *operations: Mapping[str, Any], **members: Any) -> httpx.Response:
        return self.post("/Bulk", {"schemas": [f"{MESSAGE}:BulkRequest"], "Operations": list(operations), **members})

    def search(self, path: str = "/.search", **members: Any) -> httpx.Response:
        return self.post(path, {"schemas": [f"{MESSAGE}:SearchRequest"], **members})

    # ----------------------------------------------------------------- what must work for a test to begin

    def user(self, name: str, /, **attributes: Any) -> Json:
        return created(self.post("/Users", user(name, **attributes)))

    def group(self, name: str, /, *members: str, **attributes: Any) -> Json:
        return created(self.post("/Groups", group(name, *members, **attributes)))

    def read(self, path: str, **query: str) -> Json:
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def found(self, expression: str, endpoint: str = "/Users") -> set[str]:
        """The userName or displayName of each resource that the filter finds."""
        listed = self.read(endpoint, filter=expression)["Resources"]
        return {resource.get("userName", resource.get("displayName", resource["id"])) for resource in listed}


@dataclass
class Hub:
    """A directory for one test: ``strict`` and ``lenient`` are sources of it, ``elsewhere`` is one of another directory."""

    loop: Loop
    opened: app.Hub
    directory: Directory
    _numbers: Iterator[int]
    _position: int = field(init=False)

    def __post_init__(self) -> None:
        self._position = self.loop.run(self.opened.store.last_position())

    @cached_property
    def strict(self) -> Client:
        return self.client("strict")

    @cached_property
    def lenient(self) -> Client:
        return self.client("lenient")

    @cached_property
    def elsewhere(self) -> Client:
        other = self.loop.run(sources.create_directory(self.opened.store, f"other-{next(self._numbers)}", clock.now_text()))
        return self.client("strict", directory=other)

    @cached_property
    def anonymous(self) -> Client:
        return Client(self.loop, self.opened.application, self.directory.name, None)

    def client(
        self, dialect: str, *, permissions: Sequence[str] = ("read", "write"), directory: Directory | None = None
    ) -> Client:
        """A new source with a token of its own."""
        directory = directory or self.directory
        store, now = self.opened.store, clock.now_text()
        name = f"{dialect}-{next(self._numbers)}"
        source = self.loop.run(sources.create_source(store, directory, name, dialect, "new", now))
        _, secret = self.loop.run(sources.create_token(store, source, permissions, None, now))
        return Client(self.loop, self.opened.application, directory.name, secret)

    def add_schema(self, document: object) -> schemas.Report:
        return self.loop.run(schemas.add_schema(self.opened.store, self.directory, document, clock.now_text(), clock.new_id))

    def changes(self) -> list[Change]:
        """What was committed in this test's directory since it began."""
        changes = self.loop.run(self.opened.store.read_changes(self._position, 10_000))
        return [change for change in changes if change.directory == self.directory.key]


class Application:
    """A hub with settings of its own, in which tests make directories."""

    def __init__(self, loop: Loop, folder: Path, **settings: Any) -> None:
        self._loop = loop
        self._stack = AsyncExitStack()
        known = {"database": folder / "scimhub.db", "data": folder, "public_url": ORIGIN, "secret_keys": SEALING_KEYS}
        # None leaves a setting as it is by default.
        self.settings = Settings(**{name: value for name, value in (known | settings).items() if value is not None})
        self.opened: app.Hub = loop.run(self._stack.enter_async_context(app.open_hub(self.settings)))
        self._numbers = itertools.count()

    def hub(self) -> Hub:
        name = f"directory-{next(self._numbers)}"
        directory = self._loop.run(sources.create_directory(self.opened.store, name, clock.now_text()))
        return Hub(self._loop, self.opened, directory, self._numbers)

    def close(self) -> None:
        self._loop.run(self._stack.aclose())


@contextmanager
def opened(loop: Loop, folder: Path, **settings: Any) -> Iterator[Application]:
    application = Application(loop, folder, **settings)
    try:
        yield application
    finally:
        application.close()


# --------------------------------------------------------------------------- documents


def user(name: str, /, **attributes: Any) -> Json:
    document = {"schemas": [USER], "userName": name, **attributes}
    if "enterprise" in document:
        document[ENTERPRISE] = document.pop("enterprise")
        document["schemas"] = [USER, ENTERPRISE]
    return document


def group(name: str, /, *members: str, **attributes: Any) -> Json:
    return {"schemas": [GROUP], "displayName": name, "members": [{"value": member} for member in members], **attributes}


def add(path: str | None, value: Any) -> Json:
    return _operation("add", path, value)


def replace(path: str | None, value: Any) -> Json:
    return _operation("replace", path, value)


def remove(path: str) -> Json:
    return {"op": "remove", "path": path}


def _operation(op: str, path: str | None, value: Any) -> Json:
    return {"op": op, "value": value} if path is None else {"op": op, "path": path, "value": value}


# --------------------------------------------------------------------------- expectations


def created(answer: httpx.Response) -> Json:
    assert answer.status_code == 201, answer.text
    return answer.json()


def ok(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, scim_type: str | None = None) -> str:
    """The detail of a proper SCIM error (RFC 7644 §3.12) with that status and keyword."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"].partition(";")[0] == "application/scim+json"
    body = answer.json()
    assert body["schemas"] == [f"{MESSAGE}:Error"]
    assert body["status"] == str(status)
    assert body.get("scimType") == scim_type, body
    assert len(body["detail"]) > 10
    return body["detail"]


def wait_until(condition: Callable[[], bool], limit: float = PATIENCE) -> None:
    """Return as soon as the condition holds; AssertionError after ``limit`` seconds."""
    ended = threading.Event()
    waited = 0.0
    while not condition():
        assert waited < limit, f"it did not happen within {limit} s"
        ended.wait(0.05)
        waited += 0.05
