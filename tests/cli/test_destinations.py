"""The verbs on destinations: beside a hub that runs, with a webhook's receiver, and on a database that nobody has open."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scimhub.consumer import Event
from tests.cli.command import Scimhub, column, run
from tests.cli.test_asking import at_a_terminal
from tests.destinations.broker_nats import NatsBroker
from tests.end_to_end.live import LiveHub, patch, user, wait_until
from tests.end_to_end.receiver import Receiver
from tests.servers.running import PATIENCE


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    """One hub for all tests of the module; they use names of their own."""
    hub = LiveHub(tmp_path_factory.mktemp("hub"), {"SCIMHUB_EGRESS_LOOPBACK": "true"}).start()
    yield hub
    hub.stop()


@pytest.fixture
def running(live: LiveHub, monkeypatch: pytest.MonkeyPatch) -> LiveHub:
    """The commands of this process find the hub by its database."""
    monkeypatch.chdir(live.folder)
    monkeypatch.setenv("SCIMHUB_DATABASE", str(live.folder / "scimhub.db"))
    return live


def create(receiver: Receiver, name: str, *words: str) -> Any:
    made = run("destination", "create", name, "--url", receiver.url, "--json", *words).json
    receiver.secrets.append(made["secret"])
    return made


def person(hub: LiveHub, name: str) -> str:
    with hub.client() as client:
        answer = client.post("/Users", json=user(name))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


def status(name: str) -> Any:
    return run("destination", "show", name, "--json").json["status"]


def facts(output: str) -> dict[str, str]:
    """What ``show`` prints for people."""
    lines = (line.partition("  ") for line in output.splitlines() if "  " in line)
    return {name: value.strip() for name, _, value in lines}


# --------------------------------------------------------------------------- beside a running hub


def test_a_destination_that_is_made_paused_is_sent_nothing_before_it_is_resumed(running: LiveHub, receiver: Receiver):
    place = ("-d", "sleeping")
    run("directory", "create", "sleeping")
    run("source", "create", "hr", *place)
    token = run("token", "create", *place, "--source", "hr", "--json").json["secret"]
    with running.client(token) as client:
        client.base_url = f"{running.url}/scim/sleeping/v2"
        assert client.post("/Users", json=user("early-bird")).status_code == 201
    made = create(receiver, "asleep", *place, "--after", "0", "--paused")["destination"]
    assert (made["state"], made["reason"]) == ("paused", "It was made so.")
    assert run("destination", "preview", "asleep", *place, "--json").json["counts"]["User"]["stays"] == 1
    assert run("destination", "check", "asleep", *place).code == 0
    assert [event for event in receiver.events() if event.tells_of_resource] == []
    run("destination", "resume", "asleep", *place)
    wait_until(lambda: any(event.tells_of_resource for event in receiver.events()), "the first events")


def test_a_destination_is_made_and_its_secret_is_printed_once(running: LiveHub, receiver: Receiver):
    made = run("destination", "create", "once", "--url", receiver.url, "--type", "user.*", "--attribute", "userName")
    assert (made.code, made.errors) == (0, "")
    told = facts(made.output)
    assert told["secret"].startswith("whsec_")
    assert (told["types"], told["filters"], told["attributes"], told["state"]) == ("user.*", "none", "userName", "active")
    assert made.output.splitlines()[-1] == (
        "The secret is shown this once. Next: scimhub destination check once --directory default"
    )
    shown = run("destination", "show", "once")
    assert facts(shown.output) == {name: value for name, value in told.items() if name != "secret"}
    for words in (("list",), ("list", "--json"), ("show", "once"), ("show", "once", "--json")):
        assert told["secret"].removeprefix("whsec_")[:12] not in run("destination", *words).output
    receiver.secrets.append(told["secret"])
    assert run("destination", "check", "once").output == "The test event arrived: 204.\n"


def test_options_become_configuration_and_subscription(running: LiveHub, receiver: Receiver):
    words = ("--set", "timeout=5", "--set", "format=binary", "--set", 'headers={"X-Team": "hr"}', "--filter", "active eq true")
    made = create(receiver, "options", *words, "--filter", 'Group=displayName sw "S"', "--type", "user.*", "--type", "group.*")
    configuration = made["destination"]["configuration"]
    assert {name: configuration[name] for name in ("timeout", "format", "headers")} == {
        "timeout": 5,
        "format": "binary",
        "headers": {"X-Team": "(concealed)"},
    }
    assert made["destination"]["subscription"] == {
        "types": ["user.*", "group.*"],
        "filters": {"User": "active eq true", "Group": 'displayName sw "S"'},
        "attributes": [],
        "mapping": {},
        "style": "event",
    }
    updated = run("destination", "update", "options", "--set", "timeout=7", "--json").json
    assert (updated["configuration"], updated["subscription_version"]) == ({**configuration, "timeout": 7}, 1)
    updated = run("destination", "update", "options", "--type", "*", "--json").json
    assert (updated["subscription"]["types"], updated["subscription_version"]) == (["*"], 2)
    assert updated["subscription"]["filters"] == made["destination"]["subscription"]["filters"]
    told = run("destination", "update", "options", "--attribute", "userName")
    assert told.output.splitlines()[-1].startswith("The subscription holds for changes from now on;")


def test_a_destination_is_made_with_thresholds_of_its_own(running: LiveHub, receiver: Receiver):
    create(receiver, "careful", "--brake", "count=200", "--brake", "percent=2.5")
    shown = run("destination", "brake", "show", "careful", "--json").json["thresholds"]
    assert shown == {
        "enabled": True,
        "count": 200,
        "percent": 2.5,
        "small_count": 5,
        "small_percent": 50,
        "settle_seconds": 60,
    }
    create(receiver, "careless", "--brake", "off")
    assert facts(run("destination", "show", "careless").output)["brake"] == "off"
    words = ("destination", "create", "wrong", "--url", "no", "--brake", "percent=200", "--brake", "settle_seconds=-1")
    assert run(*words).errors.splitlines()[-2:] == [
        "The brake's percent is a number from 0 to 100.",
        "The brake's settle_seconds is a number from 0 to 3600.",
    ]
    assert run("destination", "create", "wrong", "--brake", "percent").code == 2
    fed = run("destination", "create", "fed", "--kind", "feed", "--brake", "count=9")
    assert (fed.code, fed.errors) == (1, "A feed has no brake, since its consumer fetches; leave it out.\n")
    assert "wrong" not in run("destination", "list").output


def test_a_broker_is_made_from_a_file_with_its_password_beside_it(running: LiveHub, tmp_path: Path):
    broker = NatsBroker(tmp_path)
    broker.start()
    try:
        asyncio.run(broker.create("cli"))
        secret, keys = broker.secured
        (tmp_path / "nats.yaml").write_text(yaml.safe_dump({**broker.configuration("cli"), **keys, "timeout": 1}))
        (tmp_path / "password").write_text("wrong\n")
        words = ("--kind", "nats", "--configuration", str(tmp_path / "nats.yaml"), "--set", "timeout=5")
        missing = run("destination", "create", "events", *words)
        assert missing.code != 0
        assert missing.errors == (
            "So configured it needs the secret that the destination gave out; bring it with --secret-file FILE.\n"
        )
        made = run("destination", "create", "events", *words, "--secret-file", str(tmp_path / "password"))
        assert made.code == 0, made.errors
        assert made.output.splitlines()[-1] == "Next: scimhub destination check events --directory default"
        assert json.loads(facts(made.output)["configuration"])["timeout"] == 5
        refused = run("destination", "check", "events")
        assert refused.code != 0
        assert "does not let the hub in" in refused.errors
        (tmp_path / "password").write_text(secret)
        rotated = run("destination", "rotate", "events", "--secret-file", str(tmp_path / "password"))
        assert rotated.output == "The secret that you brought is in use.\n"
        assert run("destination", "check", "events").output == "The test event arrived: confirmed.\n"
        for shown in (run("destination", "show", "events").output, run("destination", "show", "events", "--json").output):
            assert secret not in shown
    finally:
        run("destination", "delete", "events")
        broker.stop()


def test_a_configuration_that_is_no_object_is_told(running: LiveHub, tmp_path: Path):
    (tmp_path / "list.yaml").write_text("- a\n")
    told = run("destination", "create", "x", "--configuration", str(tmp_path / "list.yaml"))
    assert told.code == 2
    path = tmp_path / "list.yaml"
    assert told.errors == f"The configuration in {path} is no object; write keys and values as JSON or YAML.\n"


def test_a_list_is_a_table_with_the_lag(running: LiveHub, receiver: Receiver):
    create(receiver, "listed")
    heading, *rows = run("destination", "list").output.splitlines()
    assert heading.split() == ["name", "kind", "state", "lag", "lag", "seconds", "held", "brake", "error"]
    row = next(row.split() for row in rows if row.startswith("listed"))
    assert row[:3] == ["listed", "webhook", "active"]
    assert "listed" in column(run("destination", "list", "--json").json["items"], "name")
    run("directory", "create", "empty")
    assert run("destination", "list", "-d", "empty").output == "Directory empty has no destination.\n"


def test_a_check_that_fails_is_code_1_and_says_why(running: LiveHub, receiver: Receiver):
    create(receiver, "checked")
    receiver.answer = lambda event: 500
    failed = run("destination", "check", "checked")
    assert (failed.code, failed.output) == (1, "")
    assert failed.errors == "The receiver answered 500 Internal Server Error.\n"
    machine = run("destination", "check", "checked", "--json")
    assert (machine.code, json.loads(machine.output)["outcome"]) == (1, "retry")


def test_it_is_paused_and_resumed(running: LiveHub, receiver: Receiver):
    create(receiver, "rested")
    paused = run("destination", "pause", "rested", "--reason", "moving house")
    assert facts(paused.output)["state"] == "paused: moving house"
    row = next(row for row in run("destination", "list").output.splitlines() if row.startswith("rested"))
    assert row.endswith("moving house")
    assert run("destination", "pause", "rested", "--json").json["reason"] == "An administrator paused it."
    assert facts(run("destination", "resume", "rested").output)["state"] == "active"
    assert run("destination", "resume", "rested", "--json").json["state"] == "active"


def test_a_secret_is_rotated_or_brought(running: LiveHub, receiver: Receiver, tmp_path: Path):
    create(receiver, "rotated")
    told = run("destination", "rotate", "rotated", "--overlap", "0.5")
    assert re.fullmatch(
        r"secret  whsec_\S+\nThe secret is shown this once. The former one holds for 0.5 hours more.\n", told.output
    )
    mine = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk"
    (tmp_path / "secret").write_text(mine + "\n")
    brought = run("destination", "rotate", "rotated", "--secret-file", str(tmp_path / "secret"), "--json").json
    assert brought["secret"] == mine
    assert run("destination", "rotate", "rotated", "--secret-file", "-", "--json", input=mine).json["secret"] == mine
    absent = run("destination", "rotate", "rotated", "--secret-file", str(tmp_path / "absent"))
    assert (absent.code, absent.errors.startswith(f"The secret cannot be read from {tmp_path / 'absent'}: ")) == (2, True)


def test_a_replay_is_looked_on_until_it_is_done(running: LiveHub, receiver: Receiver):
    made = create(receiver, "replayed", "--after", "0")
    for number in range(5):
        person(running, f"replayed{number}")
    wait_until(lambda: status("replayed")["lag"] == 0, "the delivery")
    before = len(receiver.arrivals)
    assert before >= 5
    done = run("destination", "replay", "replayed", "--after", "0", "--wait", "--json").json
    assert (done["status"]["lag"], done["state"]) == (0, "active")
    assert len(receiver.arrivals) == 2 * before
    assert {arrival.delivery_id.count("_") for arrival in receiver.arrivals[before:]} == {1}
    of_one = run("destination", "replay", "replayed", "--after", "0", "--resource", "replayed3", "--wait", "--json").json
    assert (of_one["replay"], len(receiver.arrivals)) == (None, 2 * before + 1)
    assert receiver.arrivals[-1].delivery_id.count("_") == 1
    receiver.arrivals.pop()
    unknown = run("destination", "replay", "replayed", "--after", "0", "--resource", "nobody")
    assert (unknown.code, unknown.errors) == (1, "Nobody in directory default is known as 'nobody'.\n")
    begun = run("destination", "replay", "replayed", "--since", "2000-01-01T00:00:00Z", "--json").json
    assert len(begun["replay"]) == 36
    wait_until(lambda: len(receiver.arrivals) == 3 * before, "the second replay")
    assert made["destination"]["name"] == "replayed"


def test_waiting_for_a_replay_ends_when_the_destination_is_stopped(running: LiveHub, receiver: Receiver):
    person(running, "waited")
    create(receiver, "waited", "--after", "0")
    wait_until(lambda: status("waited")["lag"] == 0, "the delivery")
    run("destination", "pause", "waited")
    done = run("destination", "replay", "waited", "--after", "0", "--wait", "--json")
    assert (done.code, done.errors) == (1, "The destination is paused; it goes on when that is resumed.\n")
    assert (json.loads(done.output)["state"], json.loads(done.output)["cursor"]) == ("paused", 0)


def test_waiting_for_a_replay_ends_when_another_takes_its_place(running: LiveHub, receiver: Receiver):
    kim = person(running, "kim-replaced")
    create(receiver, "replaced", "--after", "0")
    wait_until(lambda: status("replaced")["lag"] == 0, "the delivery")
    receiver.answer = lambda event: 503
    words = (sys.executable, "-m", "scimhub", "destination", "replay", "replaced", "--after", "0")
    waiting = subprocess.Popen([*words, "--resource", kim, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    show = ("destination", "show", "replaced", "--json")
    wait_until(lambda: run(*show).json["replay_resource"] == kim, "the replay")
    run("destination", "replay", "replaced", "--after", "0")
    _, errors = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, errors) == (
        1,
        "Another replay has taken its place; look at that one: scimhub destination show replaced --directory default\n",
    )


@pytest.mark.ci  # retries have their pauses
def test_waiting_for_a_replay_of_one_resource_looks_at_that_one_only(running: LiveHub, receiver: Receiver):
    refused: set[str] = set()
    receiver.answer = lambda event: 400 if event.resource_id in refused else 204
    create(receiver, "choosy")
    kim, sam = person(running, "choosy-kim"), person(running, "choosy-sam")
    refused.add(kim)
    with running.client() as client:
        client.patch(f"/Users/{kim}", json=patch({"op": "replace", "path": "title", "value": "boss"}))
    wait_until(lambda: status("choosy")["held"] == 1, "the hold")
    words = ("destination", "replay", "choosy", "--after", "0", "--wait", "--json", "--resource")
    done = run(*words, sam)
    assert (done.code, done.errors, json.loads(done.output)["replay"]) == (0, "", None)
    refused.add(sam)
    done = run(*words, sam)
    assert (done.code, done.errors) == (1, "It is held: scimhub destination held list choosy --directory default\n")


def test_waiting_for_a_replay_ends_where_the_brake_keeps_it(running: LiveHub, receiver: Receiver):
    create(receiver, "guarded", "--type", "user.*", "--filter", 'title eq "guarded"', "--brake", "settle_seconds=0")
    with running.client() as client:
        made = [client.post("/Users", json={**user(f"guarded{number}"), "title": "guarded"}) for number in range(6)]
        ids = [str(answer.json()["id"]) for answer in made]
        for id in ids[:4]:
            client.delete(f"/Users/{id}")
        wait_until(lambda: status("guarded")["lag"] == 0, "four removals")
        client.delete(f"/Users/{ids[4]}")
    wait_until(lambda: status("guarded")["brake_is_tripped"], "the trip")
    done = run("destination", "replay", "guarded", "--after", "0", "--wait", "--json", "--resource", ids[0])
    told = "The brake keeps its removal: scimhub destination brake show guarded --directory default\n"
    assert (done.code, done.errors) == (1, told)


def test_what_is_held_is_listed_retried_and_skipped(running: LiveHub, receiver: Receiver):
    refused: set[str] = set()

    def answer(event: Event) -> int:
        return 400 if event.resource_id in refused else 204

    receiver.answer = answer
    create(receiver, "stuck")
    assert run("destination", "held", "list", "stuck").output == "Nothing is held for destination stuck.\n"
    run("destination", "pause", "stuck")
    kim, sam = person(running, "stuck-kim"), person(running, "stuck-sam")
    with running.client() as client:
        client.patch(f"/Users/{kim}", json=patch({"op": "replace", "path": "title", "value": "boss"}))
    refused |= {kim, sam}
    run("destination", "resume", "stuck")
    wait_until(lambda: status("stuck")["held"] == 2, "two holds")
    heading, first, second = run("destination", "held", "list", "stuck").output.splitlines()
    assert heading.split() == ["resource", "since", "events", "attempts", "next", "attempt", "error"]
    assert (first.split()[0], first.split()[2], second.split()[0], second.split()[2]) == (kim, "2", sam, "1")
    assert "waits for a person" in first
    assert "The receiver answered 400 Bad Request: it does not accept this event." in first
    assert column(run("destination", "held", "list", "stuck", "--json").json["items"], "resource_id") == [kim, sam]
    why = "2 held; the newest: The receiver answered 400 Bad Request: it does not accept this event."
    assert next(line for line in run("destination", "list").output.splitlines() if line.startswith("stuck")).endswith(why)
    assert f"\nheld           {why}\n" in run("destination", "show", "stuck").output
    refused.clear()
    given_up = run("destination", "held", "skip", "stuck", kim)
    assert given_up.output == "The first held event is given up; the destination stuck lacks it.\n"
    assert run("destination", "held", "retry", "stuck", sam).output == "1 resource is tried again now.\n"
    wait_until(lambda: status("stuck")["held"] == 0, "the repair")
    assert {(event.resource_id, event.version) for event in receiver.events()} == {(kim, 2), (sam, 1)}
    assert run("destination", "held", "retry", "stuck", "--json").json == {"retried": 0}
    gone = run("destination", "held", "skip", "stuck", kim, "--all")
    assert (gone.code, gone.errors) == (1, f"Destination stuck holds nothing of resource '{kim}'.\n")


def test_it_is_removed(running: LiveHub, receiver: Receiver):
    create(receiver, "removed")
    assert run("destination", "delete", "removed").output == "Destination removed is removed.\n"
    absent = run("destination", "show", "removed", "--json")
    assert (absent.code, absent.errors) == (1, "Directory default has no destination 'removed'.\n")


def test_a_feed_prints_its_token(running: LiveHub):
    made = run("destination", "create", "pulled", "--kind", "feed")
    assert facts(made.output)["secret"].startswith("scimhub_feed_")
    assert "Next: GET /feed/v1/default/events" in made.output.splitlines()[-1]
    refused = run("destination", "check", "pulled")
    assert (refused.code, refused.errors) == (
        1,
        "Destination pulled is a feed: it fetches, nothing is sent to it.\n",
    )


def test_all_mistakes_are_sentences_on_standard_error(running: LiveHub):
    words = ("--url", "ftp://a.example/", "--type", "user.hired", "--filter", "active eq", "--attribute", "shoeSize")
    refused = run("destination", "create", "Pay Roll", *words, "--set", "timeout=99", "--after", "999999")
    assert (refused.code, refused.output) == (1, "")
    assert len(refused.errors.splitlines()) == 7
    assert all(sentence.endswith(".") for sentence in refused.errors.splitlines())
    unknown = run("destination", "create", "odd", "--kind", "pigeon")
    assert unknown.errors == (
        "'pigeon' is no kind of destination; there are webhook, http_api, scim_app, "
        "kafka, nats, rabbitmq, redis_streams, sns, sqs, feed.\n"
    )
    neither = run("destination", "replay", "pulled")
    assert neither.errors == "A replay begins behind a position (after) or at a time (since); give one of the two.\n"


# --------------------------------------------------------------------------- while no hub runs


def test_without_a_hub_the_verbs_write_and_nothing_is_sent(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    made = scimhub("destination", "create", "payroll", "-d", "acme", "--url", "https://payroll.example.com/", "--json").json
    assert made["destination"]["status"]["breaker"] == ""
    assert scimhub("destination", "pause", "payroll", "-d", "acme", "--json").json["state"] == "paused"
    assert scimhub("destination", "resume", "payroll", "-d", "acme", "--json").json["state"] == "active"
    assert column(scimhub("destination", "list", "-d", "acme", "--json").json["items"], "name") == ["payroll"]
    assert scimhub("destination", "delete", "payroll", "-d", "acme", "--json").json == {"deleted": "payroll"}


@pytest.mark.parametrize("words", [("create", "a", "--set", "timeout"), ("update", "a", "--set", "timeout")])
def test_an_option_without_a_value_is_wrong_usage(scimhub: Scimhub, words: tuple[str, ...]):
    scimhub("directory", "create", "default")
    if words[0] == "update":
        scimhub("destination", "create", "a", "--url", "https://a.example/")
    wrong = scimhub("destination", *words)
    assert (wrong.code, wrong.errors) == (2, "--set 'timeout' has no value; write KEY=VALUE.\n")


def test_the_hub_refuses_addresses_of_this_machine_unless_told(scimhub: Scimhub):
    scimhub("directory", "create", "default")
    refused = scimhub("destination", "create", "a", "--url", "http://127.0.0.1:9/")
    assert (refused.code, refused.errors.startswith("The host of the url cannot be used: ")) == (1, True)


def _assert_a_discard_is_overruled_knowingly(home: Path, kept: str) -> None:
    """The one removal that was discarded comes again with a replay or a resend, of which both say so before."""
    question = "Destination payroll is told after all of 1 removal that was discarded, as far as its brake lets them go. Go on?"
    place = ("payroll", "-d", "braked")
    head = str(run("destination", "show", *place, "--json").json["status"]["head"])
    assert run("destination", "replay", *place, "--after", head, "--json").json["overrules"] == 0
    unasked = run("destination", "replay", *place, "--after", "0", "--json")
    assert (unasked.code, unasked.errors) == (1, f"{question} Nobody can be asked here; give --yes.\n")
    for words in (("replay", *place, "--after", "0"), ("resend", *place, kept)):
        code, told = at_a_terminal(home, "n", "destination", *words)
        assert (code, told.startswith(question), told.endswith("Nothing was changed.\n")) == (1, True, True)
    (still,) = run("destination", "brake", "list", *place, "--kept", "--json").json["items"]
    assert still["resource_id"] == kept
    # A script has named it, and is taken at its word.
    assert run("destination", "resend", *place, kept, "--json").json["overrules"] == 1


def test_the_brake_is_shown_and_what_it_holds_is_listed_and_decided(running: LiveHub, receiver: Receiver):
    run("directory", "create", "braked")
    run("source", "create", "hr", "--directory", "braked")
    token = run("token", "create", "--directory", "braked", "--source", "hr", "--json").json["secret"]
    create(receiver, "payroll", "--directory", "braked")
    verbs = ("destination", "brake")
    with running.client(token) as client:
        client.base_url = f"{running.url}/scim/braked/v2"
        ids = [client.post("/Users", json=user(f"braked{number}")).json()["id"] for number in range(12)]
        wait_until(lambda: run("destination", "show", "payroll", "-d", "braked", "--json").json["status"]["lag"] == 0, "all")
        # Who is deleted while the others are counted would be counted twice.
        run("destination", "pause", "payroll", "-d", "braked")
        for id in ids:
            assert client.delete(f"/Users/{id}").status_code == 204
        run("destination", "resume", "payroll", "-d", "braked")

    def is_through() -> bool:
        found = run("destination", "show", "payroll", "-d", "braked", "--json").json["status"]
        return bool(found["lag"] == 0 and found["brake_is_tripped"] and found["in_flight"] == 0)

    wait_until(is_through, "the brake")
    kept = run(*verbs, "show", "payroll", "-d", "braked", "--json").json["waiting"]
    assert 12 - kept <= 5
    row = next(row for row in run("destination", "list", "-d", "braked").output.splitlines() if row.startswith("payroll"))
    assert f"tripped, {kept} removals held" in row
    shown = facts(run(*verbs, "show", "payroll", "-d", "braked").output)
    assert shown["brake"].startswith("TRIPPED at ")
    assert shown["brake"].endswith(" (User) of 12; removals of every sort wait")
    assert shown["behind them"] == "later changes of the same resources, also members that a group gains"
    listed = run(*verbs, "list", "payroll", "-d", "braked", "--source", "hr", "--json").json["items"]
    assert (len(listed), {item["operation"] for item in listed}, {item["source"] for item in listed}) == (
        kept,
        {"deleted"},
        {"hr"},
    )
    assert listed[0]["name"] in run(*verbs, "list", "payroll", "-d", "braked").output
    assert run(*verbs, "list", "payroll", "-d", "braked", "--limit", "2").output.splitlines()[-1] == "There are more than 2."

    asked = run(*verbs, "release", "payroll", listed[0]["resource_id"], "-d", "braked")
    assert (asked.code, asked.errors) == (1, "1 resource would leave destination payroll; say --yes to have it done.\n")
    assert listed[0]["name"] in asked.output
    assert run(*verbs, "release", "payroll", "-d", "braked").errors.startswith("Say of what: ")
    one = run(*verbs, "release", "payroll", listed[0]["resource_id"], "-d", "braked", "--yes")
    assert one.output.splitlines()[-1] == "1 resource leaves destination payroll."
    rest = run(*verbs, "discard", "payroll", "-d", "braked", "--exchange", listed[1]["exchange_id"], "--yes", "--json").json
    assert (rest["count"], rest["done"]) == (1, True)
    assert (
        run(*verbs, "list", "payroll", "-d", "braked", "--kept", "--json").json["items"][0]["resource_id"]
        == (listed[1]["resource_id"])
    )
    assert "resources leave destination payroll." in run(*verbs, "release", "payroll", "--all", "-d", "braked", "--yes").output
    wait_until(lambda: len({event.resource_id for event in receiver.events() if event.type.endswith("deleted")}) == 11, "all")
    _assert_a_discard_is_overruled_knowingly(running.folder, listed[1]["resource_id"])
    off = run(*verbs, "set", "payroll", "--off", "--count", "7", "-d", "braked")
    assert facts(off.output)["brake"] == "OFF: nothing is held"
    assert facts(run("destination", "show", "payroll", "-d", "braked").output)["brake"] == "off"
    assert run(*verbs, "set", "payroll", "--percent", "200", "-d", "braked").errors == (
        "The brake's percent is a number from 0 to 100.\n"
    )
    run("destination", "create", "pulled", "--kind", "feed", "-d", "braked")
    assert "a brake cannot hold anything" in run(*verbs, "show", "pulled", "-d", "braked").errors
