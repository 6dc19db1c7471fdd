"""Named places at which a test lets the process die or fail; nothing happens unless one is armed.

``HUB_FAILPOINT=after_send:0.01:7`` ends the process (exit status 137, as by SIGKILL) with that probability each time
the place is reached, by chance seeded with the third part. It is no setting: a hub that is served has it empty.
"""

import os
import random
from collections.abc import Callable

VARIABLE = "HUB_FAILPOINT"
# In the order in which one change meets them.
PLACES = ("after_write", "after_commit", "before_send", "after_send", "before_settle", "after_settle")
# Behind each handing out of a backfill, before its checkpoint.
AFTER_CHUNK = "after_chunk"

Reach = Callable[[str], None]


def reach_nothing(place: str) -> None:
    """What is called where nothing is armed."""


def parse(text: str) -> Reach:
    """What to call at each place; raises ValueError for a text that arms none."""
    if not text:
        return reach_nothing
    armed, probability, seed = text.split(":")
    if armed not in (*PLACES, AFTER_CHUNK):
        raise ValueError(f"{VARIABLE} names {armed!r}; the places are {', '.join((*PLACES, AFTER_CHUNK))}.")
    chance, limit = random.Random(int(seed)), float(probability)  # noqa: S311 - a test's dice

    def reach(place: str) -> None:
        if place == armed and chance.random() < limit:
            os._exit(137)

    return reach
