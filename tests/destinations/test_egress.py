"""Which addresses may be reached, in every spelling, and that no other is ever dialled."""

import asyncio
import ipaddress
import socket
import threading
from ipaddress import ip_address, ip_network

import aiohttp
import pytest

from scimhub.destinations.egress import Policy, Resolver, parse_address
from scimhub.destinations.http_connection import Connector
from scimhub.distribution.delivery import Delivered, Retry
from tests.destinations.receivers import message, receiving, says, sending

METADATA = "belongs to a cloud's metadata service, which gives out credentials"
LOOPBACK = "is this machine itself (loopback)"
LINK_LOCAL = "is link-local"
NO_HOST = "is one that no receiver can have"
PRIVATE = "is in a private network"
SPECIAL = "is reserved for a special purpose, and only public addresses are permitted"
CARRIES = "carries another one"

# A host as it may stand in a URL; what the default policy says, and what the one for public addresses only says.
SPELLINGS: list[tuple[str, str | None, str | None]] = [
    # loopback
    ("127.0.0.1", LOOPBACK, LOOPBACK),
    ("127.0.0.2", LOOPBACK, LOOPBACK),
    ("127.255.255.255", LOOPBACK, LOOPBACK),
    ("127.1", LOOPBACK, LOOPBACK),
    ("127.0.1", LOOPBACK, LOOPBACK),
    ("2130706433", LOOPBACK, LOOPBACK),
    ("0x7f000001", LOOPBACK, LOOPBACK),
    ("0X7F000001", LOOPBACK, LOOPBACK),
    ("0x7f.0.0.1", LOOPBACK, LOOPBACK),
    ("0x7f.1", LOOPBACK, LOOPBACK),
    ("0177.0.0.1", LOOPBACK, LOOPBACK),
    ("017700000001", LOOPBACK, LOOPBACK),
    ("0177.0x0.1", LOOPBACK, LOOPBACK),
    ("127.0.0.1.", LOOPBACK, LOOPBACK),
    ("localhost", LOOPBACK, LOOPBACK),
    ("LOCALHOST.", LOOPBACK, LOOPBACK),
    ("hub.localhost", LOOPBACK, LOOPBACK),
    ("::1", LOOPBACK, LOOPBACK),
    ("[::1]", LOOPBACK, LOOPBACK),
    ("0:0:0:0:0:0:0:1", LOOPBACK, LOOPBACK),
    ("::1%lo", LOOPBACK, LOOPBACK),
    ("::ffff:127.0.0.1", CARRIES, CARRIES),
    ("::ffff:7f00:1", CARRIES, CARRIES),
    ("::FFFF:7F00:0001", CARRIES, CARRIES),
    ("::127.0.0.1", CARRIES, CARRIES),
    ("::ffff:0:127.0.0.1", CARRIES, CARRIES),
    ("64:ff9b::127.0.0.1", CARRIES, CARRIES),
    ("64:ff9b:1::7f00:1", CARRIES, CARRIES),
    ("2002:7f00:1::", CARRIES, CARRIES),
    ("2001:0:7f00:1::", CARRIES, CARRIES),
    ("2001:0:808:808::80ff:fffe", CARRIES, CARRIES),  # Teredo: the client 127.0.0.1, with its bits turned round
    # metadata services
    ("169.254.169.254", METADATA, METADATA),
    ("2852039166", METADATA, METADATA),
    ("0xa9fea9fe", METADATA, METADATA),
    ("0251.0376.0251.0376", METADATA, METADATA),
    ("169.254.43518", METADATA, METADATA),
    ("169.16689662", METADATA, METADATA),
    ("[fd00:ec2::254]", METADATA, METADATA),
    ("fd00:0ec2:0:0:0:0:0:0254", METADATA, METADATA),
    ("fd20:ce::254", METADATA, METADATA),
    ("100.100.100.200", METADATA, METADATA),
    ("192.0.0.192", METADATA, METADATA),
    ("168.63.129.16", METADATA, METADATA),
    ("::ffff:169.254.169.254", CARRIES, CARRIES),
    ("::ffff:a9fe:a9fe", CARRIES, CARRIES),
    ("64:ff9b::a9fe:a9fe", CARRIES, CARRIES),
    ("2002:a9fe:a9fe::1", CARRIES, CARRIES),
    ("2001:0:a9fe:a9fe::", CARRIES, CARRIES),
    # link-local
    ("169.254.0.1", LINK_LOCAL, LINK_LOCAL),
    ("fe80::1", LINK_LOCAL, LINK_LOCAL),
    ("fe80::1%eth0", LINK_LOCAL, LINK_LOCAL),
    ("[fe80::1%25eth0]", LINK_LOCAL, LINK_LOCAL),
    ("febf::1", LINK_LOCAL, LINK_LOCAL),
    # nobody's
    ("0.0.0.0", NO_HOST, NO_HOST),
    ("0", NO_HOST, NO_HOST),
    ("0.1.2.3", NO_HOST, NO_HOST),
    ("::", NO_HOST, NO_HOST),
    ("::ffff:0.0.0.0", CARRIES, CARRIES),
    ("224.0.0.1", NO_HOST, NO_HOST),
    ("ff02::1", NO_HOST, NO_HOST),
    ("240.0.0.1", NO_HOST, NO_HOST),
    ("255.255.255.255", NO_HOST, NO_HOST),
    ("0xffffffff", NO_HOST, NO_HOST),
    # private networks
    ("10.0.0.1", None, PRIVATE),
    ("0x0a.0.0.1", None, PRIVATE),
    ("172.16.0.1", None, PRIVATE),
    ("172.31.255.255", None, PRIVATE),
    ("192.168.1.1", None, PRIVATE),
    ("192.168.257", None, PRIVATE),
    ("100.64.0.1", None, PRIVATE),
    ("fd12:3456::1", None, PRIVATE),
    ("fec0::1", None, PRIVATE),
    ("::ffff:10.0.0.1", None, CARRIES),
    # special purposes
    ("192.0.0.8", None, SPECIAL),
    ("192.0.2.1", None, SPECIAL),
    ("192.88.99.1", None, SPECIAL),
    ("198.18.0.1", None, SPECIAL),
    ("198.51.100.1", None, SPECIAL),
    ("203.0.113.1", None, SPECIAL),
    ("2001:db8::1", None, SPECIAL),
    ("100::1", None, SPECIAL),
    ("64:ff9b::808:808", None, SPECIAL),
    ("2002:808:808::1", None, SPECIAL),
    ("::ffff:8.8.8.8", None, SPECIAL),
    # public addresses, their neighbours, and names, which are judged when they are dialled
    ("8.8.8.8", None, None),
    ("134744072", None, None),
    ("126.255.255.255", None, None),
    ("128.0.0.1", None, None),
    ("169.253.255.255", None, None),
    ("172.32.0.1", None, None),
    ("100.128.0.1", None, None),
    ("223.255.255.255", None, None),
    ("2606:4700::1111", None, None),
    ("example.com", None, None),
    ("localhost.example.com", None, None),
    ("127.0.0.1.example.com", None, None),
    ("256.256.256.256", None, None),
    ("münchen.example", None, None),
]


