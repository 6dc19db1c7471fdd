"""What every pump is given from outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scimhub.distribution import failpoints, leases
from scimhub.distribution.failpoints import Reach
from scimhub.distribution.ports import AttemptLog, ChangeReader, SharedStore
from scimhub.distribution.sealing import Keyring
from scimhub.distribution.turns import Turns


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every pump is given: the stores, the time in seconds since 1970, chance from 0 to 1, and the test's dice.

    ``random`` gives that many random bytes, ``new_id`` ids that grow with time.
    """

    store: SharedStore
    reader: ChangeReader
    attempts: AttemptLog
    now: Callable[[], float]
    chance: Callable[[], float]
    random: Callable[[int], bytes]
    new_id: Callable[[], str]
    # With which the secrets of destinations are sealed.
    keyring: Keyring
    reach: Reach = failpoints.reach_nothing
    # This node, how long its leases hold, in seconds, and a clock that only goes forward.
    node: str = "node"
    lease_seconds: float = leases.DEFAULT_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    # Shared by all pumps of the process.
    turns: Turns = field(default_factory=Turns)
