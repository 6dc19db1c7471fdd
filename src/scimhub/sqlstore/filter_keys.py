"""Which resources an index gives for a condition, as SELECTs of keys: what is found without looking at other resources.

Index rows hold normal forms as texts, so that equality and prefixes can be looked up in them. Empty texts are not there.
What is within a text is found by search indexes, which an administrator has made of some attributes (``text_index``).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scimhub.scim import normal
from scimhub.scim.catalog import Kind, Target
from scimhub.scim.filters import And, Comparison, Condition, Elements, Nothing, Or
from scimhub.scim.values import Normal
from scimhub.sqlstore import target_sql
from scimhub.sqlstore.target_sql import Context
from scimhub.sqlstore.text_index import KEPT

# The most SELECTs in one UNION; SQLite takes 500.
_MAX_SELECTS = 200

# How few resources to expect: of several sets that would do, the first in this order is taken.
_BY_ID, _BY_UNIQUE, _BY_VALUE, _BY_MEMBERSHIP, _BY_PREFIX, _BY_TEXT = range(6)


@dataclass(frozen=True, slots=True)
class Keys:
    """SELECTs that together give the key of every resource that can satisfy a condition.

    ``is_exact`` tells that each resource of the directory and kind among them does satisfy it.
    """

    selects: tuple[str, ...]
    parameters: tuple[object, ...]
    rank: int
    is_exact: bool = True

    @property
    def are_few(self) -> bool:
        """Whether no more than a handful is to be expected."""
        return self.rank < _BY_PREFIX


def find(condition: Condition, context: Context) -> Keys | None:
    """The keys that an index gives, None when resources have to be looked at one by one."""
    match condition:
        case Nothing():
            return Keys((), (), _BY_ID)
        case Comparison(target, "eq", operand):
            return _equal(target, [operand], context)
        case Comparison(target, "sw", str(operand)) if operand:
            return _beginning(target, operand, context)
        case Comparison(target, "co" | "ew" as operator, str(operand)):
            return _within(target, operand, operator == "ew", context)
        case And(terms):
            found = [keys for keys in (find(term, context) for term in terms) if keys is not None]
            return replace(min(found, key=lambda keys: keys.rank), is_exact=False) if found else None
        case Or(terms):
            return _united(terms, context)
        case Elements(_, inner):
            # What holds for one element holds for the attribute as a whole; the reverse is checked on the row.
            keys = find(inner, context)
            return replace(keys, is_exact=False) if keys is not None else None
        case _:
            return None


def _united(terms: Sequence[Condition], context: Context) -> Keys | None:
    """The keys of any of the terms; equalities with one attribute become one look-up."""
    sought: dict[str, tuple[Target, list[Normal]]] = {}
    parts: list[Keys | None] = []
    for term in terms:
        match term:
            case Comparison(target, "eq", operand):
                sought.setdefault(target.key, (target, []))[1].append(operand)
            case _:
                parts.append(find(term, context))
    parts += [_equal(target, operands, context) for target, operands in sought.values()]
    known = [keys for keys in parts if keys is not None]
    selects = tuple(select for keys in known for select in keys.selects)
    if len(known) < len(parts) or len(selects) > _MAX_SELECTS:
        return None
    return Keys(
        selects,
        tuple(parameter for keys in known for parameter in keys.parameters),
        max((keys.rank for keys in known), default=_BY_ID),
        all(keys.is_exact for keys in known),
    )


def _equal(target: Target, operands: Sequence[Normal], context: Context) -> Keys | None:
    """The look-up of resources that have one of these values."""
    leaf = target.leaf
    if leaf is None or leaf.type == "decimal" or "" in operands:
        # 1 and 1.0 are the same decimal and not the same text.
        return None
    texts = [normal.row_value(operand) for operand in operands]
    if not has_look_up(target, context.kind):
        texts = [text[:KEPT] for text in texts]
    if len(texts) == 1:
        return _look_up(target, "{} = ?", (texts[0],), context)
    # One parameter for all of them: the statement and its plan do not depend on how many there are.
    return _look_up(target, f"{{}} IN {context.dialect.json_list()}", (json.dumps(texts),), context)


def _beginning(target: Target, prefix: str, context: Context) -> Keys | None:
    """The look-up of resources with a value that begins so, as a range of the index."""
    if target_sql.is_apart(target, context.kind) and target.key != "externalId":
        # One index holds the ids of all directories: a prefix would find too many.
        return None
    if not has_look_up(target, context.kind):
        prefix = prefix[:KEPT]
    end = successor(prefix)
    if end is None:
        keys = _look_up(target, "{} >= ?", (prefix,), context)
    else:
        keys = _look_up(target, "{0} >= ? AND {0} < ?", (prefix, end), context)
    return replace(keys, rank=_BY_PREFIX) if keys is not None else None


def _within(target: Target, text: str, is_end: bool, context: Context) -> Keys | None:
    """The look-up of resources with a value that contains the text, or ends with it, in a search index."""
    search = context.kind.searches.get(target.key)
    found = None if search is None else context.dialect.texts.within(search.number, text, is_end=is_end)
    return None if found is None else Keys((found.select,), (found.parameter,), _BY_TEXT, found.is_exact)


def has_look_up(target: Target, kind: Kind) -> bool:
    """Whether values of the target, and beginnings of them, are looked up without a search index."""
    return _home(target, kind)[1] is not None


def ordered_by(target: Target, kind: Kind) -> str | None:
    """The table whose rows give all resources of the kind in order of the target's value; None when none does."""
    leaf = target.leaf
    if leaf is None or not leaf.required or target.extension is not None or target.sub is not None or leaf.multi_valued:
        # Who has no value has no row.
        return None
    table = _home(target, kind)[1]
    # Rows hold texts: numbers would be in another order.
    return table if table != _APART and leaf.type in ("string", "reference", "dateTime") else None


