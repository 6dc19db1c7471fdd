"""If-Match and If-None-Match (RFC 9110 §13.1, RFC 7644 §3.14)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scimhub.scim import errors

# RFC 9110 §5.6.1.2: empty elements of a list are passed over.
_TAG = re.compile(r'[\s,]*(?:W/)?"([^"]*)"\s*(?:,[\s,]*|$)')


@dataclass(frozen=True, slots=True)
class Precondition:
    """An If-Match: any version that exists, or one of these (RFC 7644 §3.14)."""

    versions: frozenset[int] | None = None

    def admits(self, version: int) -> bool:
        return self.versions is None or version in self.versions


def parse_if_match(text: str | None, epoch: str) -> Precondition | None:
    """The precondition that a write carries, None without one; raises ScimError for what is no entity tag.

    Weak tags are compared weakly although HTTP asks for the strong comparison here: every example of RFC 7644 sends
    ``If-Match: W/"…"``, which would else never match.
    """
    if text is None:
        return None
    if text.strip() == "*":
        return Precondition()
    return Precondition(frozenset(_versions(text, epoch)))


def none_match(text: str, etag: str) -> bool:
    """Whether If-None-Match forbids the answer's body: one of its tags is the resource's, or it is ``*``."""
    return text.strip() == "*" or _opaque(etag) in set(_opaque_tags(text))


def _versions(text: str, epoch: str) -> Iterator[int]:
    for opaque in _opaque_tags(text):
        prefix, _, number = opaque.partition(".")
        # A tag of another epoch was made before a backup was restored: it names no version of today.
        if prefix == epoch and number.isascii() and number.isdigit():
            yield int(number[:18])


def _opaque_tags(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        match = _TAG.match(text, position)
        if match is None:
            raise errors.invalid_value(f"{text[:80]!r} is not a list of entity tags; send the ETag as it was received.")
        yield match[1]
        position = match.end()


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
