"""The recorded exchanges: searched newest first, shown one by one."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from scimhub import clock
from scimhub.directory.errors import Absent, Invalid
from scimhub.exchanges import completion
from scimhub.exchanges.records import Body, Exchange, Search
from scimhub.web.admin_models import Time
from scimhub.web.administration import Parts

routes = APIRouter(tags=["exchanges"])

InDirectory = Annotated[str | None, Query(description="Only those of this directory.")]
OfSource = Annotated[str | None, Query(description="Only those of this source.")]
ErrorsOnly = Annotated[bool, Query(description="Only those that failed, wholly or in part.")]
OfStatus = Annotated[int | None, Query(description="Only those that were answered with this status.")]
OfMethod = Annotated[str | None, Query(description="Only those with this method, such as PATCH.")]
OfResource = Annotated[str | None, Query(description="Only those about this resource, by id, or this type, such as Group.")]
WithText = Annotated[str | None, Query(description="Only those with this text in path, query, detail or bodies, in any case.")]
Since = Annotated[str | None, Query(description="Only those from this moment on (RFC 3339).")]
Until = Annotated[str | None, Query(description="Only those before this moment (RFC 3339).")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many, newest first.")]


class BodyShown(BaseModel):
    """A body as it is kept: redacted JSON, perhaps only its beginning."""

    text: str | None = Field(description="null when there was a body that is not kept.")
    size: int = Field(description="Bytes of the whole body, as it was sent.")
    is_cut: bool


class AnswerShown(BodyShown):
    """An answer as it is kept; what a change has of it is put in as long as the change log has it."""

    lacks_document: bool = Field(description="The resource's attributes are missing: the change does not have them any more.")


class ExchangeShown(BaseModel):
    """One request of a source and our answer to it."""

    id: str = Field(description="The request id, as X-Request-Id gave it.")
    time: Time
    directory: str
    source: str
    method: str
    path: str
    query: str = Field(description="Decoded; secrets and, by setting, values are struck out.")
    status: int
    duration_us: int
    rewrites: list[str] = Field(description="The named rewrites that the dialect made.")
    dropped: list[str] = Field(description="Paths of what no schema knew.")
    resource_type: str
    resource_id: str
    change_ids: list[str]
    detail: str
    headers: Mapping[str, str] = Field(description="Those that matter to SCIM; never a credential.")
    request: BodyShown | None
    answer: AnswerShown | None


class Exchanges(BaseModel):
    items: list[ExchangeShown]
    searched_to: Time | None = Field(
        description="Set when the search stopped at its bound: nothing before this time was looked at."
    )


@routes.get("/exchanges", summary="Search the recorded exchanges, newest first")
async def list_exchanges(
    parts: Parts,
    directory: InDirectory = None,
    source: OfSource = None,
    status: OfStatus = None,
    errors_only: ErrorsOnly = False,
    method: OfMethod = None,
    resource: OfResource = None,
    text: WithText = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
) -> Exchanges:
    # Whoever asks has often just made the request in question.
    await parts.exchanges.flush()
    # The name of a type has no digit; our ids have at least the one of their version.
    is_kind = resource is not None and resource.isalpha()
    wanted = Search(
        directory=directory,
        source=source,
        status=status,
        errors_only=errors_only,
        method=method,
        kind=resource if is_kind else None,
        resource=None if is_kind else resource,
        since=_moment("since", since),
        until=_moment("until", until),
        text=text,
    )
    found = await parts.exchanges.search(wanted, limit)
    whole = await completed(parts, found.exchanges)
    return Exchanges(items=[show_exchange(exchange) for exchange in whole], searched_to=found.searched_to)


@routes.get("/exchanges/{id}", summary="Show one exchange by its request id")
async def get_exchange(parts: Parts, id: str) -> ExchangeShown:
    await parts.exchanges.flush()
    found = await parts.exchanges.find([id.lower()])
    if not found:
        raise Absent(f"No exchange with the request id {id[:80]!r} is kept; X-Request-Id of an answer is its request id.")
    return show_exchange((await completed(parts, found))[0])


async def completed(parts: Parts, exchanges: Sequence[Exchange]) -> list[Exchange]:
    """The exchanges in the same order, their answers as whole as the change log can make them."""
    wanting: dict[str, list[Exchange]] = {}
    for exchange in exchanges:
        if completion.is_wanting(exchange):
            wanting.setdefault(exchange.directory, []).append(exchange)
    whole: dict[str, Exchange] = {}
    for name, some in wanting.items():
        directory = await parts.store.find_directory(name)
        if directory is None:
            continue
        catalog = await parts.catalogs.current(directory.key)
        ids = [id for exchange in some for id in exchange.change_ids]
        changes = {change.id: change for change in await parts.store.changes_with_ids(directory.key, ids)}
        whole |= {exchange.id: completion.complete(exchange, changes, catalog) for exchange in some}
    return [whole.get(exchange.id, exchange) for exchange in exchanges]


def _moment(name: str, given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return clock.text(clock.parse(given))
    except (ValueError, OverflowError):
        raise Invalid([f"{name} is {given[:80]!r}; it must be a time such as 2026-11-23T20:41:35Z."]) from None


def show_exchange(exchange: Exchange) -> ExchangeShown:
    """The exchange as the API shows it."""
    return ExchangeShown(
        id=exchange.id,
        time=exchange.time,
        directory=exchange.directory,
        source=exchange.source,
        method=exchange.method,
        path=exchange.path,
        query=exchange.query,
        status=exchange.status,
        duration_us=exchange.duration_us,
        rewrites=list(exchange.rewrites),
        dropped=list(exchange.dropped),
        resource_type=exchange.resource_kind,
        resource_id=exchange.resource_id,
        change_ids=list(exchange.change_ids),
        detail=exchange.detail,
        headers=exchange.headers,
        request=_show_body(exchange.request),
        answer=_show_answer(exchange.answer),
    )


def _show_body(body: Body) -> BodyShown | None:
    return BodyShown(text=body.text, size=body.size, is_cut=body.is_cut) if body.size else None


def _show_answer(body: Body) -> AnswerShown | None:
    if not body.size:
        return None
    return AnswerShown(text=body.text, size=body.size, is_cut=body.is_cut, lacks_document=body.rest != "")
