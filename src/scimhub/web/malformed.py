"""What came over HTTP and is no request: all of it is counted, and a part of it is told in the log.

Whoever looks for holes sends thousands of them, and the log must not grow with that.
"""

import asyncio
import logging
from collections import Counter
from typing import Final

# Seconds, and the most lines in them: of one address, and of all.
MINUTE: Final = 60.0
_MOST_OF_ONE: Final = 3
_MOST: Final = 60

_logger = logging.getLogger(__name__)


class Malformed:
    """Counts for one hub, on the event loop only. A minute begins with the first that comes after the one before."""

    def __init__(self, minute: float = MINUTE) -> None:
        # Since the hub started.
        self.count = 0
        self._minute = minute
        self._told: Counter[str] = Counter()
        self._lines = 0
        self._left_out = 0
        self._addresses_left_out: set[str] = set()
        self._is_minute = False

    def note(self, address: str, reason: str) -> None:
        """Count one; say so, with the reason, which has nothing of what was sent, unless that was said often already."""
        self.count += 1
        if not self._is_minute:
            self._is_minute = True
            asyncio.get_running_loop().call_later(self._minute, self._end_minute)
        if self._lines < _MOST and self._told[address] < _MOST_OF_ONE:
            self._lines += 1
            self._told[address] += 1
            _logger.warning("no HTTP request", extra={"client": address, "reason": reason})
            return
        self._left_out += 1
        if len(self._addresses_left_out) < _MOST:
            self._addresses_left_out.add(address)

    def _end_minute(self) -> None:
        if self._left_out:
            some = sorted(self._addresses_left_out)[:_MOST_OF_ONE]
            _logger.warning("more that is no HTTP request", extra={"count": self._left_out, "clients": some})
        self._is_minute = False
        self._lines = self._left_out = 0
        self._told.clear()
        self._addresses_left_out.clear()
