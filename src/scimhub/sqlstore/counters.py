"""Exact numbers of resources: deltas written with each create and delete, summed on reading (DECISIONS 4)."""

from collections.abc import Iterable

import apsw

from scimhub.sqlstore import sqlite

# So many deltas at most have to be summed; then they become one row for each directory and kind.
FOLD_EVERY = 256

_ADD = "INSERT INTO counters (directory, kind, amount) VALUES (?, ?, ?)"
_FOLD = """
INSERT INTO counters (directory, kind, amount)
SELECT directory, kind, sum(amount) FROM counters WHERE number <= ? GROUP BY directory, kind HAVING sum(amount) <> 0"""
_DROP_FOLDED = "DELETE FROM counters WHERE number <= ?"


def add(connection: apsw.Connection, directory: int, kind: str, amount: int) -> None:
    """Count the resources that this transaction creates, or with a negative amount deletes."""
    connection.execute(_ADD, (directory, kind, amount))
    newest = connection.last_insert_rowid()
    if newest % FOLD_EVERY == 0:
        connection.execute(_FOLD, (newest,))
        connection.execute(_DROP_FOLDED, (newest,))


_BY_KIND = "SELECT kind, sum(amount) FROM counters WHERE directory = ? GROUP BY kind HAVING sum(amount) > 0"


def by_kind(connection: apsw.Connection, directory: int) -> dict[str, int]:
    """How many resources of each kind the directory has."""
    return dict(sqlite.fetch(connection, _BY_KIND, (directory,)))


_OF_KIND = "SELECT coalesce(sum(amount), 0) FROM counters WHERE directory = ? AND kind = ?"


def total(connection: apsw.Connection, directory: int, kinds: Iterable[str]) -> int:
    """How many resources of these kinds the directory has."""
    amount = 0
    for kind in kinds:
        row = sqlite.fetch_one(connection, _OF_KIND, (directory, kind))
        amount += row[0]
    return amount
