"""Statements in the writing that SQLite understands, brought over to PostgreSQL.

The statements of this package use what both databases have. What remains is a handful of words, each of which stands for
the same thing here; a text is brought over once and remembered. Statements that a filter makes come from the dialect.
"""

import re
from functools import lru_cache

_PARAMETER = re.compile(r"\?(\d*)")
# What only SQLite has: the rows of a bound JSON array (twice), JSON as it is stored, a JSON merge patch that replaces
# objects whole, the position of a text in a text, and joins whose order is fixed.
_ARRAY = re.compile(r"json_each\((\?\d*)\) AS (\w+)")
_ARRAY_VALUES = re.compile(r"\(SELECT value FROM json_each\((\?\d*)\)\)")
_JSONB = re.compile(r"\bjsonb\((\?\d*)\)")
_PATCH = re.compile(r"\bjsonb_patch\((\w+), (\?\d*)::jsonb\)")
_INSTR = re.compile(r"\binstr\(")


@lru_cache(maxsize=4096)
def translate(sql: str) -> str:
    """The statement as PostgreSQL reads it. A bare ``?`` is the parameter after the largest before it, as in SQLite."""
    text = sql.replace("CROSS JOIN", "JOIN")
    text = _ARRAY_VALUES.sub(r"(SELECT jsonb_array_elements_text(\1::jsonb))", text)
    text = _ARRAY.sub(r"jsonb_array_elements_text(\1::jsonb) WITH ORDINALITY AS \2(value, key)", text)
    text = _JSONB.sub(r"\1::jsonb", text)
    text = _PATCH.sub(r"jsonb_strip_nulls(\1 || \2::jsonb)", text)
    text = _INSTR.sub("strpos(", text)
    largest = 0

    def number(match: re.Match[str]) -> str:
        nonlocal largest
        here = int(match[1]) if match[1] else largest + 1
        largest = max(largest, here)
        return f"${here}"

    return _PARAMETER.sub(number, text)
