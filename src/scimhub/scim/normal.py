"""Documents in normal form, which is what filters, sorting, indexes and uniqueness compare.

A document keeps every value as it was sent; its normal form has the same structure with the values of
``values.normal``. Unassigned parts are absent; an empty string stays, and does not count as present.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from scimhub.scim import values
from scimhub.scim.catalog import Kind, Target
from scimhub.scim.schema import Attribute, Schema

Normalize = Callable[[object], object]


def normal_form(document: Mapping[str, object], kind: Kind) -> dict[str, object]:
    """The document's base and extension attributes in normal form; nothing that the hub keeps elsewhere is in it."""
    plan = _plan(kind)
    normal: dict[str, object] = {}
    for name, value in document.items():
        normalize = plan.get(name)
        found = None if normalize is None else normalize(value)
        if found is not None:
            normal[name] = found
    return normal


def differing_names(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The top-level attributes and extensions in which two documents differ."""
    names = [name for name, value in after.items() if before.get(name) != value]
    return names if before.keys() <= after.keys() else names + [name for name in before if name not in after]


def differing(
    before: Mapping[str, object], after: Mapping[str, object], kind: Kind, names: Collection[str] | None = None
) -> tuple[dict[str, object], dict[str, object]]:
    """The normal forms of two documents, each without the top-level attributes and extensions in which they agree.

    ``names`` are those in which they do not, where that is known.
    """
    if names is None:
        names = differing_names(before, after)
    old = {name: before[name] for name in names if name in before}
    return normal_form(old, kind), normal_form({name: after[name] for name in names if name in after}, kind)


def merge_patch(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """What makes one normal form of the other as a JSON merge patch (RFC 7396): a null takes away.

    An object is given whole, with a null for each part that is gone: so it may be merged or put in the other's place.
    """
    patch = dict(after)
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            patch[name] = None
        elif type(old) is dict and type(new) is dict:
            patch[name] = merge_patch(old, new)
    return patch


def index_rows(normal: Mapping[str, object], kind: Kind) -> tuple[tuple[str, str], ...]:
    """Path keys and values, each pair once, of the attributes whose filters are answered from the index table."""
    return _rows(normal, _places(kind)[0])


def unique_rows(normal: Mapping[str, object], kind: Kind) -> tuple[tuple[str, str], ...]:
    """Path keys and values that no other resource of the kind may have. An empty string is nobody's own."""
    rows = _rows(normal, _places(kind)[1])
    return tuple([row for row in rows if row[1]]) if rows else rows


def row_value(value: object) -> str:
    """How a value in normal form is written in an index row."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def display_of(document: Mapping[str, object], kind: Kind) -> str | None:
    """What to call the resource among the members of a group or the groups of a user, None when it has no name."""
    chosen = document.get("displayName")
    if isinstance(chosen, str) and chosen:
        return chosen
    name = document.get("name")
    formatted = name.get("formatted") if isinstance(name, dict) else name
    unique = (document.get(attribute.name) for attribute in kind.base.attributes if attribute.uniqueness != "none")
    for text in chain((formatted, document.get("userName")), unique):
        if isinstance(text, str) and text:
            return text
    return None


@lru_cache(maxsize=4096)
def of_attribute(attribute: Attribute) -> Normalize:
    """The function that brings the whole value of the attribute into normal form; None stands for unassigned."""
    element = of_element(attribute)
    if not attribute.multi_valued:
        return element

    def several(value: object) -> object:
        if type(value) is not list:
            return None
        return [found for item in value if (found := element(item)) is not None] or None

    return several


@lru_cache(maxsize=4096)
def of_element(attribute: Attribute) -> Normalize:
    """The function that brings one element of the attribute into normal form; for a singular one, its value."""
    if not attribute.is_complex:
        return _simple(attribute)
    parts = {sub.name: of_attribute(sub) for sub in attribute.sub_attributes}
    return _object(parts)


def _simple(attribute: Attribute) -> Normalize:
    """``values.normal`` of the attribute, with the two frequent cases decided beforehand."""
    if attribute.type == "boolean" or (attribute.type != "dateTime" and attribute.compares_exactly):
        return lambda value: value
    if attribute.type == "string":
        return _folded
    return lambda value: None if value is None else values.normal(attribute, value)


def _folded(value: object) -> object:
    if type(value) is not str:
        return value
    # As ``values.fold`` does; most texts are ASCII, and there are dozens in a document.
    return value.lower() if value.isascii() else values.fold(value)


def _object(parts: Mapping[str, Normalize]) -> Normalize:
    part_of = parts.get

    def normalize(value: object) -> object:
        # JSON's objects are dict; to ask for any Mapping takes ten times as long.
        if type(value) is not dict:
            return None
        forms = {}
        for name, item in value.items():
            part = part_of(name)
            form = None if part is None else part(item)
            if form is not None:
                forms[name] = form
        return forms or None

    return normalize


# --------------------------------------------------------------------------- compiled once for each kind


@lru_cache(maxsize=256)
def _plan(kind: Kind) -> Mapping[str, Normalize]:
    """By top-level name; an extension's URN has the function of its whole object."""
    elsewhere = {name for name, is_elsewhere in (("members", kind.has_members), ("groups", kind.shows_groups)) if is_elsewhere}
    base = {name: part for name, part in _parts(kind.base).items() if name not in elsewhere}
    return {urn: _object(_parts(schema)) for urn, schema in kind.extensions.items()} | base


def _parts(schema: Schema) -> Mapping[str, Normalize]:
    return {attribute.name: of_attribute(attribute) for attribute in schema.attributes}


class _Place(NamedTuple):
    """Where the values of an index row stand: ``part`` is an attribute of the extension ``top``, or None."""

    top: str
    key: str
    part: str | None
    sub: str | None


@lru_cache(maxsize=256)
def _places(kind: Kind) -> tuple[tuple[_Place, ...], tuple[_Place, ...]]:
    """The indexed places of the kind and the unique ones."""
    leaves = [(target, target.leaf) for target in _targets(kind)]
    indexed = tuple(_place(target) for target, leaf in leaves if leaf is not None and leaf.indexed)
    return indexed, tuple(_place(target) for target, leaf in leaves if leaf is not None and leaf.uniqueness != "none")


def _place(target: Target) -> _Place:
    name, sub = target.attribute.name if target.attribute else "", target.sub.name if target.sub else None
    return _Place(name, target.key, None, sub) if target.extension is None else _Place(target.extension, target.key, name, sub)


def _targets(kind: Kind) -> Iterator[Target]:
    for extension, schema in [(None, kind.base), *kind.extensions.items()]:
        for attribute in schema.attributes:
            if attribute.is_complex:
                yield from (Target(extension, attribute, sub) for sub in attribute.sub_attributes)
            else:
                yield Target(extension, attribute)


def _rows(normal: Mapping[str, object], places: tuple[_Place, ...]) -> tuple[tuple[str, str], ...]:
    rows: dict[tuple[str, str], None] = {}
    for top, key, part, sub in places:
        found = normal.get(top)
        if part is not None and type(found) is dict:
            found = found.get(part)
        if found is None:
            continue
        for element in found if type(found) is list else (found,):
            value = element.get(sub) if sub and type(element) is dict else element
            if value is not None:
                rows[key, row_value(value)] = None
    return tuple(rows)
