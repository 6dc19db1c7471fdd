"""The hub dies at each named place, again and again, while clients write; then the checker looks at all that arrived."""

import asyncio
import random
from pathlib import Path

import pytest

from scimhub.distribution.failpoints import PLACES
from tests.end_to_end import checker, crashing
from tests.end_to_end.checker import Journal
from tests.end_to_end.live import LiveHub
from tests.end_to_end.receiver import Receiver

# The others in CI: this one lets everything be repeated that was sent.
_ALWAYS = ("after_send",)


def run(folder: Path, place: str, seed: int) -> tuple[int, int]:
    """One run; how often the hub died, and how many duplicates arrived."""
    journal = Journal()
    with Receiver() as receiver:
        dice = random.Random(seed)
        # A receiver that fails now and then, so that lanes wait and are held while the hub dies.
        receiver.answer = lambda event: 500 if dice.random() < 0.05 else 204
        hub = LiveHub(folder, {"SCIMHUB_EGRESS_LOOPBACK": "true"}).start()
        made = crashing.create_destination(hub, {"configuration": {"url": receiver.url}})
        receiver.secrets.append(made["secret"])
        hub.stop()
        deaths = crashing.write_until_dead(hub, place, seed, journal)
        receiver.answer = lambda event: 204
        crashing.deliver_all(hub)
        assert hub.stop() == 0
        assert receiver.refused == []
        state = asyncio.run(checker.read_state(folder / "scimhub.db"))
        # Between two settlings a death repeats at most what arrived since, here far less than the window.
        duplicates = checker.check(journal, state, receiver.arrivals, most_duplicates=120 * (deaths + 2))
        return deaths, duplicates


@pytest.mark.parametrize(
    "place", [place if place in _ALWAYS else pytest.param(place, marks=pytest.mark.ci) for place in PLACES]
)
def test_nothing_is_lost_or_out_of_order_when_the_hub_dies(place: str, tmp_path: Path) -> None:
    deaths, _ = run(tmp_path, place, seed=7)
    assert deaths > 0, "the hub never died: the test proves nothing"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
@pytest.mark.parametrize("place", PLACES)
def test_the_same_with_many_seeds(place: str, seed: int, tmp_path: Path) -> None:
    run(tmp_path, place, seed)
