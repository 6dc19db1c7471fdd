"""What is counted of what arrives."""

import pytest

from scimhub.consumer import Event
from scimhub.demo.receipts import Receipts, milliseconds

TIME = "2026-11-24T00:41:05.200Z"
COMMITTED = 1795480865.2


def event(**given: object) -> Event:
    return Event(
        **({"id": "e", "source": "s", "type": "t", "verb": "updated", "version": 3, "from_version": 3, "time": TIME} | given)
    )  # type: ignore[arg-type]


def test_runs_and_parts_are_told_apart_from_single_changes():
    receipts = Receipts()
    receipts.note(event(), "applied", COMMITTED + 0.010)
    receipts.note(event(version=8, from_version=5), "parked", COMMITTED + 0.030)
    receipts.note(event(version=9, from_version=9, part=1, parts=2), "applied", COMMITTED + 0.020)
    receipts.note(event(version=9, from_version=9, part=2, parts=2), "applied", COMMITTED + 0.020)
    receipts.note(event(), "duplicate", COMMITTED + 9)
    shown = receipts.render()
    assert {name: shown[name] for name in ("events", "changes", "runs", "duplicates", "p50_ms", "p99_ms")} == {
        "events": 4,
        "changes": 6,
        "runs": 1,
        "duplicates": 1,
        "p50_ms": 20.0,
        "p99_ms": 30.0,
    }


@pytest.mark.parametrize(
    "share, expected",
    [(0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)],
)
def test_percentiles_are_of_the_nearest_rank(share: float, expected: float):
    assert milliseconds([number / 1000 for number in range(100, 0, -1)], share) == expected


def test_of_nothing_there_is_no_percentile():
    assert milliseconds([], 0.5) is None
