"""A name server that changes its answers, and clusters that name other servers: for every kind nobody forbidden is reached."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from scimhub.destinations import kinds
from scimhub.destinations.egress import Policy
from scimhub.distribution.delivery import Delivered, Message, Outcome, Retry, Subscription
from scimhub.distribution.ports import Sender
from tests.consumer.hub import Place, open_sqlite
from tests.destinations import certificates, receivers
from tests.destinations.broker import Json, opened
from tests.destinations.broker_list import BROKERS, open_broker
from tests.destinations.scim_application import T0, told
from tests.distribution.outside import until
from tests.servers.nameserver import NameServer, Trap, asking_name_server
from tests.servers.proxy import Proxy

# Loopback has many addresses: here the servers live, and there nobody may go.
HERE, FORBIDDEN = "127.0.0.1", "127.0.0.66"
POLICY = Policy(allow_loopback=True, denied=(ip_network(f"{FORBIDDEN}/32"),))
NAME = "moving.test"
HTTP_KINDS = ["webhook", "http_api", "scim_app"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with asking_name_server(monkeypatch) as server:
        yield server


# librdkafka tries addresses for seconds.
@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.ci) if kind == "kafka" else kind for kind in BROKERS])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def by_name(configuration: Json) -> Json:
    """The configuration with the name in the place of the address."""
    moved = {key: value.replace(HERE, NAME) if isinstance(value, str) else value for key, value in configuration.items()}
    assert moved != configuration
    return moved


def port_of(configuration: Json) -> int:
    text = next(value for value in configuration.values() if isinstance(value, str) and f"{NAME}:" in value)
    return int(text.partition(f"{NAME}:")[2].partition("/")[0])


def assert_refused(outcome: Outcome) -> None:
    assert isinstance(outcome, Retry), outcome
    assert outcome.blame == "destination"
    assert f"The address {FORBIDDEN} is in a network that the settings deny." in outcome.reason


# --------------------------------------------------------------------------- brokers


async def test_a_broker_is_reached_where_its_name_was_judged_and_nowhere_else(kind: str, names: NameServer, tmp_path: Path):
    with open_broker(kind, tmp_path) as broker:
        await broker.create("place")
        configuration = by_name(broker.configuration("place"))
        trap = Trap(FORBIDDEN, port_of(configuration))
        try:
            # Whoever asks a second time is sent into the trap.
            names.answers[NAME] = [[HERE], [FORBIDDEN]]
            async with opened(broker.kind, configuration, broker.secret or "", POLICY) as sender:
                assert await sender.send(receivers.message()) == Delivered()
            assert names.asked[NAME] == 1
            async with opened(broker.kind, configuration, broker.secret or "", POLICY) as sender:
                assert_refused(await sender.send(receivers.message()))
            # Of several addresses the permitted ones are tried.
            names.answers[NAME] = [[FORBIDDEN, HERE]]
            async with opened(broker.kind, configuration, broker.secret or "", POLICY) as sender:
                assert await sender.send(receivers.message()) == Delivered()
            assert trap.connections == 0
            # The control: with leave it is reached.
            names.answers[NAME] = [[FORBIDDEN]]
            anywhere = replace(POLICY, denied=())
            async with opened(broker.kind, configuration, broker.secret or "", anywhere) as sender:
                trying = asyncio.create_task(sender.send(receivers.message()))
                await until(lambda: trap.connections > 0, "a connection where one is permitted", 30)
                await trying
        finally:
            trap.close()


# --------------------------------------------------------------------------- HTTP


@asynccontextmanager
async def sending(kind: str, url: str, folder: Path) -> AsyncIterator[tuple[Sender, Message]]:
    """A sender of the kind, and a message that makes it ask."""
    store = open_sqlite(folder)
    try:
        technology = kinds(POLICY, lambda: 1_800_000_000.0, store)[kind]
        operations = {"user.created": {"method": "POST", "url": "/people"}}
        wishes: dict[str, Json] = {
            "webhook": {"url": url},
            "http_api": {"base_url": url, "operations": operations, "auth": {"type": "none"}},
            "scim_app": {"base_url": url, "auth": {"type": "none"}},
        }
        checked, place = technology.check({**wishes[kind], "timeout": 2}), await Place.open(store)
        made = await store.create_destination(place.directory.key, kind, kind, checked, Subscription(), 0, T0)
        sender = technology.open(made, [receivers.secret()])
        try:
            yield sender, told("user.created", "k", 1, userName="kim@example.com")
        finally:
            await sender.close()
    finally:
        await store.close()


@pytest.mark.parametrize("kind", HTTP_KINDS)
async def test_a_server_is_reached_where_its_name_was_judged_and_nowhere_else(kind: str, names: NameServer, tmp_path: Path):
    closing = receivers.says(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    names.answers[NAME] = [[HERE], [FORBIDDEN]]
    async with receivers.receiving(closing) as receiver:
        trap = Trap(FORBIDDEN, receiver.port)
        try:
            for number in range(2):
                folder = tmp_path / str(number)
                folder.mkdir()
                async with sending(kind, f"http://{NAME}:{receiver.port}/x", folder) as (sender, message):
                    outcome = await sender.send(message)
                assert isinstance(outcome, Retry)
            assert_refused(outcome)
            assert (receiver.connections >= 1, trap.connections) == (True, 0)
            assert receiver.requests[0].headers["host"] == f"{NAME}:{receiver.port}"
        finally:
            trap.close()


# --------------------------------------------------------------------------- TLS


@pytest.mark.parametrize("kind", ["nats", "rabbitmq", "redis_streams"])
async def test_tls_expects_the_names_certificate_although_an_address_is_dialled(kind: str, names: NameServer, tmp_path: Path):
    asked: list[str | None] = []
    authority, certificate, key = certificates.make_certificates(tmp_path, NAME)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: asked.append(name)
    greeting = b'INFO {"tls_required":true,"max_payload":1048576}\r\n' if kind == "nats" else b""
    names.answers[NAME] = [[HERE]]
    async with tls_server(context, greeting) as port:
        wishes: dict[str, Json] = {
            "nats": {"servers": f"{NAME}:{port}"},
            "rabbitmq": {"server": f"{NAME}:{port}", "authentication": "none"},
            "redis_streams": {"server": f"{NAME}:{port}", "stream": "s"},
        }
        wish = {**wishes[kind], "tls": True, "ca_file": str(authority), "timeout": 2}
        async with opened(kind, wish, policy=POLICY) as sender:
            outcome = await sender.send(receivers.message())
    # The server says nothing more; what matters is whose certificate was asked for and accepted.
    assert isinstance(outcome, Retry)
    assert "certificate" not in outcome.reason
    assert asked == [NAME]


@asynccontextmanager
async def tls_server(context: Any, greeting: bytes) -> AsyncIterator[int]:
    """Greets in plain, then makes TLS and says nothing."""
    tasks: set[asyncio.Task[Any]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            if greeting:
                writer.write(greeting)
                await writer.start_tls(context)
            await reader.read(65536)
        except (OSError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, HERE, 0, ssl=None if greeting else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --------------------------------------------------------------------------- servers that a cluster names


async def test_where_nats_points_in_its_greeting_nobody_goes():
    trap = Trap(FORBIDDEN, 0)
    greeting = f'INFO {{"server_id":"x","max_payload":1048576,"connect_urls":["{FORBIDDEN}:{trap.port}"]}}\r\n'.encode()
    greeted: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        greeted.append(await reader.readline())
        writer.close()  # it takes nobody

    server = await asyncio.start_server(greet, HERE, 0)
    try:
        wish = {"servers": f"{HERE}:{server.sockets[0].getsockname()[1]}", "tls": False, "timeout": 3}
        async with opened("nats", wish, policy=POLICY) as sender:
            for _ in range(2):
                assert isinstance(await sender.send(receivers.message()), Retry)
        assert greeted
        assert trap.connections == 0
    finally:
        trap.close()
        server.close()


async def test_where_redis_points_to_nobody_goes():
    trap = Trap(FORBIDDEN, 0)

    async def point(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip().upper() in (b"CLIENT", b"SELECT", b"HELLO"):
                writer.write(b"+OK\r\n")
            elif line.strip().upper() in (b"XADD", b"XREVRANGE"):
                writer.write(f"-MOVED 1234 {FORBIDDEN}:6379\r\n".encode())
        writer.close()

    server = await asyncio.start_server(point, HERE, 0)
    try:
        wish = {"server": f"{HERE}:{server.sockets[0].getsockname()[1]}", "stream": "s", "tls": False, "timeout": 2}
        async with opened("redis_streams", wish, policy=POLICY) as sender:
            outcome = await sender.send(receivers.message())
        assert isinstance(outcome, Retry)
        assert (outcome.blame, trap.connections) == ("destination", 0)
    finally:
        trap.close()
        server.close()


async def test_a_broker_that_kafka_names_is_judged_before_a_record_is_sent(tmp_path: Path):
    with open_broker("kafka", tmp_path) as broker:
        await broker.create("place")
        # The cluster names itself 127.0.0.1; the way to it has an address of its own, from which alone it may be reached.
        way = Proxy(int(broker.configuration("place")["servers"].rpartition(":")[2]), "127.0.0.2")
        way.start()
        try:
            wish = {**broker.configuration("place"), "servers": f"127.0.0.2:{way.port}", "timeout": 3}
            denying = Policy(allow_loopback=True, denied=(ip_network(f"{HERE}/32"),))
            async with opened("kafka", wish, policy=denying) as sender:
                outcome = await sender.send(receivers.message())
            assert isinstance(outcome, Retry)
            assert f"The address {HERE} is in a network that the settings deny." in outcome.reason
            assert await broker.received("place") == []
            async with opened("kafka", wish, policy=POLICY) as sender:
                assert await sender.send(receivers.message()) == Delivered()
        finally:
            way.kill()
