"""What all connections of a hub have in common."""

from dataclasses import dataclass, field

from scimhub.web.heads import FamiliarHeads
from scimhub.web.malformed import Malformed
from scimhub.web.wire import Outbox


@dataclass(frozen=True, slots=True)
class Reception:
    """What came and was no request, the heads of requests that come again, and what is to be sent when a turn ends."""

    malformed: Malformed = field(default_factory=Malformed)
    heads: FamiliarHeads = field(default_factory=FamiliarHeads)
    outbox: Outbox = field(default_factory=Outbox)
