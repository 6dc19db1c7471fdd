"""Filters as understood: conditions on the attributes of one resource type.

``bind`` takes a tree as written, finds what its names denote and checks that operators and literals fit. What it
returns, a Condition, is all that ``matching`` and the store ever see: operands are in normal form, and complex
attributes have been replaced by the sub-attribute that is meant.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from scimhub.scim import errors, values
from scimhub.scim.catalog import AmbiguousName, Kind, Target
from scimhub.scim.expressions import (
    All,
    Any,
    Bracket,
    Expression,
    Literals,
    Negation,
    Operator,
    Test,
    ValuePath,
    parse,
    parse_value_path,
)
from scimhub.scim.notes import Notes
from scimhub.scim.paths import AttributePath
from scimhub.scim.schema import Attribute

__all__ = [
    "And",
    "Comparison",
    "Condition",
    "Elements",
    "Expression",
    "Not",
    "Nothing",
    "Operator",
    "Or",
    "Present",
    "ValuePath",
    "bind",
    "bind_inside",
    "parse",
    "parse_value_path",
]

Unknown = Literal["error", "absent"]
# The name of the dialect rule by which a string stands for a boolean.
STRING_BOOLEAN = "string-boolean"


# Not frozen, since each look-up makes one: that would take three times as long. Nobody changes it.
@dataclass(slots=True, unsafe_hash=True)
class Comparison:
    """Some value of the target compares so with the operand, which is in normal form.

    ``ne`` also holds when there is no value (spec F-025).
    """

    target: Target
    operator: Operator
    operand: values.Normal


@dataclass(frozen=True, slots=True)
class Present:
    """The target has a value that is not empty."""

    target: Target


@dataclass(frozen=True, slots=True)
class And:
    """All terms hold."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one term holds."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold."""

    term: "Condition"


@dataclass(frozen=True, slots=True)
class Elements:
    """The condition holds on one same element of the target.

    Targets inside name the same attribute with a sub-attribute; without one they mean the simple element itself.
    """

    target: Target
    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Nothing:
    """Never holds: the type does not have the attribute (RFC 7644 §3.4.2.1)."""


Condition = Comparison | Present | And | Or | Not | Elements | Nothing


# --------------------------------------------------------------------------- binding


def bind(
    expression: Expression,
    kind: Kind,
    *,
    lenient: bool,
    unknown: Unknown = "error",
    notes: Notes | None = None,
) -> Condition:
    """What the filter means for resources of this kind; raises ScimError invalidFilter or sensitive.

    ``unknown`` says what an attribute is that the kind does not have: a mistake, or without value, as in a search over
    several kinds (RFC 7644 §3.4.2.1). ``sensitive`` is meant for URLs (RFC 7644 §7.5.2); where the filter came in a
    body, the caller makes it invalidFilter. Rewritten literals are told to ``notes``.
    """
    if isinstance(expression, Test) and isinstance(expression.value, str) and expression.operator != "pr":
        # What is sought seldom comes again; where it is sought does.
        compared = _compared(expression.path, expression.operator, kind, lenient, unknown)
        if compared is not None:
            target, leaf = compared
            return Comparison(target, expression.operator, values.operand(leaf, expression.value, expression.path.text))
    bind_one = _bind_cached if not isinstance(expression, Test) and _is_small(expression) else _bind
    condition, rewrites = bind_one(expression, kind, lenient, unknown)
    if notes is not None:
        for rule in rewrites:
            notes.rewrote(rule)
    return condition


def bind_inside(expression: Expression, target: Target, *, lenient: bool, notes: Notes | None = None) -> Condition:
    """What the filter in the brackets of a PATCH path means for one element of the target's attribute."""
    attribute = target.attribute
    if attribute is None or target.sub is not None or not (attribute.is_complex or attribute.multi_valued):
        raise errors.invalid_filter(f"{target.key} has no elements that a filter could choose from.")
    binder = _ElementBinder(lenient)
    condition = binder.inside(expression, target.extension, attribute)
    if notes is not None:
        for rule in binder.rewrites:
            notes.rewrote(rule)
    return condition


