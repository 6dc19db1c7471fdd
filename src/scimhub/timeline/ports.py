"""What following a trail needs of the stores, as Protocols. ``sqlstore.tracing`` keeps ``Trail``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scimhub.directory.records import Change
from scimhub.distribution.delivery import Attempt, Destination, Held
from scimhub.exchanges.records import Exchange, Found, Search
from scimhub.timeline.records import Subject


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name that people know somebody by is indexed: a kind and a path; ``values`` are its normal forms."""

    kind: str
    path: str
    values: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a bounded look through the log found. ``first`` is the oldest position that was looked at."""

    changes: Sequence[Change]
    first: int


class Trail(Protocol):
    """Reading resources and the log by what a person knows."""

    async def find_change(self, directory: int, id: str) -> Change | None: ...

    async def changes_with_ids(self, directory: int, ids: Sequence[str]) -> Sequence[Change]:
        """In order of position."""

    async def last_changes_of(self, directory: int, resource_id: str, limit: int) -> Sequence[Change]:
        """The newest changes of the resource, in order of position."""

    async def membership_changes(self, directory: int, member: str, limit: int) -> Scan:
        """The newest changes that made the resource a member of another one or ended it, in order of position."""

    async def find_subjects(self, directory: int, text: str, places: Sequence[Place], limit: int) -> Sequence[Subject]:
        """Resources, also deleted ones, with that id, externalId, or value at one of the places."""

    async def find_former(self, directory: int, text: str, limit: int) -> Sequence[Subject]:
        """Resources of which a change says that a value was the text, whatever its case; the newest positions only."""

    async def names_of(self, directory: int, ids: Sequence[str]) -> Mapping[str, str]:
        """What present resources are called, by id."""

    async def source_names(self, directory: int) -> Mapping[int, str]:
        """Of all sources by key, removed ones included."""

    async def read_changes(self, after: int, limit: int) -> Sequence[Change]: ...

    async def position_at(self, time: str) -> int: ...

    async def purged_position(self) -> int: ...

    async def list_destinations(self, directory: int | None = None) -> Sequence[Destination]: ...

    async def list_held(self, key: int) -> Sequence[Held]: ...


class Records(Protocol):
    """Reading exchanges and attempts."""

    async def flush(self) -> None: ...

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]: ...

    async def search(self, wanted: Search, limit: int = 50) -> Found: ...

    async def list_attempts(
        self,
        *,
        directory: str | None = None,
        destination: str | None = None,
        resource_id: str | None = None,
        positions: tuple[int, int] | None = None,
        failed_only: bool = False,
        limit: int = 100,
    ) -> Sequence[Attempt]: ...
