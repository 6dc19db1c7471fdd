"""Secrets and signatures, against published vectors and independent libraries."""

import base64
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from scimhub.destinations import webhook_signing
from scimhub.directory.errors import Invalid

# The example of Standard Webhooks and the test vectors of its reference server.
ID, TIMESTAMP, BODY = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, b'{"email":"test@example.com","username":"test_user"}'
WHSEC = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
WHPK = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def signature(*written: str) -> str:
    signers = [webhook_signing.signer(*webhook_signing.parse(one)) for one in written]
    return webhook_signing.sign(signers, ID, TIMESTAMP, BODY)


def test_hmac_gives_the_published_signature():
    assert signature(WHSEC) == "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="


def test_ed25519_gives_the_published_signature():
    made = webhook_signing.sign(
        [webhook_signing.signer(*webhook_signing.parse(WHSK))],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_two_secrets_give_two_signatures_the_first_one_first():
    both = signature(WHSEC, WHSK)
    assert both == f"{signature(WHSEC)} {signature(WHSK)}"


def test_the_public_key_belongs_to_the_private_one():
    purpose, value = webhook_signing.parse(WHSK)
    assert purpose == "ed25519"
    assert len(value) == 32
    assert webhook_signing.text(purpose, value) == WHSK
    assert webhook_signing.public_text(value) == WHPK


def test_a_private_key_may_come_without_its_public_one():
    _, value = webhook_signing.parse(WHSK)
    short = "whsk_" + base64.b64encode(value).decode()
    assert webhook_signing.parse(short) == ("ed25519", value)


@pytest.mark.parametrize("purpose", ["hmac", "ed25519"])
def test_a_new_secret_is_random_and_survives_being_written_and_read(purpose):
    asked = []

    def random(length: int) -> bytes:
        asked.append(length)
        return bytes(range(length))

    value = webhook_signing.new_value(random)
    assert asked == [32]
    assert value == bytes(range(32))
    assert webhook_signing.parse(webhook_signing.text(purpose, value)) == (purpose, value)


@pytest.mark.parametrize("length", [24, 64])
def test_a_symmetric_secret_of_the_permitted_lengths_is_taken(length):
    written = webhook_signing.text("hmac", b"x" * length)
    assert webhook_signing.parse(written) == ("hmac", b"x" * length)


@pytest.mark.parametrize(
    "written, said",
    [
        ("", "A secret begins with whsec_ (HMAC-SHA256) or whsk_ (ed25519), followed by base64."),
        ("hwsec_C2FVsBQIhrscChlQIMV", "A secret begins with whsec_ (HMAC-SHA256) or whsk_ (ed25519), followed by base64."),
        (WHPK, "This is a public key, which cannot sign. A secret begins with whsec_"),
        ("whsec_%%%%", "The secret is not base64 after whsec_"),
        ("whsec_é", "The secret is not base64 after whsec_"),
        (WHSEC[:-1], "The secret is not base64 after whsec_"),
        (webhook_signing.text("hmac", b"x" * 23), "The secret has 23 bytes; it must have 24 to 64"),
        (webhook_signing.text("hmac", b"x" * 65), "The secret has 65 bytes; it must have 24 to 64"),
        ("whsk_" + base64.b64encode(b"x" * 31).decode(), "The secret after whsk_ is no ed25519 key"),
        ("whsk_" + base64.b64encode(b"x" * 64).decode(), "The secret after whsk_ is no ed25519 key"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_without_being_shown(written, said):
    with pytest.raises(Invalid) as refused:
        webhook_signing.parse(written)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(said)
    assert not written[8:] or written[8:] not in refused.value.problems[0]


@pytest.mark.parametrize("library", [StandardWebhook, SvixWebhook])
def test_independent_libraries_verify_through_a_rotation(library):
    old, new, other = (webhook_signing.text("hmac", bytes([n]) * 32) for n in range(3))
    now = int(time.time())
    signers = [webhook_signing.signer(*webhook_signing.parse(one)) for one in (new, old)]
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(now),
        "webhook-signature": webhook_signing.sign(signers, ID, now, BODY),
    }
    library(new).verify(BODY, headers)
    library(old).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        library(other).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        library(new).verify(BODY + b" ", headers)


def test_the_public_key_verifies_and_notices_another_body():
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(WHPK.removeprefix("whpk_")))
    made = base64.b64decode(signature(WHSK).removeprefix("v1a,"))
    key.verify(made, f"{ID}.{TIMESTAMP}.".encode() + BODY)
    with pytest.raises(InvalidSignature):
        key.verify(made, f"{ID}.{TIMESTAMP}.".encode() + BODY + b" ")
