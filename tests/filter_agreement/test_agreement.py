"""Memory and database give the same answer to the same condition, whatever the condition and the resources."""

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimhub.scim import matching, values
from scimhub.scim.catalog import COMMON_ATTRIBUTES, Kind, Target
from scimhub.scim.filters import And, Comparison, Condition, Elements, Not, Nothing, Or, Present
from scimhub.scim.schema import Attribute
from scimhub.sqlstore import filter_sql
from tests.filter_agreement.population import (
    DIRECTORY,
    LONG_TEXTS,
    TEXTS,
    Member,
    Tables,
    catalog,
    context,
    pool,
    populate,
    searched,
)

CATALOG = catalog()
SEARCHED = searched(CATALOG)


@cache
def targets(kind: Kind) -> tuple[Target, ...]:
    """All that can be named in a filter on this kind, but for what the database refuses."""
    homes = [(None, (*COMMON_ATTRIBUTES, *kind.base.attributes))]
    homes += [(urn, schema.attributes) for urn, schema in kind.extensions.items()]
    found = []
    for urn, attributes in homes:
        for attribute in attributes:
            if attribute.returned == "never":
                continue
            found.append(Target(urn, attribute))
            found += [Target(urn, attribute, sub) for sub in attribute.sub_attributes if is_offered(kind, attribute, sub)]
    return (*found, *(Target(urn, None) for urn in kind.extensions))


def is_offered(kind: Kind, attribute: Attribute, sub: Attribute) -> bool:
    if attribute.name == "members" and kind.has_members:
        return sub.name in ("value", "type")
    return sub.name != "$ref" if attribute.name == "groups" and kind.shows_groups else True


def is_simple(target: Target) -> bool:
    return target.leaf is not None and not target.leaf.is_complex


def operators(leaf: Attribute) -> list[str]:
    ordered = [] if leaf.type in ("boolean", "binary") else ["gt", "ge", "lt", "le"]
    textual = ["co", "sw", "ew"] if leaf.type in ("string", "reference") else []
    return ["eq", "ne", *ordered, *textual]


def operands(leaf: Attribute) -> list[object]:
    return list(dict.fromkeys(values.operand(leaf, value, leaf.name) for value in pool(leaf)))


def leaves(chosen: tuple[Target, ...]) -> st.SearchStrategy[Condition]:
    simple = [target for target in chosen if is_simple(target)]
    # What an index or another table answers is half of the code and a tenth of the names.
    special = [target for target in simple if target.leaf.indexed or target.leaf.uniqueness != "none" or is_apart(target)]
    return st.one_of(
        st.sampled_from(simple).flatmap(comparisons),
        st.sampled_from(special or simple).flatmap(comparisons),
        st.sampled_from(chosen).map(Present),
    )


def is_apart(target: Target) -> bool:
    return target.attribute.name in ("id", "externalId", "schemas", "meta", "members", "groups")


def comparisons(target: Target) -> st.SearchStrategy[Condition]:
    leaf = target.leaf
    literals = st.sampled_from(operands(leaf))
    if leaf.type in ("string", "reference"):
        texts = st.sampled_from(TEXTS) | st.text(max_size=3).filter(values.is_usable)
        # Pieces of what may be there.
        pieces = st.tuples(st.sampled_from(LONG_TEXTS), st.integers(0, 4), st.integers(3, 110))
        texts = texts | pieces.map(lambda piece: piece[0][piece[1] : piece[1] + piece[2]])
        literals = literals | texts.map(lambda text: values.operand(leaf, text, leaf.name))
    return st.builds(Comparison, st.just(target), st.sampled_from(operators(leaf)), literals)


