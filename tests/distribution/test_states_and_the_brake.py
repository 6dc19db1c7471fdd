"""States that are owed, and the brake: what a state takes away counts as the removal that nobody was told of."""

import asyncio
from pathlib import Path

import pytest

from scimhub.distribution import braking, control, restating, retention
from scimhub.distribution.delivery import Choice, Delivered, Destination, Message, Outcome, Rejected, Style, Subscription
from scimhub.distribution.retention import Limits
from scimhub.distribution.snapshot import Pins
from tests.distribution.outside import Hub, open_outside, until
from tests.distribution.test_restating import over


def _shown_inactive(hub: Hub) -> set[str]:
    """Whom the destination was told of as inactive, or as deleted."""
    shown = hub.outside.delivered()
    return {one.data["id"] for one in shown if one.type == "user.deleted" or not one.data["resource"].get("active", True)}


def _gate(hub: Hub) -> asyncio.Event:
    """The destination takes a message only while this is set, as it is at first."""
    may_go_on = asyncio.Event()
    may_go_on.set()

    async def answer(message: Message) -> Outcome:
        await may_go_on.wait()
        return Delivered(204)

    hub.outside.scripts["payroll"] = answer
    return may_go_on


async def test_who_is_deactivated_while_his_state_is_owed_meets_the_brake(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        may_go_on = _gate(hub)
        made = await hub.destination(concurrency=1)
        ids = [await hub.place.user(f"u{number}") for number in range(60)]
        await hub.caught_up()
        may_go_on.clear()
        await restating.begin(hub.engine, await hub.again())
        await until(lambda: hub.outside.under_way, "a state on its way")
        for id in ids:
            await hub.place.set(id, active=False)
        may_go_on.set()

        def is_over() -> bool:
            hub.pass_time(0.25)
            lanes = hub.pump(made)._lanes
            return not lanes.states_under_way and lanes.cursor == lanes.read_position == 120

        await until(is_over, "the end of all states")
        assert len(_shown_inactive(hub)) < 30


async def _told_again_while_they_leave(hub: Hub, made: Destination, ids: list[str], may_go_on: asyncio.Event) -> None:
    """Their states are asked for, and they are deactivated before those go; until all but what settles is told."""
    may_go_on.clear()
    await restating.resend(hub.engine, await hub.again(), ids)
    await until(lambda: hub.outside.under_way, "a state on its way")
    for id in ids:
        await hub.place.set(id, active=False)
        await hub.place.set(id, title="gone")
    may_go_on.set()
    await until(lambda: hub.pump(made).brake_held, "what settles")
    await until(lambda: not hub.pump(made)._lanes.states_under_way, "the end of all states")


async def test_a_state_that_settled_is_still_a_removal(tmp_path: Path):
    # The newest change says nothing of the deactivation; the state does.
    async with open_outside(tmp_path) as hub:
        may_go_on = _gate(hub)
        made = await hub.destination(concurrency=1)
        ids = [await hub.place.user(f"u{number}") for number in range(200)]
        await hub.caught_up()
        await _told_again_while_they_leave(hub, made, ids[:40], may_go_on)
        assert len(_shown_inactive(hub)) <= 6
        hub.pass_time(61)
        await until(lambda: len(_shown_inactive(hub)) >= 38, "the end of what settles")
        given = hub.pump(made).brake.counts(hub.clock.now())
        assert given["User"][1] >= 38


async def test_members_that_a_state_takes_away_are_counted(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        may_go_on = _gate(hub)
        made = await hub.destination(concurrency=1)
        ids = [await hub.place.user(f"u{number}") for number in range(60)]
        staff = await hub.place.group("staff", *ids)
        await hub.caught_up()
        may_go_on.clear()
        await restating.resend(hub.engine, await hub.again(), [*ids[:10], staff])
        await until(lambda: hub.outside.under_way, "a state on its way")
        await hub.place.members(staff, remove=ids[:50])
        await hub.place.set(staff, "Group", displayName="all staff")
        may_go_on.set()
        await until(lambda: hub.pump(made).brake.trip, "the trip")
        assert [one for one in hub.outside.delivered() if one.data["id"] == staff][-1].data["version"] == 1
        await until(lambda: hub.pump(made).brake_held == 1, "the state that is kept")
        assert await braking.decide(hub.engine, await hub.again(), Choice(), discards=True) == 1
        await hub.nothing_held()
        assert [one for one in hub.outside.delivered() if one.data["id"] == staff][-1].data["version"] == 1


@pytest.mark.parametrize("manner", ["backfill", "resend"])
@pytest.mark.parametrize("style", ["event", "state"])
async def test_states_take_nobody_away_unasked_whom_an_administrator_kept(tmp_path: Path, manner: str, style: Style):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(wish=Subscription(style=style))
        ids = [await hub.place.user(f"u{number}", active=True) for number in range(20)]
        await hub.caught_up()
        for id in ids:
            await hub.place.set(id, active=False)
        await until(lambda: hub.pump(made).brake.trip, "the trip")
        await hub.caught_up()
        gone = _shown_inactive(hub)
        await braking.decide(hub.engine, await hub.again(), Choice(), discards=True)
        await hub.nothing_held()
        if manner == "backfill":
            await restating.begin(hub.engine, await hub.again())
        else:
            await restating.resend(hub.engine, await hub.again(), ids)
        await until(lambda: hub.pass_time(0.05) or hub.pump(made).brake.trip, "the trip")
        assert len(_shown_inactive(hub) - gone) <= 5
        # The restart of a node changes nothing of it, nor does another decision.
        async with hub.engine.halted(made):
            pass
        await until(lambda: hub.pass_time(0.05) or hub.pump(made).brake.trip, "the trip")
        assert len(_shown_inactive(hub) - gone) <= 5


async def test_members_whom_an_administrator_kept_are_not_taken_away_unasked_by_a_state(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination()
        ids = [await hub.place.user(f"u{number}") for number in range(60)]
        staff = await hub.place.group("staff", *ids)
        await hub.caught_up()
        await hub.place.members(staff, remove=ids[:50])
        await until(lambda: hub.pump(made).brake.trip, "the trip")
        await hub.caught_up()
        await braking.decide(hub.engine, await hub.again(), Choice(), discards=True)
        await hub.nothing_held()
        before = len(hub.outside.delivered())
        await restating.resend(hub.engine, await hub.again(), [staff])
        await until(lambda: hub.pass_time(0.05) or hub.pump(made).brake.trip, "the trip")
        assert len(hub.outside.delivered()) == before


_PURGE = Limits(1, 1, 30)


async def _purge(hub: Hub) -> None:
    """Retention long after, which finds everything too old to be kept."""
    later = "2099-01-01T00:00:00.000Z"
    await retention.purge(hub.store, hub.store, _PURGE, later, Pins(hub.store, "node").lowest, hub.engine.halted)


async def test_who_was_deactivated_where_changes_are_gone_meets_the_brake(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(60)]
        made = await hub.destination(wish=Subscription(style="state"))
        await hub.caught_up()
        await control.pause(hub.engine, made)
        for id in ids[:40]:
            await hub.place.set(id, active=False)
            await hub.place.set(id, title="gone")
        await hub.place.set(ids[50], title="new")
        await _purge(hub)
        await control.resume(hub.engine, await hub.again())
        await over(hub, made)
        assert (await braking.status(hub.engine, await hub.again())).waiting > 30
        assert len(_shown_inactive(hub)) <= 5
        assert ids[50] in {one.data["id"] for one in hub.outside.delivered()[60:]}


async def test_who_was_never_told_of_and_is_inactive_where_changes_are_gone_is_no_removal(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(wish=Subscription(style="state"))
        await control.pause(hub.engine, made)
        for number in range(20):
            await hub.place.set(await hub.place.user(f"u{number}"), active=False)
        await _purge(hub)
        await control.resume(hub.engine, await hub.again())
        await over(hub, made)
        assert len(_shown_inactive(hub)) == 20


async def test_a_state_that_settled_and_then_failed_needs_another_permit(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        may_go_on = _gate(hub)
        made = await hub.destination(concurrency=1)
        ids = [await hub.place.user(f"u{number}") for number in range(200)]
        await hub.caught_up()
        await _told_again_while_they_leave(hub, made, ids[:20], may_go_on)
        refused = ids[19]
        hub.outside.scripts["payroll"] = lambda one: Rejected("No.") if refused in one.attributes["subject"] else Delivered(204)
        hub.pass_time(61)
        await until(lambda: len(_shown_inactive(hub)) == 19, "all but one")
        await until(lambda: hub.pump(made)._lanes.holds.find(refused).error == "No.", "the one held")
        # A day later the permits of before are counted no longer: who is tried again is counted anew.
        del hub.outside.scripts["payroll"]
        hub.pass_time(25 * 3600)
        assert not (await braking.status(hub.engine, await hub.again())).sorts
        assert await control.retry_held(hub.engine, await hub.again(), refused) == 1
        await until(lambda: len(_shown_inactive(hub)) == 20, "the last")
        assert hub.pump(made).brake.counts(hub.clock.now())["User"][1] == 1


async def test_what_the_brake_keeps_can_be_released_when_its_changes_are_gone(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(20)]
        await hub.destination(wish=Subscription(style="state"))
        await hub.caught_up()
        for id in ids[:10]:
            await hub.place.set(id, active=False)
        for id in ids[10:]:
            await hub.place.delete("User", id)

        def is_seen() -> bool:
            hub.pass_time(1)
            return hub.pump_named("payroll").brake.trip is not None

        await until(is_seen, "the trip")
        await hub.looked_at_all(await hub.again())
        await _purge(hub)
        kept = await braking.status(hub.engine, await hub.again())
        assert kept.waiting > 10
        assert await braking.decide(hub.engine, await hub.again(), Choice(), discards=False) == kept.waiting
        await until(lambda: len(_shown_inactive(hub)) == 20, "the end of what was released")
        await hub.nothing_held()
        assert (await hub.again()).state == "active"


async def test_what_the_brake_keeps_can_be_discarded_when_its_changes_are_gone(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(20)]
        await hub.destination(wish=Subscription(style="state"))
        await hub.caught_up()
        for id in ids:
            await hub.place.set(id, active=False)

        def is_seen() -> bool:
            hub.pass_time(1)
            return hub.pump_named("payroll").brake.trip is not None

        await until(is_seen, "the trip")
        await hub.looked_at_all(await hub.again())
        await _purge(hub)
        kept = await braking.decide(hub.engine, await hub.again(), Choice(), discards=True)
        await hub.nothing_held()
        assert (await hub.again()).state == "active"
        assert len(_shown_inactive(hub)) == 20 - kept


async def test_who_came_back_where_changes_are_gone_is_told_of_after_a_discard(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(20)]
        await hub.destination(wish=Subscription(style="state"))
        await hub.caught_up()
        for id in ids:
            await hub.place.set(id, active=False)

        def is_seen() -> bool:
            hub.pass_time(1)
            return hub.pump_named("payroll").brake.trip is not None

        await until(is_seen, "the trip")
        await hub.looked_at_all(await hub.again())
        await control.pause(hub.engine, await hub.again())
        back = next(held.resource_id for held in await hub.store.list_held((await hub.again()).key) if held.cause == "brake")
        await hub.place.set(back, active=True)
        await hub.place.set(back, title="back")
        await _purge(hub)
        await control.resume(hub.engine, await hub.again())
        await over(hub, await hub.again())
        await braking.decide(hub.engine, await hub.again(), Choice(), discards=True)
        await hub.nothing_held()
        told = [one.data["resource"].get("title") for one in hub.outside.delivered() if one.data["id"] == back]
        assert told[-1] == "back"
