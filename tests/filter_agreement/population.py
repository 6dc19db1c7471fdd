"""Random resources of three kinds, in a real database and, independently of it, as the matcher sees them."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

from scimhub.directory import indexes
from scimhub.scim import normal, values
from scimhub.scim.catalog import STANDARD_TYPES as STANDARD
from scimhub.scim.catalog import Catalog, Kind, Search, Target, build_catalog, standard_schemas, with_searches
from scimhub.scim.schema import Attribute, ResourceType, SchemaExtension, parse_schema
from scimhub.sqlstore import filter_keys, searching
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.filter_sql import Context
from scimhub.sqlstore.sqlite import migrate
from scimhub.sqlstore.sqlite.driver import SqliteConnection

BADGE_URN = "urn:example:scim:schemas:Badge"
DIRECTORY, SOURCE, EPOCH, BASE_URL = 7, 3, "e5", "https://hub.example/scim/acme/v2"

# Texts that have made comparisons go wrong: case beyond ASCII, widths, composed and not, wildcards, ends of planes.
TEXTS = [
    *("", "a", "A", "b", "ab", "AB", "aB", "ba", "abc", "a%b", "a_b", "a\\b", "%", "_", "\\", "'", '"', " ", "a b", "1", "10"),
    *(
        "ä",
        "Ä",
        "a\u0308",
        "é",
        "e\u0301",
        "ß",
        "ẞ",
        "ss",
        "İ",
        "i̇",
        "ı",
        "Σ",
        "σ",
        "ς",
        "ΑΣ",
        "ας",
        "ﬁ",
        "Ａ",
        "ｱ",
        "ア",
        "\u3000",
    ),
    *(
        "\ud7ff",
        "\ue000",
        "\uffff",
        "\U00010000",
        "\U00010400",
        "\U00010428",
        "\U0010ffff",
        "a\U0010ffff",
        "a\U0010ffffb",
        "\U0010ffffa",
    ),
]
# Long enough to be searched by trigrams, and longer than what an index keeps of them.
LONG_TEXTS = [
    *("abcabc", "bcab", "Straße Nr. 1", "straSSE", 'o\'neil "x"', "50%_off\\now", "a.b-c@d_e", "...", "___", "   ", "a\nb\nc"),
    *(
        "\ufffdab",
        "\uffffab",
        "\ufffeab",
        "李小龍",
        "小龍馬",
        "ÄÖÜ",
        "äöü!",
        "a\x01bc",
        "ＡＢＣ",
        "ΑΣΑΣ",
        "\U00010400\U00010428x",
    ),
    *("x" * 99 + "end", "x" * 100 + "end", "x" * 101 + "end", "x" * 150),
]
TEXTS += LONG_TEXTS
NUMBERS = [0, 1, -1, 2, 10, 2**31, 2**53, 2**53 + 1, values.MAX_INTEGER, values.MIN_INTEGER]
DECIMALS = [*NUMBERS, 0.0, -0.0, 0.1, 1.0, 1.5, 0.1 + 0.2, 0.3, 1e22, -1e-7, 5e-324, 1.7976931348623157e308, 2.0**63, 2**64]
TIMES = [
    *("2026-01-31T08:00:00Z", "2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00.000Z", "2026-01-31T08:00:00.5Z"),
    *(
        "2026-01-31T08:00:00.500000001Z",
        "2026-01-31T07:59:60Z",
        "2025-12-31T24:00:00Z",
        "2026-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
    ),
]
BINARIES = ["", "QQ==", "QQ", "qq==", "AAAA", "aaaa"]
_POOLS: dict[str, list[object]] = {
    "string": list(TEXTS),
    "reference": [*TEXTS, "https://a.example/x", "https://A.example/x", "../Users/1"],
    "boolean": [True, False],
    "integer": list(NUMBERS),
    "decimal": list(DECIMALS),
    "dateTime": [time for time in TIMES if values.instant(time)],
    "binary": list(BINARIES),
}


def pool(attribute: Attribute) -> list[object]:
    """Values that are right for the attribute."""
    if attribute.name in ("id", "externalId", "value") and attribute.type == "string":
        return [*TEXTS, *(f"id{number}" for number in range(12)), "ID3"]
    if attribute.name == "resourceType" or (attribute.name == "type"):
        return ["User", "Group", "Badge", "user", "direct", "indirect", "Direct", *TEXTS[:6]]
    if attribute.name == "version":
        return [f'W/"{EPOCH}.{number}"' for number in (1, 2, 12)] + ["", "W", 'W/"e4.1"']
    if attribute.name == "location":
        return [f"{BASE_URL}/Users/id3", f"{BASE_URL}/Groups/id3", BASE_URL, "", "id3"]
    if attribute.name == "schemas":
        return [BADGE_URN, *(schema.id for schema in standard_schemas()), "urn:ietf"]
    if attribute.name in ("created", "lastModified"):
        return [*_POOLS["dateTime"], *(f"2026-02-01T00:00:00.00{number}Z" for number in range(4))]
    return _POOLS[attribute.type]


def catalog() -> Catalog:
    """Users that may carry a badge as an extension, groups, and badges as resources."""
    schema = parse_schema(json.loads((Path(__file__).parent / "badges.json").read_text("utf-8")))
    user, group = STANDARD
    user = ResourceType(user.name, user.endpoint, "", user.schema, (*user.extensions, SchemaExtension(BADGE_URN)))
    badge = ResourceType("Badge", "/Badges", "", BADGE_URN)
    return build_catalog(1, (*standard_schemas(), schema), (user, group, badge))


def searched(kinds: Catalog, only: Collection[str] = ()) -> Catalog:
    """The catalog when each attribute that can be searched, or of these ones each, has an index as ``index_all`` makes them."""
    searches: dict[str, dict[str, Search]] = {}
    for number, (kind, target) in enumerate(_searchable(kinds, only), 1):
        searches.setdefault(kind.name, {})[target.key] = Search(number, not filter_keys.has_look_up(target, kind))
    return with_searches(kinds, searches)


def index_all(connection: Any, only: Collection[str] = ()) -> None:
    """Make the search indexes of ``searched``, which what is put in from now on will be in."""
    connection.run(
        "INSERT INTO directories (key, name, created, catalog_version, additions) VALUES (?, 'a', '', 1, '{}')", (7,)
    )
    for number, (kind, target) in enumerate(_searchable(catalog(), only), 1):
        made = searching.create(connection, DIRECTORY, kind, target, "2026-11-26T10:00:00.000Z")
        assert made.number == number


def _searchable(kinds: Catalog, only: Collection[str]) -> Iterator[tuple[Kind, Target]]:
    for kind in kinds.kinds.values():
        for urn, schema in [(None, kind.base), *kind.extensions.items()]:
            for attribute in schema.attributes:
                for sub in attribute.sub_attributes or (None,):
                    target = Target(urn, attribute, sub)
                    is_wanted = not only or target.key.rpartition(":")[2] in only
                    if is_wanted and indexes.problem_of(kind, target, target.key) is None:
                        yield kind, target


class Tables(Protocol):
    """What the tests ask of a database."""

    dialect: Dialect

    def fetch(self, sql: str, values: tuple[Any, ...] = (), /) -> list[Any]: ...

    def execute(self, sql: str, values: tuple[Any, ...] = (), /) -> object: ...

    def executemany(self, sql: str, rows: list[tuple[Any, ...]], /) -> object: ...


@dataclass
class Member:
    """One resource as the matcher sees it, and what the tables need beside ``normal``."""

    key: int
    kind: Kind
    full: dict[str, object]
    normal: dict[str, object]
    version: int
    created: str
    groups: set[int] = field(default_factory=set)


def open_sqlite() -> SqliteConnection:
    """An empty database with the hub's tables."""
    connection = SqliteConnection(":memory:")
    for statement in sorted((Path(migrate.__file__).parent / "migrations").glob("*.sql")):
        connection.execute(statement.read_text("utf-8"))
    return connection


