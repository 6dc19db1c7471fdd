"""The SCIM endpoints: who may ask, where a path leads, and how a fault is told (RFC 7644).

Plain ASGI without a framework: at a few dozen microseconds a request, routing by a framework would be half the cost
(docs/decisions/0004). Every answer is a SCIM message, errors included, and carries a request id.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from time import perf_counter
from typing import TypeVar

from scimhub.directory.errors import StoreUnavailable
from scimhub.scim import errors
from scimhub.scim.catalog import standard_catalog
from scimhub.scim.errors import ScimError
from scimhub.web import auth, scim_visits
from scimhub.web.exchange import (
    Answer,
    Channel,
    ClientGone,
    Receive,
    Request,
    Scope,
    ScopeChannel,
    Send,
    read_request,
    scim_error,
)
from scimhub.web.recording import Draft, record
from scimhub.web.scim_routes import Place, Route, find_route
from scimhub.web.scim_visits import ON_DIRECTORY, ON_KIND, Standing, Visit
from scimhub.web.services import Services
from scimhub.web.streams import Client

_logger = logging.getLogger(__name__)
# Seconds for which a client may leave what was sent unread.
_PATIENCE = 60.0
# What most clients accept, which need not be looked at more closely.
_USUAL = frozenset((b"application/scim+json", b"application/json", b"*/*"))
_NO_WEIGHT = re.compile(rb"[ \t]*q=0(?:\.0{0,3})?[ \t]*", re.IGNORECASE)
_OF_KINDS = frozenset(place for place, _ in ON_KIND)
_MOST_STANDINGS = 1000
# Bytes of the headers by which one is remembered; a client may pad them.
_LONGEST_WAY = 1000
# Readable before one has a token (RFC 7644 §4).
_PUBLIC = ("discovery", "discovery_one")

Act = TypeVar("Act")


class ScimApi:
    """What answers below ``/scim/``, as an ASGI application too."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._standings: dict[_Way, Standing] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(read_request(scope, receive), ScopeChannel(scope, receive, send))

    async def serve(self, request: Request, channel: Channel) -> None:
        """Answer the request, without ASGI's scope between the connection and us (docs/decisions/0039)."""
        began = perf_counter()
        services = self._services
        draft = Draft(services.new_id(), services.now())
        try:
            answer = await self._answer(request, draft)
        except ClientGone:
            return
        except Exception as fault:
            answer = _told(fault, draft)
        if answer.pieces is not None and request.method != "HEAD":
            await _send_pieces(answer, answer.pieces, Client(channel.receive, channel.send, draft.request_id, _PATIENCE))
            record(services, request, draft, answer, perf_counter() - began)
            return
        record(services, request, draft, answer, perf_counter() - began)
        await answer.give(channel, request.method, draft.request_id)

    async def _answer(self, request: Request, draft: Draft) -> Answer:
        """The answer to a request with which nothing is wrong; what is wrong is raised."""
        services = self._services
        route = draft.route = find_route(request.path)
        place = route.place
        if route.version != "v2":
            raise errors.invalid_version(f"The path asks for version {route.version}; this server speaks v2.")
        if place in _PUBLIC and services.discovery_is_public and b"authorization" not in request.headers:
            # A directory's own schemas are shown to its sources only.
            _choose(ON_DIRECTORY, request, route)
            return scim_visits.discover(services, request, route, standard_catalog())
        standing = self._recall(request, draft) or await self._admit(request, draft)
        if standing.grant.directory.name != route.directory:
            # DECISIONS 20: the same answer whether or not that directory exists.
            raise auth.Refused(403, "The token does not belong to the directory in the URL.", "insufficient_scope")
        if place == "unknown":
            raise errors.not_found(f"There is no endpoint {request.path[:200]!r}; /ResourceTypes lists what there is.")
        if place == "me":
            # RFC 7644 §3.11: what is not supported answers 501. A token of a source is no person.
            raise ScimError(501, None, "/Me is not supported: the token belongs to a source, not to a user.")
        if place not in _OF_KINDS:
            act = _choose(ON_DIRECTORY, request, route)
            return await act(Visit(standing, request, draft, route))
        kind = standing.catalog.at_endpoint(route.endpoint)
        if kind is None:
            raise errors.not_found(f"There is no endpoint {route.endpoint[:200]!r}; /ResourceTypes lists what there is.")
        act_on = _choose(ON_KIND, request, route)
        draft.kind, draft.resource_id = kind.name, route.id
        return await act_on(Visit(standing, request, draft, route), kind)

    def _recall(self, request: Request, draft: Draft) -> Standing | None:
        """What was found out about a request that came in the same way, unless it may have changed since."""
        standing = self._standings.get(_way(request))
        if (
            standing is None
            or not self._services.gatekeeper.admit_again(standing.admission, request, draft.now)
            or self._services.catalogs.remembered(standing.grant.directory.key) is not standing.catalog
        ):
            return None
        draft.grant, draft.catalog, draft.source = standing.grant, standing.catalog, standing.source
        return standing

    async def _admit(self, request: Request, draft: Draft) -> Standing:
        """Find that out."""
        services = self._services
        admission = await services.gatekeeper.admit(request, draft.now)
        grant = draft.grant = admission.grant
        draft.source = f"{grant.directory.name}/{grant.source.name}"
        catalog = draft.catalog = await services.catalogs.current(grant.directory.key)
        standing = Standing(services, request, admission, catalog, draft.source)
        way = _way(request)
        if len(way[0] or b"") + len(way[1] or b"") <= _LONGEST_WAY:
            if len(self._standings) >= _MOST_STANDINGS:
                self._standings.clear()
            self._standings[way] = standing
        return standing


