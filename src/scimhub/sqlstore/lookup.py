"""The list query that identity providers send most, answered by one statement: an exact look-up in one kind.

Okta, Entra and the others match people by ``userName eq``, ``externalId eq`` or an e-mail address before each write. A page
that is not full is the whole answer, so neither a count nor a transaction around two statements is needed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from scimhub.directory.ports import Page, Selection
from scimhub.directory.records import StoredResource
from scimhub.scim.filters import Comparison
from scimhub.sqlstore import filter_keys, rows
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.selection import Asked


def parameters_of(asked: Asked) -> tuple[str, Sequence[SqlValue]] | None:
    """The SELECT of keys and its parameters when the selection is such a look-up, else None."""
    selection = asked.selection
    if selection.sort is not None or selection.after is not None or selection.offset or not selection.limit:
        return None
    if len(selection.conditions) != 1:
        return None
    [(kind, condition)] = selection.conditions.items()
    if not isinstance(condition, Comparison) or condition.operator != "eq":
        return None
    keys = filter_keys.find(condition, asked.context(kind))
    if keys is None or not keys.is_exact or len(keys.selects) != 1:
        return None
    # Operands are str, int and float, which databases bind; the type says object.
    return keys.selects[0], cast(Sequence[SqlValue], keys.parameters)


def question(selection: Selection, keys: str, parameters: Sequence[SqlValue]) -> tuple[str, tuple[SqlValue, ...]]:
    """The statement and its values."""
    [kind] = selection.conditions
    return _statement(keys), (selection.source, *parameters, selection.directory, kind.name, selection.limit)


def page_of(selection: Selection, found: Sequence[Row]) -> Page | None:
    """The page of these rows, or None when there is more than one page, which ``selection`` must count."""
    if len(found) == selection.limit:
        return None
    return Page([StoredResource._make(row) for row in found], len(found), None)


@lru_cache(maxsize=64)
def _statement(keys: str) -> str:
    # The numbered parameter of COLUMNS comes first; each later question mark takes the next number. What is equal to one
    # value is found once, so that the join, which costs less than IN, gives no resource twice.
    return f"""
SELECT {rows.COLUMNS}
FROM ({keys}) AS found CROSS JOIN resources AS r ON r.key = found.resource
WHERE r.directory = ? AND r.kind = ?
ORDER BY found.resource LIMIT ?"""
