"""One try to deliver, as it is kept."""

from scimhub.distribution import times
from scimhub.distribution.delivery import Attempt, Delivered, Destination, Message, Outcome
from scimhub.distribution.lane import Unit
from scimhub.distribution.subscription import Notice


def attempt_of(
    destination: Destination, unit: Unit[Notice], message: Message, outcome: Outcome, begun: float, ended: float
) -> Attempt:
    """The record of the try, which lasted from ``begun`` to ``ended`` in seconds since 1970."""
    last = unit.items[-1]
    failed = None if isinstance(outcome, Delivered) else outcome
    return Attempt(
        time=times.text(begun),
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
        duration_us=round((ended - begun) * 1_000_000),
        detail="" if failed is None else failed.reason,
        excerpt="" if failed is None else failed.excerpt,
    )
