"""How many messages may be on their way: it falls where a destination cannot keep up, and comes back; a rate is kept."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.distribution import status
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry
from scimhub.distribution.flow import Flow
from tests.distribution.outside import open_outside, until

BUSY = Retry("Too many requests.", "destination", status=429)


def round_of(flow: Flow, begun: float, seconds: float, outcome: Outcome = Delivered(204)) -> None:  # noqa: B008 - frozen
    """As many messages as may be on their way, all of which take so long."""
    for _ in range(flow.limit):
        flow.note(outcome, begun, begun + seconds, flow.limit)


def test_it_begins_with_what_is_configured_and_stays_while_all_is_well():
    flow = Flow(16, timeout=15)
    for number in range(50):
        round_of(flow, float(number), 0.1)
    assert flow.limit == 16


@pytest.mark.parametrize("outcome", [BUSY, Retry("Busy.", status=503), Retry("Busy.", status=504)])
def test_it_halves_when_the_destination_says_that_it_is_too_much(outcome: Outcome):
    flow, limits = Flow(16), []
    for number in range(6):
        flow.note(outcome, float(number), number + 0.5, 64)
        limits.append(flow.limit)
    assert limits == [8, 4, 2, 1, 1, 1]


def test_messages_that_were_on_their_way_then_count_once():
    flow = Flow(64)
    for _ in range(64):
        flow.note(BUSY, 10.0, 10.5, 64)
    assert flow.limit == 32
    flow.note(BUSY, 10.4, 11.0, 64)
    assert flow.limit == 32
    flow.note(BUSY, 10.6, 11.0, 64)
    assert flow.limit == 16


@given(st.lists(st.tuples(st.integers(1, 70), st.floats(0, 0.4)), min_size=1, max_size=30), st.sampled_from((8, 64, 1000)))
def test_what_arrives_at_once_counts_as_one_after_the_other(rounds: list[tuple[int, float]], most: int):
    at_once, singly = Flow(most, timeout=15), Flow(most, timeout=15)
    for flow in (at_once, singly):
        flow.note(BUSY, 0.0, 0.5, most)
    for number, (count, seconds) in enumerate(rounds, 1):
        begun = number * 10.0
        at_once.note(Delivered(204), begun, begun + seconds, 2 * most, count)
        for _ in range(count):
            singly.note(Delivered(204), begun, begun + seconds, 2 * most)
        assert at_once.limit == singly.limit
    # What is remembered of them makes ten seconds slow for the one if it does for the other.
    for flow in (at_once, singly):
        flow.note(Delivered(204), 1000.0, 1010.0, 1)
    assert at_once.limit == singly.limit


def test_it_halves_when_answers_do_not_come_in_time():
    flow = Flow(16, timeout=5)
    flow.note(Retry("It did not answer within 5 seconds.", "resource"), 0.0, 5.0, 16)
    assert flow.limit == 8


@pytest.mark.parametrize(
    "outcome", [Retry("500", status=500), Rejected("422", status=422), Retry("No connection.", "destination")]
)
def test_other_failures_say_nothing_about_the_load(outcome: Outcome):
    flow = Flow(16, timeout=5)
    for number in range(20):
        flow.note(outcome, float(number), number + 0.1, 64)
    assert flow.limit == 16


def test_it_comes_back_by_a_little_with_each_round_up_to_what_is_configured():
    flow = Flow(64)
    for number in range(4):
        flow.note(BUSY, float(number), number + 0.5, 64)
    assert flow.limit == 4
    limits = []
    for number in range(10, 50):
        round_of(flow, float(number), 0.1)
        limits.append(flow.limit)
    assert limits[:5] == [6, 8, 10, 12, 14]
    assert limits[-1] == 64


def test_what_is_not_used_up_does_not_grow():
    flow = Flow(64)
    flow.note(BUSY, 0.0, 0.5, 64)
    for number in range(1000):
        flow.note(Delivered(204), 1.0 + number, 1.1 + number, 3)
    assert flow.limit == 32


def test_it_falls_when_answers_take_much_longer_than_they_did_and_settles_where_they_do_not():
    """A destination that works on eight at a time: more than that wait in its queue."""
    flow, limits = Flow(64), []
    for number in range(20):
        flow.note(Delivered(204), float(number), number + 0.2, 1)  # a quiet hour, one message after the other
    for number in range(1, 80):
        now = float(number * 100)
        round_of(flow, now, 0.2 * max(1.0, flow.limit / 8))
        limits.append(flow.limit)
    assert flow.limit < 64
    assert max(limits[20:]) <= 48
    assert sum(limits[20:]) / len(limits[20:]) >= 8


def test_a_destination_that_is_always_slow_is_not_held_to_be_overloaded():
    flow = Flow(16)
    for number in range(100):
        round_of(flow, float(number * 10), 3.0)
    assert flow.limit == 16


def test_a_rate_lets_so_many_begin_in_a_second():
    flow, now, begun = Flow(1000, rate=50), 0.0, []
    while now < 10:
        wait = flow.ready_in(now)
        if wait:
            now += wait
            continue
        flow.begin(1, now)
        begun.append(now)
    assert max(Counter(int(moment) for moment in begun).values()) <= 100  # the burst of the first second
    assert 500 <= len(begun) <= 551


def test_a_rate_lets_as_many_begin_together_as_one_after_the_other():
    flow, now, begun = Flow(1000, rate=50), 0.0, 0
    while now < 10:
        room = flow.room(8, now)
        assert (room == 0) == (flow.ready_in(now) > 0)
        flow.begin(room, now)
        begun += room
        now += flow.ready_in(now)
    assert 500 <= begun <= 551
    assert Flow(1000).room(8, now) == 8


# --------------------------------------------------------------------------- pumps on a real store


async def test_a_destination_that_takes_four_at_a_time_ends_with_few_on_their_way(tmp_path: Path):
    async with open_outside(tmp_path) as hub:

        async def take_four(message: Message) -> Outcome:
            if hub.outside.under_way > 4:
                return BUSY
            for _ in range(20):
                await asyncio.sleep(0)
            return Delivered(204)

        hub.outside.scripts["payroll"] = take_four
        await asyncio.gather(*(hub.place.user(f"u{number}") for number in range(400)))
        destination = await hub.destination(after=0, concurrency=16)

        def is_through() -> bool:
            hub.pass_time(1.0)  # the breaker's pauses
            return hub.pump(destination).cursor >= 400

        await until(is_through, "the end of the backlog")
        found = await status.of_destination(hub.engine, await hub.again())
        assert 1 <= found.concurrency <= 8
        assert hub.outside.most_under_way <= 16
        assert hub.pump(destination).failed < 100

        # With nothing on its way time passes without a message that seems slow: the breaker lets all go again.
        for number in range(16):
            await hub.place.user(f"again-{number}")
            await hub.caught_up()
            hub.pass_time(1.0)
        is_written = asyncio.Event()

        async def take_all(message: Message) -> Outcome:
            # Only a backlog uses up what may be on its way, and only what is used up grows.
            await is_written.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            return Delivered(204)

        hub.outside.scripts["payroll"] = take_all
        await asyncio.gather(*(hub.place.user(f"more-{number}") for number in range(400)))
        is_written.set()
        await until(lambda: hub.pump(destination).cursor >= 816, "what came later")
        assert (await status.of_destination(hub.engine, await hub.again())).concurrency > found.concurrency


async def test_a_rate_is_kept_and_costs_no_other_destination_anything(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await asyncio.gather(*(hub.place.user(f"u{number}") for number in range(100)))
        slow = await hub.destination("slow", after=0, rate=10)
        await hub.destination("other", after=0)
        await hub.caught_up("other")
        first = len(hub.outside.delivered("slow"))
        assert 10 <= first <= 30
        hub.pass_time(2.0)
        await until(lambda: len(hub.outside.delivered("slow")) >= min(100, first + 10), "what the time let through")
        assert len(hub.outside.delivered("slow")) <= first + 30

        def is_through() -> bool:
            hub.pass_time(1.0)
            return hub.pump(slow).cursor >= 100

        await until(is_through, "the end")
        assert sorted(hub.outside.positions("slow")) == list(range(1, 101))
