"""A client of the hub's pull feed: fill a replica from the snapshot, then keep it up to date."""

import http.client
import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from .event import Event, Malformed, from_json
from .replica import Outcome, Replica, Truncated

_logger = logging.getLogger(__name__)

# Seconds: what is added to ``wait`` before an answer is given up, and the bounds of the pause after a failure.
_PATIENCE = 30.0
_SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_LONGEST_ASKED_PAUSE = 3600.0


class Refused(Exception):
    """The hub will not answer this request, now or later: a wrong token, a wrong parameter. ``status`` is HTTP's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Unavailable(Exception):
    """The hub cannot be reached or asks for patience; ``after`` is for how many seconds, when it said so."""

    def __init__(self, detail: str, after: float | None = None) -> None:
        super().__init__(detail)
        self.after = after


class _Expired(Exception):
    """The cursor leads nowhere any more (HTTP 410): begin with the snapshot."""


@dataclass(frozen=True, slots=True)
class Page:
    """One step of ``Feed.tail``, already in the replica. Without outcomes nothing that matches has happened.

    ``rebuilt`` says that the replica was filled anew from the snapshot.
    """

    outcomes: tuple[tuple[Event, Outcome], ...] = ()
    up_to_date: bool = False
    rebuilt: bool = False


class Feed:
    """One destination of kind ``feed``. ``url`` is ``https://<hub>/feed/v1/<directory>``, ``token`` its bearer token.

    ``sleep`` is how pauses are made. Use one in one thread.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        context: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of a feed; write https://<hub>/feed/v1/<directory>.")
        self._parts = parts
        self._path = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, application/x-ndjson"}
        self._context = context
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bootstrap(self, replica: Replica) -> int:
        """Replace what the replica holds by the snapshot; how many resources it has.

        All of it or nothing. Webhooks may write the same replica meanwhile: they wait, or come again. Raises Truncated when
        it was cut off, Unavailable or Refused.
        """
        # A connection of its own: what is left unread of a failed snapshot must not come before the next answer.
        self.close()
        try:
            return replica.replace(self._snapshot())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Truncated(f"The snapshot could not be read to its end: {error}") from error
        finally:
            self.close()

    def _snapshot(self) -> Iterator[Mapping[str, Any]]:
        # Asked for only when the replica's transaction has begun: so the snapshot has whatever was applied before.
        with self._answered("snapshot", {}, _PATIENCE) as answer:
            yield from _lines(answer)

    def tail(self, replica: Replica, *, wait: int = 30, limit: int = 100) -> Iterator[Page]:
        """Keep the replica up to date: yields a page after each that is in it, empty ones every ``wait`` seconds.

        It begins with the snapshot when the replica has no cursor, or its cursor leads nowhere any more. When the hub is
        away it pauses, longer and longer, and goes on. Stop by closing the generator. Raises Refused and Malformed.
        """
        failures = 0
        while True:
            try:
                page = self._step(replica, wait, limit)
            except (Unavailable, Truncated) as error:
                self.close()
                failures += 1
                pause = _pause(failures, getattr(error, "after", None))
                _logger.warning("feed not read: %s Trying again in %.1f s.", error, pause)
                self._sleep(pause)
                continue
            failures = 0
            yield page

    def _step(self, replica: Replica, wait: int, limit: int) -> Page:
        cursor = replica.cursor
        if cursor is not None:
            try:
                return self._next(replica, cursor, wait, limit)
            except _Expired:
                pass
        self.bootstrap(replica)
        return Page(rebuilt=True)

    def _next(self, replica: Replica, cursor: str, wait: int, limit: int) -> Page:
        asked = {"after": cursor, "wait": wait, "limit": limit}
        try:
            with self._answered("events", asked, wait + _PATIENCE) as answer:
                page = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"The feed's answer could not be read: {error}") from error
        if not isinstance(page, dict) or not isinstance(page.get("next"), str) or not isinstance(page.get("items"), list):
            raise Malformed("The feed's answer is not a page of events.")
        events = [from_json(item) for item in page["items"]]
        if not events and page["next"] == cursor:
            return Page(up_to_date=bool(page.get("up_to_date")))
        outcomes = replica.apply_all(events, page["next"])
        return Page(tuple(zip(events, outcomes, strict=True)), bool(page.get("up_to_date")))

    # ----------------------------------------------------------------- HTTP

    def _answered(self, name: str, parameters: Mapping[str, object], patience: float) -> "closing[http.client.HTTPResponse]":
        """The answer, of status 200, to a GET; raises _Expired, Refused or Unavailable for others."""
        answer = self._get(f"{self._path}/{name}?{urlencode(parameters)}".rstrip("?"), patience)
        if answer.status == 200:
            return closing(answer)
        with closing(answer):
            detail = _detail(answer)
        if answer.status == 410:
            raise _Expired(detail)
        if answer.status == 429 or answer.status >= 500:
            raise Unavailable(detail, _seconds(answer.headers.get("Retry-After")))
        raise Refused(answer.status, detail)

    def _get(self, target: str, patience: float) -> http.client.HTTPResponse:
        # A connection that the hub closed while it was idle is no failure: then there is one more try, on a new one.
        is_new = self._connection is None
        try:
            connection = self._open()
            connection.timeout = patience
            if connection.sock is not None:
                connection.sock.settimeout(patience)
            connection.request("GET", target, headers=self._headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if is_new or isinstance(error, TimeoutError):
                raise Unavailable(f"The hub cannot be reached: {error}") from error
        return self._get(target, patience)

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme == "https":
                context = self._context or ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port)
        return self._connection


def _lines(answer: http.client.HTTPResponse) -> Iterator[Mapping[str, Any]]:
    for line in answer:
        if line.strip():
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise Truncated("A line of the snapshot is no JSON object.")
            yield parsed


def _detail(answer: http.client.HTTPResponse) -> str:
    try:
        problem = json.loads(answer.read(65536))
        return f"HTTP {answer.status}: {problem['detail']}"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}"


def _seconds(text: str | None) -> float | None:
    """What Retry-After asks for when it is written in seconds, as the hub writes it."""
    return min(float(text), _LONGEST_ASKED_PAUSE) if text is not None and text.strip().isdigit() else None


def _pause(failures: int, asked: float | None) -> float:
    if asked is not None:
        # Not all consumers at the same moment.
        return asked + random.uniform(0, 1)  # noqa: S311 - spreads load, guards nothing
    longest = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(failures, 10))
    return random.uniform(_SHORTEST_PAUSE / 2, longest)  # noqa: S311
