"""What is a secret in a SCIM request, and how its value is struck out wherever it stands (never kept in any mode).

A secret is the value of an attribute that is never returned, such as ``password``, or of whatever is named like one; and
anything that looks like one of the hub's own tokens.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import orjson

from scimhub.scim import secret_names
from scimhub.scim.catalog import Catalog, standard_catalog
from scimhub.scim.schema import Attribute

STRUCK = "[redacted]"

# If none of these stands in a JSON text without \u escapes, in lower case, there is no secret by name in it.
_MARKERS = (*secret_names.MARKERS, "scimhub_")
_PIECE = 64 * 1024
_OVERLAP = 256
_IN_TEXT = re.compile(r"passw(?:or)?d|passphrase|passcode|secret\b|token\b|api[_-]?key\b", re.IGNORECASE)
# What may name a secret in its value, in lower case.
_TEXTS = ("path", "filter", "detail")
# ``directory.sources`` makes them: a prefix and 43 characters.
_OWN_TOKEN = re.compile(r"scimhub_[A-Za-z0-9_-]{16,}")
# So much of a secret is looked for; from there on as much goes as agrees with it, since details quote shortened values.
_PROBE = 8
_DEEPEST = 40


@lru_cache(maxsize=64)
def names_of(catalog: Catalog | None) -> "Names":
    """The names of the catalog's attributes that are never returned; those of the standard one without a catalog."""
    schemas = (catalog or standard_catalog()).schemas.values()
    never = {name.lower() for schema in schemas for attribute in schema.attributes for name in _never_returned(attribute)}
    own = frozenset(name for name in never if not secret_names.promises_secret(name))
    # Of resources only: ``changePassword`` of the ServiceProviderConfig stands in no answer to a write.
    kinds = (catalog or standard_catalog()).kinds.values()
    stored = [schema for kind in kinds for schema in (kind.base, *kind.extensions.values())]
    shown = {name.lower() for schema in stored for attribute in schema.attributes for name in _returned(attribute)}
    return Names(own, (*_MARKERS, *sorted(own)), any(name in _TEXTS or secret_names.promises_secret(name) for name in shown))


def _never_returned(attribute: Attribute) -> Iterator[str]:
    if attribute.returned == "never":
        yield attribute.name
    for sub in attribute.sub_attributes:
        yield from _never_returned(sub)


def _returned(attribute: Attribute) -> Iterator[str]:
    if attribute.returned != "never":
        yield attribute.name
        for sub in attribute.sub_attributes:
            yield from _returned(sub)


@dataclass(frozen=True, slots=True)
class Names:
    """Tells secrets by their names. ``own`` are those of a directory's schemas; ``markers`` what a quick look searches.

    ``are_shown``: a schema has an attribute that is named like a secret, or tells of one, and is returned all the same.
    """

    own: frozenset[str]
    markers: tuple[str, ...]
    are_shown: bool

    def may_stand_in(self, text: bytes) -> bool:
        """A quick look, which is right when it says no; ``text`` must be JSON."""
        if len(text) <= _PIECE:
            return _has_escapes(text) or self._is_marked(text.lower().decode("latin-1"))
        # Piece by piece, so that no other thread waits long; the pieces overlap by more than a marker's length.
        return any(self.may_stand_in(text[place : place + _PIECE]) for place in range(0, len(text), _PIECE - _OVERLAP))

    def may_stand_in_checked(self, text: bytes) -> bool:
        """As ``may_stand_in``, of a resource as it was sent that holds nothing but what the schemas say and return."""
        return _has_escapes(text) or self.may_stand_in_answer(text)

    def may_stand_in_answer(self, text: bytes) -> bool:
        """As ``may_stand_in``, of an answer with a resource: it shows nothing but what the schemas say."""
        return self.may_stand_in(text) if self.are_shown else b"scimhub_" in text

    def _is_marked(self, lowered: str) -> bool:
        # A loop: with a generator it takes twice as long, as it does in bytes; and this is done for each body.
        for marker in self.markers:  # noqa: SIM110
            if marker in lowered:
                return True
        return False

    def has(self, name: str) -> bool:
        """Whether the attribute or parameter of that name, perhaps with a URN in front, holds a secret."""
        last = name.rpartition(":")[2].lower()
        return last in self.own or secret_names.promises_secret(last)

    def has_path(self, path: str) -> bool:
        """Whether one of the names in an attribute path is that of a secret; what stands in quotes counts too."""
        return any(self.has(word) for word in re.split(r"[^\w$:-]+", path) if word)

    def place_in(self, text: str) -> int | None:
        """Where in a sentence or a filter something named like a secret ends, None when nothing is."""
        found = [match.end() for match in [_IN_TEXT.search(text)] if match is not None]
        lowered = text.lower()
        found += [lowered.index(name) + len(name) for name in self.own if name in lowered]
        return min(found, default=None)


