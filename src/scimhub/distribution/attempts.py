"""One try to deliver, as it is kept."""

from typing import Final

from scimhub.distribution.delivery import Attempt, Delivered, Destination, Gone, Message, Outcome, Rejected, Retry
from scimhub.distribution.lane import Unit
from scimhub.distribution.subscription import Notice

_NAMES: Final = {outcome: outcome.__name__.lower() for outcome in (Delivered, Retry, Rejected, Gone)}


def attempt_of(
    destination: Destination, unit: Unit[Notice], message: Message, outcome: Outcome, begun: str, lasted: float
) -> Attempt:
    """The record of the try, which began then and lasted so many seconds."""
    items = unit.items
    last = items[-1]
    _, change_id, _, _, _, resource_id, *_ = last.content.change
    detail, excerpt = ("", "") if isinstance(outcome, Delivered) else (outcome.reason, outcome.excerpt)
    return Attempt(
        begun,
        destination.directory_name,
        destination.name,
        message.delivery_id,
        change_id,
        resource_id,
        items[0].position,
        last.position,
        unit.number,
        _NAMES[type(outcome)],
        outcome.status,
        round(lasted * 1_000_000),
        detail,
        excerpt,
    )
