"""CloudEvents 1.0 over HTTP: the whole event as the body, or its attributes as headers (HTTP protocol binding §3)."""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

# The content type of an event as a whole.
STRUCTURED: Final = "application/cloudevents+json; charset=utf-8"
# §3.1.3.2: all but blank, quotation mark, percent sign and what is outside U+0021 to U+007E.
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_IS_PLAIN: Final = re.compile(f"[{re.escape(_PLAIN)}]*")


def binary_headers(attributes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The attributes of an event as headers; its data is then the body, without anything round it."""
    for name, value in attributes.items():
        # §3.1.1: it is the Content-Type, and must not appear as ce-datacontenttype.
        if name == "datacontenttype":
            yield "Content-Type", value
        else:
            yield f"ce-{name}", encode(value)


def encode(value: str) -> str:
    """An attribute's value as a header has it (§3.1.3.2)."""
    return value if _IS_PLAIN.fullmatch(value) else quote(value, safe=_PLAIN)
