"""Connections to one destination: at most so many, to addresses that the policy permits, and honest about having gone stale."""

from functools import partial
from typing import Any

import aiohttp
from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from multidict import CIMultiDict
from yarl import URL

from scimhub.destinations import egress
from scimhub.destinations.egress import Lookup, Policy

_BODILESS = frozenset(("GET", "HEAD", "OPTIONS"))
# aiohttp rounds timeouts up to whole seconds where they are longer than this many.
_NEVER_ROUNDED = 60


class StaleConnection(aiohttp.ClientOSError):
    """A connection that had been used before was gone before any byte of an answer came.

    The receiver closed it while it was idle, which nobody can know until something is written: a new one may well work.
    """


class NotHttp(aiohttp.ClientError):
    """What came back is no answer. There is no text: it would quote what came, which may repeat what was sent."""


class _Connection(ResponseHandler):
    """aiohttp's connection, which tells a stale connection from a broken one."""

    _was_used = False
    _is_stale = False

    def set_response_params(self, **params: Any) -> None:
        """Called for each request, before it is written."""
        self._is_stale = self._was_used
        self._was_used = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._is_stale = False
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if self._is_stale and isinstance(exc, (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            exc = StaleConnection(*exc.args)
        super().set_exception(exc, *cause)


class Connector(aiohttp.TCPConnector):
    """Connections for one destination, to be made within the running loop. ``lookup`` finds the addresses of a name."""

    def __init__(self, policy: Policy, concurrency: int, lookup: Lookup = egress.ask_system) -> None:
        super().__init__(limit=concurrency, limit_per_host=concurrency, **egress.connector_arguments(policy, lookup))
        # aiohttp offers no other way to say what a connection is made of; test_webhook_faults would tell of its end.
        self._factory = partial(_Connection, loop=self._loop)  # type: ignore[assignment]  # partial is invariant


async def exchange(
    connection: Connection, request: bytes, read_timeout: float, read_size: int
) -> tuple[RawResponseMessage, StreamReader]:
    """Write the request, and the head of its answer; what comes of the body goes into the reader.

    Raises ClientError or OSError. ``read_timeout`` is how many seconds the peer may be silent.
    """
    protocol = connection.protocol
    if protocol is None or protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,
        read_timeout=read_timeout,
        read_bufsize=read_size,
        timeout_ceil_threshold=_NEVER_ROUNDED,
    )
    protocol.transport.write(request)
    protocol.start_timeout()
    while True:
        try:
            message, payload = await protocol.read()
        except HttpProcessingError as error:
            raise NotHttp from error
        # What is only on the way to an answer (RFC 9110 §15.2); behind 101 comes another protocol.
        if not 100 <= message.code < 200 or message.code == 101:
            return message, payload


def request_of(method: str, url: URL, headers: CIMultiDict[str], body: bytes | None) -> bytes:
    """The request as it is written (RFC 9112); raises ValueError when a header would end its line."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if body is not None or method not in _BODILESS:
        # RFC 9110 §8.6: where a body has a meaning its absence is told.
        lines.append(f"Content-Length: {len(body or b'')}\r\n")
    head = f"{method} {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n{''.join(lines)}\r\n"
    if head.count("\n") != len(lines) + 3 or head.count("\r") != len(lines) + 3 or "\0" in head:
        raise ValueError("A header has a line break or a null character.")
    return head.encode() + (body or b"")
