"""One destination's loop: read the log, choose, send, settle. What to do is decided by ``lanes``, ``retry``, ``breaker``.

Nothing is written for a delivery that goes well but the cursor, a few times a second. A crash repeats what was sent since
then, in order and under the same ids.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence

from scimhub.directory.errors import Invalid, StoreUnavailable
from scimhub.directory.records import Change
from scimhub.distribution import attempts, delivery, envelope, flow, retry, times, turns
from scimhub.distribution.breaker import Breaker
from scimhub.distribution.delivery import Delivered, Destination, Gone, Held, Message, Outcome, Rejected, Retry
from scimhub.distribution.lanes import Item, Lanes, Unit
from scimhub.distribution.leases import Lease, LeaseLost
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.ports import Sender, Settlement, Tended
from scimhub.distribution.retry import Again
from scimhub.distribution.subscription import Notice
from scimhub.distribution.surroundings import Surroundings

# Changes asked for at once: few, which are read on the spot, and many while there is much to catch up with.
_FEW, _MANY = 100, 500
_OWED_AT_ONCE = 100
# Seconds between two settlings, and between two that only say that nothing concerned the destination.
_SETTLE_EVERY = 0.2
_NOTE_EVERY = 5.0
_MOST_UNSETTLED = 500
_AFTER_FAULT = 1.0
_LONGEST_REST = 60.0
# A destination that fails so long, in seconds, and so often is stopped; a person must look.
_GIVE_UP_AFTER = 24 * 3600.0
_GIVE_UP_FAILURES = 50

# The lane of a destination that takes everything in order; no resource has this id.
_STREAM = ""

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The pump ends by itself; the destination is to be put into that state for that reason."""

    def __init__(self, state: delivery.State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Pump:
    """Sends one destination what it wants; ``run`` ends when ``stop`` was called, or raises Stopped or LeaseLost."""

    def __init__(
        self,
        destination: Destination,
        lease: Lease,
        sender: Sender,
        holds: Sequence[Held],
        outlook: Outlook,
        given: Surroundings,
        *,
        joins_runs: bool,
    ) -> None:
        self.destination = destination
        self.lease = lease
        self.flow = flow.of_configuration(destination.configuration)
        self.breaker = Breaker(self.flow.limit)
        # Wall-clock seconds of the last success, None before the first.
        self.last_success: float | None = None
        self.delivered = 0
        self.failed = 0
        self._sender = sender
        self._outlook = outlook
        self._given = given
        self._joins_runs = joins_runs
        # The whole stream is then one lane: it never leaves the window, for nothing may overtake it (DECISIONS 10).
        self._is_stream = destination.configuration.get("order") == "stream"
        self._lanes: Lanes[Notice] = Lanes(destination.cursor, destination.ahead, [times.hold_of(held) for held in holds])
        self._awake = asyncio.Event()
        # Position and time of each change that was read and wanted, to tell how old the oldest is that waits.
        self._wanted: deque[tuple[int, str]] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._settling: asyncio.Task[None] | None = None
        self._more, self._wakes = True, 0
        self._launched_at = 0.0
        self._stopping = False
        self._fault: Exception | None = None
        self._unsettled = 0
        self._settled_at = given.now()
        self._settled_cursor = destination.cursor

    # ------------------------------------------------------------------ from outside

    def wake(self) -> None:
        """There are new changes."""
        self._more = True
        self._wakes += 1
        self._awake.set()

    def stop(self) -> None:
        """Send nothing more; ``run`` then waits for what is in flight, settles and ends."""
        self._stopping = True
        self._awake.set()

    async def tend(self) -> None:
        """Have the sender do what is due without a message, while the destination is up."""
        if isinstance(self._sender, Tended) and self.breaker.state == "closed" and not self._stopping:
            await self._sender.tend()

    @property
    def cursor(self) -> int:
        """Up to where everything has arrived, was not wanted, or is held; settled or not."""
        return self._lanes.cursor

    @property
    def in_flight(self) -> int:
        return len(self._sending)

    @property
    def held(self) -> int:
        """How many resources wait out of the window."""
        return self._lanes.held

    @property
    def age(self) -> float:
        """How many seconds ago the oldest change was committed that waits and is not held; 0 when none does."""
        oldest = next((time for position, time in self._wanted if position > self._lanes.cursor), None)
        return 0.0 if oldest is None else self._given.now() - times.seconds(oldest)

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Until ``stop`` is called; raises Stopped when the destination must not be served any longer, or LeaseLost."""
        try:
            while not self._stopping:
                self._awake.clear()
                try:
                    await self._turn()
                except StoreUnavailable as fault:
                    self._fault = None
                    _log.warning("pump waits for the database", extra={**self._names, "reason": str(fault)})
                    await asyncio.sleep(_AFTER_FAULT)
        finally:
            await self._finish()

    async def _turn(self) -> None:
        await self._read()
        await self._recall()
        self._launch()
        if self._settling is None and self._given.now() >= self._settle_due():
            # Beside the loop: a commit waits for the disk, and the next messages need not.
            self._settling = asyncio.create_task(self._settle_beside())
        if self._fault is not None:
            raise self._fault
        self._check_patience()
        await self._rest()

    async def _rest(self) -> None:
        """Until something happens: a change, an outcome, or a time that was waited for."""
        if self._more and self._lanes.room >= _FEW:
            # Quick reads and changes that nobody wants never wait for anything: others must have their turn.
            await asyncio.sleep(0)
            return
        now = self._given.now()
        waits = [_LONGEST_REST, (self._lanes.next_due() or now + _LONGEST_REST) - now]
        if self._settling is None:
            waits.append(self._settle_due() - now)
        waits.append(self.flow.ready_in(now) or _LONGEST_REST)
        if self.breaker.probe_at > self._launched_at:
            waits.append(self.breaker.probe_at - now)
        # Cheaper than a time limit round the waiting, and this runs for each message.
        timer = asyncio.get_running_loop().call_later(max(0.0, min(waits)), self._awake.set)
        await self._awake.wait()
        timer.cancel()

    async def _finish(self) -> None:
        """Wait for what is in flight; each send has its own time limit."""
        if self._sending:
            await asyncio.gather(*self._sending, return_exceptions=True)
        if self._settling is not None:
            await self._settling
        # Without the lease another node sends by now, and knows better where the destination stands.
        with contextlib.suppress(StoreUnavailable, LeaseLost):
            await self._settle()
        await self._sender.close()

    # ------------------------------------------------------------------ reading

    async def _read(self) -> None:
        room = self._lanes.room
        if not self._more or (room < _FEW and self._lanes.has_lanes):
            if self._more and not self._sending and self.breaker.state == "closed":
                self._lanes.hold_first(self._given.now(), "It kept the destination from going on.")
            return
        wanted = min(room, _FEW if self._lanes.read_position - self._lanes.cursor < _FEW else _MANY)
        wakes = self._wakes
        if wanted > _FEW:
            await self._given.turns.take(self.destination.directory, self.destination.key, turns.AT_ONCE)
        changes = await self._given.reader.read_changes(self._lanes.read_position, wanted)
        await self._offer(changes)
        # What was committed while we read has woken us, and may not be among what was read.
        self._more = len(changes) == wanted or self._wakes != wakes

    async def _offer(self, changes: Sequence[Change]) -> None:
        interest = (await self._envelope()).interest
        for change in changes:
            notice = self._assess(change, interest.assess)
            if notice is None:
                self._lanes.skip(change.position)
                continue
            self._wanted.append((change.position, change.time))
            self._lanes.offer(_STREAM if self._is_stream else change.resource_id, self._item(notice))

    def _assess(self, change: Change, assess: Callable[[Change], Notice | None]) -> Notice | None:
        if change.directory != self.destination.directory:
            return None
        if change.after is None and not change.before:
            raise Stopped("behind", f"Retention removed change {change.position} before it was delivered; a resync is needed.")
        return assess(change)

    async def _recall(self) -> None:
        """Read again what is owed to held lanes whose time has come."""
        self._lanes.wake(self._given.now())
        while self._lanes.room and self.breaker.limit(self._given.now()) and (wish := self._lanes.recall()) is not None:
            lane, first, last = wish
            owed = await self._given.reader.read_changes_of(lane, first, last, _OWED_AT_ONCE)
            read_to = owed[-1].position if len(owed) == _OWED_AT_ONCE else last
            interest = (await self._envelope()).interest
            notices = [self._assess(change, interest.assess) for change in owed]
            self._lanes.refill(lane, [self._item(notice) for notice in notices if notice is not None], read_to)

    async def _envelope(self) -> envelope.Envelope:
        try:
            return await self._outlook.envelope()
        except Invalid as fault:
            raise Stopped("failing", f"Its subscription cannot be used any more: {fault}") from fault

    # ------------------------------------------------------------------ sending

    def _launch(self) -> None:
        self._launched_at, probing = (now := self._given.now()), self.breaker.state != "closed"
        while len(self._sending) < min(self.breaker.limit(now), self.flow.limit) and not self.flow.ready_in(now):
            if (unit := self._lanes.take(now, untried_first=probing)) is None:
                return
            self.flow.begin(now)
            self._sending.add(task := asyncio.create_task(self._send(unit)))
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Awake only now: a turn before this one would still count the task among those in flight, and then sleep.
        self._sending.discard(task)
        self._awake.set()

    async def _send(self, unit: Unit[Notice]) -> None:
        try:
            await self._given.turns.take(self.destination.directory, self.destination.key)
            outcome: Outcome = Delivered()
            for message in await self._messages(unit):
                if self._stopping:  # also between the many parts of one event
                    self._lanes.postpone(unit)
                    return
                outcome = await self._try(unit, message)
                if not isinstance(outcome, Delivered):
                    break
            self._land(unit, outcome)
        except (StoreUnavailable, LeaseLost) as fault:
            self._lanes.postpone(unit)
            self._fault = self._fault or fault
        except Exception as error:
            # A defect of ours; the pump ends and is begun anew.
            _log.exception("sending failed", extra={**self._names, "resource": unit.lane})
            self._fault = self._fault or error

    async def _messages(self, unit: Unit[Notice]) -> list[Message]:
        wrapping = await self._envelope()
        notices = [item.content for item in unit.items]
        first = notices[0]
        if len(notices) > 1:
            return envelope.of_run(wrapping, notices)
        members = await self._given.reader.members_of(first.change.resource_id) if first.brings_members else ()
        return envelope.of_notice(wrapping, first, members)

    async def _try(self, unit: Unit[Notice], message: Message) -> Outcome:
        self.lease.check(self._given.monotonic())
        self._given.reach("before_send")
        begun = self._given.now()
        outcome = await self._sender.send(message)
        self._given.reach("after_send")
        if self.breaker.state == "closed":
            self.flow.note(outcome, begun, self._given.now(), len(self._sending))
        attempt = attempts.attempt_of(self.destination, unit, message, outcome, begun, self._given.now())
        self._given.attempts.record_attempt(attempt)
        return outcome

    def _land(self, unit: Unit[Notice], outcome: Outcome) -> None:
        match outcome:
            case Delivered():
                self.last_success = self._given.now()
                self.breaker.succeed(unit.lane, self.last_success)
                self.delivered += len(unit.items)
                self._unsettled += len(unit.items)
                self._lanes.deliver(unit)
            case Gone(reason):
                self._lanes.postpone(unit)
                self._fault = Stopped("failing", reason)
            case Retry() | Rejected():
                self.failed += 1
                self._fail(unit, outcome, self._given.now())

    def _fail(self, unit: Unit[Notice], outcome: Retry | Rejected, now: float) -> None:
        is_own = self._is_stream or (isinstance(outcome, Retry) and outcome.blame == "destination")
        after = outcome.after if isinstance(outcome, Retry) else None
        chance = self._given.chance()
        was_closed = self.breaker.state == "closed"
        is_blamed = self.breaker.fail(
            unit.lane, is_own=is_own, reason=outcome.reason, after=after if is_own else None, now=now, chance=chance
        )
        if is_blamed:
            self._lanes.postpone(unit)
            if self._is_stream and isinstance(outcome, Rejected) and unit.number >= retry.MOST_REFUSALS:
                reason = f"It takes all in order and refuses position {unit.items[0].position}: {outcome.reason}"
                self._fault = Stopped("failing", reason)
            if was_closed:
                _log.warning("destination fails", extra={**self._names, "reason": outcome.reason})
            return
        match retry.judge(outcome, unit.attempt, chance):
            case Again(delay, True):
                self._lanes.hold(unit, now, now + delay, outcome.reason)
            case Again(delay):
                self._lanes.wait(unit, now + delay, outcome.reason)
            case _:
                self._lanes.hold(unit, now, None, outcome.reason)
                _log.warning(
                    "delivery waits for a person", extra={**self._names, "resource": unit.lane, "reason": outcome.reason}
                )

    def _check_patience(self) -> None:
        breaker = self.breaker
        if breaker.failing_since is None or breaker.failures < _GIVE_UP_FAILURES:
            return
        if breaker.state != "closed" and self._given.now() - breaker.failing_since >= _GIVE_UP_AFTER:
            raise Stopped("failing", f"It failed for a day, {breaker.failures} times; the last time: {breaker.reason}")

    # ------------------------------------------------------------------ settling

    def _settle_due(self) -> float:
        self._settled_at = min(self._settled_at, self._given.now() + _AFTER_FAULT)  # the clock may have been set back
        if self._lanes.is_dirty or self._unsettled:
            return self._settled_at + (_SETTLE_EVERY if self._unsettled < _MOST_UNSETTLED else 0.0)
        is_behind = self._lanes.cursor != self._settled_cursor
        return self._settled_at + _NOTE_EVERY if is_behind else self._given.now() + _LONGEST_REST

    async def _settle_beside(self) -> None:
        try:
            await self._settle()
        except StoreUnavailable as fault:
            self._settled_at = self._given.now() + _AFTER_FAULT
            _log.warning("pump waits for the database", extra={**self._names, "reason": str(fault)})
        except Exception as error:
            self._fault = self._fault or error
        self._settling = None
        self._awake.set()

    async def _settle(self) -> None:
        standing, unsettled = self._lanes.standing(), self._unsettled
        replay = self._outlook.replay
        is_over = replay is not None and standing.cursor >= replay.until and not self._lanes.owes_up_to(replay.until)
        self._given.reach("before_settle")
        settlement = Settlement(
            standing.cursor,
            standing.ahead,
            [times.held_of(hold) for hold in standing.holds],
            standing.releases,
            is_over,
            self.lease.epoch,
        )
        await self._given.store.settle(self.destination.key, settlement)
        self._given.reach("after_settle")
        self._lanes.settled(standing)
        if is_over:
            self._outlook.end_replay()
        while self._wanted and self._wanted[0][0] <= standing.cursor:
            self._wanted.popleft()
        self._unsettled -= unsettled  # more may have arrived meanwhile
        self._settled_at, self._settled_cursor = self._given.now(), standing.cursor

    # ------------------------------------------------------------------ within

    def _item(self, notice: Notice) -> Item[Notice]:
        change = notice.change
        touched = len(change.members_added) + len(change.members_removed)
        size = len(change.after or "") + 40 * touched
        return Item(change.position, notice, touched if notice.is_run and self._joins_runs else 0, size)

    @property
    def _names(self) -> dict[str, str]:
        return {"directory": self.destination.directory_name, "destination": self.destination.name}
