"""Three people whose timelines are shown, and a timeline cut to what fits a screen."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scimhub.simulate.people import Career, Population
from scimhub.simulate.stories import Story

Part = Literal["joiner", "mover", "leaver"]
PARTS: tuple[Part, ...] = ("joiner", "mover", "leaver")
STORY_OF: dict[Part, Story] = {"joiner": "join", "mover": "move", "leaver": "leave"}

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{6}([0-9a-f]{6})"
_NAMED_ID = re.compile(rf"(?<=\S) \({_ID}\)")
_BARE_ID = re.compile(_ID)
_FIRST_LINE = re.compile(r"(\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d\.\d{3})Z)  (\S+) +")
# In a body it takes the place of what is worth seeing.
_SCHEMAS = re.compile(r'"schemas":\[[^\]]*\],?')
_TIME_WIDTH = 12
_WORD_WIDTH = 9
# Of what one entry tells below its first line.
_MOST_DETAILS = 5


@dataclass(slots=True)
class _Entry:
    # As printed, and without the date.
    moment: str
    time: str
    # What stands in the second column, and the line beside it.
    lines: list[tuple[str, str]]

    @property
    def word(self) -> str:
        return self.lines[0][0]


def choose(part: Part, population: Population) -> str | None:
    """The user name, as it is in the end, of whoever shows the part most plainly; None when nobody plays it."""
    players = [career for career in population.careers if _plays(part, career)]
    if not players:
        return None
    found = min(players, key=lambda career: (*_flaws(part, career), len(career.joined.groups), career.key))
    return _last_name(found)


def _plays(part: Part, career: Career) -> bool:
    match part:
        case "joiner":
            return True
        case "mover":
            return career.moved is not None
        case "leaver":
            return career.departure != "stays"


def _last_name(career: Career) -> str:
    return (career.moved or career.joined).user_name


def _flaws(part: Part, career: Career) -> tuple[bool, bool, bool]:
    """What a career has or lacks that makes the part less plain to see, or its command harder to type."""
    is_moved, stays, is_quoted = career.moved is not None, career.departure == "stays", "'" in _last_name(career)
    match part:
        case "joiner":
            return is_moved, not stays, is_quoted
        case "mover":
            # Whoever is renamed as well shows more.
            return not stays, _last_name(career) == career.joined.user_name, is_quoted
        case "leaver":
            return is_moved, career.departure != "deleted", is_quoted


def shorten(lines: Sequence[str], name: str, since: str, most: int) -> list[str]:
    """``scimhub trace``'s lines from a time on, without dates, ids, and most of what was sent; about so many at most.

    ``since`` is as in the lines, RFC 3339 with milliseconds. Of an entry's details those that name the person are kept before
    others; said is how many lines were left out.
    """
    told = next((match.end() for line in lines if (match := _FIRST_LINE.match(line))), None)
    if told is None:
        return list(lines[:most])
    entries = list(_entries(lines, told))
    before = sum(len(entry.lines) for entry in entries if entry.moment < since)
    kept = [line for entry in entries if entry.moment >= since for line in _render(entry, name)]
    left = len(kept) - most
    opening = [f"… {before} lines before"] if before else []
    return [*opening, *kept] if left <= 1 else [*opening, *kept[:most], f"… {left} lines more"]


def _entries(lines: Sequence[str], told: int) -> Iterator[_Entry]:
    entry = _Entry("", "", [])
    for line in lines:
        if match := _FIRST_LINE.match(line):
            if entry.lines:
                yield entry
            entry = _Entry(match[1], match[2], [(match[3], line[told:])])
        elif entry.lines and line.startswith("  "):
            entry.lines.append((line[:told].strip(), line[told:]))
    if entry.lines:
        yield entry


def _render(entry: _Entry, name: str) -> Iterator[str]:
    first, *rest = entry.lines
    yield f"{entry.time.ljust(_TIME_WIDTH)}  {first[0].ljust(_WORD_WIDTH)}  {_without_ids(first[1])}"
    details = [line for line in rest if line[0] or not line[1].startswith(("request ", "change "))]
    if entry.word == "sent":
        # A body, folded: one line of it is enough.
        body = "".join(told for word, told in details if not word)
        details = [("", _SCHEMAS.sub("", body)), *(line for line in details if line[0])] if body else details
    left = len(details) - _MOST_DETAILS
    if left > 1:
        named = [line for line in details if name in line[1]]
        chosen = [*named, *(line for line in details if line not in named)][:_MOST_DETAILS]
        details = [line for line in details if line in chosen]
    for word, told in details:
        yield f"{' ' * _TIME_WIDTH}  {word.ljust(_WORD_WIDTH)}  {_without_ids(told)}"
    if left > 1:
        yield f"{' ' * (_TIME_WIDTH + _WORD_WIDTH + 4)}… {left} more"


def _without_ids(text: str) -> str:
    return _BARE_ID.sub(r"…\1", _NAMED_ID.sub("", text))
