"""Parts of a hub put together as ``app`` does it, for tests that open less than a whole one."""

import os
import time

from scimhub import clock, destinations
from scimhub.destinations.egress import Policy
from scimhub.directory.schemas import Catalogs
from scimhub.distribution.engine import Engine
from scimhub.distribution.outlook import Place
from scimhub.distribution.ports import AttemptLog
from scimhub.distribution.surroundings import Surroundings
from scimhub.sqlstore.store import SqlStore
from tests.keys import keyring


def build_engine(store: SqlStore, attempts: AttemptLog, catalogs: Catalogs) -> Engine:
    """An engine that is not started; destinations may be on this machine."""
    given = Surroundings(
        store=store,
        reader=store,
        attempts=attempts,
        now=time.time,
        chance=lambda: 0.5,
        random=os.urandom,
        new_id=clock.new_id,
        keyring=keyring(),
    )
    kinds = destinations.kinds(Policy(allow_loopback=True), time.time, store)
    return Engine(kinds, Place(catalogs, "https://hub.example", store.log_epoch), given)
