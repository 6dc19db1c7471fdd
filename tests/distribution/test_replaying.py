"""A replay of one resource: its events once more, marked and in order, while everybody else goes on."""

from pathlib import Path

import pytest

from scimhub.directory.errors import Conflict, Invalid
from scimhub.distribution import braking, control, status
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected
from tests.distribution.outside import Hub, open_outside, until


async def told_again(hub: Hub, before: int) -> list[tuple[str, str, bool]]:
    """Resource, title, and whether it is marked, of what arrived since."""
    found = []
    for one in hub.outside.delivered()[before:]:
        is_marked = "replayid" in one.message.attributes
        assert is_marked == (one.message.delivery_id.count("_") == 1)
        found.append((one.data["id"], one.data["resource"].get("title", ""), is_marked))
    return found


async def test_its_events_are_sent_once_more_in_order_and_nobody_elses(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim, lee = await hub.place.user("kim"), await hub.place.user("lee")
        for number in range(3):
            await hub.place.set(kim, title=f"kim {number}")
            await hub.place.set(lee, title=f"lee {number}")
        made = await hub.destination()
        await hub.caught_up()
        before = len(hub.outside.delivered())
        begun = await control.replay_resource(hub.engine, await hub.again(), kim, 3)
        assert begun.replay is not None
        await hub.nothing_held()
        assert await told_again(hub, before) == [(kim, "kim 1", True), (kim, "kim 2", True)]
        await until(lambda: hub.pump(made)._settling._outlook.replay is None, "the end of the replay")
        assert (await hub.again()).replay is None
        # What comes now is no repetition, and the whole can be replayed as ever.
        await hub.place.set(kim, title="new")
        await hub.caught_up()
        assert (await told_again(hub, before))[-1] == (kim, "new", False)
        await control.replay(hub.engine, await hub.again(), 0)
        await hub.caught_up()
        assert [marked for _, _, marked in await told_again(hub, before + 3)] == [True] * 9


async def test_it_goes_on_after_a_restart_and_with_what_happens_meanwhile(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim, lee = await hub.place.user("kim"), await hub.place.user("lee")
        await hub.place.set(kim, title="boss")
        made = await hub.destination()
        await hub.caught_up()
        await control.pause(hub.engine, made)
        await control.replay_resource(hub.engine, await hub.again(), kim, 0)
        await hub.place.set(kim, title="after")
        await hub.place.set(lee, title="other")
    async with open_outside(tmp_path) as hub:
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        await hub.nothing_held()
        found = await told_again(hub, 0)
        assert [one for one in found if one[0] == kim] == [(kim, "", True), (kim, "boss", True), (kim, "after", False)]
        assert (lee, "other", False) in found


async def test_what_it_removes_again_asks_the_brake_and_what_fails_is_held(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(6)]
        await hub.destination()
        await hub.caught_up()
        await hub.place.delete("User", ids[0])
        await hub.caught_up()
        counted = (await braking.status(hub.engine, await hub.again())).sorts[0].last_24_hours
        await control.replay_resource(hub.engine, await hub.again(), ids[0], 0)
        await hub.nothing_held()
        assert (await braking.status(hub.engine, await hub.again())).sorts[0].last_24_hours == counted + 1

        def refuse(message: Message) -> Outcome:
            return Rejected("No.") if message.attributes["subject"] == ids[1] else Delivered(204)

        hub.outside.scripts["payroll"] = refuse
        begun = await control.replay_resource(hub.engine, await hub.again(), ids[1], 0)
        assert (await status.of_destination(hub.engine, begun)).held == 0
        made = await hub.again()
        await until(lambda: hub.pump(made).held == 1, "the hold")
        with pytest.raises(Conflict, match="A replay runs"):
            await control.replay_resource(hub.engine, await hub.again(), ids[2], 0)


async def test_a_replay_of_everybody_takes_its_place_only_where_it_sends_the_same(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        await hub.place.user("lee")
        await hub.place.set(kim, title="boss")
        made = await hub.destination()
        await hub.caught_up()
        before = len(hub.outside.delivered())
        await control.pause(hub.engine, made)
        await control.replay_resource(hub.engine, await hub.again(), kim, 0)
        running = (await hub.again()).replay
        with pytest.raises(Conflict, match=f"replay of resource {kim} runs .* at position 1; .* behind position 0 or"):
            await control.replay(hub.engine, await hub.again(), 1)
        with pytest.raises(Conflict, match="wait for its end"):
            await control.replay(hub.engine, await hub.again(), 3)
        assert (await hub.again()).replay == running
        await control.replay(hub.engine, await hub.again(), 0)
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        await hub.nothing_held()
        assert [one[0] == kim for one in await told_again(hub, before)] == [True, False, True]
        assert all(is_marked for _, _, is_marked in await told_again(hub, before))


async def test_a_replay_leaves_out_nothing_that_the_destination_has_not_had(tmp_path: Path):
    """Neither of a backlog nor of another replay."""
    async with open_outside(tmp_path) as hub:
        made = await hub.destination()
        for name in ("kim", "lee", "max"):
            await hub.place.user(name)
        await hub.caught_up()
        await control.pause(hub.engine, made)
        await hub.place.user("new")
        await hub.place.user("newer")
        with pytest.raises(Conflict, match="everything up to position 3 only, and a replay behind 4 would leave out"):
            await control.replay(hub.engine, await hub.again(), 4)
        await control.replay(hub.engine, await hub.again(), 1)
        with pytest.raises(Conflict, match="begin behind position 1 or an earlier one"):
            await control.replay(hub.engine, await hub.again(), 2)
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        assert hub.outside.positions() == [1, 2, 3, 2, 3, 4, 5]


async def test_what_cannot_be_replayed_is_said(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("kim")
        await hub.destination()
        await hub.destination("strict", order="stream")
        await hub.caught_up("payroll", "strict")
        for name, id, after, problem in (
            ("payroll", kim, 1, "Destination payroll was told nothing of resource"),
            ("payroll", kim, 7, "The position 7 is not kept"),
            ("payroll", "nobody", 0, "was told nothing of resource 'nobody' behind position 0"),
        ):
            with pytest.raises(Invalid, match=problem):
                await control.replay_resource(hub.engine, await hub.again(name), id, after)
        with pytest.raises(Conflict, match="takes all in the order of the log"):
            await control.replay_resource(hub.engine, await hub.again("strict"), kim, 0)
