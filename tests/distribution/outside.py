"""An engine on a real store, with the world outside it scripted: what receives, and the time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from scimhub import clock
from scimhub.directory.errors import Invalid
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import control
from scimhub.distribution.delivery import Attempt, Delivered, Destination, Message, Outcome, Purpose, Secret, Subscription
from scimhub.distribution.engine import Engine
from scimhub.distribution.outlook import Place as Where
from scimhub.distribution.ports import DestinationKind
from scimhub.distribution.pump import Pump
from scimhub.distribution.surroundings import Surroundings
from scimhub.sqlstore.store import SqlStore, open_file_store
from tests.consumer.hub import Place
from tests.keys import keyring
from tests.servers.running import PATIENCE

Answer = Callable[[Message], Outcome | Awaitable[Outcome]]


class Clock:
    """The time of this machine, and as much later as a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


@dataclass
class Arrival:
    """One message, and what the destination said of it."""

    destination: str
    message: Message
    outcome: Outcome

    @property
    def data(self) -> dict[str, Any]:
        return orjson.loads(self.message.data)

    @property
    def type(self) -> str:
        return self.message.attributes["type"].removeprefix("scimhub.")


@dataclass
class Outside:
    """A kind of destination that answers as its script says, by the name of the destination."""

    scripts: dict[str, Answer] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    # The secrets of each opening, and who is open now; at most so many messages were under way at once.
    opened: list[tuple[str, list[bytes]]] = field(default_factory=list)
    configurations: list[Mapping[str, object]] = field(default_factory=list)
    open_now: set[str] = field(default_factory=set)
    under_way: int = 0
    most_under_way: int = 0
    name: str = "scripted"
    joins_runs: bool = True

    def check(self, configuration: Mapping[str, object]) -> Mapping[str, object]:
        if unknown := configuration.keys() - {"concurrency", "order", "headers", "rate"}:
            raise Invalid([f"There is no key {name}." for name in sorted(unknown)])
        return {"concurrency": 16, **configuration}

    def purpose(self, configuration: Mapping[str, object]) -> Purpose:
        return "hmac"

    def make_secret(self, purpose: Purpose, random: Callable[[int], bytes]) -> bytes:
        return random(24)

    def parse_secret(self, text: str, configuration: Mapping[str, object]) -> tuple[Purpose, bytes]:
        if not text.startswith("whsec_"):
            raise Invalid(["A secret begins with whsec_."])
        return "hmac", text.encode()

    def show_secret(self, secret: Secret) -> str:
        return secret.value.hex()

    def open(self, destination: Destination, secrets: Sequence[Secret]) -> "Line":
        self.opened.append((destination.name, [secret.value for secret in secrets if secret.purpose == "hmac"]))
        self.configurations.append(destination.configuration)
        self.open_now.add(destination.name)
        return Line(self, destination.name)

    # ------------------------------------------------------------------ what came

    def delivered(self, destination: str = "payroll") -> list[Arrival]:
        return [one for one in self.arrivals if one.destination == destination and isinstance(one.outcome, Delivered)]

    def positions(self, destination: str = "payroll", resource: str | None = None) -> list[int]:
        """Of what was confirmed, in order of arrival; of a run its last."""
        found = [one.data for one in self.delivered(destination)]
        return [data["position"] for data in found if resource in (None, data["id"])]


@dataclass
class Line:
    outside: Outside
    destination: str

    async def send(self, message: Message) -> Outcome:
        outside = self.outside
        outside.under_way += 1
        outside.most_under_way = max(outside.most_under_way, outside.under_way)
        try:
            answer = outside.scripts.get(self.destination, deliver)(message)
            outcome = await answer if isinstance(answer, Awaitable) else answer
        finally:
            outside.under_way -= 1
        outside.arrivals.append(Arrival(self.destination, message, outcome))
        return outcome

    async def close(self) -> None:
        self.outside.open_now.discard(self.destination)


def deliver(message: Message) -> Outcome:
    return Delivered(204)


