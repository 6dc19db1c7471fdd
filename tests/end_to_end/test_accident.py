"""The source suddenly removes everybody: no destination loses more than the brake allows, and one release sends the rest.

The empty answer of an HR system, a filter with a typing error, an assignment that was taken away: providers then send one
removal for each person, each of them in order.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub.distribution.brake import Thresholds
from tests.destinations.broker_nats import NatsBroker
from tests.end_to_end import checker
from tests.end_to_end.checker import Journal
from tests.end_to_end.live import ADMIN_TOKEN, ROOT, TOKEN, LiveHub, patch, user, wait_until
from tests.end_to_end.receiver import Receiver
from tests.servers import postgres
from tests.servers.running import PATIENCE

NAMES = ("webhook", "application", "broker")
_AT_ONCE = 32
_PLACE = "accident"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.serving() as opened:
        yield opened


@dataclass
class Scene:
    """A hub with a webhook, a SCIM application and a broker, and how each of them fares."""

    hub: LiveHub
    twin: LiveHub
    receiver: Receiver
    broker: NatsBroker
    times: dict[str, float] = field(default_factory=dict)

    @property
    def admin(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        return httpx.Client(base_url=f"{self.hub.url}/admin/v1/directories/default", headers=headers, timeout=60, verify=False)

    def connect(self) -> None:
        """Create the three destinations."""
        wishes: list[Json] = [
            {"kind": "webhook", "configuration": {"url": self.receiver.url}},
            {"kind": "scim_app", "configuration": {"base_url": self.twin.scim_url, "concurrency": 8}, "secret": TOKEN},
            {"kind": "nats", "configuration": self.broker.configuration(_PLACE)},
        ]
        with self.admin as client:
            for name, wish in zip(NAMES, wishes, strict=True):
                made = client.post("/destinations", json={"name": name, "after": 0, **wish})
                assert made.status_code == 201, made.text
                if name == "webhook":
                    self.receiver.secrets.append(made.json()["secret"])

    def status(self, name: str) -> Json:
        with self.admin as client:
            found: Json = client.get(f"/destinations/{name}").json()["status"]
            return found

    def is_through(self, name: str) -> bool:
        """Whether the destination has all, but what its brake keeps."""
        status = self.status(name)
        return bool(status["lag"] == 0 and status["held"] == 0 and status["in_flight"] == 0)

    def through(self, limit: float, what: str, *, with_brake: bool = False) -> None:
        begun = time.monotonic()
        for name in NAMES:
            wait_until(
                lambda name=name: self.is_through(name) and (not with_brake or self.status(name)["brake_held"] == 0),
                f"{what} at {name}",
                limit,
            )
        self.times[what] = time.monotonic() - begun

    def gone(self, name: str, ids: list[str]) -> int:
        """How many of the people the destination has lost, by its own word."""
        if name == "webhook":
            verbs = ("scimhub.user.deleted", "scimhub.user.deactivated")
            return len({event.resource_id for event in self.receiver.events() if event.type in verbs})
        if name == "application":
            with self.twin.client() as client:
                found = client.get("/Users", params={"filter": "active eq false", "count": 1}).json()
                return int(found["totalResults"])
        return sum(verb in ("deleted", "deactivated") for verb in self.told().values())

    def told(self) -> dict[str, str]:
        """The last that the broker was told of each person."""
        last: dict[str, str] = {}
        for arrived in asyncio.run(self.broker.received(_PLACE)):
            last[arrived.attributes["subject"]] = arrived.attributes["type"].rpartition(".")[2]
        return last


async def write(hub: LiveHub, requests: list[tuple[str, str, Json | None]]) -> list[Json]:
    """Have all of them done, some at once; the answers, in order."""
    limit = asyncio.Semaphore(_AT_ONCE)
    async with hub.async_client(_AT_ONCE) as client:

        async def one(method: str, path: str, body: Json | None) -> Json:
            async with limit:
                answer = await client.request(method, path, json=body)
                assert answer.is_success, answer.text
                return answer.json() if answer.content else {}

        return list(await asyncio.gather(*(one(*request) for request in requests)))


def release(hub: LiveHub, name: str) -> str:
    """One command, as the administrator types it."""
    command = [sys.executable, "-m", "scimhub", "destination", "brake", "release", name, "--all", "--yes"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SCIMHUB_")}
    environment |= {"SCIMHUB_DATABASE": str(hub.folder / "scimhub.db"), "PYTHONPATH": str(ROOT / "src"), **hub.settings}
    done = subprocess.run(command, cwd=hub.folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def removals(how: str, ids: list[str]) -> list[tuple[str, str, Json | None]]:
    if how == "deleted":
        return [("DELETE", f"/Users/{id}", None) for id in ids]
    leave: Json = patch({"op": "replace", "path": "active", "value": False})
    return [("PATCH", f"/Users/{id}", leave) for id in ids]


def replay(folder: Path, database: str, how: str, count: int, limit: float) -> dict[str, Any]:
    """The accident, what was lost by it, and how long everything took."""
    for name in ("hub", "twin", "broker"):
        (folder / name).mkdir()
    settings = {"SCIMHUB_EGRESS_LOOPBACK": "true", **({"SCIMHUB_DATABASE": database} if database else {})}
    hub, twin = LiveHub(folder / "hub", settings).start(), LiveHub(folder / "twin").start()
    broker = NatsBroker(folder / "broker")
    broker.start()
    try:
        with Receiver() as receiver:
            scene = Scene(hub, twin, receiver, broker)
            result = _play(scene, how, count, limit)
            assert hub.stop() == 0
            state = asyncio.run(checker.read_state(database or folder / "hub" / "scimhub.db"))
            assert checker.check(Journal(), state, receiver.arrivals, most_duplicates=0) == 0
            return result
    finally:
        broker.stop()
        for one in (hub, twin):
            one.stop()


def _play(scene: Scene, how: str, count: int, limit: float) -> dict[str, Any]:
    hub = scene.hub
    asyncio.run(scene.broker.create(_PLACE))
    made = asyncio.run(write(hub, [("POST", "/Users", user(f"u{number}", active=True)) for number in range(count)]))
    ids = [one["id"] for one in made]
    scene.connect()
    scene.through(limit, "first load")

    begun = time.monotonic()
    asyncio.run(write(hub, removals(how, ids)))
    scene.times["the removals' being written"] = time.monotonic() - begun
    new = [one["id"] for one in asyncio.run(write(hub, [("POST", "/Users", user(f"new{n}", active=True)) for n in range(10)]))]
    scene.through(limit, "what the brake does not keep")
    for name in NAMES:
        wait_until(lambda name=name: scene.status(name)["brake_is_tripped"], f"the brake of {name}", limit)
    allowed = next(n for n in range(1, count + 1) if Thresholds().is_met(n, count)) - 1
    lost = {name: scene.gone(name, ids) for name in NAMES}
    kept = {name: scene.status(name)["brake_held"] for name in NAMES}
    assert all(number <= allowed for number in lost.values()), lost
    assert {name: lost[name] + kept[name] for name in NAMES} == dict.fromkeys(NAMES, count)
    told = scene.told()
    assert {told[id] for id in new} == {"created"}
    assert set(new) <= {event.resource_id for event in scene.receiver.events()}

    begun = time.monotonic()
    for name in NAMES:
        assert f"{kept[name]:,} resources leave destination {name}." in release(hub, name)
    scene.times["three release commands"] = time.monotonic() - begun
    scene.through(limit, "the release", with_brake=True)
    assert {name: scene.gone(name, ids) for name in NAMES} == dict.fromkeys(NAMES, count)
    _check_order(scene)
    return {"lost": lost, "kept": kept, **{what: round(seconds, 1) for what, seconds in scene.times.items()}}


def _check_order(scene: Scene) -> None:
    versions: dict[str, list[int]] = defaultdict(list)
    for arrived in asyncio.run(scene.broker.received(_PLACE)):
        versions[arrived.attributes["subject"]].append(arrived.data["version"])
    assert all(seen == list(range(1, len(seen) + 1)) for seen in versions.values())


def test_everybody_deleted_at_once(tmp_path: Path):
    print(replay(tmp_path, "", "deleted", 300, PATIENCE))


@pytest.mark.ci
def test_everybody_deactivated_at_once_on_postgresql(tmp_path: Path, server: postgres.Server):
    print(replay(tmp_path, asyncio.run(server.create_database()), "deactivated", 300, PATIENCE))


@pytest.mark.long
@pytest.mark.parametrize("how", ["deleted", "deactivated"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_same_with_ten_thousand(database: str, how: str, tmp_path: Path, server: postgres.Server):
    print(
        database,
        how,
        replay(tmp_path, asyncio.run(server.create_database()) if database == "postgresql" else "", how, 10_000, 600),
    )
