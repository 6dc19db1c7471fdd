"""The beginning of a JSON text as a whole JSON value: for bodies that are cut, or that break off being JSON.

What is kept ends with the last value that was complete; the brackets that are open there are closed. So a body that was
cut is redacted by the same rules as a whole one, and nothing hides in a torn end.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

# A string, an opening bracket, a closing one, a comma or colon, or another value, which counts only when something follows
# it: a number at the very end may be cut.
_TOKEN = re.compile(
    rb'\s*(?:("(?:[^"\\\x00-\x1f]|\\.)*")|([\[{])|([\]}])|([,:])|(?:-?[0-9][0-9.eE+-]*|true|false|null)(?=[\s,\]}]))'
)
_CLOSING = {b"[": b"]", b"{": b"}"}
# Kinds of the previous token, where it was no bracket, comma or colon.
_KEY, _VALUE = b"key", b"value"


@dataclass(frozen=True, slots=True)
class Beginning:
    """``value`` holds what was complete; ``depth`` is how many brackets were open where it ends, the outermost included.

    What was open inside an object or array is its last value.
    """

    value: object
    depth: int


def parse_beginning(text: bytes) -> Beginning | None:
    """What can be read of an object or array from its start; None when it does not begin as one."""
    stack: list[bytes] = []
    still_open: tuple[bytes, ...] = ()
    place = end = 0
    previous = b""
    while (token := _TOKEN.match(text, place)) is not None:
        string, opening, closing, mark = token.groups()
        place = token.end()
        is_key = string is not None and stack[-1:] == [b"{"] and previous in (b"{", b",")
        if not (is_key or _may_follow(previous, opening, closing, mark, stack)):
            break
        if opening:
            stack.append(opening)
        elif closing and (not stack or _CLOSING[stack.pop()] != closing):
            break
        previous = opening or mark or (_KEY if is_key else _VALUE)
        if not mark and not is_key:
            end, still_open = place, tuple(stack)
        if not stack:
            break
    try:
        return Beginning(orjson.loads(text[:end] + b"".join(_CLOSING[each] for each in reversed(still_open))), len(still_open))
    except orjson.JSONDecodeError:
        return None


def _may_follow(
    previous: bytes, opening: bytes | None, closing: bytes | None, mark: bytes | None, stack: Sequence[bytes]
) -> bool:
    """Whether a token that is no key may stand behind the one before it."""
    if mark:
        return previous == (_KEY if mark == b":" else _VALUE)
    if closing:
        return previous in (_VALUE, b"[", b"{")
    return previous in (b"", b"[", b":") or (previous == b"," and stack[-1] == b"[")
