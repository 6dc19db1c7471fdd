"""What the kinds that are brokers have in common as kinds: configurations, secrets, libraries that are not there."""

import asyncio
import builtins
import importlib.util
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scimhub.destinations import brokers, kinds
from scimhub.destinations.broker_connection import Renewal
from scimhub.destinations.brokers import Broker
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid
from scimhub.distribution import control
from scimhub.distribution.delivery import Retry, Subscription
from tests.destinations import receivers
from tests.destinations.broker import Json, opened
from tests.destinations.certificates import make_certificates
from tests.distribution.outside import open_outside

# Enough for each kind, at a host whose name may be used.
WISHES: dict[str, Json] = {
    "kafka": {"servers": "broker.example:9092", "topic": "identity"},
    "nats": {"servers": ["broker.example", "other.example:4223"]},
    "rabbitmq": {"server": "broker.example", "username": "hub"},
    "redis_streams": {"server": "broker.example:6379", "stream": "identity"},
    "sns": {"topic_arn": "arn:aws:sns:eu-central-1:123456789012:identity"},
    "sqs": {"queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/identity.fifo"},
}
# The key that says where, and how it says that it is here.
PLACES: dict[str, tuple[str, str]] = {
    "kafka": ("servers", "{}:9092"),
    "nats": ("servers", "{}"),
    "rabbitmq": ("server", "{}"),
    "redis_streams": ("server", "{}:6379"),
    "sns": ("endpoint_url", "http://{}:4566"),
    "sqs": ("endpoint_url", "http://{}:4566"),
}
AUTHENTICATIONS: dict[str, Json] = {
    "kafka": {"authentication": "scram-sha-512", "username": "hub"},
    "nats": {"authentication": "token"},
    "rabbitmq": {},
    "redis_streams": {"authentication": "password"},
    "sns": {"authentication": "key", "access_key_id": "AKIA1"},
    "sqs": {"authentication": "key", "access_key_id": "AKIA1"},
}
KINDS = sorted(WISHES)
ROOT = Path(__file__).parents[2]


def kind_of(name: str, policy: Policy = Policy()) -> Broker:  # noqa: B008 - a frozen value
    found = kinds(policy, lambda: 0.0)[name]
    assert isinstance(found, Broker)
    return found


def problems(name: str, policy: Policy = Policy(), **wish: Any) -> list[str]:  # noqa: B008 - a frozen value
    with pytest.raises(Invalid) as refused:
        kind_of(name, policy).check(wish)
    return refused.value.problems


def test_every_kind_is_tried_here():
    assert sorted(kind.name for kind in brokers.kinds(Policy())) == KINDS


# --------------------------------------------------------------------------- configurations


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_needs_is_enough_and_is_filled_up_with_defaults(name: str):
    checked = kind_of(name).check(WISHES[name])
    assert WISHES[name].items() <= checked.items()
    assert kind_of(name).check(checked) == checked
    assert isinstance(checked["concurrency"], int)


@pytest.mark.parametrize("name", KINDS)
def test_every_mistake_is_told_at_once(name: str):
    found = problems(name, timeout=0, concurrency="many", topicc="x")
    assert len(found) >= 3
    text = "\n".join(found)
    assert "timeout is 0; it must be a number of seconds from 1 to 60" in text
    assert "concurrency is 'many'; it must be a whole number from 1 to " in text
    assert "has no key 'topicc'" in text


@pytest.mark.parametrize("name", ["kafka", "redis_streams", "sns", "sqs"])
def test_what_must_be_there_is_asked_for_with_what_it_must_be(name: str):
    found = problems(name)
    assert [problem.partition(" needs ")[2].partition(";")[0] for problem in found] == list(WISHES[name])


