"""What is on its way to one destination: a unit becomes messages when it is its turn, and what came of them is told.

A sender that *posts* is given many messages in one go and says later what came of each. For any other sender, and for what
needs more than that, a task waits for each unit.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution import attempts, telling, times, turns
from scimhub.distribution.delivery import Attempt, Delivered, Destination, Message, Outcome
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.guard import Guard
from scimhub.distribution.intake import Intake
from scimhub.distribution.lane import Unit
from scimhub.distribution.leases import Lease, LeaseLost
from scimhub.distribution.ports import Posting, Sender
from scimhub.distribution.slots import TurnedAway
from scimhub.distribution.subscription import Notice
from scimhub.distribution.surroundings import Surroundings

# To post so many messages is as much work as to begin ``turns.AT_ONCE`` of them with a task each.
_POSTED_IN_A_TURN = 24

_ARRIVED = Delivered()

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """When something was begun, in seconds since 1970 and as a text; what was posted together has the same one."""

    seconds: float
    text: str


class Sending:
    """Sends units. ``in_flight`` counts them from ``begin`` until nothing more will become of them.

    ``note`` hears the outcome of each try, when it was begun and known, in seconds since 1970, and of how many tries that is;
    ``land`` the outcome of each unit, None when it was not sent, or ``arrive`` of several that were delivered; ``fail`` what
    went wrong on our side; ``ended`` that some are in flight no longer.
    """

    def __init__(
        self,
        destination: Destination,
        lease: Lease,
        sender: Sender,
        given: Surroundings,
        intake: Intake,
        guard: Guard,
        *,
        note: Callable[[Outcome, float, float, int], None],
        land: Callable[[Unit[Notice], Outcome | None], None],
        arrive: Callable[[Sequence[Unit[Notice]]], None],
        fail: Callable[[Exception], None],
        ended: Callable[[], None],
    ) -> None:
        self.in_flight = 0
        self._destination = destination
        self._lease = lease
        self._sender = sender
        self._given = given
        self._intake = intake
        self._guard = guard
        self._note, self._land, self._arrive, self._fail, self._ended = note, land, arrive, fail, ended
        self._posting = sender if isinstance(sender, Posting) else None
        # What was posted and has not landed, by its message's delivery id, and when.
        self._posted: dict[str, tuple[Unit[Notice], _Moment]] = {}
        if self._posting is not None:
            self._posting.listen(self._hear)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def begin(self, units: Sequence[Unit[Notice]]) -> None:
        """Send them when it is their turn."""
        self.in_flight += len(units)
        posted: deque[Unit[Notice]] = deque()
        for unit in units:
            if self._posting is not None and telling.is_plain(unit):
                posted.append(unit)
            else:
                self._spawn(self._send(unit))
        if self._posting is not None and posted:
            self._spawn(self._post(self._posting, posted))

    def stop(self) -> None:
        """Give the sender nothing more."""
        self._is_stopping = True

    # ------------------------------------------------------------------ with a task for each unit

    async def _send(self, unit: Unit[Notice]) -> None:
        try:
            await self._given.turns.take(self._destination.directory, self._destination.key)
            if unit.is_removal and not await self._guard.has_permit(unit):
                self._intake.dismiss(unit)
                return
            outcome: Outcome | None = Delivered()
            for message in await telling.messages(self._given.reader, await self._intake.envelope(), unit):
                # Also between the many parts of one event.
                outcome = None if self._is_stopping else await self._try(unit, message)
                if not isinstance(outcome, Delivered):
                    break
            self._land(unit, outcome)
        except Exception as error:
            self._turn_back(unit, error)
        finally:
            self._end()

    async def _try(self, unit: Unit[Notice], message: Message) -> Outcome:
        self._lease.check(self._given.monotonic())
        self._given.reach("before_send")
        begun = self._moment()
        outcome = await self._sender.send(message)
        self._given.reach("after_send")
        now = self._given.now()
        self._note(outcome, begun.seconds, now, 1)
        self._given.attempts.record_attempts([self._attempt(unit, message, outcome, begun, now)])
        return outcome

    # ------------------------------------------------------------------ posted

    async def _post(self, sender: Posting, units: deque[Unit[Notice]]) -> None:
        try:
            while units:
                await self._given.turns.take(self._destination.directory, self._destination.key, turns.AT_ONCE)
                wrapping, begun = await self._intake.envelope(), self._moment()
                self._lease.check(self._given.monotonic())
                for _ in range(min(len(units), _POSTED_IN_A_TURN)):
                    self._post_one(sender, units.popleft(), wrapping, begun)
        except Exception as error:
            for unit in units:
                self._turn_back(unit, error)
                self._end()

    def _post_one(self, sender: Posting, unit: Unit[Notice], wrapping: Envelope, begun: _Moment) -> None:
        try:
            if self._is_stopping:
                self._land(unit, None)
            else:
                messages = telling.plain(wrapping, unit)
                self._given.reach("before_send")
                if len(messages) > 1 or not sender.post(messages[0]):
                    self._spawn(self._send(unit))
                else:
                    self._posted[messages[0].delivery_id] = (unit, begun)
                return
        except Exception as error:
            self._turn_back(unit, error)
        self._end()

    def _hear(self, told: Sequence[tuple[Message, Outcome]]) -> None:
        now = self._given.now()
        tried: list[Attempt] = []
        arrived: list[tuple[Unit[Notice], _Moment]] = []
        try:
            for message, outcome in told:
                unit, begun = posted = self._posted.pop(message.delivery_id)
                self._given.reach("after_send")
                tried.append(self._attempt(unit, message, outcome, begun, now))
                if isinstance(outcome, Delivered):
                    arrived.append(posted)
                    continue
                # Whose fault a failure is depends on what arrived before it.
                self._land_arrived(arrived, now)
                arrived.clear()
                self._note(outcome, begun.seconds, now, 1)
                self._land(unit, outcome)
            self._land_arrived(arrived, now)
        except Exception as error:
            self._note_defect(error)
        self._given.attempts.record_attempts(tried)
        self.in_flight -= len(told)
        self._ended()

    def _land_arrived(self, arrived: Sequence[tuple[Unit[Notice], _Moment]], now: float) -> None:
        for begun, count in Counter(begun for _, begun in arrived).items():
            self._note(_ARRIVED, begun.seconds, now, count)
        self._arrive([unit for unit, _ in arrived])

    # ------------------------------------------------------------------ within

    def _moment(self) -> _Moment:
        now = self._given.now()
        return _Moment(now, times.text(now))

    def _attempt(self, unit: Unit[Notice], message: Message, outcome: Outcome, begun: _Moment, now: float) -> Attempt:
        return attempts.attempt_of(self._destination, unit, message, outcome, begun.text, now - begun.seconds)

    def _turn_back(self, unit: Unit[Notice], error: Exception) -> None:
        if isinstance(error, TurnedAway):
            self._land(unit, None)
            return
        if isinstance(error, StoreUnavailable | LeaseLost):
            self._land(unit, None)
            self._fail(error)
        else:
            self._note_defect(error, unit.lane)

    def _note_defect(self, error: Exception, lane: str | None = None) -> None:
        """A defect of ours; the pump ends and is begun anew."""
        names = {"directory": self._destination.directory_name, "destination": self._destination.name}
        _log.error("sending failed", exc_info=error, extra=names if lane is None else {**names, "resource": lane})
        self._fail(error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)

    def _end(self) -> None:
        self.in_flight -= 1
        self._ended()
