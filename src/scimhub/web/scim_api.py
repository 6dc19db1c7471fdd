"""The SCIM endpoints: parse, call the use-case, show (RFC 7644).

Plain ASGI without a framework: at a few dozen microseconds a request, routing by a framework would be half the cost
(docs/decisions/0004). Every answer is a SCIM message, errors included, and carries a request id.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from time import perf_counter
from typing import Literal

import orjson

from scimhub.directory import bulk, listing, preconditions, representation, resources, streaming
from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.ports import Roll
from scimhub.directory.records import Grant, StoredResource
from scimhub.directory.representation import Viewpoint
from scimhub.directory.resources import Caller, Written
from scimhub.scim import dialects, discovery, errors, message, projection
from scimhub.scim.catalog import Catalog, Kind, standard_catalog
from scimhub.scim.errors import ScimError
from scimhub.scim.listing import ListQuery, parse_query, parse_search
from scimhub.web import auth, openapi
from scimhub.web.exchange import Answer, ClientGone, Receive, Request, Scope, Send, read_request, scim_error
from scimhub.web.recording import Draft, record
from scimhub.web.scim_routes import METHODS, Route, find_route
from scimhub.web.services import Services
from scimhub.web.streams import Client

_logger = logging.getLogger(__name__)
# Seconds for which a client may leave what was sent unread.
_PATIENCE = 60.0
_ACCEPTED_BODIES = ("application/scim+json", "application/json")
_ACCEPTED_ANSWERS = {"application/scim+json", "application/json", "*/*", "application/*"}


class ScimApi:
    """The ASGI application below ``/scim/``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        draft = Draft(self._services.new_id(), self._services.now())
        request = read_request(scope, receive)
        try:
            answer = await self._answer(request, draft)
        except ClientGone:
            return
        if answer.pieces is not None and request.method != "HEAD":
            await _send_pieces(answer, answer.pieces, Client(receive, send, draft.request_id, _PATIENCE))
            record(self._services, request, draft, answer, perf_counter() - began)
            return
        record(self._services, request, draft, answer, perf_counter() - began)
        await answer.send(scope, send, draft.request_id)

    async def _answer(self, request: Request, draft: Draft) -> Answer:
        """The answer to the request, whatever happens: every fault becomes a SCIM error here."""
        try:
            return await self._dispatch(request, draft)
        except ScimError as error:
            draft.detail = error.detail
            answer = scim_error(error)
            if error.status == 405 and draft.route is not None:
                answer.headers.append((b"allow", ", ".join(METHODS[draft.route.place]).encode()))
            return answer
        except auth.Refused as refusal:
            draft.detail = refusal.fault.detail
            answer = scim_error(refusal.fault)
            answer.headers.append((b"www-authenticate", refusal.challenge.encode()))
            return answer
        except StoreUnavailable as fault:
            draft.detail = str(fault)
            answer = scim_error(ScimError(503, None, str(fault)))
            answer.headers.append((b"retry-after", b"5"))
            return answer
        except ClientGone:
            raise
        except Exception:
            _logger.exception("request failed", extra={"request_id": draft.request_id})
            draft.detail = "internal error; the log has the trace under this request id"
            return scim_error(
                ScimError(500, None, f"scimhub failed to answer; its log has the reason under the id {draft.request_id}.")
            )

    async def _dispatch(self, request: Request, draft: Draft) -> Answer:
        route = draft.route = find_route(request.path)
        if route.version != "v2":
            raise errors.invalid_version(f"The path asks for version {route.version}; this server speaks v2.")
        if (
            route.place in ("discovery", "discovery_one")
            and self._services.discovery_is_public
            and b"authorization" not in request.headers
        ):
            # RFC 7644 §4: readable before one has a token; a directory's own schemas are shown to its sources only.
            return self._discover(request, route, standard_catalog())
        grant = draft.grant = await self._services.gatekeeper.admit(request, draft.now)
        if grant.directory.name != route.directory:
            # DECISIONS 20: the same answer whether or not that directory exists.
            raise auth.Refused(403, "The token does not belong to the directory in the URL.", "insufficient_scope")
        if route.place == "unknown":
            raise errors.not_found(f"There is no endpoint {request.path[:200]!r}; /ResourceTypes lists what there is.")
        if route.place == "me":
            # RFC 7644 §3.11: what is not supported answers 501. A token of a source is no person.
            raise ScimError(501, None, "/Me is not supported: the token belongs to a source, not to a user.")
        catalog = draft.catalog = await self._services.catalogs.current(grant.directory.key)
        kind = self._kind(route, catalog)
        _check_method(request, route)
        _check_accept(request)
        visit = _Visit(self._services, request, draft, route, grant, catalog)
        if kind is not None:
            draft.kind, draft.resource_id = kind.name, route.id
        return await self._serve(visit, kind)

    async def _serve(self, visit: "_Visit", kind: Kind | None) -> Answer:
        route, request = visit.route, visit.request
        match route.place:
            case "discovery" | "discovery_one":
                return self._discover(request, route, visit.catalog)
            case "openapi":
                return _json(200, openapi.describe(visit.catalog, visit.viewpoint.base_url), b"application/json")
            case "root":
                return await visit.list_all(list(visit.catalog.kinds.values()), parse_query(request.query()))
            case "root_search":
                return await visit.search(list(visit.catalog.kinds.values()))
            case "bulk":
                return await visit.bulk()
        assert kind is not None  # noqa: S101 - the routes below have one, else `_kind` raised
        match route.place, request.method:
            case "search", _:
                return await visit.search([kind])
            case "collection", "POST":
                return await visit.create(kind)
            case "collection", _:
                return await visit.list_all([kind], parse_query(request.query()))
            case _, "PUT":
                return await visit.replace(kind)
            case _, "PATCH":
                return await visit.modify(kind)
            case _, "DELETE":
                return await visit.delete(kind)
            case _:
                return await visit.get(kind)

    def _kind(self, route: Route, catalog: Catalog) -> Kind | None:
        if route.place not in ("collection", "search", "resource"):
            return None
        kind = catalog.at_endpoint(route.endpoint)
        if kind is None:
            raise errors.not_found(f"There is no endpoint {route.endpoint[:200]!r}; /ResourceTypes lists what there is.")
        return kind

    def _discover(self, request: Request, route: Route, catalog: Catalog) -> Answer:
        _check_method(request, route)
        _check_accept(request)
        if any(name == "filter" for name, _ in request.query()):
            # RFC 7644 §4: a filter that would be ignored is refused.
            raise ScimError(403, None, f"/{route.endpoint} cannot be filtered; read it whole.")
        base_url = self._services.base_url(request, route.directory)
        if route.place == "discovery_one":
            return _json(200, discovery.find(catalog, route.endpoint, route.id, base_url))
        return _json(200, discovery.document(catalog, route.endpoint, base_url, self._services.offer))


