"""What an answer, or the lack of one, means: pure, each failure with a sentence for the administrator."""

import contextlib
import re
import ssl
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp

from scimhub.destinations.egress import Refused
from scimhub.destinations.http_connection import NotHttp
from scimhub.distribution.delivery import Delivered, Gone, Outcome, Rejected, Retry
from scimhub.distribution.drift import Unreadable

# A receiver may ask for a day's patience, not for more.
_LONGEST_WAIT: Final = 24 * 3600.0
# What a TLS server tells of a client's certificate, or the lack of one, in the words of OpenSSL (RFC 8446 §6.2).
_OF_CERTIFICATE: Final = re.compile(r"ALERT_(?:.*CERTIFICATE.*|UNKNOWN_CA|ACCESS_DENIED)")
# It is overloaded, or what stands in front of it is: nothing else would fare better.
_OVERLOADED: Final = frozenset((429, 502, 503, 504))


class Failure(Exception):
    """What ended an attempt that takes several requests; ``outcome`` says what it means."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What fails inside means that the destination cannot be read."""
    try:
        yield
    except Failure as failure:
        raise Unreadable(getattr(failure.outcome, "reason", "It cannot be read.")) from failure


def of_answer(status: int, retry_after: str | None, excerpt: str, now: float) -> Outcome:
    """The outcome of a whole answer; ``now`` is the Unix time in seconds."""
    if 200 <= status < 300:
        return Delivered(status)
    shown = shown_status(status)
    if status == 410:
        return Gone(f"The receiver answered {shown}: it wants no more events.", status, excerpt)
    if status in (401, 403):
        return Retry(
            f"The receiver answered {shown}; check its credentials and its check of the signature.",
            "destination",
            status=status,
            excerpt=excerpt,
        )
    if status in _OVERLOADED:
        after = parse_retry_after(retry_after, now)
        asked = "" if after is None else f" and asked to wait {after:.0f} s"
        return Retry(f"The receiver answered {shown}{asked}.", "destination", after, status, excerpt)
    if 300 <= status < 400:
        return Retry(
            f"The receiver answered {shown}; redirects are not followed: give the final URL.",
            "destination",
            status=status,
            excerpt=excerpt,
        )
    if status in (408, 425) or status >= 500:
        return Retry(f"The receiver answered {shown}.", "resource", parse_retry_after(retry_after, now), status, excerpt)
    if status < 200:
        return Retry(f"The receiver answered {shown}, which ends no exchange.", "destination", status=status, excerpt=excerpt)
    return Rejected(f"The receiver answered {shown}: it does not accept this event.", status, excerpt)


def check_size(body: bytes | None, limit: int) -> None:
    """Raise Failure when the body has more bytes than the destination is configured to take; 0 is no limit."""
    size = 0 if body is None else len(body)
    if 0 < limit < size:
        raise Failure(Rejected(f"The body has {size:,} bytes; the destination (largest_message) takes at most {limit:,}."))


def parse_retry_after(written: str | None, now: float) -> float | None:
    """The seconds that ``Retry-After`` asks for, at most a day's (RFC 9110 §10.2.3).

    None when it says nothing clear, or asks for nothing: 0, or a moment that has passed.
    """
    text = (written or "").strip()
    if text.isascii() and text.isdigit():
        # int() refuses thousands of digits, float does not.
        return min(float(text), _LONGEST_WAIT) or None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now, 0.0), _LONGEST_WAIT) or None


def of_failure(error: Exception, host: str, timeout: float) -> Outcome:
    """The outcome of an attempt that brought no answer."""
    refused = _refused_certificate(error)
    if refused is not None:
        return Retry(
            f"{host} refuses the hub's certificate, or wants one ({refused}); with the auth mtls "
            "bring one that it knows and that has not ended: scimhub destination rotate.",
            "destination",
        )
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Retry(f"The name {host} has no address: {_cause(error.os_error)}.", "destination")
        case aiohttp.ClientConnectorCertificateError():
            return Retry(f"The certificate of {host} is not accepted: {_cause(error.certificate_error)}.", "destination")
        case aiohttp.ClientConnectorError(os_error=Refused() as refusal):
            return Retry(f"The hub may not connect to {host}: {refusal}", "destination")
        case aiohttp.ClientConnectorSSLError():
            return Retry(f"No TLS connection with {host} can be made: {_cause(error.os_error)}.", "destination")
        case aiohttp.ClientConnectorError():
            return Retry(f"No connection to {host} can be made: {_cause(error.os_error)}.", "destination")
        case aiohttp.ConnectionTimeoutError():
            return Retry(f"{host} took too long to accept a connection.", "destination")
        case TimeoutError():
            return Retry(f"{host} did not answer within {timeout:g} seconds.", "resource")
        case NotHttp():
            return Retry(f"What {host} answered is not HTTP.", "destination")
        case aiohttp.ClientConnectionError() | OSError() | aiohttp.ClientPayloadError():
            return Retry(f"{host} broke the connection off before it had answered.", "resource")
        case _:
            return Retry(f"The event could not be sent to {host}: {type(error).__name__}.", "destination")


def shown_status(status: int) -> str:
    """Such as ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _refused_certificate(error: Exception) -> str | None:
    """What the peer said against our certificate, such as ``tlsv1 alert unknown ca``; with TLS 1.3 that comes as an answer."""
    said = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.__cause__
    if not isinstance(said, ssl.SSLError) or _OF_CERTIFICATE.search(said.reason or "") is None:
        return None
    return said.reason.lower().replace("_", " ")


def _cause(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__
