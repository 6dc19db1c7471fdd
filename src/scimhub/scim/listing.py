"""List queries and list responses: what a client asks of a collection, by URL or by ``.search``, and how it is shown.

RFC 7644 §3.4.2 and §3.4.3, RFC 9865 for page cursors. A page cursor is a signed note to ourselves: where the last page
ended, and of which query, directory and source it was. It gives no rights; whoever shows it is authorised anew.
"""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from scimhub.scim import dialects, errors, paths
from scimhub.scim.catalog import AmbiguousName, Kind, Target
from scimhub.scim.dialects import Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes

LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
SEARCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

# No collection is that long, and sums with it stay within 64 bits.
_LARGEST = 2**53
_INTEGER = re.compile(r"[+-]?[0-9]+")


class ListQuery(NamedTuple):
    """What is asked of a collection, checked as far as it goes without knowing the resource types."""

    filter: str | None = None
    sort_by: str | None = None
    descending: bool = False
    # 1 for the first; what was less is 1 already (RFC 7644 §3.4.2.4).
    start_index: int = 1
    # None leaves it to us; never negative.
    count: int | None = None  # type: ignore[assignment]  # the protocol's word for it, which tuples have for another thing
    # None is paging by index, "" the first page by cursor (RFC 9865 §2).
    cursor: str | None = None
    attributes: tuple[str, ...] | None = None
    excluded: tuple[str, ...] | None = None

    def page_size(self, default: int, maximum: int) -> int:
        """How many resources a page may have; what is too much is cut, not refused."""
        return min(default if self.count is None else self.count, maximum)


@dataclass(frozen=True, slots=True)
class PageEnd:
    """Where the last page ended: its last resource's key and, in a sorted list, that one's sort value."""

    key: int
    value: str | int | float | None = None


# --------------------------------------------------------------------------- reading a query


