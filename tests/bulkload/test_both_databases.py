"""A table imported into a hub that runs, and exported again, on each of the two databases."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bulkload.test_verbs import ACME, ENTERPRISE, USER, counts, exported, nameless, user
from tests.cli.command import Scimhub, run
from tests.end_to_end.live import LiveHub

TABLE = """Login,Vorname,Mail,Status,Phones,Boss,Shoe size
ines@example.com,Inês,ines@example.com,aktiv,1 / 2,,38
kim@example.com,Kim,,ausgetreten,,ines@example.com,41
lou@example.com,,lou@example.com,aktiv,,MAX@example.com,40
max@example.com,Max,max@example.com,,,ines@example.com,44
"""
MAP = """columns:
  Login: userName
  Vorname: name.givenName
  Mail: 'emails[type eq "work"].value'
  Status: {to: active, values: {aktiv: true, ausgetreten: false}}
  Phones: {to: phoneNumbers.value, separator: "/"}
  Boss: manager.userName
  Shoe size: ignore
"""


def work(address: str) -> list[dict[str, str]]:
    return [{"value": address, "type": "work"}]


def led(by: str) -> dict[str, object]:
    return {"schemas": [USER, ENTERPRISE], ENTERPRISE: {"manager": by}}


PEOPLE = [
    user(
        "ines@example.com",
        name={"givenName": "Inês"},
        emails=work("ines@example.com"),
        active=True,
        phoneNumbers=[{"value": "1"}, {"value": "2"}],
    ),
    user("kim@example.com", name={"givenName": "Kim"}, active=False) | led("ines@example.com"),
    user("lou@example.com", emails=work("lou@example.com"), active=True) | led("max@example.com"),
    user("max@example.com", name={"givenName": "Max"}, emails=work("max@example.com"), active=True) | led("ines@example.com"),
]


@pytest.fixture(params=["sqlite", "postgres"])
def scimhub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scimhub]:
    """The command, beside a hub whose directories acme and copy have the source hr."""
    database = str(tmp_path / "scimhub.db")
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        database = asyncio.run(server.create_database())
    # It names a server for the tests, and is no setting of the hub's.
    monkeypatch.delenv("SCIMHUB_TEST_POSTGRES", raising=False)
    monkeypatch.setenv("SCIMHUB_DATABASE", database)
    monkeypatch.setenv("SCIMHUB_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    hub = LiveHub(tmp_path, {"SCIMHUB_DATABASE": database, "SCIMHUB_DATA": str(tmp_path)}).start()
    for directory in ("acme", "copy"):
        run("directory", "create", directory)
        run("source", "create", "hr", "-d", directory)
    yield run
    assert hub.stop() == 0
    if request.param == "postgres":
        asyncio.run(server.drop_database(database))


@pytest.mark.ci  # a server and a hub begin
def test_a_table_with_a_map_is_planned_loaded_and_exported_and_that_loaded_again(scimhub: Scimhub, tmp_path: Path):
    (tmp_path / "people.csv").write_text(TABLE, "utf-8")
    (tmp_path / "map.yaml").write_text(MAP, "utf-8")
    loading = ("import", "people.csv", "--map", "map.yaml", *ACME, "--json")
    planned = scimhub(*loading, "--dry-run").json
    assert (planned["dry_run"], counts(planned)) == (True, {"created": 4})
    assert exported(scimhub) == []
    assert counts(scimhub(*loading).json) == {"created": 4}
    assert nameless(exported(scimhub)) == PEOPLE
    assert counts(scimhub(*loading).json) == {"unchanged": 4}
    assert scimhub("export", "-d", "acme", "-o", "out.ndjson").code == 0
    assert counts(scimhub("import", "out.ndjson", "-d", "copy", "-s", "hr", "--json").json) == {"created": 4}
    assert nameless(exported(scimhub, "copy")) == PEOPLE
