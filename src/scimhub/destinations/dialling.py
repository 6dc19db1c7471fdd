"""Connecting for client libraries that would find addresses themselves: they are handed a connection to a judged one.

Who judges a name and then gives it to a library has it looked up twice, and a name server may answer differently the second
time. Here the name is asked for once, and TLS still expects the name's certificate, since only the address is put in its
place.
"""

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from ssl import SSLContext
from typing import Any, Final

import aiohappyeyeballs

from scimhub.destinations import egress
from scimhub.destinations.broker_configuration import Server
from scimhub.destinations.egress import Lookup, Policy, Refused

# Seconds after which the next address of a name is tried beside the one before (RFC 8305 §5).
_NEXT_AFTER: Final = 0.25

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_streams(
    policy: Policy, server: Server, tls: SSLContext | None = None, *, limit: int = 2**16, lookup: Lookup | None = None
) -> Streams:
    """A connection to the host and port, if the policy permits it; raises Refused or another OSError.

    ``limit`` is how many bytes a line may have.
    """
    dialled = await dial(policy, server, lookup)
    try:
        name = server[0] if tls is not None else None
        return await asyncio.open_connection(sock=dialled, ssl=tls, server_hostname=name, limit=limit)
    except BaseException:
        dialled.close()
        raise


async def dial(policy: Policy, server: Server, lookup: Lookup | None = None) -> socket.socket:
    """A socket that is connected to one of the permitted addresses of the host; raises Refused or another OSError."""
    permitted = await judge(policy, server, lookup)
    factory: Any = partial(egress.open_socket, policy)  # the library's own type says no more
    return await aiohappyeyeballs.start_connection(permitted, happy_eyeballs_delay=_NEXT_AFTER, socket_factory=factory)


async def judge(policy: Policy, server: Server, lookup: Lookup | None = None) -> Sequence[tuple[Any, ...]]:
    """The permitted ones of the addresses that the host has now, as ``getaddrinfo`` gives them; raises Refused without any."""
    resolver = egress.Resolver(egress.ask_system if lookup is None else lookup)
    refused: Refused | None = None
    permitted = []
    for entry in await resolver.entries(*server):
        try:
            egress.check(policy, entry)
            permitted.append(entry)
        except Refused as refusal:
            refused = refused or refusal
    if refused is not None and not permitted:
        raise refused
    return permitted
