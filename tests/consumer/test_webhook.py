"""Verifying a webhook, against the independent library of Standard Webhooks."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from scimhub import consumer
from scimhub.consumer import verify

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
BODY = '{"id":"é"}'.encode()
NOW = 1_790_000_000


def signed(secret: str = SECRET, at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(at), "Webhook-Signature": signature}


def test_what_the_library_signs_is_verified():
    verify(signed(), BODY, SECRET, now=NOW)
    verify(list(signed().items()), BODY, [SECRET], now=NOW)


def test_while_a_secret_is_rotated_either_is_enough_on_both_sides():
    verify(signed(OTHER), BODY, [SECRET, OTHER], now=NOW)
    both = signed()
    both["Webhook-Signature"] = f"v1a,AAAA {signed(OTHER)['Webhook-Signature']} {both['Webhook-Signature']}"
    verify(both, BODY, SECRET, now=NOW)


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_within_the_tolerance_it_is_accepted(age: int):
    verify(signed(), BODY, SECRET, now=NOW + age)


@pytest.mark.parametrize(
    "headers, body, now, reason",
    [
        ({**signed(), "Webhook-Id": ""}, BODY, NOW, "MissingHeader"),
        ({name: value for name, value in signed().items() if "Sig" not in name}, BODY, NOW, "MissingHeader"),
        ({**signed(), "Webhook-Timestamp": "1e9"}, BODY, NOW, "BadTimestamp"),
        ({**signed(), "Webhook-Timestamp": "-5"}, BODY, NOW, "BadTimestamp"),
        (signed(), BODY, NOW + 301, "TooOld"),
        (signed(), BODY, NOW - 301, "TooNew"),
        (signed(), BODY + b" ", NOW, "NoMatchingSignature"),
        (signed(OTHER), BODY, NOW, "NoMatchingSignature"),
        ({**signed(), "Webhook-Id": "msg_2"}, BODY, NOW, "NoMatchingSignature"),
        ({**signed(), "Webhook-Timestamp": str(NOW + 1)}, BODY, NOW, "NoMatchingSignature"),
        ({**signed(), "Webhook-Signature": "v1,é v1"}, BODY, NOW, "NoMatchingSignature"),
        ({**signed(), "Webhook-Signature": "v1a,AAAA"}, BODY, NOW, "UnsupportedSignature"),
    ],
)
def test_what_must_not_be_believed_is_refused_by_reason(headers: dict[str, str], body: bytes, now: float, reason: str):
    with pytest.raises(consumer.Unverified) as caught:
        verify(headers, body, SECRET, now=now)
    assert type(caught.value).__name__ == reason


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???", SECRET.removeprefix("whsec_"), "whpk_AAAA"])
def test_a_secret_that_is_none_is_the_receivers_mistake_and_not_shown(secret: str):
    with pytest.raises(consumer.BadSecret) as caught:
        verify(signed(), BODY, [SECRET, secret], now=NOW)
    assert len(secret) < 10 or secret not in str(caught.value)
    with pytest.raises(consumer.BadSecret):
        verify(signed(), BODY, [], now=NOW)