@dataclass(slots=True)
class Strike:
    """Strikes secrets out of one exchange, and remembers their values, so that they are found in texts that quote them."""

    names: Names
    values: list[str] = field(default_factory=list)

    def from_document(self, value: object, depth: int = 0) -> object:
        """The JSON value without what is secret in it."""
        if depth > _DEEPEST:
            return STRUCK
        if isinstance(value, dict):
            path = path_of(value)
            hides_value = path is not None and self.names.has_path(path)
            return {name: self._from_item(name.lower(), item, hides_value, depth) for name, item in value.items()}
        if isinstance(value, list):
            return [self.from_document(item, depth + 1) for item in value]
        return value

    def _from_item(self, name: str, item: object, hides_value: bool, depth: int) -> object:
        if self.names.has(name) or (hides_value and name == "value"):
            return self._hide(item)
        if isinstance(item, str):
            if name in ("path", "filter"):
                return self.from_filter(item)
            # Of an error, which quotes what was sent.
            return self.from_text(item) if name == "detail" else item
        return self.from_document(item, depth + 1)

    def from_shown(self, value: object) -> object:
        """The JSON value of an answer without the secrets that are known by now, which may stand in any text of it."""
        if isinstance(value, dict):
            return {name: self.from_shown(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.from_shown(item) for item in value]
        return self.from_written(value) if isinstance(value, str) else value

    def from_filter(self, text: str) -> str:
        """A filter or an attribute path without what is compared with a secret: all that stands behind its name."""
        place = self.names.place_in(text)
        if place is None:
            return text
        self.values += re.findall(r'"((?:[^"\\]|\\.)+)"', text)
        rest = text[place:]
        before = re.sub(r'"(?:[^"\\]|\\.)*"', f'"{STRUCK}"', text[:place])
        return before if not rest.strip(" ])") else f"{before} {STRUCK}"

    def from_text(self, text: str) -> str:
        """A sentence without the secrets that it quotes."""
        return self.from_written(hide_quoted(text) if self.names.place_in(text) is not None else text)

    def from_written(self, text: str) -> str:
        """A text without the secrets that are known by now, and without tokens of a hub."""
        for value in self.values:
            for written in {value, repr(value)[1:-1], orjson.dumps(value).decode()[1:-1]}:
                text = _without(text, written)
        return without_tokens(text)

    def _hide(self, value: object) -> object:
        """Nothing of the value, whatever its type; null tells nothing and stays."""
        if value is None:
            return None
        self.values += [text for text in _scalars(value) if text]
        return STRUCK


def _has_escapes(text: bytes) -> bool:
    """Whether a character may be written as \\u…."""
    # One byte is found much faster than two; most texts have no backslash, or a few for ends of lines.
    place = text.find(b"\\")
    for _ in range(8):
        if place < 0 or text[place + 1 : place + 2] == b"u":
            return place >= 0
        place = text.find(b"\\", place + 1)
    return b"\\u" in text


def without_tokens(text: str) -> str:
    """The text without what looks like a token of a hub."""
    return _OWN_TOKEN.sub(STRUCK, text) if "scimhub_" in text else text


def path_of(operation: Mapping[str, object]) -> str | None:
    """The path of what may be an operation of a PATCH, whatever the case of its name."""
    return next((path for name, path in operation.items() if name.lower() == "path" and isinstance(path, str)), None)


def hide_quoted(text: str) -> str:
    """The sentence without what is quoted in it: all from the first quotation mark to the last.

    A mark opens a quotation when no letter stands before it; so an apostrophe does not.
    """
    first = re.search(r"(?<!\w)['\"]", text)
    if first is None:
        return text
    last = max(text.rfind("'"), text.rfind('"'))
    return f"{text[: first.start()]}{STRUCK}{text[last + 1 :] if last > first.start() else ''}"


def _scalars(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        if depth < _DEEPEST:
            for item in inner:
                yield from _scalars(item, depth + 1)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _without(text: str, secret: str) -> str:
    probe = secret[:_PROBE]
    if len(secret) < _PROBE:
        # A short one may be a part of a word that says something else.
        return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", STRUCK, text)
    start = text.find(probe)
    while start >= 0:
        end = start + len(probe)
        while end < len(text) and end - start < len(secret) and text[end] == secret[end - start]:
            end += 1
        text = f"{text[:start]}{STRUCK}{text[end:]}"
        start = text.find(probe, start + len(STRUCK))
    return text
