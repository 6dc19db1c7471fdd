"""Where there are many resources, an indexed filter goes from an index to its rows; the server's own plan says so."""

import re
from collections.abc import Iterator

import pytest

from scimhub.directory.ports import After, Selection
from scimhub.scim import filters
from scimhub.scim.catalog import ENTERPRISE_URN, Catalog
from scimhub.sqlstore import braking, lookup, memberships, rows, selection
from scimhub.sqlstore.postgres.database import PLANNING
from scimhub.sqlstore.postgres.dialect import POSTGRES
from scimhub.sqlstore.selection import Asked
from tests.filter_agreement.population import DIRECTORY, SOURCE, catalog, index_all, searched
from tests.filter_agreement.test_index_use import INDEXED, SEARCHED
from tests.servers import blocking
from tests.servers.blocking import Blocking
from tests.servers.postgres import Server, lacks_trigrams
from tests.store_contract.test_reading import target

CATALOG = catalog()
MANY = 20_000
CHOSEN = ("userName", "title", "displayName", "name.familyName", "emails.value", "department")

_FILL = f"""
INSERT INTO resources (key, id, directory, kind, version, created, last_modified, document, normal)
SELECT n, 'u' || n, {DIRECTORY}, CASE WHEN n % 20 = 0 THEN 'Group' WHEN n % 7 = 0 THEN 'Badge' ELSE 'User' END, 1,
    '2026-11-23T10:00:00.000Z', '2026-11-23T10:00:00.000Z', '{{}}',
    jsonb_build_object(
        'userName', 'user' || n, 'title', chr((97 + n % 26)::int) || n || 'title', 'displayName', 'name' || n,
        'name', jsonb_build_object('familyName', 'family' || n),
        'emails', jsonb_build_array(jsonb_build_object(
            'type', 'work', 'value', CASE n % 100 WHEN 0 THEN 'kim' ELSE 'sam' END || n || '@example.com')),
        '{ENTERPRISE_URN}', jsonb_build_object('department', 'department' || n))
FROM generate_series(1, {MANY}) AS n;
INSERT INTO unique_values (directory, kind, path, value, resource)
SELECT {DIRECTORY}, kind, 'userName', 'user' || key, key FROM resources;
INSERT INTO attribute_values (directory, kind, path, value, resource)
SELECT {DIRECTORY}, kind, path, path || key, key FROM resources, unnest(ARRAY['emails.value', 'displayName']) AS path;
INSERT INTO links (source, resource, external_id, directory) SELECT {SOURCE}, key, 'x' || key, {DIRECTORY} FROM resources;
INSERT INTO memberships (group_key, member) SELECT 20 * (1 + key % 900), key FROM resources;
ANALYZE"""


@pytest.fixture(scope="module")
def connection(postgres_server: Server) -> Iterator[Blocking]:
    with blocking.opened(postgres_server) as opened:
        if blocking.has_trigrams(opened):
            opened.read(lambda connection: index_all(connection, CHOSEN))
        for statement in _FILL.split(";\n"):
            opened.execute(statement)
        for (number,) in opened.fetch("SELECT number FROM search_indexes"):
            for statement in POSTGRES.texts.settle(number):
                opened.execute(statement)
        for name, value in PLANNING.items():
            opened.execute(f"SET {name} = {value}")
        yield opened


def plan_of(connection: Blocking, sql: str, values: tuple[object, ...]) -> str:
    return "\n".join(row[0] for row in connection.fetch(f"EXPLAIN {sql}", values))


def scanned(plan: str) -> set[str]:
    """The tables of which all rows are read, and the walks through all of a kind."""
    tables = set(re.findall(r"Seq Scan on (resources|links|\w+_values|memberships|changes)\b", plan))
    walks = re.findall(r"(resources_by_kind).*\n\s+Index Cond: (.*)", plan)
    return tables | {index for index, condition in walks if "key = " not in condition}


def asked(name: str, text: str | None, kinds: Catalog = CATALOG, **more: object) -> Asked:
    kind = kinds.kinds[name]
    condition = None if text is None else filters.bind(filters.parse(text), kind, lenient=True)
    return Asked(Selection(DIRECTORY, SOURCE, {kind: condition}, **more), "e5", POSTGRES)


