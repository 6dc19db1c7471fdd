"""A page of a list as SQL: several kinds, offset or keyset, sorted or in order of creation.

The inner query finds keys, the outer one fetches their rows: what is skipped by an offset is never read whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import apsw

from scimhub.directory.ports import After, Page, Selection
from scimhub.directory.records import StoredResource
from scimhub.scim import errors
from scimhub.scim.catalog import Kind
from scimhub.scim.filters import And, Comparison, Condition, Nothing, Or
from scimhub.sqlstore import counters, filter_sql, rows, sqlite
from scimhub.sqlstore.sqlite import Row, SqlValue
from scimhub.sqlstore.target_sql import Context

DEFAULT_SCAN_LIMIT = 200_000
_QUICK_LIMIT = 200
_QUICK_OFFSET = 1000
_QUICK_TERMS = 20
# Of a row; the sort value comes behind them.
_FIELDS = len(StoredResource._fields)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL with the values of its question marks."""

    sql: str
    values: tuple[SqlValue, ...] = ()


def is_quick(selection: Selection) -> bool:
    """Whether the page is found in microseconds, so that a change of thread would cost more than the page itself."""
    if selection.limit > _QUICK_LIMIT or selection.offset > _QUICK_OFFSET:
        return False
    conditions = selection.conditions.items()
    if all(condition is not None and _is_narrow(condition, kind) for kind, condition in conditions):
        return True
    return selection.sort is None and all(condition is None for _, condition in conditions)


def _is_narrow(condition: Condition, kind: Kind) -> bool:
    """Whether an index leads straight to a handful of resources."""
    match condition:
        case Nothing():
            return True
        case Comparison(operator="eq"):
            return filter_sql.is_indexed(condition, kind)
        case And(terms):
            return any(_is_narrow(term, kind) for term in terms)
        case Or(terms):
            return len(terms) <= _QUICK_TERMS and all(_is_narrow(term, kind) for term in terms)
        case _:
            return False


def select(connection: apsw.Connection, selection: Selection, log_epoch: str, scan_limit: int) -> Page:
    """The page and the exact total, both of one moment; raises ScimError tooMany."""
    _check_scan(connection, selection, scan_limit)
    connection.execute("BEGIN")
    try:
        found = _rows(connection, selection, log_epoch) if selection.limit > 0 else []
        more = _end_of(selection, found[selection.limit - 1]) if len(found) > selection.limit else None
        resources = [StoredResource._make(row[:_FIELDS]) for row in found[: selection.limit]]
        return Page(resources, _total(connection, selection, log_epoch, len(found)), more)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _check_scan(connection: apsw.Connection, selection: Selection, scan_limit: int) -> None:
    scanned = [
        kind.name
        for kind, condition in selection.conditions.items()
        if (condition is not None or selection.sort is not None)
        and (condition is None or not filter_sql.is_indexed(condition, kind))
    ]
    if not scanned:
        return
    amount = counters.total(connection, selection.directory, scanned)
    if amount > scan_limit:
        # RFC 7644 §3.4.2: the provider may refuse what costs too much.
        raise errors.too_many(
            f"The request would have to read all {amount} resources of {' and '.join(scanned)}, and at most {scan_limit} are "
            "read for one answer; filter by an indexed attribute such as userName eq, externalId eq or emails.value eq."
        )


def _total(connection: apsw.Connection, selection: Selection, log_epoch: str, found: int) -> int:
    if selection.after is None and 0 < found <= selection.limit:
        return selection.offset + found
    amount = 0
    for kind, condition in selection.conditions.items():
        if condition is None:
            amount += counters.total(connection, selection.directory, (kind.name,))
        else:
            part = _of_kind(selection, kind, log_epoch)
            row = sqlite.fetch_one(connection, f"SELECT count(*) FROM resources AS r WHERE {part.sql}", part.values)
            amount += row[0]
    return amount


def _context(selection: Selection, kind: Kind, log_epoch: str) -> Context:
    return Context(selection.directory, kind, selection.source, log_epoch, selection.base_url)


