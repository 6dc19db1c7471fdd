"""Exact numbers of resources: deltas written with each create and delete, summed on reading (DECISIONS 4)."""

from collections.abc import Iterable

from scimhub.sqlstore.connection import Connection

# After about so many deltas they become one row for each kind.
FOLD_EVERY = 256

_ADD = "INSERT INTO counters (directory, kind, amount) VALUES (?, ?, ?)"
_FOLD = """
INSERT INTO counters (directory, kind, amount)
SELECT directory, kind, sum(amount) FROM counters WHERE directory = ?1 GROUP BY directory, kind HAVING sum(amount) <> 0"""
_DROP_FOLDED = "DELETE FROM counters WHERE directory = ?1 AND number <= ?2"
_NEWEST = "SELECT coalesce(max(number), 0) FROM counters WHERE directory = ?"


def add(connection: Connection, directory: int, kind: str, amount: int, key: int) -> None:
    """Count the resource with the key, which this transaction creates, or deletes if the amount is -1.

    One in ``FOLD_EVERY`` keys has the deltas folded: nothing needs to be read for the others.
    """
    connection.execute(_ADD, (directory, kind, amount))
    if key % FOLD_EVERY == 0:
        fold(connection, directory)


def fold(connection: Connection, directory: int) -> None:
    """Make one row of all the deltas of each kind of the directory, which this transaction has to itself."""
    newest = connection.fetch_one(_NEWEST, (directory,))[0]
    connection.execute(_FOLD, (directory,))
    connection.execute(_DROP_FOLDED, (directory, newest))


_BY_KIND = "SELECT kind, sum(amount) FROM counters WHERE directory = ? GROUP BY kind HAVING sum(amount) > 0"


def by_kind(connection: Connection, directory: int) -> dict[str, int]:
    """How many resources of each kind the directory has."""
    return dict(connection.fetch(_BY_KIND, (directory,)))


_OF_KIND = "SELECT coalesce(sum(amount), 0) FROM counters WHERE directory = ? AND kind = ?"


def total(connection: Connection, directory: int, kinds: Iterable[str]) -> int:
    """How many resources of these kinds the directory has."""
    amount = 0
    for kind in kinds:
        row = connection.fetch_one(_OF_KIND, (directory, kind))
        amount += row[0]
    return amount
