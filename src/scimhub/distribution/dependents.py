"""Which destinations depend on what is to be taken out of a directory's catalog."""

from collections.abc import Sequence

from scimhub.directory.errors import Invalid
from scimhub.directory.records import Directory
from scimhub.distribution import subscription
from scimhub.distribution.delivery import Destination
from scimhub.distribution.ports import DestinationStore
from scimhub.scim.catalog import Catalog


async def objections(store: DestinationStore, directory: Directory, before: Catalog, after: Catalog) -> Sequence[str]:
    """A sentence for each destination whose subscription holds by the catalog of before, and not by the one of after."""
    return [
        f"Destination {destination.name} depends on it: {' '.join(problems)}"
        for destination in await store.list_destinations(directory.key)
        if (problems := _problems(destination, after)) and not _problems(destination, before)
    ]


def _problems(destination: Destination, catalog: Catalog) -> Sequence[str]:
    try:
        subscription.bind(destination.subscription, catalog)
    except Invalid as fault:
        return fault.problems
    return ()
