"""Requests formed of events: the rule language on plain JSON, and URLs with values in them. No code, and every rule ends.

What can be named: ``id``, ``type``, ``version``, ``position``, ``cause``, ``changed``, ``delivery_id``, ``remote_id``,
``member.id``, ``member.remote_id``, and ``resource`` with whatever the destination sees of it.
"""

import re
import typing
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Final, Protocol, assert_never
from urllib.parse import quote

from scimhub.distribution import rules
from scimhub.scim import expressions
from scimhub.scim.errors import ScimError
from scimhub.scim.expressions import All, Any, Bracket, Expression, Negation, Test

Source = Mapping[str, object]
NAMES: Final = (
    *("id", "type", "version", "position", "cause", "changed", "delivery_id", "remote_id", "member.id", "member.remote_id"),
    "resource",
)
_RESOURCE: Final = "resource"
# RFC 3986 §3.3 and §3.4: what may stand in a path and a query as it is.
_PLAIN_URL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class Unfit(Exception):
    """The event does not have what the request needs; the text is the sentence, without any value."""


class Words(rules.Vocabulary[Source], Protocol):
    """What can be named in a request. ``used`` are the names that were asked for, beside the resource and what is in it."""

    @property
    def used(self) -> Set[str]: ...


class JsonVocabulary:
    """Paths and filters on an event; see above. ``used`` are the names that were asked for."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def path(self, text: str) -> Callable[[Source], object]:
        if text != _RESOURCE and not text.startswith(f"{_RESOURCE}."):
            if text not in NAMES:
                raise ValueError(f"{text[:80]!r} is nothing that an event has; there are {', '.join(NAMES)}.")
            self.used.add(text)
            names = tuple(text.split("."))
            return lambda source: _value_at(source, names)
        rest = text[len(_RESOURCE) + 1 :]
        read = _reader(rest) if rest else lambda resource: resource
        return lambda source: read(source.get(_RESOURCE))

    def condition(self, text: str) -> Callable[[Source], bool]:
        """A SCIM filter on the resource, whose texts are compared without regard to case."""
        try:
            expression = expressions.parse(text)
        except ScimError as error:
            raise ValueError(error.detail) from error
        return lambda source: _holds(expression, source.get(_RESOURCE))


class NothingToName:
    """What can be named where a request tells of no event: nothing."""

    used: frozenset[str] = frozenset()

    def path(self, text: str) -> Callable[[Source], object]:
        raise ValueError(f"{text[:80]!r} is nothing that a list has, which tells of no event; write constants.")

    def condition(self, text: str) -> Callable[[Source], bool]:
        return self.path(text)  # type: ignore[return-value]  # it never returns


def read_json(text: str) -> Callable[[object], object]:
    """What reads the value at a path such as ``data.id`` of any JSON; raises ValueError with a sentence."""
    return _reader(text)


def _reader(text: str) -> Callable[[object], object]:
    if "[" not in text:
        names = rules.parse_target(text)
        return lambda value: _value_at(value, names)
    try:
        written = expressions.parse_value_path(text)
    except ScimError as error:
        raise ValueError(error.detail) from error
    names, condition, sub = _names(written.path.urn, written.path.name), written.filter, written.sub

    def choose(value: object) -> object:
        several = _value_at(value, names)
        for one in several if isinstance(several, list) else [several]:
            if condition is not None and _holds(condition, one):
                return one if sub is None else _value_at(one, (sub,))
        return None

    return choose


def _names(urn: str | None, name: str, sub: str | None = None) -> tuple[str, ...]:
    return tuple(part for part in (urn, name, sub) if part)


def _value_at(value: object, names: tuple[str, ...]) -> object:
    """What the names lead to; through a list to the values of all its elements."""
    for number, name in enumerate(names):
        if isinstance(value, list):
            found = [_value_at(one, names[number:]) for one in value]
            return [one for one in found if one is not None] or None
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


# --------------------------------------------------------------------------- filters without a schema


def _holds(expression: Expression, value: object) -> bool:
    match expression:
        case Test(path, operator, operand):
            return _compares(_value_at(value, _names(path.urn, path.name, path.sub)), operator, operand)
        case Bracket(path, inner, test):
            several = _value_at(value, _names(path.urn, path.name))
            elements = several if isinstance(several, list) else [several]
            return any(_holds(inner, one) and (test is None or _holds(test, one)) for one in elements if one is not None)
        case All(terms):
            return all(_holds(term, value) for term in terms)
        case Any(terms):
            return any(_holds(term, value) for term in terms)
        case Negation(term):
            return not _holds(term, value)
        case _:
            assert_never(expression)


def _compares(found: object, operator: str, operand: object) -> bool:
    """As ``scim.matching``: any of several values may decide, and what has no value differs from every value."""
    values = [one for one in (found if isinstance(found, list) else [found]) if one is not None]
    if operator == "pr":
        return any(not rules.is_empty(one) for one in values)
    if operand is None:
        return (not values) == (operator == "eq")
    if operator == "ne" and not values:
        return True
    return any(_compare(_folded(one), operator, _folded(operand)) for one in values)


def _compare(value: object, operator: str, operand: object) -> bool:
    if operator in ("eq", "ne"):
        is_equal = (type(value) is type(operand) and value == operand) or _are_equal_numbers(value, operand)
        return is_equal == (operator == "eq")
    if isinstance(value, str) and isinstance(operand, str):
        tests = {"co": operand in value, "sw": value.startswith(operand), "ew": value.endswith(operand)}
        return tests[operator] if operator in tests else _orders(value, operator, operand)
    if _is_number(value) and _is_number(operand):
        return _orders(value, operator, operand)
    return False


def _orders(value: typing.Any, operator: str, operand: typing.Any) -> bool:
    """Both are texts, or both numbers."""
    orders = {"gt": value > operand, "ge": value >= operand, "lt": value < operand, "le": value <= operand}
    return bool(orders.get(operator, False))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_equal_numbers(value: object, operand: object) -> bool:
    return _is_number(value) and _is_number(operand) and value == operand


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


# --------------------------------------------------------------------------- URLs


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """A path and query with values in it: plain text and, between braces, what is read of an event."""

    pieces: tuple[str | Callable[[Source], object], ...]
    names: tuple[str, ...]

    def render(self, source: Source) -> str:
        """The path with every value percent-encoded; raises Unfit for a value that is not there, or no segment."""
        names, parts = iter(self.names), []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
                continue
            name, text = next(names), rules.text_of(piece(source))
            # Dots alone would lead to another resource, however they are encoded.
            if not text or text in (".", ".."):
                raise Unfit(f"The url needs {name}, which has no value here that can stand in a URL.")
            parts.append(quote(text, safe=""))
        return "".join(parts)


def parse_url(text: object, vocabulary: Words) -> UrlTemplate:
    """The template such as ``/people/{remote_id}``; raises ValueError with a sentence."""
    if not isinstance(text, str) or not text.startswith("/"):
        raise ValueError("needs url, a path behind base_url such as /people/{remote_id}")
    pieces: list[str | Callable[[Source], object]] = []
    names: list[str] = []
    for number, part in enumerate(_PLACEHOLDER.split(text)):
        if number % 2:
            names.append(part)
            pieces.append(vocabulary.path(part))
        elif not _PLAIN_URL.fullmatch(part):
            raise ValueError(f"has {part[:80]!r} in its url, which cannot stand there; write it percent-encoded")
        else:
            pieces.append(part)
    return UrlTemplate(tuple(pieces), tuple(names))
