"""What the SCIM endpoints do: parse, call the use-case, show (RFC 7644 §3)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import orjson

from scimhub.directory import bulk, listing, preconditions, representation, resources, streaming
from scimhub.directory.ports import ResourceStore, Roll
from scimhub.directory.records import StoredResource
from scimhub.directory.representation import Viewpoint
from scimhub.directory.resources import Caller, Written
from scimhub.scim import dialects, discovery, errors, message, projection
from scimhub.scim.catalog import Catalog, Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.listing import ListQuery, parse_parameters, parse_query, parse_search
from scimhub.scim.notes import Notes
from scimhub.web import auth, openapi
from scimhub.web.exchange import Answer, Request
from scimhub.web.recording import Draft
from scimhub.web.scim_routes import Place, Route
from scimhub.web.services import Services

# A use-case that writes one resource, by its id and a body.
Write = Callable[
    [ResourceStore, Caller, Kind, str, Mapping[str, object], Notes, preconditions.Precondition | None], Awaitable[Written]
]
_NONE: Final = frozenset[str]()
_CONDITIONAL: Final = frozenset((b"if-match", b"if-none-match"))
_ACCEPTED_BODIES = ("application/scim+json", "application/json")
# What most clients send, which need not be looked at more closely.
_USUAL_TYPES = frozenset((b"application/scim+json", b"application/json", b"application/scim+json; charset=utf-8"))


class Standing:
    """What requests that come in one way have in common until their token, or the schemas of its directory, have changed."""

    __slots__ = ("admission", "catalog", "dialect", "grant", "services", "source", "viewpoint")

    def __init__(self, services: Services, request: Request, admission: auth.Admission, catalog: Catalog, source: str) -> None:
        grant = admission.grant
        # As metrics name it.
        self.source = source
        self.services = services
        self.admission = admission
        self.grant = grant
        self.catalog = catalog
        base_url = services.base_url(request, grant.directory.name)
        # In the order of the fields: by name it would take three times as long.
        self.viewpoint = Viewpoint(catalog, base_url, services.store.log_epoch)
        self.dialect = dialects.find(grant.source.dialect) or dialects.LENIENT


class Visit:
    """One admitted request with all that its answer needs."""

    __slots__ = ("caller", "catalog", "draft", "grant", "request", "route", "services", "viewpoint")

    def __init__(self, standing: Standing, request: Request, draft: Draft, route: Route) -> None:
        services, grant = standing.services, standing.grant
        self.services = services
        self.request = request
        self.draft = draft
        self.route = route
        self.grant = grant
        self.catalog = standing.catalog
        self.viewpoint = standing.viewpoint
        self.caller = Caller(grant.directory, grant.source, standing.dialect, draft.request_id, draft.now, services.catalogs)

    # ----------------------------------------------------------------- one resource

    async def get(self, kind: Kind) -> Answer:
        auth.require(self.grant, "read")
        viewpoint, shape = self.viewpoint, self._projection(kind)
        if self.request.query_string and "filter" in parse_parameters(self.request.query()):
            raise errors.invalid_filter("A single resource cannot be filtered; send the filter to the collection.")
        store = self.services.store
        found = await resources.get(store, self.caller, kind, self.route.id)
        asked = self.request.header(b"if-none-match")
        if asked is not None and preconditions.none_match(asked, viewpoint.etag(found.version)):
            return Answer(304, headers=[(b"etag", viewpoint.etag(found.version).encode())])
        counts = await streaming.member_counts(store, viewpoint, [found], shape) if kind.has_members else {}
        if counts and counts[found.key] > streaming.MANY:
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

    async def create(self, kind: Kind) -> Answer:
        auth.require(self.grant, "write")
        body = await self._body(self._limit(kind))
        shape = self._projection(kind, body)
        written = await resources.create(self.services.store, self.caller, kind, body, self.draft.notes, self.services.new_id)
        return await self._show(201, kind, written, shape)

    async def replace(self, kind: Kind) -> Answer:
        written, shape = await self._write(resources.replace, kind)
        return await self._show(200, kind, written, shape)

    async def modify(self, kind: Kind) -> Answer:
        written, shape = await self._write(resources.modify, kind)
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

    # ----------------------------------------------------------------- many of them

    def list_kind(self, kind: Kind) -> Awaitable[Answer]:
        return self.list_all([kind], parse_query(self.request.query()))

    def list_everything(self) -> Awaitable[Answer]:
        return self.list_all(list(self.catalog.kinds.values()), parse_query(self.request.query()))

    def search_kind(self, kind: Kind) -> Awaitable[Answer]:
        return self.search([kind])

    def search_everything(self) -> Awaitable[Answer]:
        return self.search(list(self.catalog.kinds.values()))

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
        query = parse_search(await self._body(self.services.limits.body), self.caller.dialect, self.draft.notes)
        try:
            return await self.list_all(kinds, query)
        except ScimError as error:
            if error.scim_type == "sensitive":
                # RFC 7644 §7.5.2 speaks of URLs; in a body such a filter is simply not possible.
                raise errors.invalid_filter(error.detail) from error
            raise

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

    async def discover(self) -> Answer:
        return discover(self.services, self.request, self.route, self.catalog)

    async def describe(self) -> Answer:
        return _json(200, openapi.describe(self.catalog, self.viewpoint.base_url), b"application/json")

    # ----------------------------------------------------------------- pieces

    def _projection(self, kind: Kind, body: object = None) -> projection.Projection:
        """What the answer shows; ``body`` is what was sent, which may name attributes that are returned on request.

        A write asks before it writes, so that what cannot be shown is refused with nothing changed.
        """
        lenient = self.caller.dialect.is_lenient
        supplied = _NONE if body is None else projection.supplied_in(body, kind, lenient=lenient)
        if not self.request.query_string and not supplied:
            return projection.default(kind)
        given = parse_parameters(self.request.query())
        attributes, excluded = given.get("attributes"), given.get("excludedAttributes")
        return projection.parse(attributes, excluded, [kind], lenient=lenient, supplied=supplied)

    async def _write(self, write: Write, kind: Kind) -> tuple[Written, projection.Projection]:
        """Have the body change the resource that is asked for; what of it is to be shown."""
        auth.require(self.grant, "write")
        precondition = await self._precondition(kind)
        body = await self._body(self._limit(kind))
        shape = self._projection(kind, body)
        store, notes = self.services.store, self.draft.notes
        return await write(store, self.caller, kind, self.route.id, body, notes, precondition), shape

    async def _precondition(self, kind: Kind) -> preconditions.Precondition | None:
        if self.request.headers.keys().isdisjoint(_CONDITIONAL):
            return None
        asked = self.request.header(b"if-none-match")
        if asked is not None:
            found = await resources.get(self.services.store, self.caller, kind, self.route.id)
            if preconditions.none_match(asked, self.viewpoint.etag(found.version)):
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


def discover(services: Services, request: Request, route: Route, catalog: Catalog) -> Answer:
    """One of the documents that describe what is served, or all of a sort (RFC 7644 §4)."""
    if "filter" in parse_parameters(request.query()):
        # A filter that would be ignored is refused.
        raise ScimError(403, None, f"/{route.endpoint} cannot be filtered; read it whole.")
    base_url = services.base_url(request, route.directory)
    if route.place == "discovery_one":
        return _json(200, discovery.find(catalog, route.endpoint, route.id, base_url))
    return _json(200, discovery.document(catalog, route.endpoint, base_url, services.offer))


# What is done on resources of one kind, by place and method.
ON_KIND: Final[Mapping[tuple[Place, str], Callable[[Visit, Kind], Awaitable[Answer]]]] = {
    ("collection", "GET"): Visit.list_kind,
    ("collection", "HEAD"): Visit.list_kind,
    ("collection", "POST"): Visit.create,
    ("search", "POST"): Visit.search_kind,
    ("resource", "GET"): Visit.get,
    ("resource", "HEAD"): Visit.get,
    ("resource", "PUT"): Visit.replace,
    ("resource", "PATCH"): Visit.modify,
    ("resource", "DELETE"): Visit.delete,
}
# What is done on all that the directory has.
ON_DIRECTORY: Final[Mapping[tuple[Place, str], Callable[[Visit], Awaitable[Answer]]]] = {
    ("root", "GET"): Visit.list_everything,
    ("root", "HEAD"): Visit.list_everything,
    ("root_search", "POST"): Visit.search_everything,
    ("bulk", "POST"): Visit.bulk,
    ("discovery", "GET"): Visit.discover,
    ("discovery", "HEAD"): Visit.discover,
    ("discovery_one", "GET"): Visit.discover,
    ("discovery_one", "HEAD"): Visit.discover,
    ("openapi", "GET"): Visit.describe,
    ("openapi", "HEAD"): Visit.describe,
}


def _change_header(written: Written) -> list[tuple[bytes, bytes]]:
    return [] if written.change_id is None else [(b"scimhub-change", written.change_id.encode())]


def _json(status: int, document: object, content_type: bytes | None = None) -> Answer:
    answer = Answer(status, orjson.dumps(document))
    if content_type is not None:
        answer.content_type = content_type
    return answer


def _check_content_type(request: Request) -> None:
    if request.headers.get(b"content-type") in _USUAL_TYPES and b"content-encoding" not in request.headers:
        return
    content_type = request.header(b"content-type")
    coding = request.header(b"content-encoding")
    if coding and coding.strip().lower() != "identity":
        # RFC 9110 §8.4: a coding that is not undone would be taken for the body itself.
        raise ScimError(415, None, f"The body is encoded as {coding[:40]!r}; send it without Content-Encoding.")
    # Without the header the body is taken for what the protocol speaks.
    if content_type and content_type.partition(";")[0].strip().lower() not in _ACCEPTED_BODIES:
        raise ScimError(415, None, f"The body is {content_type[:100]!r}; send application/scim+json or application/json.")