def parse_parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The decoded URL parameters that SCIM knows, by name; raises ScimError invalidValue for one that stands twice.

    Like the names of attributes they may be in any case: a ``Filter`` that was passed over would get the full list.
    """
    given: dict[str, str] = {}
    for written, value in pairs:
        name = _PARAMETERS_BY_LOWER.get(written.lower())
        if name is None:
            continue
        if name in given:
            raise errors.invalid_value(f"The parameter {name} is given twice; send it once.")
        given[name] = value
    return given


def parse_query(pairs: Sequence[tuple[str, str]]) -> ListQuery:
    """The query that decoded URL parameters ask for; raises ScimError invalidValue or invalidCount.

    Parameters that SCIM does not know are ignored (Entra adds its flags to the base URL).
    """
    if len(pairs) == 1 and pairs[0][0] == "filter":
        # What providers ask before each write.
        return ListQuery(pairs[0][1])
    given: dict[str, object] = dict(parse_parameters(pairs))
    for name in ("startIndex", "count"):
        text = given.get(name)
        if isinstance(text, str):
            given[name] = _integer(text)
    return _query(given)


def parse_search(body: object, dialect: Dialect, notes: Notes) -> ListQuery:
    """The query in the body of a ``.search``; raises ScimError invalidSyntax, invalidValue or invalidCount."""
    if not isinstance(body, dict):
        raise errors.invalid_syntax("The body of a search must be a JSON object.")
    given: dict[str, object] = {}
    schemas: object = None
    for key, value in body.items():
        # RFC 7643 §2.1: names in any case.
        name = "schemas" if key.lower() == "schemas" else _PARAMETERS_BY_LOWER.get(key.lower())
        if name == "schemas":
            schemas = value
        elif name is not None and value is not None:
            if name in given:
                raise errors.invalid_syntax(f"The search has {name} twice; send it once.")
            given[name] = value
    dialects.check_message_schema(schemas, SEARCH_SCHEMA, dialect, notes)
    return _query(given)


_PARAMETERS = ("filter", "sortBy", "sortOrder", "startIndex", "count", "cursor", "attributes", "excludedAttributes")
_PARAMETERS_BY_LOWER = {name.lower(): name for name in _PARAMETERS}


def _query(given: Mapping[str, object]) -> ListQuery:
    cursor = _text(given, "cursor")
    if cursor is not None and "startIndex" in given:
        raise errors.invalid_value("cursor and startIndex are both given; page by one of them (RFC 9865 §2).")
    order = _text(given, "sortOrder")
    if order not in (None, "ascending", "descending"):
        raise errors.invalid_value(f"sortOrder is {order[:40]!r}; it must be ascending or descending.")
    count = _whole_number(given, "count", is_count_by_cursor=cursor is not None)
    start_index = _whole_number(given, "startIndex", is_count_by_cursor=False)
    return ListQuery(
        filter=_text(given, "filter"),
        sort_by=_text(given, "sortBy") or None,
        descending=order == "descending",
        start_index=1 if start_index is None else min(max(start_index, 1), _LARGEST),
        count=None if count is None else min(max(count, 0), _LARGEST),
        cursor=cursor,
        attributes=_list_of_names(given, "attributes"),
        excluded=_list_of_names(given, "excludedAttributes"),
    )


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    raise errors.invalid_value(f"{name} must be a string.")


def _integer(text: str) -> int | str:
    """The number that the text writes, cut to what 64 bits hold; other texts as they are."""
    if not _INTEGER.fullmatch(text):
        return text
    # Python would take its time over thousands of digits.
    return int(text) if len(text) < 20 else (-_LARGEST if text.startswith("-") else _LARGEST)


def _whole_number(given: Mapping[str, object], name: str, *, is_count_by_cursor: bool) -> int | None:
    value = given.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    detail = f"{name} must be a whole number."
    # RFC 9865 §2.1 has a keyword of its own for counts.
    raise errors.invalid_count(detail) if is_count_by_cursor else errors.invalid_value(detail)


def _list_of_names(given: Mapping[str, object], name: str) -> tuple[str, ...] | None:
    value = given.get(name)
    if value is None:
        return None
    # RFC 7644 §3.4.3 shows a list in a body; a comma-separated string is common there too.
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in names):
        raise errors.invalid_value(f"{name} must be a list of attribute names.")
    return tuple(names)


def sort_target(sort_by: str, kind: Kind, *, lenient: bool, unknown: Literal["error", "absent"] = "error") -> Target | None:
    """What to sort resources of the kind by; None when the kind does not have it and ``unknown`` is ``absent``.

    A multi-valued complex attribute stands for its ``value``. Raises ScimError invalidValue, or sensitive for what is
    never returned.
    """
    try:
        target = kind.resolve(paths.parse_attribute(sort_by), short_names=lenient)
    except (AmbiguousName, ScimError) as error:
        raise errors.invalid_value(f"sortBy cannot be understood: {error}") from error
    if target is None:
        if unknown == "absent":
            return None
        raise errors.invalid_value(f"sortBy names {sort_by[:100]}, which is no attribute of {kind.name}.")
    attribute = target.attribute
    if attribute is not None and attribute.is_complex and attribute.multi_valued and target.sub is None:
        target = Target(target.extension, attribute, attribute.find("value"))
    leaf = target.leaf
    if attribute is None or leaf is None or leaf.is_complex:
        # RFC 7644 §3.4.2.3: a complex attribute must be followed by a sub-attribute.
        raise errors.invalid_value(f"sortBy names {sort_by[:100]}, which is complex; name one of its sub-attributes.")
    if any(part.returned == "never" or part.mutability == "writeOnly" for part in (attribute, leaf)):
        raise errors.sensitive(f"{sort_by[:100]} is never returned and cannot be sorted by.")
    return target


# --------------------------------------------------------------------------- page cursors


def encode_cursor(
    secret: bytes, query: ListQuery, end: PageEnd, *, directory: int, source: int, endpoint: str, count: int, expires: float
) -> str:
    """The page cursor for what follows ``end``; letters, digits, ``-``, ``_`` and ``.`` only (RFC 9865 §2).

    ``count`` is the page size in force, ``endpoint`` where the query was sent, ``expires`` seconds on the same clock as
    ``now`` of ``decode_cursor``.
    """
    payload = [directory, source, _fingerprint(query, endpoint), count, end.key, end.value, int(expires)]
    body = _encode(json.dumps(payload, separators=(",", ":")).encode())
    return f"{body}.{_signature(secret, body)}"


def decode_cursor(
    secret: bytes, query: ListQuery, *, directory: int, source: int, endpoint: str, count: int, now: float
) -> PageEnd | None:
    """Where the page that ``query.cursor`` asks for begins: behind this, or with None at the start.

    Raises ScimError invalidCursor, with one text for all reasons so that nothing can be learnt from it (RFC 9865 §5.2),
    expiredCursor, or invalidCount when ``count`` is not that of the first page.
    """
    if not query.cursor:
        return None
    body, _, signature = query.cursor.partition(".")
    if not hmac.compare_digest(_signature(secret, body).encode(), signature.encode("utf-8", "replace")):
        raise _invalid_cursor()
    payload = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    first_count, key, value, expires = payload[3:]
    if payload[:3] != [directory, source, _fingerprint(query, endpoint)]:
        raise _invalid_cursor()
    if now >= expires:
        raise errors.expired_cursor("The cursor has expired; begin the list again without it.")
    if count != first_count:
        raise errors.invalid_count(f"count was {first_count} when this list was begun; it must stay so until its end.")
    return PageEnd(key, value)


def _invalid_cursor() -> ScimError:
    return errors.invalid_cursor("The cursor was not given out for this request; begin the list again without it.")


def _fingerprint(query: ListQuery, endpoint: str) -> str:
    """What must stay the same from page to page (RFC 9865 §2), as a short text."""
    asked = [endpoint, query.filter, query.sort_by, query.descending, query.attributes, query.excluded]
    # Lone surrogates cannot be encoded; escaped they can.
    return _encode(hashlib.sha256(json.dumps(asked).encode()).digest()[:16])


def _signature(secret: bytes, body: str) -> str:
    # Over the text, not over what it decodes to, so that each cursor has exactly one writing.
    return _encode(hmac.digest(secret, b"scimhub page cursor " + body.encode("utf-8", "replace"), "sha256"))


def _encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


# --------------------------------------------------------------------------- showing a list


def render_list(total: int, items: Sequence[bytes], start_index: int | None, next_cursor: str | None) -> bytes:
    """The ListResponse of these resources, each as JSON (RFC 7644 §3.4.2).

    Paging by cursor has no ``start_index``, its last page no ``next_cursor``.
    """
    return list_head(total, len(items), start_index, next_cursor) + b",".join(items) + LIST_END


# What comes behind the last resource of a ListResponse.
LIST_END = b"]}"


def list_head(total: int, count: int, start_index: int | None, next_cursor: str | None) -> bytes:
    """What comes before the first of so many resources of a ListResponse; between them stand commas."""
    head = f'{{"schemas":["{LIST_SCHEMA}"],"totalResults":{total},"itemsPerPage":{count}'
    if start_index is not None:
        head += f',"startIndex":{start_index}'
    if next_cursor is not None:
        # Its characters need no escapes.
        head += f',"nextCursor":"{next_cursor}"'
    return f'{head},"Resources":['.encode()
