"""Where in the tables the values of a target are: as columns, as rows of other tables, or as JSON in ``normal``.

All SQL speaks of a row ``r`` of resources. Names written into the text come from a catalog; all else is bound. What
differs between databases is in the functions at the end.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from scimhub.scim import errors
from scimhub.scim.catalog import COMMON_NAMES, Kind, Target
from scimhub.scim.schema import Attribute


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
        return _part_at("r.normal", path, sub)
    elements = Place("e.value", rows=f"{json_each('r.normal', path)} AS e")
    return elements if sub is None else _joined(elements, _part_at("e.value", "$", sub))


def part(target: Target, context: Context) -> Place:
    """The place of the target's values within one element, a row of ``place`` for the attribute itself."""
    attribute, sub = target.attribute, target.sub
    if attribute is not None and is_apart(target, context.kind):
        return Place(_place_apart(attribute, sub, context).value)
    return Place("e.value") if sub is None else _part_at("e.value", "$", sub)


def _part_at(document: str, path: str, sub: Attribute | None) -> Place:
    """The place of a value, or of a sub-attribute's values, in the object at the path."""
    if sub is None:
        return Place(json_value(document, path))
    inner = path + json_member(sub.name)
    if sub.multi_valued:
        return Place("s.value", rows=f"{json_each(document, inner)} AS s")
    return Place(json_value(document, inner))


def _joined(elements: Place, inner: Place) -> Place:
    return replace(inner, rows=f"{elements.rows}, {inner.rows}" if inner.rows else elements.rows)


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
            return _place_of_schemas(context.kind)
        case "meta":
            return _place_of_meta(sub, context)
        case "members":
            rows = "memberships AS m JOIN resources AS x ON x.key = m.member"
            return Place(_value_of_row(attribute, sub), rows, "m.group_key = r.key")
        case _:
            return Place(_value_of_row(attribute, sub), f"({_GROUPS}) AS g JOIN resources AS x ON x.key = g.key")


# The groups of ``r``: ``direct`` tells those that it is itself a member of from the groups of its groups.
# UNION, not UNION ALL: it ends although groups may contain each other.
_GROUPS = (
    "WITH RECURSIVE up(key, direct) AS ("
    "SELECT group_key, 1 FROM memberships WHERE member = r.key"
    " UNION SELECT m.group_key, 0 FROM memberships AS m JOIN up ON m.member = up.key)"
    " SELECT key, max(direct) AS direct FROM up GROUP BY key"
)


def _value_of_row(attribute: Attribute, sub: Attribute | None) -> str:
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
            return json_value("x.normal", '$."displayName"')
        case _:
            # DECISIONS 15: in SQL or not at all.
            raise errors.invalid_filter(f"{attribute.name}.{name} cannot be filtered on; use {attribute.name}.value.")


def _place_of_schemas(kind: Kind) -> Place:
    # A resource has the base schema always, and an extension as soon as it has a value of it.
    rows = ["SELECT ? AS value"]
    rows += [f"SELECT ? WHERE {json_exists('r.normal', json_path(Target(urn, None)))}" for urn in kind.extensions]
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


# --------------------------------------------------------------------------- JSON, as SQLite has it


def json_path(target: Target) -> str:
    """The path of the target's extension and attribute within ``normal``."""
    names = [target.extension, target.attribute.name if target.attribute is not None else None]
    return "$" + "".join(json_member(name) for name in names if name is not None)


def json_member(name: str) -> str:
    # Neither names nor URNs of a catalog hold a quote or a backslash (scim.schema); so nothing needs to be escaped.
    return f'."{name}"'


def json_value(document: str, path: str) -> str:
    """The simple value at the path; booleans are 1 and 0."""
    return f"({document} ->> {_quoted(path)})"


def json_exists(document: str, path: str) -> str:
    return f"(json_type({document}, {_quoted(path)}) IS NOT NULL)"


def json_each(document: str, path: str) -> str:
    """Rows whose ``value`` is an element of the array at the path and ``key`` its place."""
    return f"jsonb_each({document}, {_quoted(path)})" if document == "r.normal" else f"json_each({document}, {_quoted(path)})"


def json_is_present(document: str, path: str) -> str:
    """Whether there is anything under the path but empty strings."""
    return f"EXISTS (SELECT 1 FROM json_tree({document}, {_quoted(path)}) AS t WHERE t.atom <> '')"


def json_list() -> str:
    """The strings of a JSON array that is bound, for use after IN."""
    return "(SELECT value FROM json_each(?))"


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"
