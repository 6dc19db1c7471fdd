"""What becomes of a connection whose client, or whose application, does not do its part."""

import asyncio
from typing import Any

import pytest

from tests.web.connections import answered, serving

LAST = b"GET /last HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"


async def answer(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> bytes | None:
    """The whole body, None when the client is gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def reader(scope: Any, receive: Any, send: Any) -> None:
    body = await read(receive)
    await answer(send, b"gone" if body is None else b"%d" % len(body))


# --------------------------------------------------------------------------- the client


async def test_a_head_that_does_not_end_is_refused():
    async with asyncio.timeout(20), serving(reader) as port:
        told = await answered(port, [b"GET /a HTTP/1.1\r\nHost: hub\r\nX-Filler: ", *[b"x" * 50_000] * 20])
    assert told.startswith(b"HTTP/1.1 431 ") or told == b"reset"


async def test_a_large_head_that_ends_is_taken():
    head = b"GET /a HTTP/1.1\r\nHost: hub\r\nX-Filler: " + b"x" * 30_000 + b"\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(20), serving(reader) as port:
        told = await answered(port, [head[:20_000], head[20_000:]])
    assert told.startswith(b"HTTP/1.1 200 ")


async def test_a_wish_for_another_protocol_is_not_granted_and_the_request_is_answered():
    head = b"GET /a HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    async with asyncio.timeout(20), serving(reader) as port:
        told = await answered(port, [head])
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in told


async def test_what_was_sent_before_nonsense_is_answered_and_nothing_else():
    first = b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n"
    begun = b"POST /b HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    for nonsense in (b"nonsense\r\n\r\n", begun):
        async with asyncio.timeout(20), serving(reader) as port:
            told = await answered(port, [first + first + nonsense + LAST])
        assert told.count(b"HTTP/1.1 200 OK") == told.count(b"HTTP/1.1") == 2


async def test_an_application_that_reads_learns_that_the_rest_is_nonsense():
    learnt: list[object] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        learnt.append(await read(receive))

    begun = b"POST /b HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with asyncio.timeout(20), serving(application) as port:
        assert (await answered(port, [begun, b"zz\r\n"])).startswith(b"HTTP/1.1 400 ")
    assert learnt == [None]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHo",
        b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 9\r\n\r\nhello",
    ],
    ids=["nothing", "between requests", "in a head", "in a body"],
)
async def test_a_client_that_is_silent_is_left(sent: bytes):
    async with asyncio.timeout(20), serving(reader, timeout_keep_alive=0.2) as port:
        told = await answered(port, [sent])
    assert told.startswith(b"HTTP/1.1 200 OK") is (b"/a HTTP/1.1\r\nHost: hub\r\n\r\n" in sent)


async def test_a_client_that_waits_is_not_left():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.7)
        await answer(send, b"late")

    async with asyncio.timeout(20), serving(application, timeout_keep_alive=0.2) as port:
        assert (await answered(port, [LAST])).endswith(b"late")


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 50_000_000)

    async with asyncio.timeout(20), serving(application, timeout_keep_alive=0.3) as port:
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n")
        incoming._transport.pause_reading()  # type: ignore[attr-defined]
        # Some is on its way; the rest the hub does not keep for good.
        await asyncio.sleep(1)
        incoming._transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await incoming.readexactly(50_000_000)
        writer.close()


async def test_an_interim_answer_comes_when_the_body_is_wanted_and_only_then():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wanted":
            await reader(scope, receive, send)
        else:
            await answer(send, b"no")

    for path, first in ((b"/wanted", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"/other", b"HTTP/1.1 200 OK\r\n")):
        head = b"POST %b HTTP/1.1\r\nHost: hub\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n" % path
        async with asyncio.timeout(20), serving(application) as port:
            incoming, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            assert await incoming.readexactly(len(first)) == first
            writer.write(b"hello" + LAST)
            assert (first + await incoming.read()).count(b"HTTP/1.1 200 OK") == 2
            writer.close()


# --------------------------------------------------------------------------- the application


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("fails", [True, False], ids=["that fails", "that says nothing"])
async def test_an_application_without_an_answer_is_answered_for(method: bytes, fails: bool, caplog: pytest.LogCaptureFixture):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise RuntimeError("a fault of the test")

    async with asyncio.timeout(20), serving(application) as port:
        told = await answered(port, [method + b" /a HTTP/1.1\r\nHost: hub\r\n\r\n"])
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"connection: close" in head
    assert body == (b"" if method == b"HEAD" else b"Internal Server Error")
    assert ("a fault of the test" in caplog.text) is fails


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"early"}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]}],
        [
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]},
            {"type": "http.response.body", "body": b"long"},
        ],
        [
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]},
            {"type": "http.response.body", "body": b"to"},
        ],
    ],
    ids=["no head", "no body", "too long", "too short"],
)
async def test_a_wrong_answer_never_looks_whole(messages: list[dict[str, Any]]):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async with asyncio.timeout(20), serving(application) as port:
        told = await answered(port, [b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n"])
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ") or (b"content-length: 3" in head and len(body) < 3)


async def test_a_request_that_is_cancelled_closes_its_connection():
    begun = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(20), serving(application) as port:
        asking = asyncio.ensure_future(answered(port, [LAST]))
        await begun.wait()
        tasks[0].cancel()
        assert await asking == b""
