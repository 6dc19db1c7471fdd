"""Slots for requests: never more than permitted, in the order of waiting, and nobody waits where nothing may be asked."""

import asyncio

import pytest

from scimhub.distribution.delivery import Delivered, Outcome, Retry
from scimhub.distribution.slots import Slots, TurnedAway


class Limit:
    """How many there are, as a test says."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self) -> int:
        return self.most


async def in_line(slots: Slots, *names: str) -> tuple[list[str], dict[str, "asyncio.Task[None]"]]:
    """Who got a slot so far, in order; and those who wait, one behind the other."""
    entered: list[str] = []

    async def take(name: str) -> None:
        await slots.take()
        entered.append(name)

    tasks = {name: asyncio.create_task(take(name)) for name in names}
    await settled()
    return entered, tasks


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_whoever_waits_longest_has_the_next():
    slots = Slots(Limit(2))
    entered, _ = await in_line(slots, "a", "b", "c", "d")
    assert (entered, slots.taken) == (["a", "b"], 2)
    slots.give(201, 0.0)
    await settled()
    assert (entered, slots.taken) == (["a", "b", "c"], 2)


async def test_there_are_more_when_the_limit_has_grown_and_fewer_when_it_fell():
    slots = Slots(limit := Limit(1))
    entered, _ = await in_line(slots, "a", "b", "c", "d")
    limit.most = 2
    more, _ = await in_line(slots, "e")
    assert (entered, more) == (["a", "b"], [])
    limit.most = 1
    slots.give(201, 0.0)
    await settled()
    assert (entered, slots.taken) == (["a", "b"], 1)
    slots.give(201, 0.0)
    await settled()
    assert (entered, slots.taken) == (["a", "b", "c"], 1)


async def test_those_who_wait_are_turned_away_and_those_who_come_are_too():
    slots = Slots(limit := Limit(1))
    entered, tasks = await in_line(slots, "a", "b", "c")
    limit.most = 0
    slots.turn_away()
    await settled()
    assert entered == ["a"]
    for name in ("b", "c"):
        with pytest.raises(TurnedAway):
            await tasks[name]
    with pytest.raises(TurnedAway):
        await slots.take()
    slots.give(503, 0.0)
    assert slots.taken == 0


async def test_who_was_let_in_the_moment_before_asks_nothing_either():
    slots = Slots(limit := Limit(1))
    entered, tasks = await in_line(slots, "a", "b")
    slots.give(503, 0.0)
    limit.most = 0
    with pytest.raises(TurnedAway):
        await tasks["b"]
    assert (entered, slots.taken) == (["a"], 0)


async def test_who_gives_up_keeps_no_slot():
    slots = Slots(Limit(1))
    entered, tasks = await in_line(slots, "a", "b", "c")
    tasks["b"].cancel()
    await settled()
    slots.give(201, 0.0)
    # Cancelled when it has just been let in.
    tasks["c"].cancel()
    await settled()
    assert (entered, slots.taken) == (["a"], 0)


async def test_what_came_of_a_request_is_noted_as_far_as_it_tells_of_the_destination():
    noted: list[tuple[Outcome, float]] = []
    slots = Slots(Limit(9), lambda outcome, begun: noted.append((outcome, begun)))
    for status in (201, 409, 429, 503, None):
        await slots.take()
        slots.give(status, 7.0)
    failed = [Retry("", "destination", None, status) for status in (429, 503, None)]
    assert noted == [(outcome, 7.0) for outcome in (Delivered(201), Delivered(409), *failed)]


async def test_slots_are_short_when_as_many_wait_as_have_one():
    slots = Slots(Limit(2))
    assert not slots.are_short
    await in_line(slots, "a", "b", "c")
    assert not slots.are_short
    await in_line(slots, "d")
    assert slots.are_short
