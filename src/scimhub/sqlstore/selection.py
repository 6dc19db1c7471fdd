"""A page of a list as SQL: several kinds, offset or keyset, sorted or in order of creation.

The inner query finds keys, the outer one fetches their rows: what is skipped by an offset is never read whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

from scimhub.directory.ports import After, Page, Selection
from scimhub.directory.records import StoredResource
from scimhub.scim import errors
from scimhub.scim.catalog import Kind
from scimhub.scim.filters import And, Comparison, Condition, Nothing, Or
from scimhub.sqlstore import counters, filter_keys, filter_sql, rows
from scimhub.sqlstore.connection import Connection, Row, SqlValue
from scimhub.sqlstore.dialect import Dialect
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


class Asked(NamedTuple):
    """A selection, and what its SQL depends on besides."""

    selection: Selection
    log_epoch: str
    dialect: Dialect

    def context(self, kind: Kind) -> Context:
        """Whose resources of the kind are asked for."""
        wanted = self.selection
        return Context(wanted.directory, kind, wanted.source, self.log_epoch, wanted.base_url, self.dialect)


def is_quick(asked: Asked) -> bool:
    """Whether the page is found in microseconds, so that a change of thread would cost more than the page itself."""
    selection = asked.selection
    if selection.limit > _QUICK_LIMIT or selection.offset > _QUICK_OFFSET:
        return False
    conditions = selection.conditions.items()
    if all(condition is not None and _is_narrow(condition, asked.context(kind)) for kind, condition in conditions):
        return True
    if selection.sort is not None and _ordered(asked) is None:
        return False
    return all(condition is None for _, condition in conditions)


def _is_narrow(condition: Condition, context: Context) -> bool:
    """Whether an index leads straight to a handful of resources."""
    match condition:
        case Nothing():
            return True
        case Comparison(operator="eq"):
            return filter_sql.is_narrow(condition, context)
        case And(terms):
            return any(_is_narrow(term, context) for term in terms)
        case Or(terms):
            return len(terms) <= _QUICK_TERMS and all(_is_narrow(term, context) for term in terms)
        case _:
            return False


def select(connection: Connection, asked: Asked, scan_limit: int) -> Page:
    """The page and the exact total, both of one moment; raises ScimError tooMany."""
    _check_scan(connection, asked, scan_limit)
    selection = asked.selection
    with connection.one_moment():
        found = _rows(connection, asked) if selection.limit > 0 else []
        more = _end_of(selection, found[selection.limit - 1]) if len(found) > selection.limit else None
        resources = [StoredResource._make(row[:_FIELDS]) for row in found[: selection.limit]]
        return Page(resources, _total(connection, asked, len(found)), more)


def _check_scan(connection: Connection, asked: Asked, scan_limit: int) -> None:
    selection = asked.selection
    scanned = [
        kind.name
        for kind, condition in selection.conditions.items()
        if (condition is not None or (selection.sort is not None and _ordered(asked) is None))
        and (condition is None or not filter_sql.is_indexed(condition, asked.context(kind)))
    ]
    if not scanned:
        return
    amount = counters.total(connection, selection.directory, scanned)
    if amount > scan_limit:
        # RFC 7644 §3.4.2: the provider may refuse what costs too much.
        raise errors.too_many(
            f"The request would have to read all {amount} resources of {' and '.join(scanned)}, and at most {scan_limit} are "
            "read for one answer; filter by an indexed attribute such as userName eq, externalId eq or emails.value eq,"
            " or have a search index added."
        )


def _total(connection: Connection, asked: Asked, found: int) -> int:
    selection = asked.selection
    if selection.after is None and 0 < found <= selection.limit:
        return selection.offset + found
    amount = 0
    for kind, condition in selection.conditions.items():
        if condition is None:
            amount += counters.total(connection, selection.directory, (kind.name,))
        else:
            part = _of_kind(asked, kind)
            row = connection.fetch_one(f"SELECT count(*) FROM resources AS r WHERE {part.sql}", part.values)
            amount += row[0]
    return amount


def _of_kind(asked: Asked, kind: Kind) -> Fragment:
    """The WHERE of one kind."""
    selection, context = asked.selection, asked.context(kind)
    condition = selection.conditions[kind]
    if condition is None:
        return Fragment("r.directory = ? AND r.kind = ?", (selection.directory, kind.name))
    sql, values = _compiled(filter_sql.compile(condition, context))
    directory, name = "r.directory", "r.kind"
    if filter_sql.is_indexed(condition, context):
        # Else SQLite may walk all of the kind where an index leads to the few that match.
        directory, name = asked.dialect.unindexed(directory), asked.dialect.unindexed(name)
    return Fragment(f"{directory} = ? AND {name} = ? AND ({sql})", (selection.directory, kind.name, *values))


# --------------------------------------------------------------------------- the page


def _rows(connection: Connection, asked: Asked) -> list[Row]:
    """The page's rows and one more, each a StoredResource's fields and the sort value."""
    selection, keys = asked.selection, _keys(asked)
    order = _order(asked)
    sql = f"""
