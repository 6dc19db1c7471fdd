"""How PostgreSQL writes what databases write differently; see ``sqlstore.dialect``.

Texts compare by code point (``COLLATE "C"``), as in ``scim.matching``, whatever the database's own collation is.
"""

from scimhub.sqlstore.dialect import JsonPath
from scimhub.sqlstore.postgres.text_index import PostgresTextIndex
from scimhub.sqlstore.text_index import TextIndex

_CASTS = {"boolean": "::boolean::int::bigint", "integer": "::bigint", "decimal": "::numeric"}

# Rows of texts, put together by the server: a JSON value for each member would cost four times as much.
_AS_MEMBERS = """coalesce('[' || string_agg(
    '{"value":' || to_json(r.id) || ',"$ref":' || to_json((?2::jsonb ->> r.kind) || r.id) || ',"type":' || to_json(r.kind)
    || CASE WHEN r.display IS NULL THEN '}' ELSE ',"display":' || to_json(r.display) || '}' END,
    ',' ORDER BY r.key) || ']', '[]')"""
_SOME_MEMBERS_JSON = f"""
SELECT {_AS_MEMBERS}, count(*)
FROM json_each(?1) AS wanted JOIN resources AS r ON r.key = wanted.value::bigint"""
_MEMBERS_JSON = f"""
SELECT {_AS_MEMBERS}
FROM memberships AS m JOIN resources AS r ON r.key = m.member
WHERE m.group_key = ?1"""


class PostgresDialect:
    """JSON is kept as ``jsonb``."""

    texts: TextIndex = PostgresTextIndex()

    def json_value(self, document: str, path: JsonPath, type: str) -> str:
        text = f"({document} #>> {_quoted(path)})"
        return f"({text}{_CASTS[type]})" if type in _CASTS else f'({text} COLLATE "C")'

    def json_exists(self, document: str, path: JsonPath) -> str:
        return f"(({document} #> {_quoted(path)}) IS NOT NULL)"

    def json_differs(self, path: JsonPath) -> str:
        return f"(NEW.normal #> {_quoted(path)}) IS DISTINCT FROM (OLD.normal #> {_quoted(path)})"

    def json_each(self, document: str, path: JsonPath, name: str) -> str:
        # A CASE, because the server may look at rows before it has left out those that have no array there.
        array = f"({document} #> {_quoted(path)})"
        array = f"CASE jsonb_typeof{array} WHEN 'array' THEN {array} ELSE '[]' END"
        return f"jsonb_array_elements({array}) WITH ORDINALITY AS {name}(value, key)"

    def json_is_present(self, document: str, path: JsonPath) -> str:
        return f"coalesce(is_present({document} #> {_quoted(path)}), FALSE)"

    def json_list(self) -> str:
        return "(SELECT jsonb_array_elements_text(?::jsonb))"

    def among(self, key: str, keys: str) -> str:
        # As IN, the server might look at every row and for each of them whether it is among them.
        return f"{key} = ANY (ARRAY({keys}))"

    def contains(self, value: str) -> str:
        return f"strpos({value}, ?) > 0"

    def ends(self, value: str, length: int) -> str:
        return f"right({value}, {length})"

    def unindexed(self, column: str) -> str:
        return column

    def members_json(self) -> str:
        return _MEMBERS_JSON

    def some_members_json(self) -> str:
        return _SOME_MEMBERS_JSON

    def document_text(self, document: str, name: str) -> str:
        return f"({document}::jsonb ->> '{name}')"

    @property
    def appends_to(self) -> str:
        return "staged_changes"

    def explain(self, sql: str) -> str:
        return f"EXPLAIN {sql}"


def _quoted(path: JsonPath) -> str:
    # Neither names nor URNs of a catalog hold a double quote or a backslash (scim.schema).
    text = "{" + ",".join(f'"{name}"' for name in path) + "}"
    return "'" + text.replace("'", "''") + "'"


POSTGRES = PostgresDialect()
