"""How long changes are kept: by age and number, for who needs them, and what happens when even that ends."""

import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from scimhub import clock
from scimhub.directory.errors import Conflict, Invalid
from scimhub.distribution import control, retention
from scimhub.distribution.delivery import Destination, Held, Retry, Subscription
from scimhub.distribution.ports import Settlement
from scimhub.distribution.retention import Limits
from scimhub.distribution.snapshot import Pins
from scimhub.sqlstore.store import SqlStore, open_file_store
from tests.distribution.outside import open_outside
from tests.distribution.test_pump import for_resource, people
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import Desk

NOW = "2026-11-23T10:00:00.000Z"
LIMITS = Limits(days=10, count=1_000_000, most_days=30)


def days_ago(days: float) -> str:
    return clock.text(clock.parse(NOW) - timedelta(days=days))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_file_store(tmp_path / "hub.db", new_id=clock.new_id, now=lambda: NOW)
    yield opened
    await opened.close()


@pytest.fixture
async def desk(store: SqlStore) -> Desk:
    """Forty changes, one a day, the newest made now: position p is 40 - p days old."""
    made = await open_desk(store, "acme")
    for position in range(1, 41):
        await made.at(days_ago(40 - position)).user(f"user{position}")
    return made


async def destination(store: SqlStore, desk: Desk, cursor: int, name: str = "payroll") -> Destination:
    return await store.create_destination(desk.directory.key, name, "webhook", {}, Subscription(), cursor, NOW)


async def purge(store: SqlStore, limits: Limits = LIMITS, pins: Pins | None = None) -> int:
    return await retention.purge(store, store, limits, NOW, (pins or Pins(store, "node")).lowest, nobody_runs)


@contextlib.asynccontextmanager
async def nobody_runs(_: Destination) -> AsyncIterator[None]:
    """In the place of ``Engine.halted``, where there is no engine."""
    yield


async def blank(store: SqlStore) -> list[int]:
    return [change.position for change in await store.read_changes(0, 100) if change.after is None]


async def again(store: SqlStore, known: Destination) -> Destination:
    found = await store.find_destination(known.directory, known.name)
    assert found is not None
    return found


def held(resource: str, position: int) -> Held:
    return Held(resource, position, NOW, 5, NOW, "The receiver answered 500.")


# --------------------------------------------------------------------------- by age and by number


async def test_what_is_older_than_the_days_goes(store: SqlStore, desk: Desk):
    # A minute of disorder is allowed for, so that the change of exactly ten days ago stays as well.
    assert await purge(store) == 29
    assert await blank(store) == list(range(1, 30))
    assert await purge(store) == 29


async def test_what_is_beyond_the_number_goes(store: SqlStore, desk: Desk):
    assert await purge(store, Limits(days=365, count=15, most_days=365)) == 25
    assert await blank(store) == list(range(1, 26))


async def test_an_empty_log_has_nothing_to_lose(store: SqlStore):
    assert await purge(store, Limits(days=0, count=0, most_days=0)) == 0


async def test_what_was_purged_stays_so_under_wider_limits(store: SqlStore, desk: Desk):
    await purge(store)
    assert await purge(store, Limits(days=365, count=1000, most_days=365)) == 29


# --------------------------------------------------------------------------- for who needs it


async def test_a_destination_that_lags_keeps_what_it_lacks(store: SqlStore, desk: Desk):
    known = await destination(store, desk, 20)
    assert await purge(store) == 20
    assert (await again(store, known)).state == "active"
    await store.settle(known.key, Settlement(40))
    assert await purge(store) == 29


async def test_a_paused_destination_keeps_what_it_lacks_too(store: SqlStore, desk: Desk):
    known = await destination(store, desk, 20)
    await store.set_state(known.key, "paused", "moving house", NOW)
    assert await purge(store) == 20


async def test_what_is_held_is_kept(store: SqlStore, desk: Desk):
    known = await destination(store, desk, 40)
    await store.settle(known.key, Settlement(40, holds=[held("acme-0015", 15), held("acme-0020", 20)]))
    assert await purge(store) == 14
    await store.release_held(known.key, "acme-0015")
    assert await purge(store) == 19


