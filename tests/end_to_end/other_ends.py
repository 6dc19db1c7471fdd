"""Where a destination of each kind ends, for the fault tests: what it is configured with, and whether all came as promised."""

import asyncio
import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx

from scimhub.consumer import event
from tests.destinations import broker_list
from tests.destinations.broker import Arrived, Broker
from tests.end_to_end import checker
from tests.end_to_end.checker import Journal, State
from tests.end_to_end.live import TOKEN, LiveHub
from tests.end_to_end.receiver import Arrival, Receiver

Json = dict[str, Any]
PLACE = "hub"
# Queues that promise no order.
_UNORDERED = ("sqs", "sns")
KINDS = ["webhook", "http_api", "scim_app", *broker_list.NAMES]


class OtherEnd(Protocol):
    """The other end of one destination."""

    wish: Json

    def made(self, destination: Mapping[str, Any]) -> None:
        """The destination was created so; its secret is among what was answered."""

    def check(self, journal: Journal, state: State, *, most_duplicates: int) -> None:
        """Raise AssertionError unless all came as the kind promises."""


@contextmanager
def open_end(kind: str, folder: Path) -> Iterator[OtherEnd]:
    """The other end of that kind, ready; the test is left out when it cannot be had."""
    if kind == "webhook":
        with Receiver() as receiver:
            yield WebhookEnd(receiver)
    elif kind == "http_api":
        with Registry() as registry:
            yield registry
    elif kind == "scim_app":
        hub = LiveHub(folder).start()
        try:
            yield ScimEnd(hub)
        finally:
            assert hub.stop() == 0
    else:
        with broker_list.open_broker(kind, folder) as broker:
            asyncio.run(broker.create(PLACE))
            yield BrokerEnd(broker, is_ordered=kind not in _UNORDERED)


@dataclass
class WebhookEnd:
    receiver: Receiver
    wish: Json = field(init=False)

    def __post_init__(self) -> None:
        self.wish = {"configuration": {"url": self.receiver.url}}

    def made(self, destination: Mapping[str, Any]) -> None:
        self.receiver.secrets.append(destination["secret"])

    def check(self, journal: Journal, state: State, *, most_duplicates: int) -> None:
        assert self.receiver.refused == []
        checker.check(journal, state, self.receiver.arrivals, most_duplicates=most_duplicates)


# --------------------------------------------------------------------------- brokers


@dataclass
class BrokerEnd:
    broker: Broker
    is_ordered: bool
    wish: Json = field(init=False)

    def __post_init__(self) -> None:
        self.wish = {"kind": self.broker.kind, "configuration": self.broker.configuration(PLACE)}
        if self.broker.secret is not None:
            self.wish["secret"] = self.broker.secret

    def made(self, destination: Mapping[str, Any]) -> None:
        """Nothing to keep."""

    def check(self, journal: Journal, state: State, *, most_duplicates: int) -> None:
        arrivals = [_arrival(arrived) for arrived in asyncio.run(self.broker.received(PLACE))]
        if not self.is_ordered:
            arrivals.sort(key=lambda arrival: (arrival.event.position, arrival.event.part))
        checker.check(journal, state, arrivals, most_duplicates=0 if self.broker.drops_repetitions else most_duplicates)


def _arrival(arrived: Arrived) -> Arrival:
    written = {**arrived.attributes, "data": arrived.data}
    return Arrival(arrived.id, event.from_json(written), json.dumps(arrived.data, sort_keys=True).encode(), 204)


# --------------------------------------------------------------------------- a SCIM application


@dataclass
class ScimEnd:
    """A second hub, which the first one keeps."""

    hub: LiveHub
    wish: Json = field(init=False)

    def __post_init__(self) -> None:
        self.wish = {"kind": "scim_app", "configuration": {"base_url": self.hub.scim_url}, "secret": TOKEN}

    def made(self, destination: Mapping[str, Any]) -> None:
        """Nothing to keep."""

    def check(self, journal: Journal, state: State, *, most_duplicates: int) -> None:
        checker.check_log(journal, state)
        with self.hub.client() as client:
            users, groups = _listed(client, "/Users"), _listed(client, "/Groups")
        ours = {one["id"]: one["externalId"] for one in (*users, *groups)}
        kinds = {change.resource_id: change.kind for change in state.changes}
        wanted = {id for id in state.resources if kinds[id] == "User"}
        # Who was deleted is deactivated there, unless told otherwise.
        assert {ours[one["id"]] for one in users if one.get("active", True)} == wanted
        assert len(set(ours.values())) == len(ours), "somebody is there twice"
        members = {ours[one["id"]]: {ours[member["value"]] for member in one.get("members", ())} for one in groups}
        assert members == {id: set(state.resources[id][1]) for id in state.resources if kinds[id] == "Group"}
        titles = {ours[one["id"]]: one.get("title") for one in users if ours[one["id"]] in wanted}
        newest = {change.resource_id: json.loads(change.after) for change in state.changes if change.after is not None}
        assert titles == {id: newest[id].get("title") for id in wanted}