SELECT {rows.COLUMNS}, page.sort_value
FROM (SELECT key, sort_value FROM ({keys.sql}) AS chosen ORDER BY {order} LIMIT ? OFFSET ?) AS page
CROSS JOIN resources AS r ON r.key = page.key
ORDER BY {", ".join("page." + term for term in order.split(", "))}"""
    # The first value is that of COLUMNS, which come first in the text.
    values = (selection.source, *keys.values, selection.limit + 1, selection.offset)
    return connection.fetch(sql, values)


def _keys(asked: Asked) -> Fragment:
    ordered = _ordered(asked)
    if ordered is not None:
        return ordered
    parts = list(_keys_of_kinds(asked))
    return Fragment("\nUNION ALL\n".join(part.sql for part in parts), tuple(value for part in parts for value in part.values))


def _compiled(sql: filter_sql.Sql) -> tuple[str, tuple[SqlValue, ...]]:
    # The operands of conditions are str, int, float and bool, which SQLite binds; the type says object.
    return sql[0], cast(tuple[SqlValue, ...], sql[1])


def _keys_of_kinds(asked: Asked) -> Iterator[Fragment]:
    selection = asked.selection
    for kind in selection.conditions:
        value = Fragment("NULL")
        if selection.sort is not None and kind in selection.sort:
            value = Fragment(*_compiled(filter_sql.sort_expression(selection.sort[kind], asked.context(kind))))
        where = _of_kind(asked, kind)
        behind = _behind(selection, value)
        yield Fragment(
            f"SELECT r.key AS key, {value.sql} AS sort_value FROM resources AS r WHERE {where.sql}{behind.sql}",
            (*value.values, *where.values, *behind.values),
        )


def _ordered(asked: Asked) -> Fragment | None:
    """The keys of the one kind asked for out of an index that has them in the order asked for; None when none has."""
    selection = asked.selection
    if selection.sort is None or len(selection.conditions) != 1:
        return None
    [(kind, condition)] = selection.conditions.items()
    target = selection.sort.get(kind)
    table = None if condition is not None or target is None else filter_keys.ordered_by(target, kind)
    if target is None or table is None:
        return None
    sql = (
        f"SELECT i.resource AS key, i.value AS sort_value FROM {table} AS i WHERE i.directory = ? AND i.kind = ? AND i.path = ?"
    )
    values = (selection.directory, kind.name, target.key)
    after = selection.after
    if after is None:
        return Fragment(sql, values)
    sign = "<" if selection.descending else ">"
    # The first of the two tests is a range of the index.
    behind = f"i.value {sign}= ? AND (i.value {sign} ? OR i.resource > ?)"
    return Fragment(f"{sql} AND {behind}", (*values, after.value, after.value, after.key))


def _order(asked: Asked) -> str:
    selection = asked.selection
    if selection.sort is None:
        return "key"
    if _ordered(asked) is not None:
        # Said without NULLs, of which there are none, so that the index's own order is recognised.
        return "sort_value DESC, key" if selection.descending else "sort_value, key"
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


def explain(connection: Connection, asked: Asked) -> list[str]:
    """How the database finds the page's keys, one line a step; for the test of the plans."""
    keys = _keys(asked)
    sql = asked.dialect.explain(f"SELECT key FROM ({keys.sql}) AS chosen ORDER BY {_order(asked)} LIMIT 10")
    return [str(row[-1]) for row in connection.fetch(sql, keys.values)]