class _Visit:
    """One admitted request with all that its answer needs."""

    def __init__(
        self, services: Services, request: Request, draft: Draft, route: Route, grant: Grant, catalog: Catalog
    ) -> None:
        self.services = services
        self.request = request
        self.draft = draft
        self.route = route
        self.grant = grant
        self.catalog = catalog
        base_url = services.base_url(request, route.directory)
        self.viewpoint = Viewpoint(catalog, base_url, services.store.log_epoch)
        dialect = dialects.find(grant.source.dialect) or dialects.LENIENT
        self.caller = Caller(grant.directory, grant.source, dialect, draft.request_id, draft.now, services.catalogs)

    async def get(self, kind: Kind) -> Answer:
        auth.require(self.grant, "read")
        viewpoint, shape = self.viewpoint, self._projection(kind)
        if self.request.query_string and any(name == "filter" for name, _ in self.request.query()):
            raise errors.invalid_filter("A single resource cannot be filtered; send the filter to the collection.")
        found = await resources.get(self.services.store, self.caller, kind, self.route.id)
        etag = viewpoint.etag(found.version)
        if preconditions.none_match(self.request.header(b"if-none-match"), etag):
            return Answer(304, headers=[(b"etag", etag.encode())])
        store = self.services.store
        counts = await streaming.member_counts(store, viewpoint, [found], shape)
        if counts.get(found.key, 0) > streaming.MANY:
            return await self._get_large(kind, found, shape)
        [body] = await representation.render(store, viewpoint, [found], shape, counts=counts)
        return Answer(200, body, self._headers(kind, found))

    async def _get_large(self, kind: Kind, found: StoredResource, shape: projection.Projection) -> Answer:
        caller, store = self.caller, self.services.store
        roll: Roll | None = Roll(found, ())
        if self.request.method != "HEAD":
            roll = await store.find_roll(caller.directory.key, kind.name, found.id, caller.source.key)
        if roll is None:
            raise errors.not_found(f"There is no {kind.name} with the id {self.route.id[:80]!r}; it was just deleted.")
        pieces = streaming.tell(store, self.viewpoint, roll, shape)
        return Answer(200, headers=self._headers(kind, roll.group), pieces=pieces)

    def _headers(self, kind: Kind, found: StoredResource) -> list[tuple[bytes, bytes]]:
        location = self.viewpoint.location(kind, found.id).encode()
        return [(b"etag", self.viewpoint.etag(found.version).encode()), (b"content-location", location)]

    async def list_all(self, kinds: list[Kind], query: ListQuery) -> Answer:
        auth.require(self.grant, "read")
        body = await listing.list_resources(
            self.services.store,
            self.caller,
            self.viewpoint,
            kinds,
            query,
            self.services.paging,
            self.draft.notes,
        )
        return Answer(200, body) if isinstance(body, bytes) else Answer(200, pieces=body)

    async def search(self, kinds: list[Kind]) -> Answer:
        query = parse_search(await self._body(self.services.limits.body))
        try:
            return await self.list_all(kinds, query)
        except ScimError as error:
            if error.scim_type == "sensitive":
                # RFC 7644 §7.5.2 speaks of URLs; in a body such a filter is simply not possible.
                raise errors.invalid_filter(error.detail) from error
            raise

    async def create(self, kind: Kind) -> Answer:
        auth.require(self.grant, "write")
        body = await self._body(self._limit(kind))
        shape = self._projection(kind, body)
        written = await resources.create(self.services.store, self.caller, kind, body, self.draft.notes, self.services.new_id)
        return await self._show(201, kind, written, shape)

    async def replace(self, kind: Kind) -> Answer:
        auth.require(self.grant, "write")
        precondition = await self._precondition(kind)
        body = await self._body(self._limit(kind))
        shape = self._projection(kind, body)
        written = await resources.replace(
            self.services.store, self.caller, kind, self.route.id, body, self.draft.notes, precondition
        )
        return await self._show(200, kind, written, shape)

    async def modify(self, kind: Kind) -> Answer:
        auth.require(self.grant, "write")
        precondition = await self._precondition(kind)
        body = await self._body(self._limit(kind))
        shape = self._projection(kind, body)
        written = await resources.modify(
            self.services.store, self.caller, kind, self.route.id, body, self.draft.notes, precondition
        )
        if kind.has_members and shape.is_default:
            # A group's answer may be huge: 204 unless the client said what it wants to see (RFC 7644 §3.5.2).
            return self._answered(204, kind, written, b"")
        return await self._show(200, kind, written, shape)

    async def delete(self, kind: Kind) -> Answer:
        auth.require(self.grant, "write")
        precondition = await self._precondition(kind)
        written = await resources.delete(self.services.store, self.caller, kind, self.route.id, precondition)
        self._note(written)
        return Answer(204, headers=_change_header(written))

    async def bulk(self) -> Answer:
        auth.require(self.grant, "write")
        body = await self._body(self.services.limits.bulk_body)
        executed = await bulk.execute(
            self.services.store,
            self.caller,
            self.viewpoint,
            body,
            self.services.limits.bulk_operations,
            self.draft.notes,
            self.services.new_id,
        )
        self.draft.change_ids += executed.change_ids
        self.draft.detail = executed.detail
        return _json(200, executed.response)

    # ----------------------------------------------------------------- pieces

    def _projection(self, kind: Kind, body: object = None) -> projection.Projection:
        """What the answer shows; ``body`` is what was sent, which may name attributes that are returned on request.

        A write asks before it writes, so that what cannot be shown is refused with nothing changed.
        """
        lenient = self.caller.dialect.is_lenient
        supplied = projection.supplied_in(body, kind, lenient=lenient) if body is not None else frozenset[str]()
        if not self.request.query_string and not supplied:
            return projection.default(kind)
        pairs = self.request.query()
        attributes = next((value for name, value in pairs if name == "attributes"), None)
        excluded = next((value for name, value in pairs if name == "excludedAttributes"), None)
        return projection.parse(attributes, excluded, [kind], lenient=lenient, supplied=supplied)

    async def _precondition(self, kind: Kind) -> preconditions.Precondition | None:
        if self.request.header(b"if-none-match") is not None:
            found = await resources.get(self.services.store, self.caller, kind, self.route.id)
            if preconditions.none_match(self.request.header(b"if-none-match"), self.viewpoint.etag(found.version)):
                raise ScimError(412, None, "The resource exists at a version that If-None-Match names; nothing was changed.")
        return preconditions.parse_if_match(self.request.header(b"if-match"), self.services.store.log_epoch)

    async def _body(self, limit: int) -> Mapping[str, object]:
        _check_content_type(self.request)
        body = self.draft.body = await self.request.body(limit)
        return message.parse_object(body)

    def _limit(self, kind: Kind) -> int:
        return self.services.limits.group_body if kind.has_members else self.services.limits.body

    async def _show(self, status: Literal[200, 201], kind: Kind, written: Written, shape: projection.Projection) -> Answer:
        [body] = await representation.render(self.services.store, self.viewpoint, [written.resource], shape)
        if written.change_id is not None and shape.shows_all(kind) and not kind.has_members:
            self.draft.shown = written.resource
        return self._answered(status, kind, written, body)

    def _answered(self, status: int, kind: Kind, written: Written, body: bytes) -> Answer:
        self._note(written)
        viewpoint = self.viewpoint
        location = viewpoint.location(kind, written.resource.id).encode()
        headers = [(b"etag", viewpoint.etag(written.resource.version).encode()), (b"location", location)]
        if body:
            headers.append((b"content-location", location))
        return Answer(status, body, headers + _change_header(written))

    def _note(self, written: Written) -> None:
        self.draft.resource_id = written.resource.id
        if written.change_id is not None:
            self.draft.change_ids.append(written.change_id)


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


