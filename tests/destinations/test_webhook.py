"""A webhook as its receiver sees it: headers, signatures that independent libraries verify, connections."""

import asyncio
import base64
import time
from importlib.metadata import version

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from scimhub.destinations import kinds, webhook_signing
from scimhub.destinations.egress import Policy
from scimhub.distribution.delivery import Delivered, Rejected, Retry
from tests.destinations.receivers import KEY, message, receiving, secret, sending, status
from tests.servers.running import PATIENCE

OTHER = b"o" * 32
SEED = bytes(range(32))


async def test_a_delivery_has_these_headers_and_no_others():
    async with receiving() as receiver, sending(receiver.url, now=lambda: 1_800_000_000.9, headers={"X-Team": "a b"}) as sender:
        assert await sender.send(message("e1")) == Delivered(204)
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/events")
    assert sorted(request.names) == [
        *("accept-encoding", "content-length", "content-type", "host", "user-agent"),
        *("webhook-id", "webhook-signature", "webhook-timestamp", "x-team"),
    ]
    assert request.headers["user-agent"] == f"scimhub/{version('scimhub')}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["webhook-id"] == "e1"
    assert request.headers["webhook-timestamp"] == "1800000000"
    assert request.headers["x-team"] == "a b"


@pytest.mark.parametrize("library", [StandardWebhook, SvixWebhook])
@pytest.mark.parametrize("format", ["structured", "binary"])
async def test_independent_libraries_verify_what_arrives(library, format):
    async with receiving() as receiver, sending(receiver.url, format=format) as sender:
        await sender.send(message())
    (request,) = receiver.requests
    library(webhook_signing.text("hmac", KEY)).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        library(webhook_signing.text("hmac", OTHER)).verify(request.body, request.headers)


async def test_while_a_secret_is_rotated_both_sign_the_newest_first():
    async with receiving() as receiver, sending(receiver.url, secret(OTHER), secret(KEY)) as sender:
        await sender.send(message())
    (request,) = receiver.requests
    for key in (KEY, OTHER):
        for library in (StandardWebhook, SvixWebhook):
            library(webhook_signing.text("hmac", key)).verify(request.body, request.headers)
    first, second = request.headers["webhook-signature"].split(" ")
    timestamp = int(request.headers["webhook-timestamp"])
    assert first == webhook_signing.sign(
        [webhook_signing.signer("hmac", OTHER)], message().delivery_id, timestamp, request.body
    )
    assert second.startswith("v1,")


async def test_a_secret_signs_until_it_expires_and_not_longer():
    moment = 1_800_000_000.0  # 2027-01-15T08:00:00Z
    secrets = (secret(OTHER), secret(KEY, expires="2027-01-15T08:00:00.500Z"))
    async with receiving() as receiver, sending(receiver.url, *secrets, now=lambda: moment) as sender:
        await sender.send(message())
        moment += 0.5
        await sender.send(message())
    before, after = (request.headers["webhook-signature"] for request in receiver.requests)
    assert len(before.split(" ")) == 2
    assert after == before.split(" ")[0]


async def test_without_a_secret_that_holds_nothing_is_sent():
    expired = secret(expires="2026-11-23T00:00:00.000Z")
    async with receiving() as receiver, sending(receiver.url, expired, secret(SEED, "ed25519")) as sender:
        outcome = await sender.send(message())
    assert outcome == Retry(
        "There is no hmac secret that holds, and nothing is sent unsigned; rotate the secret.", "destination"
    )
    assert receiver.connections == 0


async def test_ed25519_is_verified_with_the_published_key():
    kind = kinds(Policy(), time.time)["webhook"]
    shown = kind.show_secret(secret(SEED, "ed25519"))
    assert shown.startswith("whpk_")
    async with (
        receiving() as receiver,
        sending(receiver.url, secret(KEY), secret(SEED, "ed25519"), signature="ed25519") as sender,
    ):
        await sender.send(message())
    (request,) = receiver.requests
    versioned, signature = request.headers["webhook-signature"].split(",")
    assert versioned == "v1a"
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(shown.removeprefix("whpk_")))
    key.verify(base64.b64decode(signature), signed)


def test_a_kind_makes_parses_and_shows_secrets():
    kind = kinds(Policy(), time.time)["webhook"]
    made = kind.make_secret("hmac", lambda length: b"\x01" * length)
    shown = kind.show_secret(secret(made))
    assert shown.startswith("whsec_AQEB")
    assert kind.parse_secret(shown, {}) == ("hmac", made)


async def test_a_second_try_is_signed_anew_and_says_the_same():
    moment = 1_800_000_000.0
    async with receiving(status("500 Oops")) as receiver, sending(receiver.url, now=lambda: moment) as sender:
        await sender.send(message())
        moment += 60
        await sender.send(message())
    first, second = receiver.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == ("1800000000", "1800000060")
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_a_connection_is_used_again():
    async with receiving(status("200 OK", b'{"ok":true}')) as receiver, sending(receiver.url) as sender:
        for _ in range(5):
            assert await sender.send(message()) == Delivered(200)
    assert (receiver.connections, len(receiver.requests)) == (1, 5)


async def test_there_are_never_more_connections_than_the_configured_concurrency():
    waiting = asyncio.Event()

    async def answering(receiver, request, reader, writer):
        if len(receiver.requests) == 3:
            waiting.set()
        await waiting.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with receiving(answering) as receiver, sending(receiver.url, concurrency=3) as sender:
        outcomes = await asyncio.gather(*(sender.send(message(f"e{n}")) for n in range(12)))
    assert outcomes == [Delivered(204)] * 12
    assert receiver.connections == 3


async def test_no_cookie_is_kept_and_no_proxy_of_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with receiving(status("200 OK", b"", "Set-Cookie: a=b; Path=/")) as receiver, sending(receiver.url) as sender:
        assert await sender.send(message()) == Delivered(200)
        assert await sender.send(message()) == Delivered(200)
    assert "cookie" not in receiver.requests[1].names


async def test_closing_ends_the_connections():
    ended = asyncio.Event()

    async def answering(receiver, request, reader, writer):
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await reader.read() == b""
        ended.set()

    async with receiving(answering) as receiver:
        async with sending(receiver.url) as sender:
            await sender.send(message())
            assert not ended.is_set()
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_sender_that_never_sent_can_be_closed():
    async with sending("http://127.0.0.1:9/"):
        pass


@pytest.mark.parametrize("format", ["structured", "binary"])
async def test_what_is_larger_than_the_receiver_takes_is_refused_without_being_sent(format):
    event = message()
    size = len(event.body if format == "structured" else event.data)
    async with receiving() as receiver:
        async with sending(receiver.url, format=format, largest_message=size) as sender:
            assert await sender.send(event) == Delivered(204)
        async with sending(receiver.url, format=format, largest_message=size - 1) as sender:
            outcome = await sender.send(event)
    assert outcome == Rejected(f"The body has {size:,} bytes; the destination (largest_message) takes at most {size - 1:,}.")
    assert len(receiver.requests) == 1
