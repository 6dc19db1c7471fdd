"""How one destination sees its directory: its subscription understood in the catalog of the moment."""

from dataclasses import dataclass

from scimhub.directory.schemas import Catalogs
from scimhub.distribution import envelope
from scimhub.distribution.delivery import Destination, Replay
from scimhub.distribution.envelope import Envelope
from scimhub.scim.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Place:
    """Where the hub is, as its events say. ``root_url`` has no slash at its end; ``epoch`` is the log's."""

    catalogs: Catalogs
    root_url: str
    epoch: str


class Outlook:
    """Gives the envelope of a destination's events, made anew only when the directory's catalog has changed."""

    def __init__(self, place: Place, destination: Destination) -> None:
        self._place = place
        self._destination = destination
        self._catalog: Catalog | None = None
        self._envelope: Envelope | None = None
        self._replay = destination.replay

    async def envelope(self) -> Envelope:
        """The envelope as of now; raises Invalid when the subscription names what the catalog no longer has."""
        catalog = await self._place.catalogs.current(self._destination.directory)
        if self._envelope is None or catalog is not self._catalog:
            self._catalog = catalog
            place = self._place
            self._envelope = envelope.of_destination(self._destination, catalog, place.root_url, place.epoch, self._replay)
        return self._envelope

    def end_replay(self) -> None:
        """What is sent from now on is no repetition."""
        self._replay, self._envelope = None, None

    @property
    def replay(self) -> Replay | None:
        return self._replay
