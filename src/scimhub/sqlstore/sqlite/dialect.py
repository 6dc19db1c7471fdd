"""How SQLite writes what databases write differently; see ``sqlstore.dialect``."""

from scimhub.sqlstore.dialect import JsonPath
from scimhub.sqlstore.sqlite.text_index import SqliteTextIndex
from scimhub.sqlstore.text_index import TextIndex

# The primary key gives the rows in order of the member's key. Texts join slower than JSON objects do.
_AS_MEMBERS = """json_group_array(
    CASE WHEN r.display IS NULL
    THEN json_object('value', r.id, '$ref', (?2 ->> r.kind) || r.id, 'type', r.kind)
    ELSE json_object('value', r.id, '$ref', (?2 ->> r.kind) || r.id, 'type', r.kind, 'display', r.display) END)"""
_MEMBERS_JSON = f"""
SELECT {_AS_MEMBERS}
FROM memberships AS m CROSS JOIN resources AS r ON r.key = m.member
WHERE m.group_key = ?1"""
_SOME_MEMBERS_JSON = f"""
SELECT {_AS_MEMBERS}, count(*)
FROM json_each(?1) AS wanted CROSS JOIN resources AS r ON r.key = wanted.value"""


class SqliteDialect:
    """JSON is kept as JSONB, whose ``->>`` gives values of SQLite's own types."""

    texts: TextIndex = SqliteTextIndex()

    def json_value(self, document: str, path: JsonPath, type: str) -> str:
        return f"({document} ->> {_quoted(path)})" if path else document

    def json_exists(self, document: str, path: JsonPath) -> str:
        return f"(json_type({document}, {_quoted(path)}) IS NOT NULL)"

    def json_differs(self, path: JsonPath) -> str:
        return f"(NEW.normal -> {_quoted(path)}) IS NOT (OLD.normal -> {_quoted(path)})"

    def json_each(self, document: str, path: JsonPath, name: str) -> str:
        # Elements are handed out as JSON text.
        function = "jsonb_each" if document == "r.normal" else "json_each"
        return f"{function}({document}, {_quoted(path)}) AS {name}"

    def json_is_present(self, document: str, path: JsonPath) -> str:
        return f"EXISTS (SELECT 1 FROM json_tree({document}, {_quoted(path)}) AS t WHERE t.atom <> '')"

    def json_list(self) -> str:
        return "(SELECT value FROM json_each(?))"

    def among(self, key: str, keys: str) -> str:
        return f"{key} IN ({keys})"

    def contains(self, value: str) -> str:
        # Never LIKE, to which %, _ and \ mean something (spec F-036).
        return f"instr({value}, ?) > 0"

    def ends(self, value: str, length: int) -> str:
        return f"substr({value}, -{length})"

    def unindexed(self, column: str) -> str:
        return f"+{column}"

    def members_json(self) -> str:
        return _MEMBERS_JSON

    def some_members_json(self) -> str:
        return _SOME_MEMBERS_JSON

    def document_text(self, document: str, name: str) -> str:
        return f"({document} ->> '$.{name}')"

    @property
    def appends_to(self) -> str:
        return "changes"

    def explain(self, sql: str) -> str:
        return f"EXPLAIN QUERY PLAN {sql}"


def _quoted(path: JsonPath) -> str:
    # Neither names nor URNs of a catalog hold a double quote or a backslash (scim.schema).
    text = "$" + "".join(f'."{name}"' for name in path)
    return "'" + text.replace("'", "''") + "'"


SQLITE = SqliteDialect()
