"""Outcomes without what a message said about somebody: destinations repeat what they were sent when they complain."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from scimhub.distribution.delivery import Delivered, Outcome

_HIDDEN: Final = "[personal]"
# Shorter texts are found in any answer.
_SHORTEST: Final = 3


def hidden(outcome: Outcome, resource: Mapping[str, object] | None) -> Outcome:
    """The outcome with an excerpt in which no text of the resource stands; without a resource at hand there is none."""
    if isinstance(outcome, Delivered) or not outcome.excerpt:
        return outcome
    if resource is None:
        return replace(outcome, excerpt="")
    told = sorted({text for text in _texts(resource) if len(text) >= _SHORTEST}, key=len, reverse=True)
    if not told:
        return outcome
    pattern = re.compile("|".join(re.escape(text) for text in told), re.IGNORECASE)
    return replace(outcome, excerpt=pattern.sub(_HIDDEN, outcome.excerpt))


def _texts(value: object) -> Iterator[str]:
    """Every text in the value that may say something about somebody."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in ("schemas", "meta"):
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
