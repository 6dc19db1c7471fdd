"""Many resources at once: chunks of a file that is loaded, and pages of a directory that is written out.

The file stays with the client, which sends it in chunks, one after the other, and asks again when an answer was lost; so
neither side holds much, and no state of an import lives here. Each chunk is one exchange of the source, without its bodies.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from scimhub.directory import exporting, loading, sources
from scimhub.directory.errors import Invalid
from scimhub.directory.loading import Record, Removal, Result, Terms
from scimhub.directory.resources import Caller
from scimhub.exchanges import redaction
from scimhub.exchanges.records import Received
from scimhub.scim import dialects, message, slots
from scimhub.scim.catalog import Catalog
from scimhub.scim.errors import ScimError
from scimhub.web.administration import Administration, Parts

routes = APIRouter(tags=["import and export"])

# A chunk may hold a single group with all its members.
BODY_LIMIT = 33 * 1024 * 1024
PATHS = ("/imports", "/imports/removals")
_MOST_RECORDS = 5000
_NDJSON = "application/x-ndjson"


class ImportTerms(BaseModel):
    """How to load the chunk; the same for all chunks of a file."""

    source: str = Field(description="The source in whose name everything is written.")
    type: str = Field("User", description="The resource type of all records in the chunk.")
    key: str = Field("userName", description="The attribute by which a record and a resource are the same.")
    mode: Literal["create", "upsert"] = Field("upsert", description="Whether a resource that is there may be changed.")
    dry_run: bool = Field(False, description="Find out everything and write nothing.")
    keep_ids: bool = Field(False, description="A resource that is there must have the id of its record.")
    absent: Literal["deactivate", "delete"] = Field("deactivate", description="What becomes of what the file lacks.")
    slot: list[str] = Field(
        [], description="The places that the records speak of, such as name.givenName; without any, records are whole."
    )
    # For the exchange's record only, where they stand in its query.
    file: str = Field("", description="The file's name, for the trace.")
    lines: str = Field("", description="Which lines of it these are, for the trace.")
    job: str = Field("", description="What names the import, for the trace.")


class ResultShown(BaseModel):
    """What became of one record, or in a dry run would."""

    line: int
    action: loading.Action
    id: str | None
    paths: list[str] = Field(description="What differs; of an updated record only.")
    status: int = Field(description="The status of the SCIM error of a refused record, else 0.")
    detail: str
    change_id: str | None


class Results(BaseModel):
    request_id: str = Field(description="The exchange that scimhub exchanges lists.")
    items: list[ResultShown]


class Analyzed(BaseModel):
    seconds: float = Field(description="How long the database took.")


def _ndjson(description: str) -> dict[str, object]:
    # Lines of JSON have no registered type; tools that do not know the usual one send plain text.
    lines = {"schema": {"type": "string", "description": description}}
    return {"requestBody": {"required": True, "content": {_NDJSON: lines, "text/plain": lines}}}


@routes.post(
    "/directories/{directory}/imports",
    summary="Load a chunk of records of one resource type",
    description="The same chunk may be sent again: what is there already and equal is left unchanged.",
    response_model=Results,
    openapi_extra=_ndjson('Lines such as {"line": 2, "resource": {…}}; with id a new resource gets that one.'),
)
async def load(parts: Parts, directory: str, request: Request, wish: Annotated[ImportTerms, Query()]) -> Response:
    began = perf_counter()
    body = await request.body()
    caller, catalog, terms = await _open(parts, directory, wish)
    records = [_record(line) for line in _objects(body)]
    results = await loading.load(parts.store, caller, catalog, terms, records, parts.new_id)
    return _answer(parts, request, caller, results, len(body), perf_counter() - began)


@routes.post(
    "/directories/{directory}/imports/removals",
    summary="Delete or deactivate resources that a file lacks",
    response_model=Results,
    openapi_extra=_ndjson('Lines such as {"id": "…", "key": "…"}; what has another key by now is left alone.'),
)
async def remove(parts: Parts, directory: str, request: Request, wish: Annotated[ImportTerms, Query()]) -> Response:
    began = perf_counter()
    body = await request.body()
    caller, _, terms = await _open(parts, directory, wish)
    removals = [_removal(line) for line in _objects(body)]
    results = await loading.remove(parts.store, caller, terms, removals)
    return _answer(parts, request, caller, results, len(body), perf_counter() - began)


@routes.post(
    "/directories/{directory}/imports/statistics",
    summary="Let the database see how much was loaded",
    description=(
        "For the end of a large import, and now and then in its middle: until then PostgreSQL may walk whole tables, as if "
        "they were as small as before. With SQLite there is nothing to be done."
    ),
)
async def analyze(parts: Parts, directory: str) -> Analyzed:
    await sources.get_directory(parts.store, directory)
    began = perf_counter()
    await parts.store.analyze()
    return Analyzed(seconds=perf_counter() - began)


@routes.get(
    "/directories/{directory}/export",
    summary="One page of a directory, as an import takes it in",
    response_class=Response,
    responses={200: {"content": {_NDJSON: {}}, "description": 'Resources, one on a line; the last line is {"next": …}.'}},
)
async def export(
    parts: Parts,
    directory: str,
    source: Annotated[str | None, Query(description="Whose externalIds; without it those of whoever wrote last.")] = None,
    type: Annotated[list[str] | None, Query(description="Only these resource types.")] = None,
    filter: Annotated[str | None, Query(description="A SCIM filter.")] = None,
    attributes: Annotated[list[str] | None, Query(description="Only these top-level attributes, and id and meta.")] = None,
    after: Annotated[str | None, Query(description="What the page before gave as next.")] = None,
) -> Response:
    home = await sources.get_directory(parts.store, directory)
    catalog = await parts.catalogs.current(home.key)
    of = None if source is None else await sources.get_source(parts.store, home, source)
    try:
        kinds, conditions = exporting.parse_kinds(catalog, type or (), filter)
    except ScimError as error:
        raise Invalid([error.detail]) from error
    wish = exporting.Wish(home, catalog, of, kinds, conditions, tuple(attributes or ()))
    page = await exporting.read_page(parts.store, wish, after)
    last = orjson.dumps({"next": page.next, "seen": page.seen})
    return Response(b"\n".join((*page.lines, last, b"")), media_type=_NDJSON)


# --------------------------------------------------------------------------- pieces


async def _open(parts: Administration, directory: str, wish: ImportTerms) -> tuple[Caller, Catalog, Terms]:
    home = await sources.get_directory(parts.store, directory)
    source = await sources.get_source(parts.store, home, wish.source)
    catalog = await parts.catalogs.current(home.key)
    kind = catalog.kinds.get(wish.type)
    if kind is None:
        raise Invalid([f"There is no resource type {wish.type[:80]!r}; there are {', '.join(catalog.kinds)}."])
    try:
        places = tuple(slots.parse_slot(text, kind) for text in wish.slot)
    except ScimError as error:
        raise Invalid([error.detail]) from error
    dialect = dialects.find(source.dialect) or dialects.LENIENT
    caller = Caller(home, source, dialect, parts.new_id(), parts.now(), parts.catalogs)
    key = loading.find_key(kind, wish.key)
    return caller, catalog, Terms(kind, key, wish.mode, wish.dry_run, places, wish.keep_ids, wish.absent)


def _objects(body: bytes) -> list[dict[str, object]]:
    lines = [line for line in body.split(b"\n") if line]
    if len(lines) > _MOST_RECORDS:
        raise Invalid([f"The chunk has {len(lines)} records; at most {_MOST_RECORDS} are taken at once."])
    try:
        return [dict(message.parse_object(line)) for line in lines]
    except ScimError as error:
        raise Invalid([f"The chunk is not lines of JSON: {error.detail}"]) from error


def _record(found: dict[str, object]) -> Record:
    line, resource, id = found.get("line"), found.get("resource"), found.get("id")
    if type(line) is not int or not isinstance(resource, dict) or not isinstance(id, str | None):
        raise Invalid(['Each line of the chunk must be such as {"line": 2, "resource": {…}}, perhaps with an id.'])
    return Record(line, resource, id)


def _removal(found: dict[str, object]) -> Removal:
    id, key = found.get("id"), found.get("key")
    if not isinstance(id, str) or not isinstance(key, str):
        raise Invalid(['Each line of the chunk must be such as {"id": "…", "key": "…"}.'])
    return Removal(id, key)


def _answer(
    parts: Administration, request: Request, caller: Caller, results: Sequence[Result], size: int, seconds: float
) -> Response:
    """What became of the records, and an exchange that says who did it; of a dry run there is nothing to tell."""
    if any(result.change_id is not None or result.action == "refused" for result in results):
        _record_exchange(parts, request, caller, results, size, seconds)
    items = [
        {
            "line": result.line,
            "action": result.action,
            "id": result.id,
            "paths": result.paths,
            "status": result.status,
            "detail": result.detail,
            "change_id": result.change_id,
        }
        for result in results
    ]
    return Response(orjson.dumps({"request_id": caller.exchange_id, "items": items}), media_type="application/json")


def _record_exchange(
    parts: Administration, request: Request, caller: Caller, results: Sequence[Result], size: int, seconds: float
) -> None:
    refused = [result for result in results if result.action == "refused"]
    detail = ""
    if refused:
        detail = (
            f"{len(refused)} of {len(results)} records were refused; the first, line {refused[0].line}: {refused[0].detail}"
        )
    received = Received(
        id=caller.exchange_id,
        time=caller.now,
        directory=caller.directory.name,
        source=caller.source.name,
        method=request.method,
        path=request.url.path,
        status=200,
        duration_us=round(seconds * 1_000_000),
        change_ids=[result.change_id for result in results if result.change_id is not None],
        detail=detail,
        query=request.url.query.encode(),
        headers=redaction.show_headers(dict(request.headers.raw)),
        request_size=size,
    )
    parts.exchanges.record(received)
