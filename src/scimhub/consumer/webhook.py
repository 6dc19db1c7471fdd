"""Is this webhook really from the hub? Standard Webhooks 1.0.0, HMAC-SHA256."""

import binascii
import hashlib
import hmac
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping

# Seconds that the clocks of hub and receiver may differ; the reference libraries have the same.
DEFAULT_TOLERANCE = 300
_PREFIX = "whsec_"
_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Unverified(Exception):
    """The parent of all reasons for which a webhook must not be believed; answer 401 and drop it."""


class MissingHeader(Unverified):
    """One of the three headers is not there."""


class BadTimestamp(Unverified):
    """``webhook-timestamp`` is no whole number of seconds."""


class TooOld(Unverified):
    """It was signed longer ago than the tolerance: a slow clock, or somebody who repeats what he overheard."""


class TooNew(Unverified):
    """It was signed further in the future than the tolerance: one of the two clocks is wrong."""


class NoMatchingSignature(Unverified):
    """No signature was made with any of the secrets: a wrong secret, or another body than the one signed."""


class UnsupportedSignature(Unverified):
    """It bears only signatures of kinds that the standard library cannot check, such as ed25519."""


class BadSecret(ValueError):
    """A secret of this receiver is not of the form ``whsec_<base64>``: a mistake in its own configuration."""


def verify(
    headers: Headers,
    body: bytes,
    secrets: str | Iterable[str],
    tolerance: float = DEFAULT_TOLERANCE,
    now: float | None = None,
) -> None:
    """Returns when one of the secrets signed exactly this body within the tolerance; raises Unverified otherwise.

    ``body`` is the bytes as they arrived, before anything parsed them. ``secrets`` is one or, while a secret is rotated,
    several, each as ``scimhub destination create`` printed it (``whsec_…``). ``tolerance`` and ``now`` are seconds.
    Raises BadSecret for a secret that is none.
    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise BadSecret("There is no secret to verify with; give at least one.")
    given = by_lower_name(headers)
    id, timestamp, signatures = (_header(given, name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))
    _check_time(timestamp, tolerance, time.time() if now is None else now)
    signed = b".".join((id.encode("utf-8", "surrogateescape"), timestamp.encode(), body))
    expected = [hmac.digest(key, signed, hashlib.sha256) for key in keys]
    candidates = [text for version, _, text in (each.partition(",") for each in signatures.split()) if version == "v1"]
    if not candidates:
        raise UnsupportedSignature(
            "The webhook bears no signature of the kind v1 (HMAC-SHA256). The kind v1a is ed25519, which needs a library, "
            "such as cryptography; or give the destination a secret for HMAC."
        )
    # Every pair is compared, each in constant time, so that the time taken tells nothing.
    matches = [hmac.compare_digest(b64encode(ours), text.encode()) for ours in expected for text in candidates]
    if not any(matches):
        raise NoMatchingSignature("No signature fits: the secret is another one, or the body was changed after signing.")


def by_lower_name(headers: Headers) -> dict[str, str]:
    """The headers by lower-case name; of several with one name the last."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {name.lower(): value for name, value in pairs}


def _header(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "").strip()
    if not value:
        raise MissingHeader(f"The header {name} is missing; a signed webhook has it.")
    return value


def _check_time(timestamp: str, tolerance: float, now: float) -> None:
    if not _WHOLE_NUMBER.fullmatch(timestamp):
        raise BadTimestamp(f"webhook-timestamp is {timestamp[:40]!r}; it must be a whole number of seconds.")
    age = now - int(timestamp)
    if age > tolerance:
        raise TooOld(f"The webhook was signed {age:.0f} s ago; more than {tolerance:.0f} s are not accepted.")
    if age < -tolerance:
        raise TooNew(f"The webhook was signed {-age:.0f} s in the future; more than {tolerance:.0f} s are not accepted.")


def _key(secret: str) -> bytes:
    try:
        if not secret.startswith(_PREFIX):
            raise ValueError
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
        if not key:
            raise ValueError
    except (binascii.Error, ValueError):
        # Without the secret itself: this text ends in logs.
        raise BadSecret(f"A secret must be {_PREFIX} and base64 behind it.") from None
    return key