def _bind(expression: Expression, kind: Kind, lenient: bool, unknown: Unknown) -> tuple[Condition, tuple[str, ...]]:
    binder = _Binder(lenient, kind=kind, unknown=unknown)
    return binder.condition(expression), tuple(binder.rewrites)


@lru_cache(maxsize=1024)
def _compared(
    path: AttributePath, operator: Operator, kind: Kind, lenient: bool, unknown: Unknown
) -> tuple[Target, Attribute] | None:
    """What such a test compares with a string, and its attribute; None where only the string tells. Raises as ``bind``."""
    binder = _Binder(lenient, kind=kind, unknown=unknown)
    target = binder.find(path)
    if target is None:
        return None
    target, leaf = binder.compared(target, path.text, operator)
    # A string may stand for a boolean.
    return None if leaf.type == "boolean" else (target, leaf)


# The key is the identity of expression and kind, both of which come from caches themselves.
_bind_cached = lru_cache(maxsize=1024)(_bind)


def _is_small(expression: Expression) -> bool:
    """Whether the tree is so small that keeping it costs nothing."""
    match expression:
        case Test():
            return True
        case Bracket():
            return _is_small(expression.inner)
        case Negation():
            return _is_small(expression.term)
        case _:
            return len(expression.terms) <= 8 and all(isinstance(term, Test | Bracket) for term in expression.terms)


_ORDERING = frozenset({"gt", "ge", "lt", "le"})
_TEXTUAL = frozenset({"co", "sw", "ew"})


@dataclass(slots=True)
class _ElementBinder:
    """Binds what stands in brackets, where only the parts of one attribute can be named."""

    lenient: bool
    rewrites: list[str] = field(default_factory=list)

    def inside(self, expression: Expression, extension: str | None, attribute: Attribute) -> Condition:
        """The condition on one element of the attribute."""
        match expression:
            case Test():
                return self._test(expression, _part(expression.path, extension, attribute))
            case Bracket():
                raise errors.invalid_filter(
                    f"The filter has brackets inside the brackets of {attribute.name}; one pair is enough."
                )
            case _:
                return self._joined(expression, lambda term: self.inside(term, extension, attribute))

    def _joined(self, expression: All | Any | Negation, bind_term: Callable[[Expression], Condition]) -> Condition:
        match expression:
            case All():
                return And(tuple(bind_term(term) for term in expression.terms))
            case Any():
                return Or(tuple(bind_term(term) for term in expression.terms))
            case Negation():
                return Not(bind_term(expression.term))

    def _test(self, test: Test, target: Target) -> Condition:
        where = test.path.text
        self._refuse_hidden_parts(target, where)
        if test.operator == "pr":
            return Present(target)
        if test.value is None:
            # RFC 7643 §2.5: null is the same as no value.
            if test.operator == "eq":
                return Not(Present(target))
            if test.operator == "ne":
                return Present(target)
            raise errors.invalid_filter(f"{where} {test.operator} null compares with nothing; null goes with eq and ne only.")
        target, leaf = self.compared(target, where, test.operator)
        return Comparison(target, test.operator, values.operand(leaf, self._mended(leaf, test.value), where))

    def compared(self, target: Target, where: str, operator: Operator) -> tuple[Target, Attribute]:
        """The simple values of the target that can be compared so, and their attribute."""
        self._refuse_hidden_parts(target, where)
        target, leaf = self._simple(target, where)
        if leaf.type in ("boolean", "binary") and operator in _ORDERING:
            # RFC 7644 table 3: such a filter shall fail.
            raise errors.invalid_filter(f"{where} is {leaf.type}, which has no order; use eq or ne instead of {operator}.")
        if leaf.type not in ("string", "reference") and operator in _TEXTUAL:
            raise errors.invalid_filter(f"{where} is of type {leaf.type}; {operator} looks into strings only.")
        return target, leaf

    def _simple(self, target: Target, where: str) -> tuple[Target, Attribute]:
        """The target and its leaf, with ``value`` added where a complex attribute stands for it (spec F-023)."""
        attribute = target.attribute
        if attribute is None:
            raise errors.invalid_filter(f"{where} is a whole schema extension; name one of its attributes, or use pr.")
        if target.sub is not None or not attribute.is_complex:
            return target, target.sub or attribute
        # Entra asks manager eq "…" where RFC 7644 wants manager.value; vectors/entra-manager-reference-probe-hit.json
        sub = attribute.find("value") if attribute.multi_valued or self.lenient else None
        if sub is None:
            choices = ", ".join(f"{where}.{part.name}" for part in attribute.sub_attributes[:5])
            raise errors.invalid_filter(f"{where} is complex; compare one of its sub-attributes, such as {choices}.")
        return Target(target.extension, attribute, sub), sub

    def _mended(self, leaf: Attribute, value: Literals) -> Literals:
        # Entra writes roles[primary eq "True"]; spec IDP-02
        if self.lenient and leaf.type == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
            self.rewrites.append(STRING_BOOLEAN)
            return value.lower() == "true"
        return value

    def _refuse_hidden_parts(self, target: Target, where: str) -> None:
        for attribute in (target.attribute, target.sub):
            if attribute is not None:
                self._refuse_hidden(attribute, where)

    def _refuse_hidden(self, attribute: Attribute, where: str) -> None:
        # Else a filter could find out, letter by letter, what is never shown (spec F-034).
        if attribute.returned == "never" or attribute.mutability == "writeOnly":
            raise errors.sensitive(f"{where} is never returned and cannot be filtered on; leave it out of the filter.")


