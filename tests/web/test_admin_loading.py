"""Chunks of an import and pages of an export over the admin API, on a real store."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from scimhub import clock
from scimhub.directory.schemas import Catalogs
from scimhub.sqlstore.exchanges import open_file_exchanges
from scimhub.sqlstore.store import open_file_store
from scimhub.web.admin_api import build_admin_api
from tests.assembly import build_engine

IMPORTS = "/directories/acme/imports"
HR = {"source": "hr"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    store = open_file_store(tmp_path / "hub.db", new_id=clock.new_id, now=clock.now_text, random=os.urandom)
    exchanges = open_file_exchanges(tmp_path / "hub.db", keep_days=30, keep_count=1000, now=clock.now_text)
    api = build_admin_api(
        store=store,
        catalogs=Catalogs(store),
        exchanges=exchanges,
        engine=build_engine(store, exchanges, Catalogs(store)),
        base_url="https://hub.example",
        admin_token=None,
        trusted=True,
    )
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub/admin/v1") as connected:
        await connected.post("/directories", json={"name": "acme"})
        await connected.post("/directories/acme/sources", json={"name": "hr"})
        yield connected
    await exchanges.close()
    await store.close()


def chunk(*resources: dict[str, object]) -> bytes:
    return b"\n".join(json.dumps({"line": n, "resource": each}).encode() for n, each in enumerate(resources, 1))


async def test_a_chunk_that_is_sent_again_changes_nothing(client: httpx.AsyncClient):
    body = chunk({"userName": "ines"}, {"userName": "kim"})
    first = (await client.post(IMPORTS, params=HR, content=body)).json()
    assert [item["action"] for item in first["items"]] == ["created", "created"]
    again = (await client.post(IMPORTS, params=HR, content=body)).json()
    assert [(item["action"], item["id"]) for item in again["items"]] == [("unchanged", item["id"]) for item in first["items"]]
    listed = (await client.get("/exchanges")).json()["items"]
    # Of what changed nothing there is nothing to tell.
    assert [(each["id"], each["request"]["text"], len(each["change_ids"])) for each in listed] == [
        (first["request_id"], None, 2)
    ]


@pytest.mark.parametrize(
    "params, body, sentence",
    [
        ({}, b"", "source is missing."),
        ({"source": "none"}, b"", "has no source 'none'"),
        (HR | {"type": "Robot"}, b"", "There is no resource type 'Robot'; there are User, Group."),
        (HR | {"key": "shoe"}, b"", "User has no 'shoe', by which two records could be told apart."),
        (HR | {"key": "name"}, b"", "User has no 'name', by which two records could be told apart."),
        (HR | {"mode": "mirror"}, b"", "mode: input should be 'create' or 'upsert'."),
        (HR | {"slot": "shoe"}, b"", "'shoe' is no attribute of User."),
        (HR, b"[]", "The chunk is not lines of JSON"),
        (HR, b'{"line": 1}', "Each line of the chunk must be such as"),
        (HR, b'{"line": true, "resource": {}}', "Each line of the chunk must be such as"),
        (HR, b'{"line": 1, "resource": {}}\n' * 5001, "The chunk has 5001 records; at most 5000 are taken at once."),
    ],
)
async def test_a_chunk_that_is_none_is_refused_whole(
    client: httpx.AsyncClient, params: dict[str, str], body: bytes, sentence: str
):
    answer = await client.post(IMPORTS, params=params, content=body)
    assert answer.status_code in (400, 404)
    assert sentence in answer.json()["detail"]


async def test_a_chunk_may_be_larger_than_other_bodies_and_has_a_limit(client: httpx.AsyncClient):
    large = chunk({"userName": "ines", "title": "x" * 2_000_000})
    assert (await client.post(IMPORTS, params=HR, content=large)).status_code == 200
    assert (await client.post("/directories", content=large)).status_code == 413
    assert (await client.post(IMPORTS, params=HR, content=b"x" * (33 * 1024 * 1024 + 1))).status_code == 413


async def test_a_removal_leaves_who_has_another_key_by_now(client: httpx.AsyncClient):
    made = (await client.post(IMPORTS, params=HR, content=chunk({"userName": "ines"}, {"userName": "kim"}))).json()
    ines, kim = (item["id"] for item in made["items"])
    body = b"\n".join(json.dumps({"id": id, "key": key}).encode() for id, key in ((ines, "INES"), (kim, "lou"), ("none", "x")))
    removed = await client.post(f"{IMPORTS}/removals", params=HR | {"absent": "delete"}, content=body)
    assert [item["action"] for item in removed.json()["items"]] == ["removed", "unchanged", "unchanged"]
    answer = await client.get("/directories/acme/export", params={"type": "User"})
    *lines, last = answer.text.splitlines()
    assert ([json.loads(line)["userName"] for line in lines], json.loads(last)["next"]) == (["kim"], "User.2.0")
    following = await client.get("/directories/acme/export", params={"type": "User", "after": "User.2.0"})
    assert following.text == '{"next":null,"seen":0}\n'
    wrong = await client.get("/directories/acme/export", params={"after": "Robot.1.0"})
    assert (wrong.status_code, "what the page before gave" in wrong.json()["detail"]) == (400, True)
