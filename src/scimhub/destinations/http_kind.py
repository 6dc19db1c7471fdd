"""What kinds have in common that speak HTTP to an application and keep a ledger of what they told it."""

from collections.abc import Callable, Mapping

from scimhub.destinations import http_authorization
from scimhub.destinations.brought_secret import BroughtSecret
from scimhub.destinations.egress import Policy
from scimhub.distribution.delivery import Purpose
from scimhub.distribution.ledger import Ledger


class HttpKind(BroughtSecret):
    """``policy`` says which addresses may be reached; ``now_seconds`` is the Unix time."""

    joins_runs = True

    def __init__(self, policy: Policy, now_seconds: Callable[[], float], ledger: Ledger) -> None:
        self._policy = policy
        self._now_seconds = now_seconds
        self._ledger = ledger

    def purpose(self, configuration: Mapping[str, object]) -> Purpose | None:
        """The password of its auth, if that has one."""
        return http_authorization.purpose(configuration.get("auth"))
