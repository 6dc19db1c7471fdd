"""Bytes from outside as a JSON object, or a ScimError: the checks that a JSON parser alone does not make.

A parser keeps the last of two equal keys and rounds a number that it cannot hold. Both would be silent loss, so both
are refused (DECISIONS 20). The quick parser does the work; only a body that looks suspicious is read a second time.
"""

import json
import re
from collections.abc import Mapping

import orjson

from scimhub.scim import errors

# For finding what the quick parser might round, all digits and points look alike, and so do e and E.
_ALIKE = bytes.maketrans(b"123456789.E", b"0000000000e")
_MANY_DIGITS = b"0" * 16
_TINY_EXPONENT = b"e-000"
_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_MAX_DEPTH = 40


def parse_object(raw: bytes) -> Mapping[str, object]:
    """The JSON object in the body; raises ScimError invalidSyntax or invalidValue."""
    if not raw:
        raise errors.invalid_syntax("The request has no body; send a JSON object.")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise errors.invalid_syntax("The body begins with a byte order mark; send plain UTF-8 (RFC 8259 §8.1).")
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise errors.invalid_syntax(f"The body is not JSON in UTF-8: {error.msg} at character {error.pos}.") from error
    if not isinstance(parsed, dict):
        raise errors.invalid_syntax(f"The body is a JSON {_name(parsed)}; it must be an object.")
    # What comes out again byte for byte has lost no key, and so few brackets cannot be nested too deep.
    is_whole = raw.count(b"{") + raw.count(b"[") <= _MAX_DEPTH and orjson.dumps(parsed) == raw
    # Strings may hold what looks like a key's end, never the other way: equal counts mean that no key was lost.
    if not is_whole and _count_keys(parsed) != len(_KEY_END.findall(raw)):
        _check_duplicate_keys(raw)
    alike = raw.translate(_ALIKE)
    if _MANY_DIGITS in alike or _TINY_EXPONENT in alike:
        _check_numbers(raw)
    return parsed


def _count_keys(parsed: dict[str, object]) -> int:
    count = depth = 0
    level: list[dict[str, object] | list[object]] = [parsed]
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise errors.invalid_syntax(f"The body is nested deeper than {_MAX_DEPTH} levels; SCIM needs five.")
        below: list[dict[str, object] | list[object]] = []
        for holder in level:
            if type(holder) is dict:
                count += len(holder)
                below += [item for item in holder.values() if type(item) is dict or type(item) is list]
            else:
                below += [item for item in holder if type(item) is dict or type(item) is list]
        level = below
    return count


def _check_duplicate_keys(raw: bytes) -> None:
    def pairs(items: list[tuple[str, object]]) -> None:
        names = [name for name, _ in items]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise errors.invalid_syntax(f"The key {twice[:80]!r} stands twice in one object; send it once.")

    json.loads(raw, object_pairs_hook=pairs)


def _check_numbers(raw: bytes) -> None:
    def integer(text: str) -> int:
        if len(text) > 19 or not -(2**63) <= int(text) < 2**63:
            raise errors.invalid_value(f"The number {text[:40]} does not fit into 64 bits; send it as a string.")
        return 0

    def decimal(text: str) -> float:
        if _digits(text) != _digits(repr(float(text))):
            raise errors.invalid_value(f"The number {text[:40]} would be rounded; send it as a string.")
        return 0.0

    json.loads(raw, parse_int=integer, parse_float=decimal)


def _digits(text: str) -> tuple[str, int]:
    """The significant digits of a number and the power of ten of the last: equal for equal numbers."""
    mantissa, _, exponent = text.lower().lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return (stripped, power + len(digits) - len(stripped)) if stripped else ("", 0)


def _name(value: object) -> str:
    if value is None:
        return "null"
    return {list: "array", str: "string", bool: "boolean"}.get(type(value), "number")
