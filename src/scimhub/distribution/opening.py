"""Opening a destination: its secrets unsealed, what was concealed put back, and its sender made."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scimhub.distribution import concealment, delivery, times
from scimhub.distribution.delivery import Destination, Secret
from scimhub.distribution.ports import DestinationKind, Sender
from scimhub.distribution.sealing import Unreadable
from scimhub.distribution.surroundings import Surroundings
from scimhub.distribution.unable import Unable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A sender, and when the first of its secrets ends; ``is_locked`` when they could not be opened."""

    sender: Sender
    secrets_end: str | None
    is_locked: bool = False


async def open_sender(given: Surroundings, kind: DestinationKind, destination: Destination) -> Opened:
    """Ready to send. Where a key is missing or wrong the sender is one that says so and sends nothing."""
    holding = await _holding(given, destination)
    end = min((secret.expires for secret in holding if secret.expires is not None), default=None)
    try:
        secrets = [given.keyring.open(secret, destination.id) for secret in holding]
    except Unreadable as fault:
        names = {"directory": destination.directory_name, "destination": destination.name}
        _log.error("destination cannot be opened", extra={**names, "reason": str(fault)})
        return Opened(Unable(str(fault)), end, is_locked=True)
    return Opened(kind.open(revealed(destination, secrets), secrets), end)


async def fault(given: Surroundings, destination: Destination) -> str:
    """Why its secrets cannot be opened; empty when they can."""
    try:
        for secret in await _holding(given, destination):
            given.keyring.open(secret, destination.id)
    except Unreadable as unreadable:
        return str(unreadable)
    return ""


async def _holding(given: Surroundings, destination: Destination) -> Sequence[Secret]:
    return delivery.holding(await given.store.list_secrets(destination.key), times.text(given.now()))


def revealed(destination: Destination, secrets: Sequence[Secret]) -> Destination:
    """The destination with what was concealed put back; ``secrets`` are open."""
    taken = concealed_in(secrets)
    return replace(destination, configuration=concealment.reveal(destination.configuration, taken)) if taken else destination


def concealed_in(secrets: Sequence[Secret]) -> dict[concealment.Path, str]:
    """What was taken out of the configuration."""
    found = next((secret for secret in secrets if secret.purpose == "concealed"), None)
    return {} if found is None else concealment.read(found.value)
