"""The rows of one resource: its own, its unique and indexed values, its links and its unmapped content.

One statement a function, all texts constant, so that each is compiled once a connection. Versions, preconditions and
changes are the business of ``execution``.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache

import orjson

from scimhub.directory.intents import Actor, Amendment, Content, UniqueConflict, Values
from scimhub.directory.records import StoredResource
from scimhub.sqlstore.connection import Connection
from scimhub.sqlstore.dialect import Dialect

# The fields of StoredResource. The link is a scalar subquery because SQLite answers the join three times slower; so is the
# membership, since PostgreSQL answers EXISTS for a page by reading all memberships.
COLUMNS = """r.key, r.id, r.kind, r.version, r.created, r.last_modified, r.document,
    (SELECT l.external_id FROM links AS l WHERE l.source = ?1 AND l.resource = r.key),
    (SELECT 1 FROM memberships AS m WHERE m.member = r.key LIMIT 1) IS NOT NULL"""
FIND = f"SELECT {COLUMNS} FROM resources AS r WHERE r.id = ?2 AND r.directory = ?3 AND r.kind = ?4"

# What an index row says besides its resource: a path's key and a value in normal form.
Pair = tuple[str, str]
Pairs = Iterable[Pair]


def find(connection: Connection, directory: int, kind: str, id: str, source: int) -> StoredResource | None:
    """The resource with the externalId that the source gave it."""
    row = connection.fetch_one(FIND, (source, id, directory, kind))
    return None if row is None else StoredResource._make(row)


VERSION = "SELECT version FROM resources WHERE key = ?"


def is_current(connection: Connection, stored: StoredResource) -> bool:
    """Whether the resource is still as it was read, which its version tells."""
    row = connection.fetch_one(VERSION, (stored.key,))
    return row is not None and row[0] == stored.version


@cache
def _find_inactive(dialect: Dialect) -> str:
    active = dialect.json_value("r.normal", ("active",), "boolean")
    return f"""
SELECT {COLUMNS}
FROM links AS given
JOIN resources AS r ON r.key = given.resource
WHERE given.source = ?1 AND given.external_id = ?2 AND r.directory = ?3 AND r.kind = ?4 AND {active} = 0
ORDER BY r.key LIMIT 1"""


def find_inactive(connection: Connection, actor: Actor, kind: str, external_id: str) -> StoredResource | None:
    """The inactive resource that the actor's source gave this externalId (DECISIONS 13)."""
    values = (actor.source, external_id, actor.directory, kind)
    row = connection.fetch_one(_find_inactive(connection.dialect), values)
    return None if row is None else StoredResource._make(row)


_INSERT = """
INSERT INTO resources
    (key, id, directory, kind, version, created, last_modified, created_by, modified_by, display, document, normal)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, jsonb(?))"""


def insert(
    connection: Connection, actor: Actor, kind: str, id: str, content: Content, version: int, created: str, modified: str
) -> int:
    """Store a new resource's row; its key."""
    key = connection.new_key()
    connection.execute(
        _INSERT,
        (
            key,
            id,
            actor.directory,
            kind,
            version,
            created,
            modified,
            actor.source,
            actor.source,
            content.display,
            content.document,
            content.normal,
        ),
    )
    return key


_REWRITE = """
UPDATE resources SET version = ?, last_modified = ?, modified_by = ?, display = ?, document = ?, normal = jsonb(?)
WHERE key = ?"""
# Of the normal form only what differs comes, as a JSON merge patch.
_AMEND = """
UPDATE resources SET version = ?, last_modified = ?, modified_by = ?, display = ?, document = ?,
    normal = jsonb_patch(normal, jsonb(?))
WHERE key = ?"""
_MARK = "UPDATE resources SET version = ?, last_modified = ?, modified_by = ? WHERE key = ?"
_RENEW_NORMAL = "UPDATE resources SET display = ?, normal = jsonb(?) WHERE key = ? AND directory = ? AND document = ?"
_REMOVE = "DELETE FROM resources WHERE key = ?"


def rewrite(
    connection: Connection, key: int, source: int, version: int, modified: str, content: Content | Amendment | None
) -> None:
    """Give the row its next version and, unless None, its new content."""
    if content is None:
        connection.execute(_MARK, (version, modified, source, key))
    else:
        sql = _AMEND if isinstance(content, Amendment) else _REWRITE
        connection.execute(sql, (version, modified, source, content.display, content.document, content.normal, key))


def renew_normal(connection: Connection, directory: int, key: int, content: Content) -> bool:
    """Replace the derived columns; False when the resource is gone or its document is not the content's any more."""
    return connection.run(_RENEW_NORMAL, (content.display, content.normal, key, directory, content.document)) > 0


def remove(connection: Connection, key: int) -> None:
    """Remove the resource's own row and all that hangs on its key, except memberships."""
    connection.execute(_REMOVE, (key,))
    connection.execute("DELETE FROM unique_values WHERE resource = ?", (key,))
    connection.execute("DELETE FROM attribute_values WHERE resource = ?", (key,))
    connection.execute("DELETE FROM links WHERE resource = ?", (key,))
    connection.execute("DELETE FROM unmapped WHERE resource = ?", (key,))


# --------------------------------------------------------------------------- unique and indexed values

