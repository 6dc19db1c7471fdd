"""A bulk request: its operations, the order to run them in, and the results (RFC 7644 §3.7).

A fault of the envelope is raised; a fault of one operation is a value, because the others still run. Operations may refer
to resources that other operations of the request create (``bulkId:x``); ``bulk_references`` finds and replaces these.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import unquote

from scimhub.scim import dialects, errors
from scimhub.scim.dialects import Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes

REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
PREFIX = "bulkId:"

Method = Literal["POST", "PUT", "PATCH", "DELETE"]

_OF_A_MESSAGE = frozenset(("schemas", "Operations", "failOnErrors"))
_OF_AN_OPERATION = frozenset(("method", "bulkId", "path", "version", "data"))
# Spec B-006: these are no resources that an operation could write.
_RESERVED = frozenset({"bulk", "me", ".search", "schemas", "resourcetypes", "serviceproviderconfig", "serviceproviderconfigs"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the request. With a ``fault`` it is answered and not run; its other parts are what could be read.

    ``endpoint`` is with its slash, such as ``/Users``. ``resource_id`` is what follows it, None for a POST; when it begins
    with ``bulkId:``, it names what another operation creates.
    """

    index: int
    method: str
    bulk_id: str | None
    endpoint: str
    resource_id: str | None
    version: str | None
    data: object
    fault: ScimError | None = None


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """The operations in the order of the request, and after how many errors to stop, None for never."""

    operations: tuple[Operation, ...]
    fail_on_errors: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an operation. ``response`` is shown only when the status is not 2xx (RFC 7644 §3.7.3)."""

    operation: Operation
    status: int
    location: str | None = None
    version: str | None = None
    response: object = None


def parse_bulk(body: object, max_operations: int, dialect: Dialect, notes: Notes, base_url: str) -> BulkRequest:
    """The operations of the message; raises ScimError for the envelope, 413 when there are too many operations."""
    message = dialects.message_fields(body, _OF_A_MESSAGE, "The bulk request", dialect, notes)
    dialects.check_message_schema(message.get("schemas"), REQUEST_URN, dialect, notes)
    entries = message.get("Operations")
    if not isinstance(entries, list):
        raise errors.invalid_syntax("A bulk request must have Operations, a list of operations.")
    if len(entries) > max_operations:
        # RFC 7644 §3.7.4: the answer names the limit.
        raise ScimError(413, None, f"The bulk request has {len(entries)} operations; maxOperations is {max_operations}.")
    limit = message.get("failOnErrors")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise errors.invalid_syntax("failOnErrors must be a whole number of at least 1, or be left out.")
    seen: set[str] = set()
    operations = [_operation(index, entry, seen, dialect, notes, base_url) for index, entry in enumerate(entries)]
    return BulkRequest(tuple(operations), limit)


def render_results(results: Iterable[Result]) -> dict[str, object]:
    """The answer to a bulk request, whose HTTP status is 200 whatever became of its operations."""
    ordered = sorted(results, key=lambda result: result.operation.index)
    return {"schemas": [RESPONSE_URN], "Operations": [_render(result) for result in ordered]}


def _render(result: Result) -> dict[str, object]:
    # Spec B-010: the status is a string, as in the RFC's text for a single value.
    shown: dict[str, object] = {"method": result.operation.method}
    if result.operation.bulk_id is not None:
        shown["bulkId"] = result.operation.bulk_id
    if result.version is not None:
        shown["version"] = result.version
    if result.location is not None:
        shown["location"] = result.location
    shown["status"] = str(result.status)
    if not 200 <= result.status < 300 and result.response is not None:
        shown["response"] = result.response
    return shown


# --------------------------------------------------------------------------- one operation


def _operation(index: int, entry: object, seen: set[str], dialect: Dialect, notes: Notes, base_url: str) -> Operation:
    try:
        fields = dialects.message_fields(entry, _OF_AN_OPERATION, "The bulk operation", dialect, notes)
    except ScimError as error:
        return Operation(index, "", None, "", None, None, None, error)
    bulk_id, version, path = fields.get("bulkId"), fields.get("version"), fields.get("path")
    method = fields.get("method")
    endpoint, resource_id = _parts(path, base_url) if isinstance(path, str) else ("", None)
    fault = _fault(method, bulk_id, version, endpoint, resource_id, fields)
    if isinstance(bulk_id, str) and fault is None:
        if bulk_id in seen:
            fault = errors.invalid_syntax(f"The bulkId {bulk_id[:100]} stands twice in the request; it must be unique.")
        seen.add(bulk_id)
    return Operation(
        index,
        method[:20] if isinstance(method, str) else "",
        bulk_id if isinstance(bulk_id, str) else None,
        endpoint,
        resource_id,
        version if isinstance(version, str) else None,
        fields.get("data"),
        fault,
    )


def _parts(path: str, base_url: str) -> tuple[str, str | None]:
    """Endpoint and id of an operation's path; the endpoint is empty when the path is none."""
    relative = path.removeprefix(base_url) if base_url and path.startswith(f"{base_url}/") else path
    # A slash at the end is passed over here as it is in the URL of a single request.
    segments = relative.removeprefix("/").removesuffix("/").split("/")
    if not all(segments) or len(segments) > 2 or any(sign in relative for sign in "?#"):
        return "", None
    return f"/{segments[0]}", unquote(segments[1]) if len(segments) == 2 else None


def _fault(
    method: object, bulk_id: object, version: object, endpoint: str, resource_id: str | None, fields: Mapping[str, object]
) -> ScimError | None:
    if method not in get_args(Method):
        return errors.invalid_syntax("The operation's method must be POST, PUT, PATCH or DELETE.")
    if bulk_id is not None and (not isinstance(bulk_id, str) or not bulk_id):
        return errors.invalid_syntax("The operation's bulkId must be a string that is not empty.")
    if version is not None and not isinstance(version, str):
        return errors.invalid_syntax("The operation's version must be a string, the ETag of the resource.")
    names = {endpoint.removeprefix("/").lower(), (resource_id or "").lower()}
    if not endpoint or names & _RESERVED:
        return errors.invalid_syntax("The operation's path must be that of a resource, such as /Users or /Users/2819c223.")
    if method == "POST" and bulk_id is None:
        return errors.invalid_syntax("A POST in a bulk request needs a bulkId, by which its result is known.")
    if (method == "POST") != (resource_id is None):
        return errors.invalid_syntax(f"The path of a {method} must be {'an endpoint' if method == 'POST' else 'a resource'}.")
    if method != "DELETE" and not isinstance(fields.get("data"), dict):
        return errors.invalid_syntax(f"A {method} in a bulk request needs data, the body of the single request.")
    return None
