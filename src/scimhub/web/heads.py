"""Heads of requests that come again: who sends many requests sends the same header lines with each.

An identity provider's requests differ in their first line and their body. What stands between is read by the parser once, and
recognised by its bytes from then on (docs/decisions/0039).
"""

from typing import Final

from scimhub.web.exchange import Head

# Bytes and lines of a head that is remembered, and how many of them: some 10 MB at most, whoever sends them.
_LONGEST: Final = 2048
_MOST_LINES: Final = 40
_MOST: Final = 1000
_METHODS: Final = {name.encode(): name for name in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")}
# What every parser takes for a part of a path or a query.
_IN_TARGETS: Final = bytes(range(0x21, 0x7F)).replace(b"#", b"")
_LONGEST_TARGET: Final = 4096
# Lines that mean something to the connection, and not to this request alone.
_OF_THE_CONNECTION: Final = frozenset((b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"))

# Method, target, head and body of a request that is here with its whole body.
Whole = tuple[str, bytes, Head, bytes]


class FamiliarHeads:
    """The heads that were read lately, of all connections."""

    def __init__(self) -> None:
        # By the lines with their ends, that of the first line and the empty one included.
        self._heads: dict[bytes, Head] = {}

    def recall(self, data: bytes) -> Whole | None:
        """The request that the data are, when they are one and nothing else, and its head is known."""
        begin = data.find(b"\r\n")
        end = data.find(b"\r\n\r\n", begin) + 4
        head = self._heads.get(data[begin:end])
        if head is None or len(data) - end != head.length:
            return None
        first = _read_first_line(data[:begin])
        return None if first is None else (*first, head, data[end:])

    def learn(self, data: bytes, head: Head) -> None:
        """Remember the head that the parser found in the request of HTTP/1.1, to be followed by others, which data begin.

        Only what cannot be read in another way: each line of the head is one of the data's, and none says more than its value.
        """
        begin, end = data.find(b"\r\n"), data.find(b"\r\n\r\n") + 4
        lines = data[begin:end]
        is_plain = lines.count(b"\r\n") == lines.count(b"\r") == lines.count(b"\n") == len(head.lines) + 2
        if not is_plain or len(lines) > _LONGEST or len(head.lines) > _MOST_LINES or _read_first_line(data[:begin]) is None:
            return
        if _OF_THE_CONNECTION.isdisjoint(head.headers):
            if len(self._heads) >= _MOST:
                self._heads.clear()
            self._heads[lines] = head


def _read_first_line(line: bytes) -> tuple[str, bytes] | None:
    """Method and target of a request of HTTP/1.1; None for all that is in the least unusual, which is left to the parser."""
    parts = line.split(b" ")
    if len(parts) != 3 or len(line) > _LONGEST_TARGET:
        return None
    method, target, version = parts
    name = _METHODS.get(method)
    if name is None or version != b"HTTP/1.1" or not target.startswith(b"/") or target.translate(None, _IN_TARGETS):
        return None
    return name, target
