"""One pump for each active destination: started, woken, stopped, and begun anew when something about it changes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

from scimhub.directory.errors import Fault, StoreUnavailable
from scimhub.distribution import times
from scimhub.distribution.delivery import Destination
from scimhub.distribution.outlook import Outlook, Place
from scimhub.distribution.ports import DestinationKind
from scimhub.distribution.pump import Pump, Stopped, Surroundings

# A pump that ended by a defect is begun anew after so many seconds.
_AFTER_DEFECT = 5.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    pump: Pump
    task: asyncio.Task[None]
    # When the first of its secrets ends.
    secrets_end: str | None


class Engine:
    """Runs the pumps of one process, on one event loop. Kinds without a sender, such as feeds, have no pump."""

    def __init__(self, kinds: Mapping[str, DestinationKind], place: Place, given: Surroundings) -> None:
        self.kinds = kinds
        self.place = place
        self.given = given
        self._running: dict[int, _Running] = {}
        self._changing = asyncio.Lock()
        self._head = 0
        self._is_woken = False
        self._end_waking: Callable[[], None] = _nothing
        self._looking: asyncio.Task[None] | None = None
        self._is_open = False

    # ------------------------------------------------------------------ as a whole

    async def start(self) -> None:
        """Start a pump for every active destination."""
        self._is_open = True
        loop = asyncio.get_running_loop()
        self._head = await self.given.reader.last_position()

        def wake() -> None:
            # From the writer's thread, after each commit; one call a turn of the loop is enough.
            if not self._is_woken:
                self._is_woken = True
                with contextlib.suppress(RuntimeError):  # the loop may have closed
                    loop.call_soon_threadsafe(self._wake)

        self._end_waking = self.given.reader.on_commit(wake)
        for destination in await self.given.store.list_destinations():
            await self._begin(destination)

    async def close(self) -> None:
        """Let what is in flight end, settle, and stop."""
        self._is_open = False
        self._end_waking()
        async with self._changing:
            await asyncio.gather(*(self._end(key) for key in list(self._running)))

    def _wake(self) -> None:
        self._is_woken = False
        # The task is kept, because the loop itself does not.
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Wake the pumps if the log has grown; most commits of a quiet hub only settle."""
        with contextlib.suppress(StoreUnavailable):
            head = await self.given.reader.last_position()
            if head != self._head:
                self._head = head
                for running in self._running.values():
                    running.pump.wake()

    async def drop_expired_secrets(self) -> None:
        """Forget secrets whose time has ended, and have pumps sign without them."""
        now = times.text(self.given.now())
        for running in list(self._running.values()):
            if running.secrets_end is not None and running.secrets_end <= now:
                async with self.halted(running.pump.destination):
                    pass
        await self.given.store.delete_expired_secrets(now)

    # ------------------------------------------------------------------ one destination

    def find_pump(self, key: int) -> Pump | None:
        """The destination's pump, None when none runs."""
        running = self._running.get(key)
        return None if running is None else running.pump

    def read(self, what: Callable[[Pump, int], float]) -> Iterator[tuple[list[str], float]]:
        """Directory and destination of each pump that runs, and what is read of it, given the newest position."""
        for running in list(self._running.values()):
            destination = running.pump.destination
            yield [destination.directory_name, destination.name], what(running.pump, self._head)

    @contextlib.asynccontextmanager
    async def halted(self, destination: Destination) -> AsyncIterator[None]:
        """While inside, the destination has no pump and everything is settled; then it runs as the store says."""
        async with self._changing:
            await self._end(destination.key)
            try:
                yield
            finally:
                found = await self.given.store.find_destination(destination.directory, destination.name)
                if found is not None:
                    await self._begin(found)

    async def _begin(self, destination: Destination) -> None:
        kind = self.kinds.get(destination.kind)
        if kind is None or destination.state != "active" or not self._is_open:
            return
        now = times.text(self.given.now())
        secrets = [
            secret
            for secret in await self.given.store.list_secrets(destination.key)
            if secret.expires is None or secret.expires > now
        ]
        holds = await self.given.store.list_held(destination.key)
        pump = Pump(destination, kind.open(destination, secrets), holds, Outlook(self.place, destination), self.given)
        secrets_end = min((secret.expires for secret in secrets if secret.expires is not None), default=None)
        self._running[destination.key] = _Running(pump, asyncio.create_task(self._run(pump)), secrets_end)

    async def _end(self, key: int) -> None:
        running = self._running.pop(key, None)
        if running is not None:
            running.pump.stop()
            await asyncio.wait([running.task])

    async def _run(self, pump: Pump) -> None:
        destination = pump.destination
        names = {"directory": destination.directory_name, "destination": destination.name}
        try:
            await pump.run()
        except Stopped as stopped:
            _log.error("destination stopped", extra={**names, "state": stopped.state, "reason": str(stopped)})
            self._running.pop(destination.key, None)
            with contextlib.suppress(Fault):
                await self.given.store.set_state(destination.key, stopped.state, str(stopped), times.text(self.given.now()))
        except Exception:
            _log.exception("pump failed", extra=names)
            await asyncio.sleep(_AFTER_DEFECT)
            await self._begin_again(destination)

    async def _begin_again(self, destination: Destination) -> None:
        if not self._is_open or self._running.get(destination.key) is None:
            return
        found = await self.given.store.find_destination(destination.directory, destination.name)
        if found is not None and found.key == destination.key:
            await self._begin(found)


def _nothing() -> None:
    """What ends the waking before it has begun."""
