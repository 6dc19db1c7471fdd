"""SCIM filters in a destination's settings, asked of what changes tell: resources without what lies outside of them."""

from collections.abc import Iterator, Mapping

from scimhub.scim import expressions, filters, matching, normal
from scimhub.scim.catalog import COMMON_NAMES, Kind, Target
from scimhub.scim.filters import And, Comparison, Condition, Elements, Not, Nothing, Or, Present

# What a change's images do not have, so that a filter on it could not be answered.
OUTSIDE = COMMON_NAMES - {"id", "schemas"} | {"members", "groups"}


def bind(text: str, kind: Kind) -> Condition:
    """What the filter means for resources of the kind; raises ScimError."""
    return filters.bind(expressions.parse(text), kind, lenient=True)


def untold(condition: Condition) -> str:
    """The attributes that the condition asks for and a change does not tell, joined by "and"; empty when all is well."""
    return " and ".join(sorted({top for top in _tops(condition) if top in OUTSIDE}))


def holds(condition: Condition, kind: Kind, id: str, document: Mapping[str, object]) -> bool:
    """Whether the resource with that document satisfies the condition."""
    image = {**normal.normal_form(document, kind), "id": id, "schemas": document.get("schemas", [])}
    return matching.matches(condition, image)


def _tops(condition: Condition) -> Iterator[str]:
    """The names of the top-level attributes that the condition asks for."""
    match condition:
        case Comparison(target) | Present(target) | Elements(target):
            yield from _top(target)
        case And(terms) | Or(terms):
            for term in terms:
                yield from _tops(term)
        case Not(term):
            yield from _tops(term)
        case Nothing():
            return


def _top(target: Target) -> Iterator[str]:
    if target.extension is None and target.attribute is not None:
        yield target.attribute.name
