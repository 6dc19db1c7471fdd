"""TLS to PostgreSQL: the server's certificate is verified, on every connection, and one of another authority is refused."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scimhub import app, clock
from scimhub.directory.errors import StoreUnusable
from scimhub.settings import Settings
from scimhub.sqlstore.postgres import database
from scimhub.sqlstore.store import open_store
from tests.destinations.certificates import make_certificates
from tests.servers import postgres
from tests.servers.postgres import Server
from tests.servers.running import PATIENCE, Missing
from tests.store_contract.conftest import open_desk

# How many connections the database has, by whether they are encrypted.
CONNECTIONS = """
SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database() GROUP BY ssl"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the certificate of an authority, and what it signed for the server."""
    folder = tmp_path_factory.mktemp("authority")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def secure(authority: Path) -> Iterator[Server]:
    """A server that lets nobody in without TLS."""
    try:
        with postgres.serving(certificate=(authority / "certificate.pem", authority / "key.pem")) as server:
            yield server
    except Missing as missing:
        pytest.skip(postgres.lacks_tls(missing))


@pytest.fixture
async def url(secure: Server) -> AsyncIterator[str]:
    """An empty database, whose URL says nothing of TLS yet."""
    made = await secure.create_database()
    yield made
    await secure.drop_database(made)


@pytest.fixture
def verified(url: str, authority: Path) -> str:
    return f"{url}?sslmode=verify-full&sslrootcert={authority / 'authority.pem'}"


async def test_a_hub_verifies_the_server_on_every_connection(verified: str, tmp_path: Path):
    async with app.open_hub(Settings(database=verified, data=tmp_path)) as hub:
        await hub.exchanges.find([clock.new_id()])
        async with hub.store.database.borrow() as raw:
            async with asyncio.timeout(PATIENCE):
                # Of the pool, of the exchanges, and the one that listens for news.
                while (found := dict(await raw.fetch(CONNECTIONS))).get(True, 0) < 3:
                    await asyncio.sleep(0.01)
    assert set(found) == {True}


async def test_news_between_nodes_go_the_same_way(verified: str, monkeypatch: pytest.MonkeyPatch):
    # Nobody looks by himself, so that what is heard was told.
    monkeypatch.setattr(database, "_POLL", 3600)
    first, second = [await open_store(verified, new_id=clock.new_id, now=clock.now_text, connections=3) for _ in range(2)]
    desk = await open_desk(first, "acme")
    heard = asyncio.Event()
    first.on_commit(lambda: None)
    second.on_commit(heard.set)
    async with asyncio.timeout(PATIENCE):
        for number in itertools.count():
            await desk.user(f"user{number}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), 0.1)
            if heard.is_set():
                break
    for store in (first, second):
        await store.close()


async def refusal(url: str) -> str:
    with pytest.raises(StoreUnusable) as refused:
        await open_store(url, new_id=clock.new_id, now=clock.now_text)
    return str(refused.value)


async def test_a_server_whose_certificate_another_authority_signed_is_refused(url: str, tmp_path: Path):
    other, *_ = make_certificates(tmp_path)
    assert await refusal(f"{url}?sslmode=verify-full&sslrootcert={other}") == (
        "The PostgreSQL database cannot be opened: the server's certificate is not accepted: unable to get local issuer"
        " certificate; is sslrootcert of the authority that signed it?"
    )


async def test_a_server_that_has_another_name_than_its_certificate_is_refused(verified: str):
    told = await refusal(verified.replace("127.0.0.1", "localhost"))
    assert "Hostname mismatch, certificate is not valid for 'localhost'" in told
    assert "sslrootcert" not in told


async def test_a_server_that_wants_tls_is_not_reached_without(url: str):
    assert "no encryption" in await refusal(f"{url}?sslmode=disable")


async def test_a_server_without_tls_is_refused_where_it_is_wanted(postgres_server: Server, tmp_path: Path):
    authority, *_ = make_certificates(tmp_path)
    told = await refusal(f"{postgres_server.url()}?sslmode=verify-full&sslrootcert={authority}")
    assert told.endswith("rejected SSL upgrade")


async def test_an_authority_that_is_not_named_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await refusal("postgresql://hub:secret@127.0.0.1:1/hub?sslmode=verify-full") == (
        "The PostgreSQL database cannot be opened: its sslmode needs the certificate of the authority that signed the server's;"
        " name the file with sslrootcert"
    )
