"""Header lines that come again: read as the parser would, whatever follows, and forgotten in time."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from scimhub.web.exchange import Head
from scimhub.web.heads import FamiliarHeads
from scimhub.web.protocol import Protocol
from scimhub.web.reception import Reception
from tests.servers.wired import MemoryTransport

HEAD = b"Host: hub\r\nAuthorization: Bearer x\r\nAccept: */*\r\n"
GET = b"GET /scim/a/v2/Users/1 HTTP/1.1\r\n" + HEAD + b"\r\n"


def post(body: bytes, head: bytes = HEAD) -> bytes:
    return b"POST /scim/a/v2/Users HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


class Kept(MemoryTransport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data


async def tell_what_came(scope: Any, receive: Any, send: Any) -> None:
    """Answers with all that a request says."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    lines = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    told = {name: scope[name] for name in ("method", "path", "http_version", "scheme", "client")}
    told |= {"raw": scope["raw_path"].decode(), "query": scope["query_string"].decode(), "headers": lines}
    text = json.dumps(told | {"body": body.decode("latin-1")}).encode()
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class Spy(FamiliarHeads):
    """Counts what was recalled."""

    def __init__(self) -> None:
        super().__init__()
        self.recalled = 0

    def recall(self, data: bytes) -> Any:
        found = super().recall(data)
        self.recalled += found is not None
        return found


@contextmanager
def connection(heads: FamiliarHeads, loop: asyncio.AbstractEventLoop) -> Iterator[tuple[Protocol, Kept]]:
    config = uvicorn.Config(tell_what_came, lifespan="off", log_config=None, proxy_headers=False)
    protocol, transport = Protocol(config, ServerState(), {}, loop, reception=Reception(heads=heads)), Kept()
    protocol.connection_made(transport)
    yield protocol, transport
    protocol.connection_lost(None)


async def answers(heads: FamiliarHeads, pieces: list[bytes]) -> tuple[bytes, bool]:
    """What a new connection answers to the pieces, one after the other, and whether it is closed then."""
    with connection(heads, asyncio.get_running_loop()) as (protocol, transport):
        for piece in pieces:
            if not transport.is_closing():
                protocol.data_received(piece)
            for _ in range(12):
                await asyncio.sleep(0)
        return transport.written, transport.is_closing()


def heads_with(*requests: bytes) -> Spy:
    heads = Spy()
    asyncio.run(answers(heads, list(requests)))
    return heads


def test_the_same_lines_are_read_once_for_all_connections():
    heads = Spy()
    first = asyncio.run(answers(heads, [GET]))
    assert heads.recalled == 0
    assert asyncio.run(answers(heads, [GET])) == first
    assert heads.recalled == 1


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /scim/a/v2/Users?filter=userName%20eq%20%22kim%22 HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"DELETE /%2Fx/%c3%a9?a=b?c HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"HEAD / HTTP/1.1\r\n" + HEAD + b"\r\n",
    ],
)
def test_what_is_recalled_is_told_as_the_parser_tells_it(request_: bytes):
    known = heads_with(GET)
    assert asyncio.run(answers(known, [request_])) == asyncio.run(answers(FamiliarHeads(), [request_]))
    assert known.recalled == 1


def test_a_body_that_is_here_is_recalled_and_one_that_is_not_is_read_on():
    known = heads_with(post(b"12345"))
    assert asyncio.run(answers(known, [post(b"67890")])) == asyncio.run(answers(FamiliarHeads(), [post(b"67890")]))
    assert known.recalled == 1
    whole = post(b"abcde")
    for place in range(1, len(whole)):
        pieces = [whole[:place], whole[place:]]
        assert asyncio.run(answers(known, pieces)) == asyncio.run(answers(FamiliarHeads(), [whole]))
    assert known.recalled == 1


