"""The attribute-path grammar: what a client may write to name an attribute (RFC 7644 §3.10, figure 7).

``parse_attribute`` reads names such as ``name.givenName`` or ``urn:…:User:manager.value``. Value paths, that is those
with a filter in brackets, are read by ``filters``, which knows what stands between the brackets.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from scimhub.scim import errors

# The URN holds colons and dots of its own: the attribute is what follows the *last* colon (RFC 7644 §3.10).
_PATH = re.compile(
    r"(?:(?P<urn>urn:[^\s\[\]\"()]+):)?(?P<name>[A-Za-z][A-Za-z0-9_$-]*|\$ref)(?:\.(?P<sub>[A-Za-z][A-Za-z0-9_$-]*|\$ref))?",
    re.IGNORECASE,
)
# A URN alone may end in what is no attribute name, such as `…:extension:acme:2.0`.
_URN_ONLY = re.compile(r"urn:[^\s\[\]\"()]+", re.IGNORECASE)
MAX_LENGTH = 1000


class AttributePath(NamedTuple):
    """A path as written. Only a catalog can tell whether ``text`` is an attribute or the URN of a whole schema."""

    text: str
    urn: str | None
    name: str
    sub: str | None = None


@lru_cache(maxsize=4096)
def parse_attribute(text: str) -> AttributePath:
    """The path that the text writes; raises ScimError invalidPath."""
    if len(text) > MAX_LENGTH:
        raise errors.invalid_path(f"The attribute path has {len(text)} characters; at most {MAX_LENGTH} are read.")
    match = _PATH.fullmatch(text)
    if match is not None:
        return AttributePath(text, match["urn"], match["name"], match["sub"])
    if _URN_ONLY.fullmatch(text) and not text.endswith((":", ".")):
        return AttributePath(text, text, "")
    raise errors.invalid_path(f"{text[:100]!r} is not an attribute path; write for example name.givenName.")
