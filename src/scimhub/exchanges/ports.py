"""What recording exchanges needs of a store, as a Protocol. ``sqlstore.exchanges`` keeps it."""

from collections.abc import Sequence
from typing import Protocol

from scimhub.exchanges.records import Exchange, Found, Received, Search


class ExchangeStore(Protocol):
    """Exchanges on their own, apart from resources: losing the last second of them in a crash is no harm."""

    @property
    def dropped(self) -> int:
        """How many exchanges were not kept, because they came faster than the disk takes them or it refused."""

    @property
    def is_on(self) -> bool:
        """Whether exchanges are recorded at all."""

    def record(self, received: Received) -> bool:
        """Take the exchange for redacting and writing later; False when it had to be dropped. Never waits."""

    async def search(self, wanted: Search, limit: int = 50) -> Found:
        """The newest exchanges that fit; it looks at a bounded number of them and says where it stopped."""

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]:
        """Those of these request ids that are kept, oldest first."""

    async def flush(self) -> None:
        """Return when everything recorded so far is written."""

    async def close(self) -> None:
        """Write what waits, then close."""