def _listed(client: httpx.Client, path: str) -> list[Json]:
    found: list[Json] = []
    while True:
        page = client.get(path, params={"startIndex": len(found) + 1, "count": 200}).json()
        found += page["Resources"]
        if len(found) >= page["totalResults"]:
            return found


# --------------------------------------------------------------------------- an HTTP API


def _operations() -> Json:
    person = {"object": {"version": "version", "resource": "resource"}}
    operations: Json = {}
    for prefix, path in (("user", "/people"), ("group", "/teams")):
        put = {"method": "PUT", "url": f"{path}/{{id}}", "body": person}
        operations |= {f"{prefix}.created": put, f"{prefix}.updated": put}
        operations[f"{prefix}.deleted"] = {"method": "DELETE", "url": f"{path}/{{id}}"}
        # It has no ids of its own, so that nobody's id was captured.
        listing = {"method": "GET", "url": path, "items": "items", "id": "id", "our_id": "id", "total": "total"}
        names = ("title", "userName", "active") if prefix == "user" else ("displayName",)
        operations[f"{prefix}.list"] = {**listing, "compare": {f"resource.{name}": f"resource.{name}" for name in names}}
    operations["group.list"]["members"] = "members"
    member = "/teams/{id}/members/{member.id}"
    operations["group.member.added"] = {"method": "PUT", "url": member}
    operations["group.member.removed"] = {"method": "DELETE", "url": member}
    return operations


class Registry:
    """An API of somebody's own, which keeps people and teams, and the versions in which they came."""

    def __init__(self) -> None:
        self.people: dict[str, Json] = {}
        self.teams: dict[str, Json] = {}
        self.members: dict[str, set[str]] = defaultdict(set)
        self.versions: dict[str, list[int]] = defaultdict(list)
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                registry.put(self.path.strip("/").split("/"), json.loads(body) if body else {})
                self._answer()

            def do_GET(self) -> None:
                body = json.dumps(registry.listed(self.path.strip("/"))).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_DELETE(self) -> None:
                registry.delete(self.path.strip("/").split("/"))
                self._answer()

            def _answer(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *values: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A hub that is killed breaks its connections off; that is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        configuration = {
            "base_url": f"http://127.0.0.1:{self._server.server_port}",
            "auth": {"type": "none"},
            "operations": _operations(),
        }
        self.wish: Json = {"kind": "http_api", "configuration": configuration}

    def put(self, path: list[str], body: Json) -> None:
        if len(path) == 4:
            self.members[path[1]].add(path[3])
            return
        (self.people if path[0] == "people" else self.teams)[path[1]] = body
        self.versions[path[1]].append(body["version"])

    def listed(self, name: str) -> Json:
        kept = self.people if name == "people" else self.teams
        items = [{**body, "id": id, "members": sorted(self.members.get(id, ()))} for id, body in kept.items()]
        return {"items": items, "total": len(items)}

    def delete(self, path: list[str]) -> None:
        if len(path) == 4:
            self.members[path[1]].discard(path[3])
            return
        (self.people if path[0] == "people" else self.teams).pop(path[1], None)
        self.members.pop(path[1], None)

    def made(self, destination: Mapping[str, Any]) -> None:
        """Nothing to keep."""

    def check(self, journal: Journal, state: State, *, most_duplicates: int) -> None:
        checker.check_log(journal, state)
        assert set(self.people) | set(self.teams) == set(state.resources)
        for id, versions in self.versions.items():
            assert versions == sorted(versions), f"{id} went back: {versions}"
        assert sum(len(versions) - len(set(versions)) for versions in self.versions.values()) <= most_duplicates
        told = {
            id: (one["resource"].get("title"), self.members.get(id, set())) for id, one in (self.people | self.teams).items()
        }
        newest = {change.resource_id: json.loads(change.after) for change in state.changes if change.after is not None}
        assert told == {id: (newest[id].get("title"), set(members)) for id, (_, members) in state.resources.items()}

    def __enter__(self) -> "Registry":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown()
        self._server.server_close()
        self._thread.join()
