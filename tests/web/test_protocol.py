"""Answers over real connections: whole, in order, written at once, and never more than a slow reader takes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest

from scimhub.web.exchange import AT_ONCE, Answer
from scimhub.web.protocol import Protocol
from scimhub.web.reception import Reception
from tests.servers.running import PATIENCE
from tests.web import connections as connecting

Send = Callable[[dict[str, Any]], Awaitable[None]]
Piece = bytes | bytearray | memoryview


class Counted(asyncio.Transport):
    """A transport that counts the writes that reach it."""

    def __init__(self, transport: Any, writes: list[int]) -> None:
        super().__init__()
        self._transport = transport
        self._writes = writes

    def write(self, data: Piece) -> None:
        self._writes.append(len(data))
        self._transport.write(data)

    def __getattribute__(self, name: str) -> Any:
        own = name in ("write", "_transport", "_writes")
        return object.__getattribute__(self, name) if own else getattr(self._transport, name)


def serving(
    application: Any, writes: list[int] | None = None, connections: list[Protocol] | None = None, **more: Any
) -> AbstractAsyncContextManager[int]:
    """The port, with what is written and who connects noted."""

    class Observed(Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(Counted(transport, [] if writes is None else writes))
            if connections is not None:
                connections.append(self)

    return connecting.serving(application, partial(Observed, reception=Reception()), **more)


async def answer_with_path(scope: Any, receive: Any, send: Send) -> None:
    body = scope["path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def request(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: hub\r\n{more}\r\n".encode()


async def test_head_and_body_are_one_write():
    writes: list[int] = []
    async with serving(answer_with_path, writes) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/one"))
        answer = await reader.readuntil(b"/one")
        writer.close()
    assert writes == [len(answer)]


async def test_requests_sent_at_once_are_answered_in_order():
    async with serving(answer_with_path) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(request(f"/{number}") for number in range(5)) + request("/last", "Connection: close\r\n"))
        answers = await reader.read()
        writer.close()
    assert [head.rpartition(b"\r\n\r\n")[2] for head in answers.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"/0",
        b"/1",
        b"/2",
        b"/3",
        b"/4",
        b"/last",
    ]


async def test_an_answer_is_whole_before_the_connection_closes():
    length = 3_000_000

    async def application(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
        await send({"type": "http.response.body", "body": b"x" * length})

    async with serving(application) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/", "Connection: close\r\n"))
        answer = await reader.read()
        writer.close()
    assert len(answer.partition(b"\r\n\r\n")[2]) == length


async def test_a_stream_that_never_yields_to_the_loop_waits_for_a_reader_that_does_not_read():
    sent = 0

    async def application(scope: Any, receive: Any, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            sent += 10_000

    async with serving(application) as port, asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/"))
        while not sent:
            await asyncio.sleep(0)
        # All that it sends without waiting is sent by now.
        assert sent < 50_000_000
        writer.close()


async def test_a_client_that_is_gone_costs_nothing_more():
    begun = asyncio.Event()
    gone = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Send) -> None:
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        await answer_with_path(scope, receive, send)

    writes: list[int] = []
    async with serving(application, writes) as port, asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/"))
        await begun.wait()
        writer.transport.abort()
        await gone.wait()
    assert writes == []


# --------------------------------------------------------------------------- answers that are written in one step


async def answer_at_once(scope: Any, receive: Any, send: Send) -> None:
    await Answer(201, scope["path"].encode(), [(b"etag", b'W/"1"')]).send(scope, send, "id")


async def answer_by_asgi(scope: Any, receive: Any, send: Send) -> None:
    del scope["extensions"][AT_ONCE]
    await answer_at_once(scope, receive, send)


async def talk(application: Any, sent: bytes, writes: list[int] | None = None) -> list[bytes]:
    """The lines of all that is answered until the connection is closed; without the date, which may differ."""
    async with serving(application, writes) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answered = await reader.read()
        writer.close()
    return [line for line in answered.split(b"\r\n") if not line.startswith(b"date:")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_at_once_is_that_of_asgi(method: str, version: str):
    last = f"{method} /x HTTP/{version}\r\nHost: hub\r\nConnection: close\r\n\r\n".encode()
    before = f"{method} /x HTTP/1.1\r\nHost: hub\r\n\r\n".encode() * 2
    written = await talk(answer_at_once, before + last)
    assert written == await talk(answer_by_asgi, before + last)
    assert b"\r\n".join(written).count(b"HTTP/1.1 201 Created") == 3


async def test_an_answer_at_once_is_one_write():
    writes: list[int] = []
    await talk(answer_at_once, request("/one", "Connection: close\r\n"), writes)
    assert len(writes) == 1


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
async def test_an_answer_at_once_has_no_header_that_holds_another_one(value: bytes, caplog: pytest.LogCaptureFixture):
    async def application(scope: Any, receive: Any, send: Send) -> None:
        await Answer(200, b"body", [(b"location", value)]).send(scope, send, "id")

    assert (await talk(application, request("/", "Connection: close\r\n")))[0] == b"HTTP/1.1 500 Internal Server Error"
    assert "A header holds the end of a line." in caplog.text


async def test_a_connection_goes_on_after_a_body_that_nobody_read():
    posted = b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello"
    written = await talk(answer_at_once, posted + request("/b", "Connection: close\r\n"))
    assert (written.count(b"/aHTTP/1.1 201 Created"), written[-1]) == (1, b"/b")


@pytest.mark.parametrize("earlier", [0, 1], ids=["a new connection", "one that was used"])
async def test_a_request_on_its_way_while_the_server_stops_is_answered_as_the_last(earlier: int):
    connections: list[Protocol] = []
    async with serving(answer_with_path, connections=connections) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(earlier):
            writer.write(request(f"/{number}"))
            await reader.readuntil(f"/{number}".encode())
        while not connections:
            await asyncio.sleep(0)
        connections[0].shutdown()
        writer.write(request("/late"))
        answer = await reader.read()
        writer.close()
    assert (answer[:15], answer[-5:]) == (b"HTTP/1.1 200 OK", b"/late")
    assert b"connection: close\r\n" in answer


async def test_a_connection_without_a_request_is_closed_soon_after_the_server_stops():
    connections: list[Protocol] = []
    kept = serving(answer_with_path, connections=connections, timeout_keep_alive=3600)
    async with kept as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not connections:
            await asyncio.sleep(0)
        connections[0].shutdown()
        assert await reader.read() == b""
        writer.close()
