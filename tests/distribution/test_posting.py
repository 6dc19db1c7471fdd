"""A sender that is given messages without waiting, and tells later what came of each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scimhub.distribution import attempts, control
from scimhub.distribution.delivery import Attempt, Destination, Message, Outcome, Rejected, Secret
from tests.distribution.outside import Hub, Line, Outside, deliver, open_outside, until


@dataclass
class PostingLine(Line):
    """Takes what it is given at once; the script says what came of it once ``goes`` is set, of all together."""

    goes: asyncio.Event
    came: list[tuple[Message, Outcome]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    tell: Callable[[Sequence[tuple[Message, Outcome]]], None] | None = None

    def listen(self, tell: Callable[[Sequence[tuple[Message, Outcome]]], None]) -> None:
        self.tell = tell

    def post(self, message: Message) -> bool:
        async def answer() -> None:
            await self.goes.wait()
            self.came.append((message, await self.send(message)))
            if len(self.came) == 1:
                asyncio.get_running_loop().call_soon(self.tell_all)

        self.tasks.add(task := asyncio.get_running_loop().create_task(answer()))
        task.add_done_callback(self.tasks.discard)
        return True

    def tell_all(self) -> None:
        came, self.came = self.came, []
        assert self.tell is not None
        self.tell(came)


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


async def _assert_a_flood_arrives(folder: Path) -> None:
    async with open_outside(folder) as hub:
        await _flooded(hub)
        await hub.destination()
        await hub.caught_up()
        assert set(hub.outside.positions()) == set(range(1, 121))


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
    await _assert_a_flood_arrives(tmp_path)


async def test_a_defect_amid_what_came_together_ends_the_pump_and_loses_nothing(
    tmp_path: Path, goes: asyncio.Event, monkeypatch: pytest.MonkeyPatch
):
    goes.set()
    monkeypatch.setattr("scimhub.distribution.engine._AFTER_DEFECT", 0.05)
    describe, told = attempts.attempt_of, []

    def explode_once(*arguments: Any) -> Attempt:
        told.append(arguments)
        if len(told) == 3:
            raise ZeroDivisionError
        return describe(*arguments)

    monkeypatch.setattr(attempts, "attempt_of", explode_once)
    await _assert_a_flood_arrives(tmp_path)


async def test_failures_alone_are_no_success(tmp_path: Path, goes: asyncio.Event):
    goes.set()
    async with open_outside(tmp_path) as hub:
        await hub.place.user("ines")
        hub.outside.scripts["payroll"] = lambda _: Rejected("No.")
        made = await hub.destination()
        await until(lambda: hub.pump(made).failed, "a refusal")
        assert hub.pump(made).last_success is None
