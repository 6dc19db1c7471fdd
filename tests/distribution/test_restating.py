"""Backfill and resend on a real store: what a new destination ends with, whatever happens meanwhile."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path

import orjson
import pytest

from scimhub.consumer.event import from_json
from scimhub.consumer.replica import Replica
from scimhub.directory.errors import Conflict, Invalid
from scimhub.distribution import braking, control, restating, status
from scimhub.distribution.delivery import Delivered, Destination, Message, Outcome, Rejected, Subscription
from tests.distribution.outside import Hub, open_outside, until


async def over(hub: Hub, destination: Destination) -> None:
    """Until the destination's backfill has ended and nothing of it is owed."""
    end = asyncio.get_running_loop().time() + 20
    while True:
        found = await restating.progress(hub.engine, destination)
        if found is not None and found.backfill.is_over:
            return
        assert asyncio.get_running_loop().time() < end, f"{found} is not over"
        hub.pass_time(0.25)
        await asyncio.sleep(0.01)


def copy_of(hub: Hub, name: str = "payroll") -> Replica:
    """What a consumer has that was told all that arrived, in that order; the caller closes it."""
    replica = Replica()
    for arrival in hub.outside.delivered(name):
        replica.apply(from_json(orjson.loads(arrival.message.body)))
    return replica


async def is_equal_to_the_hub(told: Replica, hub: Hub) -> bool:
    feed = await hub.place.feed()
    with Replica() as held:
        held.replace(await hub.place.snapshot(feed))
        await hub.store.delete_destination(feed.key)
        return told.digest() == held.digest()


def versions_only_grow(hub: Hub, name: str = "payroll") -> bool:
    seen: dict[str, int] = defaultdict(int)
    for arrival in hub.outside.delivered(name):
        data = arrival.data
        if data["version"] < seen[data["id"]]:
            return False
        seen[data["id"]] = data["version"]
    return True


async def test_a_new_destination_is_told_everybody_users_before_groups(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(30)]
        gone = await hub.place.user("gone")
        await hub.place.delete("User", gone)
        staff = await hub.place.group("staff", *ids[:10])
        await hub.place.members(staff, remove=[ids[0]])
        made = await hub.destination(after=None)
        begun = await restating.begin(hub.engine, made)
        await over(hub, made)
        arrived = hub.outside.delivered()
        assert {one.type for one in arrived[:30]} == {"user.state"}
        assert [one.type for one in arrived[30:]] == ["group.state"]
        assert all(one.data["cause"] == "state" for one in arrived)
        assert arrived[30].data["members"] == {"added": ids[1:10], "removed": [], "whole": True}
        assert all(one.message.attributes["id"].endswith(begun.id) for one in arrived)
        progress = await restating.progress(hub.engine, made)
        assert progress is not None
        assert (progress.backfill.total, progress.backfill.looked_at, progress.backfill.told) == (31, 31, 31)
        assert (progress.owed, progress.arrived, progress.failed) == (0, 31, 0)
        with copy_of(hub) as told:
            assert await is_equal_to_the_hub(told, hub)
        assert await hub.store.list_held(made.key) == []


async def test_writers_during_a_backfill_take_no_version_back(tmp_path: Path):
    chance = random.Random(5)

    async def slowly(message: Message) -> Outcome:
        await asyncio.sleep(chance.random() * 0.01)
        return Delivered(204)

    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slowly
        ids = [await hub.place.user(f"u{number}") for number in range(150)]
        groups = [await hub.place.group(f"g{number}", *ids[number * 10 : number * 10 + 10]) for number in range(5)]
        made = await hub.destination(after=None)
        await braking.set_thresholds(hub.engine, made, {"enabled": False})
        await restating.begin(hub.engine, await hub.again())
        alive = set(ids)
        for number in range(200):
            await asyncio.sleep(0.002)
            match chance.randrange(5):
                case 0:
                    ids.append(await hub.place.user(f"new{number}"))
                    alive.add(ids[-1])
                case 1 if len(alive) > 100:
                    gone = chance.choice(sorted(alive))
                    alive.discard(gone)
                    await hub.place.delete("User", gone)
                case 2:
                    await hub.place.members(chance.choice(groups), add=[chance.choice(sorted(alive))])
                case 3:
                    await hub.place.set(chance.choice(groups), "Group", displayName=f"renamed{number}")
                case _:
                    await hub.place.set(chance.choice(sorted(alive)), title=f"title {number}")
        await over(hub, made)
        await hub.caught_up()
        await hub.nothing_held()
        assert versions_only_grow(hub)
        with copy_of(hub) as told:
            assert await is_equal_to_the_hub(told, hub)
            people = list(told.resources("User"))
        for held in people:
            assert held.resource.get("title") == (await hub.place.title_of(held.id))