async def test_a_running_snapshot_keeps_what_lies_behind_its_beginning(store: SqlStore, desk: Desk):
    pins = Pins(store, "node")
    async with pins.hold(18), pins.hold(25):
        assert await purge(store, pins=pins) == 18
    assert await purge(store, pins=pins) == 29


async def test_one_that_is_behind_already_keeps_nothing(store: SqlStore, desk: Desk):
    known = await destination(store, desk, 5)
    await store.set_state(known.key, "behind", "lost", NOW)
    assert await purge(store) == 29
    assert (await again(store, known)).reason == "lost"


# --------------------------------------------------------------------------- the stated maximum


async def test_the_maximum_overtakes_a_destination_and_says_so(store: SqlStore, desk: Desk, caplog: pytest.LogCaptureFixture):
    slow, well = await destination(store, desk, 3), await destination(store, desk, 40, "other")
    with caplog.at_level(logging.ERROR):
        assert await purge(store) == 9
    told = await again(store, slow)
    assert (told.state, told.cursor) == ("behind", 3)
    assert told.reason == (
        "It had everything up to position 3 when changes up to 9 reached the longest time that they are kept; it lacks what "
        "lies between and needs a resync."
    )
    assert [record.message for record in caplog.records] == ["destination left behind"]
    assert (await again(store, well)).state == "active"
    # It holds up nobody from now on.
    assert await purge(store) == 29


async def test_the_maximum_overtakes_what_is_held_and_says_so(store: SqlStore, desk: Desk, caplog: pytest.LogCaptureFixture):
    known = await destination(store, desk, 40)
    await store.settle(known.key, Settlement(40, holds=[held("acme-0005", 5), held("acme-0012", 12)]))
    with caplog.at_level(logging.ERROR):
        assert await purge(store) == 9
    kept = held("acme-0012", 12)
    error = (
        "Its changes from position 5 to 9 are no longer kept; tell what it is now with: "
        "scimhub destination resend payroll acme-0005 --directory acme"
    )
    lost = Held("acme-0005", 10, NOW, 5, None, error)
    assert await store.list_held(known.key) == [lost, kept]
    assert [record.message for record in caplog.records] == ["held delivery left behind"]
    assert (await again(store, known)).state == "active"


async def test_an_overtaken_cursor_cannot_be_resumed_but_replayed_from_later(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        for name in "abcd":
            await hub.place.user(name)
        known = await hub.destination(after=0)
        await hub.caught_up()
        await control.pause(hub.engine, known)
        await hub.store.move_cursor(known.key, 1, None)
        later = clock.text(clock.parse(clock.now_text()) + timedelta(days=31))
        pinned = Pins(hub.store, "node").lowest
        assert await retention.purge(hub.store, hub.store, LIMITS, later, pinned, hub.engine.halted) == 4
        behind = await hub.again()
        assert behind.state == "behind"
        with pytest.raises(Conflict) as refused:
            await control.resume(hub.engine, behind)
        assert str(refused.value) == (
            "Destination payroll has everything up to position 1, and changes up to 4 are no longer kept; replay from a later "
            "position after bringing its system up to date."
        )
        with pytest.raises(Invalid, match="The position 3 is not kept; write one from 4 to 4"):
            await control.replay(hub.engine, behind, 3)
        going_on = await control.replay(hub.engine, behind, 4)
        assert (going_on.state, going_on.cursor, going_on.replay) == ("active", 4, None)
        await hub.place.user("eve")
        await hub.caught_up()
        assert hub.outside.positions() == [1, 2, 3, 4, 5]


async def test_a_held_lane_that_retention_overtakes_does_not_take_its_destination_along(tmp_path: Path) -> None:
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        hub.outside.scripts["payroll"] = for_resource(lambda: kim, Retry("429", after=3600.0))
        made = await hub.destination(after=0)
        await people(hub, 3)
        await hub.caught_up()
        later = clock.text(clock.parse(clock.now_text()) + timedelta(days=31))
        pinned = Pins(hub.store, "node").lowest
        await retention.purge(hub.store, hub.store, Limits(10, 1000, 30), later, pinned, hub.engine.halted)
        hub.pass_time(3601)
        await hub.place.user("late")
        await hub.caught_up()
        (held,) = await hub.store.list_held(made.key)
        assert ((await hub.again()).state, held.next_attempt) == ("active", None)
        assert held.error.startswith("Its changes from position 1 to ")
