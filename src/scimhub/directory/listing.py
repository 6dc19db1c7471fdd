"""The use-case of listing: a query understood for each kind, one page selected, shown, and a way to the next one."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from scimhub.directory import representation, streaming
from scimhub.directory.ports import After, Page, ResourceStore, Selection
from scimhub.directory.representation import Viewpoint
from scimhub.directory.resources import Caller
from scimhub.scim import filters, listing, projection
from scimhub.scim.catalog import Kind, Target
from scimhub.scim.filters import Condition, Unknown
from scimhub.scim.listing import ListQuery, PageEnd
from scimhub.scim.notes import Notes


@dataclass(frozen=True, slots=True)
class Paging:
    """How lists are cut: the secret that signs page cursors, page sizes, and the life of a cursor in seconds."""

    secret: bytes
    page_size: int
    page_size_max: int
    cursor_lifetime: int
    # Seconds since the epoch.
    clock: Callable[[], float]


async def list_resources(
    store: ResourceStore,
    caller: Caller,
    viewpoint: Viewpoint,
    kinds: Sequence[Kind],
    query: ListQuery,
    paging: Paging,
    notes: Notes,
) -> bytes | AsyncIterator[bytes]:
    """The ListResponse to the query over these kinds (RFC 7644 §3.4.2), in pieces when there are large groups in it.

    Raises ScimError.
    """
    lenient = caller.dialect.is_lenient
    if query.attributes is None and query.excluded is None and len(kinds) == 1:
        shape = projection.default(kinds[0])
    else:
        shape = projection.parse(query.attributes, query.excluded, kinds, lenient=lenient)
    limit = query.page_size(paging.page_size, paging.page_size_max)
    # In the order of the fields: by name it would take twice as long.
    selection = Selection(
        caller.directory.key,
        caller.source.key,
        _conditions(kinds, query, lenient, notes),
        None if query.sort_by is None else _sort(kinds, query.sort_by, lenient),
        query.descending,
        query.start_index - 1,
        _start(caller, query, paging, kinds, limit) if query.cursor else None,
        limit,
        viewpoint.base_url,
    )
    page = await store.select(selection)
    next_cursor = None if query.cursor is None else _next_cursor(caller, query, page, paging, kinds, limit)
    start_index = query.start_index if query.cursor is None else None
    counts = await streaming.member_counts(store, viewpoint, page.resources, shape)
    if counts and max(counts.values()) > streaming.MANY:
        head = listing.list_head(page.total, len(page.resources), start_index, next_cursor)
        return streaming.tell_list(store, viewpoint, caller, page.resources, shape, counts, head)
    items = await representation.render(store, viewpoint, page.resources, shape, counts=counts)
    return listing.render_list(page.total, items, start_index, next_cursor)


def _start(caller: Caller, query: ListQuery, paging: Paging, kinds: Sequence[Kind], limit: int) -> After | None:
    """Behind which resource the page begins that the cursor stands for."""
    end = listing.decode_cursor(
        paging.secret,
        query,
        directory=caller.directory.key,
        source=caller.source.key,
        endpoint=_endpoint(kinds),
        count=limit,
        now=paging.clock(),
    )
    return None if end is None else After(end.key, end.value)


def _endpoint(kinds: Sequence[Kind]) -> str:
    """What was asked, as cursors name it."""
    return ",".join(kind.endpoint for kind in kinds)


def _conditions(kinds: Sequence[Kind], query: ListQuery, lenient: bool, notes: Notes) -> dict[Kind, Condition | None]:
    if query.filter is None:
        return dict.fromkeys(kinds)
    expression = filters.parse(query.filter)
    if len(kinds) == 1:
        kind = kinds[0]
        return {kind: filters.bind(expression, kind, lenient=lenient, notes=notes)}
    # RFC 7644 §3.4.2.1: over several types, what one of them does not know has no value there.
    return {kind: filters.bind(expression, kind, lenient=lenient, unknown="absent", notes=notes) for kind in kinds}


def _sort(kinds: Sequence[Kind], sort_by: str, lenient: bool) -> dict[Kind, Target]:
    unknown: Unknown = "error" if len(kinds) == 1 else "absent"
    targets = {kind: listing.sort_target(sort_by, kind, lenient=lenient, unknown=unknown) for kind in kinds}
    return {kind: target for kind, target in targets.items() if target is not None}


def _next_cursor(caller: Caller, query: ListQuery, page: Page, paging: Paging, kinds: Sequence[Kind], limit: int) -> str | None:
    if page.more is None:
        return None
    return listing.encode_cursor(
        paging.secret,
        query,
        PageEnd(page.more.key, page.more.value),
        directory=caller.directory.key,
        source=caller.source.key,
        endpoint=_endpoint(kinds),
        count=limit,
        expires=paging.clock() + paging.cursor_lifetime,
    )
