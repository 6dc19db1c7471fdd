"""No statement that a request or a write runs reads a whole table: SQLite's own plan says so."""

import re
from types import ModuleType

import pytest

from scimhub.directory.ports import After, Selection
from scimhub.scim.catalog import Kind, standard_catalog
from scimhub.sqlstore import (
    braking,
    changes,
    counters,
    destinations,
    directories,
    execution,
    ledger,
    memberships,
    resyncs,
    rows,
    selection,
    sources,
    states,
    tombstones,
    walking,
)
from scimhub.sqlstore.selection import Asked
from scimhub.sqlstore.sqlite.dialect import SQLITE
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.test_reading import condition, target

USER, GROUP = (standard_catalog().kinds[name] for name in ("User", "Group"))
MODULES = (
    braking,
    changes,
    counters,
    destinations,
    directories,
    execution,
    ledger,
    memberships,
    resyncs,
    rows,
    sources,
    states,
    tombstones,
    walking,
)
# Tables that grow with the resources.
GROWING = {
    *("resources", "links", "unique_values", "attribute_values", "memberships", "unmapped"),
    *("changes", "tombstones", "tombstone_links", "remote_resources", "remote_members"),
}
ALIASES = {"r": "resources", "l": "links", "u": "unique_values", "m": "memberships", "given": "links"}
_STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


def statements(module: ModuleType) -> list[tuple[str, str]]:
    """The complete statements among the module's constants."""
    texts = [(name, text) for name, text in vars(module).items() if isinstance(text, str) and _STATEMENT.match(text)]
    return [(f"{module.__name__.rpartition('.')[2]}.{name}", text) for name, text in texts]


# What stands at the beginning of other statements.
BEGINNINGS = {"directories._COLUMNS", "sources._SOURCE", "sources._TOKEN", "walking.SELECT"}
STATEMENTS = [pair for module in MODULES for pair in statements(module) if pair[0] not in BEGINNINGS]


def plan_of(store: SqlStore, sql: str) -> list[str]:
    numbered = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    values = (None,) * (max(numbered) if numbered else sql.count("?"))
    return store.database.read_here(
        lambda connection: [row[3] for row in connection.fetch(f"EXPLAIN QUERY PLAN {sql}", values)]
    )


def scans(plan: list[str]) -> list[str]:
    """The steps that walk through all of a growing table, with or without an index."""
    scanned = [re.match(r"SCAN (\w+)", step) for step in plan]
    return [match[0] for match in scanned if match and ALIASES.get(match[1], match[1]) in GROWING]


def test_there_are_statements_to_look_at():
    assert len(STATEMENTS) > 40


@pytest.mark.parametrize("name, sql", STATEMENTS, ids=[name for name, _ in STATEMENTS])
async def test_a_statement_is_answered_by_indexes(store: SqlStore, name: str, sql: str):
    assert scans(plan_of(store, sql)) == []


def explained(store: SqlStore, wanted: Selection) -> list[str]:
    return store.database.read_here(lambda connection: selection.explain(connection, Asked(wanted, "0a0b0c0d", SQLITE)))


@pytest.mark.parametrize(
    "filter, index",
    [
        ('userName eq "kim"', "sqlite_autoindex_unique_values|PRIMARY KEY"),
        ('userName sw "kim"', "PRIMARY KEY"),
        ('emails.value eq "kim@example.com"', "PRIMARY KEY"),
        ('emails[type eq "work" and value eq "kim@example.com"]', "PRIMARY KEY"),
        ('externalId eq "e1"', "links_by_external_id"),
        ('id eq "u1"', "sqlite_autoindex_resources_1"),
        ('userName eq "kim" and active eq true', "PRIMARY KEY"),
        ('userName eq "kim" or userName eq "sam"', "PRIMARY KEY"),
    ],
)
async def test_an_indexed_filter_goes_from_index_to_row(store: SqlStore, filter: str, index: str):
    plan = explained(store, Selection(1, 1, {USER: condition(filter)}))
    assert scans(plan) == []
    assert any("r USING INTEGER PRIMARY KEY" in step or "SEARCH r USING INDEX sqlite_autoindex" in step for step in plan), plan
    assert any(re.search(index, step) for step in plan), plan
    assert not any("resources_by_kind" in step for step in plan), plan


@pytest.mark.parametrize("after", [None, After(100)])
async def test_a_plain_list_walks_an_index_without_sorting(store: SqlStore, after: After | None):
    for conditions in ({USER: None}, {USER: None, GROUP: None}):
        plan = explained(store, Selection(1, 1, conditions, after=after))
        assert scans(plan) == []
        assert any("COVERING INDEX resources_by_kind" in step for step in plan), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("after", [None, After(100, "kim")])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("kind, path", [(USER, "userName"), (GROUP, "displayName")])
async def test_a_list_sorted_by_an_index_is_read_from_it(store, kind: Kind, path: str, descending: bool, after: After | None):
    wanted = Selection(1, 1, {kind: None}, {kind: target(path, kind)}, descending=descending, after=after)
    plan = explained(store, wanted)
    assert re.match(r"SEARCH i USING PRIMARY KEY \(directory=\? AND kind=\? AND path=\?", plan[0]), plan
    assert ("value" in plan[0]) == (after is not None), plan
    # Within equal values, and no further, the order may have to be made.
    assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), plan


async def test_the_history_of_one_resource_has_an_index(store: SqlStore):
    assert plan_of(store, changes._OF_RESOURCE) == [
        "SEARCH changes USING INDEX changes_by_resource (resource_id=? AND position>? AND position<?)"
    ]


@pytest.mark.parametrize(
    "sql, step",
    [
        (ledger._AWAITING, "remote_resources USING INDEX remote_resources_by_awaited (destination=? AND awaits=?)"),
        (ledger._GROUPS, "remote_members USING INDEX remote_members_by_member (destination=? AND member_id=?)"),
    ],
)
async def test_what_follows_each_person_does_not_read_all_of_the_destination(store: SqlStore, sql: str, step: str):
    assert plan_of(store, sql) == [f"SEARCH {step}"]


async def test_who_has_some_remote_ids_is_asked_of_their_index(store: SqlStore):
    index = "remote_resources_by_remote_id (destination=? AND resource_type=? AND remote_id=?)"
    assert f"SEARCH remote_resources USING INDEX {index}" in plan_of(store, ledger._CLAIMS)
