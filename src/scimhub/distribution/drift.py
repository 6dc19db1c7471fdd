"""How a destination that can be asked differs from what it was to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shown:
    """One resource as a destination shows it; ``members`` are remote ids, None where it shows none."""

    remote_id: str
    content: Mapping[str, Any]
    external_id: str | None
    members: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """By path our value and the destination's, and ours where it shows none."""

    different: Mapping[str, tuple[object, object]]
    absent: Mapping[str, object]
