"""What counts as indexed is found through an index, and hostile sizes neither break the database nor scan it."""

import re

import pytest

from scimhub.scim import filters
from scimhub.scim.catalog import ENTERPRISE_URN
from scimhub.scim.errors import ScimError
from scimhub.scim.paths import parse_attribute
from scimhub.sqlstore import filter_keys, filter_sql
from scimhub.sqlstore.postgres.dialect import POSTGRES
from scimhub.sqlstore.sqlite.dialect import SQLITE
from tests.filter_agreement.population import (
    BADGE_URN,
    DIRECTORY,
    catalog,
    context,
    index_all,
    open_sqlite,
    populate,
    searched,
)

CATALOG = catalog()
SEARCHABLE = searched(CATALOG)

INDEXED = [
    ("User", 'userName eq "kim"'),
    ("User", 'userName sw "k"'),
    ("User", 'id eq "u1"'),
    ("User", 'externalId eq "e1"'),
    ("User", 'externalId sw "e"'),
    ("User", 'emails eq "kim@x.example"'),
    ("User", 'emails.value sw "kim@"'),
    ("User", 'emails[type eq "work" and value eq "kim@x.example"]'),
    ("User", 'emails[type eq "work"].value eq "kim@x.example"'),
    ("User", f'{ENTERPRISE_URN}:employeeNumber eq "7"'),
    ("User", f'{ENTERPRISE_URN}:manager.value eq "u2"'),
    ("User", 'id eq "u1" and manager eq "u2"'),
    ("User", 'title pr and displayName eq "Kim"'),
    ("User", 'groups.value eq "g1"'),
    ("User", 'groups[value eq "g1" and type eq "direct"]'),
    ("User", 'userName eq "a" or emails.value eq "b" or id eq "c"'),
    ("User", " or ".join(f'id eq "u{number}"' for number in range(500))),
    ("User", 'displayName eq "a" and not (title eq "b")'),
    ("Group", 'members.value eq "u1"'),
    ("Group", 'members[value eq "u1"]'),
    ("Group", 'members eq "u1" and id eq "g1"'),
    ("Group", 'displayName eq "Staff"'),
    ("Badge", f"{BADGE_URN}:count eq 1"),
    ("Badge", "flag eq true or count eq 1 or count eq 2"),
]
SCANNED = [
    ("User", 'title eq "Tour Guide"'),
    ("User", 'userName co "k"'),
    ("User", 'userName sw ""'),
    ("User", 'userName eq ""'),
    ("User", 'userName ne "kim"'),
    ("User", 'not (userName eq "kim")'),
    ("User", 'userName eq "kim" or title eq "x"'),
    ("User", "active eq true"),
    ("User", 'id sw "u"'),
    ("User", "emails[value pr]"),
    ("User", 'meta.lastModified gt "2026-01-01T00:00:00Z"'),
    ("Group", "members pr"),
    ("Group", 'members.type eq "User"'),
    ("Badge", "weight eq 1"),
    ("Badge", "sizes eq 1"),
    ("Badge", 'members eq "a"'),
]


# What a search index answers, and what not even that.
SEARCHED = [
    ("User", 'userName co "kim"'),
    ("User", 'userName ew "kim"'),
    ("User", 'emails co "x.example"'),
    ("User", 'emails[type eq "work" and value co "kim"]'),
    ("User", 'title co "Guide"'),
    ("User", 'title sw "T"'),
    ("User", 'title eq "Tour Guide"'),
    ("User", 'name.familyName sw "O"'),
    ("User", f'{ENTERPRISE_URN}:department co "ales"'),
    ("User", 'active eq true and displayName co "kim"'),
    ("User", 'userName co "kim" or title eq "Boss" or emails.value ew "example"'),
    ("Group", 'displayName co "Staff"'),
]
NOT_SEARCHED = [
    ("User", 'userName co "ki"'),
    ("User", 'userName ew "m"'),
    ("User", 'not (userName co "kim")'),
    ("User", 'title ne "Boss"'),
    ("User", 'title gt "Boss"'),
    ("User", 'userName co "kim" or active eq true'),
    ("User", 'externalId co "abc"'),
]