def _of_kind(selection: Selection, kind: Kind, log_epoch: str) -> Fragment:
    """The WHERE of one kind."""
    condition = selection.conditions[kind]
    if condition is None:
        return Fragment("r.directory = ? AND r.kind = ?", (selection.directory, kind.name))
    sql, values = _compiled(filter_sql.compile(condition, _context(selection, kind, log_epoch)))
    # A plus keeps SQLite from walking all of the kind when an index leads to the few that match.
    plus = "+" if filter_sql.is_indexed(condition, kind) else ""
    return Fragment(f"{plus}r.directory = ? AND {plus}r.kind = ? AND ({sql})", (selection.directory, kind.name, *values))


# --------------------------------------------------------------------------- the page


def _rows(connection: apsw.Connection, selection: Selection, log_epoch: str) -> list[Row]:
    """The page's rows and one more, each a StoredResource's fields and the sort value."""
    keys = _keys(selection, log_epoch)
    order = _order(selection)
    sql = f"""
SELECT {rows.COLUMNS}, page.sort_value
FROM (SELECT key, sort_value FROM ({keys.sql}) ORDER BY {order} LIMIT ? OFFSET ?) AS page
CROSS JOIN resources AS r ON r.key = page.key
ORDER BY {", ".join("page." + term for term in order.split(", "))}"""
    # The first value is that of COLUMNS, which come first in the text.
    values = (selection.source, *keys.values, selection.limit + 1, selection.offset)
    return sqlite.fetch(connection, sql, values)


def _keys(selection: Selection, log_epoch: str) -> Fragment:
    parts = list(_keys_of_kinds(selection, log_epoch))
    return Fragment("\nUNION ALL\n".join(part.sql for part in parts), tuple(value for part in parts for value in part.values))


def _compiled(sql: filter_sql.Sql) -> tuple[str, tuple[SqlValue, ...]]:
    # The operands of conditions are str, int, float and bool, which SQLite binds; the type says object.
    return sql[0], cast(tuple[SqlValue, ...], sql[1])


def _keys_of_kinds(selection: Selection, log_epoch: str) -> Iterator[Fragment]:
    for kind in selection.conditions:
        value = Fragment("NULL")
        if selection.sort is not None and kind in selection.sort:
            value = Fragment(*_compiled(filter_sql.sort_expression(selection.sort[kind], _context(selection, kind, log_epoch))))
        where = _of_kind(selection, kind, log_epoch)
        behind = _behind(selection, value)
        yield Fragment(
            f"SELECT r.key AS key, {value.sql} AS sort_value FROM resources AS r WHERE {where.sql}{behind.sql}",
            (*value.values, *where.values, *behind.values),
        )


def _order(selection: Selection) -> str:
    if selection.sort is None:
        return "key"
    # RFC 7644 §3.4.2.3: without a value last when ascending, first when descending.
    return "sort_value DESC NULLS FIRST, key" if selection.descending else "sort_value ASC NULLS LAST, key"


def _behind(selection: Selection, value: Fragment) -> Fragment:
    """The condition that a resource comes behind the former page, beginning with AND."""
    after = selection.after
    if after is None:
        return Fragment("")
    if selection.sort is None:
        return Fragment(" AND r.key > ?", (after.key,))
    x, values = value.sql, value.values
    if after.value is None:
        tied = Fragment(f"({x} IS NULL AND r.key > ?)", (*values, after.key))
        further = Fragment(f"{x} IS NOT NULL", values) if selection.descending else None
    else:
        tied = Fragment(f"({x} = ? AND r.key > ?)", (*values, after.value, after.key))
        further = (
            Fragment(f"{x} < ?", (*values, after.value))
            if selection.descending
            else Fragment(f"{x} > ? OR {x} IS NULL", (*values, after.value, *values))
        )
    if further is None:
        return Fragment(f" AND {tied.sql}", tied.values)
    return Fragment(f" AND ({tied.sql} OR {further.sql})", (*tied.values, *further.values))


def _end_of(selection: Selection, row: Row) -> After:
    return After(row[0], row[_FIELDS] if selection.sort is not None else None)


def explain(connection: apsw.Connection, selection: Selection, log_epoch: str) -> list[str]:
    """How SQLite finds the page's keys, one line a step; for the test of the plans."""
    keys = _keys(selection, log_epoch)
    sql = f"EXPLAIN QUERY PLAN SELECT key FROM ({keys.sql}) ORDER BY {_order(selection)} LIMIT 10"
    return [str(row[3]) for row in sqlite.fetch(connection, sql, keys.values)]
