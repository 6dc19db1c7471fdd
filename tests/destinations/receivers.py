"""Receivers of webhooks on loopback, down to the byte, and what is needed to send to them."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import orjson

from scimhub.destinations.egress import Policy
from scimhub.destinations.webhook import Webhook, WebhookSender
from scimhub.distribution.delivery import Destination, Message, Purpose, Secret, Subscription

LOOPBACK = Policy(allow_loopback=True)
KEY = b"k" * 32
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    names: list[str]
    body: bytes


@dataclass
class Receiver:
    """``connections`` counts those that were accepted, ``requests`` are those that came whole."""

    port: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/events"


Answering = Callable[[Receiver, Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def says(answer: bytes) -> Answering:
    async def answering(
        receiver: Receiver, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(answer)
        await writer.drain()

    return answering


def status(line: str, body: bytes = b"", *headers: str) -> Answering:
    lines = [f"HTTP/1.1 {line}", f"Content-Length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(lines).encode() + body)


ACCEPTS = says(NO_CONTENT)


@asynccontextmanager
async def receiving(
    answering: Answering = ACCEPTS, tls: SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    receiver = Receiver(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[Any]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while (request := await read_request(reader)) is not None and not writer.is_closing():
                receiver.requests.append(request)
                await answering(receiver, request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, host, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")[:-2]
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Received(method, path, headers, [name.lower() for name, _ in pairs], body)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a RST."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def secret(value: bytes = KEY, purpose: Purpose = "hmac", expires: str | None = None) -> Secret:
    return Secret("s", purpose, value, "", "2026-11-23T00:00:00.000Z", expires)


def destination(url: str, **configuration: object) -> Destination:
    return Destination(
        key=1,
        id="d1",
        directory=1,
        directory_name="acme",
        name="hook",
        kind="webhook",
        configuration={"url": url, **configuration},
        subscription=Subscription(),
        subscription_version=1,
        state="active",
        reason="",
        cursor=0,
        ahead=frozenset(),
        replay=None,
        created="2026-11-23T00:00:00.000Z",
        updated="2026-11-23T00:00:00.000Z",
    )


@asynccontextmanager
async def sending(
    url: str,
    *secrets: Secret,
    policy: Policy = LOOPBACK,
    now: Callable[[], float] = time.time,
    **configuration: object,
) -> AsyncIterator[WebhookSender]:
    sender = Webhook(policy, now).open(destination(url, **configuration), secrets or [secret()])
    try:
        yield sender
    finally:
        await sender.close()


def message(id: str = "01936a41-0101-7d10-b0c1-2a3b4c5d6e7f", **attributes: str) -> Message:
    context = {
        "specversion": "1.0",
        "id": id,
        "source": "/directories/acme",
        "type": "scimhub.user.updated",
        "subject": "7c",
        "time": "2026-11-23T20:41:35.123Z",
        "datacontenttype": "application/json",
        "sequence": f"{7:020}",
    }
    return Message(id, context | attributes, orjson.dumps({"resourceType": "User", "name": "Zoë ☃"}))
