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

from typing import Any

_COLUMNS = """id, operation, directory, kind, resource_id, version, source, exchange_id, time, after, before, external_id,
    members_added, members_removed, key_id, leaver"""
# So many changes are moved at once; readers wait for no longer than that takes.
LARGEST_STEP = 2000

_MOVE = f"""
WITH head AS MATERIALIZED (
    SELECT position FROM log_head WHERE EXISTS (SELECT 1 FROM staged_changes) FOR UPDATE
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
SELECT (SELECT position FROM counted), (SELECT count(*) FROM seen)"""


async def number_changes(raw: Any) -> int | None:
    """Move what is committed, in one transaction for each step; the new head, None when nothing was moved by this call."""
    head = None
    while True:
        position, seen = await raw.fetchrow(_MOVE, LARGEST_STEP)
        if position is not None:
            head = int(position)
        # Counted as seen, not as moved: of a full step another may have moved all, and more may lie behind it.
        if seen < LARGEST_STEP:
            return head