@pytest.mark.parametrize("host, by_default, when_public_only", SPELLINGS)
def test_every_spelling_of_an_address_is_judged(host, by_default, when_public_only):
    for policy, expected in ((Policy(), by_default), (Policy(public_only=True), when_public_only)):
        refusal = policy.refusal_of_host(host)
        assert (refusal is None) == (expected is None), refusal
        assert expected is None or expected in (refusal or "")


def test_a_sentence_names_the_address_and_the_one_that_it_carries():
    assert Policy().refusal_of_host("2130706433") == "The address 127.0.0.1 is this machine itself (loopback)."
    assert Policy().refusal(ip_address("64:ff9b::7f00:1")) == (
        "The address 64:ff9b::7f00:1 carries another one. The address 127.0.0.1 is this machine itself (loopback)."
    )


@pytest.mark.parametrize(
    "policy, address, is_permitted",
    [
        (Policy(allow_loopback=True), "127.0.0.1", True),
        (Policy(allow_loopback=True), "::1", True),
        (Policy(allow_loopback=True), "::ffff:127.0.0.1", True),
        (Policy(allow_loopback=True, public_only=True), "127.0.0.1", False),
        (Policy(allow_link_local=True), "169.254.7.7", True),
        (Policy(allow_link_local=True), "169.254.169.254", False),
        (Policy(allow_link_local=True, public_only=True), "fe80::1", False),
        (Policy(allow_private=False), "10.1.2.3", False),
        (Policy(allow_private=False), "fd12::1", False),
        (Policy(allow_private=False), "198.18.0.1", True),
        (Policy(allow_private=False, allowed=(ip_network("10.1.0.0/16"),)), "10.1.2.3", True),
        (Policy(allow_private=False, allowed=(ip_network("10.1.0.0/16"),)), "10.2.2.3", False),
        (Policy(allowed=(ip_network("169.254.169.254/32"),)), "169.254.169.254", True),
        (Policy(public_only=True, allowed=(ip_network("64:ff9b::/96"),)), "64:ff9b::808:808", True),
        (Policy(public_only=True, allowed=(ip_network("64:ff9b::/96"),)), "64:ff9b::a00:1", False),
        (Policy(denied=(ip_network("8.8.0.0/16"),)), "8.8.8.8", False),
        (Policy(denied=(ip_network("8.8.0.0/16"),)), "::ffff:8.8.8.8", False),
        (Policy(denied=(ip_network("10.0.0.0/8"),), allowed=(ip_network("10.0.0.0/8"),)), "10.0.0.1", False),
    ],
)
def test_switches_and_lists_decide(policy, address, is_permitted):
    assert (policy.refusal(ip_address(address)) is None) == is_permitted


