"""Which addresses the hub may connect to, and the connector that connects to no other.

A name is judged by the addresses that it has at the moment of dialling, and the address that was judged is the one that is
dialled: a name server that answers differently the second time gains nothing. aiohttp asks no resolver for a literal
address, so that the check stands where every connection passes, where its socket is made.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Has getaddrinfo's shape: (family, type, protocol, canonical name, socket address) for each address of a name.
Lookup = Callable[[str, int, int], Sequence[tuple[Any, ...]]]


class Refused(OSError):
    """The policy forbids the address; the text is the sentence why."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")
_LINK_LOCAL: Final = _networks("169.254.0.0/16", "fe80::/10")
# Where clouds tell a machine its own credentials: AWS and most others, AWS over IPv6, Google over IPv6, Alibaba, Oracle,
# Azure's agent, Scaleway. All but the first lie in ranges that may be permitted.
_METADATA: Final = _networks(
    "169.254.169.254/32",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "168.63.129.16/32",
    "fd00:42::42/128",
)
# No receiver has such an address. A connection to 0.0.0.0 or :: reaches the machine itself.
_NO_HOST: Final = _networks("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "240.0.0.0/4")
# RFC 1918, RFC 6598 (100.64/10, which overlay networks use), RFC 4193, and the former site-local addresses.
_PRIVATE: Final = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
# Registered for special purposes (RFC 6890 and its successors): protocol assignments, 6to4 relays, documentation,
# benchmarks, discard, segment routing, and the forms of IPv6 that carry an IPv4 address.
_SPECIAL: Final = _networks(
    *("192.0.0.0/24", "192.88.99.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"),
    *("100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
    *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"),
)
# Of each IPv6 form that carries an IPv4 address: how far from the right that address begins, in bits.
_CARRIERS: Final = tuple(
    (IPv6Network(network), shift)
    for network, shift in (
        ("::/96", 0),  # IPv4-compatible
        ("::ffff:0:0/96", 0),  # IPv4-mapped
        ("::ffff:0:0:0/96", 0),  # IPv4-translated (RFC 2765)
        ("64:ff9b::/96", 0),  # NAT64 (RFC 6052)
        ("64:ff9b:1::/48", 0),  # NAT64 for local use (RFC 8215)
        ("2002::/16", 80),  # 6to4 (RFC 3056)
        ("2001::/32", 64),  # Teredo's server (RFC 4380)
    )
)
_TEREDO: Final = IPv6Network("2001::/32")
_LOW_32: Final = (1 << 32) - 1
_ANY_PORT: Final = 9


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses may be reached. The defaults are those of a hub inside an organisation's own network.

    ``denied`` wins over everything, ``allowed`` over all other rules. ``public_only`` leaves only what is reachable from the
    whole internet, whatever the other switches say. An IPv4 address that an IPv6 address carries is judged as well.
    """

    allow_private: bool = True
    allow_loopback: bool = False
    allow_link_local: bool = False
    public_only: bool = False
    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    def refusal(self, address: Address) -> str | None:
        """Why the address may not be reached, as a sentence; None when it may."""
        shown = str(address)
        if _is_in(address, self.denied):
            return f"The address {shown} is in a network that the settings deny."
        for carried in _carried(address):
            if self.refusal(carried) is not None:
                return f"The address {shown} carries another one. {self.refusal(carried)}"
        if _is_in(address, self.allowed):
            return None
        found = next((text for networks, text in self._forbidden() if _is_in(address, networks)), None)
        return None if found is None else f"The address {shown} {found}."

    def refusal_of_host(self, host: str) -> str | None:
        """The same for a URL's host, as far as it can be said without asking for its addresses."""
        name = host.strip("[]").rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            return self.refusal(IPv4Address("127.0.0.1"))
        address = parse_address(name)
        return None if address is None else self.refusal(address)

    def _forbidden(self) -> Iterator[tuple[tuple[Network, ...], str]]:
        """What is not permitted, with the reason; the first that an address meets is told."""
        yield _METADATA, "belongs to a cloud's metadata service, which gives out credentials"
        yield _NO_HOST, "is one that no receiver can have"
        if self.public_only or not self.allow_loopback:
            yield _LOOPBACK, "is this machine itself (loopback)"
        if self.public_only or not self.allow_link_local:
            yield _LINK_LOCAL, "is link-local"
        if self.public_only or not self.allow_private:
            yield _PRIVATE, "is in a private network"
        if self.public_only:
            yield _SPECIAL, "is reserved for a special purpose, and only public addresses are permitted"


def parse_address(text: str) -> Address | None:
    """The address that a system would connect to for this host, in any spelling; None for a name.

    ``2130706433``, ``0x7f.1``, ``0177.0.0.1`` and ``127.1`` are all 127.0.0.1 to the C library (``inet_aton``).
    """
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        # What it would forgive behind a blank is no host of a URL.
        return IPv4Address(socket.inet_aton(text)) if text and " " not in text else None
    except OSError:
        return None


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _carried(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses inside an IPv6 address, where traffic to it may end."""
    # :: and ::1 are not IPv4-compatible (RFC 4291 §2.5.5.1).
    if isinstance(address, IPv4Address) or int(address) < 2:
        return []
    carried = [IPv4Address(int(address) >> shift & _LOW_32) for network, shift in _CARRIERS if address in network]
    if address in _TEREDO:
        carried.append(IPv4Address(~int(address) & _LOW_32))  # the client, with its bits turned round
    return carried


# --------------------------------------------------------------------------- connecting


def open_socket(policy: Policy, dialled: tuple[Any, ...]) -> socket.socket:
    """A socket for this entry of ``getaddrinfo``; raises Refused when the policy forbids its address."""
    check(policy, dialled)
    family, type_, protocol, *_ = dialled
    return socket.socket(family, type_, protocol)


def check(policy: Policy, dialled: tuple[Any, ...]) -> None:
    """Raise Refused when the policy forbids the address of this entry of ``getaddrinfo``."""
    address = parse_address(dialled[4][0])
    if address is None:  # pragma: no cover - what is dialled is always an address
        raise Refused(f"The address {dialled[4][0]} cannot be judged.")
    _refuse(policy, address)


def _refuse(policy: Policy, address: Address) -> None:
    refusal = policy.refusal(address)
    if refusal is None and _is_own(address) and not _may_reach_itself(policy, address):
        refusal = f"The address {address} is this machine's own."
    if refusal is not None:
        raise Refused(refusal)


def _may_reach_itself(policy: Policy, address: Address) -> bool:
    return _is_in(address, _LOOPBACK) or policy.allow_loopback or _is_in(address, policy.allowed)


def _is_own(address: Address) -> bool:
    """Whether an interface of this machine has the address: only to itself a machine speaks from the same address.

    Connecting a datagram socket chooses a route and sends nothing.
    """
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), _ANY_PORT))
        except OSError:
            return False
        return parse_address(probe.getsockname()[0]) == address


def ask_system(host: str, port: int, family: int) -> Sequence[tuple[Any, ...]]:
    """The addresses that the operating system knows for the name; may take as long as its name servers do."""
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class Resolver(AbstractResolver):
    """The addresses of a name, asked for in a thread of its own.

    The threads that the event loop shares out are few; a name server that does not answer would take them from everyone.
    """

    def __init__(self, lookup: Lookup = ask_system) -> None:
        self._lookup = lookup

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        return [_resolved(host, entry) for entry in await self.entries(host, port, family)]

    async def entries(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> Sequence[tuple[Any, ...]]:
        """The addresses as ``getaddrinfo`` gives them; raises OSError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[tuple[Any, ...]]] = loop.create_future()

        def deliver(found: Sequence[tuple[Any, ...]] | OSError) -> None:
            if answer.cancelled():
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def ask() -> None:
            try:
                found: Sequence[tuple[Any, ...]] | OSError = self._lookup(host, port, family)
            except UnicodeError as error:
                # A label that is empty or too long, for the codec that writes names.
                found = OSError(str(error))
            except OSError as error:
                found = error
            # The loop may be closed when the answer comes at last.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, found)

        threading.Thread(target=ask, name=f"lookup of {host}", daemon=True).start()
        return await answer

    async def close(self) -> None:
        """Nothing stays open."""


def _resolved(host: str, entry: tuple[Any, ...]) -> ResolveResult:
    family, _, protocol, _, socket_address = entry
    # Of an IPv6 address the last item is the interface to which a link-local one belongs, 0 for all others.
    zone = f"%{socket_address[3]}" if len(socket_address) == 4 and socket_address[3] else ""
    return ResolveResult(
        hostname=host,
        host=f"{socket_address[0]}{zone}",
        port=socket_address[1],
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def connector_arguments(policy: Policy, lookup: Lookup = ask_system) -> dict[str, Any]:
    """What makes an aiohttp ``TCPConnector`` keep the policy."""
    return {
        "resolver": Resolver(lookup),
        "socket_factory": partial(open_socket, policy),
        # Long enough for a burst of new connections, short enough to follow a name that moves.
        "ttl_dns_cache": 10,
    }
