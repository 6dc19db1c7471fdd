"""What the routes need of the rest, put together by ``app`` once."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from scimhub.directory.listing import Paging
from scimhub.directory.ports import ChangeLog, DirectoryStore, ResourceStore
from scimhub.directory.schemas import Catalogs
from scimhub.exchanges.records import Received
from scimhub.scim import errors
from scimhub.scim.discovery import Offer
from scimhub.telemetry import Metrics
from scimhub.web.auth import Gatekeeper
from scimhub.web.exchange import Request

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class Store(ResourceStore, DirectoryStore, ChangeLog, Protocol):
    """The whole store, with the epoch of its log."""

    @property
    def log_epoch(self) -> str: ...


class Recorder(Protocol):
    """Where exchanges go."""

    @property
    def is_on(self) -> bool:
        """Whether exchanges are recorded at all."""

    def record(self, received: Received) -> bool:
        """Take the exchange for writing later; False when it had to be dropped."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest bodies in bytes, and the most operations of one bulk request."""

    body: int
    group_body: int
    bulk_body: int
    bulk_operations: int


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the routes, and the few things that are read from outside: the time, new ids."""

    store: Store
    gatekeeper: Gatekeeper
    catalogs: Catalogs
    limits: Limits
    paging: Paging
    offer: Offer
    recorder: Recorder
    metrics: Metrics
    now: Callable[[], str]
    new_id: Callable[[], str]
    discovery_is_public: bool
    # Without the setting, the URL is built from the request's Host header.
    public_url: str | None

    def base_url(self, request: Request, directory: str) -> str:
        """The SCIM base URL of a directory as this client must write it, without a slash at the end."""
        root = self.public_url
        if root is None:
            root = _root(request.scheme, request.headers.get(b"host", b""))
        return f"{root}/scim/{directory}/v2"


@lru_cache(maxsize=256)
def _root(scheme: str, header: bytes) -> str:
    host = header.decode("latin-1") or "localhost"
    if not _HOST.fullmatch(host):
        raise errors.invalid_value(f"The Host header {host[:80]!r} is not a host name.")
    return f"{scheme}://{host}"
