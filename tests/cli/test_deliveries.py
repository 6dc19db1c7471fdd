"""What ``scimhub doctor`` says of destinations to who is called at night."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from scimhub import clock
from tests.cli.command import Outcome, run
from tests.end_to_end.live import LiveHub, free_port, user, wait_until
from tests.end_to_end.receiver import Receiver


def told(outcome: Outcome, subject: str = "deliveries") -> list[tuple[str, str]]:
    found = [one for one in json.loads(outcome.output) if one["subject"] == subject]
    return [(one["verdict"], one["sentence"]) for one in found]


def status(name: str) -> dict[str, object]:
    shown: dict[str, object] = run("destination", "show", name, "--json").json["status"]
    return shown


def test_a_tripped_brake_and_a_paused_destination_are_told_with_what_to_do(hub: LiveHub):
    with Receiver() as receiver, hub.client() as client:
        assert told(run("doctor", "--json")) == [("OK", "There is no destination.")]
        made = run("destination", "create", "payroll", "--url", receiver.url, "--json").json
        receiver.secrets.append(made["secret"])
        ids = [client.post("/Users", json=user(f"kim{number}")).json()["id"] for number in range(12)]
        wait_until(lambda: status("payroll")["lag"] == 0, "the delivery")
        assert told(run("doctor", "--json")) == [("OK", "Nothing waits for a person at 1 destination.")]
        for id in ids:
            client.delete(f"/Users/{id}")
        wait_until(lambda: status("payroll")["brake_is_tripped"] and status("payroll")["in_flight"] == 0, "the trip")
        held = status("payroll")["brake_held"]
        looked = run("doctor", "--json")
        tripped = f"The brake of default/payroll has tripped and holds {held} removals."
        next = "Next: scimhub destination brake show payroll --directory default"
        assert (looked.code, told(looked)) == (0, [("WARN", f"{tripped} {next}")])
        run("destination", "pause", "payroll", "--reason", "moving house")
        paused = "default/payroll is paused: moving house. Next: scimhub destination resume payroll --directory default"
        assert told(run("doctor", "--json")) == [("WARN", paused), ("WARN", f"{tripped} {next}")]


def test_a_leaver_who_waits_too_long_is_told_although_nothing_is_sent(hub: LiveHub, tmp_path: Path):
    with hub.client() as client:
        run("destination", "create", "payroll", "--url", f"http://127.0.0.1:{free_port()}/")
        run("destination", "pause", "payroll")
        client.delete(f"/Users/{client.post('/Users', json=user('kim')).json()['id']}")
        assert len(told(run("doctor", "--json"))) == 1
        hub.stop()
        early = clock.text(datetime.now(UTC) - timedelta(hours=3, minutes=1))
        database = apsw.Connection(str(tmp_path / "scimhub.db"))
        database.execute("UPDATE changes SET time = ?", (early,))
        database.close()
        looked = run("doctor", "--json")
        assert (looked.code, told(looked)[1]) == (
            1,
            (
                "FAIL",
                "default/payroll has not been told for 3 hours that somebody left; the deadline is five minutes. "
                "Next: scimhub destination show payroll --directory default",
            ),
        )


def test_the_address_is_the_hubs_and_other_settings_are_told(hub: LiveHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_PORT", "9")
    (running, other) = told(run("doctor", "--json"), "hub")
    assert (running[0], f"it is reached at {hub.url}." in running[1]) == ("OK", True)
    assert other[0] == "WARN"
    assert other[1].startswith("By the settings that this command reads it would be reached at http://127.0.0.1:9: give this")
