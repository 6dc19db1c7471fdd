"""The record of each exchange, for the administrator who asks what came in (DECISIONS 24).

Writes and errors are always recorded, plain reads are only counted. A query string is never recorded: filters hold
names and addresses of people.
"""

from dataclasses import dataclass, field

from scimhub.directory.records import Grant
from scimhub.exchanges.records import Exchange
from scimhub.scim.notes import Notes
from scimhub.web.exchange import Request
from scimhub.web.scim_routes import Route
from scimhub.web.services import Services

_READS = frozenset(("GET", "HEAD"))
_LONGEST_PATH = 500


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


def record(services: Services, request: Request, draft: Draft, status: int, seconds: float) -> None:
    """Count the request, and record it if it wrote or failed."""
    source = "" if draft.grant is None else f"{draft.grant.directory.name}/{draft.grant.source.name}"
    place = "unknown" if draft.route is None else draft.route.place
    route = f"{place}:{draft.kind}" if draft.kind else place
    services.metrics.count_request(request.method, route, status, source, seconds)
    if draft.notes.rewrites:
        services.metrics.count_rewrites(draft.notes.rewrites)
    is_read = request.method in _READS or place in ("search", "root_search")
    if is_read and status < 400:
        return
    exchange = Exchange(
        id=draft.request_id,
        time=draft.now,
        directory="" if draft.grant is None else draft.grant.directory.name,
        source="" if draft.grant is None else draft.grant.source.name,
        method=request.method,
        path=request.path[:_LONGEST_PATH],
        status=status,
        duration_us=round(seconds * 1_000_000),
        rewrites=tuple(draft.notes.rewrites),
        dropped=tuple(draft.notes.dropped),
        resource_kind=draft.kind,
        resource_id=draft.resource_id,
        change_ids=tuple(draft.change_ids),
        detail=draft.detail,
    )
    if not services.recorder.record(exchange):
        services.metrics.count_dropped_exchanges()
