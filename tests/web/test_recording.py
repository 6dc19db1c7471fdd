"""Canaries: what sources send is searched for, byte by byte, where the exchanges are kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import httpx
import pytest

from scimhub.sqlstore.sqlite import exchanges
from tests.conformance import hub as hubs
from tests.conformance.hub import Application, Client, Loop

# In every value that is sent, each time with something else behind it, also where a mask could tear it in two.
CANARY = "kanarie"
SECRET = "geheim-7c1"
PIN = {
    "id": "urn:example:Door",
    "name": "Door",
    "extends": ["User"],
    "attributes": [{"name": "pin", "type": "string", "returned": "never", "mutability": "writeOnly"}],
}


def text(name: str) -> str:
    return f"{CANARY} {name}.{CANARY}@{CANARY}.example"


def person(number: int) -> dict[str, Any]:
    """A user with a canary in each attribute."""
    plural = {
        name: [{"value": text(name), "display": text(name), "type": "work", "primary": True}]
        for name in ("emails", "phoneNumbers", "ims", "entitlements", "roles")
    }
    plain = ("displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone")
    name = dict.fromkeys(("formatted", "familyName", "givenName", "middleName", "honorificPrefix"), text("name"))
    address = dict.fromkeys(("formatted", "streetAddress", "locality", "region", "postalCode"), text("address"))
    return {
        "schemas": [hubs.USER, hubs.ENTERPRISE, PIN["id"]],
        "userName": f"{number}.{text('userName')}",
        "externalId": f"{CANARY}-{number}",
        "name": name,
        "addresses": [address | {"type": f"{CANARY}-type", "country": "DE"}],
        "profileUrl": f"https://{CANARY}.example/",
        "photos": [{"value": f"https://{CANARY}.example/a.png", "type": "photo"}],
        "password": f"{SECRET}-{number}",
        f"{CANARY.capitalize()[:3]}Colour": text("unknown"),
        hubs.ENTERPRISE: {"department": text("department"), "employeeNumber": f"{CANARY}{number}"},
        PIN["id"]: {"pin": f"{SECRET}-pin"},
        **plural,
        **dict.fromkeys(plain, text("plain")),
    }


def speak(client: Client, token: str) -> None:
    """Say everything that a source could say, rightly and wrongly."""
    made = hubs.created(client.post("/Users", person(1)))
    path = f"/Users/{made['id']}"
    assert client.post("/Users", person(1)).status_code == 409
    assert client.put(path, person(1) | {"title": text("put")}).status_code == 200
    group = client.post("/Groups", {"schemas": [hubs.GROUP], "displayName": text("group"), "members": [{"value": made["id"]}]})
    assert group.status_code == 201
    for operation in (
        {"op": "replace", "path": "password", "value": f"{SECRET}-a"},
        {"op": "Replace", "path": f"{hubs.USER}:password", "value": f"{SECRET}-b"},
        {"op": "replace", "value": {"password": f"{SECRET}-c", "nickName": text("pathless")}},
        {"op": "replace", "path": "urn:example:Door:pin", "value": f"{SECRET}-d"},
        {"op": "replace", "path": f'emails[value eq "{text("emails")}"].display', "value": text("patched")},
        {"op": "replace", "path": "password", "value": [f"{SECRET}-e", f"{SECRET}-f"]},
        {"op": "replace", "path": "password", "value": {f"{SECRET}": f"{SECRET}-g"}},
        {"op": "replace", "path": "active", "value": text("active")},
        {"op": "remove", "path": f'emails[password eq "{SECRET}-h"]'},
        {"op": "remove", "path": f"emails[{text('bad')}"},
        {"op": "add", "path": "members", "value": text("members")},
    ):
        client.patch(path, operation)
    client.bulk(
        {"method": "POST", "path": "/Users", "bulkId": CANARY, "data": person(2)},
        {"method": "PATCH", "path": path, "data": {"Operations": [{"op": "add", "path": "password", "value": f"{SECRET}-i"}]}},
        {"method": "PUT", "path": f"/Users/{CANARY}", "data": {"userName": text("bulk"), "password": SECRET, "active": CANARY}},
    )
    for filter in (f'userName eq "{CANARY}', f'password eq "{SECRET}-j"', f'unknown eq "{CANARY}"', f"userName eq {CANARY}"):
        client.get("/Users", filter=filter)
        client.search("/Users/.search", filter=filter)
    client.get("/Users", sortBy="password", token=token, password=SECRET, attributes=f"{CANARY} x", count=CANARY)
    client.get(f"/Users/{CANARY}-{CANARY}")
    client.delete(f"/Users/{CANARY}")
    torn = b'{"schemas":["x"],"userName":"' + CANARY.encode() + b'","password":"' + SECRET.encode()
    for raw in (torn, torn + b'"', torn + b'" "a"}', torn.decode().encode("utf-16"), b"password=" + SECRET.encode(), b"\xff"):
        client.post("/Users", raw)
    client.post("/Users", b'{"userName":"' + CANARY.encode() + b'","pass\\u0077ord":"' + SECRET.encode() + b'","x":"a"}')
    long = [{"value": made["id"], "display": text("long")} for _ in range(400)]
    client.patch(f"/Groups/{group.json()['id']}", {"op": "add", "value": long, "path": "members"})
    client.patch(path, {"op": "replace", "value": f"{SECRET}-k", "note": "x" * 20_000, "path": "password"})
    Client(client.loop, client.application, client.directory, f"scimhub_{SECRET}-{'t' * 40}").get(f"/Users/{CANARY}")
    assert client.delete(path).status_code == 204


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest, loop: Loop, tmp_path: Path) -> Iterator[str]:
    """Where an empty database is."""
    if request.param == "sqlite":
        yield str(tmp_path / "scimhub.db")
        return
    server = request.getfixturevalue("postgres_server")
    url = loop.run(server.create_database())
    yield url
    loop.run(server.drop_database(url))


def kept_bytes(application: Application, loop: Loop) -> bytes:
    """All bytes of the exchanges' file and its write-ahead log, or of all rows of the tables."""
    loop.run(application.opened.exchanges.flush())
    file = application.settings.database_file
    if file is None:
        return loop.run(bytes_of_tables(application.settings.database))
    path = exchanges.path_beside(file)
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name) and not file.name.endswith("-shm")]
    assert len(files) == 2
    return b"".join(file.read_bytes() for file in files)


