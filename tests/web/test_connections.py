"""What becomes of a connection whose client, or whose application, does not do its part."""

import asyncio
import json
from typing import Any

import pytest

from scimhub.web import protocol
from tests.servers.running import PATIENCE
from tests.web.connections import LAST, answered, serving


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
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        told = await answered(port, [b"GET /a HTTP/1.1\r\nHost: hub\r\nX-Filler: ", *[b"x" * 50_000] * 20])
    assert told.startswith(b"HTTP/1.1 431 ")


async def hasty(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"too large")


@pytest.mark.parametrize("framing", [b"Content-Length: 5000000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_who_is_still_sending_comes_to_read_the_answer(version: bytes, framing: bytes):
    head = b"POST /a HTTP/%b\r\nHost: hub\r\nConnection: close\r\n%b\r\n\r\n" % (version, framing)
    chunk = b"x" * 50_000
    piece = chunk if b"Length" in framing else b"%x\r\n%b\r\n" % (len(chunk), chunk)
    async with asyncio.timeout(PATIENCE), serving(hasty) as port:
        told = await answered(port, [head, *[piece] * 100])
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert told.endswith(b"\r\n\r\ntoo large")


async def test_who_is_still_sending_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "_LINGERING", 0.05)
    connections: set[Any] = set()
    async with asyncio.timeout(PATIENCE), serving(hasty, connections=connections) as port:
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /a HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: 5000000\r\n\r\nhello")
        assert (await incoming.read()).endswith(b"too large")
        while connections:
            await asyncio.sleep(0.01)
        writer.close()


POST = b"POST %b HTTP/1.1\r\nHost: hub\r\n"


@pytest.mark.parametrize(
    "sent, status, detail",
    [
        (b"GET %b HTTP/1.1\r\n\r\n", "400", "0 Host headers"),
        (b"GET %b HTTP/1.1\r\nHost: hub\r\nhost: hub\r\n\r\n", "400", "2 Host headers"),
        (b"GET %b HTTP/1.0\r\nHost: hub\r\nhost: hub\r\n\r\n", "400", "2 Host headers"),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "501", "Transfer-Encoding"),
        (POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501", "Transfer-Encoding"),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400", "not HTTP/1.1"),
        (b"GET %b HTTP/1.1\r\nHost: hub\r\nX: a\r\n b\r\n\r\n", "400", "not HTTP/1.1"),
        (POST + b"X: " + b"x" * 200_000, "431", "65536 bytes"),
    ],
)
async def test_what_is_no_request_is_refused_as_its_path_has_errors(sent: bytes, status: str, detail: str):
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        [scim, other] = [
            await answered(port, [whole[start : start + 50_000] for start in range(0, len(whole), 50_000)])
            for whole in (sent.replace(b"%b", path) for path in (b"/scim/acme/v2/Users", b"/admin/v1/sources"))
        ]
    assert scim.startswith(b"HTTP/1.1 %b " % status.encode())
    assert b"content-type: application/scim+json\r\n" in scim
    told = json.loads(scim.partition(b"\r\n\r\n")[2])
    assert told["status"] == status
    assert detail in told["detail"]
    assert told.get("scimType") == ("invalidSyntax" if status == "400" else None)
    assert other.startswith(b"HTTP/1.1 %b " % status.encode())
    assert b"content-type: text/plain" in other


async def test_an_older_client_need_not_say_whom_it_asks():
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        assert (await answered(port, [b"GET /a HTTP/1.0\r\n\r\n"])).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_large_head_that_ends_is_taken():
    head = b"GET /a HTTP/1.1\r\nHost: hub\r\nX-Filler: " + b"x" * 30_000 + b"\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        told = await answered(port, [head[:20_000], head[20_000:]])
    assert told.startswith(b"HTTP/1.1 200 ")


async def test_a_wish_for_another_protocol_is_not_granted_and_the_request_is_answered():
    head = b"GET /a HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        told = await answered(port, [head])
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in told


