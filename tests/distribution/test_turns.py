"""Who may work next: every directory and every destination in turn, a few in each round of the loop, nobody delayed alone."""

import asyncio
from itertools import pairwise
from pathlib import Path

from scimhub.distribution import control
from scimhub.distribution.delivery import Message, Outcome, Subscription
from scimhub.distribution.turns import AT_ONCE, Turns
from tests.consumer.hub import Place
from tests.distribution.outside import Hub, deliver, open_outside

Named = tuple[int, int]


async def begun(turns: Turns, *wishes: tuple[Named, int]) -> list[Named]:
    """In which order those who want turns, all at once, get them."""
    order: list[Named] = []

    async def work(who: Named) -> None:
        await turns.take(*who)
        order.append(who)

    await asyncio.gather(*(work(who) for who, count in wishes for _ in range(count)))
    return order


async def rounds(turns: Turns, count: int, weight: int = 1) -> list[int]:
    """How many of so many turns of one destination are given in each round of the loop."""
    given = [0]

    async def work() -> None:
        await turns.take(1, 1, weight)
        given[-1] += 1

    tasks = [asyncio.create_task(work()) for _ in range(count)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        given.append(0)
    return [number for number in given if number]


async def test_who_is_alone_waits_for_nothing():
    turns = Turns(3)
    for _ in range(3):
        task = asyncio.ensure_future(turns.take(1, 1))
        await asyncio.sleep(0)
        assert task.done()


async def test_only_so_many_begin_in_one_round():
    assert max(await rounds(Turns(3), 100)) <= 3
    assert sum(await rounds(Turns(3), 100)) == 100
    assert max(await rounds(Turns(4), 20, weight=4)) == 1


async def test_directories_come_in_turn_whatever_each_has():
    order = await begun(Turns(1), ((1, 1), 50), ((2, 2), 3))
    # What was free at once is the flood's; from then on the two take turns.
    assert [index for index, who in enumerate(order) if who == (2, 2)][-1] <= 6


async def test_destinations_of_a_directory_come_in_turn_and_share_its_turn():
    order = await begun(Turns(1), ((1, 1), 40), ((1, 2), 40), ((1, 3), 40), ((2, 4), 10))
    begin = order[1:21]
    assert 9 <= begin.count((2, 4)) <= 11
    assert all(2 <= begin.count((1, number)) <= 5 for number in (1, 2, 3))


async def test_who_gives_up_waiting_takes_no_turn():
    turns = Turns(1)
    waiting = [asyncio.create_task(turns.take(1, 1)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting[2:9]:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [task.cancelled() for task in waiting] == [False] * 2 + [True] * 7 + [False]


async def test_a_loop_without_work_has_nothing_to_do():
    turns = Turns(2)
    await begun(turns, ((1, 1), 9))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not turns._is_due


# --------------------------------------------------------------------------- pumps on a real store


async def flooded(hub: Hub, destinations: int, people: int) -> None:
    """A backlog of the first directory, which its destinations begin to drain at once."""
    ids = await asyncio.gather(*(hub.place.user(f"u{number}") for number in range(people)))
    for round in range(5):
        await asyncio.gather(*(hub.place.set(id, title=f"title {round}") for id in ids))
    for number in range(destinations):
        await hub.destination(f"chatty-{number}", after=0, concurrency=64)


async def test_a_quiet_directory_is_told_while_others_have_much_to_send(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        other = await Place.open(hub.store, "other")
        for number in range(20):
            await other.user(f"quiet-{number}")
        # All are made before any begins: how fast the disk is changes nothing then.
        begins = asyncio.Event()
        told: list[str] = []

        async def answer(message: Message) -> Outcome:
            await begins.wait()
            told.append(message.attributes["source"])
            return deliver(message)

        hub.outside.scripts = dict.fromkeys(("calm", *(f"chatty-{number}" for number in range(8))), answer)
        await flooded(hub, destinations=8, people=200)
        # One after the other, so that each is a turn of its own.
        await control.create(hub.engine, other.directory, "calm", "scripted", {"concurrency": 1}, Subscription(), after=0)
        begins.set()
        while len(hub.outside.delivered("calm")) < 20:
            await asyncio.sleep(0)
        quiet = [index for index, source in enumerate(told) if source.endswith("/other")]
        waits = [later - former for former, later in pairwise(quiet)]
        # Without turns it is each destination's 64 that are begun before, and more than once.
        assert sorted(waits)[len(waits) // 2] <= 20 * AT_ONCE
