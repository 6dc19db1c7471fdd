"""The record of each exchange, for the administrator who asks what came in (DECISIONS 24).

Writes and errors are always recorded, plain reads are only counted. What is handed over is not redacted yet: that is done by
the recorder's own thread, see ``exchanges.redaction``.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from scimhub.directory import representation
from scimhub.directory.records import Grant, StoredResource
from scimhub.exchanges import redaction, secrets
from scimhub.exchanges.records import Received
from scimhub.scim.catalog import Catalog
from scimhub.scim.notes import Notes
from scimhub.web.exchange import Answer, Request
from scimhub.web.scim_routes import Place, Route
from scimhub.web.services import Services

_READS = frozenset(("GET", "HEAD"))
# Longer requests are not looked through on the event loop.
_LONGEST_LOOKED_THROUGH = 16 * 1024
# Of an answer without its document; a user in a thousand groups shows them all.
_LONGEST_FRAME = 4 * 1024


@dataclass(slots=True)
class Draft:
    """What is learnt of a request while it is answered."""

    request_id: str
    now: str
    notes: Notes = field(default_factory=Notes)
    route: Route | None = None
    grant: Grant | None = None
    # The source as metrics name it.
    source: str = ""
    kind: str = ""
    resource_id: str = ""
    change_ids: list[str] = field(default_factory=list)
    detail: str = ""
    # The request's body, once it has been read.
    body: bytes = b""
    catalog: Catalog | None = None
    # The resource that the answer shows, when it shows all of what a change has just been given.
    shown: StoredResource | None = None


def record(services: Services, request: Request, draft: Draft, answer: Answer, seconds: float) -> None:
    """Count the request, and record it if it wrote or failed."""
    place = "unknown" if draft.route is None else draft.route.place
    status = answer.status
    services.metrics.count_request(request.method, _route_name(place, draft.kind), status, draft.source, seconds)
    if draft.notes.rewrites:
        services.metrics.count_rewrites(draft.notes.rewrites)
    is_read = request.method in _READS or place in ("search", "root_search")
    if (is_read and status < 400) or not services.recorder.is_on:
        return
    kept, lacks_document = _kept_of(request.method, draft, answer.body)
    # In the order of the fields: by name it would take three times as long.
    received = Received(
        draft.request_id,
        draft.now,
        "" if draft.grant is None else draft.grant.directory.name,
        "" if draft.grant is None else draft.grant.source.name,
        request.method,
        request.path,
        status,
        round(seconds * 1_000_000),
        # What waits for the recorder is taken from the allocator, cold; so no lists wait, least of all empty ones.
        draft.notes.rewrites or (),
        draft.notes.dropped or (),
        draft.kind,
        draft.resource_id,
        tuple(draft.change_ids),
        draft.detail,
        request.query_string,
        redaction.show_headers(request.headers),
        draft.body,
        len(draft.body),
        kept,
        len(answer.body),
        lacks_document,
        draft.catalog,
    )
    # What has to be dropped, the recorder counts.
    services.recorder.record(received)


@lru_cache(maxsize=1024)
def _route_name(place: Place, kind: str) -> str:
    return f"{place}:{kind}" if kind else place


def _kept_of(method: str, draft: Draft, answer: bytes) -> tuple[bytes, bool]:
    """What of the answer is handed over, and whether it lacks the document.

    The change log has the document already: to keep it twice costs a write more than all else of recording. What is struck
    out of a request is struck out of its answer, so that the answer must be whole where a secret may be.
    """
    if draft.shown is None or len(draft.body) > _LONGEST_LOOKED_THROUGH:
        return answer, False
    names = secrets.names_of(draft.catalog)
    # A PATCH names attributes in texts as well.
    is_checked = method != "PATCH" and draft.notes.tell_nothing
    if names.may_stand_in_checked(draft.body) if is_checked else names.may_stand_in(draft.body):
        return answer, False
    frame = representation.without_document(answer, draft.shown)
    return (frame, True) if len(frame) <= _LONGEST_FRAME else (answer, False)
