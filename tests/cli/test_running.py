"""Verbs while a hub runs: they speak to its socket, since it alone may open the database."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from scimhub import clock
from scimhub.directory.schemas import Catalogs
from scimhub.sqlstore.exchanges import open_file_exchanges
from scimhub.sqlstore.store import open_file_store
from scimhub.web.admin_api import build_admin_api
from tests.assembly import build_engine
from tests.cli.command import Scimhub, column


@pytest.fixture
def running(home: Path) -> Iterator[None]:
    """The admin API of an open database, served on the socket by another thread."""
    (home / "data").mkdir(mode=0o700)
    store = open_file_store(home / "data" / "scimhub.db", new_id=clock.new_id, now=clock.now_text)
    exchanges = open_file_exchanges(home / "data" / "scimhub.db", keep_days=1, keep_count=1000, now=clock.now_text)
    api = build_admin_api(
        store=store,
        catalogs=Catalogs(store),
        exchanges=exchanges,
        engine=build_engine(store, exchanges, Catalogs(store)),
        base_url="https://hub.example",
        admin_token=None,
        trusted=True,
    )
    config = uvicorn.Config(api, uds=str(home / "data" / "scimhub.sock"), lifespan="off", log_config=None, loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    end = time.monotonic() + 10
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    yield
    server.should_exit = True
    thread.join()
    asyncio.run(exchanges.close())
    store.database.close_here()


@pytest.mark.usefixtures("running")
def test_verbs_speak_to_the_running_hub(scimhub: Scimhub):
    made = scimhub("directory", "create", "acme", "--json").json
    # Only the running hub knows this URL; the command's own settings say another.
    assert made["base_url"] == "https://hub.example/scim/acme/v2"
    assert column(scimhub("directory", "list", "--json").json, "name") == ["acme"]


@pytest.mark.usefixtures("running")
def test_doctor_and_backup_work_while_it_runs(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    assert "OK    hub" in scimhub("doctor").output
    assert scimhub("backup", "copy.db", "--json").json["file"] == str(home / "copy.db")


@pytest.mark.usefixtures("running")
def test_restoring_is_refused_while_it_runs(scimhub: Scimhub):
    scimhub("backup", "copy.db")
    refused = scimhub("restore", "copy.db", "--force")
    assert (refused.code, "in use by process" in refused.errors) == (1, True)


@pytest.mark.usefixtures("running")
def test_exchanges_are_listed_from_the_running_hub(scimhub: Scimhub):
    assert scimhub("exchanges", "--errors", "--limit", "5", "--json").json == []