@pytest.mark.parametrize("text", ["", " ", "example.com", "1.2.3.4.5", "0x", "127.0.0.1 x", "127..1", "08.0.0.1", ":::"])
def test_what_no_system_takes_for_an_address_is_a_name(text):
    assert parse_address(text) is None


# --------------------------------------------------------------------------- dialling


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
        *("localhost", "LOCALHOST", "localhost.", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0", "0.0.0.0", "[::]"),
        *("１２７.０.０.１", "①②⑦.0.0.1", "ⓛocalhost", "127。0。0。1"),
    ],
)
async def test_no_spelling_of_loopback_reaches_a_listener(host):
    async with receiving(host="127.0.0.1") as receiver, sending(f"http://{host}:{receiver.port}/", policy=Policy()) as sender:
        outcome = await sender.send(message())
    assert receiver.connections == 0
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"


async def test_the_refusal_of_a_literal_address_is_told():
    async with sending("http://127.0.0.1:9/", policy=Policy()) as sender:
        outcome = await sender.send(message())
    assert outcome == Retry(
        "The hub may not connect to 127.0.0.1: The address 127.0.0.1 is this machine itself (loopback).", "destination"
    )


async def test_an_address_of_this_machine_counts_as_loopback():
    own = _own_address()
    if own is None:
        pytest.skip("this machine has no address but loopback")
    async with receiving(host=own) as receiver:
        url = f"http://{own}:{receiver.port}/"
        async with sending(url, policy=Policy()) as sender:
            refused = await sender.send(message())
        async with sending(url, policy=Policy(allow_loopback=True)) as sender:
            permitted = await sender.send(message())
    assert refused == Retry(f"The hub may not connect to {own}: The address {own} is this machine's own.", "destination")
    assert permitted == Delivered(204)


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if ipaddress.ip_address(found).is_loopback else found


