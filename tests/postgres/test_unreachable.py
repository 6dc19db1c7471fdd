"""A server that cannot be reached is told with the reason, and with where to look."""

import errno

import pytest

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore.postgres import database, driver
from tests.end_to_end.live import free_port

LOOK = "does the server run, and is it where the URL says?"


@pytest.mark.parametrize(
    "error, sentence",
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 5432)"), f"Connection refused; {LOOK}"),
        (TimeoutError(), f"no answer in time; {LOOK}"),
        (OSError("Multiple exceptions"), f"Multiple exceptions; {LOOK}"),
        (ConnectionError("the server rejected SSL upgrade"), "the server rejected SSL upgrade"),
    ],
)
def test_why_there_is_no_connection_is_told_with_where_to_look(error: OSError, sentence: str):
    assert driver.why_not_opened(error) == sentence


async def test_where_nobody_listens_the_database_is_unusable_without_its_password():
    url = f"postgresql://hub:hidden@127.0.0.1:{free_port()}/hub"
    with pytest.raises(StoreUnusable) as refused:
        await database.open_server(url, now="", random=bytes, fold_version=1, connections=2)
    assert str(refused.value) == f"The PostgreSQL database cannot be opened: Connection refused; {LOOK}"
