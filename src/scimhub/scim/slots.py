"""Slots: single places of a resource, as a column of a table names them.

A slot is written as a SCIM path: ``userName``, ``name.givenName``, ``emails[type eq "work"].value``,
``urn:…:User:department``. A whole attribute is one too. With a list of slots a resource is taken apart to cells and put
together again, and one part of it is renewed while the rest stays. ``manager.userName`` and ``manager.externalId`` name a
manager by other things than the id; who writes resources finds the id (``directory.references``).
"""

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scimhub.scim import errors, paths
from scimhub.scim.catalog import AmbiguousName, Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.schema import Attribute

# Instead of the id of whom a reference means, one of these names may be given.
NAMES = ("userName", "externalId")
_CHOSEN = re.compile(
    r'(?P<before>[^\[\]]+)\[\s*type\s+eq\s+"(?P<type>[^"\\]{1,100})"\s*\](?:\.(?P<sub>[A-Za-z$][A-Za-z0-9_$-]*))?', re.I
)
# What an element may keep when its last value has gone.
_IDLE = frozenset({"type", "primary", "display"})


@dataclass(frozen=True, slots=True)
class Slot:
    """One place. ``type`` chooses the element of a multi-valued attribute; ``leaf`` tells the type of a value there."""

    text: str
    extension: str | None
    attribute: Attribute
    sub: str | None = None
    type: str | None = None

    @property
    def leaf(self) -> Attribute | None:
        """The attribute whose value a cell holds; None for a name of a reference, and for a whole complex attribute."""
        if self.sub is not None:
            return self.attribute.find(self.sub)
        return None if self.attribute.is_complex else self.attribute

    @property
    def names_reference(self) -> bool:
        """Whether it names whom a reference means by something else than the id."""
        return self.sub in NAMES and self.attribute.find(self.sub or "") is None


def parse_slot(text: str, kind: Kind) -> Slot:
    """The slot that the text names in resources of the kind; raises ScimError invalidPath."""
    chosen = _CHOSEN.fullmatch(text)
    path = chosen["before"] if chosen is not None else text
    if chosen is None and path.rpartition(".")[2] in NAMES and "." in path:
        holder, _, name = path.rpartition(".")
        slot = _plain(holder, kind)
        if slot.attribute.find("$ref") is not None and not slot.attribute.multi_valued:
            return Slot(text, slot.extension, slot.attribute, name)
    slot = _plain(path, kind)
    if chosen is None:
        return Slot(text, slot.extension, slot.attribute, slot.sub)
    attribute = slot.attribute
    sub = attribute.find(chosen["sub"] or "value")
    if not attribute.multi_valued or attribute.find("type") is None or slot.sub is not None or sub is None:
        raise errors.invalid_path(f'{text[:200]!r} is not understood; write for example emails[type eq "work"].value.')
    return Slot(text, slot.extension, attribute, sub.name, chosen["type"])


def _plain(text: str, kind: Kind) -> Slot:
    try:
        target = kind.resolve(paths.parse_attribute(text), short_names=True)
    except AmbiguousName as error:
        raise errors.invalid_path(str(error)) from error
    except ScimError:
        target = None
    if target is None or target.attribute is None:
        raise errors.invalid_path(f"{text[:200]!r} is no attribute of {kind.name}.")
    if target.attribute.mutability == "readOnly":
        raise errors.invalid_path(f"{text[:200]!r} is read-only; nobody can set it.")
    sub = None if target.sub is None else target.sub.name
    return Slot(text, target.extension, target.attribute, sub)


def read(slot: Slot, document: Mapping[str, object]) -> object:
    """What the document, with canonical names, holds in the slot; None when nothing."""
    holder = document.get(slot.extension) if slot.extension is not None else document
    value = holder.get(slot.attribute.name) if isinstance(holder, Mapping) else None
    if slot.type is not None:
        element = next((item for item in _elements(value) if _is_of_type(item, slot.type)), None)
        return None if element is None else element.get(slot.sub or "")
    if slot.sub is None or value is None:
        return value
    if slot.attribute.multi_valued:
        return [item[slot.sub] for item in _elements(value) if slot.sub in item] or None
    return value.get(slot.sub) if isinstance(value, Mapping) else None


def write(slot: Slot, document: dict[str, object], value: object) -> None:
    """Put the value into the slot of the document; None empties it. What is not in the slot stays."""
    holder = document
    if slot.extension is not None:
        inner = document.get(slot.extension)
        holder = inner if isinstance(inner, dict) else {}
    changed = _changed(slot, holder.get(slot.attribute.name), value)
    if changed in (None, {}, []):
        holder.pop(slot.attribute.name, None)
    else:
        holder[slot.attribute.name] = changed
    if slot.extension is not None:
        if holder:
            document[slot.extension] = holder
        else:
            document.pop(slot.extension, None)


def overlay(stored: Mapping[str, object], body: Mapping[str, object], slots: Iterable[Slot]) -> dict[str, object]:
    """The stored document with the slots as the body has them; the rest of it stays."""
    merged = copy.deepcopy(dict(stored))
    for slot in slots:
        if slot.names_reference:
            # The body has the id by now.
            slot = Slot(slot.text, slot.extension, slot.attribute, "value")
        write(slot, merged, read(slot, body))
    return merged


def _changed(slot: Slot, found: object, value: object) -> object:
    if slot.type is not None:
        return _chosen(slot, _elements(found), value)
    if slot.sub is None:
        return value
    if slot.attribute.multi_valued:
        values = value if isinstance(value, list) else [] if value is None else [value]
        return [{slot.sub: each} for each in values]
    parts = dict(found) if isinstance(found, Mapping) else {}
    if value is None:
        parts.pop(slot.sub, None)
    else:
        parts[slot.sub] = value
    return parts


def _chosen(slot: Slot, elements: list[dict[str, object]], value: object) -> list[dict[str, object]]:
    sub, type = slot.sub or "value", slot.type or ""
    kept = list(elements)
    place = next((number for number, item in enumerate(kept) if _is_of_type(item, type)), None)
    if value is not None:
        if place is None:
            kept.append({sub: value, "type": type})
        else:
            kept[place] = {**kept[place], sub: value}
    elif place is not None:
        rest = {name: part for name, part in kept[place].items() if name != sub}
        if rest.keys() <= _IDLE:
            del kept[place]
        else:
            kept[place] = rest
    return kept


def _elements(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_of_type(element: Mapping[str, object], type: str) -> bool:
    found = element.get("type")
    return isinstance(found, str) and found.lower() == type.lower()