@pytest.mark.parametrize(
    "name, wish, told",
    [
        ("kafka", {"topic": "a b"}, "The topic is 'a b'; it must be a topic's name, of at most 250 characters."),
        ("kafka", {"compacted": True}, "A compacted topic needs the format binary: "),
        ("kafka", {"username": "hub"}, "The username has no use with the authentication none; "),
        ("kafka", {"authentication": "plain"}, "The authentication plain needs to know who the hub is; set username."),
        ("kafka", {"servers": "a b:1"}, "The servers has 'a b:1', which is no address; write host:port, such as "),
        ("kafka", {"servers": "broker:70000"}, "The servers has 'broker:70000', which is no address; "),
        ("kafka", {"servers": []}, "The servers names 0 servers; write 1 to 20 as host:port, such as "),
        ("kafka", {"format": "xml"}, "The format is 'xml'; it must be structured or binary."),
        ("kafka", {"tls": "yes"}, "The tls is 'yes'; it must be true or false."),
        ("kafka", {"ca_file": "/no/such/file"}, "The ca_file '/no/such/file' cannot be read by the hub; "),
        ("kafka", {"tls": False, "ca_file": "/dev/null"}, "The ca_file can be used with TLS only; "),
        ("kafka", {"key_file": "/dev/null"}, "There is a key_file without its certificate; set certificate_file too."),
        ("kafka", {"password": "hunter2"}, "A secret such as password is no part of the configuration, which is shown; "),
        ("nats", {"subject_template": "a.{user}.b"}, "The subject_template has the token '{user}'; "),
        ("nats", {"subject_template": "a..b"}, "The subject_template has the token ''; "),
        ("nats", {"stream": "a.b"}, "The stream is 'a.b'; it must be a stream's name"),
        ("rabbitmq", {"routing_key": "{user}"}, "The routing_key is '{user}'; "),
        ("redis_streams", {"order": "none"}, "The order is 'none'; it must be stream or resource."),
        ("redis_streams", {"server": "a,b"}, "The server names 2 servers; write one as host:port, such as "),
        ("sns", {"topic_arn": "identity"}, "The topic_arn is 'identity'; it must be a topic's ARN"),
        ("sqs", {"queue_url": "identity"}, "The queue_url is 'identity'; it must be the whole address that AWS shows"),
        ("sqs", {"queue_url": "http://queue.example/1/identity"}, "The region is not told by the queue or topic; "),
        ("sqs", {"endpoint_url": "ftp://x"}, "The endpoint_url is 'ftp://x'; it must be an address such as "),
        ("sqs", {"authentication": "key"}, "The authentication key needs to know who the hub is; set access_key_id."),
    ],
)
def test_a_mistake_is_told_in_a_sentence(name: str, wish: Json, told: str):
    found = problems(name, **{**WISHES[name], **wish})
    assert [problem for problem in found if problem.startswith(told)], found


@pytest.mark.parametrize("name", ["kafka", "nats", "rabbitmq", "redis_streams"])
def test_a_certificate_that_does_not_go_with_its_key_is_refused_when_a_destination_is_made(name: str, tmp_path: Path):
    authority, certificate, key = (str(path) for path in make_certificates(tmp_path))
    (tmp_path / "other").mkdir()
    other = str(make_certificates(tmp_path / "other")[2])
    files = {"ca_file": authority, "certificate_file": certificate}
    assert kind_of(name).check({**WISHES[name], **files, "key_file": key})["key_file"] == key
    assert problems(name, **{**WISHES[name], **files, "key_file": other}) == [
        f"The certificate_file {certificate} with the key_file {other} has a private key that does not belong to the first "
        "certificate; put the hub's own certificate first, those that signed it behind it."
    ]
    assert problems(name, **{**WISHES[name], **files}) == [
        f"The certificate_file {certificate} is no PEM text with a certificate and its unencrypted private key."
    ]
    assert problems(name, **{**WISHES[name], "ca_file": key}) == [f"The ca_file {key} holds no certificate in PEM."]


@pytest.mark.parametrize("name", ["nats", "rabbitmq", "redis_streams"])
async def test_a_certificate_that_is_spoilt_later_is_named_and_is_the_destinations_failure(name: str, tmp_path: Path):
    authority, certificate, key = make_certificates(tmp_path)
    files = {"ca_file": str(authority), "certificate_file": str(certificate), "key_file": str(key)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wish = {**WISHES[name], **files, PLACES[name][0]: f"127.0.0.1:{listener.getsockname()[1]}"}
        async with opened(name, wish, "secret") as sender:
            key.write_text("")
            outcome = await sender.send(receivers.message())
    said = f"The certificate_file {certificate} with the key_file {key} is no PEM text with a certificate and its unencrypted"
    assert outcome == Retry(f"{said} private key.", "destination")


# --------------------------------------------------------------------------- where it may connect to


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "2130706433"])
def test_an_address_that_is_forbidden_is_refused_when_a_destination_is_made(name: str, host: str):
    key, form = PLACES[name]
    (found,) = problems(name, **{**WISHES[name], key: form.format(host)})
    assert found.startswith("The host ")
    assert "cannot be used: " in found


