"""What recording exchanges needs of a store, as a Protocol. ``sqlstore.exchanges`` keeps it."""

from collections.abc import Sequence
from typing import Protocol

from scimhub.exchanges.records import Exchange


class ExchangeStore(Protocol):
    """Exchanges on their own, apart from resources: losing the last second of them in a crash is no harm."""

    @property
    def dropped(self) -> int:
        """How many exchanges were not kept, because they came faster than the disk takes them or it refused."""

    def record(self, exchange: Exchange) -> bool:
        """Take the exchange for writing later; False when it had to be dropped. Never waits."""

    async def list(
        self,
        *,
        directory: str | None = None,
        source: str | None = None,
        status: int | None = None,
        errors_only: bool = False,
        since: str | None = None,
        limit: int = 50,
    ) -> Sequence[Exchange]:
        """The newest exchanges that fit, newest first. Directory and source are names, ``since`` is a time."""

    async def flush(self) -> None:
        """Return when everything recorded so far is written."""

    def close(self) -> None:
        """Write what waits, then close; it blocks."""
