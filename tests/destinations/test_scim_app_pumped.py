"""A SCIM application behind a real store and pump: scope, order, the destination's pauses, and nothing personal anywhere."""

import asyncio
import logging
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimhub.directory.errors import Invalid
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import control, retention
from scimhub.distribution.delivery import Delivered, Destination, Subscription
from scimhub.distribution.engine import Engine
from scimhub.distribution.retention import Limits
from scimhub.distribution.snapshot import Pins
from scimhub.sqlstore.store import SqlStore
from tests.assembly import build_engine
from tests.consumer.hub import USER, Place, open_sqlite
from tests.destinations.receivers import Received, Receiver, receiving
from tests.destinations.scim_application import TOKEN, Answer, Application, always, error, once
from tests.distribution.outside import Noted, until


@dataclass
class Hub:
    store: SqlStore
    place: Place
    engine: Engine
    noted: Noted
    application: Application

    async def create(self, wish: Subscription | None = None, **configuration: Any) -> Destination:
        made = await control.create(
            self.engine,
            self.place.directory,
            "app",
            "scim_app",
            {"base_url": self.application.url, **configuration},
            wish or Subscription(),
            after=0,
            secret=TOKEN,
        )
        return made.destination

    async def caught_up(self, destination: Destination) -> None:
        head = await self.store.last_position()
        pump = self.engine.find_pump(destination.key)
        assert pump is not None
        await until(lambda: pump.cursor >= head and not pump.in_flight, f"the application at {head}")


@asynccontextmanager
async def hub_with(folder: Path, application: Application) -> AsyncIterator[Hub]:
    store = open_sqlite(folder)
    noted = Noted()
    engine = build_engine(store, noted, Catalogs(store))
    try:
        async with receiving(application.answering) as receiver:
            application.url = f"http://127.0.0.1:{receiver.port}/scim"
            await engine.start()
            try:
                yield Hub(store, await Place.open(store), engine, noted, application)
            finally:
                await engine.close()
    finally:
        await store.close()


async def test_a_group_that_enters_the_scope_brings_its_members(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(5)]
        staff = await hub.place.group("internal", *ids)
        made = await hub.create(Subscription(filters={"Group": 'displayName sw "app-"'}))
        await hub.caught_up(made)
        assert hub.application.groups == {}
        await hub.place.set(staff, "Group", displayName="app-staff")
        await hub.caught_up(made)
        assert hub.application.members("app-staff") == {f"u{number}" for number in range(5)}
        await hub.place.set(staff, "Group", displayName="internal")
        await hub.caught_up(made)
        assert hub.application.groups == {}


async def test_an_overloaded_application_stops_everything_and_holds_nothing(tmp_path: Path):
    application = Application()
    application.faults.append(once(Answer(429, headers=("Retry-After: 0",)), "POST", "Users"))
    application.faults.append(once(Answer(503, headers=("Retry-After: 0",)), "POST", "Users"))
    async with hub_with(tmp_path, application) as hub:
        for number in range(20):
            await hub.place.user(f"u{number}")
        made = await hub.create()
        await hub.caught_up(made)
        assert len(application.users) == 20
        assert await hub.store.list_held(made.key) == []
        assert sorted({attempt.status for attempt in hub.noted.attempts if attempt.outcome == "retry"}) == [429, 503]


async def test_one_bad_person_holds_up_nobody_else(tmp_path: Path):
    def refuses(request: Received, body: Any) -> Answer | None:
        return error(400, "invalidValue") if body is not None and body.get("userName") == "bad" else None

    application = Application(faults=[refuses])
    async with hub_with(tmp_path, application) as hub:
        bad = await hub.place.user("bad")
        good = [await hub.place.user(f"u{number}") for number in range(5)]
        await hub.place.group("staff", bad, *good)
        made = await hub.create()
        await until(lambda: application.groups and len(application.members("staff")) == 5, "the others in their group")
        application.faults.clear()
        await control.retry_held(hub.engine, made, None)
        await until(lambda: "bad" in application.members("staff"), "the last one in the group, by being there at last")


