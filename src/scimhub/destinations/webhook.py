"""The kind ``webhook``: each event is a POST, signed after Standard Webhooks 1.0.0, with a CloudEvent in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from multidict import CIMultiDict, istr

from scimhub import clock
from scimhub.destinations import (
    cloudevents_http,
    http_client,
    http_outcomes,
    redaction,
    webhook_configuration,
    webhook_signing,
)
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_client import HttpClient
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.webhook_configuration import Configuration
from scimhub.destinations.webhook_signing import Signer
from scimhub.distribution.delivery import Delivered, Destination, Message, Outcome, Purpose, Retry, Secret

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

    def parse_secret(self, text: str, configuration: Mapping[str, object]) -> tuple[Purpose, bytes]:
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
    """One open webhook."""

    def __init__(
        self, configuration: Configuration, secrets: Sequence[Secret], policy: Policy, now_seconds: Callable[[], float]
    ) -> None:
        self._configuration = configuration
        self._now_seconds = now_seconds
        self._client = HttpClient(policy, configuration.concurrency, configuration.timeout)
        self._signers = [
            (webhook_signing.signer(secret.purpose, secret.value), _end(secret))
            for secret in secrets
            if secret.purpose == configuration.signature
        ]
        self._host = configuration.url.host or ""
        self._is_structured = configuration.format == "structured"
        self._headers = CIMultiDict({istr(name): value for name, value in configuration.headers.items()})
        self._headers.update(http_client.own_headers())

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
        try:
            http_outcomes.check_size(body, self._configuration.largest_message)
        except Failure as failure:
            return failure.outcome
        headers = self._headers_of(message, body, signers, int(now))
        try:
            answer = await self._client.ask("POST", self._configuration.url, headers, body)
        except http_client.FAULTS as error:
            return http_outcomes.of_failure(error, self._host, self._configuration.timeout)
        if 200 <= answer.status < 300:
            return Delivered(answer.status)
        retry_after = answer.headers.get("Retry-After")
        excerpt = redaction.excerpt(answer.body, self._configuration.headers.values())
        return http_outcomes.of_answer(answer.status, retry_after, excerpt, self._now_seconds())

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        await self._client.close()

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


def _end(secret: Secret) -> float:
    return float("inf") if secret.expires is None else clock.parse(secret.expires).timestamp()
