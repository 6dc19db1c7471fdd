"""Does this resource satisfy this condition? Answered in memory, on normal forms (RFC 7644 §3.4.2.2).

``sqlstore.filter_sql`` answers the same question in the database; ``tests/filter_agreement`` holds the two together.
The settled meanings: ``ne`` also holds where there is no value; on several values any one may decide, for ``ne`` too;
``not`` is plain negation; an empty string is a value but not present.
"""

from collections.abc import Callable, Mapping
from typing import assert_never

from scimhub.scim.catalog import Target
from scimhub.scim.filters import And, Comparison, Condition, Elements, Not, Nothing, Operator, Or, Present
from scimhub.scim.schema import Attribute

_COMPARE: dict[Operator, Callable[..., bool]] = {
    "eq": lambda value, operand: value == operand,
    "ne": lambda value, operand: value != operand,
    "co": lambda value, operand: operand in value,
    "sw": lambda value, operand: value.startswith(operand),
    "ew": lambda value, operand: value.endswith(operand),
    "gt": lambda value, operand: value > operand,
    "ge": lambda value, operand: value >= operand,
    "lt": lambda value, operand: value < operand,
    "le": lambda value, operand: value <= operand,
}


def matches(condition: Condition, resource: Mapping[str, object]) -> bool:
    """Whether the resource satisfies the condition.

    ``resource`` is a whole resource in normal form: attributes by canonical name, extensions under their URN, and with
    ``id``, ``schemas``, ``meta`` and, where there are any, ``externalId``, ``members`` and ``groups``.
    """
    return _holds(condition, lambda target: _values(target, resource))


def element_matches(condition: Condition, attribute: Attribute, element: object) -> bool:
    """Whether one element of the attribute, in normal form, satisfies the condition that ``bind_inside`` made for it."""
    if attribute.is_complex and not isinstance(element, Mapping):
        return False
    return _holds(condition, _values_in(element))


def count_tests(condition: Condition) -> int:
    """How many tests of one attribute the condition has, each of which may have to be made."""
    match condition:
        case And(terms) | Or(terms):
            return sum(count_tests(term) for term in terms)
        case Not(term):
            return count_tests(term)
        case Elements(_, inner):
            return count_tests(inner)
        case _:
            return 1


_ValuesOf = Callable[[Target], list[object]]


def _holds(condition: Condition, values_of: _ValuesOf) -> bool:
    match condition:
        case Comparison(target, operator, operand):
            found, compare = values_of(target), _COMPARE[operator]
            # Spec F-025: what has no value differs from every value.
            return any(compare(value, operand) for value in found) or (operator == "ne" and not found)
        case Present(target):
            return any(_is_present(value) for value in values_of(target))
        case And(terms):
            return all(_holds(term, values_of) for term in terms)
        case Or(terms):
            return any(_holds(term, values_of) for term in terms)
        case Not(term):
            return not _holds(term, values_of)
        case Elements(target, inner):
            return any(_holds(inner, _values_in(element)) for element in values_of(target))
        case Nothing():
            return False
        case _:
            assert_never(condition)


def _values_in(element: object) -> _ValuesOf:
    return lambda target: _parts(target.sub, element)


def _values(target: Target, resource: Mapping[str, object]) -> list[object]:
    """All values that the target reaches in the resource."""
    holder = resource if target.extension is None else resource.get(target.extension)
    if target.attribute is None:
        return [] if holder is None else [holder]
    found = holder.get(target.attribute.name) if isinstance(holder, Mapping) else None
    if found is None:
        return []
    elements = found if isinstance(found, list) else [found]
    return elements if target.sub is None else [value for element in elements for value in _parts(target.sub, element)]


def _parts(sub: Attribute | None, element: object) -> list[object]:
    """The values of the sub-attribute in one element; without a sub-attribute, the simple element itself."""
    if sub is None:
        return [element]
    found = element.get(sub.name) if isinstance(element, Mapping) else None
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _is_present(value: object) -> bool:
    """Whether there is anything in the value but nulls and empty strings; false and 0 are something (spec F-024)."""
    if isinstance(value, Mapping):
        return any(_is_present(part) for part in value.values())
    if isinstance(value, list):
        return any(_is_present(part) for part in value)
    return value is not None and value != ""
