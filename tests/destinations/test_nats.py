"""What is JetStream's own: subjects, its window, its permissions, TLS."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scimhub.destinations import kinds
from scimhub.destinations.nats import subject_of
from scimhub.directory.errors import Invalid
from scimhub.distribution import control
from scimhub.distribution.delivery import Delivered, Message, Rejected, Retry
from tests.destinations.broker import HERE, opened, send
from tests.destinations.broker_list import open_broker
from tests.destinations.broker_nats import NatsBroker
from tests.destinations.certificates import make_certificates
from tests.destinations.nats_operator import Operator
from tests.destinations.receivers import message
from tests.distribution.outside import open_outside, until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsBroker]:
    with open_broker("nats", tmp_path_factory.mktemp("nats")) as opened:
        assert isinstance(opened, NatsBroker)
        yield opened


def of(**attributes: str) -> Message:
    return Message("e1", {**message().attributes, **attributes}, b"{}")


@pytest.mark.parametrize(
    "attributes, subject",
    [
        ({"type": "scimhub.user.updated", "subject": "u1"}, "a.acme.user.updated.u1"),
        ({"type": "scimhub.group.member.added", "subject": "g.1*>"}, "a.acme.group.member-added.g%2E1%2A%3E"),
        ({"type": "scimhub.test", "subject": "d 1"}, "a.acme.test.test.d%201"),
    ],
)
def test_each_part_of_a_subject_is_one_token(attributes: dict[str, str], subject: str):
    some = of(source="/directories/acme", **attributes)
    assert subject_of("a.{directory}.{resource}.{verb}.{id}", some) == subject


async def test_a_repetition_is_dropped_and_a_replay_is_not(broker: NatsBroker, tmp_path: Path):
    await broker.create("window")
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0)) as hub:
        destination = await hub.destination(kind="nats", **broker.configuration("window"))
        await hub.place.user("u")
        await hub.caught_up()
        await control.replay(hub.engine, destination, 0)
        await hub.caught_up()
        first, again = await broker.received("window")
    assert again.attributes == {**first.attributes, "replayid": again.attributes["replayid"]}
    assert again.more["headers"]["Nats-Msg-Id"] == f"{first.id}_{again.attributes['replayid']}_{destination.id}"


async def test_a_subject_that_the_hub_may_not_publish_to_is_told_as_such(tmp_path: Path):
    rules = '{ user: hub, password: "p", permissions: { publish: { deny: ["denied.>"] } } }, { user: anybody }'
    broker = NatsBroker(tmp_path)
    (tmp_path / "conf").write_text(f"accounts: {{ A: {{ jetstream: enabled, users: [{rules}] }} }}\nno_auth_user: anybody\n")
    broker.start()
    try:
        outcome = await send(broker, "denied", password="p", authentication="password", username="hub", timeout=1)
    finally:
        broker.stop()
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert "permissions violation for publish" in outcome.reason.lower()


async def test_of_several_subjects_each_is_told_what_was_said_of_it(tmp_path: Path):
    rules = '{ user: hub, password: "p", permissions: { publish: { deny: ["*.*.user.updated.A", "*.*.user.updated.b"] } } }'
    broker = NatsBroker(tmp_path)
    users = f"users: [{rules}, {{ user: anybody }}]"
    (tmp_path / "conf").write_text(f"accounts: {{ A: {{ jetstream: enabled, {users} }} }}\nno_auth_user: anybody\n")
    broker.start()
    wish = {**broker.configuration("some"), "authentication": "password", "username": "hub", "timeout": 1}
    try:
        await broker.create("some")
        async with opened("nats", wish, "p") as sender:
            outcomes = await asyncio.gather(*(sender.send(of(subject=subject)) for subject in ("A", "c", "b")))
            # What was said once says nothing of a server that is silent later.
            broker.freeze()
            silent = await sender.send(of(subject="A"))
    finally:
        broker.thaw()
        broker.stop()
    denied, delivered, also = outcomes
    assert delivered == Delivered()
    assert isinstance(denied, Retry)
    assert isinstance(also, Retry)
    assert denied.reason.lower().endswith('publish to "some.acme.user.updated.a"')
    assert also.reason.lower().endswith('publish to "some.acme.user.updated.b"')
    assert silent == Retry(f"{broker.server} did not confirm within 1 seconds.", "destination")


async def test_only_the_stream_that_is_named_may_take_the_event(broker: NatsBroker):
    await broker.create("taker")
    assert await send(broker, "taker", stream="taker") == Delivered()
    outcome = await send(broker, "taker", stream="another")
    assert isinstance(outcome, Retry)
    assert (outcome.blame, outcome.reason) == (
        "destination",
        "JetStream does not store the event: expected stream does not match.",
    )


async def test_a_full_stream_makes_the_destination_wait(broker: NatsBroker):
    await broker.create("full", max_msgs=1, discard="new")
    assert await send(broker, "full") == Delivered()
    outcome = await send(broker, "full", Message("e2", message().attributes, b"{}"))
    assert outcome == Retry("JetStream does not store the event: maximum messages exceeded.", "destination", status=503)


async def test_what_the_server_would_not_read_is_refused_before_it_is_sent(broker: NatsBroker):
    await broker.create("payload")
    outcome = await send(broker, "payload", Message("e1", message().attributes, b'"' + b"x" * 1_048_576 + b'"'))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith(" bytes; the NATS server (max_payload) takes at most 1,048,576.")
    assert await send(broker, "payload") == Delivered()


@pytest.mark.parametrize("format", ["structured", "binary"])
async def test_what_a_stream_would_not_store_is_told_with_its_whole_size(broker: NatsBroker, format: str):
    """JetStream counts headers too: of an event that is just below the limit without them the sentence must not say so."""
    place = f"whole-{format}"
    await broker.create(place, largest=2000)
    async with opened("nats", {**broker.configuration(place), "format": format}) as sender:
        outcomes = [
            await sender.send(Message(f"e{size}", message().attributes, b'"' + b"x" * size + b'"'))
            for size in range(1000, 2100, 10)
        ]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert outcomes == [Delivered()] * (len(outcomes) - len(refused)) + refused
    sizes = [int(outcome.reason.split()[3].replace(",", "")) for outcome in refused]
    assert min(sizes) in range(2001, 2012), sizes
    assert refused[0].reason.endswith(f"the stream {place} (max_msg_size) takes at most 2,000.")


async def test_the_fastest_of_many_wait_for_one_connection(broker: NatsBroker):
    await broker.create("many")
    some = [Message(f"m{number}", message().attributes, b"{}") for number in range(500)]
    before = await broker.connections()
    async with opened("nats", broker.configuration("many")) as sender:
        assert set(await asyncio.gather(*map(sender.send, some))) == {Delivered()}
    # A machine that is too busy may have had to connect anew.
    assert await broker.connections() in (before + 1, before + 2)
    assert len(await broker.received("many")) == 500


async def test_tls_is_made_with_the_certificates_that_are_configured(tmp_path: Path):
    authority, certificate, key = make_certificates(tmp_path)
    broker = NatsBroker(tmp_path, "--tls", "--tlscert", str(certificate), "--tlskey", str(key))
    broker.start()
    try:
        secured = {"tls": True, "ca_file": str(authority)}
        async with await broker.connect(tls=_trusting(authority), tls_hostname="127.0.0.1") as client:
            await client.jetstream().add_stream(name="tls", subjects=["tls.>"])
        assert await send(broker, "tls", **secured) == Delivered()
        outcome = await send(broker, "tls", tls=True, timeout=1)
        assert isinstance(outcome, Retry)
        assert "certificate" in outcome.reason
        outcome = await send(broker, "tls", timeout=1)
        assert isinstance(outcome, Retry)
    finally:
        broker.stop()


async def test_without_the_tls_that_was_configured_neither_secret_nor_event_is_sent(broker: NatsBroker):
    """A server, or who stands in front of it, that asks for no TLS."""
    await broker.create("plain")
    secret, keys = broker.secured
    before = await broker.connections()
    outcome = await send(broker, "plain", password=secret, tls=True, **keys)
    assert outcome == Retry(
        f"{broker.server} offers no TLS, and nothing was sent; if that is right, set tls to false.", "destination"
    )
    assert await broker.connections() == before
    assert await broker.received("plain") == []


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A server that lets in whoever has credentials, and one stream for all."""
    operator = Operator(tmp_path_factory.mktemp("operator"))
    operator.broker.start()
    yield operator
    operator.broker.stop()


