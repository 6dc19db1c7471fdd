"""What kinds have in common that speak HTTP to an application and keep a ledger of what they told it."""

from collections.abc import Callable, Mapping
from typing import Final

from scimhub.destinations import http_authorization
from scimhub.destinations.brought_secret import BroughtSecret
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Purpose
from scimhub.distribution.ledger import Ledger

_LONGEST_SECRET: Final = 64 * 1024


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

    def parse_secret(self, text: str, configuration: Mapping[str, object]) -> tuple[Purpose, bytes]:
        """The secret that somebody brought: one line, or with ``mtls`` a certificate with its key as PEM.

        Raises Invalid, whose text never holds it.
        """
        if not text:
            raise Invalid(["The secret is empty."])
        if len(text) > _LONGEST_SECRET:
            raise Invalid([f"The secret has {len(text)} characters; {_LONGEST_SECRET} are possible."])
        http_authorization.check_secret(configuration.get("auth"), text)
        return "password", text.encode()
