"""What the databases write differently of a search index (``TextIndex``); ``searching`` keeps the list of them.

A search index has tables of its own, which triggers on ``resources`` keep in step within each write's transaction. So no
writer has to know of it, whichever node it runs on and whatever catalog it has read, and who has no index pays nothing.

What is looked up is a beginning of at most ``KEPT`` characters, or three characters in a row (a trigram).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

# What is said to who asks by an index that was taken away since its catalog was read.
GONE = "A search index that the filter is answered by was just removed; ask again"
# Characters of a value, or of what is sought, by which it is looked up. A database's index takes no page-long keys.
KEPT = 100
# Fewer characters than this have no trigram (DECISIONS 14).
SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Source:
    """Which resources a search index is of, and a SELECT of an attribute's values, as ``value``, over a row ``r`` of them.

    ``changes`` tells whether an UPDATE that made row ``NEW`` of row ``OLD`` may have changed them.
    """

    directory: int
    kind: str
    values: str
    changes: str


class Found(NamedTuple):
    """A SELECT of keys, as ``resource``, its one parameter, and whether each of them is right or only may be."""

    select: str
    parameter: str
    is_exact: bool


class TextIndex(Protocol):
    """Statements for the search index with that number."""

    def make(self, number: int, source: Source, *, has_beginnings: bool) -> Sequence[str]:
        """Make the tables, empty, and what keeps them from now on."""

    def fill(self, number: int, source: Source, *, has_beginnings: bool) -> Sequence[str]:
        """Put in the resources with keys over ``?1`` and up to ``?2``, of which some may be in already."""

    def settle(self, number: int) -> Sequence[str]:
        """What is to be done when all are in."""

    def drop(self, number: int, *, has_beginnings: bool) -> Sequence[str]:
        """Take away all that there is of it."""

    def within(self, number: int, text: str, *, is_end: bool) -> Found | None:
        """Resources with a value that contains the text, or ends with it; None when its trigrams do not help."""

    def begins(self, number: int, test: str) -> str:
        """The SELECT of resources for whose beginnings of values the test holds; ``{}`` in it stands for such a one."""


def literal(text: str) -> str:
    """The text as SQL writes it, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