async def bytes_of_tables(url: str) -> bytes:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT exchanges::text FROM exchanges UNION ALL SELECT attempts::text FROM attempts")
    finally:
        await connection.close()
    return "\n".join(row[0] for row in rows).encode()


def recorded(loop: Loop, folder: Path, database: str, content: str) -> bytes:
    """What is kept after everything was said."""
    with hubs.opened(loop, folder, database=database, exchange_content=content) as application:
        hub = application.hub()
        hub.add_schema(PIN)
        speak(hub.lenient, hub.lenient.token or "")
        # What is rewritten or dropped otherwise, is refused here.
        for attribute, value in person(3).items():
            hub.strict.post("/Users", hubs.user("strict", **{attribute: value}))
        tokens = (hub.lenient.token or "").encode(), (hub.strict.token or "").encode()
        found = kept_bytes(application, loop)
        assert found.count(b"/scim/directory-") > 50
        assert application.opened.exchanges.dropped == 0
        assert not [token for token in tokens if token in found]
        return found


@pytest.mark.parametrize("content", ["full", "masked", "none"])
def test_no_secret_is_kept_in_any_mode(loop: Loop, tmp_path: Path, database: str, content: str):
    found = recorded(loop, tmp_path, database, content)
    lowered = found.lower()
    assert SECRET.encode() not in lowered, around(lowered, SECRET.encode())
    assert SECRET.encode("utf-16-le") not in found
    assert b"scimhub_" not in lowered


@pytest.mark.parametrize("content", ["masked", "none"])
def test_no_personal_value_is_kept_when_masked(loop: Loop, tmp_path: Path, database: str, content: str):
    found = recorded(loop, tmp_path, database, content)
    assert CANARY.encode() not in found.lower(), around(found.lower(), CANARY.encode())
    assert CANARY.encode("utf-16-le") not in found


def test_with_full_the_values_are_there(loop: Loop, tmp_path: Path, database: str):
    found = recorded(loop, tmp_path, database, "full")
    for value in (text("department"), text("patched"), text("bulk"), f"userName eq {CANARY}", "[redacted]"):
        assert value.encode() in found, value


def test_a_secret_is_struck_out_wherever_a_resource_has_it(loop: Loop, tmp_path: Path):
    """In the place of each value, beside it, and in what is read-only; some of these resources are accepted."""
    whole = {name: value for name, value in person(1).items() if name not in ("password", PIN["id"], "KanColour", "locale")}
    whole |= {"schemas": [hubs.USER], "timezone": "Europe/Berlin", "preferredLanguage": "de"}
    whole[hubs.ENTERPRISE] |= {"manager": {"value": "1"}}
    hidden: list[object] = [{"password": SECRET}, [{"passWord": SECRET}], {"value": "1", "client_secret": SECRET}]
    bodies = [body for value in hidden for body in with_inserted(whole, value)]
    bodies += [whole | {name: value} for value in hidden for name in ("id", "meta", "groups")]
    bodies += [whole | {hubs.ENTERPRISE: {"manager": {"value": "1", "displayName": value}}} for value in hidden]
    bodies += [whole | {"password": SECRET}]
    with hubs.opened(loop, tmp_path, exchange_content="full") as application:
        hub = application.hub()
        accepted = 0
        for number, body in enumerate(bodies):
            for dialect, source in (("lenient", hub.lenient), ("strict", hub.strict)):
                named = body | {"userName": f"{dialect}-{number}"}
                made = source.post("/Users", named)
                if made.status_code == 201:
                    accepted += 1
                    source.put(f"/Users/{made.json()['id']}", named | {"title": "other"})
        assert accepted > len(bodies) / 3
        found = kept_bytes(application, loop)
        assert SECRET.encode() not in found, around(found, SECRET.encode())


def with_inserted(value: object, inserted: object) -> Iterator[Any]:
    """The JSON value with the other one in the place of each value in it, and as one more member of each object."""
    if isinstance(value, dict):
        yield value | {"more": inserted}
        for name, item in value.items():
            yield from (value | {name: each} for each in (inserted, *with_inserted(item, inserted)))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from ([*value[:place], each, *value[place + 1 :]] for each in with_inserted(item, inserted))


def around(found: bytes, canary: bytes) -> bytes:
    """Where it stands, for the failure's message."""
    place = found.find(canary)
    return found[max(0, place - 300) : place + 100]


def test_what_the_disk_refused_is_in_the_metrics(loop: Loop, tmp_path: Path):
    with hubs.opened(loop, tmp_path) as application:
        other = apsw.Connection(str(tmp_path / "scimhub-exchanges.db"))
        other.execute("DROP TABLE exchanges")
        other.close()
        application.hub().lenient.post("/Users", hubs.user("ada"))
        loop.run(application.opened.exchanges.flush())
        transport = httpx.ASGITransport(application.opened.application)
        shown = loop.run(httpx.AsyncClient(transport=transport, base_url="http://hub").get("/metrics")).text
        assert "\nscimhub_exchanges_dropped_total 1.0\n" in shown