async def test_a_mapping_forms_what_the_application_gets(tmp_path: Path):
    rules = {"User": {"keep": True, "set": {"userName": {"join": ["userName", {"constant": "@corp.example"}]}}}}
    async with hub_with(tmp_path, Application()) as hub:
        await hub.place.user("kim", title="boss")
        made = await hub.create(Subscription(mapping=rules))
        await hub.caught_up(made)
        (there,) = hub.application.users.values()
        assert (there["userName"], there["title"]) == ("kim@corp.example", "boss")


async def test_members_who_went_where_changes_are_gone_meet_the_brake(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(60)]
        staff = await hub.place.group("staff", *ids)
        made = await hub.create(Subscription(style="state"))
        await hub.caught_up(made)
        await control.pause(hub.engine, made)
        await hub.place.members(staff, remove=ids[:55])
        await hub.place.set(staff, "Group", displayName="all staff")
        pinned = Pins(hub.store, "node").lowest
        await retention.purge(hub.store, hub.store, Limits(1, 1, 30), "2099-01-01T00:00:00.000Z", pinned, hub.engine.halted)
        await control.resume(hub.engine, await control.get(hub.engine, hub.place.directory, "app"))
        await until(lambda: (pump := hub.engine.find_pump(made.key)) is not None and pump.brake.trip, "the trip")
        trip = hub.engine.find_pump(made.key).brake.trip  # type: ignore[union-attr]
        assert (trip.sort, trip.count, trip.population) == ("members", 55, 60)  # type: ignore[union-attr]
        assert len(hub.application.members("staff")) == 60


