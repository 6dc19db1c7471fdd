"""The hub's own certificate: whether it can be served with, and until when it holds."""

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

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
