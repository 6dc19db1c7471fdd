"""The demonstration from beginning to end: a hub, two providers, four copies, and whether they are equal."""

import asyncio
import shlex
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.text import Text

from scimhub.demo import stage as staging
from scimhub.demo import telling, timelines
from scimhub.demo.hub import Hub, HubFailed
from scimhub.demo.receiver import Receiver
from scimhub.demo.result import Result, Timeline
from scimhub.demo.screen import Screen
from scimhub.demo.stage import Stage
from scimhub.demo.timelines import Part
from scimhub.simulate.providers import Name
from scimhub.simulate.runner import Watch
from scimhub.simulate.stories import STORIES

_PROVIDERS: tuple[Name, Name] = ("okta", "entra")
# Whose people are shown: Entra's moves show rewrites, and Entra deletes.
_CAST: dict[Part, str] = {"joiner": "okta", "mover": "entra", "leaver": "entra"}
_CATCH_UP = 60.0
_LOOK_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """Without ``folder`` all files lie in a temporary one and go at the end; ``stays`` leaves the hub running."""

    people: int = 200
    seed: int = 0
    folder: Path | None = None
    stays: bool = False


@dataclass(slots=True)
class _Theatre:
    hub: Hub
    stages: list[Stage]


async def run(options: Options, screen: Screen, show: Callable[[Result], None]) -> Result:
    """Play, show the result, stay if wished, and clean up; raises HubFailed."""
    began = time.monotonic()
    result = Result(options.people, options.seed)
    with _ended_by_signals():
        async with _open(options, screen) as theatre:
            await _tell_stories(theatre, result, screen)
            await _await_copies(theatre, result, screen)
            await _trace(theatre, result, screen)
            await _compare(theatre, result)
            result.seconds = time.monotonic() - began
            show(result)
            if options.stays:
                _say_where(theatre, screen)
                await asyncio.Event().wait()
    return result


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a terminal that closes end us as Ctrl-C does: with everything cleaned up."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if task is not None:
            loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _open(options: Options, screen: Screen) -> AsyncIterator[_Theatre]:
    """The hub with both directories and all who receive; afterwards nothing of it runs or, in a temporary folder, remains."""
    async with AsyncExitStack() as closing:
        folder = options.folder
        if folder is None:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="scimhub-demo-")))
        copies = folder / "copies"
        _make_folder(folder, copies)
        receiver = Receiver()
        closing.callback(receiver.stop)
        hub = Hub(folder)
        closing.push_async_callback(hub.stop)
        await hub.start()
        screen.say(f"A hub runs at {hub.url}, its database in one SQLite file.")
        theatre = _Theatre(hub, [])
        closing.callback(_stop_followers, theatre.stages)
        for name in _PROVIDERS:
            theatre.stages.append(await staging.build(hub, receiver, name, options.people, options.seed, copies))
        names = " and ".join(_PROVIDERS)
        screen.say(
            f"Directories {names}, each with a signed webhook and a feed; each destination keeps a copy.",
            f"Both providers push {options.people} people at the same time, who join, move and leave.",
            "",
        )
        yield theatre


def _make_folder(folder: Path, copies: Path) -> None:
    try:
        copies.mkdir(parents=True)
    except FileExistsError:
        raise HubFailed(f"The folder {folder} has the files of an earlier demonstration; name another one.") from None
    except OSError as error:
        raise HubFailed(f"The folder {folder} cannot be made: {error.strerror}.") from error


def _stop_followers(stages: Sequence[Stage]) -> None:
    for stage in stages:
        stage.follower.ask_to_stop()
    for stage in stages:
        stage.follower.stop()


async def _tell_stories(theatre: _Theatre, result: Result, screen: Screen) -> None:
    began = time.monotonic()
    with screen.bars() as open_bar:
        async with asyncio.TaskGroup() as providers:
            for stage in theatre.stages:
                providers.create_task(_tell_all(stage, open_bar(stage.name), result, screen))
    result.seconds_of_stories = time.monotonic() - began
    for stage in theatre.stages:
        result.problems += staging.problems(stage, [told for told in result.told if told.directory == stage.name])


async def _tell_all(stage: Stage, watch: Watch, result: Result, screen: Screen) -> None:
    for story in STORIES:
        told = await staging.tell(stage, story, watch)
        result.told.append(told)
        screen.say(telling.story(told))
        if not told.report.is_connected:
            return


async def _await_copies(theatre: _Theatre, result: Result, screen: Screen) -> None:
    """Wait until the hub says that every destination has everything; what is still behind then is a problem."""
    began = time.monotonic()
    for kind, told in ((staging.WEBHOOK, "Both webhooks have confirmed"), (staging.FEED, "Both feeds have acknowledged")):
        while behind := [line for stage in theatre.stages for line in await _behind(theatre.hub, stage, kind)]:
            if time.monotonic() - began > _CATCH_UP:
                result.problems += behind
                break
            await asyncio.sleep(_LOOK_EVERY)
        else:
            note = " (the hub notes that every 5 s)" if kind == staging.FEED else ""
            screen.say(f"{told} everything {time.monotonic() - began:.1f} s after the last story{note}.")


async def _behind(hub: Hub, stage: Stage, kind: str) -> list[str]:
    shown = await hub.ask("GET", "directories", stage.name, "destinations", kind)
    status = shown["status"]
    if not status["lag"] and not status["held"] and shown["state"] == "active":
        return []
    where = f"the destination {kind} of {stage.name} is {status['lag']} positions behind and {status['held']} resources wait"
    return [f"After {_CATCH_UP:.0f} s {where}; its state is {shown['state']}. {status['error']}".rstrip()]


async def _trace(theatre: _Theatre, result: Result, screen: Screen) -> None:
    for part in timelines.PARTS:
        stage = next(stage for stage in theatre.stages if stage.name == _CAST[part])
        user = timelines.choose(part, stage.population)
        if user is None:
            continue
        lines = await theatre.hub.trace(user, stage.name)
        of_part = (told.began for told in result.told if (told.directory, told.story) == (stage.name, timelines.STORY_OF[part]))
        result.timelines.append(Timeline(part, stage.name, user, next(of_part, ""), tuple(lines)))
        screen.say(*telling.timeline(result.timelines[-1]))


async def _compare(theatre: _Theatre, result: Result) -> None:
    for stage in theatre.stages:
        try:
            result.holdings += await staging.compare(stage)
        except httpx.HTTPError as error:
            raise HubFailed(f"The hub could not be read to compare {stage.name}: {error}") from error
        result.flows += stage.flows()


def _say_where(theatre: _Theatre, screen: Screen) -> None:
    hub = theatre.hub
    screen.say("", "The hub stays until Ctrl-C, and the copies follow it. In another terminal:", "")
    screen.say(f"  export SCIMHUB_DATABASE={shlex.quote(str(hub.database))}", "")
    addresses = [(f"{hub.url}/admin/v1", hub.admin_token)]
    for stage in theatre.stages:
        addresses += [(stage.base_url, stage.token), (f"{hub.url}/feed/v1/{stage.name}", stage.feed_token)]
    width = max(len(url) for url, _ in addresses)
    for url, token in addresses:
        # Whole, however narrow the terminal: tokens are copied.
        screen.say(Text(f"  {url.ljust(width)}  {token}", no_wrap=True, overflow="ignore"))
