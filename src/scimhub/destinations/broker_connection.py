"""One connection for all messages of a destination: made when the first needs it, and anew after it was lost."""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from scimhub.destinations.broker_configuration import NetworkKeys
from scimhub.destinations.client_tls import Unusable
from scimhub.destinations.egress import Refused
from scimhub.distribution.delivery import Message, Rejected, Retry

_BELIEVED_SECONDS: Final = 60.0

C = TypeVar("C")
R = TypeVar("R")


class Lost(Exception):
    """The connection ended before the broker had confirmed; whether it has the message nobody knows."""


class Connection(Generic[C]):
    """A client that connects once for all who wait. ``seconds`` is how long one use may take, connecting included."""

    def __init__(self, connect: Callable[[], Awaitable[C]], end: Callable[[C], Awaitable[object]], seconds: float) -> None:
        self._connect = connect
        self._end = end
        self._seconds = seconds
        self._client: C | None = None
        self._connecting: asyncio.Future[C] | None = None
        # Who waits for the broker now; True once the connection was lost.
        self._waiting: dict[asyncio.Timeout, bool] = {}

    @property
    def client(self) -> C | None:
        """What is connected now."""
        return self._client

    async def use(self, act: Callable[[C], Awaitable[R]]) -> R:
        """What ``act`` gives. Raises TimeoutError, Lost, whatever connecting raises, and whatever ``act`` does."""
        async with asyncio.timeout(self._seconds) as patience:
            client = self._client or await self._connected()
            self._waiting[patience] = False
            try:
                return await act(client)
            except asyncio.CancelledError:
                if self._waiting[patience]:
                    raise Lost from None
                raise
            finally:
                del self._waiting[patience]

    def lose(self) -> None:
        """The connection is gone: who waits for it is told now, and the next use makes another one."""
        client, self._client = self._client, None
        now = asyncio.get_running_loop().time()
        for patience in self._waiting:
            self._waiting[patience] = True
            patience.reschedule(now)
        if client is not None:
            self._ending = asyncio.ensure_future(self._ended(client))

    async def close(self) -> None:
        """End it; who still waits is told."""
        if self._connecting is not None:
            self._connecting.cancel()
        client, self._client = self._client, None
        if client is not None:
            await self._ended(client)

    async def _connected(self) -> C:
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._take)
        # Who gives up waiting leaves the others their attempt.
        return await asyncio.shield(self._connecting)

    def _take(self, attempt: "asyncio.Future[C]") -> None:
        self._connecting = None
        if not attempt.cancelled() and attempt.exception() is None:
            self._client = attempt.result()

    async def _ended(self, client: C) -> None:
        # Ending what is broken may fail or hang in its own ways; there is nobody whom that would help.
        with suppress(Exception):
            async with asyncio.timeout(self._seconds):
                await self._end(client)


class Renewal:
    """What was learnt of a broker once is asked for again when it stands in the way: once for all whom it stops, and not
    again within a minute. ``now`` is in seconds."""

    def __init__(self, ask: Callable[[], Awaitable[None]], now: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._now = now
        self._asked = -math.inf
        self._asking: asyncio.Future[None] | None = None

    @property
    def is_due(self) -> bool:
        """Whether it was not asked just now."""
        return self._now() - self._asked >= _BELIEVED_SECONDS

    async def again(self) -> None:
        """Ask, unless that was done just now; raises what asking raises."""
        if self._asking is None or self._asking.done():
            if not self.is_due:
                return
            self._asked = self._now()
            self._asking = asyncio.ensure_future(self._ask())
        await asyncio.shield(self._asking)


def tls_context(keys: NetworkKeys) -> ssl.SSLContext | None:
    """What TLS is made with, None without TLS; raises Unusable when a file cannot be used."""
    return keys.tls_context() if keys.tls else None


def of_failure(error: BaseException, where: str, seconds: float) -> Retry:
    """The outcome when no connection could be made or it broke; always the destination's own failure."""
    match error:
        case Unusable():
            reason = str(error)
        case Refused():
            reason = f"The hub may not connect to {where}: {error}"
        case Lost():
            reason = f"The connection to {where} broke off before the event was confirmed."
        case TimeoutError():
            reason = f"{where} did not confirm within {seconds:g} seconds."
        case ssl.SSLCertVerificationError():
            reason = f"The certificate of {where} is not accepted: {error.verify_message}."
        case ssl.SSLError():
            reason = f"No TLS connection with {where} can be made: {error.reason}. If it speaks without TLS, set tls to false."
        case OSError(strerror=str(cause)):
            reason = f"No connection to {where} can be made: {cause}."
        case _:
            reason = f"No connection to {where} can be made: {type(error).__name__}."
    return Retry(reason, "destination")


def quieten(*libraries: str) -> None:
    """Keep loggers from telling, at the level DEBUG, of whole messages and with them of what is personal."""
    for library in libraries:
        logging.getLogger(library).setLevel(logging.INFO)


def too_large(size: int, limit: int, whose: str) -> Rejected:
    """The outcome of an event that the broker would not take."""
    return Rejected(f"The event has {size:,} bytes; {whose} takes at most {limit:,}.")


def key_of(message: Message) -> str:
    """By which a broker keeps order: the resource's id, of a test event the destination's."""
    return message.attributes.get("partitionkey") or message.attributes["subject"]


def repetition_id(destination_id: str, message: Message) -> str:
    """By which a broker drops a repetition: destinations that share a place repeat each other's events, but tell their own."""
    return f"{message.delivery_id}_{destination_id}"
