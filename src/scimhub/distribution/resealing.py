"""Bringing the secrets of all destinations under the newest key, some at a time, while the hub runs.

Each is written only if it is still what was read, so that several nodes may be at it, and whoever breaks off goes on later.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from scimhub.distribution import concealment, keeping, times
from scimhub.distribution.delivery import Destination, Secret
from scimhub.distribution.ports import SealedUse
from scimhub.distribution.sealing import Keyring, Unreadable
from scimhub.distribution.surroundings import Surroundings

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many secrets are sealed under a key, whether the hub has it, and how many of them open with it."""

    key_id: str | None
    secrets: int
    is_known: bool
    unreadable: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of resealing did: ``after`` is where the next begins, None when nothing is left to look at."""

    resealed: int
    after: str | None


async def survey(given: Surroundings) -> list[KeyUse]:
    """How many secrets are under which key; keys of which nothing is sealed are there too, with 0."""
    given.keyring.renew()
    counted = {use.key_id: use for use in await given.store.count_secrets()}
    unreadable = await _count_unreadable(given)
    known = given.keyring.ids
    order = [*known, *(key_id for key_id in counted if key_id not in known)]
    return [
        KeyUse(key_id, counted.get(key_id, SealedUse(key_id, 0)).secrets, key_id in known, unreadable.get(key_id, 0))
        for key_id in order
    ]


async def reseal(given: Surroundings, after: str = "", limit: int = _AT_ONCE) -> Step:
    """Look at so many secrets that are not under the newest key, and seal anew those that can be opened."""
    found = await given.store.list_secrets_not_under(given.keyring.newest, after, limit)
    done = 0
    for destination_id, secret in found:
        sealed = _sealed_anew(given.keyring, secret, destination_id, given.random)
        if sealed is not None:
            done += await given.store.reseal_secret(secret, sealed)
    return Step(done, found[-1][1].id if len(found) == limit else None)


async def seal_what_is_open(given: Surroundings) -> int:
    """Seal what an earlier program wrote down unsealed; how many secrets that were.

    What is in the clear in a configuration is taken out of it. Nothing of both stays behind in the database's files.
    """
    unsealed = sum(use.secrets for use in await given.store.count_secrets() if use.key_id is None)
    shown = [one for one in await given.store.list_destinations() if _shows_something(one)]
    if not unsealed and not shown:
        return 0

    async def work() -> int:
        for destination in shown:
            await _conceal(given, destination)
        return len(shown) + await _seal_all(given)

    return await given.store.erasing(work)


async def _seal_all(given: Surroundings) -> int:
    """Seal the secrets that are under no key."""
    done = 0
    async for destination_id, secret in _walk(given):
        if secret.key_id is None:
            sealed = given.keyring.seal(secret, destination_id, given.random)
            done += await given.store.reseal_secret(secret, sealed)
    return done


async def _walk(given: Surroundings) -> AsyncIterator[tuple[str, Secret]]:
    """All secrets, with the ids of their destinations."""
    after: str | None = ""
    while after is not None:
        found = await given.store.list_secrets_not_under("", after, _AT_ONCE)
        for destination_id, secret in found:
            yield destination_id, secret
        after = found[-1][1].id if len(found) == _AT_ONCE else None


async def _conceal(given: Surroundings, destination: Destination) -> int:
    kept = keeping.keep(given, destination.id, destination.configuration)
    now = times.text(given.now())
    await given.store.update_destination(destination.key, kept.configuration, destination.subscription, now, kept.concealed)
    return 1


def _shows_something(destination: Destination) -> bool:
    return any(text != concealment.CONCEALED for _, text in concealment.places(destination.configuration))


def _sealed_anew(keyring: Keyring, secret: Secret, destination_id: str, random: Callable[[int], bytes]) -> Secret | None:
    try:
        return keyring.seal(keyring.open(secret, destination_id), destination_id, random)
    except Unreadable:
        return None


async def _count_unreadable(given: Surroundings) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    async for destination_id, secret in _walk(given):
        try:
            given.keyring.open(secret, destination_id)
        except Unreadable:
            counts[secret.key_id] = counts.get(secret.key_id, 0) + 1
    return counts
