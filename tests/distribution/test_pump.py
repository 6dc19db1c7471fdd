"""Pumps under an engine, on a real store, with a scripted world outside: order, faults, repair, and who is disturbed."""

import asyncio
import gc
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from scimhub import clock
from scimhub.directory import schemas
from scimhub.directory.errors import Absent, Conflict, Invalid, StoreUnavailable
from scimhub.directory.records import Change
from scimhub.distribution import control, settling, status
from scimhub.distribution.delivery import Delivered, Gone, Held, Message, Outcome, Rejected, Retry, Subscription
from scimhub.distribution.ports import Settlement
from scimhub.sqlstore.execution import Rules
from scimhub.sqlstore.store import DEFAULT_TOMBSTONE_DAYS, SqlStore
from tests.consumer.hub import Place
from tests.distribution.outside import Answer, Hub, Outside, deliver, open_outside, until
from tests.servers.running import PATIENCE

FAILED = Retry("The receiver answered 500.", status=500)
DOWN = Retry("Nobody listens.", blame="destination")


def for_resource(id: Callable[[], str], outcome: Outcome) -> Answer:
    """Whatever tells of the one resource comes to that; all else arrives."""
    return lambda message: outcome if message.attributes["subject"] == id() else Delivered(204)


async def people(hub: Hub, count: int, prefix: str = "u") -> list[str]:
    return list(await asyncio.gather(*(hub.place.user(f"{prefix}{number}") for number in range(count))))


async def titles(hub: Hub, id: str, count: int) -> None:
    """So many changes of the one person."""
    for number in range(count):
        await hub.place.set(id, title=f"title {number}")


def versions(outside: Outside, destination: str = "payroll") -> dict[str, list[int]]:
    """Of each resource the versions that were confirmed, in order of arrival."""
    found: dict[str, list[int]] = defaultdict(list)
    for one in outside.delivered(destination):
        found[one.data["id"]].append(one.data["version"])
    return dict(found)


# --------------------------------------------------------------------------- all is well


