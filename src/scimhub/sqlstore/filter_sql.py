"""A condition as SQL with the same meaning as ``scim.matching``: a boolean expression over a row ``r`` of resources.

Three rules keep it right and safe. No expression is ever NULL, so that NOT, AND and OR mean what they mean in the
matcher. All values are bound; the only names written into the text come from a catalog. And what an index can answer is
written as a set of keys, which the database finds without looking at other resources.

The columns ``id``, ``kind``, ``version``, ``created`` and ``last_modified`` and the tables of links and memberships hold
what ``normal`` does not.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from scimhub.scim import errors
from scimhub.scim.catalog import Target
from scimhub.scim.filters import And, Comparison, Condition, Elements, Not, Nothing, Operator, Or, Present
from scimhub.scim.values import Normal
from scimhub.sqlstore import filter_keys, target_sql
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.filter_keys import Keys
from scimhub.sqlstore.target_sql import Context, Place

__all__ = ["Context", "compile", "is_indexed", "is_narrow", "sort_expression"]

Sql = tuple[str, tuple[object, ...]]
_PlaceOf = Callable[[Target, Context], Place]


def compile(condition: Condition, context: Context) -> Sql:
    """The condition as an SQL expression over ``r`` and its parameters; raises ScimError invalidFilter.

    It does not say which directory and kind ``r`` is of; the caller does.
    """
    keys = filter_keys.find(condition, context)
    if keys is None:
        return _expression(condition, context, target_sql.place)
    if keys.is_exact:
        return _among(keys, context.dialect)
    return _joined("AND", [_among(keys, context.dialect), _expression(condition, context, target_sql.place)])


def is_indexed(condition: Condition, context: Context) -> bool:
    """Whether the database finds the resources by an index, without looking at all of the kind."""
    return filter_keys.find(condition, context) is not None


def is_narrow(condition: Condition, context: Context) -> bool:
    """Whether an index leads straight to a handful of resources."""
    keys = filter_keys.find(condition, context)
    return keys is not None and keys.are_few


def sort_expression(target: Target, context: Context) -> Sql:
    """The value to sort by, in normal form, and its parameters; NULL where there is none (RFC 7644 §3.4.2.3).

    Of several values it is that of the primary element, else the first. Raises ScimError invalidValue for what has no
    simple value to sort by.
    """
    attribute, sub, leaf = target.attribute, target.sub, target.leaf
    is_apart = target_sql.is_apart(target, context.kind)
    if (
        attribute is None
        or leaf is None
        or leaf.is_complex
        or (is_apart and attribute.multi_valued)
        or (sub and sub.multi_valued)
    ):
        raise errors.invalid_value(
            f"Resources cannot be sorted by {target.key}; name an attribute with simple values of its own."
        )
    place = target_sql.place(target, context)
    if not attribute.multi_valued:
        return place.value, place.parameters
    primary = attribute.find("primary") if sub is not None else None
    order = "e.key"
    if primary is not None:
        order = f"coalesce({target_sql.part(Target(target.extension, attribute, primary), context).value}, 0) DESC, e.key"
    rows = f"FROM {place.rows} WHERE {place.value} IS NOT NULL"
    return f"(SELECT {place.value} {rows} ORDER BY {order} LIMIT 1)", ()


def _among(keys: Keys, dialect: Dialect) -> Sql:
    if not keys.selects:
        return "FALSE", ()
    return dialect.among("r.key", " UNION ALL ".join(keys.selects)), keys.parameters


# --------------------------------------------------------------------------- any condition, looking at one row


def _expression(condition: Condition, context: Context, place_of: _PlaceOf) -> Sql:
    """The condition over ``r``, or with ``target_sql.part`` over one element of an attribute of ``r``; never NULL."""
    match condition:
        case Comparison(target, operator, operand):
            return _comparison(place_of(target, context), operator, operand, context.dialect)
        case Present(target):
            return _present(target, context, place_of)
        case And(terms):
            return _joined("AND", [_expression(term, context, place_of) for term in terms])
        case Or(terms):
            return _joined("OR", [_expression(term, context, place_of) for term in terms])
        case Not(term):
            text, parameters = _expression(term, context, place_of)
            return f"NOT {text}", parameters
        case Elements(target, inner):
            return _elements(target, inner, context)
        case Nothing():
            return "FALSE", ()
        case _:
            assert_never(condition)


def _joined(word: str, terms: Sequence[Sql]) -> Sql:
    """The terms in pairs of pairs: a chain of a thousand would be deeper than SQLite reads."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    left, right = _joined(word, terms[:middle]), _joined(word, terms[middle:])
    return f"({left[0]} {word} {right[0]})", left[1] + right[1]


def _comparison(place: Place, operator: Operator, operand: Normal, dialect: Dialect) -> Sql:
    test, operands = _test(place.value, operator, operand, dialect)
    if not place.rows:
        # Spec F-025: what has no value differs from every value.
        return f"coalesce({test}, {'TRUE' if operator == 'ne' else 'FALSE'})", (*place.parameters, *operands)
    found = f"EXISTS (SELECT 1 FROM {place.rows} WHERE {place.given} AND {test})"
    if operator != "ne":
        return found, (*place.parameters, *operands)
    some = f"EXISTS (SELECT 1 FROM {place.rows} WHERE {place.given} AND {place.value} IS NOT NULL)"
    return f"({found} OR NOT {some})", (*place.parameters, *operands, *place.parameters)


_SIGNS: dict[Operator, str] = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _test(value: str, operator: Operator, operand: Normal, dialect: Dialect) -> Sql:
    """The test of one value, NULL when there is no value."""
    if operator in _SIGNS:
        return f"{value} {_SIGNS[operator]} ?", (int(operand) if isinstance(operand, bool) else operand,)
    if operand == "":
        # Spec F-037: every text holds, begins with and ends in the empty one.
        return f"({value} IS NOT NULL)", ()
    length = len(str(operand))
    match operator:
        case "co":
            return dialect.contains(value), (operand,)
        case "sw":
            return f"substr({value}, 1, {length}) = ?", (operand,)
        case _:
            return f"{dialect.ends(value, length)} = ?", (operand,)


def _present(target: Target, context: Context, place_of: _PlaceOf) -> Sql:
    leaf = target.leaf
    if (leaf is None or leaf.is_complex) and not target_sql.is_apart(target, context.kind):
        return context.dialect.json_is_present("r.normal", target_sql.json_path(target)), ()
    place = place_of(target, context)
    # Spec F-024: an empty text is no value; a number or a boolean always is one.
    is_text = leaf is None or leaf.type not in ("boolean", "integer", "decimal")
    test = f"{place.value} <> ''" if is_text else f"{place.value} IS NOT NULL"
    if place.rows:
        return f"EXISTS (SELECT 1 FROM {place.rows} WHERE {place.given} AND {test})", place.parameters
    return f"coalesce({test}, FALSE)", place.parameters


def _elements(target: Target, inner: Condition, context: Context) -> Sql:
    attribute = target.attribute
    if attribute is None or not attribute.multi_valued:
        # There is one element at most, whose parts are reached from the row itself.
        text, parameters = _expression(inner, context, target_sql.place)
        if target_sql.is_apart(target, context.kind):
            return text, parameters
        return f"({context.dialect.json_exists('r.normal', target_sql.json_path(target))} AND {text})", parameters
    place = target_sql.place(target, context)
    text, parameters = _expression(inner, context, target_sql.part)
    return f"EXISTS (SELECT 1 FROM {place.rows} WHERE {place.given} AND {text})", (*place.parameters, *parameters)
