"""A destination's configuration and secrets as they are written down: what nobody is shown taken out, all of it sealed."""

from collections.abc import Mapping
from dataclasses import dataclass

from scimhub.directory.errors import Invalid
from scimhub.distribution import concealment, opening, times
from scimhub.distribution.delivery import Destination, Secret
from scimhub.distribution.sealing import Unreadable
from scimhub.distribution.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Kept:
    """A configuration as it is shown, and what was taken out of it, sealed; None when that is nothing."""

    configuration: Mapping[str, object]
    concealed: Secret | None


def keep(given: Surroundings, destination_id: str, configuration: Mapping[str, object]) -> Kept:
    """The configuration of a new destination; raises Invalid."""
    return _keep(given, destination_id, configuration, {})


def keep_anew(
    given: Surroundings, destination: Destination, configuration: Mapping[str, object], before: Secret | None
) -> Kept:
    """Another configuration of the destination; where it says ``CONCEALED``, what is there stays. Raises Invalid."""
    taken: dict[concealment.Path, str] = {}
    if before is not None and any(text == concealment.CONCEALED for _, text in concealment.places(configuration)):
        try:
            taken = opening.concealed_in([given.keyring.open(before, destination.id)])
        except Unreadable as fault:
            raise Invalid([f"What is {concealment.CONCEALED} cannot be kept; write it anew. {fault}"]) from fault
    return _keep(given, destination.id, configuration, taken)


def sealed(given: Surroundings, destination_id: str, *some: Secret | None) -> list[Secret]:
    """Those of the secrets that are there, sealed under the newest key."""
    return [given.keyring.seal(secret, destination_id, given.random) for secret in some if secret is not None]


def _keep(
    given: Surroundings, destination_id: str, configuration: Mapping[str, object], before: Mapping[concealment.Path, str]
) -> Kept:
    shown, taken = concealment.conceal(configuration, before)
    unknown = [path for path, _ in concealment.places(shown) if path not in taken]
    if unknown:
        where = ", ".join(".".join(path) for path in unknown)
        raise Invalid([f"Of {where} nothing is kept that {concealment.CONCEALED} could stand for; write the value itself."])
    if not taken:
        return Kept(shown, None)
    secret = Secret(given.new_id(), "concealed", concealment.write(taken), "", times.text(given.now()), None)
    return Kept(shown, given.keyring.seal(secret, destination_id, given.random))