@pytest.fixture(scope="module")
def connection():
    with open_sqlite() as opened:
        index_all(opened)
        populate(opened, CATALOG, 2, 40)
        yield opened


def bound(name, text, kinds=CATALOG):
    return filters.bind(filters.parse(text), kinds.kinds[name], lenient=True)


def plan(connection, name, condition, kinds=CATALOG):
    sql, parameters = filter_sql.compile(condition, context(kinds.kinds[name], SQLITE))
    query = f"EXPLAIN QUERY PLAN SELECT r.key FROM resources AS r WHERE +r.directory = ? AND +r.kind = ? AND ({sql})"
    return [row[3] for row in connection.fetch(query, (DIRECTORY, name, *parameters))]


@pytest.mark.parametrize("name, text", INDEXED, ids=lambda value: value[:60])
def test_an_indexed_filter_reads_only_what_the_index_gives(connection, name, text):
    condition = bound(name, text)
    assert filter_sql.is_indexed(condition, context(CATALOG.kinds[name], SQLITE))
    steps = plan(connection, name, condition)
    assert steps[0] == "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"
    # Reading a bound list, the result of a recursion or the elements of one resource is no scan of a table.
    harmless = ("SCAN json_each", "SCAN e ", "SCAN up", "SCAN down", "SCAN g", "SCAN s ", "SCAN t ")
    assert [step for step in steps if step.startswith("SCAN") and not step.startswith(harmless)] == []


@pytest.mark.parametrize("name, text", SEARCHED, ids=lambda value: value[:60])
def test_a_search_index_gives_what_else_would_be_scanned(connection, name, text):
    condition = bound(name, text, SEARCHABLE)
    assert not filter_sql.is_indexed(condition, context(CATALOG.kinds[name], SQLITE))
    assert filter_sql.is_indexed(condition, context(SEARCHABLE.kinds[name], SQLITE))
    steps = plan(connection, name, condition, SEARCHABLE)
    assert steps[0] == "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"
    looked_up = re.compile(r"SCAN search_\d+ VIRTUAL TABLE INDEX 0:M\d|SEARCH beginnings_\d+ USING PRIMARY KEY")
    assert any(looked_up.match(step) for step in steps), steps
    scans = [step for step in steps if step.startswith("SCAN") and not looked_up.match(step)]
    assert [step for step in scans if not step.startswith("SCAN e ")] == []


@pytest.mark.parametrize("name, text", NOT_SEARCHED, ids=lambda value: value[:60])
@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=["sqlite", "postgres"])
def test_what_has_no_three_characters_in_a_row_is_not_searched(name, text, dialect):
    assert not filter_sql.is_indexed(bound(name, text, SEARCHABLE), context(SEARCHABLE.kinds[name], dialect))


def test_punctuation_alone_is_not_searched_on_postgres():
    condition = bound("User", 'userName co "@a.b-c"', SEARCHABLE)
    assert filter_sql.is_indexed(condition, context(SEARCHABLE.kinds["User"], SQLITE))
    assert not filter_sql.is_indexed(condition, context(SEARCHABLE.kinds["User"], POSTGRES))


@pytest.mark.parametrize("name, text", SCANNED, ids=lambda value: value[:60])
def test_what_no_index_answers_is_not_called_indexed(name, text):
    assert not filter_sql.is_indexed(bound(name, text), context(CATALOG.kinds[name], SQLITE))


