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
    """A sender, and when the first of its secrets ends; ``locked`` are the ids of those that could not be opened."""

    sender: Sender
    secrets_end: str | None
    locked: frozenset[str]


async def open_sender(given: Surroundings, kind: DestinationKind, destination: Destination) -> Opened:
    """Ready to send. Where a key is missing or wrong the sender is one that says so and sends nothing.

    A former secret is done without: whoever rotated because a key is lost is not to wait for the end of the overlap.
    """
    secrets, unreadable = await _open_secrets(given, destination)
    holding = (*secrets, *(secret for secret, _ in unreadable))
    end = min((secret.expires for secret in holding if secret.expires is not None), default=None)
    locked = frozenset(secret.id for secret, _ in unreadable)
    names = {"directory": destination.directory_name, "destination": destination.name}
    for secret, reason in unreadable:
        if secret.expires is None:
            _log.error("destination cannot be opened", extra={**names, "reason": reason})
            return Opened(Unable(reason), end, locked)
        _log.warning("former secret cannot be opened", extra={**names, "reason": reason})
    return Opened(kind.open(revealed(destination, secrets), secrets), end, locked)


async def fault(given: Surroundings, destination: Destination) -> str:
    """Why nothing can be sent, since a secret cannot be opened; empty when they can, but for former ones."""
    _, unreadable = await _open_secrets(given, destination)
    return next((reason for secret, reason in unreadable if secret.expires is None), "")


async def can_unlock(given: Surroundings, destination: Destination, locked: frozenset[str]) -> bool:
    """Whether one of those secrets can be opened by now."""
    secrets, _ = await _open_secrets(given, destination)
    return not locked.isdisjoint(secret.id for secret in secrets)


async def _open_secrets(given: Surroundings, destination: Destination) -> tuple[Sequence[Secret], Sequence[tuple[Secret, str]]]:
    """The secrets that hold: those that can be opened, open, and of the others why they cannot."""
    opened: list[Secret] = []
    unreadable: list[tuple[Secret, str]] = []
    for secret in delivery.holding(await given.store.list_secrets(destination.key), times.text(given.now())):
        try:
            opened.append(given.keyring.open(secret, destination.id))
        except Unreadable as fault:
            unreadable.append((secret, str(fault)))
    return opened, unreadable


def revealed(destination: Destination, secrets: Sequence[Secret]) -> Destination:
    """The destination with what was concealed put back; ``secrets`` are open."""
    taken = concealed_in(secrets)
    return replace(destination, configuration=concealment.reveal(destination.configuration, taken)) if taken else destination


def concealed_in(secrets: Sequence[Secret]) -> dict[concealment.Path, str]:
    """What was taken out of the configuration."""
    found = next((secret for secret in secrets if secret.purpose == "concealed"), None)
    return {} if found is None else concealment.read(found.value)
