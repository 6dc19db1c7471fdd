"""What a first load is held against: the very requests of the hub, which the same application takes from the load generator."""

from pathlib import Path

import pytest

from bench import first_load, load, seed, servers
from bench.first_load import Loaded
from bench.load import Traffic
from bench.servers import Place


def test_what_the_hub_sends_is_recorded_and_taken_again_and_a_load_tells_how_it_went(tmp_path: Path):
    place, other = Place(tmp_path / "hub"), Place(tmp_path / "application")
    for one in (place, other):
        one.folder.mkdir()
    with servers.hub(place) as hub, servers.hub(other) as application:
        seed.fill_hub(place, 30)
        recorded = first_load.record(hub, 30, 4)
        assert len(set(recorded)) == 30
        sent = load.run(Traffic(recorded[:10], 201), application.port, 2)
        assert sent.answered == 10
        # Those ten are there already: they are found and made ours.
        loaded = first_load.load_by_hub(hub, application, 30, 4)
    assert loaded.permitted == 4
    assert 0 < loaded.seconds < 60
    assert [left >= 0 and took >= 0 for left, took in loaded.told] == [True] * 3


def test_the_ratio_is_the_median_of_the_rounds():
    told = [(3.0, 2.0), (2.0, 1.5), (1.0, 0.5)]
    ours = [Loaded(seconds, 0.4, 0.5, 0.9, 8, told) for seconds in (1.0, 2.0, 4.0)]
    found = first_load.figures(100, ours, [100, 100, 20], [0.3, 0.3, 0.3])
    assert found["people/s by the hub"] == 50
    # 1, a half, and five quarters: in the last round the machine was busy.
    assert found["ratio (wanted 0.9)"] == pytest.approx(1)
    assert found["CPU ms of the hub each"] == pytest.approx(4)
    assert found["seconds said to remain at 50%"] == 2