async def test_deletions_that_are_due_are_made_without_an_event(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        kim = await hub.place.user("kim")
        made = await hub.create(on_delete="deactivate_then_delete")
        await hub.place.delete("User", kim)
        await hub.caught_up(made)
        await hub.engine.tend()
        assert len(hub.application.users) == 1
        known = await hub.store.find_remote(made.key, kim)
        assert known is not None
        await hub.store.save_remote(made.key, replace(known, delete_at="2026-01-01T00:00:00.000Z"))
        await hub.engine.tend()
        assert hub.application.users == {}


async def test_an_application_without_authorisation_needs_no_secret(tmp_path: Path):
    application = Application(after=[lambda request, answer: Answer(200, {})])
    async with hub_with(tmp_path, application) as hub:
        configuration = {"base_url": application.url, "auth": {"type": "none"}}
        made = await control.create(hub.engine, hub.place.directory, "open", "scim_app", configuration, Subscription())
        assert made.secret == ""
        assert await hub.store.list_secrets(made.destination.key) == []
        with pytest.raises(Invalid, match="Destination open has no secret, since its authentication needs none"):
            await control.rotate(hub.engine, made.destination)
        with pytest.raises(Invalid, match="So configured it has no secret; set its authentication"):
            await control.rotate(hub.engine, made.destination, secret="a token")
        assert isinstance(await control.check(hub.engine, made.destination), Delivered)
        assert "authorization" not in application.requests[-1].headers
        with pytest.raises(Invalid, match="bring it with --secret-file"):
            await control.create(
                hub.engine, hub.place.directory, "shut", "scim_app", {"base_url": application.url}, Subscription()
            )


async def test_nothing_personal_is_logged_or_kept_of_attempts(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def echoes(request: Received, body: Any) -> Answer | None:
        said = orjson.dumps(body).decode() + request.path
        return None if body is None else error(400, "invalidValue", f"not {said}") if len(said) % 2 else error(500, "", said)

    caplog.set_level(logging.DEBUG, "scimhub")
    async with hub_with(tmp_path, Application(faults=[echoes])) as hub:
        for number in range(8):
            name = {"givenName": "Canary-Given", "familyName": f"Canary{'y' * number}"}
            body = {"schemas": [USER], "userName": f"canary{'x' * number}@example.com", "name": name}
            await hub.place.create("User", body)
        made = await hub.create()
        await until(lambda: len(hub.noted.attempts) >= 8, "eight attempts")
        await until(lambda: hub.engine.find_pump(made.key).in_flight == 0, "an end of sending")  # type: ignore[union-attr]
        kept = f"{hub.noted.attempts} {await hub.store.list_held(made.key)} {caplog.text}"
        assert "400 Bad Request" in kept
        assert re.search("canary", kept, re.IGNORECASE) is None


@dataclass
class Silent(Application):
    """Answers nobody who is to be created, until it may."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asking: int = 0
    most_asking: int = 0

    async def answering(self, receiver: Receiver, request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        if request.method == "POST":
            await self.may_answer.wait()
        self.asking -= 1
        await super().answering(receiver, request, reader, writer)


async def test_while_some_are_asked_for_others_are_written_down_and_no_more_are_asked_for(tmp_path: Path):
    application = Silent()
    async with hub_with(tmp_path, application) as hub:
        people = [await hub.place.user(f"u{number}") for number in range(40)]
        made = await hub.create(concurrency=2)
        pump = hub.engine.find_pump(made.key)
        assert pump is not None
        await until(lambda: pump.in_flight == 16, "eight messages for each request")

        async def written() -> int:
            return sum([await hub.store.find_remote(made.key, id) is not None for id in people])

        await until_so(written, 16)
        await until(lambda: application.asking == 2, "both requests")
        assert pump.on_the_way == 2
        application.may_answer.set()
        await hub.caught_up(made)
        assert (len(application.users), application.most_asking) == (40, 2)


async def test_with_one_request_at_a_time_everything_goes_one_after_the_other(tmp_path: Path):
    async with hub_with(tmp_path, application := Silent()) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(5)]
        await hub.place.group("staff", *ids)
        made = await hub.create(concurrency=1)
        pump = hub.engine.find_pump(made.key)
        assert pump is not None
        await until(lambda: application.asking, "the first request")
        assert pump.in_flight == 1
        application.may_answer.set()
        await hub.caught_up(made)
        # Whoever is there already is told in one piece.
        assert [request.method for request in application.requests if "/Groups" in request.path] == ["POST", "PATCH"]


async def test_those_who_wait_for_their_request_are_turned_away_when_the_application_fails(tmp_path: Path):
    application = Silent(faults=[always(Answer(503, headers=("Retry-After: 3600",)), "POST")])
    async with hub_with(tmp_path, application) as hub:
        for number in range(40):
            await hub.place.user(f"u{number}")
        made = await hub.create(concurrency=4)
        pump = hub.engine.find_pump(made.key)
        assert pump is not None
        await until(lambda: pump.in_flight == 32 and application.asking == 4, "as many as there may be")
        application.may_answer.set()
        await until(lambda: not pump.in_flight, "the end of sending")
        asked = [request for request in application.requests if request.method == "POST"]
        assert (len(asked), pump.breaker.state, pump.held) == (4, "open", 0)


async def test_those_who_wait_for_their_request_are_not_waited_for_at_the_end(tmp_path: Path):
    application = Silent()
    async with hub_with(tmp_path, application) as hub:
        for number in range(40):
            await hub.place.user(f"u{number}")
        made = await hub.create(concurrency=4)
        pump = hub.engine.find_pump(made.key)
        assert pump is not None
        await until(lambda: pump.in_flight == 32 and application.asking == 4, "as many as there may be")
        pausing = asyncio.create_task(control.pause(hub.engine, made))
        await until(lambda: pump.in_flight == 4, "those who wait to be turned away")
        application.may_answer.set()
        await pausing
        assert len(application.users) == 4
        await control.resume(hub.engine, await control.get(hub.engine, hub.place.directory, "app"))
        await hub.caught_up(made)
        assert len(application.users) == 40


async def until_so(find: Callable[[], Awaitable[int]], expected: int) -> None:
    for _ in range(10_000):
        if await find() == expected:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{await find()} and not {expected}")
