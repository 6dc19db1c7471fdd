"""One destination's loop: read the log, choose, send, settle. What to do is decided by ``lanes``, ``retry``, ``breaker``.

Nothing is written for a delivery that goes well but the cursor, a few times a second. A crash repeats what was sent since
then, in order and under the same ids.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution import flow, intake, retry, times
from scimhub.distribution.amendments import Amendment
from scimhub.distribution.backfill import Owed
from scimhub.distribution.brake import Brake
from scimhub.distribution.breaker import Breaker, Fault, fault_of
from scimhub.distribution.delivery import Delivered, Destination, Gone, Held, Kept, Outcome, Rejected, Retry
from scimhub.distribution.gate import Gate
from scimhub.distribution.guard import Guard
from scimhub.distribution.intake import Intake, Stopped
from scimhub.distribution.lane import Unit
from scimhub.distribution.leases import Lease, LeaseLost
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.owing import OwingLanes
from scimhub.distribution.ports import Amended, Sender, Slotted, Tended
from scimhub.distribution.retry import Again
from scimhub.distribution.sending import Sending
from scimhub.distribution.settling import Settling
from scimhub.distribution.slots import Slots
from scimhub.distribution.subscription import Notice
from scimhub.distribution.surroundings import Surroundings
from scimhub.distribution.unable import Unable

_AFTER_FAULT = 1.0
_LONGEST_REST = 60.0
# So many messages for each request that is permitted, where a message is more work than its request: while one is on its
# way others are written down, before and behind theirs.
_AHEAD = 8
_MOST_AHEAD = 64
# A destination that fails so long, in seconds, and so often is stopped; a person must look.
_GIVE_UP_AFTER = 24 * 3600.0
_GIVE_UP_FAILURES = 50

_log = logging.getLogger(__name__)


class Pump:
    """Sends one destination what it wants; ``run`` ends when ``stop`` was called, or raises Stopped or LeaseLost."""

    def __init__(
        self,
        destination: Destination,
        lease: Lease,
        sender: Sender,
        holds: Sequence[Held],
        kept: Sequence[Kept],
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
        self.delivered = self.failed = 0
        self._awake = asyncio.Event()
        self._sender = sender
        self._given = given
        self._lanes: OwingLanes[Notice] = OwingLanes(destination.cursor, destination.ahead, map(times.hold_of, holds))
        self._intake = Intake(destination, outlook, self._lanes, given, kept, joins_runs=joins_runs)
        self._settling = Settling(destination, lease, outlook, self._lanes, given)
        self._settling.returned = self._intake.returned
        self._gate = Gate(self._settling.brake, self._lanes, is_stream=self._intake.is_stream)
        self._guard = Guard(destination, self._gate, self._settling, given, self._intake, self._awake.set)
        self._slots = self._slots_for(sender)
        self._sending = Sending(
            *(destination, lease, sender, given, self._intake, self._guard),
            note=self._note,
            land=self._land,
            arrive=self._note_arrivals,
            fail=self._note_fault,
            ended=self._note_end,
        )
        self._has_ended = asyncio.Event()
        self._launched_at, self._stopping = 0.0, False
        self._fault: Exception | None = None

    # ------------------------------------------------------------------ from outside

    def wake(self) -> None:
        """There are new changes."""
        self._intake.wake()
        self._awake.set()

    def stop(self) -> None:
        """Send nothing more; ``run`` then waits for what is in flight, settles and ends."""
        self._stopping = True
        self._sending.stop()
        if self._slots is not None:
            self._slots.turn_away()
        self._awake.set()

    async def owe_states(self, owed: Sequence[Owed], ask: str) -> None:
        """Tell what these resources are now, each when its turn comes; written when this ends. ``ask`` is the wish's id.

        Raises StoreUnavailable or LeaseLost.
        """
        for one in owed:
            self._lanes.owe_state(one.resource_id, self._given.now(), ask, since=one.since, removes=one.removes)
        self._awake.set()
        await self._settling.settle()

    async def wait_for_states(self, most: int) -> None:
        """Until at most so many of the states that are owed have neither arrived nor failed."""
        while self._lanes.states_under_way > most:
            self._has_ended.clear()
            await self._has_ended.wait()

    async def amend(self, amendment: Amendment) -> None:
        """Correct the ledger of a destination that has one, by what it was seen to have."""
        if isinstance(self._sender, Amended):
            await self._sender.amend(amendment)

    async def tend(self) -> None:
        """Have the sender do what is due without a message, while the destination is up."""
        if isinstance(self._sender, Tended) and self.breaker.state == "closed" and not self._stopping:
            await self._sender.tend()

    @property
    def cursor(self) -> int:
        """Up to where everything has arrived, was not wanted, or is held; settled or not."""
        return self._lanes.cursor

    @property
    def error(self) -> str:
        """What failed last, or why nothing can be sent at all; empty when all is well."""
        return self._sender.reason if isinstance(self._sender, Unable) else self.breaker.reason

    @property
    def in_flight(self) -> int:
        """How many messages have been begun of which it is not written down what came of them."""
        return self._sending.in_flight

    @property
    def on_the_way(self) -> int:
        """How many are on their way to the destination, of at most ``flow.limit``."""
        return self._sending.in_flight if self._slots is None else self._slots.taken

    @property
    def held(self) -> int:
        """How many resources wait out of the window because their delivery failed."""
        holds = self._lanes.holds
        return holds.by_cause["failure"] + holds.by_cause["state"] - holds.states

    @property
    def age(self) -> float:
        """How many seconds ago the oldest change was committed that waits and is not held; 0 when none does."""
        return intake.age(self._intake.oldest, self._given.now())

    @property
    def leaver_age(self) -> float:
        """How many seconds ago the oldest deletion or deactivation was committed that waits and the brake does not keep."""
        return intake.age(self._intake.oldest_leaver, self._given.now())

    @property
    def brake_held(self) -> int:
        """How many resources wait because of the brake, and so until ``brake_is_tripped`` ends or they have settled."""
        return self._lanes.holds.by_cause["brake"]

    @property
    def brake(self) -> Brake:
        """What it has let go, and whether it has tripped."""
        return self._settling.brake

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
        now = self._given.now
        if self._intake.is_blocked and not self._intake.is_stream and not self.in_flight and self.breaker.state == "closed":
            self._lanes.hold_first(now(), "It kept the destination from going on.")
        await self._intake.read()
        if self.breaker.state == "closed":
            await self._intake.scout()
        await self._intake.recall(lambda: self.breaker.limit(now()) > 0)
        await self._intake.recall_states(lambda: self._lanes.states_ready <= self._most_messages(now()) > 0)
        self._has_ended.set()
        self._guard.look()
        self._launch()
        if (due := self._settling.due()) is not None and now() >= due:
            self._settling.begin(self._note_settled)
        if self._fault is not None:
            raise self._fault
        self._check_patience()
        await self._rest()

    async def _rest(self) -> None:
        """Until something happens: a change, an outcome, or a time that was waited for."""
        if self._intake.can_go_on:
            # Quick reads and changes that nobody wants never wait for anything: others must have their turn.
            await asyncio.sleep(0)
            return
        now = self._given.now()
        waits = [_LONGEST_REST, (self._lanes.next_due() or now + _LONGEST_REST) - now]
        if (due := self._settling.due()) is not None:
            waits.append(due - now)
        waits.append(self.flow.ready_in(now) or _LONGEST_REST)
        if self.breaker.probe_at > self._launched_at:
            waits.append(self.breaker.probe_at - now)
        # Cheaper than a time limit round the waiting, and this runs for each message.
        timer = asyncio.get_running_loop().call_later(max(0.0, min(waits)), self._awake.set)
        await self._awake.wait()
        timer.cancel()

    async def _finish(self) -> None:
        """Wait for what is in flight; each send has its own time limit."""
        while self.in_flight:
            self._has_ended.clear()
            await self._has_ended.wait()
        await self._guard.close()
        await self._settling.end()
        # Without the lease another node sends by now, and knows better where the destination stands.
        with contextlib.suppress(StoreUnavailable, LeaseLost):
            await self._settling.settle()
        await self._sender.close()

    def _note_settled(self, failed: Exception | None) -> None:
        self._fault = self._fault or failed
        self._intake.forget(self._settling.cursor)
        self._awake.set()

    # ------------------------------------------------------------------ sending

    def _launch(self) -> None:
        self._launched_at, probing = (now := self._given.now()), self.breaker.state != "closed"
        # What happens has half of the destination to itself.
        most = self._most_messages(now)
        self._lanes.most_states = max(1, most // 2)
        units: list[Unit[Notice]] = []
        most = self.flow.room(self._settling.room(most, self.in_flight), now)
        while len(units) < most and (unit := self._lanes.take(now, untried_first=probing)) is not None:
            if unit.is_removal and not self._guard.admits(unit):
                self._intake.dismiss(unit)
                continue
            units.append(unit)
        self.flow.begin(len(units), now)
        self._sending.begin(units)

    def _slots_for(self, sender: Sender) -> Slots | None:
        """Where requests have slots these are what flow watches, else messages are."""
        if not isinstance(sender, Slotted):
            return None
        slots = Slots(self._most_requests, self._note_request)
        sender.limit_by(slots)
        return slots

    def _most_requests(self) -> int:
        return 0 if self._stopping else min(self.breaker.limit(self._given.now()), self.flow.limit)

    def _most_messages(self, now: float) -> int:
        """How many may be begun; one alone is not prepared while another is on its way, so that order stays as it is."""
        most = min(self.breaker.limit(now), self.flow.limit)
        return most if self._slots is None or most == 1 else min(_AHEAD * most, most + _MOST_AHEAD)

    def _note(self, outcome: Outcome, begun: float, now: float, count: int) -> None:
        if self._slots is None and self.breaker.state == "closed":
            self.flow.note(outcome, begun, now, self._sending.in_flight, count)

    def _note_request(self, outcome: Outcome, begun: float) -> None:
        if self._slots is not None and self.breaker.state == "closed":
            self.flow.note(outcome, begun, self._given.now(), self._slots.taken)

    def _note_fault(self, fault: Exception) -> None:
        self._fault = self._fault or fault

    def _note_end(self) -> None:
        self._awake.set()
        self._has_ended.set()

    def _land(self, unit: Unit[Notice], outcome: Outcome | None) -> None:
        match outcome:
            case None:
                self._lanes.postpone(unit)
            case Delivered():
                self._note_arrivals([unit])
            case Gone(reason):
                self._lanes.postpone(unit)
                self._fault = Stopped("failing", reason)
            case Retry() | Rejected():
                self.failed += 1
                self._fail(unit, outcome, self._given.now())

    def _note_arrivals(self, units: Sequence[Unit[Notice]]) -> None:
        now, count = self._given.now(), 0
        for unit in units:
            self.last_success = now
            self.breaker.succeed(unit.lane, now)
            count += len(unit.items)
            if unit.is_removal:
                self._gate.arrived(unit)
                self._intake.note_arrival(unit)
            self._lanes.deliver(unit)
        self.delivered += count
        self._settling.count(count)

    def _fail(self, unit: Unit[Notice], outcome: Retry | Rejected, now: float) -> None:
        fault: Fault = "certain" if self._intake.is_stream else fault_of(outcome)
        after = outcome.after if isinstance(outcome, Retry) and fault in ("certain", "likely") else None
        chance = self._given.chance()
        was_closed = self.breaker.state == "closed"
        is_blamed = self.breaker.fail(unit.lane, fault=fault, reason=outcome.reason, after=after, now=now, chance=chance)
        if is_blamed:
            if self._slots is not None:
                self._slots.turn_away()
            self._lanes.postpone(unit)
            if self._intake.is_stream and isinstance(outcome, Rejected) and unit.number >= retry.MOST_REFUSALS:
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

    # ------------------------------------------------------------------ within

    @property
    def _names(self) -> dict[str, str]:
        return {"directory": self.destination.directory_name, "destination": self.destination.name}
