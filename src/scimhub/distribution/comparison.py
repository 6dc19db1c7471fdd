"""What a destination shows of a resource against what it was to be. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from scimhub.distribution import rules


@dataclass(frozen=True, slots=True)
class Comparison:
    """By path our value and the destination's, and ours where it shows none."""

    different: Mapping[str, tuple[object, object]]
    absent: Mapping[str, object]


def compare(ours: Mapping[str, object], theirs: Mapping[str, object], folded: Collection[str]) -> Comparison:
    """Where the values that it shows, by path, differ from ours; texts at ``folded`` paths are compared without case."""
    different, absent = {}, {}
    for path, value in ours.items():
        there = theirs.get(path)
        if rules.is_empty(there):
            if not rules.is_empty(value):
                absent[path] = value
        elif not _agrees(path, value, there, folded):
            different[path] = (value, there)
    return Comparison(different, absent)


def _agrees(path: str, ours: object, theirs: object, folded: Collection[str]) -> bool:
    """Whether it shows our value: it may add parts of its own to an object, and no element to a list."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return all(_agrees(f"{path}.{name}", value, theirs.get(name), folded) for name, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(any(_agrees(path, one, other, folded) for other in theirs) for one in ours)
    if isinstance(ours, str) and isinstance(theirs, str) and path in folded:
        return ours.casefold() == theirs.casefold()
    return ours == theirs
