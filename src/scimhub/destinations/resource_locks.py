"""One lock for each resource, for as long as somebody holds it: what a message and a correction write must not mix."""

import asyncio
from weakref import WeakValueDictionary


class ResourceLocks:
    """The locks of one destination's resources, by id."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, resource_id: str) -> asyncio.Lock:
        """The resource's lock."""
        found = self._locks.get(resource_id)
        if found is None:
            found = self._locks[resource_id] = asyncio.Lock()
        return found
