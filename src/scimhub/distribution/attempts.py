"""One try to deliver, as it is kept."""

from scimhub.distribution.delivery import Attempt, Delivered, Destination, Message, Outcome
from scimhub.distribution.lane import Unit
from scimhub.distribution.subscription import Notice


def attempt_of(
    destination: Destination, unit: Unit[Notice], message: Message, outcome: Outcome, begun: str, lasted: float
) -> Attempt:
    """The record of the try, which began then and lasted so many seconds."""
    last = unit.items[-1]
    failed = None if isinstance(outcome, Delivered) else outcome
    return Attempt(
        time=begun,
        directory=destination.directory_name,
        destination=destination.name,
        delivery_id=message.delivery_id,
        change_id=last.content.change.id,
        resource_id=last.content.change.resource_id,
        first_position=unit.items[0].position,
        position=last.position,
        number=unit.number,
        outcome=type(outcome).__name__.lower(),
        status=outcome.status,
        duration_us=round(lasted * 1_000_000),
        detail="" if failed is None else failed.reason,
        excerpt="" if failed is None else failed.excerpt,
    )
