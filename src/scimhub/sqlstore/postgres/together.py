"""One statement in the place of the same one many times over: what costs is the way to the server, not the rows.

A look-up asked with many sets of values is asked once, with arrays of them; so is an INSERT of many rows. Which types the
arrays have, the server says of the statement itself.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.postgres.translation import translate

Values = tuple[SqlValue, ...]
Types = tuple[str, ...]
Varying = frozenset[int]

_PARAMETER = re.compile(r"\$(\d+)")
_INSERT = re.compile(r"(\s*INSERT INTO \w+\s+\([^)]*\))\s*VALUES \(([^)]*)\)(.*)", re.DOTALL)
# Types of parameters by statement, as the server gave them. They change only when the tables do.
_types: dict[str, Types] = {}


async def fetch_each(raw: Any, sql: str, several: Sequence[Values]) -> list[list[Row]]:
    """The rows of the SELECT for each of the sets of values, in their order."""
    if len(several) == 1:
        return [await raw.fetch(translate(sql), *several[0])]
    text = _asked_together(sql, await _types_of(raw, sql))
    found: defaultdict[int, list[Row]] = defaultdict(list)
    for row in await raw.fetch(text, *_columns(several)):
        found[row[-1]].append(row[:-1])
    return [found.get(number, []) for number in range(1, len(several) + 1)]


async def execute_each(raw: Any, sql: str, rows: Sequence[Values]) -> None:
    """Carry the statement out with each of the rows; they do not depend on each other."""
    if len(rows) == 1:
        await raw.execute(translate(sql), *rows[0])
        return
    types = await _types_of(raw, sql)
    if not _is_insert_of_parameters(sql, len(types)):
        await raw.executemany(translate(sql), rows)
        return
    varying, values = _parted(sql, rows)
    await raw.execute(_inserted_together(sql, types, varying), *values)


async def _types_of(raw: Any, sql: str) -> Types:
    known = _types.get(sql)
    if known is None:
        statement = await raw.prepare(translate(sql))
        known = _types[sql] = tuple(parameter.name for parameter in statement.get_parameters())
    return known


def _columns(rows: Sequence[Values]) -> list[list[SqlValue]]:
    return [list(column) for column in zip(*rows, strict=True)]


# For each INSERT, which parameters have ever had different values within one call. They are passed as arrays from then on:
# a statement then has few texts, each of which is planned once, whatever values come.
_varied: defaultdict[str, Varying] = defaultdict(frozenset)


def _parted(sql: str, rows: Sequence[Values]) -> tuple[Varying, list[object]]:
    """Which parameters are arrays, and for each parameter its array, or the one value that all rows have.

    Each element of an array costs half a microsecond, and half of what is inserted is the same in all rows. A look-up
    has arrays only: where the server knows what is the same for all, it is tempted to read all that has it, once.
    """
    columns = _columns(rows)
    known = _varied[sql]
    new = {n for n, column in enumerate(columns, 1) if n not in known and column.count(column[0]) < len(column)}
    if new or not known:
        # Only arrays tell how many rows there are.
        known = _varied[sql] = known | (new or {1})
    return known, [column if n in known else column[0] for n, column in enumerate(columns, 1)]


def _arrays(types: Types, numbers: Iterable[int]) -> str:
    return ", ".join(f"${number}::{types[number - 1]}[]" for number in numbers)


def _names(numbers: Iterable[int]) -> str:
    return ", ".join(f"v{number}" for number in numbers)


@lru_cache(maxsize=256)
def _asked_together(sql: str, types: Types) -> str:
    """The SELECT as a lateral one, whose last column tells which of the sets of values a row belongs to."""
    inner = _PARAMETER.sub(r"w.v\1", translate(sql))
    all_of_them = range(1, len(types) + 1)
    given = f"unnest({_arrays(types, all_of_them)}) WITH ORDINALITY AS w({_names(all_of_them)}, number)"
    return f"SELECT found.*, w.number FROM {given} CROSS JOIN LATERAL ({inner}) AS found ORDER BY w.number"


@lru_cache(maxsize=256)
def _inserted_together(sql: str, types: Types, varying: Varying) -> str:
    """The INSERT of all rows."""
    match = _INSERT.fullmatch(translate(sql))
    assert match is not None  # noqa: S101 - as ``_is_insert_of_parameters`` has found
    arrays = sorted(varying)
    values = [f"v{n}" if n in varying else f"${n}::{type}" for n, type in enumerate(types, 1)]
    given = f"unnest({_arrays(types, arrays)}) AS w({_names(arrays)})"
    return f"{match[1]}\nSELECT {', '.join(values)} FROM {given}{match[3]}"


@lru_cache(maxsize=256)
def _is_insert_of_parameters(sql: str, count: int) -> bool:
    """Whether it inserts nothing but its parameters, in their order."""
    match = _INSERT.fullmatch(translate(sql))
    if match is None:
        return False
    values = [value.strip().partition("::")[0] for value in match[2].split(",")]
    return values == [f"${number}" for number in range(1, count + 1)]
