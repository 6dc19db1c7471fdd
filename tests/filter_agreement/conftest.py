"""Both databases, in which the same resources lie."""

from collections.abc import Iterator

import pytest

from tests.filter_agreement.population import Tables, index_all, open_sqlite
from tests.servers import blocking


@pytest.fixture(scope="module", params=["postgres", "sqlite"])
def connection(request: pytest.FixtureRequest) -> Iterator[Tables]:
    """An empty database with the hub's tables, and search indexes on every attribute that can have one."""
    if request.param == "postgres":
        with blocking.opened(request.getfixturevalue("postgres_server")) as opened:
            if blocking.has_trigrams(opened):
                opened.read(index_all)
            yield opened
    else:
        with open_sqlite() as opened:
            index_all(opened)
            yield opened
