"""The list query that identity providers send most, answered by one statement: an exact look-up in one kind.

Okta, Entra and the others match people by ``userName eq``, ``externalId eq`` or an e-mail address before each write. A page
that is not full is the whole answer, so neither a count nor a transaction around two statements is needed. The statement is
the same whatever value is sought, and is remembered.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, cast

from scimhub.directory.ports import Page, Selection
from scimhub.directory.records import StoredResource
from scimhub.scim import normal
from scimhub.scim.catalog import Kind, Target
from scimhub.scim.filters import Comparison
from scimhub.sqlstore import filter_keys, rows
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.target_sql import Context


class Question(NamedTuple):
    """The statement of a look-up, and the values that stand before and behind the one that is sought."""

    sql: str
    before: tuple[SqlValue, ...]
    behind: tuple[SqlValue, ...]


def question(wanted: Selection, dialect: Dialect) -> tuple[str, tuple[SqlValue, ...]] | None:
    """The statement and its values when the selection is such a look-up, else None."""
    directory, source, conditions, sort, _, offset, after, limit, _ = wanted
    if sort is not None or after is not None or offset or not limit or len(conditions) != 1:
        return None
    [(kind, condition)] = conditions.items()
    # In an index the empty text looks like no value, which it is not.
    if not isinstance(condition, Comparison) or condition.operator != "eq" or condition.operand == "":
        return None
    found = _question(condition.target, kind, directory, source, dialect)
    if found is None:
        return None
    sql, before, behind = found
    return sql, (*before, normal.row_value(condition.operand), *behind, limit)


# Stands for the value that is looked up: index rows hold every value as text, so the statement is the same for all.
_SOUGHT = "sought"


@lru_cache(maxsize=1024)
def _question(target: Target, kind: Kind, directory: int, source: int, dialect: Dialect) -> Question | None:
    """What is asked for any value of the target, None when no one index answers it exactly."""
    # Epoch and URL stay empty: such a statement has neither, and a client could fill the cache with invented URLs.
    context = Context(directory, kind, source, "", "", dialect)
    keys = filter_keys.find(Comparison(target, "eq", _SOUGHT), context)
    if keys is None or not keys.is_exact or len(keys.selects) != 1:
        return None
    # All are SqlValue, though typed as object: the value in question and parts of the context.
    *before, sought = cast(Sequence[SqlValue], keys.parameters)
    if sought != _SOUGHT:
        return None
    return Question(_statement(keys.selects[0]), (source, *before), (directory, kind.name))


def page_of(selection: Selection, found: Sequence[Row]) -> Page | None:
    """The page of these rows, or None when there is more than one page, which ``selection`` must count."""
    if len(found) == selection.limit:
        return None
    return Page([StoredResource._make(row) for row in found], len(found), None)


def _statement(keys: str) -> str:
    # The numbered parameter of COLUMNS comes first; each later question mark takes the next number. What is equal to one
    # value is found once, so that the join, which costs less than IN, gives no resource twice.
    return f"""
SELECT {rows.COLUMNS}
FROM ({keys}) AS found CROSS JOIN resources AS r ON r.key = found.resource
WHERE r.directory = ? AND r.kind = ?
ORDER BY found.resource LIMIT ?"""
