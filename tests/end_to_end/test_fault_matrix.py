"""Every crash point with every kind of destination on every database, judged by one checker."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scimhub.distribution import settling
from scimhub.distribution.failpoints import PLACES
from tests.end_to_end import checker, crashing, other_ends
from tests.end_to_end.checker import Journal
from tests.end_to_end.live import LiveHub
from tests.servers.postgres import Server

# In CI; ``make matrix`` has all of them. What was sent and is not settled yet is where kinds differ most.
_IN_CI = ("after_send",)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A path or a URL."""
    if request.param == "sqlite":
        yield str(tmp_path / "scimhub.db")
        return
    server: Server = request.getfixturevalue("postgres_server")
    url = asyncio.run(server.create_database())
    yield url
    asyncio.run(server.drop_database(url))


@pytest.mark.parametrize("kind", other_ends.KINDS)
@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=pytest.mark.ci if place in _IN_CI else pytest.mark.long) for place in PLACES]
)
def test_every_kind_keeps_its_promise_when_the_hub_dies(place: str, kind: str, database: str, tmp_path: Path) -> None:
    journal, folder = Journal(), tmp_path / "end"
    folder.mkdir()
    with other_ends.open_end(kind, folder) as end:
        settings = {"SCIMHUB_DATABASE": database, "SCIMHUB_EGRESS_LOOPBACK": "true"}
        hub = LiveHub(tmp_path, settings).start()
        end.made(crashing.create_destination(hub, end.wish))
        hub.stop()
        deaths = crashing.write_until_dead(hub, place, 7, journal)
        crashing.deliver_all(hub)
        assert hub.stop() == 0
        state = asyncio.run(checker.read_state(database))
        end.check(journal, state, most_duplicates=settling.MOST_REPEATED * deaths)
        assert deaths > 0, "the hub never died: the test proves nothing"