async def test_what_was_committed_before_and_after_the_start_arrives(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        await hub.destination(after=0)
        await hub.place.set(kim, title="boss")
        await hub.place.delete("User", kim)
        await hub.caught_up()
        assert [(one.type, one.data["position"]) for one in hub.outside.arrivals] == [
            ("user.created", 1),
            ("user.updated", 2),
            ("user.deleted", 3),
        ]
        assert [attempt.outcome for attempt in hub.noted.attempts] == ["delivered"] * 3
        assert [(attempt.number, attempt.position, attempt.status) for attempt in hub.noted.attempts] == [
            (1, 1, 204),
            (1, 2, 204),
            (1, 3, 204),
        ]


async def test_order_is_kept_for_each_resource_whatever_each_message_takes(tmp_path: Path):
    dice = random.Random(7)

    async def slowly(message: Message) -> Outcome:
        await asyncio.sleep(dice.random() * 0.01)
        return Delivered(204)

    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slowly
        await hub.destination(after=0, concurrency=16)
        ids = await people(hub, 30)
        for number in range(170):
            await hub.place.set(dice.choice(ids), title=f"title {number}")
        await hub.caught_up()
        assert sorted(hub.outside.positions()) == list(range(1, 201))
        assert hub.outside.positions() != list(range(1, 201))  # the control: among resources there is no order
        for seen in versions(hub.outside).values():
            assert seen == list(range(1, len(seen) + 1))
        assert 2 <= hub.outside.most_under_way <= 16


async def test_no_more_than_the_concurrency_is_under_way(tmp_path: Path):
    gate = asyncio.Event()

    async def wait(message: Message) -> Outcome:
        await asyncio.wait_for(gate.wait(), PATIENCE)
        return Delivered(204)

    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = wait
        made = await hub.destination(after=0, concurrency=3)
        await people(hub, 10)
        await until(lambda: hub.outside.under_way == 3, "three messages under way")
        assert (await status.of_destination(hub.engine, made)).in_flight == 3
        gate.set()
        await hub.caught_up()
        assert hub.outside.most_under_way == 3


async def test_a_restart_sends_nothing_again_that_was_settled(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0)
        await people(hub, 5)
        await until(lambda: len(hub.outside.arrivals) == 5, "five arrivals")
    async with open_outside(tmp_path) as hub:
        await hub.place.user("kim")
        await hub.caught_up()
        assert hub.outside.positions() == [6]


async def test_membership_changes_that_wait_travel_as_one_run(tmp_path: Path):
    gate = asyncio.Event()

    async def wait(message: Message) -> Outcome:
        await asyncio.wait_for(gate.wait(), PATIENCE)
        return Delivered(204)

    async with open_outside(tmp_path) as hub:
        ids = await people(hub, 6)
        hub.outside.scripts["payroll"] = wait
        await hub.destination(after=6)
        staff = await hub.place.group("staff")
        await until(lambda: hub.outside.under_way == 1, "the group under way")
        for id in ids:
            await hub.place.members(staff, add=[id])
        await hub.place.members(staff, remove=ids[:2])
        await hub.place.set(staff, "Group", displayName="Crew")
        await hub.place.members(staff, add=[ids[0]])
        gate.set()
        await hub.caught_up()
        created, run, renamed, last = hub.outside.arrivals
        assert [one.type for one in (created, run, renamed, last)] == [
            "group.created",
            "group.members.changed",
            "group.updated",
            "group.member.added",
        ]
        assert (run.data["fromVersion"], run.data["version"], last.data["version"]) == (2, 8, 10)
        assert run.data["members"] == {"added": ids[2:], "removed": ids[:2]}
        runs = [(one.first_position, one.position) for one in hub.noted.attempts]
        assert runs == [(7, 7), (8, 14), (15, 15), (16, 16)]


async def test_a_group_that_enters_the_scope_brings_its_members_along(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = await people(hub, 3)
        staff = await hub.place.group("other", *ids)
        await hub.destination(after=4, wish=Subscription(filters={"Group": 'displayName eq "staff"'}))
        await hub.place.set(staff, "Group", displayName="staff")
        await hub.caught_up()
        (entered,) = hub.outside.arrivals
        assert (entered.type, entered.data["cause"]) == ("group.created", "scope")
        assert sorted(entered.data["members"]["added"]) == sorted(ids)


async def test_a_group_that_enters_the_scope_keeps_members_hidden_that_the_allow_list_hides(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = await people(hub, 2)
        staff = await hub.place.group("other", *ids)
        wish = Subscription(filters={"Group": 'displayName eq "staff"'}, attributes=("displayName",))
        await hub.destination(after=3, wish=wish)
        await hub.place.set(staff, "Group", displayName="staff")
        await hub.caught_up()
        assert hub.outside.arrivals[0].data["members"] == {"added": [], "removed": []}


async def test_another_directory_is_none_of_its_business(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        other = await Place.open(hub.store, "other")
        await other.user("stranger")
        made = await hub.destination(after=0)
        await hub.place.user("kim")
        await until(lambda: hub.outside.positions() == [2], "the one arrival")
        await other.user("another")
        await until(lambda: hub.pump(made).cursor == 3, "the cursor past it")


async def test_two_destinations_do_not_disturb_each_other(tmp_path: Path):
    async def never(message: Message) -> Outcome:
        await asyncio.wait_for(release.wait(), PATIENCE)
        return DOWN

    release = asyncio.Event()
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["slow"] = never
        await hub.destination("slow", after=0, concurrency=1)
        await hub.destination("payroll", after=0)
        await people(hub, 40)
        await hub.caught_up("payroll")
        assert (len(hub.outside.positions()), hub.outside.positions("slow"), (await hub.again("slow")).cursor) == (40, [], 0)
        release.set()


# --------------------------------------------------------------------------- settling


async def test_settling_is_one_commit_in_a_while_and_none_for_each_delivery(tmp_path: Path):
    commits = 0

    def count() -> None:
        nonlocal commits
        commits += 1

    async with open_outside(tmp_path) as hub:
        await people(hub, 300)
        begun = time.monotonic()
        made = await hub.destination(after=0)
        end = hub.store.on_commit(count)
        await hub.caught_up()
        end()
        # One each 200 ms while things arrive, one in front and one behind.
        assert commits <= (time.monotonic() - begun) / 0.2 + 2
        assert hub.pump(made).delivered == 300


async def test_nothing_is_written_while_nothing_happens(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await hub.place.user("kim")
        await hub.caught_up()
        commits: list[int] = []
        end = hub.store.on_commit(lambda: commits.append(1))
        for _ in range(20):
            hub.pass_time(0.3)
            await asyncio.sleep(0)
        end()
        assert (commits, hub.pump(made).cursor) == ([], 1)


async def test_stopping_settles_what_arrived_and_closes_the_line(tmp_path: Path):
    async def slowly(message: Message) -> Outcome:
        begun.set()
        await asyncio.sleep(0.05)
        return Delivered(204)

    begun = asyncio.Event()
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slowly
        made = await hub.destination(after=0)
        await hub.place.user("kim")
        await begun.wait()
        await control.pause(hub.engine, made)
        assert ((await hub.again()).cursor, hub.outside.positions(), hub.outside.open_now) == (1, [1], set())
        assert hub.engine.find_pump(made.key) is None


async def test_stopping_does_not_wait_for_all_the_parts_of_an_event(tmp_path: Path):
    async def slowly(message: Message) -> Outcome:
        await asyncio.wait_for(gate.wait(), PATIENCE)
        return Delivered(204)

    gate = asyncio.Event()
    async with open_outside(tmp_path) as hub:
        ids = await people(hub, 1500)
        hub.outside.scripts["payroll"] = slowly
        made = await hub.destination(after=1500)
        await hub.place.group("all", *ids)
        await until(lambda: hub.outside.under_way == 1, "the first part under way")
        pausing = asyncio.create_task(control.pause(hub.engine, made))
        await until(lambda: hub.engine.find_pump(made.key) is None, "the stopping")
        gate.set()
        paused = await pausing
        assert (paused.cursor, len(hub.outside.arrivals)) == (1500, 1)
        await control.resume(hub.engine, paused)
        await hub.caught_up()
        first, again, second = [one.message.delivery_id for one in hub.outside.arrivals]
        assert (again, second) == (first, f"{first}_2")


async def test_a_clock_that_is_set_back_does_not_stop_the_settling(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0)
        await people(hub, 2)
        await hub.caught_up()
        hub.pass_time(-3600)
        await people(hub, 2, "later")
        await hub.caught_up()
        assert sorted(hub.outside.positions()) == [1, 2, 3, 4]


class Unreliable(SqlStore):
    """The store of the disk that a test can fill up: what is named in ``broken`` raises."""

    def __init__(self, opened: SqlStore) -> None:
        super().__init__(opened.database, Rules(clock.new_id, DEFAULT_TOMBSTONE_DAYS), 1000)
        self.broken: set[str] = set()
        self.refused: list[str] = []
        self.between: Callable[[], Awaitable[None]] | None = None

    def _check(self, name: str) -> None:
        if name in self.broken:
            self.refused.append(name)
            raise StoreUnavailable("The disk is full.")

    async def settle(self, key: int, settlement: Settlement) -> None:
        self._check("settle")
        await super().settle(key, settlement)

    async def read_changes(self, after: int, limit: int) -> list[Change]:
        self._check("read_changes")
        found = await super().read_changes(after, limit)
        if self.between is not None:
            between, self.between = self.between, None
            await between()
        return found

    async def members_of(self, resource_id: str) -> list[str]:
        self._check("members_of")
        return await super().members_of(resource_id)


@pytest.fixture
def quick_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of waiting for the disk is long in a test."""
    monkeypatch.setattr("scimhub.distribution.pump._AFTER_FAULT", 0.05)


@pytest.mark.usefixtures("quick_recovery")
@pytest.mark.parametrize("broken", ["settle", "read_changes"])
async def test_a_database_that_fails_for_a_while_costs_nothing(tmp_path: Path, broken: str):
    async with open_outside(tmp_path, store=Unreliable) as hub:
        store = hub.engine.given.store
        assert isinstance(store, Unreliable)
        await hub.destination(after=0)
        store.broken.add(broken)
        await people(hub, 5)
        await until(lambda: len(store.refused) >= 2, "two refusals")
        store.broken.clear()
        await hub.caught_up()
        assert hub.outside.positions() == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("quick_recovery")
async def test_a_message_that_needs_the_failing_database_is_sent_when_it_is_well(tmp_path: Path):
    async with open_outside(tmp_path, store=Unreliable) as hub:
        store = hub.engine.given.store
        assert isinstance(store, Unreliable)
        staff = await hub.place.group("other", *await people(hub, 2))
        await hub.destination(after=3, wish=Subscription(filters={"Group": 'displayName eq "staff"'}))
        store.broken.add("members_of")
        await hub.place.set(staff, "Group", displayName="staff")
        await until(lambda: len(store.refused) >= 2, "two refusals")
        store.broken.clear()
        await hub.caught_up()
        assert [one.type for one in hub.outside.arrivals] == ["group.created"]


async def test_a_change_that_is_committed_while_the_log_is_read_is_not_slept_over(tmp_path: Path):
    async with open_outside(tmp_path, store=Unreliable) as hub:
        store = hub.engine.given.store
        assert isinstance(store, Unreliable)
        made = await hub.destination(after=0)
        await until(lambda: hub.pump(made).cursor == 0, "a pump")

        async def commit() -> None:
            # As when a reading thread has its rows, and the loop hears of the next commit before it hears of them.
            await hub.place.user("late")
            await until(lambda: hub.engine._head == 2, "the wake")

        store.between = commit
        await hub.place.user("early")
        await until(lambda: hub.outside.positions() == [1, 2], "both arrivals")


async def test_catching_up_with_what_it_does_not_want_leaves_the_loop_to_others(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        other = await Place.open(hub.store, "other")
        first = await other.user("first")

        def fill(connection: Any) -> None:
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO changes"
                " (id, operation, directory, kind, resource_id, version, source, exchange_id, time, after)"
                " SELECT 'f' || i, operation, directory, kind, resource_id, i, source, exchange_id, time, after"
                " FROM n JOIN changes WHERE position = 1"
            )

        await hub.store.database.write(fill)
        assert first
        made = await hub.destination(after=0)
        gc.collect()
        turns = 0
        while hub.pump(made).cursor < 20_001:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 20_000 / 500


# --------------------------------------------------------------------------- one resource fails


async def test_a_poisoned_resource_waits_alone_and_gets_its_changes_in_order(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        hub.outside.scripts["payroll"] = for_resource(lambda: kim, FAILED)
        made = await hub.destination(after=0)
        others = await people(hub, 20)
        await titles(hub, kim, 3)
        await until(lambda: len(hub.outside.positions()) == 20, "the others' arrival")
        assert hub.pump(made).cursor == 0
        for _ in range(2):
            before = len(hub.noted.attempts)
            hub.pass_time(6)
            await until(lambda before=before: len(hub.noted.attempts) > before, "the next attempt")
        # The third failure would wait for half a minute: it leaves the window.
        await hub.caught_up()
        (held,) = await hub.store.list_held(made.key)
        assert (held.resource_id, held.first_position, held.attempts, held.error) == (kim, 1, 3, FAILED.reason)
        assert held.next_attempt is not None
        await titles(hub, others[0], 1)
        await hub.caught_up()
        assert [owed.events for owed in await control.list_owed(hub.engine, await hub.again())] == [4]
        hub.outside.scripts["payroll"] = deliver
        hub.pass_time(31)
        await until(lambda: versions(hub.outside).get(kim) == [1, 2, 3, 4], "the repair")
        await hub.nothing_held()
        assert [one.number for one in hub.noted.attempts if one.resource_id == kim] == [1, 2, 3, 4, 1, 1, 1]


async def test_what_is_held_survives_a_restart(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        hub.outside.scripts["payroll"] = for_resource(lambda: kim, Retry("429", after=3600.0))
        await hub.destination(after=0)
        await titles(hub, kim, 2)
        await hub.caught_up()
        assert await hub.held() == {kim: "429"}
    async with open_outside(tmp_path) as hub:
        await titles(hub, kim, 1)
        await hub.looked_at_all(await hub.again())
        assert hub.outside.arrivals == []
        hub.pass_time(3601)
        await until(lambda: versions(hub.outside).get(kim) == [1, 2, 3, 4], "the repair")


async def test_what_is_refused_three_times_waits_for_a_person(tmp_path: Path):
    async with open_outside(tmp_path, chance=0.0) as hub:
        kim = await hub.place.user("kim")
        hub.outside.scripts["payroll"] = for_resource(lambda: kim, Rejected("The receiver answered 400.", 400, "no such field"))
        made = await hub.destination(after=0)
        await hub.caught_up()
        (held,) = await hub.store.list_held(made.key)
        assert (held.attempts, held.next_attempt) == (3, None)
        assert [(one.outcome, one.status, one.detail, one.excerpt) for one in hub.noted.attempts] == [
            ("rejected", 400, "The receiver answered 400.", "no such field")
        ] * 3
        hub.pass_time(30 * 24 * 3600)
        await people(hub, 1)
        await hub.caught_up()
        assert len(hub.noted.attempts) == 4
        hub.outside.scripts["payroll"] = deliver
        assert await control.retry_held(hub.engine, made, kim) == 1
        await until(lambda: hub.outside.positions(resource=kim) == [1], "the repair")
        await hub.nothing_held()


async def rejected(hub: Hub, changes: int = 2) -> str:
    """A person whose creation and later changes are held until somebody looks."""
    kim = await hub.place.user("kim")
    await titles(hub, kim, changes)
    hub.outside.scripts["payroll"] = for_resource(lambda: kim, Rejected("400"))
    await hub.destination(after=0)
    await hub.caught_up()
    assert await hub.held() == {kim: "400"}
    return kim


async def test_the_first_event_that_is_held_can_be_given_up(tmp_path: Path):
    async with open_outside(tmp_path, chance=0.0) as hub:
        kim = await rejected(hub)
        hub.outside.scripts["payroll"] = deliver
        assert [owed.events for owed in await control.list_owed(hub.engine, await hub.again())] == [3]
        await control.skip_held(hub.engine, await hub.again(), kim)
        await until(lambda: hub.outside.positions() == [2, 3], "the rest")
        await hub.nothing_held()


async def test_giving_up_the_only_event_releases_the_resource(tmp_path: Path):
    async with open_outside(tmp_path, chance=0.0) as hub:
        kim = await rejected(hub, 0)
        hub.outside.scripts["payroll"] = deliver
        await control.skip_held(hub.engine, await hub.again(), kim)
        await titles(hub, kim, 1)
        await until(lambda: hub.outside.positions() == [2], "the next change")
        await hub.nothing_held()


async def test_all_that_is_held_of_a_resource_can_be_given_up(tmp_path: Path):
    async with open_outside(tmp_path, chance=0.0) as hub:
        kim = await rejected(hub)
        hub.outside.scripts["payroll"] = deliver
        await control.skip_held(hub.engine, await hub.again(), kim, everything=True)
        await titles(hub, kim, 1)
        await hub.caught_up()
        assert (hub.outside.positions(), await hub.held()) == ([4], {})


async def test_unwanted_changes_in_front_do_not_hide_the_first_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control, "MOST_OWED_COUNTED", 2)
    async with open_outside(tmp_path, chance=0.0) as hub:
        kim = await rejected(hub, 5)
        await control.pause(hub.engine, await hub.again())
        # Only the creation and the deletion of whoever has a nickname are wanted from now on.
        await hub.place.set(kim, nickName="k")
        wish = Subscription(types=("user.updated",), attributes=("nickName",))
        await control.update(hub.engine, await hub.again(), None, wish)
        known = await hub.again()
        for first in (3, 5, 7, 8):
            await control.skip_held(hub.engine, known, kim)
            (held,) = await hub.store.list_held(known.key)
            assert held.first_position == first


async def test_nothing_is_held_of_who_is_well(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination()
        assert await control.retry_held(hub.engine, made, None) == 0
        for wish in (control.retry_held(hub.engine, made, "nobody"), control.skip_held(hub.engine, made, "nobody")):
            with pytest.raises(Absent, match="Destination payroll holds nothing of resource 'nobody'"):
                await wish


async def test_everything_that_is_held_is_tried_at_once(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = await people(hub, 4)
        hub.outside.scripts["payroll"] = lambda message: Retry("429", after=3600.0)
        made = await hub.destination(after=0)
        await hub.caught_up()
        assert set(await hub.held()) == set(ids)
        hub.outside.scripts["payroll"] = deliver
        assert await control.retry_held(hub.engine, made, None) == 4
        await until(lambda: sorted(hub.outside.positions()) == [1, 2, 3, 4], "all four")


async def test_a_resource_that_is_always_put_off_shortly_does_not_stop_the_window(tmp_path: Path):
    """The window is nearly full, and what would be read next does not fit as a whole."""
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        hub.outside.scripts["payroll"] = for_resource(lambda: kim, Retry("429", after=9.0))
        made = await hub.destination(after=0)
        await until(lambda: hub.noted.attempts, "the first attempt")
        await titles(hub, await hub.place.user("busy"), 950)
        await until(lambda: hub.pump(made).delivered == 951, "951 arrivals")
        await people(hub, 200)
        await until(lambda: hub.pump(made).delivered == 1151, "the arrival of all others")


async def test_what_is_owed_is_read_again_in_portions_that_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scimhub.distribution.lanes.MOST_BYTES", 4000)

    async def wait(message: Message) -> Outcome:
        await asyncio.wait_for(gate.wait(), PATIENCE)
        return Delivered(204)

    gate = asyncio.Event()
    async with open_outside(tmp_path) as hub:
        creations = (hub.place.user(f"u{number}", title="x" * 500) for number in range(40))
        ids = list(await asyncio.gather(*creations))
        made = await hub.destination(after=40)
        holds = [Held(id, number, clock.now_text(), 9, None, "429") for number, id in enumerate(ids, 1)]
        await hub.store.settle(made.key, Settlement(40, holds=holds))
        hub.outside.scripts["payroll"] = wait
        assert await control.retry_held(hub.engine, made, None) == 40
        await until(lambda: hub.outside.under_way >= 5, "some under way")
        assert hub.pump(made)._lanes._recalled_bytes <= 5000
        gate.set()
        await until(lambda: len(hub.outside.positions()) == 40, "all")
        assert sorted(versions(hub.outside)) == sorted(ids)


# --------------------------------------------------------------------------- the destination fails


async def test_a_destination_that_is_down_costs_nothing_and_gets_everything_in_order(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: DOWN
        made = await hub.destination(after=0)
        ids = await people(hub, 5)
        for id in ids:
            await titles(hub, id, 3)
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker")
        found = await status.of_destination(hub.engine, made)
        assert (found.breaker, found.error, found.lag, found.held, found.delivered) == ("open", DOWN.reason, 20, 0, 0)
        for _ in range(4):
            before = len(hub.noted.attempts)
            hub.pass_time(61)
            await until(lambda before=before: len(hub.noted.attempts) > before, "a probe")
        assert ((await hub.again()).cursor, await hub.held()) == (0, {})
        hub.outside.scripts["payroll"] = deliver
        hub.pass_time(61)
        await hub.caught_up()
        assert versions(hub.outside) == {id: [1, 2, 3, 4] for id in ids}


async def test_while_a_probe_is_under_way_nothing_turns(tmp_path: Path):
    async def down_then_silent(message: Message) -> Outcome:
        nonlocal sent
        sent += 1
        if sent > 1:
            await asyncio.wait_for(gate.wait(), PATIENCE)
        return DOWN

    sent, gate = 0, asyncio.Event()
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = down_then_silent
        made = await hub.destination(after=0, concurrency=1)
        await hub.place.user("kim")
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker")
        hub.pass_time(61)
        await until(lambda: sent == 2, "the probe")
        turns, now = 0, hub.clock.now

        def counted() -> float:
            nonlocal turns
            turns += 1
            return now()

        pump = hub.pump(made)
        object.__setattr__(pump._given, "now", counted)
        for _ in range(50):
            await asyncio.sleep(0.001)
        gate.set()
        assert turns < 20


async def test_failures_of_many_resources_are_taken_for_its_own(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: FAILED
        made = await hub.destination(after=0)
        await people(hub, 12)
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker")
        hub.outside.scripts["payroll"] = deliver
        for _ in range(8):
            hub.pass_time(61)
            await asyncio.sleep(0)
        await hub.caught_up()
        assert (sorted(hub.outside.positions()), await hub.held()) == (list(range(1, 13)), {})


async def test_people_who_are_refused_one_after_the_other_do_not_keep_the_others_waiting(tmp_path: Path):
    async with open_outside(tmp_path, chance=0.0) as hub:
        hub.outside.scripts["payroll"] = lambda message: Rejected("422", 422) if b'"no-' in message.data else Delivered()
        # Nothing is known of a destination that has just been opened, and those who are refused come first.
        refused = set(await people(hub, 40, "no-a"))
        await people(hub, 1, "yes-a")
        made = await hub.destination(after=0)
        await until(lambda: hub.pass_time(1) or 41 in hub.outside.positions(), "the one who is taken")
        await until(lambda: hub.pass_time(1) or hub.pump(made).held == 40, "those who are refused")
        probes = hub.pump(made).breaker.failures
        # Now it is known that it takes others.
        refused.update(await people(hub, 40, "no-b"))
        await people(hub, 1, "yes-b")
        await until(lambda: 82 in hub.outside.positions(), "the one who is taken")
        await until(lambda: hub.pass_time(1) or hub.pump(made).held == 80, "those who are refused")
        assert (hub.pump(made).breaker.state, hub.pump(made).breaker.failures) == ("closed", probes)
        await hub.caught_up()
        assert set(await hub.held()) == refused


async def test_a_destination_that_refuses_everything_costs_nothing(tmp_path: Path):
    async with open_outside(tmp_path, chance=0.0) as hub:
        hub.outside.scripts["payroll"] = lambda message: Rejected("422", 422)
        made = await hub.destination(after=0)
        await people(hub, 12)
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker")
        for _ in range(30):
            hub.pass_time(61)
            await asyncio.sleep(0)
        assert await hub.held() == {}
        hub.outside.scripts["payroll"] = deliver
        await until(lambda: hub.pass_time(61) or len(hub.outside.positions()) == 12, "all of them")


async def test_a_destination_that_says_it_is_gone_is_stopped(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: Gone("The receiver answered 410.", 410)
        made = await hub.destination(after=0)
        await people(hub, 3)
        await until(lambda: hub.engine.find_pump(made.key) is None, "the end of its pump")
        await until(lambda: hub.outside.open_now == set(), "the line's end")
        while (stopped := await hub.again()).state == "active":
            await asyncio.sleep(0.005)
        assert (stopped.state, stopped.reason, stopped.cursor) == ("failing", "The receiver answered 410.", 0)
        hub.outside.scripts["payroll"] = deliver
        resumed = await control.resume(hub.engine, stopped)
        assert (resumed.state, resumed.reason) == ("active", "")
        await hub.caught_up()
        assert sorted(hub.outside.positions()) == [1, 2, 3]


async def test_who_fails_for_a_day_and_fifty_times_is_stopped(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: DOWN
        made = await hub.destination(after=0)
        await hub.place.user("kim")
        attempts = hub.noted.attempts
        for number in range(1, 50):
            await until(lambda number=number: len(attempts) >= number, f"attempt {number}")
            hub.pass_time(61)
        await until(lambda: len(attempts) >= 50, "attempt 50")
        assert (await hub.again()).state == "active"
        before = len(attempts)
        hub.pass_time(22 * 3600)
        await until(lambda: len(attempts) > before, "a probe within the day")
        assert (await hub.again()).state == "active"
        hub.pass_time(2 * 3600)
        await until(lambda: hub.engine.find_pump(made.key) is None, "the end of its pump")
        while (stopped := await hub.again()).state == "active":
            await asyncio.sleep(0.005)
        assert stopped.state == "failing"
        assert stopped.reason.startswith("It failed for a day, 5")
        assert stopped.reason.endswith(" times; the last time: Nobody listens.")


async def test_a_day_without_much_to_send_stops_nobody(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: DOWN
        await hub.destination(after=0)
        await hub.place.user("kim")
        await until(lambda: hub.noted.attempts, "an attempt")
        before = len(hub.noted.attempts)
        hub.pass_time(48 * 3600)
        await until(lambda: len(hub.noted.attempts) > before, "a probe")
        assert (await hub.again()).state == "active"


async def test_a_defect_of_ours_ends_the_pump_which_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def explode(message: Message) -> Outcome:
        raise ZeroDivisionError

    monkeypatch.setattr("scimhub.distribution.engine._AFTER_DEFECT", 0.05)
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = explode
        made = await hub.destination(after=0)
        broken = hub.pump(made)
        await hub.place.user("kim")
        await until(lambda: hub.outside.opened[1:], "another pump")
        hub.outside.scripts["payroll"] = deliver
        await hub.caught_up()
        assert hub.pump(made) is not broken
        assert (hub.outside.positions(), (await hub.again()).state) == ([1], "active")


# --------------------------------------------------------------------------- what cannot go on


BADGE = {"id": "urn:example:scim:schemas:Badge", "name": "Badge", "attributes": [{"name": "badgeNumber"}], "extends": ["User"]}


async def test_a_subscription_that_lost_its_attribute_stops_loudly(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        directory = await hub.store.find_directory(hub.place.directory.name)
        assert directory is not None
        await schemas.add_schema(hub.store, directory, BADGE, "2026-11-23T10:00:00.000Z", lambda: "x")
        made = await hub.destination(after=0, wish=Subscription(filters={"User": 'badgeNumber eq "7"'}))
        await hub.place.user("kim")
        await hub.looked_at_all(made)
        directory = await hub.store.find_directory(hub.place.directory.name)
        assert directory is not None
        await schemas.remove_schema(hub.store, directory, BADGE["id"])
        await hub.place.user("sam")
        await until(lambda: hub.engine.find_pump(made.key) is None, "the end of its pump")
        while (stopped := await hub.again()).state == "active":
            await asyncio.sleep(0.005)
        assert stopped.state == "failing"
        assert stopped.reason.startswith("Its subscription cannot be used any more: The filter for User cannot be used: ")
        assert hub.outside.arrivals == []


async def test_a_position_that_retention_blanked_stops_it_as_behind(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await control.pause(hub.engine, made)
        await people(hub, 3)
        await hub.store.purge_changes(2)
        await hub.store.set_state(made.key, "active", "", "2026-11-23T10:00:00.000Z")
        async with hub.engine.halted(made):
            pass
        await until(lambda: hub.engine.find_pump(made.key) is None, "the end of its pump")
        while (stopped := await hub.again()).state == "active":
            await asyncio.sleep(0.005)
        assert (stopped.state, stopped.reason) == (
            "behind",
            "Retention removed change 1 before it was delivered; a resync is needed.",
        )
        with pytest.raises(Conflict):
            await control.resume(hub.engine, stopped)
        await control.replay(hub.engine, stopped, 2)
        await hub.caught_up()
        assert hub.outside.positions() == [3]


# --------------------------------------------------------------------------- the administrator's verbs


async def test_what_is_paused_gets_nothing_until_it_is_resumed(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await people(hub, 2)
        await hub.caught_up()
        paused = await control.pause(hub.engine, made, "moving house")
        assert (paused.state, paused.reason) == ("paused", "moving house")
        await people(hub, 2, "later")
        found = await status.of_destination(hub.engine, await hub.again())
        assert (found.lag, found.breaker, found.in_flight, found.error) == (2, "", 0, "moving house")
        assert hub.outside.positions() == [1, 2]
        await control.resume(hub.engine, paused)
        await hub.caught_up()
        assert hub.outside.positions() == [1, 2, 3, 4]


async def test_a_rotation_signs_with_both_secrets_until_the_overlap_ends(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        ((_, first),) = hub.outside.opened
        rotated = await control.rotate(hub.engine, made, overlap_hours=2)
        assert hub.outside.opened[-1] == ("payroll", [bytes.fromhex(rotated.secret), *first])
        brought = await control.rotate(hub.engine, made, overlap_hours=1, secret="whsec_mine")
        assert len(hub.outside.opened[-1][1]) == 3
        assert brought.secret == b"whsec_mine".hex()
        hub.pass_time(3601)
        await hub.engine.drop_expired_secrets()
        # The one before it ends with the shorter overlap; so does, by the later rotation, the first.
        assert hub.outside.opened[-1] == ("payroll", [b"whsec_mine"])
        assert len(await hub.store.list_secrets(made.key)) == 1
        with pytest.raises(Invalid, match="The overlap is 721 hours; it must be from 0 to 720"):
            await control.rotate(hub.engine, made, overlap_hours=721)


async def test_a_replay_sends_once_more_what_it_had_and_marks_only_that(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        kim, sam = await people(hub, 2)
        await titles(hub, kim, 1)
        await hub.caught_up()
        running = await control.replay(hub.engine, made, 1)
        assert running.replay is not None
        mark = running.replay.id
        await titles(hub, sam, 1)
        await hub.caught_up()
        again = hub.outside.arrivals[3:]
        assert [one.message.delivery_id == f"{one.message.attributes['id']}_{mark}" for one in again] == [True, True, False]
        assert [one.message.attributes.get("replayid") for one in again] == [mark, mark, None]
        assert [one.data["position"] for one in again] == [2, 3, 4]
        assert [one.message.data for one in again[:2]] == [one.message.data for one in hub.outside.arrivals[1:3]]
        assert (await hub.again()).replay is None


async def test_a_replay_within_a_replay_marks_what_the_first_would_have_marked(tmp_path: Path):
    async def once(message: Message) -> Outcome:
        if message.attributes.get("replayid") and message.attributes["sequence"].endswith("3"):
            await asyncio.wait_for(gate.wait(), PATIENCE)
        return Delivered(204)

    gate = asyncio.Event()
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = once
        made = await hub.destination(after=0, concurrency=1)
        await people(hub, 5)
        await hub.caught_up()
        await control.replay(hub.engine, made, 0)
        await until(lambda: hub.outside.under_way == 1, "the replay halfway")
        gate.set()
        again = await control.replay(hub.engine, made, 0)
        assert again.replay is not None
        assert again.replay.until == 5


async def test_what_a_replay_could_not_deliver_is_marked_when_it_is_repaired(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        made = await hub.destination(after=0)
        await hub.caught_up()
        hub.outside.scripts["payroll"] = for_resource(lambda: kim, Retry("429", after=3600.0))
        replay = (await control.replay(hub.engine, made, 0)).replay
        assert replay is not None
        await hub.caught_up()
        assert (await hub.again()).replay == replay
        hub.outside.scripts["payroll"] = deliver
        hub.pass_time(3601)
        await until(lambda: len(hub.outside.delivered()) == 2, "the repair")
        await hub.nothing_held()
        assert hub.outside.delivered()[1].message.attributes["replayid"] == replay.id
        assert (await hub.again()).replay is None


async def test_a_replay_from_the_end_repeats_nothing(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await people(hub, 2)
        await hub.caught_up()
        assert (await control.replay(hub.engine, made, 2)).replay is None
        for wrong in (3, -1):
            with pytest.raises(Invalid, match=f"The position {wrong} is not kept; write one from 0 to 2"):
                await control.replay(hub.engine, made, wrong)


async def test_what_a_destination_never_had_is_no_repetition(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await people(hub, 2)
        await hub.caught_up()
        paused = await control.pause(hub.engine, made)
        await people(hub, 2, "later")
        await control.replay(hub.engine, paused, 0)
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        marks = ["replayid" in one.message.attributes for one in hub.outside.arrivals[2:]]
        assert marks == [True, True, False, False]


async def test_a_replay_begins_at_a_time(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await people(hub, 3)
        assert await control.position_at(hub.engine, "2000-01-01T00:00:00Z") == 0
        assert await control.position_at(hub.engine, "2999-01-01") == 3
        with pytest.raises(Invalid, match="The time 'yesterday' is not understood"):
            await control.position_at(hub.engine, "yesterday")


async def test_another_subscription_holds_for_what_comes(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        kim = await hub.place.user("kim", userType="Guest")
        await hub.caught_up()
        wish = Subscription(filters={"User": 'userType eq "Employee"'})
        changed = await control.update(hub.engine, made, None, wish)
        assert changed.subscription_version == 2
        await hub.place.set(kim, title="boss")
        await hub.place.set(kim, userType="Employee")
        await hub.caught_up()
        assert [(one.type, one.data["cause"]) for one in hub.outside.arrivals] == [
            ("user.created", "write"),
            ("user.created", "scope"),
        ]
        with pytest.raises(Invalid) as refused:
            await control.update(hub.engine, made, {"speed": 1}, Subscription(types=("user.hired",)))
        assert len(refused.value.problems) == 2


async def test_what_is_removed_gets_nothing_more(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await hub.place.user("kim")
        await hub.caught_up()
        await control.delete(hub.engine, made)
        await hub.place.user("sam")
        assert (hub.outside.positions(), hub.outside.open_now) == ([1], set())
        with pytest.raises(Absent, match="Directory acme has no destination 'payroll'"):
            await control.get(hub.engine, hub.place.directory, "payroll")


async def test_a_test_event_goes_past_the_pump(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await control.pause(hub.engine, made)
        assert await control.check(hub.engine, await hub.again()) == Delivered(204)
        (arrived,) = hub.outside.arrivals
        assert (arrived.type, arrived.message.attributes["subject"]) == ("test", made.id)
        assert arrived.data == {"destination": "payroll", "directory": "acme"}
        assert hub.outside.open_now == set()


async def test_all_mistakes_of_a_new_destination_are_told(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        with pytest.raises(Invalid) as refused:
            await control.create(
                hub.engine,
                hub.place.directory,
                "Pay Roll",
                "scripted",
                {"speed": 1},
                Subscription(types=("user.hired",), filters={"User": "("}),
                after=9,
                secret="mine",
            )
        assert len(refused.value.problems) == 6
        assert await hub.store.list_destinations() == []
        await hub.destination()
        with pytest.raises(Conflict, match="Directory acme has a destination payroll already"):
            await hub.destination()


async def test_without_a_started_engine_the_verbs_only_write(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.engine.close()
        made = await hub.destination(after=0)
        await hub.place.user("kim")
        await control.pause(hub.engine, made)
        await control.resume(hub.engine, await hub.again())
        assert (hub.outside.opened, (await hub.again()).state) == ([], "active")
        found: Any = await status.of_destination(hub.engine, await hub.again())
        assert (found.lag, found.breaker) == (1, "")


async def test_poisoned_resources_alone_do_not_keep_a_newcomer_waiting(tmp_path: Path) -> None:
    async with open_outside(tmp_path) as hub:
        bad = set(await people(hub, 5))
        hub.outside.scripts["payroll"] = lambda m: FAILED if m.attributes["subject"] in bad else Delivered(204)
        made = await hub.destination(after=0)
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker to open")
        await hub.place.user("well")
        tried = len(hub.noted.attempts)
        hub.pass_time(61)
        await until(lambda: bool(hub.outside.positions()), "the newcomer's arrival")
        assert len(hub.noted.attempts) >= tried + 1
        # Now they are known to be to blame: the destination is up, and they are held one by one.
        for _ in range(6):
            hub.pass_time(31)
        await until(lambda: hub.pump(made).breaker.state == "closed", "the breaker to stay closed")


async def test_a_slow_destination_does_not_keep_the_verbs_of_another_waiting(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(_: Message) -> Delivered:
        await asyncio.wait_for(gate.wait(), PATIENCE)
        return Delivered(204)

    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["slow"] = slow
        first, second = await hub.destination("slow", after=0), await hub.destination("payroll", after=0)
        await people(hub, 1)
        await until(lambda: bool(hub.outside.under_way), "a message under way")
        pausing = asyncio.create_task(control.pause(hub.engine, first))
        try:
            await asyncio.wait_for(control.pause(hub.engine, second), PATIENCE)
            assert not pausing.done()
        finally:
            gate.set()
            await pausing


# --------------------------------------------------------------------------- all in one order


async def test_a_destination_that_takes_all_in_order_gets_the_log_as_it_is(tmp_path: Path):
    dice = random.Random(7)
    fail_now = [FAILED, DOWN]

    async def moody(message: Message) -> Outcome:
        await asyncio.sleep(0)
        return dice.choice(fail_now) if dice.random() < 0.2 else Delivered()

    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = moody
        destination = await hub.destination(order="stream")
        for id in await people(hub, 5):
            await titles(hub, id, 6)
        head = await hub.store.last_position()
        await until(lambda: hub.pump(destination).cursor == head or hub.pass_time(70), "the end")
        assert hub.outside.positions() == list(range(1, head + 1))
        assert hub.outside.most_under_way == 1
        assert await hub.held() == {}


async def test_what_it_refuses_for_good_stops_it_and_lets_nothing_overtake(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: Rejected("No.") if b"bad" in message.data else Delivered()
        destination = await hub.destination(order="stream")
        await people(hub, 2)
        await hub.place.user("bad")
        await people(hub, 2, "later")
        await until(lambda: hub.engine.find_pump(destination.key) is None or hub.pass_time(70), "the stop")
        stopped = await hub.again()
        assert (stopped.state, stopped.reason) == ("failing", "It takes all in order and refuses position 3: No.")
        assert hub.outside.positions() == [1, 2]
        assert await hub.held() == {}
        hub.outside.scripts["payroll"] = deliver
        await control.resume(hub.engine, stopped)
        await hub.caught_up()
        assert hub.outside.positions() == [1, 2, 3, 4, 5]


async def test_no_more_is_sent_than_a_crash_may_repeat_while_nothing_can_be_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(settling, "MOST_REPEATED", 20)
    async with open_outside(tmp_path) as hub:
        made = await hub.destination()
        refusing = True
        settle = hub.store.settle

        async def settle_later(key: int, settlement: Settlement) -> None:
            if refusing:
                raise StoreUnavailable("The disk is full.")
            await settle(key, settlement)

        monkeypatch.setattr(hub.store, "settle", settle_later)
        for number in range(60):
            await hub.place.user(f"kim{number}")
        await until(lambda: len(hub.outside.delivered()) >= 20, "as many as may come again")
        assert hub.pump(made).in_flight == 0
        assert len(hub.outside.delivered()) == 20
        refusing = False
        hub.pass_time(5)
        await hub.caught_up()
        assert len(hub.outside.delivered()) == 60


async def test_another_destination_of_the_same_name_keeps_its_own_pump(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination()
        async with hub.engine.halted(made):
            await hub.store.delete_destination(made.key)
            other = await hub.destination()
            pump = hub.pump(other)
        assert hub.pump(other) is pump