@pytest.mark.parametrize(
    "content", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("cut", [0, 1, 8])
async def test_a_wish_for_another_protocol_takes_no_body_away(content: bytes, cut: int):
    """Java's own client wishes for HTTP/2 with its first request, whatever that is."""
    head = b"POST /a HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    edge = len(content) - cut
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        told = await answered(port, [LAST.replace(b"close", b"keep-alive") + head + content[:edge], content[edge:]])
    assert told.count(b"HTTP/1.1 200 OK") == 2
    assert told.endswith(b"\r\nconnection: close\r\n\r\n5")


async def test_what_was_sent_before_nonsense_is_answered_and_nothing_else():
    first = b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n"
    begun = b"POST /b HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    for nonsense in (b"nonsense\r\n\r\n", begun):
        async with asyncio.timeout(PATIENCE), serving(reader) as port:
            told = await answered(port, [first + first + nonsense + LAST])
        assert told.count(b"HTTP/1.1 200 OK") == told.count(b"HTTP/1.1") == 2


@pytest.mark.parametrize("address", [b"/ines-\xc3\xa9", b"http://a:b:c/ines-?filter=ines-"])
async def test_of_an_address_that_is_none_nothing_is_logged(address: bytes, caplog: pytest.LogCaptureFixture):
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        told = await answered(port, [b"GET %b HTTP/1.1\r\nHost: hub\r\n\r\n" % address])
    assert told.startswith(b"HTTP/1.1 400 ")
    (record,) = [record for record in caplog.records if record.message == "no HTTP request"]
    assert "ines" not in str(record.__dict__)


async def test_an_application_that_reads_learns_that_the_rest_is_nonsense():
    learnt: list[object] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        learnt.append(await read(receive))

    begun = b"POST /b HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with asyncio.timeout(PATIENCE), serving(application) as port:
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
    async with asyncio.timeout(PATIENCE), serving(reader, timeout_keep_alive=0.2) as port:
        told = await answered(port, [sent])
    assert told.startswith(b"HTTP/1.1 200 OK") is (b"/a HTTP/1.1\r\nHost: hub\r\n\r\n" in sent)


async def test_a_client_that_waits_is_not_left():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.7)
        await answer(send, b"late")

    async with asyncio.timeout(PATIENCE), serving(application, timeout_keep_alive=0.2) as port:
        assert (await answered(port, [LAST])).endswith(b"late")


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 50_000_000)

    async with asyncio.timeout(PATIENCE), serving(application, timeout_keep_alive=0.3) as port:
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
        async with asyncio.timeout(PATIENCE), serving(application) as port:
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

    async with asyncio.timeout(PATIENCE), serving(application) as port:
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

    async with asyncio.timeout(PATIENCE), serving(application) as port:
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

    async with asyncio.timeout(PATIENCE), serving(application) as port:
        asking = asyncio.ensure_future(answered(port, [LAST]))
        await begun.wait()
        tasks[0].cancel()
        assert await asking == b""


# --------------------------------------------------------------------------- heads, bodies, and where they end


async def test_requests_that_come_together_are_not_taken_for_one_large_head():
    sent = b"GET /several HTTP/1.1\r\nHost: hub\r\n\r\n" * 5000 + LAST
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent[:10])
        for _ in range(10):
            await asyncio.sleep(0)
        # Its own buffer has room for this, so that the other side, once it looks, finds all of it.
        writer.write(sent[10:150_000])
        for _ in range(10):
            await asyncio.sleep(0)
        writer.write(sent[150_000:])
        told = await incoming.read()
        writer.close()
    assert told.count(b"HTTP/1.1 200 OK") == 5001


async def test_a_part_behind_a_body_is_no_place_for_bytes_without_end():
    head = b"POST /a HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Filler: "
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        told = await answered(port, [head, *[b"x" * 50_000] * 20])
    assert told.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
