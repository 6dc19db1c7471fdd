"""Timelines and exchanges at the command line, over a database that a hub has just left."""

from pathlib import Path

import pytest

from tests.cli.command import Scimhub
from tests.conformance import hub as hubs
from tests.conformance.hub import Hub, Loop


@pytest.fixture
def said(home: Path) -> dict[str, str]:
    """A user joins, is renamed and is refused a second time; the ids of the requests."""
    (home / "data").mkdir(mode=0o700)
    loop = Loop()
    with hubs.opened(loop, home / "data") as application:
        hub: Hub = application.hub()
        made = hub.lenient.post("/Users", hubs.user("ada", active="True", password="pw-1", colour="blue"))
        hub.lenient.group("Crew", made.json()["id"])
        hub.lenient.patch(f"/Users/{made.json()['id']}", hubs.replace("title", "Captain"))
        refused = hub.lenient.post("/Users", hubs.user("Ada"))
    loop.close()
    return {"made": made.headers["x-request-id"], "refused": refused.headers["x-request-id"], "id": made.json()["id"]}


def test_a_timeline_is_readable(scimhub: Scimhub, said: dict[str, str]):
    shown = scimhub("trace", "ada", "-d", "directory-0")
    assert (shown.code, shown.errors) == (0, "")
    lines = shown.output.splitlines()
    assert [line for line in lines if line.endswith(" ")] == []
    assert lines[0] == f"User ada, id {said['id']}"
    # The time and the word have columns of their own; what belongs to an entry stands below it.
    words = [line[26:37].strip() for line in lines[1:] if line[26:37].strip()]
    assert words == ["sent", "rewritten", "dropped", "changed", "sent", "changed", "sent", "changed", "sent", "refused"]
    assert any(line.endswith("title  – → Captain") for line in lines)
    assert any(line.endswith(f"+ member ada ({said['id']})") for line in lines)
    assert any("string-boolean, password-not-kept" in line for line in lines)
    assert "pw-1" not in shown.output


def test_a_timeline_is_the_answer_of_the_api_for_machines(scimhub: Scimhub, said: dict[str, str]):
    timeline = scimhub("trace", said["made"], "-d", "directory-0", "--json").json
    assert [entry["entry"] for entry in timeline["entries"]] == ["sent", "changed"]
    assert len(scimhub("trace", "ada", "-d", "directory-0", "--last", "1", "--json").json["entries"]) == 5
    absent = scimhub("trace", "nobody", "-d", "directory-0")
    assert (absent.code, absent.errors[:47]) == (1, "Nothing in directory directory-0 is known as 'n")


def test_an_exchange_is_shown_with_its_bodies(scimhub: Scimhub, said: dict[str, str]):
    shown = scimhub("exchanges", "show", said["made"]).output
    assert '  "password": "[redacted]"' in shown
    assert f"id             {said['made']}" in shown
    assert "\nRequest, " in shown
    assert "\nAnswer, " in shown
    assert "authorization" not in shown.lower()
    assert scimhub("exchanges", "show", said["made"], "--json").json["rewrites"] == ["string-boolean", "password-not-kept"]
    assert scimhub("exchanges", "show", "none").code == 1


def test_exchanges_are_searched(scimhub: Scimhub, said: dict[str, str]):
    found = scimhub("exchanges", "--text", "CAPTAIN", "--json").json
    assert [each["method"] for each in found] == ["PATCH"]
    assert [each["id"] for each in scimhub("exchanges", "--errors", "--json").json] == [said["refused"]]
    assert len(scimhub("exchanges", "--resource", "group", "--method", "post", "--json").json) == 1
    assert len(scimhub("exchanges", "--resource", said["id"], "--until", "2999-01-01T00:00:00Z", "--json").json) == 2
    assert said["refused"] in scimhub("exchanges", "--errors").output
