"""Where in the tables the values of a target are: as columns, as rows of other tables, or as JSON in ``normal``.

All SQL speaks of a row ``r`` of resources. Names written into the text come from a catalog; all else is bound.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from scimhub.scim import errors
from scimhub.scim.catalog import COMMON_NAMES, Kind, Target
from scimhub.scim.schema import Attribute
from scimhub.sqlstore.dialect import Dialect, JsonPath


class Context(NamedTuple):
    """Whose resources are asked for, and by whom.

    ``base_url``, without a slash at its end, and ``log_epoch`` are what the source sees in ``meta.location`` and
    ``meta.version``.
    """

    directory: int
    kind: Kind
    source: int
    log_epoch: str
    base_url: str
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Place:
    """An SQL expression for a value, NULL when there is none, and for many values the rows that it ranges over.

    ``parameters`` are those of ``rows``, ``given`` and ``value`` in this order.
    """

    value: str
    rows: str = ""
    # What joins the rows to ``r``.
    given: str = "TRUE"
    parameters: tuple[object, ...] = ()


def place(target: Target, context: Context) -> Place:
    """The place of the target's values; of a complex attribute without sub-attribute, of its elements.

    Raises ScimError invalidFilter for what no table can answer.
    """
    attribute, sub = target.attribute, target.sub
    if attribute is not None and is_apart(target, context.kind):
        return _place_apart(attribute, sub, context)
    path = json_path(target)
    if attribute is None or not attribute.multi_valued:
        return _part_at("r.normal", path, target, context)
    elements = context.dialect.json_each("r.normal", path, "e")
    if sub is None:
        return Place(_element("e", target, context), rows=elements)
    return _joined(elements, _part_at("e.value", (), target, context))


def part(target: Target, context: Context) -> Place:
    """The place of the target's values within one element, a row of ``place`` for the attribute itself."""
    attribute, sub = target.attribute, target.sub
    if attribute is not None and is_apart(target, context.kind):
        return Place(_place_apart(attribute, sub, context).value)
    return Place(_element("e", target, context)) if sub is None else _part_at("e.value", (), target, context)


def _part_at(document: str, path: JsonPath, target: Target, context: Context) -> Place:
    """The place of a value, or of a sub-attribute's values, in the object at the path."""
    sub, dialect = target.sub, context.dialect
    if sub is None:
        return Place(dialect.json_value(document, path, _type(target)))
    inner = (*path, sub.name)
    if sub.multi_valued:
        return Place(_element("s", target, context), rows=dialect.json_each(document, inner, "s"))
    return Place(dialect.json_value(document, inner, _type(target)))


def _element(name: str, target: Target, context: Context) -> str:
    """The value of an element, which is no object."""
    return context.dialect.json_value(f"{name}.value", (), _type(target))


def _type(target: Target) -> str:
    return target.leaf.type if target.leaf is not None else "complex"


def _joined(elements: str, inner: Place) -> Place:
    return replace(inner, rows=f"{elements}, {inner.rows}" if inner.rows else elements)


# --------------------------------------------------------------------------- what is not in `normal`


def is_apart(target: Target, kind: Kind) -> bool:
    """Whether the attribute lies in columns or tables of its own."""
    if target.extension is not None or target.attribute is None:
        return False
    return target.attribute.name in COMMON_NAMES or is_membership(target, kind)


def is_membership(target: Target, kind: Kind) -> bool:
    """Whether the attribute's elements are rows of ``memberships``."""
    name = target.attribute.name if target.attribute is not None and target.extension is None else ""
    return (name == "members" and kind.has_members) or (name == "groups" and kind.shows_groups)


def _place_apart(attribute: Attribute, sub: Attribute | None, context: Context) -> Place:
    match attribute.name:
        case "id":
            return Place("r.id")
        case "externalId":
            value = "(SELECT l.external_id FROM links AS l WHERE l.source = ? AND l.resource = r.key)"
            return Place(value, parameters=(context.source,))
        case "schemas":
            return _place_of_schemas(context)
        case "meta":
            return _place_of_meta(sub, context)
        case "members":
            rows = "memberships AS m JOIN resources AS x ON x.key = m.member"
            return Place(_value_of_row(attribute, sub, context), rows, "m.group_key = r.key")
        case _:
            return Place(_value_of_row(attribute, sub, context), f"({_GROUPS}) AS g JOIN resources AS x ON x.key = g.key")


# The groups of ``r``: ``direct`` tells those that it is itself a member of from the groups of its groups.
# UNION, not UNION ALL: it ends although groups may contain each other.
_GROUPS = (
    "WITH RECURSIVE up(key, direct) AS ("
    "SELECT group_key, 1 FROM memberships WHERE member = r.key"
    " UNION SELECT m.group_key, 0 FROM memberships AS m JOIN up ON m.member = up.key)"
    " SELECT key, max(direct) AS direct FROM up GROUP BY key"
)


def _value_of_row(attribute: Attribute, sub: Attribute | None, context: Context) -> str:
    name = sub.name if sub is not None else "value"
    match attribute.name, name:
        case _, "value":
            return "x.id"
        case "members", "type":
            # Names of kinds are ASCII, for which lower() does what values.fold does.
            return "lower(x.kind)"
        case "groups", "type":
            return "CASE g.direct WHEN 1 THEN 'direct' ELSE 'indirect' END"
        case "groups", "display":
            return context.dialect.json_value("x.normal", ("displayName",), "string")
        case _:
            # DECISIONS 15: in SQL or not at all.
            raise errors.invalid_filter(f"{attribute.name}.{name} cannot be filtered on; use {attribute.name}.value.")


def _place_of_schemas(context: Context) -> Place:
    kind, dialect = context.kind, context.dialect
    # A resource has the base schema always, and an extension as soon as it has a value of it.
    rows = ["SELECT ? AS value"]
    rows += [f"SELECT ? WHERE {dialect.json_exists('r.normal', (urn,))}" for urn in kind.extensions]
    return Place("u.value", rows=f"({' UNION ALL '.join(rows)}) AS u", parameters=(kind.base.id, *kind.extensions))


def _place_of_meta(sub: Attribute | None, context: Context) -> Place:
    match sub.name if sub is not None else None:
        case "created":
            return Place(_instant("r.created"))
        case "lastModified":
            return Place(_instant("r.last_modified"))
        case "version":
            return Place("(? || r.version || '\"')", parameters=(f'W/"{context.log_epoch}.',))
        case "location":
            return Place("(? || r.id)", parameters=(f"{context.base_url}{context.kind.endpoint}/",))
        case _:
            # Every resource has a meta, and in it a type.
            return Place("r.kind")


def _instant(column: str) -> str:
    # Columns have milliseconds; the normal form of an instant has nanoseconds.
    return f"(substr({column}, 1, 23) || '000000Z')"


def json_path(target: Target) -> JsonPath:
    """The path of the target's extension and attribute within ``normal``."""
    names = (target.extension, target.attribute.name if target.attribute is not None else None)
    return tuple(name for name in names if name is not None)
