"""The brake and leaver priority under an engine on a real store: bursts, decisions, returns, restarts, backlogs."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.distribution import braking, control, restating, status
from scimhub.distribution.brake import Thresholds
from scimhub.distribution.delivery import Choice, Delivered, Destination, Message, Outcome, Style, Subscription
from tests.distribution.outside import Hub, Outside, open_outside, until
from tests.distribution.test_pump import DOWN, people, titles, versions
from tests.servers.running import PATIENCE

ALL = Choice()


def removed(outside: Outside, destination: str = "payroll") -> list[str]:
    """Whose removal arrived, in order."""
    arrived = outside.delivered(destination)
    return [one.data["id"] for one in arrived if one.type == "user.deleted" or not one.data["resource"].get("active", True)]


async def burst(hub: Hub, ids: list[str]) -> None:
    for id in ids:
        await hub.place.delete("User", id)


async def brake_of(hub: Hub, name: str = "payroll") -> braking.BrakeStatus:
    return await braking.status(hub.engine, await hub.again(name))


async def tripped(hub: Hub, destination: Destination, removals: int) -> int:
    """Until the brake has tripped and of so many removals all that did not arrive are kept, as is written; how many."""
    waiting = 0

    def is_so() -> bool:
        sql = "SELECT count(*) FROM held WHERE cause = 'brake' AND next_attempt IS NULL AND destination = ?"
        rows = hub.store.database.read_here(lambda connection: connection.fetch(sql, (destination.key,)))
        nonlocal waiting
        waiting = int(rows[0][0])
        hub.pass_time(0.02)
        return waiting > 0 and waiting + len(set(removed(hub.outside, destination.name))) == removals

    await until(is_so, f"the end of {removals} removals")
    return waiting


# --------------------------------------------------------------------------- bursts


async def test_a_single_leaver_goes_at_once_and_is_counted(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0)
        ids = await people(hub, 20)
        await burst(hub, ids[:1])
        await hub.caught_up()
        assert removed(hub.outside) == ids[:1]
        stands = await brake_of(hub)
        assert (stands.trip, stands.settling, stands.waiting) == (None, 0, 0)
        assert [(sort.name, sort.held, sort.last_10_minutes, sort.last_24_hours) for sort in stands.sorts] == [
            ("User", 0, 1, 1)
        ]


async def test_of_an_accident_five_leave_all_else_goes_on_and_one_release_sends_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        ids = await people(hub, 80)
        await hub.caught_up()
        with caplog.at_level(logging.WARNING):
            await burst(hub, ids)
            new = await people(hub, 3, prefix="new")
            waiting = await tripped(hub, made, 80)
            await until(lambda: {"user.created"} == {one.type for one in hub.outside.delivered()[-3:]}, "the new ones")
        # The fifth goes if it was known by then how many there are.
        assert waiting in (75, 76)
        (told,) = [record for record in caplog.records if record.message.startswith("brake tripped")]
        assert (told.sort, told.next) == (  # type: ignore[attr-defined]
            "User",
            "scimhub destination brake show payroll --directory acme",
        )
        found = await status.of_destination(hub.engine, await hub.again())
        assert (found.held, found.brake_held, found.brake_is_tripped, found.oldest_leaver_seconds) == (
            0,
            waiting,
            True,
            0.0,
        )
        hub.pass_time(3 * 24 * 3600)
        await hub.caught_up()
        assert len(removed(hub.outside)) == 80 - waiting
        assert await braking.decide(hub.engine, await hub.again(), ALL, discards=False) == waiting
        await hub.caught_up()
        await hub.nothing_held()
        assert sorted(removed(hub.outside)) == sorted(ids)
        assert versions(hub.outside) == {id: [1, 2] for id in ids} | {id: [1] for id in new}
        stands = await brake_of(hub)
        assert (stands.trip, stands.waiting, list(stands.sorts)) == (None, 0, [])


async def test_a_removal_that_is_one_too_many_trips_the_brake_at_once_though_it_could_settle(tmp_path: Path):
    """How many there are was counted for the removals before it, and is counted again."""
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0)
        ids = await people(hub, 11)
        await burst(hub, ids[:5])
        await until(lambda: len(removed(hub.outside)) >= 4, "those that go at once")
        hub.pass_time(70)
        await until(lambda: len(removed(hub.outside)) == 5, "the one that settled")
        await hub.caught_up()
        hub.pass_time(10)  # so that it settles at once what it keeps, and nothing is left to wake it
        await burst(hub, ids[5:6])
        async with asyncio.timeout(PATIENCE):
            while not (await status.of_destination(hub.engine, await hub.again())).brake_is_tripped:
                await asyncio.sleep(0.01)
        trip = (await brake_of(hub)).trip
        assert trip is not None
        assert (trip.count, trip.population) == (6, 11)
        assert len(removed(hub.outside)) == 5


async def test_a_replay_releases_nothing_that_waits_for_an_administrator(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        ids = await people(hub, 8)
        await hub.caught_up()
        await burst(hub, ids[:7])
        waiting = await tripped(hub, made, 7)
        arrived = removed(hub.outside)
        hub.pass_time(2 * 24 * 3600)  # a few of them are no burst any more
        with pytest.raises(Conflict, match="has tripped and keeps removals behind position 0; release or discard them first"):
            await control.replay(hub.engine, await hub.again(), 0)
        await hub.caught_up()
        assert removed(hub.outside) == arrived
        assert await braking.decide(hub.engine, await hub.again(), ALL, discards=True) == waiting
        await control.replay(hub.engine, await hub.again(), 0)


async def test_deactivations_and_losses_of_scope_count_as_much_as_deletions(tmp_path: Path):
    wish = Subscription(filters={"User": 'title eq "in"'})
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0, wish=wish)
        ids = [await hub.place.user(f"u{number}", title="in", active=True) for number in range(12)]
        await hub.caught_up()
        for id in ids[:3]:
            await hub.place.set(id, active=False)
        for id in ids[3:6]:
            await hub.place.set(id, title="out")
        await burst(hub, ids[6:])
        await tripped(hub, made, 12)
        trip = (await brake_of(hub)).trip
        assert trip is not None
        assert trip.count >= 6


async def test_a_burst_below_the_thresholds_goes_when_it_has_settled(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0)
        ids = await people(hub, 40)
        await hub.caught_up()
        await burst(hub, ids[:9])
        await hub.caught_up()
        # The fifth waits until it is known how many there are, the others for the rest of their burst.
        stands = await brake_of(hub)
        assert (len(removed(hub.outside)), stands.settling, stands.waiting) == (4, 5, 0)
        hub.pass_time(61)
        await until(lambda: len(removed(hub.outside)) == 9, "the end of the settling")
        await hub.nothing_held()


async def test_all_groups_of_a_large_directory_are_a_burst_of_their_own(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        await people(hub, 60)
        groups = [await hub.place.group(f"g{number}") for number in range(8)]
        await hub.caught_up()
        for id in groups:
            await hub.place.delete("Group", id)
        await until(lambda: hub.pump(made).brake.trip is not None, "the brake")
        trip = hub.pump(made).brake.trip
        assert trip is not None
        assert trip.sort == "Group"
        # Who goes while they are counted may be left out, and nobody is counted twice.
        assert trip.count <= trip.population <= 8


async def test_after_an_outage_those_who_left_meanwhile_are_part_of_the_population(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: DOWN
        made = await hub.destination(after=0)
        ids = await people(hub, 16)
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker")
        await burst(hub, ids[:7])
        hub.outside.scripts["payroll"] = lambda message: Delivered(204)
        hub.pass_time(61)
        await hub.caught_up()
        hub.pass_time(61)
        # Seven of the nine that the store has left would be too many; of sixteen they are not.
        await until(lambda: len(removed(hub.outside)) == 7, "all who left")
        assert hub.pump(made).brake.trip is None


@pytest.mark.parametrize("filters", [{}, {"User": "userName pr"}])
async def test_who_leaves_while_the_others_are_counted_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: dict[str, str]
):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0, wish=Subscription(filters=filters))
        ids = await people(hub, 21)
        await hub.caught_up()
        counting = "walk" if filters else "count_active"
        count = getattr(hub.store, counting)

        async def count_and_lose_some(*asked: Any) -> Any:
            counted = await count(*asked)
            monkeypatch.undo()
            await burst(hub, ids[5:13])
            head = await hub.store.last_position()
            await until(lambda: hub.pump(made)._intake.read_position >= head, "the pump to read of them")
            return counted

        monkeypatch.setattr(hub.store, counting, count_and_lose_some)
        await burst(hub, ids[:5])
        # Thirteen of 21 are too many; of 28 they would not be.
        await tripped(hub, made, 13)
        trip = (await brake_of(hub)).trip
        assert trip is not None
        assert (trip.count, trip.population) == (13, 21)


async def test_with_a_filter_those_who_left_elsewhere_are_no_part_of_the_population(tmp_path: Path):
    wish = Subscription(filters={"User": 'title eq "in"'})
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0, wish=wish)
        others = await people(hub, 60)
        ids = [await hub.place.user(f"in{number}", title="in") for number in range(8)]
        await hub.caught_up()
        await asyncio.gather(*(hub.place.delete("User", id) for id in (*ids, *others)))
        await until(lambda: hub.pump(made).brake.trip is not None, "the brake")
        assert len(removed(hub.outside)) < 5


async def test_memberships_are_counted_against_memberships(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        ids = await people(hub, 60)
        staff = await hub.place.group("staff")
        await hub.place.members(staff, add=ids)
        await hub.caught_up()
        await hub.place.members(staff, remove=ids[:55])
        await tripped(hub, made, 1)
        trip = (await brake_of(hub)).trip
        assert trip is not None
        assert (trip.sort, trip.count, trip.population) == ("members", 55, 60)
        await hub.place.set(ids[0], title="boss")
        await hub.caught_up()
        assert versions(hub.outside)[ids[0]] == [1, 2]
        await braking.decide(hub.engine, await hub.again(), ALL, discards=False)
        await hub.nothing_held()
        assert versions(hub.outside)[staff] == [1, 2, 3]


async def test_a_restart_in_the_middle_of_a_burst_lets_no_more_out(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0)
        ids = await people(hub, 9)
        await burst(hub, ids[:3])
        await hub.caught_up()
        assert len(removed(hub.outside)) == 3
    async with open_outside(tmp_path) as hub:
        await burst(hub, ids[3:])
        await tripped(hub, await hub.again(), 6)
        assert len(removed(hub.outside)) <= 1
    async with open_outside(tmp_path) as hub:
        hub.pass_time(3600)
        assert (await brake_of(hub)).waiting in (5, 6)
        assert removed(hub.outside) == []


# --------------------------------------------------------------------------- decisions


async def accident(hub: Hub, count: int = 12, style: Style = "event") -> tuple[Destination, list[str]]:
    """Everybody is deactivated; the first who left, and who is kept."""
    made = await hub.destination(after=0, wish=Subscription(style=style))
    ids = [await hub.place.user(f"u{number}", active=True) for number in range(count)]
    await hub.caught_up()
    for id in ids:
        await hub.place.set(id, active=False)
    waiting = await tripped(hub, made, count)
    gone = removed(hub.outside)
    assert len(gone) == count - waiting <= 5
    return await hub.again(), [id for id in ids if id not in gone]


async def test_some_are_released_and_the_brake_stays_tripped_for_the_others(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made, kept = await accident(hub)
        assert await braking.decide(hub.engine, made, Choice(frozenset(kept[:2])), discards=False) == 2
        await until(lambda: set(kept[:2]) <= set(removed(hub.outside)), "the released")
        stands = await brake_of(hub)
        assert (stands.trip is not None, stands.waiting, len(removed(hub.outside))) == (True, len(kept) - 2, 14 - len(kept))


async def test_what_was_discarded_is_never_sent_and_what_comes_later_is(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made, kept = await accident(hub)
        assert await braking.decide(hub.engine, made, ALL, discards=True) == len(kept)
        await hub.nothing_held()
        assert [one.resource_id for one in await braking.list_kept(hub.engine, made)] == sorted(kept)
        assert len(removed(hub.outside)) == 12 - len(kept)
        await hub.place.set(kept[0], active=True)
        await hub.caught_up()
        assert versions(hub.outside)[kept[0]] == [1, 3]
        assert [one.resource_id for one in await braking.list_kept(hub.engine, made)] == sorted(kept[1:])
        await hub.place.delete("User", kept[1])
        await hub.caught_up()
        assert versions(hub.outside)[kept[1]] == [1, 3]
        assert kept[1] not in [one.resource_id for one in await braking.list_kept(hub.engine, made)]


@pytest.mark.parametrize("manner", ["resend", "replay"])
async def test_who_asks_by_name_for_what_was_discarded_has_it_sent_and_counted(tmp_path: Path, manner: str):
    async with open_outside(tmp_path) as hub:
        made, kept = await accident(hub)
        await braking.decide(hub.engine, made, ALL, discards=True)
        await hub.nothing_held()
        if manner == "resend":
            await restating.resend(hub.engine, await hub.again(), kept[:1])
        else:
            await control.replay_resource(hub.engine, await hub.again(), kept[0], 0)

        def is_told() -> bool:
            told = [one.data for one in hub.outside.delivered() if one.data["id"] == kept[0]]
            return not told[-1]["resource"]["active"]

        await until(is_told, "the removal")
        await hub.nothing_held()
        assert kept[0] not in [one.resource_id for one in await braking.list_kept(hub.engine, made)]
        assert [one.last_24_hours for one in (await brake_of(hub)).sorts] == [1]


async def test_a_replay_of_everybody_brings_what_was_discarded_before_the_brake_again(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made, _ = await accident(hub)
        await braking.decide(hub.engine, made, ALL, discards=True)
        await hub.nothing_held()
        before = len(removed(hub.outside))
        await control.replay(hub.engine, await hub.again(), 0)
        await until(lambda: hub.pump(made).brake.trip is not None, "the brake")
        assert len(removed(hub.outside)) - before <= 5


@pytest.mark.parametrize("style", ["event", "state"])
async def test_who_was_kept_is_counted_again_when_an_update_shows_that_he_is_inactive(tmp_path: Path, style: Style):
    async with open_outside(tmp_path) as hub:
        made, kept = await accident(hub, 20, style)
        await braking.decide(hub.engine, made, ALL, discards=True)
        await hub.nothing_held()
        for id in kept:
            await hub.place.set(id, title="still here")
        await until(lambda: hub.pump(made).brake.trip is not None, "the brake")
        told = [one for one in hub.outside.delivered() if one.data["resource"].get("title") == "still here"]
        assert len(told) <= 5


async def test_who_comes_back_is_not_removed_first(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        _, kept = await accident(hub)
        for id in kept:
            await hub.place.set(id, active=True)
        await hub.nothing_held()
        assert {versions(hub.outside)[id][-1] for id in kept} == {3}
        assert len(removed(hub.outside)) == 12 - len(kept)
        await until(lambda: not hub.pump_named("payroll").brake.trip, "the end of the trip")


async def test_a_decision_says_of_whom_it_is(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made, kept = await accident(hub)
        plan = await braking.plan(hub.engine, made, ALL, 3)
        assert (plan.count, len(plan.samples)) == (len(kept), 3)
        assert {braking.name_of(one) for one in plan.samples} <= {f"u{number}" for number in range(12)}
        source = plan.samples[0].source
        assert (await braking.plan(hub.engine, made, Choice(source=source), 0)).count == len(kept)
        assert (await braking.plan(hub.engine, made, Choice(source="nobody"), 0)).count == 0
        of_one = Choice(exchange_id=plan.samples[0].exchange_id)
        assert (await braking.plan(hub.engine, made, of_one, 0)).count >= 1
        last = (await braking.list_removals(hub.engine, made, ALL))[-1].resource_id
        (sample,) = (await braking.plan(hub.engine, made, Choice(frozenset([last])), 1)).samples
        assert sample.resource_id == last
        with pytest.raises(Absent, match="keeps no removal of nobody"):
            await braking.plan(hub.engine, made, Choice(frozenset(["nobody"])), 0)
        with pytest.raises(Absent, match=r"keeps no removal of nobody\.$"):
            await braking.plan(hub.engine, made, Choice(frozenset(["nobody", last])), 0)
        with pytest.raises(Conflict, match="release or discard it"):
            await control.retry_held(hub.engine, made, kept[0])
        assert await control.retry_held(hub.engine, made, None) == 0
        assert await control.list_owed(hub.engine, made) == []
        with pytest.raises(Invalid, match="exactly one of them"):
            braking.check_choice(None, None, None, False)


async def test_switched_off_it_holds_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        caplog.set_level(logging.WARNING)
        off = await braking.set_thresholds(hub.engine, made, {"enabled": False})
        assert (await braking.status(hub.engine, off)).thresholds == Thresholds(enabled=False)
        assert not (await status.of_destination(hub.engine, off)).brake_is_on
        assert "brake switched off" in caplog.messages
        ids = await people(hub, 30)
        await burst(hub, ids)
        await hub.caught_up()
        assert len(removed(hub.outside)) == 30


async def test_a_destination_that_takes_all_in_order_is_stopped_and_goes_on_in_order(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0, order="stream")
        ids = await people(hub, 8)
        await burst(hub, ids)
        await people(hub, 2, prefix="new")
        await until(lambda: hub.pump(made).brake.trip is not None, "the brake")
        assert len(removed(hub.outside)) <= 4
        with pytest.raises(Conflict, match="release or discard all"):
            await braking.decide(hub.engine, made, Choice(frozenset(ids)), discards=False)
        await braking.decide(hub.engine, made, ALL, discards=False)
        await hub.caught_up()
        assert hub.outside.positions() == list(range(1, 19))


# --------------------------------------------------------------------------- leavers


def slow(seconds: float) -> Callable[[Message], "asyncio.Future[Outcome]"]:
    async def answer(message: Message) -> Outcome:
        await asyncio.sleep(seconds)
        return Delivered(204)

    return answer  # type: ignore[return-value]


async def backlog(hub: Hub, count: int) -> list[str]:
    """So many people, each with some changes."""
    ids = await people(hub, count)
    for id in ids:
        await titles(hub, id, 3)
    return ids


async def test_a_leaver_overtakes_a_backlog_behind_his_own_changes(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slow(0.02)
        ids = await backlog(hub, 400)
        made = await hub.destination(after=0, concurrency=4)
        await until(lambda: len(hub.outside.arrivals) > 10, "the beginning")
        assert await hub.store.last_position() == 1600
        leaver = ids[-1]
        await hub.place.delete("User", leaver)
        await until(lambda: leaver in removed(hub.outside), "the leaver")
        assert versions(hub.outside)[leaver] == [1, 2, 3, 4, 5]
        assert hub.pump(made).cursor < 500
        assert hub.pump(made).leaver_age == 0.0
        hub.outside.scripts["payroll"] = lambda message: Delivered(204)
        await hub.caught_up()
        await hub.nothing_held()
        assert versions(hub.outside) == {id: [1, 2, 3, 4] for id in ids[:-1]} | {leaver: [1, 2, 3, 4, 5]}


async def test_a_restart_does_not_send_again_what_a_leaver_took_along(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slow(0.02)
        ids = await backlog(hub, 400)
        made = await hub.destination(after=0, concurrency=4)
        await until(lambda: len(hub.outside.arrivals) > 10, "the beginning")
        leaver = ids[-1]
        await hub.place.set(leaver, active=False)
        await until(lambda: leaver in removed(hub.outside), "the leaver")
        assert hub.pump(made).cursor < 500
    async with open_outside(tmp_path) as hub:
        await hub.caught_up()
        await hub.nothing_held()
        assert leaver not in versions(hub.outside)


async def test_of_a_destination_that_is_down_nothing_is_written_for_leavers(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = lambda message: DOWN
        ids = await backlog(hub, 400)
        made = await hub.destination(after=0)
        await until(lambda: hub.pump(made).breaker.state == "open", "the breaker")
        await hub.place.delete("User", ids[-1])
        for _ in range(3):
            before = len(hub.noted.attempts)
            hub.pass_time(61)
            await until(lambda before=before: len(hub.noted.attempts) > before, "a probe")
        assert await hub.held() == {}


async def test_an_accident_behind_a_backlog_is_braked_too(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slow(0.005)
        ids = await backlog(hub, 400)
        made = await hub.destination(after=0, concurrency=8)
        await until(lambda: len(hub.outside.arrivals) > 10, "the beginning")
        await burst(hub, ids[-60:])
        hub.outside.scripts["payroll"] = lambda message: Delivered(204)
        await until(lambda: hub.pump(made).brake.trip is not None, "the brake")
        await hub.caught_up()
        assert len(removed(hub.outside)) < 50
        await braking.decide(hub.engine, await hub.again(), ALL, discards=False)
        await hub.nothing_held()
        assert versions(hub.outside) == {id: [1, 2, 3, 4] for id in ids[:-60]} | {id: [1, 2, 3, 4, 5] for id in ids[-60:]}
