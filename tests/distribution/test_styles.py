"""A destination of style ``state``: one message for many changes, nothing removed unasked, and help where changes are gone."""

import asyncio
import logging
from pathlib import Path

import pytest

from scimhub.directory.errors import Invalid
from scimhub.distribution import control, rescoping, retention
from scimhub.distribution.delivery import Delivered, Message, Outcome, Subscription
from scimhub.distribution.retention import Limits
from scimhub.distribution.snapshot import Pins
from tests.distribution.outside import open_outside, until
from tests.distribution.test_restating import copy_of, is_equal_to_the_hub, over

STATE = Subscription(style="state")


async def test_a_backlog_of_one_resource_is_one_message(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        for number in range(30):
            await hub.place.set(kim, title=f"title {number}")
        await hub.destination(wish=STATE)
        await hub.caught_up()
        (told,) = hub.outside.delivered()
        assert (told.type, told.data["cause"], told.data["version"]) == ("user.state", "write", 31)
        assert told.data["resource"]["title"] == "title 29"
        await hub.place.delete("User", kim)
        await hub.caught_up()
        last = hub.outside.delivered()[-1]
        assert (last.type, last.data["cause"], last.data["version"]) == ("user.deleted", "write", 32)


async def test_memberships_stay_differences_and_groups_are_told_as_before(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(3)]
        staff = await hub.place.group("staff", ids[0])
        await hub.place.members(staff, add=[ids[1]])
        await hub.place.members(staff, add=[ids[2]], remove=[ids[0]])
        await hub.place.set(staff, "Group", displayName="all staff")
        await hub.destination(wish=STATE)
        await hub.caught_up()
        told = [one.type for one in hub.outside.delivered() if one.data["id"] == staff]
        assert told == ["group.created", "group.members.changed", "group.updated"]
        with copy_of(hub) as told:
            assert await is_equal_to_the_hub(told, hub)


async def test_who_is_deactivated_later_is_not_shown_so_before_the_brake_was_asked(tmp_path: Path):
    waiting = asyncio.Event()

    async def slowly(message: Message) -> Outcome:
        await waiting.wait()
        return Delivered(204)

    async with open_outside(tmp_path) as hub:
        hub.outside.scripts["payroll"] = slowly
        ids = [await hub.place.user(f"u{number}") for number in range(30)]
        made = await hub.destination(wish=STATE)
        await until(lambda: hub.outside.under_way == 16, "sixteen messages under way")
        for id in ids[16:]:
            await hub.place.set(id, active=False)
        waiting.set()
        await until(lambda: len(hub.outside.arrivals) >= 20, "what may leave")
        await hub.looked_at_all(await hub.again())
        inactive = [one for one in hub.outside.delivered() if one.data["resource"].get("active") is False]
        # Five of a burst leave at once; the others wait to be seen together, and then for a person.
        assert len(inactive) <= 5
        hub.pass_time(120)
        await until(lambda: hub.pump(made).brake_held == 14 - len(inactive), "the others held")


async def test_the_style_is_for_who_is_sent_to_and_not_for_a_stream(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        with pytest.raises(Invalid, match="The style state is for destinations that are sent to"):
            await hub.destination("strict", wish=STATE, order="stream")
        with pytest.raises(Invalid, match="The style state is for destinations that are sent to"):
            await control.create(hub.engine, hub.place.directory, "pull", "feed", {}, STATE)


async def test_a_destination_that_retention_overtook_is_told_who_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}", title="old") for number in range(40)]
        staff = await hub.place.group("staff", *ids[:5])
        made = await hub.destination(wish=STATE)
        await hub.caught_up()
        await control.pause(hub.engine, made)
        for id in ids[:10]:
            await hub.place.set(id, title="new")
        await hub.place.delete("User", ids[39])
        await hub.place.members(staff, remove=[ids[0]], add=[ids[20]])
        before = len(hub.outside.arrivals)
        later = "2099-01-01T00:00:00.000Z"
        with caplog.at_level(logging.WARNING):
            pinned = Pins(hub.store, "node").lowest
            await retention.purge(hub.store, hub.store, Limits(1, 1, 30), later, pinned, hub.engine.halted)
        assert "states are told in their place" in caplog.text
        assert (await hub.again()).state == "paused"
        await control.resume(hub.engine, await hub.again())
        await over(hub, made)
        await hub.nothing_held()
        told = {one.data["id"] for one in hub.outside.arrivals[before:]}
        assert told == {*ids[:10], ids[39], staff}
        with copy_of(hub) as told:
            assert await is_equal_to_the_hub(told, hub)


async def test_who_enters_leaves_and_changes_by_another_subscription_is_told(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{n}", userType="Employee" if n % 2 else "Guest", title="clerk") for n in range(6)]
        wish = Subscription(filters={"User": 'userType eq "Employee"'})
        made = await hub.destination(wish=wish)
        await hub.caught_up()
        before = len(hub.outside.arrivals)
        other = Subscription(filters={"User": 'userType eq "Guest" or userName eq "u1"'}, attributes=("userName",))
        changed = await control.update(hub.engine, made, None, other)
        begun = await rescoping.tell(hub.engine, changed, wish)
        assert begun is not None
        await over(hub, made)
        told = {one.data["id"]: one.type for one in hub.outside.arrivals[before:]}
        assert told == {
            ids[0]: "user.state",
            ids[2]: "user.state",
            ids[4]: "user.state",
            ids[1]: "user.state",
            ids[3]: "user.deleted",
            ids[5]: "user.deleted",
        }
        with copy_of(hub) as told:
            assert {held.id for held in told.resources()} == {ids[0], ids[1], ids[2], ids[4]}
        assert await rescoping.tell(hub.engine, changed, other) is None