def context(kind: Kind, dialect: Dialect) -> Context:
    return Context(DIRECTORY, kind, SOURCE, EPOCH, BASE_URL, dialect)


def populate(connection: Tables, kinds: Catalog, seed: int, size: int) -> list[Member]:
    """Put so many random resources into the emptied tables, with twins of each in another directory."""
    random = Random(seed)
    for table in ("resources", "links", "unique_values", "attribute_values", "memberships"):
        connection.execute(f"DELETE FROM {table}")
    members = [_create(random, key, random.choice(list(kinds.kinds.values()))) for key in range(1, size + 1)]
    _take_twins_away(members)
    groups = [member for member in members if member.kind.has_members]
    for member in members:
        member.groups = {group.key for group in groups if random.random() < 0.4}
    by_key = {member.key: member for member in members}
    for member in members:
        _show_memberships(member, by_key)
    _insert(connection, members, random)
    return members


def _take_twins_away(members: list[Member]) -> None:
    """Give each unique value to the first that has it, and others to the rest, as the store would see to."""
    taken: set[tuple[str, str, str]] = set()
    for member in members:
        for row in normal.unique_rows(member.normal, member.kind):
            if (member.kind.name, *row) in taken:
                path, _, name = row[0].rpartition(":")
                holders = [member.full, member.normal] if not path else [member.normal[path]]
                for holder in holders:
                    holder[name] += f" {member.key}"
            else:
                taken.add((member.kind.name, *row))


