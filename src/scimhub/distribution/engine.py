"""One pump for each active destination: started, woken, stopped, and begun anew when something about it changes.

Where a database has several nodes, a destination's pump runs on the node that has its lease (``leases``).
"""

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass

from scimhub.directory.errors import Absent, KeysUnusable, StoreUnavailable
from scimhub.distribution import backfilling, catching_up, leases, opening, times
from scimhub.distribution.backfill import Backfill
from scimhub.distribution.delivery import Destination
from scimhub.distribution.intake import Stopped
from scimhub.distribution.leases import Lease, LeaseLost
from scimhub.distribution.outlook import Outlook, Place
from scimhub.distribution.ports import DestinationKind
from scimhub.distribution.pump import Pump
from scimhub.distribution.surroundings import Surroundings
from scimhub.distribution.waking import Waking

# A pump that ended by a defect is begun anew after so many seconds.
_AFTER_DEFECT = 5.0
# So many discarded removals of a destination are remembered while it runs; more are only listed.
_MOST_KEPT = 1_000_000
# Seconds between two questions to the node that holds a lease.
_ASK_AGAIN = 0.2

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    pump: Pump
    task: asyncio.Task[None]
    # When the first of its secrets ends.
    secrets_end: str | None
    # The ids of its secrets that could not be opened.
    locked: frozenset[str]
    backfill: asyncio.Task[None] | None = None

    def end_backfill(self) -> None:
        """Hand out nothing more; what was handed out is written."""
        if self.backfill is not None:
            self.backfill.cancel()


