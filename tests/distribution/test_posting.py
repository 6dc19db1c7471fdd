"""A sender that is given messages without waiting, and tells later what came of each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scimhub.distribution import control
from scimhub.distribution.delivery import Destination, Message, Outcome, Rejected, Secret
from tests.distribution.outside import Hub, Line, Outside, deliver, open_outside, until


@dataclass
class PostingLine(Line):
    """Takes what it is given at once; the script says what came of it once ``goes`` is set."""

    goes: asyncio.Event
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    tell: Callable[[Sequence[tuple[Message, Outcome]]], None] | None = None

    def listen(self, tell: Callable[[Sequence[tuple[Message, Outcome]]], None]) -> None:
        self.tell = tell

    def post(self, message: Message) -> bool:
        async def answer() -> None:
            await self.goes.wait()
            assert self.tell is not None
            self.tell([(message, await self.send(message))])

        self.tasks.add(task := asyncio.get_running_loop().create_task(answer()))
        task.add_done_callback(self.tasks.discard)
        return True


@pytest.fixture
def goes(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set as soon as the destinations, all of which post, may tell what came of messages."""
    may_go = asyncio.Event()

    def open_posting(outside: Outside, destination: Destination, secrets: Sequence[Secret]) -> Line:
        return PostingLine(outside, destination.name, may_go)

    monkeypatch.setattr(Outside, "open", open_posting)
    return may_go


async def _flooded(hub: Hub) -> list[str]:
    ids = [await hub.place.user(f"u{number}") for number in range(40)]
    for title in ("first", "second"):
        for id in ids:
            await hub.place.set(id, title=title)
    return ids


async def test_what_is_posted_arrives_once_and_in_order_for_each_resource(tmp_path: Path, goes: asyncio.Event):
    goes.set()
    async with open_outside(tmp_path) as hub:
        ids = await _flooded(hub)
        hub.outside.scripts["payroll"] = lambda one: Rejected("No.") if ids[7] in one.attributes["subject"] else deliver(one)
        made = await hub.destination()
        # Who is refused is asked again after some seconds, which nobody waits for here.
        await until(lambda: hub.pump(made).held == 1 or hub.pass_time(1), "the one to be held")
        await hub.caught_up()
        for number, id in enumerate(ids):
            expected = [] if number == 7 else [number + 1, number + 41, number + 81]
            assert hub.outside.positions(resource=id) == expected


async def test_a_stop_waits_for_what_was_posted_and_posts_nothing_more(tmp_path: Path, goes: asyncio.Event):
    async with open_outside(tmp_path) as hub:
        await _flooded(hub)
        made = await hub.destination(concurrency=30)
        await until(lambda: hub.pump(made).in_flight == 30, "a batch on its way")
        pausing = asyncio.create_task(control.pause(hub.engine, made))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not pausing.done()
        goes.set()
        paused = await pausing
        # Whatever had been given to it by then counts, and only that.
        assert (len(hub.outside.delivered()), paused.state) == (len(set(hub.outside.positions())), "paused")
        assert 0 < len(hub.outside.delivered()) <= 30
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        assert sorted(hub.outside.positions()) == list(range(1, 121))


async def test_a_defect_in_posting_ends_the_pump_and_loses_nothing(
    tmp_path: Path, goes: asyncio.Event, monkeypatch: pytest.MonkeyPatch
):
    goes.set()
    monkeypatch.setattr("scimhub.distribution.engine._AFTER_DEFECT", 0.05)
    posted = PostingLine.post
    raised: list[Message] = []

    def explode_once(line: PostingLine, message: Message) -> bool:
        if not raised:
            raised.append(message)
            raise ZeroDivisionError
        return posted(line, message)

    monkeypatch.setattr(PostingLine, "post", explode_once)
    async with open_outside(tmp_path) as hub:
        await _flooded(hub)
        await hub.destination()
        await hub.caught_up()
        assert set(hub.outside.positions()) == set(range(1, 121))