async def test_what_has_no_length_ends_with_the_connection_for_versions_without_chunks(version: bytes):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})

    head = b"GET /a HTTP/%b\r\nHost: hub\r\nConnection: keep-alive\r\n\r\n" % version
    async with asyncio.timeout(PATIENCE), serving(application, timeout_keep_alive=3600) as port:
        assert (await answered(port, [head])).endswith(b"\r\nconnection: close\r\n\r\nall")


async def test_what_was_answered_is_not_refused_as_well():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"soon")

    begun = b"POST /b HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with asyncio.timeout(PATIENCE), serving(application) as port:
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        await incoming.readuntil(b"soon")
        writer.write(b"zz\r\n")
        assert await incoming.read() == b""
        writer.close()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_interim_answer_never_comes_within_another_one(version: bytes):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await receive()
        await send({"type": "http.response.body", "body": b"late"})

    head = b"GET /a HTTP/%b\r\nHost: hub\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n" % version
    async with asyncio.timeout(PATIENCE), serving(application) as port:
        told = await answered(port, [head])
    assert told.endswith(b"\r\n\r\nlate")
    assert b"100 Continue" not in told


async def test_an_older_client_is_sent_no_interim_answer():
    head = b"POST /a HTTP/1.0\r\nHost: hub\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    async with asyncio.timeout(PATIENCE), serving(reader) as port:
        assert (await answered(port, [head])).startswith(b"HTTP/1.1 200 OK")


# --------------------------------------------------------------------------- who is slow


async def test_a_client_that_was_stopped_is_not_left_as_silent():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.7)
        await reader(scope, receive, send)

    head = b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 9000000\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(PATIENCE), serving(application, timeout_keep_alive=0.2) as port:
        assert (await answered(port, [head, b"x" * 9_000_000])).endswith(b"9000000")


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(more: bytes):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 30_000_000)

    async with asyncio.timeout(PATIENCE), serving(application, timeout_keep_alive=0.3) as port:
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a HTTP/1.1\r\nHost: hub\r\n%b\r\n" % more)
        await incoming.readuntil(b"\r\n\r\n")
        for _ in range(15):
            await incoming.readexactly(2_000_000)
            await asyncio.sleep(0.1)
        writer.close()


async def test_a_client_that_takes_nothing_of_a_stream_that_was_given_up_is_cut_off():
    given_up = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"x" * 9_000_000, "more_body": True})
            if given_up.is_set():
                return

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(0.1):
                await application(scope, receive, send)
        except TimeoutError:
            given_up.set()

    connections: set[Any] = set()
    async with asyncio.timeout(PATIENCE), serving(patient, timeout_keep_alive=0.2, connections=connections) as port:
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n")
        incoming._transport.pause_reading()  # type: ignore[attr-defined]
        await given_up.wait()
        while connections:
            await asyncio.sleep(0.01)
        writer.close()


async def test_what_is_sent_behind_a_request_waits_with_the_client_while_that_one_is_read():
    connections: set[Any] = set()
    counted: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        (connection,) = connections
        while scope["path"] == "/first" and not connection._behind:
            await asyncio.sleep(0)
        counted.append(len(connection._behind))
        await read(receive)
        for _ in range(100):
            await asyncio.sleep(0)
        counted.append(len(connection._behind))
        await answer(send, b"done")

    one = b"POST /%b HTTP/1.1\r\nHost: hub\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
    async with asyncio.timeout(PATIENCE), serving(application, connections=connections) as port:
        told = await answered(port, [one % b"first" + one % b"" * 20 + LAST])
    assert told.count(b"done") == 22
    assert counted[0] == counted[1] > 0


# --------------------------------------------------------------------------- what fails late


async def test_a_fault_behind_a_whole_answer_takes_nothing_from_the_next_request(caplog: pytest.LogCaptureFixture):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"whole")
        if scope["path"] == "/a":
            raise RuntimeError("a fault of the test")

    async with asyncio.timeout(PATIENCE), serving(application) as port:
        told = await answered(port, [b"GET /a HTTP/1.1\r\nHost: hub\r\n\r\n" + LAST])
    assert told.count(b"whole") == 2
    assert "a fault of the test" in caplog.text