def _look_up(target: Target, test: str, operands: tuple[str, ...], context: Context) -> Keys | None:
    """The keys for which the test holds of the target's column; ``{}`` in the test stands for the column."""
    key, table, rank = _home(target, context.kind)
    if table == _APART:
        return _look_up_apart(key, test, operands, context)
    if table is None:
        return _look_up_beginning(key, test, operands, context)
    select = f"SELECT resource FROM {table} WHERE directory = ? AND kind = ? AND path = ? AND {test.format('value')}"
    return Keys((select,), (context.directory, context.kind.name, key, *operands), rank)


def _look_up_beginning(key: str, test: str, operands: tuple[str, ...], context: Context) -> Keys | None:
    search = context.kind.searches.get(key)
    if search is None or not search.has_beginnings:
        return None
    # Beginnings only: the row itself is looked at as well.
    return Keys((context.dialect.texts.begins(search.number, test),), operands, _BY_PREFIX, is_exact=False)


_APART = "apart"


@lru_cache(maxsize=4096)
def _home(target: Target, kind: Kind) -> tuple[str, str | None, int]:
    """The target's key, the table that its values are looked up in, None without one, and its rank."""
    leaf = target.leaf
    if target_sql.is_apart(target, kind):
        return target.key, _APART, 0
    if leaf is None or (target.sub is not None and leaf.multi_valued):
        return target.key, None, 0
    if leaf.uniqueness != "none" and target.sub is None:
        return target.key, "unique_values", _BY_UNIQUE
    return target.key, "attribute_values" if leaf.indexed else None, _BY_VALUE


def _look_up_apart(key: str, test: str, operands: tuple[str, ...], context: Context) -> Keys | None:
    match key:
        case "id":
            return Keys((f"SELECT key AS resource FROM resources WHERE {test.format('id')}",), operands, _BY_ID)
        case "externalId":
            select = f"SELECT resource FROM links WHERE source = ? AND {test.format('external_id')}"
            return Keys((select,), (context.source, *operands), _BY_UNIQUE)
        case "members.value":
            member = f"SELECT key FROM resources WHERE {test.format('id')}"
            return Keys(
                (f"SELECT group_key AS resource FROM memberships WHERE member IN ({member})",), operands, _BY_MEMBERSHIP
            )
        case "groups.value":
            return Keys((_members_of(test.format("id")),), operands, _BY_MEMBERSHIP)
        case _:
            return None


def _members_of(test: str) -> str:
    """The members of the groups that the test on ``id`` chooses, and of groups within them."""
    # UNION, not UNION ALL: it ends although groups may contain each other.
    return (
        "SELECT key AS resource FROM (WITH RECURSIVE down(key) AS ("
        f"SELECT member FROM memberships WHERE group_key IN (SELECT key FROM resources WHERE {test})"
        " UNION SELECT m.member FROM memberships AS m JOIN down ON m.group_key = down.key)"
        " SELECT key FROM down) AS found"
    )


def successor(prefix: str) -> str | None:
    """The first text, by code points, behind all that begin with the prefix; None when there is none.

    UTF-8 bytes sort as code points do, in SQLite as in Python.
    """
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    last = ord(kept[-1])
    # Surrogates have no UTF-8; what follows U+D7FF is U+E000.
    return kept[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
