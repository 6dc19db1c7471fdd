"""The partitions of exchanges and attempts: made a day ahead, cut where they grow large, dropped whole.

A partition is a range of times, as texts. Nothing is ever deleted from one: that would leave room that only a later VACUUM
finds, while a dropped partition gives its room back at once. So that little goes at a time, a partition that holds a sixteenth
of what may be kept ends with the newest row in it, and another one takes the rest of its day.

What others read and write waits for a cut or a drop, which takes milliseconds; where those have to wait themselves, as for a
long search, they give up soon and come again later (``_HOLD``).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from scimhub.sqlstore.exchange_rows import Limits
from scimhub.sqlstore.postgres import locks

TABLES = ("exchanges", "attempts")
# A partition is cut when it holds a 16th of what may be kept.
_SHARE = 16

# Row counts come from the server's statistics, to which each connection reports about once a second.
_LIST = """
SELECT parent.relname, part.relname, pg_get_expr(part.relpartbound, part.oid),
    coalesce(pg_stat_get_live_tuples(part.oid), 0), coalesce(pg_total_relation_size(part.oid), 0)
FROM pg_inherits AS i
JOIN pg_class AS part ON part.oid = i.inhrelid
JOIN pg_class AS parent ON parent.oid = i.inhparent
WHERE i.inhparent IN ('exchanges'::regclass, 'attempts'::regclass)"""
_TELL_COUNTS = "SELECT pg_stat_force_next_flush()"
_LOCK = f"SELECT pg_advisory_xact_lock({locks.PARTITIONS}, 0)"
_TRY_LOCK = f"SELECT pg_try_advisory_xact_lock({locks.PARTITIONS}, 0)"
# A cut or a drop waits two seconds for readers, and everybody else waits behind it. An automatic VACUUM gives way after one.
# The order of the tables is that in which a batch is written to them, so that neither can wait for the other (a deadlock).
_HOLD = "SET LOCAL lock_timeout = '2s'; LOCK TABLE ONLY exchanges, ONLY attempts IN ACCESS EXCLUSIVE MODE"
_BOUNDS = re.compile(r"FOR VALUES FROM \('([^']+)'\) TO \('([^']+)'\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """Rows of the table whose times are from ``lower`` on and before ``upper``; how many about, and their size in bytes."""

    table: str
    name: str
    lower: str
    upper: str
    rows: int
    size: int


async def list_partitions(raw: Any) -> list[Partition]:
    """All partitions of both tables, the newest first."""
    await raw.execute(_TELL_COUNTS)
    found = []
    for table, name, bounds, rows, size in await raw.fetch(_LIST):
        match = _BOUNDS.fullmatch(bounds or "")  # none of a partition that has just been dropped
        if match is not None:
            found.append(Partition(table, name, match[1], match[2], rows, size))
    return sorted(found, key=lambda each: each.upper, reverse=True)


async def make_days(raw: Any, days: Collection[str]) -> list[Partition]:
    """All partitions, those of these days among them, such as ``2026-11-23``. A day that has one already gets no other."""
    async with raw.transaction():
        await raw.execute(_LOCK)
        there = {(each.table, each.lower[:10]) for each in await list_partitions(raw)}
        for table, day in [(table, day) for table in TABLES for day in sorted(days) if (table, day) not in there]:
            await _make(raw, table, day, _day_after(day))
        return await list_partitions(raw)


async def tend(raw: Any, now: str, limits: Limits) -> None:
    """Make tomorrow's partitions, cut those that are large, drop what is too old or too much. One node at a time does."""
    await make_days(raw, (now[:10], _day_after(now[:10])))
    async with raw.transaction():
        if not await raw.fetchval(_TRY_LOCK):
            return
        found = await list_partitions(raw)
        cut, gone = large(found, now, limits), superfluous(found, now, limits)
        if cut or gone:
            await raw.execute(_HOLD)
        for each in cut:
            await _cut(raw, each)
        for each in gone:
            await raw.execute(f"DROP TABLE {each.name}")


def large(partitions: Iterable[Partition], now: str, limits: Limits) -> list[Partition]:
    """Those that are written to and have their share of what may be kept."""
    return [
        each
        for each in partitions
        if each.upper > now and (each.rows * _SHARE >= limits.count or each.size * _SHARE >= limits.size)
    ]


def superfluous(partitions: Sequence[Partition], now: str, limits: Limits) -> list[Partition]:
    """Those that are too old, or beyond what may be kept; never one that is written to. They come newest first."""
    oldest = oldest_time(now, limits)
    rows: Counter[str] = Counter()
    size = 0
    found = []
    for each in partitions:
        rows[each.table] += each.rows
        size += each.size
        # One share stays free for what is written until the next look.
        is_beyond = rows[each.table] > limits.count - limits.count // _SHARE or size > limits.size - limits.size // _SHARE
        if each.upper <= oldest or (is_beyond and each.upper <= now):
            found.append(each)
    return found


def oldest_time(now: str, limits: Limits) -> str:
    """What is older than this is not kept."""
    return (datetime.fromisoformat(now) - timedelta(days=limits.days)).strftime("%Y-%m-%dT%H:%M:%S")


def covers(partitions: Iterable[Partition], table: str, time: str) -> bool:
    """Whether a row of that time has a place in the table."""
    return any(each.table == table and each.lower <= time < each.upper for each in partitions)


async def _make(raw: Any, table: str, lower: str, upper: str) -> None:
    name = f"{table}_{re.sub('[^0-9]', '', lower)}"
    # Made apart and then attached: CREATE TABLE … PARTITION OF would lock the table against everybody.
    await raw.execute(f"CREATE UNLOGGED TABLE {name} (LIKE {table} INCLUDING ALL)")
    await raw.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{lower}') TO ('{upper}')")


async def _cut(raw: Any, large: Partition) -> None:
    """End the partition behind its newest row; what is newer gets one of its own."""
    await raw.execute(f"ALTER TABLE {large.table} DETACH PARTITION {large.name}")
    newest = await raw.fetchval(f"SELECT max(time) FROM {large.name}")
    # Bounds are texts: with a "+" this one sorts after the newest time and before any later one.
    end = large.upper if newest is None else min(f"{newest}+", large.upper)
    await raw.execute(f"ALTER TABLE {large.table} ATTACH PARTITION {large.name} FOR VALUES FROM ('{large.lower}') TO ('{end}')")
    if end < large.upper:
        await _make(raw, large.table, end, large.upper)


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
