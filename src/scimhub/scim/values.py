"""One simple value by its type: is it right, and what is its normal form? (RFC 7643 §2.3)

Values are kept and returned as they were sent. Whatever compares them (filters, sorting, uniqueness, indexes) compares
normal forms, which are made here and nowhere else, so that matcher and database cannot disagree.
"""

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

from scimhub.scim import errors
from scimhub.scim.schema import Attribute, Type

Normal = str | int | float | bool

# What a database's integer holds; a larger number would come back as another one.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

# U+0000 ends a text in too many places to be let in, and a lone surrogate has no UTF-8.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
# xsd:dateTime needs date and time both (RFC 7643 §2.3.5); the zone may be missing there, and then we read UTC.
_DATE_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(0\d|1[0-4]):([0-5]\d))?", re.ASCII)
# RFC 4648 §4; missing padding is accepted (RFC 7643 §2.3.6 asks for the alphabet, not for the padding).
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?")
_NANOSECONDS = 9


def fold(text: str) -> str:
    """The text by which ``caseExact=false`` strings are compared: NFC(lower(width-mapped(text))).

    It never rejects. Change it only together with the store's ``fold_version``: folded texts are stored.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text.translate(_widths()).lower())


def is_usable(text: str) -> bool:
    """Whether the text can be stored: no U+0000 and no lone surrogate."""
    return "\0" not in text if text.isascii() else _UNUSABLE.search(text) is None


def instant(text: str) -> str | None:
    """The xsd:dateTime as ``YYYY-MM-DDTHH:MM:SS.fffffffffZ`` in UTC, None when it is none.

    All such texts have the same width, so that their order as texts is their order in time.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
    # xsd:dateTime writes the end of a day also as 24:00:00.
    is_midnight = hour == 24 and minute == 0 and second == 0 and not (fraction or "").strip("0")
    zone = timezone(timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == "-" else 1)) if sign else UTC
    try:
        moment = datetime(year, month, day, 0 if is_midnight else hour, minute, second, tzinfo=zone)
        moment = (moment + timedelta(days=1) if is_midnight else moment).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{(fraction or '')[:_NANOSECONDS].ljust(_NANOSECONDS, '0')}Z"


def check(attribute: Attribute, value: object, where: str) -> None:
    """Raise ScimError invalidValue unless the JSON value is right for the attribute's type.

    ``value`` is one value: an element, not the list, of a multi-valued attribute. ``where`` is its path for the detail.
    """
    wrong = _CHECKS[attribute.type](value)
    if wrong:
        raise errors.invalid_value(f"The value of {where} {wrong}.")


def normal(attribute: Attribute, value: object) -> Normal:
    """The normal form of one value that ``check`` let pass."""
    if isinstance(value, str):
        if attribute.type == "dateTime":
            return instant(value) or value
        return value if attribute.compares_exactly or attribute.type != "string" else fold(value)
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        # Only a decimal can be larger, and JSON gives no more digits of it than a double has.
        return value if MIN_INTEGER <= value <= MAX_INTEGER else float(value)
    raise TypeError(f"{attribute.name} has no simple value: {type(value).__name__}")


def operand(attribute: Attribute, value: object, where: str) -> Normal:
    """The normal form of a filter's literal; raises ScimError invalidFilter when the types differ (RFC 7644 §3.12)."""
    # Any text may be sought in a binary attribute: it is equal to none that is there.
    expected = "string" if attribute.type == "binary" else attribute.type
    wrong = _CHECKS[expected](value)
    if wrong:
        raise errors.invalid_filter(f"The value to compare {where} with {wrong}.")
    return normal(attribute, value)


# --------------------------------------------------------------------------- what is wrong with a value, or ""


def _check_text(value: object) -> str:
    if not isinstance(value, str):
        return f"is {_name(value)}; it must be a string"
    return "" if is_usable(value) else "holds U+0000 or half of a surrogate pair; it must be plain Unicode text"


def _check_boolean(value: object) -> str:
    return "" if isinstance(value, bool) else f"is {_name(value)}; it must be true or false"


def _check_integer(value: object) -> str:
    # RFC 7643 §2.3.4: no fraction and no exponent, so 1.0 and 1e3 are none either.
    if isinstance(value, bool) or not isinstance(value, int):
        return f"is {_name(value)}; it must be a whole number without fraction or exponent"
    return "" if MIN_INTEGER <= value <= MAX_INTEGER else "has more than 64 bits; it must be a smaller number"


def _check_decimal(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is {_name(value)}; it must be a number"
    try:
        is_finite = math.isfinite(value)
    except OverflowError:
        is_finite = False
    return "" if is_finite else "is too large; it must be a number that 64 bits of floating point can hold"


def _check_date_time(value: object) -> str:
    if isinstance(value, str) and instant(value) is not None:
        return ""
    return f"is {_name(value)}; it must be a date with a time such as 2026-01-31T08:00:00Z"


def _check_binary(value: object) -> str:
    if isinstance(value, str) and _BASE64.fullmatch(value):
        return ""
    return f"is {_name(value)}; it must be base64 text"


def _check_complex(value: object) -> str:
    return f"is {_name(value)}; a complex attribute has no simple value"


_CHECKS: dict[Type, Callable[[object], str]] = {
    "string": _check_text,
    # RFC 7643 §2.3.7 allows relative references, which leaves hardly a text that is none; photos with a space in their
    # address are common, and refusing a person for one would help nobody.
    "reference": _check_text,
    "boolean": _check_boolean,
    "integer": _check_integer,
    "decimal": _check_decimal,
    "dateTime": _check_date_time,
    "binary": _check_binary,
    "complex": _check_complex,
}


def _name(value: object) -> str:
    """What to call the value in a detail; long texts are cut, and the contents of lists and objects left out."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value[:40]!r}" + ("…" if len(value) > 40 else "")
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, int):
        return f"the number {value}" if MIN_INTEGER <= value <= MAX_INTEGER else "a number of more than 64 bits"
    return "a list" if isinstance(value, list) else "an object"


@cache
def _widths() -> dict[int, str]:
    """Full-width and half-width forms to the ordinary character (RFC 8265 §3.3, width-mapping rule).

    Unicode has such decompositions in these two places only; a test counts them.
    """
    return {
        code: "".join(chr(int(part, 16)) for part in decomposition.split()[1:])
        for code in (0x3000, *range(0xFF00, 0xFFF0))
        if (decomposition := unicodedata.decomposition(chr(code))).startswith(("<wide>", "<narrow>"))
    }