@pytest.mark.parametrize("name", KINDS)
async def test_a_name_is_judged_by_its_addresses_before_anything_is_connected(name: str, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def answer(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    key, form = PLACES[name]
    wish = {**WISHES[name], **AUTHENTICATIONS[name], key: form.format("rebound.example"), "timeout": 2}
    async with opened(name, wish, "secret", Policy()) as sender:
        outcome = await sender.send(receivers.message())
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert outcome.reason.startswith("The hub may not connect to ")
    assert "127.0.0.1 is this machine itself" in outcome.reason
    assert "rebound.example" in asked


# --------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", KINDS)
async def test_a_secret_is_brought_and_never_shown(name: str, tmp_path: Path):
    wish = {**WISHES[name], **AUTHENTICATIONS[name]}
    async with open_outside(tmp_path, kinds=kinds(Policy(), lambda: 0.0)) as hub:
        place = hub.place.directory

        async def create(**more: Any) -> control.Made:
            return await control.create(hub.engine, place, "d", name, wish, Subscription(), **more)

        with pytest.raises(Invalid) as refused:
            await create()
        assert refused.value.problems == [
            "So configured it needs the secret that the destination gave out; bring it with --secret-file FILE."
        ]
        made = await create(secret="hunter2-hunter2")
        assert made.secret == ""
        (stored,) = await hub.secrets("d")
        assert (stored.purpose, stored.value, stored.hint) == ("password", b"hunter2-hunter2", "")
        assert "hunter2" not in repr(made.destination)
        with pytest.raises(Invalid):
            await control.rotate(hub.engine, made.destination)


async def test_without_authentication_there_is_no_secret(tmp_path: Path):
    async with open_outside(tmp_path, kinds=kinds(Policy(), lambda: 0.0)) as hub:
        with pytest.raises(Invalid) as refused:
            await hub.destination(kind="kafka", secret="hunter2", **WISHES["kafka"])
        assert refused.value.problems == ["So configured it has no secret; set its authentication, or leave the secret out."]
        destination = await hub.destination(kind="kafka", **WISHES["kafka"])
        assert await hub.store.list_secrets(destination.key) == []
        with pytest.raises(Invalid) as refused:
            await control.rotate(hub.engine, destination)
        assert refused.value.problems == ["Destination payroll has no secret, since its authentication needs none."]


async def test_a_destination_whose_secret_is_missing_says_how_to_bring_it():
    technology = kind_of("kafka")
    checked = technology.check({**WISHES["kafka"], **AUTHENTICATIONS["kafka"]})
    sender = technology.open(replace(receivers.destination(""), kind="kafka", configuration=checked), [])
    outcome = await sender.send(receivers.message())
    assert outcome == Retry("Its secret is missing; run: scimhub destination rotate hook --secret-file FILE.", "destination")


# --------------------------------------------------------------------------- libraries


@pytest.mark.parametrize("name", KINDS)
def test_a_library_that_is_not_installed_is_asked_for_when_a_destination_is_made(name: str, monkeypatch: pytest.MonkeyPatch):
    technology = kind_of(name)
    found = importlib.util.find_spec
    monkeypatch.setattr(brokers, "find_spec", lambda module: None if module == technology.module else found(module))
    told = f"The kind {name} needs a library that is not installed; run: pip install 'scimhub[{technology.extra}]'."
    assert problems(name, **WISHES[name]) == [told]
    assert told in problems(name, timeout=0)


@pytest.mark.parametrize("name", KINDS)
async def test_a_library_that_is_gone_afterwards_makes_the_destination_wait(name: str, monkeypatch: pytest.MonkeyPatch):
    technology = kind_of(name)
    checked = technology.check(WISHES[name])
    importing: Callable[..., Any] = builtins.__import__

    def without(module: str, *rest: Any) -> Any:
        if module.startswith("scimhub.destinations") and rest[2]:
            raise ImportError(module)
        return importing(module, *rest)

    destination = replace(receivers.destination(""), kind=name, configuration=checked)
    with monkeypatch.context() as patched:
        patched.setattr(builtins, "__import__", without)
        sender = technology.open(destination, [receivers.secret(b"x", "password")])
    outcome = await sender.send(receivers.message())
    assert isinstance(outcome, Retry)
    assert outcome.reason.endswith(f"run: pip install 'scimhub[{technology.extra}]'.")


def test_no_client_library_is_imported_before_a_destination_is_opened():
    modules = sorted({kind.module for kind in brokers.kinds(Policy()) if isinstance(kind, Broker)})
    program = f"import sys, scimhub.app; print([name for name in {modules!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


# --------------------------------------------------------------------------- documents


@pytest.mark.parametrize("name", KINDS)
def test_every_key_is_documented_with_its_default(name: str):
    page = (ROOT / "docs" / "destinations.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    missing = [key for key in kind_of(name).check(WISHES[name]) if not any(f"`{key}`" in row.split("|")[1] for row in rows)]
    assert missing == []


def test_every_promise_names_a_test_that_there_is():
    page = (ROOT / "docs" / "delivery.md").read_text("utf-8")
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`", page)
    assert len(named) > 20
    assert [one for one in named if f"def {one[1]}(" not in (ROOT / one[0]).read_text("utf-8")] == []


async def test_what_was_learnt_is_asked_for_once_for_all_and_at_most_once_a_minute():
    asked, answered, time = 0, asyncio.Event(), 1000.0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await answered.wait()

    renewal = Renewal(ask, lambda: time)
    waiting = [asyncio.create_task(renewal.again()) for _ in range(3)]
    await asyncio.sleep(0)
    answered.set()
    await asyncio.gather(*waiting)
    time += 59
    await renewal.again()
    assert asked == 1
    time += 2
    await renewal.again()
    assert asked == 2
