"""What the routes of the admin API need of the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, cast

from fastapi import Depends, Request

from scimhub.directory.exporting import ExportStore
from scimhub.directory.loading import LoadingStore
from scimhub.directory.ports import ChangeLog, IndexStore
from scimhub.directory.schemas import Catalogs
from scimhub.distribution.engine import Engine
from scimhub.distribution.ledger import Ledger
from scimhub.distribution.ports import AttemptLog
from scimhub.distribution.snapshot import Walk
from scimhub.exchanges.ports import ExchangeStore
from scimhub.timeline.ports import Trail


class Found(Protocol):
    """One thing that was looked at, and how it was found."""

    @property
    def verdict(self) -> Literal["OK", "WARN", "FAIL"]: ...

    @property
    def subject(self) -> str: ...

    @property
    def sentence(self) -> str: ...


class Health(Protocol):
    """What a look through the whole database finds; sizes in bytes."""

    @property
    def problems(self) -> Sequence[str]: ...

    @property
    def size(self) -> int: ...

    @property
    def wal_size(self) -> int: ...

    @property
    def free_disk(self) -> int: ...

    @property
    def findings(self) -> Sequence[Found]: ...

    @property
    def nodes(self) -> int: ...


class AdminStore(LoadingStore, ExportStore, IndexStore, ChangeLog, Ledger, Walk, Trail, Protocol):
    """The whole store."""

    @property
    def log_epoch(self) -> str: ...

    async def back_up(self, target: Path) -> None:
        """Write a consistent copy to a new file while the hub goes on."""

    async def check(self) -> Health:
        """Look through the whole database."""

    async def analyze(self) -> None:
        """Have the database see how much there is of what."""


class Recordings(ExchangeStore, AttemptLog, Protocol):
    """What is recorded for debugging."""


@dataclass(frozen=True, slots=True)
class Administration:
    """The parts behind the routes. ``is_local`` says that the caller owns the hub's files."""

    store: AdminStore
    catalogs: Catalogs
    exchanges: Recordings
    engine: Engine
    base_url: str
    is_local: bool
    backups: Path | None
    now: Callable[[], str]
    new_id: Callable[[], str]
    # Tells who builds search indexes that there is something to do.
    wake_builder: Callable[[], None]


def _administration(request: Request) -> Administration:
    return cast(Administration, request.app.state.administration)  # put there by build_admin_api


Parts = Annotated[Administration, Depends(_administration)]