@pytest.mark.parametrize(
    "data",
    [
        GET + GET,
        post(b"12345") + b"GET /smuggled HTTP/1.1\r\n" + HEAD + b"\r\n",
        GET.replace(b"/scim/a/v2/Users/1", b"http://hub/Users"),
        GET.replace(b"Users/1", b"Users/1#x"),
        GET.replace(b"Users/1", b"Users/ 1"),
        GET.replace(b"Users/1", b"Users/\xc3\xa9"),
        GET.replace(b"Users/1", b"Users/\x00"),
        GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GET.replace(b"GET", b"get"),
        GET.replace(b"GET", b"OPTIONS"),
        GET.replace(b"GET ", b"GET  "),
        GET.replace(b"Accept: */*", b"Accept: */"),
        b"\r\n" + GET,
        GET.replace(b"Users/1", b"U" * 5000),
    ],
)
def test_all_else_is_left_to_the_parser(data: bytes):
    known = heads_with(GET, post(b"12345"))
    assert asyncio.run(answers(known, [data])) == asyncio.run(answers(FamiliarHeads(), [data]))
    assert known.recalled == 0


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: close\r\n",
        b"Proxy-Connection: close\r\n",
        b"Expect: 100-continue\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"TE: trailers\r\n",
        b"Host: other\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\n",
        b"X-Folded: a\r\n b\r\n",
        b"X-Long: " + b"x" * 3000 + b"\r\n",
        b"X: 1\r\n" * 50,
    ],
)
def test_lines_that_mean_more_than_they_say_are_never_remembered(lines: bytes):
    data = b"GET / HTTP/1.1\r\n" + HEAD + lines + b"\r\n"
    heads = heads_with(data, data)
    again = asyncio.run(answers(heads, [data]))
    assert heads.recalled == 0
    assert again == asyncio.run(answers(FamiliarHeads(), [data]))


NAMES = [b"Host", b"host", b"Accept", b"X-A", b"Connection", b"Content-Length", b"Transfer-Encoding", b"TE", b""]
VALUES = [b"hub", b"", b"keep-alive", b"close", b"chunked", b"0", b"3", b"03", b"+3", b"3,3", b"\xff", b"a\nb", b"a\rb"]
JOINTS = [b": ", b":", b" : ", b":\t"]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\n "]
LINES = st.lists(st.tuples(*map(st.sampled_from, (NAMES, JOINTS, VALUES, ENDS))), max_size=4)
STARTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\n",
        b"PUT /a?b HTTP/1.1\n",
        b"GET /\t HTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
    ]
)
BODIES = st.sampled_from([b"", b"abc", b"abcd", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n"])


@given(LINES, STARTS, STARTS, BODIES, BODIES)
def test_whatever_was_remembered_changes_no_answer(
    lines: list[tuple[bytes, ...]], start: bytes, other_start: bytes, body: bytes, other_body: bytes
):
    head = b"Host: hub\r\n" + b"".join(b"".join(line) for line in lines) + b"\r\n"
    first, second = start + head + body, other_start + head + other_body
    known = heads_with(first)
    assert asyncio.run(answers(known, [second])) == asyncio.run(answers(FamiliarHeads(), [second]))
    # On the connection that has just learnt it as well.
    assert asyncio.run(answers(FamiliarHeads(), [first, second])) == asyncio.run(answers(_Forgetful(), [first, second]))


class _Forgetful(FamiliarHeads):
    def learn(self, data: bytes, head: Head) -> None:
        """Nothing is ever known."""


def test_no_more_heads_are_kept_than_fit():
    heads = FamiliarHeads()
    for number in range(2500):
        line = b"X-Number: %d" % number
        heads.learn(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n", Head([tuple(line.lower().split(b": "))]))  # type: ignore[list-item]
    assert len(heads._heads) <= 1000
    assert heads.recall(b"GET / HTTP/1.1\r\nX-Number: 2499\r\n\r\n") is not None
    assert heads.recall(b"GET / HTTP/1.1\r\nX-Number: 1\r\n\r\n") is None


def test_blank_lines_between_recalled_requests_never_add_up_to_a_head():
    async def answered() -> bytes:
        heads = FamiliarHeads()
        await answers(heads, [GET])
        with connection(heads, asyncio.get_running_loop()) as (protocol, transport):
            # More of them than a head may have bytes.
            blank = b"\r\n" * 8000
            for _ in range(6):
                protocol.data_received(blank)
                protocol.data_received(GET)
                for _ in range(12):
                    await asyncio.sleep(0)
            return transport.written

    written = asyncio.run(answered())
    assert (written.count(b"HTTP/1.1 200 "), written.count(b"HTTP/1.1 431 ")) == (6, 0)


def test_a_stopping_server_closes_behind_a_request_that_is_recalled():
    async def closes() -> bool:
        heads = FamiliarHeads()
        await answers(heads, [GET])
        with connection(heads, asyncio.get_running_loop()) as (protocol, transport):
            protocol.shutdown()
            protocol.data_received(GET)
            for _ in range(12):
                await asyncio.sleep(0)
            return transport.is_closing() and b"connection: close" in transport.written

    assert asyncio.run(closes())
