"""The verbs that tell a destination what is, on a running hub: backfill, resend, update --apply, drift and resync."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import column, run
from tests.end_to_end.live import TOKEN, LiveHub, group, patch, user, wait_until
from tests.end_to_end.other_ends import Registry
from tests.end_to_end.receiver import Receiver


def people(hub: LiveHub, *names: str, **attributes: object) -> list[str]:
    with hub.client() as client:
        return [client.post("/Users", json=user(name, **attributes)).json()["id"] for name in names]


def create(receiver: Receiver, name: str, *words: str) -> Any:
    # The receiver knows the secret before anything is sent, as it is to where everybody is told at once.
    secret = f"whsec_{b64encode(name.encode().ljust(32)).decode()}"
    receiver.secrets.append(secret)
    return run("destination", "create", name, "--url", receiver.url, "--json", "--secret-file", "-", *words, input=secret).json


def types(receiver: Receiver) -> list[str]:
    return [event.type.removeprefix("scimhub.") for event in receiver.events()]


def test_a_destination_is_filled_looked_on_and_told_single_people_again(hub: LiveHub, receiver: Receiver):
    ids = people(hub, "kim", "lee")
    with hub.client() as client:
        client.post("/Groups", json=group("staff", *ids))
    create(receiver, "hook", "--backfill")
    done = run("destination", "backfill", "hook", "--status", "--wait")
    assert (done.code, "done" in done.output, "3 of 3" in done.output) == (0, True, True)
    assert sorted(types(receiver)) == ["group.state", "user.state", "user.state"]

    resent = run("destination", "resend", "hook", "kim", "staff")
    assert resent.output.startswith(f"2 resources are told again. What became of it: scimhub trace {ids[0]}")
    wait_until(lambda: len(receiver.events()) == 5, "both of them")
    refused = run("destination", "resend", "hook", "nobody")
    assert (refused.code, refused.errors) == (1, "Nobody in directory default is known as 'nobody'.\n")
    assert run("destination", "backfill", "hook", "--pause").errors == "The backfill of destination hook is done.\n"
    assert run("destination", "backfill", "hook", "--pause", "--cancel").code == 2
    again = run("destination", "backfill", "hook", "--wait", "--json").json
    assert (again["state"], again["told"], again["arrived"], again["failed"]) == ("done", 3, 3, 0)


def test_another_filter_is_shown_asked_for_and_told(hub: LiveHub, receiver: Receiver):
    people(hub, "kim", userType="Employee")
    people(hub, "lee", userType="Guest")
    create(receiver, "hook", "--filter", 'userType eq "Employee"', "--after", "0")
    wait_until(lambda: types(receiver) == ["user.created"], "the first of them")
    words = ("destination", "update", "hook", "--filter", 'userType eq "Guest"')
    asked = run(*words)
    assert asked.code == 1
    assert asked.errors == (
        "By the new subscription of hook, User: 1 enters, 1 leaves, 0 change. Only what changes from now on is told; "
        "--apply tells the rest, too. Change it? Nobody can be asked here; give --yes.\n"
    )
    applied = run(*words, "--apply", "--wait", "--yes", "--json").json
    assert (applied["origin"], applied["state"], applied["told"]) == ("subscription", "done", 2)
    assert sorted(types(receiver)[1:]) == ["user.deleted", "user.state"]
    only = run("destination", "update", "hook", "--filter", 'userType eq "Employee"', "--yes")
    assert only.output.endswith(
        "To tell everybody who is in its scope: scimhub destination backfill hook --directory default\n"
    )
    styled = run("destination", "update", "hook", "--style", "state", "--json").json
    assert (styled["subscription"]["style"], styled["subscription_version"]) == ("state", 4)


def test_drift_is_shown_without_values_and_mended_by_a_plan(hub: LiveHub, tmp_path: Path):
    (tmp_path / "twin").mkdir()
    twin = LiveHub(tmp_path / "twin").start()
    try:
        (kim,) = people(hub, "kim", title="boss")
        (tmp_path / "token").write_text(TOKEN)
        words = ("--kind", "scim_app", "--set", f"base_url={twin.scim_url}", "--secret-file", str(tmp_path / "token"))
        made = run("destination", "create", "twin", *words, "--backfill", "--json")
        assert made.code == 0, made.errors
        run("destination", "backfill", "twin", "--status", "--wait")
        clean = run("destination", "drift", "twin")
        assert (clean.code, clean.output.endswith("It has what it was to have.\n")) == (0, True)
        with twin.client() as client:
            (there,) = client.get("/Users").json()["Resources"]
            client.patch(f"/Users/{there['id']}", json=patch({"op": "replace", "path": "title", "value": "canary"}))
        found = run("destination", "drift", "twin")
        assert found.code == 1
        assert f"different: User {kim}, there {there['id']}\n  title\n" in found.output
        assert "canary" not in found.output
        with twin.client() as client:
            client.patch(f"/Users/{there['id']}", json=patch({"op": "replace", "path": "active", "value": False}))
        assert f"different: User {kim}, there {there['id']}\n  active, title\n" in run("destination", "drift", "twin").output
        shown = run("destination", "drift", "twin", "--values").output
        assert '\n  active: ours true, there false\n  title: ours "boss", there "canary"\n' in shown
        assert json.loads(run("destination", "drift", "twin", "--json").output)["counts"]["User"]["different"] == 1

        plan = run("destination", "resync", "plan", "twin")
        assert ("change 1 User" in plan.output, "no published limit" in plan.output) == (True, True)
        (id,) = column(run("destination", "resync", "list", "twin", "--json").json["items"], "id")
        assert f"scimhub destination resync apply twin {id} --directory default" in plan.output
        assert run("destination", "resync", "show", "twin", id, "--json").json["items"] == 1
        applied = run("destination", "resync", "apply", "twin", id, "--wait")
        assert (applied.code, "done" in applied.output) == (0, True)
        assert run("destination", "drift", "twin").code == 0
        with twin.client() as client:
            assert client.get(f"/Users/{there['id']}").json()["title"] == "boss"
    finally:
        twin.stop()


def test_an_api_of_ones_own_is_looked_at_and_mended_as_an_application_is(hub: LiveHub, tmp_path: Path):
    with Registry() as registry:
        kim, lee, max = people(hub, "kim", "lee", "max", title="boss")
        with hub.client() as client:
            staff = client.post("/Groups", json=group("staff", kim, lee)).json()["id"]
        (tmp_path / "crm.json").write_text(json.dumps(registry.wish["configuration"]))
        words = ("--kind", "http_api", "--configuration", str(tmp_path / "crm.json"), "--backfill", "--json")
        assert run("destination", "create", "crm", *words).code == 0
        run("destination", "backfill", "crm", "--status", "--wait")
        clean = run("destination", "drift", "crm", "--json").json
        assert (clean["has_drift"], clean["ours"], clean["shown"]) == (False, {"User": 3, "Group": 1}, {"User": 3, "Group": 1})
        del registry.people[lee]
        registry.people[kim]["resource"]["title"] = "canary"
        registry.people["x"] = {"version": 1, "resource": {"userName": "x"}}
        registry.members[staff] = {kim, max}

        found = run("destination", "drift", "crm", "--json")
        assert (found.code, "canary" in found.output) == (1, False)
        report = json.loads(found.output)
        assert {one["category"]: one["resource_id"] for one in report["samples"]} == {
            "missing": lee,
            "different": kim,
            "members": staff,
            "extra": None,
        }
        assert "Of user it is compared: resource.title, resource.userName, resource.active." in report["limits"]
        shown = run("destination", "drift", "crm", "--values").output
        assert '\n  resource.title: ours "boss", there "canary"\n' in shown
        plan = run("destination", "resync", "plan", "crm", "--json").json
        wanted = {"add": {"User": 1}, "adopt": {}, "change": {"Group": 1, "User": 1}, "remove": {}, "conflict": {}}
        assert plan["counts"] == wanted
        applied = run("destination", "resync", "apply", "crm", plan["id"], "--wait", "--json").json
        assert (applied["origin"], applied["state"], applied["arrived"]) == ("plan", "done", 3)
        after = run("destination", "drift", "crm", "--json").json
        assert (after["has_drift"], after["counts"]["User"]["extra"]) == (False, 1)
        assert (registry.people[kim]["resource"]["title"], registry.members[staff]) == ("boss", {kim, lee})


def test_who_cannot_be_asked_is_told_so(hub: LiveHub, receiver: Receiver):
    create(receiver, "hook")
    refused = run("destination", "drift", "hook")
    assert refused.code == 1
    assert refused.errors.startswith("Destination hook is a webhook, which cannot be asked what it has")
    assert run("destination", "resync", "plan", "hook").code == 1
    run("destination", "create", "pull", "--kind", "feed")
    assert "begins with a snapshot whenever it wants" in run("destination", "backfill", "pull").errors


def test_what_cannot_be_filled_is_not_made(hub: LiveHub):
    refused = run("destination", "create", "pull", "--kind", "feed", "--backfill")
    assert (refused.code, "begins with a snapshot whenever it wants" in refused.errors) == (1, True)
    twice = run("destination", "create", "hook", "--url", "http://127.0.0.1:1/", "--backfill", "--after", "0")
    assert (twice.code, twice.errors) == (1, "A backfill begins with the newest change; leave out after, or backfill.\n")
    assert run("destination", "list", "--json").json["items"] == []


def test_without_a_hub_nobody_waits_for_ever(hub: LiveHub, receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_EGRESS_LOOPBACK", "true")
    people(hub, "kim")
    run("destination", "create", "hook", "--url", "http://127.0.0.1:1/", "--after", "0")
    create(receiver, "reached", "--after", "0")
    # What it never had is no replay.
    wait_until(lambda: types(receiver) == ["user.created"], "the first of them")
    hub.stop()
    told = run("destination", "resend", "hook", "kim")
    assert (told.code, told.output.splitlines()[-1]) == (0, "No hub runs; it goes on when one does.")
    assert "waits          No hub runs; it goes on when one does." in run("destination", "show", "hook").output.splitlines()
    waits = run("destination", "backfill", "hook", "--wait")
    assert (waits.code, waits.errors) == (1, "No hub runs; it goes on when one does.\n")
    replayed = run("destination", "replay", "reached", "--after", "0", "--wait")
    assert (replayed.code, replayed.errors) == (1, "No hub runs; it goes on when one does.\n")
    shown = run("destination", "update", "hook", "--filter", "active eq true", "--apply", "--wait", "--yes")
    assert (shown.code, "is running" in shown.errors) == (1, True)
    run("destination", "backfill", "hook", "--cancel")
    told = run("destination", "update", "hook", "--filter", "active eq false", "--apply", "--wait", "--yes")
    assert (told.code, told.errors) == (1, "No hub runs; it goes on when one does.\n")
    assert told.output.startswith("new subscription  ")
    hub.start()
    run("destination", "pause", "hook")
    paused = run("destination", "backfill", "hook", "--status", "--wait", "--json")
    assert (paused.code, json.loads(paused.output)["waits_for"], paused.errors) == (
        1,
        "The destination is paused; it goes on when that is resumed.",
        "The destination is paused; it goes on when that is resumed.\n",
    )
    ended = run("destination", "backfill", "hook", "--cancel", "--wait")
    assert (ended.code, ended.errors) == (1, "It is stopped: An administrator ended it.\n")
    assert run("destination", "backfill", "hook", "--status").code == 0
