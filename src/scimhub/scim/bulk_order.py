"""The order in which to run the operations of a bulk request (RFC 7644 §3.7.1).

An operation waits for those whose results it refers to, and for an earlier one on the same resource; apart from that the
order of the request holds. Where creations wait for each other in a circle, one of them is made without the references
that close it, and a completing step adds these as soon as it can.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scimhub.scim import bulk_references
from scimhub.scim.bulk import PREFIX, Operation
from scimhub.scim.catalog import Kind


@dataclass(frozen=True, slots=True)
class Step:
    """Run the operation without its references to ``deferred``; or, when it ``completes``, add just those."""

    operation: Operation
    deferred: frozenset[str] = frozenset()
    completes: bool = False


def order(operations: Sequence[Operation], kind_at: Callable[[str], Kind | None]) -> tuple[Step, ...]:
    """The steps of the request, each after those it needs. ``kind_at`` gives the kind served at an endpoint."""
    return _Schedule(operations, kind_at).steps()


class _Schedule:
    """Which operations wait for which. A completing step has the number of its operation plus their count."""

    def __init__(self, operations: Sequence[Operation], kind_at: Callable[[str], Kind | None]) -> None:
        self._operations = operations
        self._count = len(operations)
        self._creators = {
            operation.bulk_id: number
            for number, operation in enumerate(operations)
            if operation.method == "POST" and operation.bulk_id is not None and operation.fault is None
        }
        self._waits: dict[int, set[int]] = {}
        self._awaited_by: dict[int, set[int]] = {}
        self._deferred: dict[int, frozenset[str]] = {}
        self._ready: list[tuple[int, int]] = []
        self._find_waits(kind_at)

    def _find_waits(self, kind_at: Callable[[str], Kind | None]) -> None:
        latest: dict[tuple[str, str], int] = {}
        for number, operation in enumerate(self._operations):
            needed: set[int] = set()
            if operation.fault is None:
                referred = bulk_references.dependencies(operation, kind_at(operation.endpoint))
                needed = {self._creators[bulk_id] for bulk_id in referred if bulk_id in self._creators}
            if operation.resource_id is not None:
                # What a client does to one resource it means in that order.
                path = (operation.endpoint, operation.resource_id)
                if path in latest:
                    needed.add(latest[path])
                latest[path] = number
            self._wait(number, needed)

    def _wait(self, number: int, needed: set[int]) -> None:
        self._waits[number] = needed
        for other in needed:
            self._awaited_by.setdefault(other, set()).add(number)
        if not needed:
            heapq.heappush(self._ready, (number % self._count, number))

    def steps(self) -> tuple[Step, ...]:
        found = []
        while self._waits:
            if not self._ready:
                self._cut_circle()
            _, number = heapq.heappop(self._ready)
            del self._waits[number]
            found.append(self._step(number))
            for other in self._awaited_by.pop(number, set()):
                self._release(other, number)
        return tuple(found)

    def _step(self, number: int) -> Step:
        operation = self._operations[number % self._count]
        return Step(operation, self._deferred.get(number % self._count, frozenset()), completes=number >= self._count)

    def _release(self, number: int, done: int) -> None:
        waits = self._waits.get(number)
        if waits is not None and done in waits:
            waits.discard(done)
            if not waits:
                heapq.heappush(self._ready, (number % self._count, number))

    def _cut_circle(self) -> None:
        """Let the first creation of a circle go on without what it waits for, and complete it later."""
        number = self._first_in_circle()
        needed = self._waits[number]
        self._deferred[number] = frozenset(bulk_id for bulk_id, creator in self._creators.items() if creator in needed)
        later = number + self._count
        self._wait(later, {*needed, number})
        own_path = f"{PREFIX}{self._operations[number].bulk_id}"
        for other, waits in self._waits.items():
            if other < self._count and self._operations[other].resource_id == own_path:
                # What is done to the new resource is done to the complete one.
                waits.add(later)
                self._awaited_by.setdefault(later, set()).add(other)
        for other in needed:
            self._awaited_by[other].discard(number)
        self._waits[number] = set()
        heapq.heappush(self._ready, (number, number))

    def _first_in_circle(self) -> int:
        """The lowest number in some circle: whoever follows the waiting from anywhere ends in one."""
        walked: list[int] = []
        number = min(self._waits)
        while number not in walked:
            walked.append(number)
            number = min(self._waits[number])
        return min(walked[walked.index(number) :])