@pytest.mark.parametrize(
    "begin, end, lacking",
    [
        (0, "BEGIN USER NKEY", "USER NKEY SEED with a user's seed"),
        # Of such a one the library would read the end for ever, and the hub stand still.
        ("-----BEGIN USER NKEY", None, "NATS USER JWT"),
        (0, 5, "NATS USER JWT"),
    ],
)
async def test_what_is_no_credentials_is_told_and_stops_nobody(
    operator: Operator, begin: int | str, end: int | str | None, lacking: str
):
    whole = operator.credentials()
    cut = slice(*(whole.index(edge) if isinstance(edge, str) else edge for edge in (begin, end)))
    said = f"The secret is no text of a .creds file: it has no {lacking}; bring the whole file with --secret-file."
    wish = {**operator.broker.configuration("some"), "authentication": "credentials"}
    with pytest.raises(Invalid) as refused:
        kinds(HERE, lambda: 0.0)["nats"].parse_secret(whole[cut], wish)
    assert list(refused.value.problems) == [said]
    # As a password that was brought before the authentication was made another one.
    assert await send(operator.broker, "some", password=whole[cut], authentication="credentials") == Retry(said, "destination")


async def test_credentials_may_have_the_ends_of_lines_of_windows(operator: Operator):
    await operator.create("windows")
    text = operator.credentials().replace("\n", "\r\n")
    assert await send(operator.broker, "windows", password=text, authentication="credentials") == Delivered()


async def test_credentials_that_end_in_the_middle_of_a_connection_are_told_and_all_goes_on_with_others(
    operator: Operator, tmp_path: Path
):
    await operator.create("ending")
    wish = {**operator.broker.configuration("ending"), "authentication": "credentials"}
    async with open_outside(tmp_path, kinds=kinds(HERE, time.time)) as hub:
        destination = await hub.destination(kind="nats", secret=operator.credentials(seconds=2), **wish)
        await hub.place.user("before")
        await hub.caught_up()
        await until(lambda: "User Authentication Expired" in operator.broker.program.log, "the end of the credentials")
        await hub.place.user("after")
        # What was just being sent may first find the connection closed; who connects again is told.
        told = ("does not let the hub in", "Authentication Expired")
        await until(lambda: any(words in hub.pump(destination).error for words in told), "the reason")
        await control.rotate(hub.engine, destination, secret=operator.credentials())
        await hub.caught_up()
        assert await hub.held() == {}


def _trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))
