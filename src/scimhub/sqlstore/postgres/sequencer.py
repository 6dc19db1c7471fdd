"""Gives committed changes their positions: dense, in an order that respects every resource's own (DELIVERY 3.2).

Writers draw numbers in one order and commit in another, so whoever remembers the last number it has read loses what is
committed later under a lower one. Here nobody reads by number. A transaction leaves its changes in ``staged_changes``; after
the commit one statement moves what is visible to ``changes`` and counts the head on. It may run on any node at any time:
the head's row is locked, and who finds it locked waits, so that whatever was committed before the question has its position
behind the answer. What the other has moved meanwhile is gone from ``staged_changes`` when the lock is had.

The order is right because a directory has one writer at a time: a later change of a resource draws its number after the
earlier one was committed, so that whoever sees the later sees the earlier too, and with a lower number. Positions are dense
because they come from the head's row, which the same transaction writes.
"""

from typing import Any, NamedTuple

_COLUMNS = """id, operation, directory, kind, resource_id, version, source, exchange_id, time, after, before, external_id,
    members_added, members_removed, key_id, leaver"""
# Where nodes hear of new heads; hubs in other schemas of the database speak here as well, and say whose log they mean.
CHANNEL = "scimhub"
# So many changes are moved at once; readers wait for no longer than that takes.
LARGEST_STEP = 2000

_MOVE = f"""
WITH head AS MATERIALIZED (
    -- By the index: the table itself is mostly rows that were moved away.
    SELECT position FROM log_head WHERE (SELECT min(number) FROM staged_changes) IS NOT NULL FOR UPDATE
), seen AS MATERIALIZED (
    SELECT number FROM staged_changes ORDER BY number LIMIT $1
), moved AS (
    DELETE FROM staged_changes
    WHERE EXISTS (SELECT 1 FROM head) AND number IN (SELECT number FROM seen)
    RETURNING number, {_COLUMNS}
), placed AS (
    INSERT INTO changes (position, {_COLUMNS})
    SELECT (SELECT position FROM head) + row_number() OVER (ORDER BY number), {_COLUMNS} FROM moved
    RETURNING position
), counted AS (
    UPDATE log_head SET position = log_head.position + (SELECT count(*) FROM placed)
    WHERE EXISTS (SELECT 1 FROM placed)
    RETURNING position
)
SELECT
    (SELECT position FROM counted), (SELECT count(*) FROM seen), (SELECT count(*) FROM placed),
    -- Once for many changes, and by whoever holds the head's row, for a NOTIFY has all others that notify wait for its commit.
    (SELECT pg_notify('{CHANNEL}', $2 || ' ' || position) FROM counted)"""
# What is moved away stays in table and index until somebody cleans up, and each move reads over it. The server itself looks
# once a minute, when there may be tens of thousands.
CLEAN = "VACUUM (SKIP_LOCKED, TRUNCATE FALSE) staged_changes"


class Numbered(NamedTuple):
    """The new head, None when nothing was moved by this call, and how many changes were moved."""

    head: int | None
    moved: int


def head_told(news: str, epoch: str) -> int | None:
    """The head that was told, None when it is not one of this log."""
    told, _, head = news.partition(" ")
    return int(head) if told == epoch else None


async def number_changes(raw: Any, epoch: str) -> Numbered:
    """Move what is committed, in one transaction for each step, and tell all nodes of the new head in the log ``epoch``."""
    head, count = None, 0
    while True:
        position, seen, moved, _ = await raw.fetchrow(_MOVE, LARGEST_STEP, epoch)
        count += moved
        if position is not None:
            head = int(position)
        # Counted as seen, not as moved: of a full step another may have moved all, and more may lie behind it.
        if seen < LARGEST_STEP:
            return Numbered(head, count)
