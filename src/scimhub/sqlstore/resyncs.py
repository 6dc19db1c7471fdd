"""Backfills and plans of resyncs; see ``distribution.backfill.BackfillStore`` and ``distribution.plans.PlanStore``."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from scimhub.distribution.backfill import Backfill
from scimhub.distribution.plans import Item, Plan
from scimhub.sqlstore.connection import Connection, Database

_EXISTS = "SELECT 1 FROM destinations WHERE key = ?"

# --------------------------------------------------------------------------- backfills

_COLUMNS = "id, origin, state, begun, updated, total, looked_at, told, kind, after, until, plan, reason"
_FIND = f"SELECT {_COLUMNS} FROM backfills WHERE destination = ?"
_SAVE = f"""
INSERT INTO backfills (destination, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (destination) DO UPDATE SET id = excluded.id, origin = excluded.origin, state = excluded.state,
    begun = excluded.begun, updated = excluded.updated, total = excluded.total, looked_at = excluded.looked_at,
    told = excluded.told, kind = excluded.kind, after = excluded.after, until = excluded.until, plan = excluded.plan,
    reason = excluded.reason"""


def save_backfill(connection: Connection, destination: int, backfill: Backfill) -> None:
    """Write the backfill; nothing when the destination is gone."""
    if connection.fetch_one(_EXISTS, (destination,)) is None:
        return
    one = backfill
    values = (one.id, one.origin, one.state, one.begun, one.updated, one.total, one.looked_at, one.told)
    connection.execute(_SAVE, (destination, *values, one.kind, one.after, one.until, one.plan, one.reason))


# --------------------------------------------------------------------------- plans

_KEEP = "INSERT INTO plans (id, destination, created, expires, content) VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM plans WHERE destination = ? AND expires <= ?"
_ADD = "INSERT INTO plan_items (plan, resource_id, content) VALUES (?, ?, ?)"
_PLAN = "SELECT content FROM plans WHERE destination = ? AND id = ?"
_PLANS = "SELECT content FROM plans WHERE destination = ? ORDER BY created DESC, id DESC"
_ITEMS = "SELECT content FROM plan_items WHERE plan = ? AND resource_id > ? ORDER BY resource_id LIMIT ?"


def save_plan(connection: Connection, destination: int, plan: Plan, items: Sequence[Item]) -> None:
    """Keep the plan with its items; nothing when the destination is gone."""
    if connection.fetch_one(_EXISTS, (destination,)) is None:
        return
    connection.execute(_FORGET, (destination, plan.created))
    connection.execute(_KEEP, (plan.id, destination, plan.created, plan.expires, orjson.dumps(asdict(plan)).decode()))
    connection.executemany(_ADD, [(plan.id, item.resource_id, orjson.dumps(asdict(item)).decode()) for item in items])


def _plan(text: str) -> Plan:
    written: dict[str, Any] = orjson.loads(text)
    return Plan(**{**written, "samples": [_item(one) for one in written["samples"]]})


def _item(written: dict[str, Any]) -> Item:
    several = ("paths", "members_lacking", "members_beyond")
    return Item(**{**written, **{name: tuple(written[name]) for name in several}})


# --------------------------------------------------------------------------- the store's part


class Resyncs:
    """The part of the store that has backfills and plans."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_backfill(self, destination: int) -> Backfill | None:
        row = await self._database.read(lambda connection: connection.fetch_one(_FIND, (destination,)))
        return None if row is None else Backfill(*row)

    async def save_backfill(self, destination: int, backfill: Backfill) -> None:
        await self._database.write(lambda connection: save_backfill(connection, destination, backfill), -destination)

    async def save_plan(self, destination: int, plan: Plan, items: Sequence[Item]) -> None:
        await self._database.write(lambda connection: save_plan(connection, destination, plan, items), -destination, "alone")

    async def find_plan(self, destination: int, id: str) -> Plan | None:
        row = await self._database.read(lambda connection: connection.fetch_one(_PLAN, (destination, id)))
        return None if row is None else _plan(row[0])

    async def list_plans(self, destination: int) -> Sequence[Plan]:
        rows = await self._database.read_aside(lambda connection: connection.fetch(_PLANS, (destination,)))
        return [_plan(row[0]) for row in rows]

    async def list_items(self, plan: str, after: str, limit: int) -> Sequence[Item]:
        rows = await self._database.read_aside(lambda connection: connection.fetch(_ITEMS, (plan, after, limit)))
        return [_item(orjson.loads(row[0])) for row in rows]