def _change_header(written: Written) -> list[tuple[bytes, bytes]]:
    return [] if written.change_id is None else [(b"scimhub-change", written.change_id.encode())]


def _json(status: int, document: object, content_type: bytes | None = None) -> Answer:
    answer = Answer(status, orjson.dumps(document))
    if content_type is not None:
        answer.content_type = content_type
    return answer


def _check_method(request: Request, route: Route) -> None:
    allowed = METHODS[route.place]
    if request.method not in allowed:
        raise ScimError(405, None, f"{request.method} is not possible here; allowed are {', '.join(allowed)}.")


def _check_accept(request: Request) -> None:
    accept = request.header(b"accept")
    if not accept or accept in _ACCEPTED_ANSWERS:
        return
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if not _ACCEPTED_ANSWERS.intersection(ranges):
        raise ScimError(406, None, f"Accept asks for {accept[:100]!r}; answers are application/scim+json.")


def _check_content_type(request: Request) -> None:
    content_type = request.header(b"content-type")
    coding = request.header(b"content-encoding")
    if coding and coding.strip().lower() != "identity":
        # RFC 9110 §8.4: a coding that is not undone would be taken for the body itself.
        raise ScimError(415, None, f"The body is encoded as {coding[:40]!r}; send it without Content-Encoding.")
    # Without the header the body is taken for what the protocol speaks.
    if content_type and content_type.partition(";")[0].strip().lower() not in _ACCEPTED_BODIES:
        raise ScimError(415, None, f"The body is {content_type[:100]!r}; send application/scim+json or application/json.")