def joined(terms: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(terms, min_size=2, max_size=4).map(tuple)
    return st.one_of(several.map(And), several.map(Or), terms.map(Not))


@cache
def conditions(kind: Kind) -> st.SearchStrategy[Condition]:
    return st.recursive(leaves(targets(kind)) | elements(kind) | st.just(Nothing()), joined, max_leaves=6)


def elements(kind: Kind) -> st.SearchStrategy[Condition]:
    """Conditions in brackets on what is complex or multi-valued."""

    def inside(target: Target) -> st.SearchStrategy[Condition]:
        parts = tuple(
            part for part in targets(kind) if part.attribute is target.attribute and part.extension == target.extension
        )
        parts = tuple(part for part in parts if part.sub is not None or not target.attribute.is_complex)
        inner = st.recursive(leaves(parts), joined, max_leaves=4)
        return inner.map(lambda condition: Elements(target, condition))

    homes = [target for target in targets(kind) if target.sub is None and target.attribute is not None and has_elements(target)]
    return st.sampled_from(homes).flatmap(inside)


def found_by_sql(connection: Tables, kind: Kind, condition: Condition) -> list[int]:
    """What the database finds, be there search indexes or not."""
    asked = filter_sql.compile(condition, context(kind, connection.dialect))
    found = found_in(connection, kind, *asked)
    if is_searched(connection):
        by_index = filter_sql.compile(condition, context(SEARCHED.kinds[kind.name], connection.dialect))
        # Most conditions ask no search index: the same statement once more would find the same.
        if by_index != asked:
            assert found_in(connection, kind, *by_index) == found, condition
    return found


@cache
def is_searched(connection: Tables) -> bool:
    """Whether there are search indexes, which need an extension of PostgreSQL."""
    return bool(connection.fetch("SELECT 1 FROM search_indexes LIMIT 1"))


def found_in(connection: Tables, kind: Kind, text: str, parameters: Sequence[object]) -> list[int]:
    # NULL would be lost in a WHERE; so that it is not, the value itself is looked at.
    query = f"SELECT r.key, {text} FROM resources AS r WHERE r.directory = ? AND r.kind = ? ORDER BY r.key"
    rows = connection.fetch(query, (*parameters, DIRECTORY, kind.name))
    assert all(row[1] in (0, 1) for row in rows)
    where = f"SELECT r.key FROM resources AS r WHERE r.directory = ? AND r.kind = ? AND ({text}) ORDER BY r.key"
    chosen = [row[0] for row in connection.fetch(where, (DIRECTORY, kind.name, *parameters))]
    assert chosen == [row[0] for row in rows if row[1]]
    return chosen


def found_by_matcher(members: list[Member], kind: Kind, condition: Condition) -> list[int]:
    return [member.key for member in members if member.kind is kind and matching.matches(condition, member.full)]


@pytest.mark.parametrize("name", CATALOG.kinds)
@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seed=st.integers(0, 10**6), size=st.integers(1, 10))
def test_memory_and_database_choose_the_same_resources(connection, name, data, seed, size):
    kind = CATALOG.kinds[name]
    members = populate(connection, CATALOG, seed, size)
    for condition in data.draw(st.lists(conditions(kind), min_size=1, max_size=8)):
        assert found_by_sql(connection, kind, condition) == found_by_matcher(members, kind, condition)


@pytest.mark.parametrize(
    "connection", ["sqlite", pytest.param("postgres", marks=pytest.mark.ci)], indirect=True, scope="module"
)
@pytest.mark.parametrize("name", CATALOG.kinds)
def test_they_agree_on_every_target_and_operator(connection, name):
    kind, random = CATALOG.kinds[name], Random(name)
    members = populate(connection, CATALOG, 1, 60)
    hits = 0
    for target in targets(kind):
        for condition in simple_conditions(target, random):
            chosen = found_by_sql(connection, kind, condition)
            assert chosen == found_by_matcher(members, kind, condition), condition
            hits += len(chosen)
    assert hits > 1000


def simple_conditions(target: Target, random: Random) -> Iterator[Condition]:
    yield Present(target)
    if not is_simple(target):
        return
    known = operands(target.leaf)
    for operator in operators(target.leaf):
        for operand in random.sample(known, min(6, len(known))):
            comparison = Comparison(target, operator, operand)
            yield comparison
            if has_elements(target):
                home = Target(target.extension, target.attribute)
                yield Elements(home, comparison)
                yield Elements(home, Not(comparison))
                yield Elements(home, And((comparison, Comparison(target, "ne", random.choice(known)))))
    equalities = [Comparison(target, "eq", operand) for operand in random.sample(known, min(3, len(known)))]
    yield Or((*equalities, Comparison(target, operators(target.leaf)[-1], known[-1])))
    yield Not(Or(tuple(equalities)))
    yield And((equalities[0], equalities[-1]))
    yield And((equalities[0], Not(equalities[0])))


def has_elements(target: Target) -> bool:
    return target.attribute.is_complex or target.attribute.multi_valued
