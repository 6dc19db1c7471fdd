"""The kind ``webhook``: each event is a POST, signed after Standard Webhooks 1.0.0, with a CloudEvent in it.

A receiver may hang, dribble, redirect, or answer without end. None of that reaches further than the one attempt: it has a
time limit, and at most ``EXCERPT_LIMIT`` bytes of an answer are read.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final

import aiohttp
from multidict import CIMultiDict, istr

from scimhub import clock
from scimhub.destinations import cloudevents_http, redaction, webhook_configuration, webhook_outcomes, webhook_signing
from scimhub.destinations.egress import Policy
from scimhub.destinations.redaction import EXCERPT_LIMIT
from scimhub.destinations.webhook_configuration import Configuration
from scimhub.destinations.webhook_connection import Connector, StaleConnection
from scimhub.destinations.webhook_signing import Signer
from scimhub.distribution.delivery import Delivered, Destination, Message, Outcome, Purpose, Retry, Secret

# Once the status is known the rest of an answer is worth no more than this, in seconds.
_BODY_PATIENCE: Final = 1.0
# A stale connection shows itself at once; what breaks off later may have been received.
_STALE_WITHIN: Final = 1.0
_ID: Final = istr("webhook-id")
_TIMESTAMP: Final = istr("webhook-timestamp")
_SIGNATURE: Final = istr("webhook-signature")
_CONTENT_TYPE: Final = istr("Content-Type")


class Webhook:
    """The kind. ``policy`` says which addresses may be reached; ``now_seconds`` is the Unix time."""

    name = "webhook"
    joins_runs = True

    def __init__(self, policy: Policy, now_seconds: Callable[[], float]) -> None:
        self._policy = policy
        self._now_seconds = now_seconds

    def check(self, configuration: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration with defaults filled in; raises Invalid with every mistake."""
        return webhook_configuration.check(configuration, self._policy)

    def purpose(self, configuration: Mapping[str, object]) -> Purpose:
        """Signing, in the configured way."""
        return "ed25519" if configuration.get("signature") == "ed25519" else "hmac"

    def make_secret(self, purpose: Purpose, random: Callable[[int], bytes]) -> bytes:
        """A new secret, of the same form for either purpose; ``random`` gives that many random bytes."""
        return webhook_signing.new_value(random)

    def parse_secret(self, text: str) -> tuple[Purpose, bytes]:
        """The secret that somebody brought, ``whsec_…`` or ``whsk_…``; raises Invalid."""
        return webhook_signing.parse(text)

    def show_secret(self, secret: Secret) -> str:
        """What a receiver needs of it: ``whsec_…``, which it must keep to itself, or the public key ``whpk_…``."""
        if secret.purpose == "ed25519":
            return webhook_signing.public_text(secret.value)
        return webhook_signing.text(secret.purpose, secret.value)

    def open(self, destination: Destination, secrets: Sequence[Secret]) -> "WebhookSender":
        """A sender that signs with all of these secrets that are for the configured signature, the newest first."""
        return WebhookSender(webhook_configuration.read(destination.configuration), secrets, self._policy, self._now_seconds)


class WebhookSender:
    """One open webhook. The session is made when the first message comes, within the running loop."""

    def __init__(
        self, configuration: Configuration, secrets: Sequence[Secret], policy: Policy, now_seconds: Callable[[], float]
    ) -> None:
        self._configuration = configuration
        self._policy = policy
        self._now_seconds = now_seconds
        self._signers = [
            (webhook_signing.signer(secret.purpose, secret.value), _end(secret))
            for secret in secrets
            if secret.purpose == configuration.signature
        ]
        self._host = configuration.url.host or ""
        self._is_structured = configuration.format == "structured"
        self._headers = CIMultiDict({istr(name): value for name, value in configuration.headers.items()})
        self._headers[istr("User-Agent")] = f"scimhub/{version('scimhub')}"
        # A small answer may unfold to a huge one; nothing here needs that.
        self._headers[istr("Accept-Encoding")] = "identity"
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> Outcome:
        """POST the message once; a second time only when the connection turned out to be stale."""
        now = self._now_seconds()
        signers = [signer for signer, end in self._signers if now < end]
        if not signers:
            kind = self._configuration.signature
            return Retry(
                f"There is no {kind} secret that holds, and nothing is sent unsigned; rotate the secret.", "destination"
            )
        body = message.body if self._is_structured else message.data
        headers = self._headers_of(message, body, signers, int(now))
        try:
            return await self._post_again_if_stale(body, headers)
        # RuntimeError: what uvloop raises for some faults of a socket.
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
            return webhook_outcomes.of_failure(error, self._host, self._configuration.timeout)

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        if self._session is not None:
            await self._session.close()

    async def _post_again_if_stale(self, body: bytes, headers: CIMultiDict[str]) -> Outcome:
        started = time.monotonic()
        try:
            return await self._post(body, headers)
        except StaleConnection:
            if time.monotonic() - started > _STALE_WITHIN:
                raise
        return await self._post(body, headers)

    async def _post(self, body: bytes, headers: CIMultiDict[str]) -> Outcome:
        session = self._session
        if session is None:
            session = self._session = self._open_session()
        response = await session.post(self._configuration.url, data=body, headers=headers, allow_redirects=False)
        status = response.status
        is_confirmed = 200 <= status < 300
        # Usually a short answer has come whole, and the connection is free again.
        if is_confirmed and response.content.is_eof():
            return Delivered(status)
        answer = await _read_beginning(response)
        if is_confirmed:
            return Delivered(status)
        retry_after = response.headers.get("Retry-After")
        return webhook_outcomes.of_answer(status, retry_after, redaction.excerpt(answer), self._now_seconds())

    def _open_session(self) -> aiohttp.ClientSession:
        timeout = self._configuration.timeout
        return aiohttp.ClientSession(
            connector=Connector(self._policy, self._configuration.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout, connect=timeout * 2 / 3, sock_read=timeout, ceil_threshold=60),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=EXCERPT_LIMIT,
            skip_auto_headers=("Accept",),
        )

    def _headers_of(self, message: Message, body: bytes, signers: Sequence[Signer], timestamp: int) -> CIMultiDict[str]:
        headers = self._headers.copy()
        headers[_ID] = message.delivery_id
        headers[_TIMESTAMP] = str(timestamp)
        headers[_SIGNATURE] = webhook_signing.sign(signers, message.delivery_id, timestamp, body)
        if self._is_structured:
            headers[_CONTENT_TYPE] = cloudevents_http.STRUCTURED
        else:
            headers.update(cloudevents_http.binary_headers(message.attributes))
        return headers


async def _read_beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of the answer's body; the connection is kept only if that was all of it."""
    beginning = b""
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(_BODY_PATIENCE):
            while (missing := EXCERPT_LIMIT - len(beginning)) and (some := await response.content.read(missing)):
                beginning += some
    if not response.content.is_eof():
        response.close()
    return beginning


def _end(secret: Secret) -> float:
    return float("inf") if secret.expires is None else clock.parse(secret.expires).timestamp()