@dataclass(slots=True, kw_only=True)
class _Binder(_ElementBinder):
    """Binds a whole filter on resources of one kind."""

    kind: Kind
    unknown: Unknown

    def condition(self, expression: Expression) -> Condition:
        match expression:
            case Test():
                target = self.find(expression.path)
                return _without_value(expression) if target is None else self._test(expression, target)
            case Bracket():
                return self._bracket(expression)
            case _:
                return self._joined(expression, self.condition)

    def _bracket(self, expression: Bracket) -> Condition:
        target = self.find(expression.path)
        if target is None:
            return Nothing()
        attribute = target.attribute
        if attribute is None or target.sub is not None or not (attribute.is_complex or attribute.multi_valued):
            raise errors.invalid_filter(
                f'{expression.path.text} has no elements; brackets follow an attribute such as emails[type eq "work"].'
            )
        self._refuse_hidden(attribute, expression.path.text)
        inner = self.inside(expression.inner, target.extension, attribute)
        if expression.test is not None:
            # What follows the brackets speaks of the element that they chose (spec F-017).
            outer = self._test(expression.test, _part(expression.test.path, target.extension, attribute))
            inner = And((inner, outer))
        return Elements(target, inner)

    def find(self, path: AttributePath) -> Target | None:
        """What the path denotes; None, or ScimError invalidFilter, when the kind does not have it."""
        try:
            target = self.kind.resolve(path, short_names=self.lenient)
        except AmbiguousName as error:
            raise errors.invalid_filter(str(error)) from error
        if target is None and self.unknown == "error":
            raise errors.invalid_filter(
                f"{path.text[:100]} is no attribute of {self.kind.name}; see /Schemas for the names that can be filtered on."
            )
        return target


def _part(path: AttributePath, extension: str | None, attribute: Attribute) -> Target:
    """What a name inside the brackets of the attribute denotes."""
    if path.urn is None and path.sub is None:
        sub = attribute.find(path.name)
        if sub is not None:
            return Target(extension, attribute, sub)
        if not attribute.is_complex and path.name.lower() == "value":
            # Elements of a simple multi-valued attribute are called value there (E7122).
            return Target(extension, attribute)
    raise errors.invalid_filter(f"{path.text[:100]} is no sub-attribute of {attribute.name}; only those stand in its brackets.")


def _without_value(test: Test) -> Condition:
    """The test on an attribute that has no value because the type does not know it."""
    holds = test.value is None if test.operator == "eq" else test.operator == "ne" and test.value is not None
    return Not(Nothing()) if holds else Nothing()