class Engine:
    """Runs the pumps of one process, on one event loop. Kinds without a sender, such as feeds, have no pump."""

    def __init__(self, kinds: Mapping[str, DestinationKind], place: Place, given: Surroundings) -> None:
        self.kinds = kinds
        self.place = place
        self.given = given
        self._running: dict[int, _Running] = {}
        # For each destination, so that one that hangs keeps the verbs of no other waiting.
        self._changing: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        # Those of them that end a pump, which must not be broken off.
        self._ending: set[asyncio.Task[None]] = set()
        self._head = 0
        self._waking = Waking(given.reader, self._wake)
        self._looking: asyncio.Task[None] | None = None
        self._minding: asyncio.Task[None] | None = None
        self._is_open = False

    # ------------------------------------------------------------------ as a whole

    @property
    def is_running(self) -> bool:
        """Whether anything is sent at all; in a command that opened the database nothing is."""
        return self._is_open

    async def start(self) -> None:
        """Start a pump for every active destination."""
        self._is_open = True
        self._head = await self.given.reader.last_position()
        self._waking.begin()
        if self.given.store.has_many_nodes:
            await self._look_at_leases()
            self._minding = asyncio.create_task(self._mind_leases())
        else:
            for destination in await self.given.store.list_destinations():
                await self._begin(destination)

    async def close(self) -> None:
        """Let what is in flight end, settle, and stop."""
        self._is_open = False
        self._waking.end()
        minding = () if self._minding is None else (self._minding,)
        for task in (*(self._tasks - self._ending), *minding):
            task.cancel()
        await asyncio.gather(*minding, *self._ending, return_exceptions=True)
        await asyncio.gather(*(self._end(key) for key in list(self._running)))
        if minding:
            with contextlib.suppress(StoreUnavailable):
                await self.given.store.leave(self.given.node, self.given.lease_seconds)

    def _wake(self) -> None:
        # The task is kept, because the loop itself does not.
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Wake the pumps if the log has grown; most commits of a quiet hub only settle."""
        with contextlib.suppress(StoreUnavailable):
            head = await self.given.reader.known_position()
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

    async def unlock(self) -> None:
        """Have pumps begin anew with secrets that could not be opened, and can be since a key is there again."""
        locked = [running for running in self._running.values() if running.locked]
        if locked:
            with contextlib.suppress(KeysUnusable):  # then none has come
                self.given.keyring.renew()
        for running in locked:
            destination = running.pump.destination
            can_go_on = await opening.can_unlock(self.given, destination, running.locked)
            # Its lease may have gone to another node meanwhile, from which it would be taken.
            if can_go_on and self._running.get(destination.key) is running:
                async with self.halted(destination):
                    pass

    async def tend(self) -> None:
        """Have the senders do what is due without a message."""
        await asyncio.gather(*(running.pump.tend() for running in list(self._running.values())))

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
        """While inside, the destination has no pump on any node and everything is settled; then it runs as the store says.

        Raises StoreUnavailable when another node does not give its lease away.
        """
        async with self._changing[destination.key]:
            await self._end(destination.key)
            if destination.kind in self.kinds:
                await self._obtain_lease(destination)
            try:
                yield
                await self._check_lease(destination)
            finally:
                found = await self.given.store.find_destination(destination.directory, destination.name)
                # Another one may have been made under its name meanwhile, and has a pump of its own.
                if found is None or found.key != destination.key or not await self._begin(found):
                    await self._give_lease(destination.key)

    async def _begin(self, destination: Destination) -> bool:
        """Start its pump if it should have one and its lease is to be had; whether there is a pump now."""
        kind = self.kinds.get(destination.kind)
        if kind is None or destination.state != "active" or not self._is_open:
            return False
        lease = await self._take_lease(destination.key)
        # Where it stands is read under the lease: nobody else writes it any longer.
        found = await self.given.store.find_destination(destination.directory, destination.name)
        if lease is None or found is None or found.state != "active":
            return False
        destination = found
        opened = await opening.open_sender(self.given, kind, destination)
        holds = await self.given.store.list_held(destination.key)
        kept = await self.given.store.list_kept(destination.key, "", _MOST_KEPT)
        outlook = Outlook(self.place, destination)
        pump = Pump(destination, lease, opened.sender, holds, kept, outlook, self.given, joins_runs=kind.joins_runs)
        running = _Running(pump, asyncio.create_task(self._run(pump)), opened.secrets_end, opened.locked)
        self._running[destination.key] = running
        backfill = await self.given.store.find_backfill(destination.key)
        if backfill is not None and backfill.state == "running":
            running.backfill = asyncio.create_task(self._backfill(pump, Outlook(self.place, destination), backfill))
        return True

    async def _backfill(self, pump: Pump, outlook: Outlook, backfill: Backfill) -> None:
        try:
            await backfilling.run(pump.destination, outlook, backfill, pump, self.given)
        except LeaseLost:
            pass  # the pump meets it, too
        except Exception:
            _log.exception("backfill failed", extra={"destination": pump.destination.name})

    async def _end(self, key: int) -> None:
        running = self._running.pop(key, None)
        if running is not None:
            running.end_backfill()
            if running.backfill is not None:
                await asyncio.wait([running.backfill])
            running.pump.stop()
            await asyncio.wait([running.task])
            await self._give_lease(key)

    async def _run(self, pump: Pump) -> None:
        destination = pump.destination
        names = {"directory": destination.directory_name, "destination": destination.name}
        try:
            await pump.run()
        except Stopped as stopped:
            _log.error("destination stopped", extra={**names, "state": stopped.state, "reason": str(stopped)})
            self._spawn(self._write_state(pump, stopped))
        except LeaseLost:
            _log.warning("lease lost", extra=names)
            if self.find_pump(destination.key) is pump:
                self._running.pop(destination.key).end_backfill()
        except Exception:
            _log.exception("pump failed", extra=names)
            self._spawn(self._begin_again(pump))
        finally:
            running = self._running.get(destination.key)
            if running is not None and running.pump is pump:
                running.end_backfill()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # Beside the pump's task, which whoever halts the destination waits for.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn_hand_over(self, pump: Pump) -> None:
        task = self._spawn(self._hand_over(pump))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _write_state(self, pump: Pump, stopped: Stopped) -> None:
        """Note why the pump ended by itself."""
        key = pump.destination.key

        async def write() -> None:
            with contextlib.suppress(Absent):
                if stopped.state == "behind" and catching_up.can_catch_up(pump.destination):
                    await self._catch_up(pump.destination)
                    return
                await self.given.store.set_state(key, stopped.state, str(stopped), times.text(self.given.now()))
            del self._running[key]

        await self._replace(pump, write)

    async def _catch_up(self, known: Destination) -> None:
        """Begin anew with states, where changes are gone."""
        given = self.given
        found = await given.store.find_destination(known.directory, known.name)
        del self._running[known.key]
        if found is None or found.key != known.key:
            return
        head = await given.reader.last_position()
        await catching_up.catch_up(given.store, found, head, given.new_id(), times.text(given.now()))
        await self._begin(await self.given.store.find_destination(known.directory, known.name) or found)

    async def _begin_again(self, pump: Pump) -> None:
        destination = pump.destination

        async def begin() -> None:
            found = await self.given.store.find_destination(destination.directory, destination.name)
            del self._running[destination.key]
            if found is not None and found.key == destination.key:
                await self._begin(found)

        await asyncio.sleep(_AFTER_DEFECT)
        await self._replace(pump, begin)

    async def _replace(self, pump: Pump, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work as soon as the database can be used."""
        while self._is_open:
            try:
                return await self._replace_once(pump, work)
            except StoreUnavailable:
                await asyncio.sleep(_AFTER_DEFECT)
        return None

    async def _replace_once(self, pump: Pump, work: Callable[[], Awaitable[None]]) -> None:
        async with self._changing[pump.destination.key]:
            # Else somebody changed the destination meanwhile, and another pump has taken this one's place.
            if self.find_pump(pump.destination.key) is pump:
                await work()

    # ------------------------------------------------------------------ leases

    async def _take_lease(self, key: int) -> Lease | None:
        given, asked_at = self.given, self.given.monotonic()
        epoch = await given.store.take_lease(key, given.node, given.lease_seconds)
        if epoch is None:
            return None
        if not given.store.has_many_nodes:
            return Lease(epoch, math.inf, 0.0)
        return Lease(epoch, asked_at + given.lease_seconds, given.lease_seconds)

    async def _obtain_lease(self, destination: Destination) -> None:
        """Have the lease, asking the node that holds it to give it away."""
        given = self.given
        patience = given.monotonic() + 2 * given.lease_seconds
        while await given.store.take_lease(destination.key, given.node, given.lease_seconds) is None:
            if await given.store.find_destination(destination.directory, destination.name) is None:
                return
            if given.monotonic() > patience:
                raise StoreUnavailable(f"Another node is busy with destination {destination.name}; try again.")
            await given.store.ask_for_lease(destination.key)
            await asyncio.sleep(_ASK_AGAIN)

    async def _check_lease(self, destination: Destination) -> None:
        """Raise StoreUnavailable when another node began to serve meanwhile: it may write over what was changed."""
        given = self.given
        if destination.kind not in self.kinds or not given.store.has_many_nodes:
            return
        if await given.store.take_lease(destination.key, given.node, given.lease_seconds) is not None:
            return
        if await given.store.find_destination(destination.directory, destination.name) is not None:
            raise StoreUnavailable(
                f"This took so long that another node serves destination {destination.name} again; look at it and try again."
            )

    async def _give_lease(self, key: int) -> None:
        if self.given.store.has_many_nodes:
            with contextlib.suppress(StoreUnavailable):  # then it ends by itself
                await self.given.store.give_lease(key, self.given.node)

    async def _mind_leases(self) -> None:
        while True:
            await asyncio.sleep(min(leases.LOOK_EVERY, self.given.lease_seconds / 6))
            try:
                await self._look_at_leases()
            except StoreUnavailable as fault:
                _log.warning("leases not looked at", extra={"reason": str(fault)})

    async def _look_at_leases(self) -> None:
        """Keep those of the pumps that run, end pumps without one, and have pumps run where they should."""
        given, asked_at = self.given, self.given.monotonic()
        kept = await given.store.keep_leases(given.node, given.lease_seconds)
        for key, running in list(self._running.items()):
            epoch, is_wanted = kept.get(key, (None, False))
            if epoch != running.pump.lease.epoch:
                running.pump.lease.until = -math.inf
                self._spawn_hand_over(running.pump)
            else:
                running.pump.lease.renew(asked_at)
                if is_wanted:
                    self._spawn_hand_over(running.pump)
        for key in kept.keys() - self._running.keys():
            self._spawn(self._give_unused(key))
        nodes = await given.store.live_nodes(given.lease_seconds)
        for destination in await given.store.list_destinations():
            is_ours = leases.preferred(destination.id, nodes) == given.node
            pump = self.find_pump(destination.key)
            if pump is None and is_ours and not self._changing[destination.key].locked():
                await self._begin_ours(destination)
            elif pump is not None and not is_ours:
                self._spawn_hand_over(pump)

    async def _begin_ours(self, destination: Destination) -> None:
        async with self._changing[destination.key]:
            try:
                await self._begin(destination)
            except StoreUnavailable:
                raise
            except Exception:
                # One destination's defect must not end the keeping of all leases.
                _log.exception("pump not begun", extra={"destination": destination.name})

    async def _give_unused(self, key: int) -> None:
        """Give away a lease without a pump: of one that ended by itself, or could not be begun."""
        async with self._changing[key]:
            if key not in self._running:
                await self._give_lease(key)

    async def _hand_over(self, pump: Pump) -> None:
        """End the pump and let another node go on."""
        async with self._changing[pump.destination.key]:
            if self.find_pump(pump.destination.key) is pump:
                await self._end(pump.destination.key)
