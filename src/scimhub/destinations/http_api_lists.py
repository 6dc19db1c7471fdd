"""The requests that list what an HTTP API has, read and checked: what an item is, how pages follow, and what is compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scimhub.destinations import http_api_operations, http_configuration
from scimhub.destinations.http_api_operations import Operation, json_path
from scimhub.destinations.templates import JsonVocabulary, NothingToName, Source
from scimhub.distribution import rules
from scimhub.distribution.rules import Rule

Read = Callable[[object], object]
Style = Literal["none", "next", "cursor", "page", "offset"]

KEYS: Final = dict.fromkeys(
    (
        *(key for key in http_api_operations.KEYS if key != "capture"),
        *("items", "id", "our_id", "match", "total", "paging", "members", "compare"),
    )
)
_METHODS: Final = ("GET", "POST")
_MATCH_KEYS: Final = ("path", "equals")
# Each way of paging, and what stands beside its key.
_PAGING: Final[Mapping[Style, tuple[str, ...]]] = {
    "next": (),
    "cursor": ("path",),
    "page": ("first",),
    "offset": (),
}
# What a rule of what is compared may name: all else belongs to an event, and there is none.
_COMPARABLE: Final = frozenset(("id", "type", "version", "remote_id"))
_MOST_COMPARED: Final = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A value in any JSON: what reads it, and its path as it was written."""

    path: str
    read: Read


@dataclass(frozen=True, slots=True)
class Paging:
    """How pages follow: ``parameter`` is that of the query, ``place`` where the answer has the next URL or cursor."""

    style: Style
    parameter: str = ""
    first: int = 0
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A request that lists; the answer's JSON has ``items``, the whole answer is one where that is None.

    ``remote_id``, ``our_id``, ``members`` and what is compared are places in an item, ``total`` is one in the answer. An item
    is the one that a resource would be found by when it has at ``match`` what the rule beside it forms of the resource;
    ``compared`` has by path such rules.
    """

    request: Operation
    items: Place | None
    remote_id: Place
    our_id: Place | None
    match: tuple[Place, Rule[Source]] | None
    total: Place | None
    paging: Paging
    members: Place | None
    compared: Mapping[str, tuple[Place, Rule[Source]]]


def read(where: str, content: Mapping[str, object], problems: list[str]) -> Listing:
    """The request that lists; adds a sentence to ``problems`` for each mistake."""
    request = http_api_operations.read(where, content, problems, vocabulary=NothingToName(), keys=KEYS, methods=_METHODS)
    remote_id = _place(where, content, "id", problems)
    if "id" not in content:
        problems.append(f"{where} needs id, the path in an item of the API's id of it.")
    return Listing(
        request,
        _place(where, content, "items", problems),
        remote_id or Place("", _nothing),
        _place(where, content, "our_id", problems),
        _match(where, content["match"], problems) if "match" in content else None,
        _place(where, content, "total", problems),
        _paging(where, content["paging"], problems) if "paging" in content else Paging("none"),
        _place(where, content, "members", problems),
        _compared(where, content.get("compare", {}), problems),
    )


def _place(where: str, content: Mapping[str, object], key: str, problems: list[str]) -> Place | None:
    if key not in content:
        return None
    found = json_path(f"{where}, {key}:", content[key], problems)
    return None if found is None else Place(str(content[key]), found)


def _nothing(value: object) -> object:
    return None


# --------------------------------------------------------------------------- what is the same, and what is compared


def _match(where: str, written: object, problems: list[str]) -> tuple[Place, Rule[Source]] | None:
    if not isinstance(written, Mapping) or set(written) != set(_MATCH_KEYS):
        problems.append(f"{where} has a match that is no object with path, in an item, and equals, the rule of its value.")
        return None
    place = _place(f"{where}, match", written, "path", problems)
    rule = _rule(f"{where}, match", written["equals"], problems)
    return None if place is None else (place, rule)


def _compared(where: str, written: object, problems: list[str]) -> Mapping[str, tuple[Place, Rule[Source]]]:
    if not isinstance(written, Mapping) or len(written) > _MOST_COMPARED:
        problems.append(
            f"{where} has a compare that is no object of at most {_MOST_COMPARED} paths in an item, each with the rule of what "
            "it must be."
        )
        return {}
    compared = {}
    for path, rule in written.items():
        place = json_path(f"{where}, compare:", path, problems)
        ours = _rule(f"{where}, compare {str(path)[:80]}:", rule, problems)
        if place is not None:
            compared[str(path)] = (Place(str(path), place), ours)
    return compared


def _rule(where: str, written: object, problems: list[str]) -> Rule[Source]:
    vocabulary = JsonVocabulary()
    rule = rules.Parser(vocabulary, problems).rule(written, where)
    if untold := sorted(vocabulary.used - _COMPARABLE):
        names = ", ".join(sorted(_COMPARABLE))
        problems.append(f"{where} names {', '.join(untold)}, which belongs to an event; there are {names} and resource here.")
    return rule


# --------------------------------------------------------------------------- pages


def _paging(where: str, written: object, problems: list[str]) -> Paging:
    found: list[Style] = [style for style in _PAGING if isinstance(written, Mapping) and style in written]
    if not isinstance(written, Mapping) or len(found) != 1:
        problems.append(f"{where} has a paging that is no object with exactly one of {', '.join(_PAGING)}.")
        return Paging("none")
    (style,) = found
    known = dict.fromkeys((style, *_PAGING[style]))
    problems += [http_configuration.unknown_key(f"{where}, paging", str(key), known) for key in written if key not in known]
    if style == "next":
        return Paging(style, place=_place(f"{where}, paging", written, style, problems))
    if style == "cursor" and "path" not in written:
        problems.append(f"{where}, paging needs path beside cursor, where the answer has the cursor of the next page.")
    first = written.get("first", 1)
    if type(first) is not int or first not in (0, 1):
        problems.append(f"{where}, paging has a first page that is neither 0 nor 1.")
        first = 1
    return Paging(
        style, _parameter(where, style, written[style], problems), first, _place(f"{where}, paging", written, "path", problems)
    )


def _parameter(where: str, style: Style, name: object, problems: list[str]) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
        problems.append(f"{where}, paging needs with {style} the name of a parameter of the query.")
        return ""
    return name
