"""The rows of recorded exchanges, the same in every database: their columns, and a search as a condition on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import orjson

from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import NO_BODY, Body, Exchange, Found, Headers, Received, Search
from scimhub.sqlstore.connection import Row, SqlValue

Values = tuple[SqlValue, ...]


class Archive(Protocol):
    """Where the rows of exchanges and attempts are kept: a file or tables. ``exchanges`` brings them here, and asks."""

    def write(self, exchanges: Iterable[Values], attempts: Iterable[Values]) -> None:
        """Keep the rows and remove what is too old or too much, in one thread only; it blocks.

        Raises what it meets; then nothing was kept.
        """

    async def search(self, wanted: Search, limit: int) -> Found:
        """See ``exchanges.ports``; there is the meaning of ``find`` as well."""

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]: ...

    async def list_attempts(self, terms: "Terms", limit: int) -> Sequence[Attempt]:
        """The newest attempts that fit, newest first; ``attempts`` makes the terms."""

    async def close(self) -> None:
        """Give up connections; nobody writes any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many days exchanges and attempts are kept, how many of either, in how many bytes; how many a search looks at."""

    days: int
    count: int
    size: int
    searched: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A search as SQL. ``resource_id`` is that of the one resource that is asked for."""

    where: str
    values: Values
    resource_id: str | None = None


def terms_of(wishes: Iterable[tuple[str, SqlValue]], resource_id: str | None = None) -> Terms:
    """What holds for a row that meets every wish but those whose value is None."""
    kept = [(term, value) for term, value in wishes if value is not None]
    return Terms(" AND ".join(("TRUE", *(term for term, _ in kept))), tuple(value for _, value in kept), resource_id)


COLUMNS = (
    "id, time, directory, source, method, path, status, duration_us, rewrites, dropped, resource_kind, resource_id, "
    "change_ids, detail, query, headers, request, request_size, request_is_cut, answer, answer_size, answer_is_cut, "
    "answer_rest"
)

# What a text is looked for in.
SEARCHED_TEXT = " || '\n' || ".join(("path", "query", "detail", "coalesce(request, '')", "coalesce(answer, '')"))


def values_of(exchange: Exchange) -> Values:
    """A row of COLUMNS."""
    return (
        exchange.id,
        exchange.time,
        exchange.directory,
        exchange.source,
        exchange.method,
        exchange.path,
        exchange.status,
        exchange.duration_us,
        _array(exchange.rewrites),
        _array(exchange.dropped),
        exchange.resource_kind,
        exchange.resource_id,
        _array(exchange.change_ids),
        exchange.detail,
        exchange.query,
        _headers(tuple(exchange.headers.items())),
        exchange.request.text,
        exchange.request.size,
        exchange.request.is_cut,
        exchange.answer.text,
        exchange.answer.size,
        exchange.answer.is_cut,
        exchange.answer.rest,
    )


def values_as_received(received: Received) -> Values:
    """The row of an exchange of which ``redaction.keeps_all``, at a third of the time that redacting it would take."""
    # Up to the duration the columns are the fields; taking the others apart at once is quicker than by their names.
    rewrites, dropped, kind, resource_id, change_ids, _, _, headers, request, _, answer, answer_size, lacks_document, _ = (
        received[8:]
    )
    return (
        *received[:8],
        _array(rewrites),
        _array(dropped),
        kind,
        resource_id,
        _array(change_ids),
        "",
        "",
        _headers(headers),
        request.decode() if request else None,
        len(request),
        False,
        answer.decode() if answer else None,
        answer_size,
        False,
        "full" if lacks_document and answer else "",
    )


@lru_cache(maxsize=256)
def _headers(headers: Headers) -> str:
    return orjson.dumps(dict(headers)).decode()


def _array(texts: Sequence[str]) -> str:
    return orjson.dumps(texts).decode() if texts else "[]"


def exchange_of(row: Row) -> Exchange:
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    values["request"] = _body(values["request"], values.pop("request_size"), values.pop("request_is_cut"))
    answer = _body(values["answer"], values.pop("answer_size"), values.pop("answer_is_cut"))
    values["answer"] = answer._replace(rest=values.pop("answer_rest"))
    for name in ("rewrites", "dropped", "change_ids"):
        values[name] = tuple(orjson.loads(values[name]))
    return Exchange(**values | {"headers": orjson.loads(values["headers"])})


def _body(text: str | None, size: int, is_cut: int) -> Body:
    return Body(text, size, bool(is_cut)) if size else NO_BODY


def wishes(wanted: Search) -> list[tuple[str, SqlValue]]:
    """What the search asks of a row, but for its text and its time."""
    return [
        ("directory = ?", wanted.directory),
        ("source = ?", wanted.source),
        ("status = ?", wanted.status),
        # A bulk request is answered 200 even when its operations failed; its detail tells.
        ("(status >= ? OR detail <> '')", 400 if wanted.errors_only else None),
        ("method = ?", None if wanted.method is None else wanted.method.upper()),
        ("lower(resource_kind) = lower(?)", wanted.kind),
        ("resource_id = ?", wanted.resource),
    ]


def times(wanted: Search) -> list[tuple[str, SqlValue]]:
    """What the search asks of a row's time."""
    return [("time >= ?", wanted.since), ("time < ?", wanted.until)]
