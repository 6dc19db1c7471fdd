"""Which events a topic has, as a text that a transaction brings along."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scimhub.distribution import settling

# A crash repeats at most so many events.
REMEMBERED: Final = settling.MOST_REPEATED
# What brokers take as metadata unless told otherwise (offset.metadata.max.bytes).
_MOST_METADATA: Final = 4096


@dataclass(frozen=True, slots=True)
class Mark:
    """Which event a record is: positions are those of one history of the log, as a destination tells it; parts count from 1."""

    epoch: str
    position: int
    part: int


class Memory:
    """The newest marks that were committed, as a text that fits into an offset's metadata."""

    def __init__(self, epoch: str = "", marks: Sequence[tuple[int, int]] = ()) -> None:
        self.epoch = epoch
        # In the order in which they were committed.
        self.marks = dict.fromkeys(marks)

    def has(self, mark: Mark) -> bool:
        """Whether the event is in the topic."""
        return mark.epoch == self.epoch and (mark.position, mark.part) in self.marks

    def with_more(self, marks: Sequence[Mark]) -> "Memory":
        """The memory once these are committed, too; positions of another history are none of its business any more."""
        epoch = marks[-1].epoch
        kept = list(self.marks) if epoch == self.epoch else []
        kept += [(mark.position, mark.part) for mark in marks if mark.epoch == epoch]
        return Memory(epoch, kept[-REMEMBERED:])

    def text(self) -> str:
        """The epoch, a space, and the marks in order of position, each by its distance to the one before."""
        text = self._text(list(self.marks))
        # Only where other directories' changes lie between in their millions.
        marks = list(self.marks)
        while len(text) > _MOST_METADATA:
            marks = marks[len(marks) // 10 + 1 :]
            text = self._text(marks)
        return text

    def _text(self, marks: Sequence[tuple[int, int]]) -> str:
        written, former = bytearray(), 0
        for position, part in sorted(marks):
            _write(written, (position - former) * 2 + (part > 1))
            if part > 1:
                _write(written, part)
            former = position
        return f"{self.epoch} {base64.b85encode(bytes(written)).decode()}"

    @classmethod
    def of_text(cls, text: str) -> "Memory":
        """What ``text`` gave; raises ValueError for anything else."""
        epoch, _, coded = text.partition(" ")
        numbers = list(_read(base64.b85decode(coded)))
        marks, position = [], 0
        while numbers:
            distance = numbers.pop()
            position += distance // 2
            marks.append((position, numbers.pop() if distance % 2 else 1))
        return cls(epoch, marks)


def _write(written: bytearray, number: int) -> None:
    """Seven bits a byte, the highest bit where more follows."""
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)


def _read(coded: bytes) -> list[int]:
    """The numbers, the first of them last."""
    numbers, number, shift = [], 0, 0
    for byte in coded:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("The last number is not complete.")
    return numbers[::-1]
