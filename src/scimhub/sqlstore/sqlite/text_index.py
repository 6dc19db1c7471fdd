"""Search indexes on SQLite: an FTS5 table of trigrams, and a table of beginnings; see ``sqlstore.text_index``.

The row of a resource in ``search_N`` has all its values, joined. FTS5 keeps no texts there, only where trigrams occur: a
phrase of them is exactly a text within a text.
"""

from scimhub.sqlstore.text_index import KEPT, SHORTEST, Found, Source, literal

# Separates two values. Nobody has a reason to send it; a search for it reads the rows themselves.
_JOINT = "\x01"
# FTS5 takes U+FFFE and U+FFFF for U+FFFD.
_INDISTINCT = frozenset((_JOINT, "\ufffd", "\ufffe", "\uffff"))


class SqliteTextIndex:
    """See ``sqlstore.text_index.TextIndex``."""

    def make(self, number: int, source: Source, *, has_beginnings: bool) -> list[str]:
        tables = [
            f"CREATE VIRTUAL TABLE search_{number} USING fts5"
            "(value, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1')"
        ]
        if has_beginnings:
            tables += [
                f"CREATE TABLE beginnings_{number} (value TEXT NOT NULL, resource INTEGER NOT NULL,"
                " PRIMARY KEY (value, resource)) STRICT, WITHOUT ROWID",
                f"CREATE INDEX beginnings_{number}_by_resource ON beginnings_{number} (resource)",
            ]
        row = "(SELECT NEW.key AS key, NEW.normal AS normal)"
        put = "; ".join(_put(number, source, row, has_beginnings))
        take = "; ".join(_take(number, "= OLD.key", has_beginnings))
        return [
            *tables,
            _trigger(number, "added", "INSERT", _is_of("NEW", source), put),
            _trigger(number, "changed", "UPDATE OF normal", f"{_is_of('NEW', source)} AND {source.changes}", f"{take}; {put}"),
            _trigger(number, "removed", "DELETE", _is_of("OLD", source), take),
        ]

    def fill(self, number: int, source: Source, *, has_beginnings: bool) -> list[str]:
        given = f"{_is_of('given', source)} AND given.key > ?1 AND given.key <= ?2"
        rows = f"(SELECT given.key AS key, given.normal AS normal FROM resources AS given WHERE {given})"
        return [*_take(number, "> ?1 AND {} <= ?2", has_beginnings), *_put(number, source, rows, has_beginnings)]

    def settle(self, number: int) -> list[str]:
        return []

    def drop(self, number: int, *, has_beginnings: bool) -> list[str]:
        triggers = [f"DROP TRIGGER IF EXISTS search_{number}_{name}" for name in ("added", "changed", "removed")]
        tables = [f"DROP TABLE IF EXISTS search_{number}"]
        return triggers + tables + ([f"DROP TABLE IF EXISTS beginnings_{number}"] if has_beginnings else [])

    def within(self, number: int, text: str, *, is_end: bool) -> Found | None:
        if len(text) < SHORTEST:
            return None
        sought = text[-KEPT:] if is_end else text[:KEPT]
        phrase = '"' + sought.replace('"', '""') + '"'
        is_exact = not is_end and sought == text and _INDISTINCT.isdisjoint(text)
        return Found(f"SELECT rowid AS resource FROM search_{number} WHERE search_{number} MATCH ?", phrase, is_exact)

    def begins(self, number: int, test: str) -> str:
        return f"SELECT resource FROM beginnings_{number} WHERE {test.format('value')}"


def _is_of(row: str, source: Source) -> str:
    return f"{row}.directory = {source.directory} AND {row}.kind = {literal(source.kind)}"


def _trigger(number: int, name: str, event: str, condition: str, body: str) -> str:
    return f"CREATE TRIGGER search_{number}_{name} AFTER {event} ON resources WHEN {condition} BEGIN {body}; END"


def _put(number: int, source: Source, rows: str, has_beginnings: bool) -> list[str]:
    """Statements that put in what the rows, a table with ``key`` and ``normal``, have."""
    joined = f"(SELECT group_concat(value, {literal(_JOINT)}) FROM ({source.values}))"
    put = [
        f"INSERT INTO search_{number} (rowid, value) SELECT key, text FROM"
        f" (SELECT r.key AS key, {joined} AS text FROM {rows} AS r) WHERE text IS NOT NULL"
    ]
    if has_beginnings:
        # Each beginning of the resource once: values may begin alike.
        put.append(
            f"INSERT INTO beginnings_{number} (value, resource) SELECT b.value, r.key FROM {rows} AS r,"
            f" json_each((SELECT json_group_array(DISTINCT substr(value, 1, {KEPT})) FROM ({source.values})"
            " WHERE value IS NOT NULL)) AS b"
        )
    return put


def _take(number: int, test: str, has_beginnings: bool) -> list[str]:
    """Statements that take out the resources for whose key the test, which begins with an operator, holds."""
    take = [f"DELETE FROM search_{number} WHERE rowid {test.format('rowid')}"]
    if has_beginnings:
        take.append(f"DELETE FROM beginnings_{number} WHERE resource {test.format('resource')}")
    return take