# With which token, to which of our names, and how safely a request came.
_Way = tuple[bytes | None, bytes | None, str]


def _way(request: Request) -> _Way:
    headers = request.headers
    return headers.get(b"authorization"), headers.get(b"host"), request.scheme


class _NotAllowed(ScimError):
    """The place does not have the method (RFC 9110 §15.5.6)."""

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(405, None, f"{method} is not possible here; allowed are {allowed}.")
        self.allowed = allowed


def _choose(acts: Mapping[tuple[Place, str], Act], request: Request, route: Route) -> Act:
    """What answers the method there; raises ScimError where nothing does, or where another form of answer is asked for."""
    act = acts.get((route.place, request.method))
    if act is None:
        raise _NotAllowed(request.method, ", ".join(method for place, method in acts if place == route.place))
    accept = request.headers.get(b"accept")
    if accept and accept not in _USUAL and not _is_acceptable(accept):
        shown = accept.decode("latin-1")[:100]
        raise ScimError(406, None, f"Accept asks for {shown!r}; answers are application/scim+json.")
    return act


def _is_acceptable(accept: bytes) -> bool:
    """Whether our answers are among what the header accepts."""
    wanted: dict[bytes, bool] = {}
    for part in accept.split(b","):
        name, *parameters = part.split(b";")
        wanted[name.strip().lower()] = not any(_NO_WEIGHT.fullmatch(parameter) for parameter in parameters)
    # Who takes any JSON takes ours, unless it is refused by its own name.
    if wanted.get(b"application/json") and wanted.get(b"application/scim+json", True):
        return True
    # RFC 9110 §12.5.1: the most precise range decides.
    for name in (b"application/scim+json", b"application/*", b"*/*"):
        if name in wanted:
            return wanted[name]
    return False


def _told(fault: Exception, draft: Draft) -> Answer:
    """The fault as a SCIM error."""
    match fault:
        case ScimError():
            draft.detail = fault.detail
            answer = scim_error(fault)
            if isinstance(fault, _NotAllowed):
                answer.headers.append((b"allow", fault.allowed.encode()))
        case auth.Refused():
            draft.detail = fault.fault.detail
            answer = scim_error(fault.fault)
            answer.headers.append((b"www-authenticate", fault.challenge.encode()))
        case StoreUnavailable():
            draft.detail = str(fault)
            answer = scim_error(ScimError(503, None, draft.detail))
            answer.headers.append((b"retry-after", b"5"))
        case _:
            _logger.error("request failed", exc_info=fault, extra={"request_id": draft.request_id})
            draft.detail = "internal error; the log has the trace under this request id"
            reason = f"scimhub failed to answer; its log has the reason under the id {draft.request_id}."
            answer = scim_error(ScimError(500, None, reason))
    return answer


async def _send_pieces(answer: Answer, pieces: AsyncIterator[bytes], client: Client) -> None:
    """Send the answer piece by piece; break the connection off where it must not be taken for a whole one."""
    async with client:
        try:
            await client.begin_with(answer.content_type, answer.headers)
            async for piece in pieces:
                await client.write(piece)
            await client.end()
        except ClientGone:
            return
        except StoreUnavailable as fault:
            # Returning without an end is how an ASGI application has the connection closed.
            _logger.warning("answer broken off", extra={"reason": str(fault)})
