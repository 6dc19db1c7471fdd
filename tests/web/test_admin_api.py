"""The admin API over its ASGI surface, on a real store."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub import clock
from scimhub.directory.schemas import Catalogs
from scimhub.exchanges.records import Received
from scimhub.sqlstore.exchanges import Exchanges, open_file_exchanges
from scimhub.sqlstore.store import SqlStore, open_file_store
from scimhub.web.admin_api import build_admin_api
from tests.assembly import build_engine

TOKEN = "an-admin-token-of-32-characters!"
BADGE = {"id": "urn:example:scim:schemas:Badge", "name": "Badge", "attributes": [{"name": "badgeNumber"}]}

Open = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_file_store(tmp_path / "hub.db", new_id=clock.new_id, now=clock.now_text, random=os.urandom)
    yield opened
    await opened.close()


@pytest.fixture
async def exchanges(tmp_path: Path) -> AsyncIterator[Exchanges]:
    opened = open_file_exchanges(tmp_path / "hub.db", keep_days=30, keep_count=1000, now=clock.now_text)
    yield opened
    await opened.close()


@pytest.fixture
def open_client(store: SqlStore, exchanges: Exchanges, tmp_path: Path) -> Open:
    def connect(*, token: str | None = TOKEN, trusted: bool = True, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        api = build_admin_api(
            store=store,
            catalogs=Catalogs(store),
            exchanges=exchanges,
            engine=build_engine(store, exchanges, Catalogs(store)),
            base_url="https://hub.example",
            admin_token=token,
            trusted=trusted,
            backups=tmp_path / "backups",
        )
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://hub/admin/v1", headers=headers)

    return connect


@pytest.fixture
async def client(open_client: Open) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client() as connected:
        yield connected


async def make_source(client: httpx.AsyncClient) -> str:
    await client.post("/directories", json={"name": "acme"})
    await client.post("/directories/acme/sources", json={"name": "okta"})
    return "/directories/acme/sources/okta"


# --------------------------------------------------------------------------- who is let in


@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer wrong"}])
async def test_over_tcp_the_token_is_asked_for(open_client: Open, headers: dict[str, str]):
    async with open_client(trusted=False, headers=headers) as client:
        answer = await client.post("/directories", json={"name": "acme"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"] == 'Bearer realm="scimhub administration"'
    assert answer.json()["detail"] == "Send Authorization: Bearer with the value of SCIMHUB_ADMIN_TOKEN."


async def test_over_tcp_the_right_token_opens(open_client: Open):
    async with open_client(trusted=False, headers={"Authorization": f"bearer {TOKEN}"}) as client:
        assert (await client.get("/directories")).json() == {"items": []}


async def test_without_the_setting_the_api_is_closed_over_tcp(open_client: Open):
    async with open_client(token=None, trusted=False, headers={"Authorization": "Bearer "}) as client:
        answer = await client.get("/directories")
    assert answer.status_code == 403
    assert "set SCIMHUB_ADMIN_TOKEN" in answer.json()["detail"]


async def test_who_is_not_let_in_has_no_body_read(open_client: Open):
    async with open_client(trusted=False) as client:
        assert (await client.post("/directories", content=b"{")).status_code == 401


# --------------------------------------------------------------------------- refusals


JSON = {"Content-Type": "application/json"}
REFUSALS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/directories/none", {}, 404, "There is no directory 'none'"),
    ("GET", "/nothing", {}, 404, "There is nothing at this path"),
    ("PUT", "/directories", {}, 405, "This path does not know the method."),
    ("POST", "/directories", {"content": b"{", "headers": JSON}, 400, "The body is not JSON."),
    ("POST", "/directories", {"content": b"{}"}, 400, "The body must be a JSON object, sent as application/json."),
    ("POST", "/directories", {"json": ["acme"]}, 400, "The body must be a JSON object, sent as application/json."),
    ("POST", "/directories", {}, 400, "The body is missing."),
    ("POST", "/directories", {"json": {}}, 400, "name is missing."),
    ("POST", "/directories", {"json": {"name": 1, "extra": 2}}, 400, "extra means nothing here."),
    ("POST", "/directories", {"json": {"name": "A_B"}}, 400, "The directory name 'A_B' is not legal"),
    ("POST", "/directories", {"content": b" " * 1_100_000}, 413, "limit of 1048576 bytes"),
    ("GET", "/exchanges?limit=0", {}, 400, "limit: input should be greater than or equal to 1."),
    ("GET", "/exchanges?since=yesterday", {}, 400, "since is 'yesterday'"),
    ("GET", "/exchanges?status=none", {}, 400, "status: input should be a valid integer"),
]


@pytest.mark.parametrize("method, path, content, status, sentence", REFUSALS, ids=[each[4][:30] for each in REFUSALS])
async def test_a_refusal_is_a_problem_with_a_sentence(
    client: httpx.AsyncClient, method: str, path: str, content: dict[str, Any], status: int, sentence: str
):
    answer = await client.request(method, path, **content)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert sentence in answer.json()["detail"]
    assert answer.json()["status"] == status


async def test_every_mistake_is_told_at_once(client: httpx.AsyncClient):
    await client.post("/directories", json={"name": "acme"})
    wish = {"name": "A", "dialect": "none", "returning": "never"}
    answer = await client.post("/directories/acme/sources", json=wish)
    assert len(answer.json()["problems"]) == 3


async def test_a_name_that_is_taken_is_a_conflict(client: httpx.AsyncClient):
    await client.post("/directories", json={"name": "acme"})
    assert (await client.post("/directories", json={"name": "acme"})).status_code == 409


# --------------------------------------------------------------------------- the verbs


async def test_a_directory_is_shown_with_the_url_to_paste(client: httpx.AsyncClient):
    made = await client.post("/directories", json={"name": "acme"})
    assert made.status_code == 201
    shown = (await client.get("/directories/acme")).json()
    assert shown == made.json() | {"resources": {}}
    assert shown["base_url"] == "https://hub.example/scim/acme/v2"
    assert (shown["name"], shown["catalog_version"], shown["deletion_requested"]) == ("acme", 1, None)
    assert [item["name"] for item in (await client.get("/directories")).json()["items"]] == ["acme"]


async def test_a_directory_goes_in_two_steps(client: httpx.AsyncClient):
    await client.post("/directories", json={"name": "acme"})
    assert (await client.delete("/directories/acme", params={"confirm": "acme"})).status_code == 409
    requested = await client.delete("/directories/acme")
    assert (requested.status_code, requested.json()["deletion_requested"] is not None) == (202, True)
    assert (await client.delete("/directories/acme", params={"confirm": "other"})).status_code == 400
    removed = await client.delete("/directories/acme", params={"confirm": "acme"})
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await client.get("/directories/acme")).status_code == 404


async def test_a_source_is_created_changed_and_removed(client: httpx.AsyncClient):
    path = await make_source(client)
    assert (await client.get(path)).json()["dialect"] == "lenient"
    changed = await client.patch(path, json={"dialect": "strict"})
    assert (changed.json()["dialect"], changed.json()["returning"]) == ("strict", "new")
    assert [item["name"] for item in (await client.get("/directories/acme/sources")).json()["items"]] == ["okta"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_a_tokens_secret_is_in_the_answer_that_makes_it_and_in_no_other(client: httpx.AsyncClient):
    path = await make_source(client)
    made = await client.post(f"{path}/tokens", json={"permissions": ["read"], "expires": "90d"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    listed = await client.get(f"{path}/tokens")
    (token,) = listed.json()["items"]
    assert secret not in listed.text
    assert (token["hint"], token["permissions"], token["state"]) == (secret[-4:], ["read"], "valid")
    revoked = await client.delete(f"{path}/tokens/{token['id']}")
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert (await client.delete(f"{path}/tokens/none")).status_code == 404


async def test_a_wrong_wish_for_a_token_makes_none(client: httpx.AsyncClient):
    path = await make_source(client)
    answer = await client.post(f"{path}/tokens", json={"permissions": ["admin"], "expires": "soon"})
    assert (answer.status_code, len(answer.json()["problems"])) == (400, 2)
    assert (await client.get(f"{path}/tokens")).json() == {"items": []}


async def test_a_schema_is_added_listed_shown_and_removed(client: httpx.AsyncClient):
    await client.post("/directories", json={"name": "acme"})
    report = (await client.post("/directories/acme/schemas", json=BADGE)).json()
    assert report == {
        "catalog_version": 2,
        "schemas": [BADGE["id"]],
        "resource_types": [],
        "rewritten": 0,
        "adopted": 0,
        "not_adopted": 0,
        "warnings": [],
    }
    listed = (await client.get("/directories/acme/schemas")).json()["items"]
    assert {
        "id": BADGE["id"],
        "name": "Badge",
        "kind": "schema",
        "origin": "added",
        "types": ["User"],
        "attributes": 1,
    } in listed
    assert (await client.get(f"/directories/acme/schemas/{BADGE['id']}")).json() == BADGE
    assert (await client.delete(f"/directories/acme/schemas/{BADGE['id']}")).json()["schemas"] == [BADGE["id"]]
    assert (await client.get(f"/directories/acme/schemas/{BADGE['id']}")).status_code == 404


async def test_a_wrong_schema_is_refused_with_every_mistake(client: httpx.AsyncClient):
    await client.post("/directories", json={"name": "acme"})
    wrong = {"id": "badge", "attributes": [{"name": "1"}, {"name": "a", "type": "text"}]}
    answer = await client.post("/directories/acme/schemas", json=wrong)
    assert (answer.status_code, len(answer.json()["problems"])) == (400, 3)


async def test_the_state_of_the_hub_is_shown_and_checked_on_wish(client: httpx.AsyncClient, store: SqlStore):
    status = (await client.get("/status")).json()
    assert (status["log_epoch"], status["last_position"], status["last_change"]) == (store.log_epoch, 0, None)
    assert status["check"] is None
    checked = (await client.get("/status", params={"check": "true"})).json()["check"]
    assert checked["problems"] == []
    assert checked["size"] > 0


async def test_exchanges_are_listed_newest_first_and_narrowed(client: httpx.AsyncClient, exchanges: Exchanges):
    first = Received(
        id="1",
        time="2026-11-23T20:41:35.123Z",
        directory="acme",
        source="okta",
        method="POST",
        path="/scim/acme/v2/Users",
        status=201,
        duration_us=1500,
        rewrites=("string-boolean",),
        dropped=("colour",),
        resource_kind="User",
        resource_id="7",
        change_ids=("c1",),
        request=b'{"userName":"ada"}',
        request_size=18,
    )
    exchanges.record(first)
    exchanges.record(first._replace(id="2", status=409, detail="It is taken.", change_ids=(), resource_kind="Group"))
    listed = (await client.get("/exchanges")).json()["items"]
    assert [item["id"] for item in listed] == ["2", "1"]
    shown = {key: listed[1][key] for key in ("status", "duration_us", "rewrites", "dropped", "resource_type", "change_ids")}
    assert shown == {
        "status": 201,
        "duration_us": 1500,
        "rewrites": ["string-boolean"],
        "dropped": ["colour"],
        "resource_type": "User",
        "change_ids": ["c1"],
    }
    for query, ids in [
        ("errors_only=true", ["2"]),
        ("status=201", ["1"]),
        ("source=entra", []),
        ("since=2026-11-23T20:41:36Z", []),
        ("until=2026-11-23T20:41:36Z&method=post", ["2", "1"]),
        ("resource=Group", ["2"]),
        ("resource=7", ["2", "1"]),
        ("text=IT IS TAKEN", ["2"]),
        ("limit=1", ["2"]),
    ]:
        assert [item["id"] for item in (await client.get(f"/exchanges?{query}")).json()["items"]] == ids, query
    found = (await client.get("/exchanges/1")).json()
    assert (found["id"], found["request"], found["answer"]) == (
        "1",
        {"text": '{"userName":"ada"}', "size": 18, "is_cut": False},
        None,
    )
    absent = await client.get("/exchanges/3")
    assert (absent.status_code, absent.json()["detail"][:51]) == (404, "No exchange with the request id '3' is kept; X-Requ")


async def test_a_backup_is_a_new_file(client: httpx.AsyncClient, tmp_path: Path):
    file = tmp_path / "copy.db"
    made = await client.post("/backup", json={"file": str(file)})
    assert (made.status_code, made.json()) == (201, {"file": str(file), "size": file.stat().st_size})
    assert (await client.post("/backup", json={"file": str(file)})).status_code == 409
    assert (await client.post("/backup", json={"file": "relative.db"})).status_code == 400
    assert (await client.post("/backup", json={"file": str(tmp_path / "none" / "copy.db")})).status_code == 400


@pytest.mark.parametrize("file", ["/etc/copy.db", "../copy.db", ".hidden", "a/b", ""])
async def test_over_tcp_nobody_chooses_where_a_backup_appears(open_client: Open, file: str):
    async with open_client(trusted=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        assert (await client.post("/backup", json={"file": file})).status_code == 400


async def test_over_tcp_a_backup_lies_beside_the_database(open_client: Open, tmp_path: Path):
    async with open_client(trusted=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        assert (await client.post("/backup", json={"file": "copy.db"})).json()["file"] == str(tmp_path / "backups" / "copy.db")


async def test_the_api_describes_itself(open_client: Open):
    async with open_client(trusted=False) as client:
        described = (await client.get("/openapi.json")).json()
    assert described["info"]["title"] == "scimhub administration"
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert len(operations) == 64
    assert all(operation["summary"] and operation["security"] for operation in operations)
    assert all(path.startswith("/admin/v1/") for path in described["paths"])
    assert all({"4XX", "503"} <= operation["responses"].keys() for operation in operations)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_there_is_no_page_that_loads_scripts_from_elsewhere(client: httpx.AsyncClient, path: str):
    assert (await client.get(path)).status_code == 404
