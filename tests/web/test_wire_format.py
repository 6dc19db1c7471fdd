"""What goes over the wire is what uvicorn's own protocol would write, for requests of all shapes and however they are cut."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.servers.running import PATIENCE
from tests.web.connections import LAST, answered, serving


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """What the application was told, as an answer of the shape that the path names."""
    body = b""
    if "unread" not in scope["path"]:
        is_whole = False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            is_whole = not message["more_body"]
    told = {name: value for name, value in scope.items() if name not in ("client", "server", "extensions")}
    content = repr((sorted(told.items(), key=str), body)).encode()
    headers = [(b"content-type", b"text/plain")]
    if "chunked" not in scope["path"]:
        headers.append((b"content-length", b"%d" % len(content)))
    if "closing" in scope["path"]:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if "failing" in scope["path"]:
        raise RuntimeError("in the midst")
    half = len(content) // 2
    await send({"type": "http.response.body", "body": content[:half], "more_body": True})
    await send({"type": "http.response.body", "body": content[half:]})


REQUESTS = {
    "get": b"GET /a?b=c%20d HTTP/1.1\r\nHost: hub\r\nX-One: 1\r\nX-One: 2\r\n\r\n",
    "head": b"HEAD /a HTTP/1.1\r\nHost: hub\r\n\r\n",
    "head of an unknown length": b"HEAD /chunked HTTP/1.1\r\nHost: hub\r\n\r\n",
    "escaped path": b"GET /a%2Fb%C3%A9 HTTP/1.1\r\nHost: hub\r\n\r\n",
    "two question marks": b"GET /a?b?c=/d HTTP/1.1\r\nHost: hub\r\n\r\n",
    "nothing behind the question mark": b"GET /a? HTTP/1.1\r\nHost: hub\r\n\r\n",
    "two slashes": b"GET //a/b?c HTTP/1.1\r\nHost: hub\r\n\r\n",
    "slashes like an address": b"GET //user@hub:80/b HTTP/1.1\r\nHost: hub\r\n\r\n",
    "fragment": b"GET /a?b#c?d HTTP/1.1\r\nHost: hub\r\n\r\n",
    "no escape at all": b"GET /100%%25 HTTP/1.1\r\nHost: hub\r\n\r\n",
    "whole address": b"GET http://hub/a?b HTTP/1.1\r\nHost: hub\r\n\r\n",
    "answer in chunks": b"GET /chunked HTTP/1.1\r\nHost: hub\r\n\r\n",
    "answer that closes": b"GET /closing HTTP/1.1\r\nHost: hub\r\n\r\n",
    "answer that fails": b"GET /failing HTTP/1.1\r\nHost: hub\r\n\r\n",
    "body": b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 11\r\n\r\nhello world",
    "large body": b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "body that nobody reads": b"POST /unread HTTP/1.1\r\nHost: hub\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "body in chunks": (
        b"POST /a HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n"
    ),
    "empty body": b"PUT /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n",
    "odd method": b"PROPFIND /a HTTP/1.1\r\nHost: hub\r\n\r\n",
    "no path": b"OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n",
    "empty line before": b"\r\nGET /a HTTP/1.1\r\nHost: hub\r\n\r\n",
}
BAD = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "two lengths": b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": (b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a name with a space": b"GET /a HTTP/1.1\r\nHost : hub\r\n\r\n",
    "a line that is folded": b"GET /a HTTP/1.1\r\nHost: hub\r\nX-One: a\r\n b\r\n\r\n",
    "a path that is no ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: hub\r\n\r\n",
    "a length that is no number": b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: -1\r\n\r\n",
    "a line end within a value": b"GET /a HTTP/1.1\r\nHost: hub\r\nX: a\rb: c\r\n\r\n",
    "a chunk without a size": b"POST /a HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
}


def without_dates(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\r\n") if not line.startswith(b"date:")]


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_answer_is_that_of_uvicorns_own_protocol(name: str):
    closes = name in ("answer that closes", "answer that fails")
    sent = [REQUESTS[name]] if closes else [REQUESTS[name], LAST]
    async with asyncio.timeout(PATIENCE), serving(echo) as ours, serving(echo, HttpToolsProtocol) as theirs:
        assert without_dates(await answered(ours, sent)) == without_dates(await answered(theirs, sent))


# To those who do not know chunks uvicorn sends them all the same; and what is closed amid a body may be reset.
@pytest.mark.parametrize("name", sorted(set(REQUESTS) - {"answer in chunks", "answer that fails", "body that nobody reads"}))
async def test_an_older_client_is_answered_as_by_uvicorns_own_protocol(name: str):
    sent = [REQUESTS[name].replace(b"HTTP/1.1", b"HTTP/1.0")]
    async with asyncio.timeout(PATIENCE), serving(echo) as ours, serving(echo, HttpToolsProtocol) as theirs:
        assert without_dates(await answered(ours, sent)) == without_dates(await answered(theirs, sent))


async def test_an_older_client_reads_what_has_no_length_until_the_connection_is_closed():
    async with asyncio.timeout(PATIENCE), serving(echo) as port:
        told = await answered(port, [b"GET /chunked HTTP/1.0\r\nHost: hub\r\n\r\n"])
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"([(")


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_request_is_answered_400_and_the_connection_closed(name: str):
    async with asyncio.timeout(PATIENCE), serving(echo) as ours, serving(echo, HttpToolsProtocol) as theirs:
        told = await answered(ours, [BAD[name] + LAST])
        assert told.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"
        assert told.count(b"HTTP/1.1") == 1
        assert b"connection: close" in told.split(b"\r\n")
        assert (await answered(theirs, [BAD[name] + LAST])).startswith(b"HTTP/1.1 400 Bad Request")


@given(
    names=st.lists(st.sampled_from(sorted(set(REQUESTS) - {"answer that closes", "answer that fails"})), max_size=5),
    cuts=st.lists(st.integers(0, 2_000), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_requests_are_answered_the_same_however_their_bytes_are_cut(names: list[str], cuts: list[int]):
    sent = b"".join(REQUESTS[name] for name in names) + LAST
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[start:end] for start, end in pairwise(edges)]

    async def both() -> tuple[bytes, bytes]:
        async with asyncio.timeout(PATIENCE), serving(echo) as port:
            return await answered(port, [sent]), await answered(port, pieces)

    whole, cut = asyncio.run(both())
    assert whole.count(b"HTTP/1.1 200 OK") == len(names) + 1
    assert without_dates(whole) == without_dates(cut)
