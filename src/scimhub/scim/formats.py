"""What RFC 7643 says about the text of single attributes beyond their type, for sources that want it kept to the letter.

Real identity providers send country names and display names of time zones; the strict dialect alone asks here.
"""

import base64
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from scimhub.scim.catalog import USER_URN

# Says what is wrong with the text, "" when nothing is.
Format = Callable[[str], str]

_COUNTRY = re.compile(r"[A-Za-z]{2}")
# Names of the IANA time zone database by their shape: reading the database itself would be I/O.
_TIMEZONE = re.compile(
    r"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe|Indian|Mexico|Pacific|US)"
    r"(?:/[A-Za-z0-9_+-]+){1,2}"
    r"|[A-Z]{3}|[A-Z]{3}[0-9][A-Z]{3}|GMT[+-]?0|Cuba|Egypt|Eire|Factory|GB-Eire|Greenwich|Hongkong|Iceland|Iran|Israel|Jamaica"
    r"|Japan|Kwajalein|Libya|NZ|NZ-CHAT|GB|Navajo|Poland|Portugal|Singapore|Turkey|Universal|W-SU|Zulu"
)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


def _country(text: str) -> str:
    return "" if _COUNTRY.fullmatch(text) else "must be two letters as in ISO 3166-1"


def _timezone(text: str) -> str:
    return "" if _TIMEZONE.fullmatch(text) else "must be a name of the IANA time zone database such as Europe/Oslo"


def _locale(text: str) -> str:
    return "" if _LOCALE.fullmatch(text) else "must be a language tag such as en-US"


def _certificate(text: str) -> str:
    """RFC 7643 §4.1.2: one DER certificate, so the outer length of the DER value is that of the whole."""
    der = base64.b64decode(text + "=" * (-len(text) % 4))
    # X.690 §8.1: a sequence, then one byte of length, or the number of bytes that write the length.
    if len(der) < 2 or der[0] != 0x30:
        return "must be one X.509 certificate, DER in base64"
    digits = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + digits], "big") if digits else der[1]
    return "" if len(der) == 2 + digits + length else "must be exactly one X.509 certificate, DER in base64"


_FORMATS: Mapping[tuple[str, str], Format] = MappingProxyType(
    {
        (USER_URN, "addresses.country"): _country,
        (USER_URN, "timezone"): _timezone,
        (USER_URN, "locale"): _locale,
        (USER_URN, "x509Certificates.value"): _certificate,
    }
)


def find(schema: str, path: str) -> Format | None:
    """What the RFC asks of that attribute's text beyond its type, or None."""
    return _FORMATS.get((schema, path))
