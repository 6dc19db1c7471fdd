"""Reading lists page by page over one connection, as a provider does that imports everybody."""

import http.client
import re
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from bench.requests import ROOT
from bench.servers import TOKEN

_NEXT = re.compile(rb'"nextCursor":"([^"]+)"')
_AMOUNT = re.compile(rb'"itemsPerPage":(\d+)')
_HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/scim+json"}


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found, and its seconds; ``cursor`` leads to the page behind the last one, None when there is none."""

    users: int
    seconds: float
    cursor: str | None


def walk(port: int, count: int, limit: int | None = None) -> Walk:
    """Go through the users in pages of ``count``, all of them or until ``limit`` have been seen."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        start = perf_counter()
        users, cursor = 0, ""
        while True:
            body = _get(connection, f"count={count}&cursor={cursor}")
            amount, following = _AMOUNT.search(body), _NEXT.search(body)
            assert amount is not None, body[:500]
            users += int(amount[1])
            if following is None or (limit is not None and users >= limit):
                return Walk(users, perf_counter() - start, None if following is None else following[1].decode())
            cursor = following[1].decode()


def time_page(port: int, query: str, times: int) -> float:
    """The median of the seconds that the page takes, asked for so many times by one client."""
    took = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(times):
            start = perf_counter()
            _get(connection, query)
            took.append(perf_counter() - start)
    return median(took)


def _get(connection: http.client.HTTPConnection, query: str) -> bytes:
    connection.request("GET", f"{ROOT}/Users?{query}", headers=_HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"A page of {query} gave {answer.status}: {body[:500]!r}")
    return body
