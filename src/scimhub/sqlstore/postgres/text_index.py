"""Search indexes on PostgreSQL: a table of values with an index of ``pg_trgm``, and one of beginnings.

See ``sqlstore.text_index``. Each value has a row of its own, in which what was found by trigrams is looked at again.
"""

import re

from scimhub.sqlstore.text_index import KEPT, Found, Source, literal

# Making and dropping a trigger waits until nobody uses the table, and all others wait behind it meanwhile: not for long.
_PATIENCE = "SET LOCAL lock_timeout = '1s'"
# What pg_trgm makes a trigram of, wherever it stands in a text.
_THREE_IN_A_ROW = re.compile(r"[^\W_]{3}")
_WILDCARD = re.compile(r"[\\%_]")


class PostgresTextIndex:
    """See ``sqlstore.text_index.TextIndex``."""

    def make(self, number: int, source: Source, *, has_beginnings: bool) -> list[str]:
        table = f"search_{number}"
        tables = [
            _PATIENCE,
            f'CREATE TABLE {table} (resource BIGINT NOT NULL, value TEXT COLLATE "C" NOT NULL)',
            f"CREATE INDEX {table}_by_resource ON {table} (resource)",
            f"CREATE INDEX {table}_by_trigram ON {table} USING gin (value gin_trgm_ops)",
        ]
        if has_beginnings:
            tables.append(f"CREATE INDEX {table}_by_beginning ON {table} (left(value, {KEPT}), resource)")
        function = f"""
CREATE FUNCTION {table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM {table} WHERE resource = OLD.key; END IF;
    IF TG_OP <> 'DELETE' THEN {_put(number, source, "(SELECT NEW.key AS key, NEW.normal AS normal)")}; END IF;
    RETURN NULL;
END $$"""
        return [
            *tables,
            function,
            _trigger(table, "added", "INSERT", _is_of("NEW", source)),
            _trigger(table, "changed", "UPDATE OF normal", f"{_is_of('NEW', source)} AND {source.changes}"),
            _trigger(table, "removed", "DELETE", _is_of("OLD", source)),
        ]

    def fill(self, number: int, source: Source, *, has_beginnings: bool) -> list[str]:
        given = f"{_is_of('given', source)} AND given.key > ?1 AND given.key <= ?2"
        rows = f"(SELECT given.key, given.normal FROM resources AS given WHERE {given})"
        return [f"DELETE FROM search_{number} WHERE resource > ?1 AND resource <= ?2", _put(number, source, rows)]

    def settle(self, number: int) -> list[str]:
        # What was written last lies in a list of up to four megabytes, which makes filling quick and each search slow.
        index = f"search_{number}_by_trigram"
        return [f"ALTER INDEX {index} SET (fastupdate = off)", f"SELECT gin_clean_pending_list('{index}')"]

    def drop(self, number: int, *, has_beginnings: bool) -> list[str]:
        names = ("added", "changed", "removed")
        triggers = [f"DROP TRIGGER IF EXISTS search_{number}_{name} ON resources" for name in names]
        return [_PATIENCE, *triggers, f"DROP FUNCTION IF EXISTS search_{number}()", f"DROP TABLE IF EXISTS search_{number}"]

    def within(self, number: int, text: str, *, is_end: bool) -> Found | None:
        if _THREE_IN_A_ROW.search(text) is None:
            # The server would read the whole index.
            return None
        pattern = ("%" + _WILDCARD.sub(r"\\\g<0>", text)) + ("" if is_end else "%")
        return Found(f"SELECT resource FROM search_{number} WHERE value LIKE ?", pattern, True)

    def begins(self, number: int, test: str) -> str:
        return f"SELECT resource FROM search_{number} WHERE {test.format(f'left(value, {KEPT})')}"


def _is_of(row: str, source: Source) -> str:
    return f"{row}.directory = {source.directory} AND {row}.kind = {literal(source.kind)}"


def _trigger(table: str, name: str, event: str, condition: str) -> str:
    return (
        f"CREATE TRIGGER {table}_{name} AFTER {event} ON resources FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {table}()"
    )


def _put(number: int, source: Source, rows: str) -> str:
    """The statement that puts in what the rows, a table with ``key`` and ``normal``, have."""
    return (
        f"INSERT INTO search_{number} (resource, value) SELECT r.key, v.value FROM {rows} AS r,"
        f" LATERAL ({source.values}) AS v WHERE v.value IS NOT NULL"
    )
