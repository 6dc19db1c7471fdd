"""Seconds since 1970, in which lanes count, as the texts that are kept and shown; and the holds of both sorts."""

from scimhub import clock
from scimhub.distribution.delivery import Held, HeldCause
from scimhub.distribution.lane import Hold


def text(seconds: float) -> str:
    """That moment as all our records write it."""
    return clock.text_of(seconds)


def seconds(text: str) -> float:
    """The moment that ``text`` wrote."""
    return clock.parse(text).timestamp()


def hold_of(held: Held) -> Hold:
    """What was kept, as lanes count it."""
    due = None if held.next_attempt is None else seconds(held.next_attempt)
    return Hold(held.resource_id, held.first_position, seconds(held.since), held.attempts, due, held.error, *_reason(held))


def held_of(hold: Hold) -> Held:
    """What is to be kept of a hold."""
    due = None if hold.due is None else text(hold.due)
    return Held(hold.lane, hold.first_position, text(hold.since), hold.attempts, due, hold.error, *_reason(hold))


def _reason(one: Hold | Held) -> tuple[HeldCause, int | None, str, int, str]:
    return one.cause, one.until, one.removes, one.removed, one.ask