async def test_a_backfill_goes_on_behind_its_checkpoint(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        for number in range(900):
            await hub.place.user(f"u{number}")
        made = await hub.destination(after=None)
        answer = asyncio.Event()

        async def wait(message: Message) -> Outcome:
            await answer.wait()
            return Delivered(204)

        hub.outside.scripts["payroll"] = wait
        await restating.begin(hub.engine, made)
        await until(lambda: hub.outside.under_way == 16, "sixteen messages under way")
        await until(lambda: hub.pump(made)._lanes.states_under_way >= 400, "states that are owed")
        # They wait for their turn, and nothing of them has failed.
        assert (await status.of_destination(hub.engine, made)).held == 0
        assert await control.list_owed(hub.engine, made) == []
        answer.set()
        hub.outside.scripts.pop("payroll")
        paused = await restating.pause(hub.engine, made)
        assert 0 < paused.looked_at < 900
    async with open_outside(tmp_path) as hub:
        made = await hub.again()
        with pytest.raises(Conflict, match=r"is paused: .* of 900 are looked at"):
            await restating.begin(hub.engine, made)
        await restating.resume(hub.engine, made)
        await over(hub, made)
        found = await restating.progress(hub.engine, made)
        assert found is not None
        assert (found.backfill.looked_at, found.backfill.told, found.owed) == (900, 900, 0)
        # What the first process had handed out was either told by it, or is told by this one.
        again = {one.data["id"] for one in hub.outside.delivered()}
        assert len(again) >= 900 - paused.told


async def test_one_whom_the_destination_refuses_is_held_and_stops_nothing(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        bad = await hub.place.user("bad")
        for number in range(20):
            await hub.place.user(f"u{number}")

        def refuse(message: Message) -> Outcome:
            return Rejected("no") if message.attributes["subject"] == bad else Delivered(204)

        hub.outside.scripts["payroll"] = refuse
        made = await hub.destination(after=None)
        await restating.begin(hub.engine, made)
        await over(hub, made)
        progress = await restating.progress(hub.engine, made)
        assert progress is not None
        assert (progress.backfill.state, progress.owed, progress.failed, progress.arrived) == ("done", 1, 1, 20)
        hub.outside.scripts.clear()
        await hub.place.set(bad, title="mended")
        await control.retry_held(hub.engine, made, None)
        await hub.nothing_held()
        (told,) = [one for one in hub.outside.delivered() if one.data["id"] == bad]
        assert (told.type, told.data["version"], told.data["resource"]["title"]) == ("user.state", 2, "mended")


async def test_a_refused_state_is_skipped_at_once(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        made = await hub.destination(after=None)
        hub.outside.scripts["payroll"] = lambda message: Rejected("no")
        await restating.resend(hub.engine, made, [kim])
        await until(lambda: hub.pump(made).held == 1, "the refusal")
        await control.skip_held(hub.engine, made, kim)
        assert await control.list_owed(hub.engine, made) == []
        await hub.nothing_held()
        assert len(hub.outside.arrivals) == 1


async def test_filter_and_allow_list_hold_for_states_too(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        inside = await hub.place.user("in", userType="Employee", title="boss")
        await hub.place.user("out", userType="Guest")
        await hub.place.group("staff", inside)
        wish = Subscription(("user.created", "user.deleted"), {"User": 'userType eq "Employee"'}, ("userName",))
        made = await hub.destination(after=None, wish=wish)
        await restating.begin(hub.engine, made)
        await over(hub, made)
        (told,) = hub.outside.delivered()
        assert told.data["resource"].keys() == {"id", "schemas", "userName"}


async def test_a_person_is_told_again_under_a_new_id_and_before_what_changes_then(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        made = await hub.destination()
        await hub.caught_up()
        for _ in range(2):
            await restating.resend(hub.engine, made, [kim])
            await hub.nothing_held()
        await hub.place.set(kim, title="boss")
        await hub.caught_up()
        told = [(one.type, one.data["version"]) for one in hub.outside.delivered()]
        assert told == [("user.created", 1), ("user.state", 1), ("user.state", 1), ("user.updated", 2)]
        assert len({one.message.delivery_id for one in hub.outside.delivered()}) == 4
        await hub.place.delete("User", kim)
        await hub.caught_up()
        await restating.resend(hub.engine, made, [kim])
        await hub.nothing_held()
        last = hub.outside.delivered()[-1]
        assert (last.type, last.data["cause"], last.data["version"]) == ("user.deleted", "state", 3)


async def test_what_cannot_be_told_again_is_said_by_name(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        made = await hub.destination(wish=Subscription(types=("group.*",)))
        with pytest.raises(Invalid) as error:
            await restating.resend(hub.engine, made, [kim, "nobody"])
        assert error.value.problems == [
            f"Destination payroll is told nothing of User {kim}, by its types or filters.",
            "Directory acme has no resource 'nobody'.",
        ]
        feed = await hub.place.feed()
        with pytest.raises(Conflict, match="begins with a snapshot whenever it wants"):
            await restating.begin(hub.engine, feed)
        strict = await hub.destination("strict", order="stream")
        with pytest.raises(Conflict, match="takes all in the order of the log"):
            await restating.resend(hub.engine, strict, [kim])


async def test_a_group_of_thousands_is_told_in_parts_that_are_its_whole_membership(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(1203)]
        large = await hub.place.group("large", *ids)
        made = await hub.destination(after=None, wish=Subscription(types=("group.*",)))
        await restating.resend(hub.engine, made, [large])
        await hub.nothing_held()
        parts = hub.outside.delivered()
        assert [(one.type, one.data["part"], len(one.data["members"]["added"])) for one in parts] == [
            ("group.state", 1, 1000),
            ("group.state", 2, 203),
        ]
        assert {id for one in parts for id in one.data["members"]["added"]} == set(ids)
        assert all(one.data["members"]["whole"] for one in parts)


async def test_a_backfill_that_is_cancelled_hands_out_nothing_more(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        for number in range(10):
            await hub.place.user(f"u{number}")
        made = await hub.destination(after=None)
        await control.pause(hub.engine, made)
        await restating.begin(hub.engine, made)
        assert (await restating.cancel(hub.engine, made)).state == "stopped"
        await control.resume(hub.engine, made)
        with pytest.raises(Conflict, match="is stopped"):
            await restating.resume(hub.engine, made)
        assert hub.outside.arrivals == []
        # Another one may begin.
        await restating.begin(hub.engine, await hub.again())
        await over(hub, made)
        assert len(hub.outside.arrivals) == 10
