"""What a unit is told as: an event of its change, of a run of membership changes, or the state of the moment."""

from scimhub.distribution import envelope
from scimhub.distribution.delivery import Message
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.lane import Unit
from scimhub.distribution.ports import ChangeReader
from scimhub.distribution.subscription import STATE, Notice, tells_active


def is_plain(unit: Unit[Notice]) -> bool:
    """Whether the unit alone says what it is told as, and nobody has to be asked before it may be sent."""
    return not unit.is_removal and not unit.items[0].is_state and not unit.items[0].content.brings_members


def plain(wrapping: Envelope, unit: Unit[Notice]) -> list[Message]:
    """The messages of a plain unit, one after the other."""
    if len(unit.items) == 1:
        return envelope.of_notice(wrapping, unit.items[0].content)
    return envelope.of_run(wrapping, [item.content for item in unit.items])


async def messages(reader: ChangeReader, wrapping: Envelope, unit: Unit[Notice]) -> list[Message]:
    """The messages, one after the other; none when a later unit of the lane tells it all."""
    if unit.items[0].is_state:
        return await _state(reader, wrapping, unit.items[-1].content)
    first = unit.items[0].content
    if len(unit.items) == 1 and first.brings_members:
        return envelope.of_notice(wrapping, first, await reader.members_of(first.change.resource_id))
    return plain(wrapping, unit)


async def _state(reader: ChangeReader, wrapping: Envelope, last: Notice) -> list[Message]:
    """What the resource is now, told as the consequence of the last change that waits."""
    change = await reader.read_state(last.change.resource_id)
    notice = None if change is None else wrapping.interest.state_of(change, "", cause=last.cause)
    if notice is None:
        return envelope.of_notice(wrapping, last)
    # That it goes, or is deactivated, is told by the unit which says so: only that has asked the brake.
    if notice.verb != STATE and last.verb != "deleted":
        return []
    was, now = last.change.after, notice.change.after
    if notice.verb == STATE and was is not None and not tells_active(now) and tells_active(was):
        return []
    return envelope.of_notice(wrapping, notice)
