"""HTTP to one destination: bounded time, bounded answers, no redirects, no cookies, only addresses that the policy permits.

A receiver may hang, dribble, redirect, or answer without end. None of that reaches further than the one request.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from ssl import SSLContext
from typing import Final

import aiohttp
from aiohttp import StreamReader
from aiohttp.connector import Connection
from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL

from scimhub.destinations import http_connection
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_connection import Connector, StaleConnection
from scimhub.destinations.redaction import EXCERPT_LIMIT

# Once the status is known the rest of an answer that only tells why is worth no more than this, in seconds.
EXCERPT_PATIENCE: Final = 1.0
# A stale connection shows itself at once; what breaks off later may have been received.
_STALE_WITHIN: Final = 1.0
# What a request may raise, as ``http_outcomes.of_failure`` explains; uvloop raises RuntimeError for some faults of a socket.
FAULTS: Final = (aiohttp.ClientError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``body`` ends at the limit that was given; ``is_whole`` says whether that was all of it."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    is_whole: bool


def own_headers() -> CIMultiDict[str]:
    """The headers that every request of the hub has."""
    # A small answer may unfold to a huge one; nothing here needs that.
    return CIMultiDict({istr("User-Agent"): f"scimhub/{version('scimhub')}", istr("Accept-Encoding"): "identity"})


class HttpClient:
    """Connections to one destination; their connector is made with the first request, within the running loop.

    The connector is aiohttp's, and so is what reads answers. Its session is left out: what that does beyond, such as cookies,
    redirects, tracing and bodies of any sort, is not wanted here, and took half of a request's time.

    ``timeout`` is in seconds, for one whole request; ``tls`` gives what to prove who we are with, and may raise.
    """

    def __init__(
        self, policy: Policy, concurrency: int, timeout: float, tls: Callable[[], SSLContext | None] = lambda: None
    ) -> None:
        self._policy = policy
        self._concurrency = concurrency
        self._timeout = timeout
        self._find_tls = tls
        # True is aiohttp's word for its own context.
        self._tls: SSLContext | bool = True
        self._connector: Connector | None = None
        self._timeouts = aiohttp.ClientTimeout(total=timeout, connect=timeout * 2 / 3, sock_read=timeout, ceil_threshold=60)
        # What the connector asks whom to connect to, for each origin: aiohttp's own form of a request, which is never sent.
        self._targets: dict[tuple[str, str, int | None], aiohttp.ClientRequest] = {}

    async def ask(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes | None = None,
        *,
        limit: int = EXCERPT_LIMIT,
        patience: float = EXCERPT_PATIENCE,
        repeats: bool = True,
    ) -> Answer:
        """One request; raises one of ``FAULTS``.

        At most ``limit`` bytes of the answer are read, for ``patience`` seconds. It is sent a second time when the
        connection turned out to be stale, unless ``repeats`` is false because twice would be too often.
        """
        started = time.monotonic()
        try:
            return await self._ask(method, url, headers, body, limit, patience)
        except StaleConnection:
            if not repeats or time.monotonic() - started > _STALE_WITHIN:
                raise
        return await self._ask(method, url, headers, body, limit, patience)

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        if self._connector is not None:
            await self._connector.close()

    async def _ask(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes | None, limit: int, patience: float
    ) -> Answer:
        request = http_connection.request_of(method, url, headers, body)
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._timeout
        async with asyncio.timeout_at(ends):
            connection = await self._connect(url)
            try:
                message, content = await http_connection.exchange(connection, request, self._timeout, EXCERPT_LIMIT)
            except BaseException:
                connection.close()
                raise
        # Usually a short answer has come whole, and the connection is free again.
        if content.is_eof():
            found = content.read_nowait()
            connection.release()
            return Answer(message.code, message.headers, found[:limit], len(found) <= limit)
        try:
            found = await _read_beginning(content, limit, min(patience, ends - loop.time()))
            is_whole = content.is_eof()
        finally:
            if content.is_eof():
                connection.release()
            else:
                connection.close()
        return Answer(message.code, message.headers, found, is_whole)

    async def _connect(self, url: URL) -> Connection:
        connector = self._connector
        if connector is None:
            self._tls = self._find_tls() or True
            connector = self._connector = Connector(self._policy, self._concurrency)
        if connector.closed:
            raise RuntimeError("The connections have been ended.")
        origin = (url.scheme, url.raw_authority, url.port)
        target = self._targets.get(origin)
        if target is None:
            target = self._targets[origin] = aiohttp.ClientRequest(
                "GET", url.origin(), loop=asyncio.get_running_loop(), ssl=self._tls
            )
        try:
            return await connector.connect(target, [], self._timeouts)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error


async def _read_beginning(content: StreamReader, limit: int, patience: float) -> bytes:
    """The first bytes of the answer's body."""
    beginning = b""
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(patience):
            while (missing := limit - len(beginning)) and (some := await content.read(missing)):
                beginning += some
    return beginning