HOLDER = """
SELECT u.resource, r.id FROM unique_values AS u JOIN resources AS r ON r.key = u.resource
WHERE u.directory = ? AND u.kind = ? AND u.path = ? AND u.value = ?"""
UNIQUE_VALUES = "SELECT path, value FROM unique_values WHERE resource = ?"
# Both in one statement, since each costs more than its rows do.
VALUES_OF = """
SELECT path, value, 1 FROM unique_values WHERE resource = ?1
UNION ALL
SELECT path, value, 0 FROM attribute_values WHERE resource = ?1"""
# While a job rewrites rows by a new schema a resource may have a row that its document does not tell of. A row that another
# one has, of which ``conflicts`` would have told, must never be passed over: it becomes a null, which no database takes.
_CLAIM = """
INSERT INTO unique_values (directory, kind, path, value, resource) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (directory, kind, path, value)
DO UPDATE SET resource = CASE WHEN unique_values.resource = excluded.resource THEN excluded.resource END"""
_RELEASE = "DELETE FROM unique_values WHERE directory = ? AND kind = ? AND path = ? AND value = ? AND resource = ?"
_INDEX = """
INSERT INTO attribute_values (directory, kind, path, value, resource) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (directory, kind, path, value, resource) DO NOTHING"""
_UNINDEX = "DELETE FROM attribute_values WHERE directory = ? AND kind = ? AND path = ? AND value = ? AND resource = ?"


def conflicts(connection: Connection, directory: int, kind: str, key: int | None, pairs: Pairs) -> list[UniqueConflict]:
    """One for each value that a resource other than that with the key has. There is but one writer: it stays true.

    A value that the resource is known to have itself need not be among them.
    """
    found = []
    for path, value in pairs:
        holder = connection.fetch_one(HOLDER, (directory, kind, path, value))
        if holder is not None and holder[0] != key:
            found.append(UniqueConflict(path, holder[1]))
    return found


def claim_unique(connection: Connection, directory: int, kind: str, key: int, pairs: Pairs) -> None:
    """Take for the resource values that are free, or its own; those of others are refused by the database."""
    connection.executemany(_CLAIM, [(directory, kind, path, value, key) for path, value in pairs])


def unique_values(connection: Connection, key: int) -> list[tuple[str, str]]:
    """The resource's unique values with their paths."""
    return [tuple(row) for row in connection.fetch(UNIQUE_VALUES, (key,))]


def values_of(connection: Connection, key: int) -> Values:
    """What the rows of the resource say now."""
    unique: set[Pair] = set()
    indexed: set[Pair] = set()
    for path, value, is_unique in connection.fetch(VALUES_OF, (key,)):
        (unique if is_unique else indexed).add((path, value))
    return Values(unique, indexed)


def replace_unique(
    connection: Connection, directory: int, kind: str, key: int, present: Collection[Pair], pairs: Sequence[Pair]
) -> None:
    """Make these values, which no other resource has, the resource's own; what differs from its ``present`` is written."""
    for path, value in set(present).difference(pairs):
        connection.execute(_RELEASE, (directory, kind, path, value, key))
    if new := [pair for pair in pairs if pair not in present]:
        claim_unique(connection, directory, kind, key, new)


def index(connection: Connection, directory: int, kind: str, key: int, pairs: Pairs) -> None:
    """Let the resource be found by these values; the same pair twice is one row."""
    connection.executemany(_INDEX, [(directory, kind, path, value, key) for path, value in pairs])


def replace_index(
    connection: Connection, directory: int, kind: str, key: int, present: Collection[Pair], pairs: Sequence[Pair]
) -> None:
    """Make these the resource's indexed values; only what differs from its ``present`` ones is written."""
    for path, value in set(present).difference(pairs):
        connection.execute(_UNINDEX, (directory, kind, path, value, key))
    if new := sorted(set(pairs).difference(present)):
        index(connection, directory, kind, key, new)


# --------------------------------------------------------------------------- links

_LINK = """
INSERT INTO links (source, resource, external_id, directory) VALUES (?, ?, ?, ?)
ON CONFLICT (source, resource) DO UPDATE SET external_id = excluded.external_id"""


def link(connection: Connection, directory: int, source: int, key: int, external_id: str | None) -> None:
    """Note the externalId that the source gives the resource; None takes it away."""
    if external_id is None:
        connection.execute("DELETE FROM links WHERE source = ? AND resource = ?", (source, key))
    else:
        connection.execute(_LINK, (source, key, external_id, directory))


# --------------------------------------------------------------------------- unmapped content

_KEEP_UNMAPPED = """
INSERT INTO unmapped (source, resource, directory, kind, document) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (source, resource) DO UPDATE SET document = excluded.document"""


def keep_unmapped(connection: Connection, actor: Actor, kind: str, key: int, document: str | None, *, exact: bool) -> None:
    """Keep what no schema knew. With ``exact`` it replaces what the source sent before, else it is merged by name."""
    if document is None:
        if exact:
            connection.execute("DELETE FROM unmapped WHERE source = ? AND resource = ?", (actor.source, key))
        return
    if not exact:
        sql = "SELECT document FROM unmapped WHERE source = ? AND resource = ?"
        row = connection.fetch_one(sql, (actor.source, key))
        if row is not None:
            document = orjson.dumps({**orjson.loads(row[0]), **orjson.loads(document)}).decode()
    connection.execute(_KEEP_UNMAPPED, (actor.source, key, actor.directory, kind, document))