class Lookup:
    """A name server that answers what it is told to, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, family: int) -> list[tuple[object, ...]]:
        self.asked += 1
        found = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


# Loopback has many addresses: one of them plays the public one here, another the one that must not be reached.
OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"
REBINDING = Policy(allow_loopback=True, denied=(ip_network(f"{INSIDE}/32"),))


async def test_a_name_that_moves_to_a_forbidden_address_is_refused_at_the_next_connection():
    lookup = Lookup([OUTSIDE], [INSIDE], [OUTSIDE])
    async with (
        receiving(says(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"), host=OUTSIDE) as outside,
        receiving(host=INSIDE, port=outside.port) as inside,
        aiohttp.ClientSession(connector=(connector := Connector(REBINDING, 1, lookup))) as session,
    ):
        url = f"http://rebinding.example:{outside.port}/"
        async with session.post(url) as response:
            assert response.status == 204
        connector.clear_dns_cache()
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.post(url)
        assert str(refused.value.os_error) == f"The address {INSIDE} is in a network that the settings deny."
        connector.clear_dns_cache()
        async with session.post(url) as response:
            assert response.status == 204
        assert (lookup.asked, outside.connections, inside.connections) == (3, 2, 0)
        assert outside.requests[0].headers["host"] == f"rebinding.example:{outside.port}"


async def test_a_name_is_asked_for_once_and_what_was_judged_is_dialled():
    # A second question would be answered with the forbidden address.
    lookup = Lookup([OUTSIDE], [INSIDE])
    async with (
        receiving(host=OUTSIDE) as outside,
        receiving(host=INSIDE, port=outside.port) as inside,
        aiohttp.ClientSession(connector=Connector(REBINDING, 1, lookup)) as session,
        session.post(f"http://rebinding.example:{outside.port}/") as response,
    ):
        assert response.status == 204
        assert (lookup.asked, outside.connections, inside.connections) == (1, 1, 0)


async def test_of_several_addresses_only_permitted_ones_are_dialled():
    lookup = Lookup([INSIDE, OUTSIDE, INSIDE])
    async with (
        receiving(host=OUTSIDE) as outside,
        receiving(host=INSIDE, port=outside.port) as inside,
        aiohttp.ClientSession(connector=Connector(REBINDING, 1, lookup)) as session,
        session.post(f"http://mixed.example:{outside.port}/") as response,
    ):
        assert response.status == 204
        assert (outside.connections, inside.connections) == (1, 0)


async def test_a_resolver_tells_what_the_system_says_and_keeps_an_interface():
    entries = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 443, 0, 3)),
    ]
    found = await Resolver(lambda host, port, family: entries).resolve("some.example", 443)
    assert [(one["hostname"], one["host"], one["port"]) for one in found] == [
        ("some.example", "192.0.2.7", 443),
        ("some.example", "fe80::1%3", 443),
    ]


@pytest.mark.parametrize("fault", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
async def test_a_name_that_cannot_be_found_is_a_fault_of_the_system(fault):
    def lookup(host: str, port: int, family: int) -> list[tuple[object, ...]]:
        raise fault

    with pytest.raises(OSError) as raised:
        await Resolver(lookup).resolve("nowhere.example")
    assert ("label too long" if isinstance(fault, UnicodeError) else "Name or service not known") in str(raised.value)


async def test_a_name_server_that_hangs_does_not_take_the_threads_of_others():
    end = threading.Event()
    hanging = [
        asyncio.create_task(Resolver(lambda host, port, family: end.wait(10) and []).resolve(f"n{n}.example"))
        for n in range(64)
    ]
    await asyncio.sleep(0)  # all of them ask
    found = await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5)
    end.set()
    await asyncio.gather(*hanging)
    assert found == "free"
