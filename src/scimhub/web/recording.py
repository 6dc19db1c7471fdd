"""The record of each exchange, for the administrator who asks what came in (DECISIONS 24).

Writes and errors are always recorded, plain reads are only counted. What is handed over is not redacted yet: that is done by
the recorder's own thread, see ``exchanges.redaction``.
"""

from dataclasses import dataclass, field

from scimhub.directory.records import Grant
from scimhub.exchanges.records import Received
from scimhub.scim.catalog import Catalog
from scimhub.scim.notes import Notes
from scimhub.web.exchange import Answer, Request
from scimhub.web.scim_routes import Route
from scimhub.web.services import Services

_READS = frozenset(("GET", "HEAD"))


@dataclass(slots=True)
class Draft:
    """What is learnt of a request while it is answered."""

    request_id: str
    now: str
    notes: Notes = field(default_factory=Notes)
    route: Route | None = None
    grant: Grant | None = None
    kind: str = ""
    resource_id: str = ""
    change_ids: list[str] = field(default_factory=list)
    detail: str = ""
    # The request's body, once it has been read.
    body: bytes = b""
    catalog: Catalog | None = None


def record(services: Services, request: Request, draft: Draft, answer: Answer, seconds: float) -> None:
    """Count the request, and record it if it wrote or failed."""
    source = "" if draft.grant is None else f"{draft.grant.directory.name}/{draft.grant.source.name}"
    place = "unknown" if draft.route is None else draft.route.place
    route = f"{place}:{draft.kind}" if draft.kind else place
    status = answer.status
    services.metrics.count_request(request.method, route, status, source, seconds)
    if draft.notes.rewrites:
        services.metrics.count_rewrites(draft.notes.rewrites)
    is_read = request.method in _READS or place in ("search", "root_search")
    if (is_read and status < 400) or not services.recorder.is_on:
        return
    received = Received(
        id=draft.request_id,
        time=draft.now,
        directory="" if draft.grant is None else draft.grant.directory.name,
        source="" if draft.grant is None else draft.grant.source.name,
        method=request.method,
        path=request.path,
        status=status,
        duration_us=round(seconds * 1_000_000),
        rewrites=draft.notes.rewrites,
        dropped=draft.notes.dropped,
        resource_kind=draft.kind,
        resource_id=draft.resource_id,
        change_ids=draft.change_ids,
        detail=draft.detail,
        query=request.query_string,
        headers=request.headers,
        request=draft.body,
        request_size=len(draft.body),
        answer=answer.body,
        answer_size=len(answer.body),
        catalog=draft.catalog,
    )
    if not services.recorder.record(received):
        services.metrics.count_dropped_exchanges()
