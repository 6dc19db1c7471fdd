"""The advisory locks that nodes take on their common database. Each is a class, and a number within it.

A lock belongs to a transaction and ends with it, so that a node that dies holds nothing.
"""

from typing import Final

_HUB: Final = 0x5C1_0000

# One node at a time brings the database to its shape.
MIGRATION: Final = _HUB + 1
# One writer at a time in each directory, whose key is the number; 0 is what administrators make.
WRITING: Final = _HUB + 2
# One node at a time makes, cuts and drops partitions of exchanges.
PARTITIONS: Final = _HUB + 3