def _create(random: Random, key: int, kind: Kind) -> Member:
    attributes = _normal_object(random, kind.base.attributes, kind)
    for urn, schema in kind.extensions.items():
        extension = _normal_object(random, schema.attributes, kind) if random.random() < 0.6 else {}
        if extension:
            attributes[urn] = extension
    version, created = random.choice((1, 2, 12)), f"2026-02-01T00:00:00.00{random.randrange(3)}Z"
    full = {
        **attributes,
        "id": f"id{key}",
        "schemas": [kind.base.id, *(urn for urn in kind.extensions if urn in attributes)],
        "meta": {
            "resourceType": kind.name,
            "created": values.instant(created),
            "lastModified": values.instant(created),
            "location": f"{BASE_URL}{kind.endpoint}/id{key}",
            "version": f'W/"{EPOCH}.{version}"',
        },
    }
    if random.random() < 0.7:
        full["externalId"] = random.choice(("a", "A", "ext1", "", "ä"))
    return Member(key, kind, full, attributes, version, created)


def _normal_object(random: Random, attributes: tuple[Attribute, ...], kind: Kind | None) -> dict[str, object]:
    found: dict[str, object] = {}
    for attribute in attributes:
        rows = kind is not None and (
            (attribute.name == "members" and kind.has_members) or (attribute.name == "groups" and kind.shows_groups)
        )
        if rows or attribute.returned == "never" or random.random() < 0.45:
            continue
        count = random.choice((1, 2, 3)) if attribute.multi_valued else 1
        elements = [_normal_value(random, attribute) for _ in range(count)]
        elements = [element for element in elements if element != {}]
        if elements:
            found[attribute.name] = elements if attribute.multi_valued else elements[0]
    return found


def _normal_value(random: Random, attribute: Attribute) -> object:
    if attribute.is_complex:
        return _normal_object(random, attribute.sub_attributes, None)
    return values.normal(attribute, random.choice(pool(attribute)))


def _show_memberships(member: Member, by_key: dict[int, Member]) -> None:
    if member.kind.has_members:
        inside = [other for other in by_key.values() if member.key in other.groups]
        if inside:
            member.full["members"] = [{"value": other.full["id"], "type": other.kind.name.lower()} for other in inside]
    if not member.kind.shows_groups or not member.groups:
        return
    reached = set(member.groups)
    while more := {above for key in reached for above in by_key[key].groups} - reached:
        reached |= more
    member.full["groups"] = [_group(by_key[key], key in member.groups) for key in sorted(reached)]


def _group(group: Member, is_direct: bool) -> dict[str, object]:
    shown: dict[str, object] = {"value": group.full["id"], "type": "direct" if is_direct else "indirect"}
    if "displayName" in group.normal:
        shown["display"] = group.normal["displayName"]
    return shown


_RESOURCE = """
INSERT INTO resources (key, id, directory, kind, version, created, last_modified, document, normal)
VALUES (?, ?, ?, ?, ?, ?, ?, '{}', jsonb(?))"""
_VALUE = "INSERT INTO {} (directory, kind, path, value, resource) VALUES (?, ?, ?, ?, ?)"
_LINK = "INSERT INTO links (source, resource, external_id, directory) VALUES (?, ?, ?, ?)"
_MEMBERSHIP = "INSERT INTO memberships (group_key, member) VALUES (?, ?)"


def _insert(connection: Tables, members: list[Member], random: Random) -> None:
    """All rows of the members, each with a twin in another directory, whose id is its own."""
    resources, links = [], []
    values_of: dict[str, list[tuple[Any, ...]]] = {"unique_values": [], "attribute_values": []}
    for member in members:
        text, name = json.dumps(member.normal, ensure_ascii=False), member.kind.name
        for directory, key, id in ((DIRECTORY, member.key, f"id{member.key}"), (DIRECTORY + 1, member.key + 1000, None)):
            row = (key, id or f"other{member.key}", directory, name, member.version, member.created, member.created, text)
            resources.append(row)
            for table, rows in (("unique_values", normal.unique_rows), ("attribute_values", normal.index_rows)):
                values_of[table] += [(directory, name, path, value, key) for path, value in rows(member.normal, member.kind)]
        other = random.choice(("a", "other", None))
        for source, external_id in ((SOURCE, member.full.get("externalId")), (SOURCE + 1, other)):
            if external_id is not None:
                links.append((source, member.key, external_id, DIRECTORY))
    connection.executemany(_RESOURCE, resources)
    for table, rows in values_of.items():
        connection.executemany(_VALUE.format(table), rows)
    connection.executemany(_LINK, links)
    connection.executemany(_MEMBERSHIP, [(group, member.key) for member in members for group in member.groups])
