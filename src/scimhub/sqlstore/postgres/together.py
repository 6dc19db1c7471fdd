"""One statement in the place of the same one many times over: what costs is the way to the server, not the rows.

A look-up asked with many sets of values is asked once, with arrays of them; so is an INSERT of many rows. Which types the
arrays have, the server says of the statement itself.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.postgres.translation import translate

Values = tuple[SqlValue, ...]
Types = tuple[str, ...]

_PARAMETER = re.compile(r"\$(\d+)")
_INSERT = re.compile(r"(\s*INSERT INTO \w+\s+\([^)]*\))\s*VALUES \(([^)]*)\)(.*)", re.DOTALL)
# What the server says of a statement is the same for as long as the tables are.
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
    inserted = _inserted_together(sql, await _types_of(raw, sql))
    if inserted is None:
        await raw.executemany(translate(sql), rows)
    else:
        await raw.execute(inserted, *_columns(rows))


async def _types_of(raw: Any, sql: str) -> Types:
    known = _types.get(sql)
    if known is None:
        statement = await raw.prepare(translate(sql))
        known = _types[sql] = tuple(parameter.name for parameter in statement.get_parameters())
    return known


def _columns(rows: Sequence[Values]) -> list[list[SqlValue]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _arrays(types: Types) -> str:
    return ", ".join(f"${number}::{type}[]" for number, type in enumerate(types, 1))


@lru_cache(maxsize=256)
def _asked_together(sql: str, types: Types) -> str:
    """The SELECT as a lateral one, whose last column tells which of the sets of values a row belongs to."""
    inner = _PARAMETER.sub(r"w.v\1", translate(sql))
    names = ", ".join(f"v{number}" for number in range(1, len(types) + 1))
    given = f"unnest({_arrays(types)}) WITH ORDINALITY AS w({names}, number)"
    return f"SELECT found.*, w.number FROM {given} CROSS JOIN LATERAL ({inner}) AS found ORDER BY w.number"


@lru_cache(maxsize=256)
def _inserted_together(sql: str, types: Types) -> str | None:
    """The INSERT of arrays of values; None when its values are not just the parameters in their order."""
    match = _INSERT.fullmatch(translate(sql))
    if match is None:
        return None
    values = [value.strip().partition("::")[0] for value in match[2].split(",")]
    if values != [f"${number}" for number in range(1, len(types) + 1)]:
        return None
    return f"{match[1]}\nSELECT * FROM unnest({_arrays(types)}){match[3]}"
