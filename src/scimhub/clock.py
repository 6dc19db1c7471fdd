"""The time as text, and ids that are ordered by time: the two things that the pure parts are always given.

Nothing below ``web`` and ``cli`` reads the clock itself; it takes ``now`` and new ids as arguments.
"""

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache


def now_text() -> str:
    """The time now as all our records write it: RFC 3339, UTC, milliseconds, such as ``2026-11-23T20:41:35.123Z``."""
    return _millisecond_text(time.time_ns() // 1_000_000)


def text(moment: datetime) -> str:
    """That moment, which must know its time zone, in the writing of ``now_text``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def text_of(seconds: float) -> str:
    """The moment so many seconds after 1970 began, in the same writing."""
    return _millisecond_text(round(seconds * 1_000_000) // 1000)


def parse(written: str) -> datetime:
    """The moment that ``text`` wrote."""
    return datetime.fromisoformat(written)


def later(written: str, *, days: int = 0, seconds: int = 0) -> str:
    """The time so much after what ``text`` wrote, before it when negative."""
    return text(parse(written) + timedelta(days=days, seconds=seconds))


# A busy millisecond asks more than once, a busy second thousands of times.
@lru_cache(maxsize=2)
def _millisecond_text(millisecond: int) -> str:
    second, milliseconds = divmod(millisecond, 1000)
    return f"{_second_text(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=2)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


class _Sequence:
    """UUIDs of version 7 (RFC 9562 §5.7), each greater than the one before it, also when the clock steps back.

    Within one millisecond the last 48 bits grow by a random step (§6.2, method 2), and all before them stay. The randomness
    keeps two databases from making the same id; it guards nothing, since an id is no secret.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random_bits = random.Random().getrandbits  # noqa: S311 - see above: unique, not secret
        self._millisecond = 0
        self._head = ""
        self._tail = 0

    def next(self) -> str:
        now = time.time_ns() // 1_000_000
        with self._lock:
            tail = self._tail + 1 + self._random_bits(32)
            if now > self._millisecond or tail >> 48:
                self._millisecond = now = max(now, self._millisecond + 1)
                chance = self._random_bits(26)
                self._head = f"{now >> 16:08x}-{now & 0xFFFF:04x}-7{chance >> 14:03x}-{0x8000 | chance & 0x3FFF:04x}-"
                tail = self._random_bits(47)  # the highest bit is the room to grow
            self._tail = tail
            head = self._head
        return f"{head}{tail:012x}"


# One sequence for the process is what makes the ids grow across threads.
new_id = _Sequence().next
