"""What a message tells a SCIM application, as the parts that write there read it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """What a message tells. ``resource`` is None when it is deleted, and in the later parts of a long event.

    ``whole`` is the id of a state of which ``added`` is a part of all members, empty when only some are told.
    """

    type: str
    resource_type: str
    id: str
    version: int
    resource: Mapping[str, object] | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    whole: str = ""
    is_last_part: bool = True

    @property
    def is_deleted(self) -> bool:
        return self.type.endswith(".deleted")
