"""The hub's own certificate: whether it can be served with, until when it holds, and what becomes of one that is renewed."""

import logging
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from scimhub import clock

_logger = logging.getLogger(__name__)
# ASN.1 UTCTime and GeneralizedTime; the first two of a certificate are its validity (RFC 5280 §4.1.2.5).
_TIMES = re.compile(rb"\x17\x0d(\d{12}Z)|\x18\x0f(\d{14}Z)")


def flaw(certificate: Path, key: Path) -> str | None:
    """Why nothing can be served with the two files, as a sentence that says what would be right; None when it can."""

    def refuse() -> str:
        # Without it OpenSSL would ask on the terminal, and wait.
        raise ValueError("the key is encrypted; give one without a passphrase")

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, refuse)
    except (OSError, ValueError) as error:
        reason = _reason(error)
        return f"{certificate} and {key} cannot be served with: {reason} (SCIMHUB_TLS_CERTIFICATE, SCIMHUB_TLS_KEY)."
    return None


class Renewal:
    """Has a server go over to the files when they are others than those that it serves with.

    Connections that are open keep what they have; those that come then get the new certificate.
    """

    def __init__(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        self._context = context
        self._certificate = certificate
        self._key = key
        self._served = self._refused = self._stamps()

    def look(self) -> None:
        """Take the files if they changed; those that cannot be served with are told once, and the former ones go on."""
        found = self._stamps()
        if found in (self._served, self._refused):
            return
        # Both are read anew by whoever loads them: two that are written one after the other may not belong together yet.
        if reason := flaw(self._certificate, self._key):
            self._refused = found
            _logger.error("the renewed certificate is not served with; the former one goes on", extra={"reason": reason})
            return
        if found != self._stamps():
            return
        try:
            self._context.load_cert_chain(self._certificate, self._key)
        except OSError:
            return  # they changed just now; the next look takes them
        self._served = self._refused = found
        end = expiry(self._certificate)
        _logger.info("certificate renewed", extra={"expires": None if end is None else clock.text(end)})

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(map(_stamp, (self._certificate, self._key)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from the one that was there before; of what a link leads to, which is how ACME clients renew."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, ssl.SSLError):
        return getattr(error, "strerror", None) or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate; give the pair that belongs together"
    return f"one of them is no PEM file, or not whole ({error.reason or error.strerror})"


def expiry(certificate: Path) -> datetime | None:
    """The end of the first certificate's validity. The standard library verifies certificates, but does not show them."""
    text = certificate.read_text("ascii", "replace")
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    times = _TIMES.findall(ssl.PEM_cert_to_DER_cert(found[0])) if found else []
    if len(times) < 2:
        return None
    short, long = (part.decode() for part in times[1])
    return datetime.strptime(long or f"20{short}", "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