@pytest.mark.parametrize(
    "text",
    [
        " or ".join(["title pr"] * 1000)[:9999].rpartition(" or ")[0],
        " or ".join(f'userName sw "{number}"' for number in range(400)),
        " and ".join(["(id pr)"] * 700),
        "not (" * 32 + "title pr" + ")" * 32,
        "(title pr or " * 32 + "title pr" + ")" * 32,
        " or ".join(f'emails[type eq "{number}"]' for number in range(400)),
        'title eq "' + "x" * 9000 + '"',
    ],
    ids=lambda text: text[:30],
)
def test_the_largest_filters_are_still_statements(connection, text):
    sql, parameters = filter_sql.compile(bound("User", text), context(CATALOG.kinds["User"], SQLITE))
    connection.fetch(f"SELECT count(*) FROM resources AS r WHERE {sql}", parameters)


@pytest.mark.parametrize(
    "prefix, following",
    [
        ("a", "b"),
        ("az", "a{"),
        ("\ud7ff", "\ue000"),
        ("\uffff", "\U00010000"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff\U0010ffff", None),
    ],
)
def test_a_prefix_ends_where_the_next_text_of_its_length_begins(prefix, following):
    assert filter_keys.successor(prefix) == following


@pytest.mark.parametrize("text", ['members.display eq "x"', 'members.$ref eq "x"', 'members[display eq "x"]'])
def test_what_no_table_holds_of_a_member_is_refused(text):
    with pytest.raises(ScimError) as caught:
        filter_sql.compile(bound("Group", text), context(CATALOG.kinds["Group"], SQLITE))
    assert caught.value.scim_type == "invalidFilter"
    assert "use members.value" in caught.value.detail


def target(name, path):
    found = CATALOG.kinds[name].resolve(parse_attribute(path), short_names=False)
    assert found is not None
    return found


def sorted_values(connection, name, path):
    sql, parameters = filter_sql.sort_expression(target(name, path), context(CATALOG.kinds[name], SQLITE))
    return dict(connection.fetch(f"SELECT r.key, {sql} FROM resources AS r WHERE r.directory = {DIRECTORY}", parameters))


def test_sorting_takes_the_primary_value_else_the_first(connection):
    connection.execute("SAVEPOINT sorting")
    documents = {
        1: '{"emails":[{"value":"b"},{"value":"a","primary":true}]}',
        2: '{"emails":[{"type":"work"},{"value":"d"},{"value":"c","primary":false}]}',
        3: "{}",
        4: '{"emails":[{"type":"work","primary":true},{"value":"e"}]}',
    }
    for key, normal in documents.items():
        connection.execute("UPDATE resources SET normal = jsonb(?) WHERE key = ?", (normal, key))
    found = sorted_values(connection, "User", "emails.value")
    connection.execute("ROLLBACK TO sorting; RELEASE sorting")
    assert {key: found[key] for key in documents} == {1: "a", 2: "d", 3: None, 4: "e"}


def test_sorting_by_a_time_gives_its_normal_form(connection):
    assert set(sorted_values(connection, "User", "meta.created").values()) <= {
        f"2026-02-01T00:00:00.00{number}000000Z" for number in range(3)
    }


@pytest.mark.parametrize(
    "name, path",
    [("User", "name"), ("User", "groups.value"), ("Group", "members.value"), ("User", "schemas"), ("User", "meta")],
)
def test_what_has_no_value_of_its_own_cannot_be_sorted_by(name, path):
    with pytest.raises(ScimError) as caught:
        filter_sql.sort_expression(target(name, path), context(CATALOG.kinds[name], SQLITE))
    assert caught.value.scim_type == "invalidValue"


def test_the_text_of_a_filter_never_reaches_the_sql():
    hostile = "x' OR '1'='1\"; DROP TABLE resources; --"
    condition = bound("User", "userName co " + '"' + hostile.replace('"', '\\"') + '"')
    sql, parameters = filter_sql.compile(condition, context(CATALOG.kinds["User"], SQLITE))
    assert "drop" not in sql.lower()
    assert hostile.lower() in parameters
