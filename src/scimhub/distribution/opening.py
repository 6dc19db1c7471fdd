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
    """A sender, and when the first of its secrets ends; ``is_locked`` when not all of them could be opened."""

    sender: Sender
    secrets_end: str | None
    is_locked: bool = False


async def open_sender(given: Surroundings, kind: DestinationKind, destination: Destination) -> Opened:
    """Ready to send. Where a key is missing or wrong the sender is one that says so and sends nothing.

    A former secret is done without: whoever rotated because a key is lost is not to wait for the end of the overlap.
    """
    holding = await _holding(given, destination)
    end = min((secret.expires for secret in holding if secret.expires is not None), default=None)
    names = {"directory": destination.directory_name, "destination": destination.name}
    secrets: list[Secret] = []
    for secret in holding:
        try:
            secrets.append(given.keyring.open(secret, destination.id))
        except Unreadable as fault:
            if secret.expires is None:
                _log.error("destination cannot be opened", extra={**names, "reason": str(fault)})
                return Opened(Unable(str(fault)), end, is_locked=True)
            _log.warning("former secret cannot be opened", extra={**names, "reason": str(fault)})
    return Opened(kind.open(revealed(destination, secrets), secrets), end, is_locked=len(secrets) < len(holding))


async def fault(given: Surroundings, destination: Destination) -> str:
    """Why nothing can be sent, since a secret cannot be opened; empty when they can, but for former ones."""
    unreadable = await _unreadable(given, destination)
    return next((reason for secret, reason in unreadable if secret.expires is None), "")


async def can_unlock(given: Surroundings, destination: Destination) -> bool:
    """Whether all its secrets can be opened."""
    return not await _unreadable(given, destination)


async def _unreadable(given: Surroundings, destination: Destination) -> list[tuple[Secret, str]]:
    found: list[tuple[Secret, str]] = []
    for secret in await _holding(given, destination):
        try:
            given.keyring.open(secret, destination.id)
        except Unreadable as unreadable:
            found.append((secret, str(unreadable)))
    return found


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