@pytest.mark.parametrize("name, text", INDEXED, ids=lambda value: value[:60])
def test_an_indexed_filter_goes_from_index_to_row(connection: Blocking, name: str, text: str):
    if len(text) > 2000:
        pytest.skip("For five hundred ids of twenty thousand reading them all is no worse.")
    keys = selection._keys(asked(name, text))
    plan = plan_of(connection, f"SELECT key FROM ({keys.sql}) AS chosen ORDER BY key LIMIT 10", keys.values)
    assert scanned(plan) == set(), plan


# Of a thousand groups reading them all is no worse.
@pytest.mark.parametrize("name, text", [pair for pair in SEARCHED if pair[0] == "User"], ids=lambda value: value[:60])
def test_a_search_index_gives_what_else_would_be_scanned(connection: Blocking, name: str, text: str):
    if not connection.fetch("SELECT 1 FROM search_indexes LIMIT 1"):
        pytest.skip(lacks_trigrams())
    keys = selection._keys(asked(name, text, searched(CATALOG, CHOSEN)))
    plan = plan_of(connection, f"SELECT key FROM ({keys.sql}) AS chosen ORDER BY key LIMIT 10", keys.values)
    assert scanned(plan) == set(), plan
    assert re.search(r"on search_\d+_by_(trigram|beginning)|using search_\d+_by_beginning", plan), plan
    assert "Seq Scan on search_" not in plan


def test_a_look_up_goes_from_index_to_row(connection: Blocking):
    wanted = asked("User", 'userName eq "user5"')
    found = lookup.question(wanted.selection, wanted.dialect)
    assert found is not None
    assert scanned(plan_of(connection, *found)) == set()
    assert scanned(plan_of(connection, rows.FIND, (SOURCE, "u5", DIRECTORY, "User"))) == set()


class Noted:
    """Takes down what is asked, and finds nothing."""

    def fetch(self, sql: str, values: tuple[object, ...]) -> list[object]:
        self.asked = sql, values
        return []


@pytest.mark.parametrize("after", [None, After(100)])
def test_a_page_does_not_read_all_memberships(connection: Blocking, after: After | None):
    noted = Noted()
    selection._rows(noted, asked("User", None, after=after, limit=200))
    plan = plan_of(connection, *noted.asked)
    assert scanned(plan) == set(), plan


def test_the_groups_of_a_pages_resources_do_not_read_all_memberships(connection: Blocking):
    keys = str([*range(1, 200)])
    assert scanned(plan_of(connection, memberships.DIRECT_GROUPS, (keys,))) == set()


@pytest.mark.parametrize("after", [None, After(100, "user5")])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name, path", [("User", "userName"), ("Group", "displayName")])
def test_a_list_sorted_by_an_index_is_read_from_it(connection: Blocking, name, path, descending, after):
    kind = CATALOG.kinds[name]
    wanted = asked(name, None, sort={kind: target(path, kind)}, descending=descending, after=after)
    noted = Noted()
    selection._rows(noted, wanted)
    plan = plan_of(connection, *noted.asked)
    assert scanned(plan) == set(), plan
    assert re.search(r"Index (Only )?Scan (Backward )?using (unique|attribute)_values_pkey", plan), plan
    # Within equal values, and no further, the order may have to be made.
    assert not re.search(r"(^|->  )Sort  \(", plan, re.MULTILINE), plan


@pytest.mark.parametrize("after", [None, After(100)])
def test_a_plain_list_walks_an_index_without_sorting(connection: Blocking, after: After | None):
    keys = selection._keys(asked("User", None, after=after))
    plan = plan_of(connection, f"SELECT key FROM ({keys.sql}) AS chosen ORDER BY key LIMIT 10", keys.values)
    assert re.search(r"Index (Only )?Scan using (resources_by_kind|resources_pkey)", plan), plan
    assert "Sort" not in plan


@pytest.mark.parametrize("sql, more", [(braking._COUNT, 0), (braking._KEPT_IDS, 0), (braking._KEPT_REMOVALS, 2)])
def test_the_log_is_not_walked_for_each_removal_that_the_brake_keeps(postgres_server: Server, sql: str, more: int):
    # A statement is planned once, and this one while nothing is held and the log is empty.
    with blocking.opened(postgres_server) as fresh:
        for name, value in PLANNING.items():
            fresh.execute(f"SET {name} = {value}")
        fresh.execute(f"PREPARE kept (bigint, text, text{', bigint' * more}) AS {sql}")
        plan = plan_of(fresh, f"EXECUTE kept (1, NULL, NULL{', 0' * more})", ())
        assert "Seq Scan on changes" not in plan, plan
        # Nothing of the log is read where all are meant.
        assert "Join" not in plan.split("SubPlan")[0], plan
