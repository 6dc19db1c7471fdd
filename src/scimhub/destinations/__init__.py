"""The technologies by which changes are sent. ``kinds`` has the only list of them.

A destination of kind ``feed`` is not here: it comes and fetches, so that there is nothing to send.
"""

from collections.abc import Callable, Mapping

from scimhub.destinations import brokers
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_api import HttpApi
from scimhub.destinations.scim_app import ScimApp
from scimhub.destinations.webhook import Webhook
from scimhub.distribution.ledger import Ledger
from scimhub.distribution.ports import DestinationKind


def kinds(policy: Policy, now_seconds: Callable[[], float], ledger: Ledger | None = None) -> Mapping[str, DestinationKind]:
    """Each kind by its name. ``policy`` says which addresses may be reached; ``now_seconds`` is the Unix time.

    Without a ``ledger`` the kinds that need one are left out.
    """
    listed: list[DestinationKind] = [Webhook(policy, now_seconds)]
    if ledger is not None:
        listed += [HttpApi(policy, now_seconds, ledger), ScimApp(policy, now_seconds, ledger)]
    listed += brokers.kinds(policy)
    return {kind.name: kind for kind in listed}
