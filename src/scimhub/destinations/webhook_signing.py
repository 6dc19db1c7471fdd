"""The signatures of Standard Webhooks 1.0.0, and the secrets that make them.

What is signed is ``{delivery id}.{timestamp}.{body}``, byte for byte as it is sent. A secret is kept as its bytes: for
``hmac`` the key itself, for ``ed25519`` the private key's 32 bytes. Its text is what people copy.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Purpose

# What makes one signature of the bytes given, with its version in front.
Signer = Callable[[bytes], bytes]

_SYMMETRIC: Final = "whsec_"
_PRIVATE: Final = "whsk_"
_PUBLIC: Final = "whpk_"
_NEW_LENGTH: Final = 32
# Standard Webhooks, "Signature scheme": a symmetric secret has 24 to 64 bytes.
_SHORTEST, _LONGEST = 24, 64
_SEED_LENGTH: Final = 32


def new_value(random: Callable[[int], bytes]) -> bytes:
    """A new secret, for either purpose; ``random`` gives as many unpredictable bytes as it is asked for."""
    return random(_NEW_LENGTH)


def text(purpose: Purpose, value: bytes) -> str:
    """The secret as people copy it: ``whsec_…``, or ``whsk_…`` with the public key behind the private one."""
    if purpose == "ed25519":
        return f"{_PRIVATE}{_encoded(value + _public_key(value))}"
    return f"{_SYMMETRIC}{_encoded(value)}"


def public_text(value: bytes) -> str:
    """The public key ``whpk_…`` of an ed25519 secret, by which a receiver verifies."""
    return f"{_PUBLIC}{_encoded(_public_key(value))}"


def parse(written: str) -> tuple[Purpose, bytes]:
    """The secret that ``text`` wrote, or that somebody brought along; raises Invalid, whose text never holds the secret."""
    prefix = next((prefix for prefix in (_SYMMETRIC, _PRIVATE) if written.startswith(prefix)), None)
    if prefix is None:
        public = "This is a public key, which cannot sign. " if written.startswith(_PUBLIC) else ""
        raise Invalid([f"{public}A secret begins with {_SYMMETRIC} (HMAC-SHA256) or {_PRIVATE} (ed25519), followed by base64."])
    try:
        value = base64.b64decode(written[len(prefix) :], validate=True)
    except ValueError as error:  # also for what is not ASCII
        raise Invalid([f"The secret is not base64 after {prefix}; copy it whole, with the = at its end."]) from error
    if prefix == _SYMMETRIC:
        if not _SHORTEST <= len(value) <= _LONGEST:
            raise Invalid(
                [f"The secret has {len(value)} bytes; it must have {_SHORTEST} to {_LONGEST} (Standard Webhooks 1.0)."]
            )
        return "hmac", value
    seed, public_key = value[:_SEED_LENGTH], value[_SEED_LENGTH:]
    if len(seed) != _SEED_LENGTH or public_key not in (b"", _public_key(seed)):
        raise Invalid([f"The secret after {prefix} is no ed25519 key: 32 bytes, with or without its public key behind them."])
    return "ed25519", seed


def signer(purpose: Purpose, value: bytes) -> Signer:
    """What signs with the secret."""
    if purpose == "ed25519":
        sign = Ed25519PrivateKey.from_private_bytes(value).sign
        return lambda content: b"v1a," + binascii.b2a_base64(sign(content), newline=False)
    return lambda content: b"v1," + binascii.b2a_base64(hmac.digest(value, content, "sha256"), newline=False)


def sign(signers: Iterable[Signer], delivery_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one signature for each secret, that of the newest first."""
    content = b"%b.%d.%b" % (delivery_id.encode(), timestamp, body)
    return b" ".join([one(content) for one in signers]).decode()


def _public_key(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()