class Noted:
    """Where attempts are noted."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def record_attempts(self, attempts: Sequence[Attempt]) -> bool:
        self.attempts += attempts
        return True

    async def list_attempts(self, **wish: Any) -> Sequence[Attempt]:
        return self.attempts


@dataclass
class Hub:
    """A store with one directory, an engine, and what is outside."""

    store: SqlStore
    place: Place
    outside: Outside
    engine: Engine
    clock: Clock
    noted: Noted

    async def destination(
        self,
        name: str = "payroll",
        *,
        kind: str = "scripted",
        secret: str | None = None,
        after: int | None = 0,
        wish: Subscription | None = None,
        **configuration: object,
    ) -> Destination:
        place, wish = self.place.directory, wish or Subscription()
        made = await control.create(self.engine, place, name, kind, configuration, wish, after=after, secret=secret)
        return made.destination

    async def again(self, name: str = "payroll") -> Destination:
        found = await self.store.find_destination(self.place.directory.key, name)
        assert found is not None
        return found

    def pump(self, destination: Destination) -> Pump:
        found = self.engine.find_pump(destination.key)
        assert found is not None
        return found

    def pump_named(self, name: str) -> Pump:
        """The pump of the destination with that name."""
        return next(one.pump for one in self.engine._running.values() if one.pump.destination.name == name)

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on, and all who wait for a time look at it."""
        self.clock.ahead += seconds
        for running in self.engine._running.values():
            running.pump._awake.set()

    async def caught_up(self, *names: str) -> None:
        """Until each has settled all that is in the log."""
        head = await self.store.last_position()
        for name in names or ("payroll",):
            known = await self.again(name)
            await until(lambda known=known: self._has_come_to(known, head), f"{name} at {head}")
            self.pass_time(0.25)  # until it settles
            await until(lambda name=name: self._cursor(name) >= head, f"{name} settled at {head}")

    def _has_come_to(self, destination: Destination, position: int) -> bool:
        # Between a pump that ended by a defect and its successor there is none.
        pump = self.engine.find_pump(destination.key)
        return pump is not None and pump.cursor >= position

    async def nothing_held(self) -> None:
        """Until every hold has ended, and that is written."""

        def is_so() -> bool:
            self.pass_time(0.05)
            return not self.store.database.read_here(lambda connection: connection.execute("SELECT 1 FROM held").fetchall())

        await until(is_so, "the end of all holds")

    async def looked_at_all(self, destination: Destination) -> None:
        """Until the pump's own cursor is at the end; what concerns nobody is written down only now and then."""
        head = await self.store.last_position()
        await until(lambda: self.pump(destination).cursor == head, f"{destination.name} at {head}")

    def _cursor(self, name: str) -> int:
        sql = "SELECT cursor FROM destinations WHERE name = ?"
        return int(self.store.database.read_here(lambda connection: connection.fetch(sql, (name,)))[0][0])

    async def secrets(self, name: str = "payroll") -> list[Secret]:
        """What the destination has, opened."""
        known, given = await self.again(name), self.engine.given
        return [given.keyring.open(one, known.id) for one in await self.store.list_secrets(known.key)]

    async def held(self, name: str = "payroll") -> dict[str, str]:
        """What is held, with its error."""
        return {held.resource_id: held.error for held in await self.store.list_held((await self.again(name)).key)}


@asynccontextmanager
async def open_outside(
    folder: Path,
    *,
    chance: float = 1.0,
    store: Callable[[SqlStore], SqlStore] | None = None,
    kinds: Mapping[str, DestinationKind] | None = None,
) -> AsyncIterator[Hub]:
    """A started engine on a new store, or on the one that the folder has; ``store`` may wrap what the engine is given.

    With ``kinds`` it has these in the place of the scripted one.
    """
    opened = open_file_store(folder / "hub.db", new_id=clock.new_id, now=clock.now_text)
    moving, outside, noted = Clock(), Outside(), Noted()
    known = await opened.list_directories()
    if known:
        (source,) = await opened.list_sources(known[0].key)
        place = Place(opened, known[0], source, await Catalogs(opened).current(known[0].key))
    else:
        place = await Place.open(opened)
    given_store = opened if store is None else store(opened)
    given = Surroundings(
        store=given_store,
        reader=given_store,
        attempts=noted,
        now=moving.now,
        chance=lambda: chance,
        random=random.Random(1).randbytes,
        new_id=clock.new_id,
        keyring=keyring(),
    )
    engine = Engine(kinds or {"scripted": outside}, Where(Catalogs(opened), "https://hub.example", opened.log_epoch), given)
    await engine.start()
    try:
        yield Hub(opened, place, outside, engine, moving, noted)
    finally:
        await engine.close()
        await opened.close()


async def until(condition: Callable[[], object], what: str, limit: float = PATIENCE) -> None:
    """Return as soon as the condition holds; AssertionError after so many seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {limit} s"
        await asyncio.sleep(0.005)
