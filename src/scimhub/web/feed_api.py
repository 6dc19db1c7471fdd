"""The pull feed over HTTP: pages of events, the same as server-sent events, and the snapshot to begin with.

``/feed/v1/{directory}/events`` and ``/feed/v1/{directory}/snapshot``, for the bearer token of a destination of kind
``feed``. Presenting a cursor acknowledges what lies before it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from scimhub.directory.errors import Absent, Invalid, StoreUnavailable
from scimhub.directory.schemas import Catalogs
from scimhub.directory.sources import digest_of
from scimhub.distribution import feed, snapshot
from scimhub.distribution.acknowledging import Acknowledgements
from scimhub.distribution.delivery import Destination
from scimhub.distribution.feed import Bell, Expired, Foreign, Good, Page, View
from scimhub.distribution.ports import ChangeReader, DestinationStore
from scimhub.distribution.snapshot import Pins, Walk
from scimhub.web import auth, feed_requests
from scimhub.web.auth import Refused
from scimhub.web.exchange import Answer, ClientGone, Receive, Request, Scope, Send, problem, read_request
from scimhub.web.feed_requests import Asked
from scimhub.web.streams import Client

_logger = logging.getLogger(__name__)
_MOST_REMEMBERED = 10_000
_BLOCK = 64 * 1024
_CHALLENGE = 'Bearer realm="scimhub"'


class FeedStore(DestinationStore, ChangeReader, Walk, Protocol):
    """What the feeds need of the store. ``log_epoch`` and ``cursor_secret`` go into cursors."""

    @property
    def log_epoch(self) -> str: ...

    @property
    def cursor_secret(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are seconds. ``readers`` and ``snapshots`` are how many one feed may have open at once."""

    # How long a client may leave bytes unread.
    patience: float = 30.0
    keep_alive: float = 15.0
    # How often the token of an open stream is looked at again.
    recheck: float = 10.0
    # How long the destination of a token is remembered.
    remembered: float = auth.REMEMBERED_SECONDS
    # Then a stream ends, and the client's return acknowledges what it has.
    stream: float = 300.0
    readers: int = 50
    snapshots: int = 2


class FeedApi:
    """See the module. ``root_url`` is the hub's own URL; ``pins`` says what retention must keep while a snapshot runs."""

    def __init__(
        self,
        store: FeedStore,
        catalogs: Catalogs,
        pins: Pins,
        *,
        root_url: str,
        now: Callable[[], str],
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._pins = pins
        self._root_url = root_url
        self._now = now
        self._new_id = new_id
        self._monotonic = monotonic
        self._limits = limits or Limits()
        self._bell = Bell(store)
        self._acknowledgements = Acknowledgements(store, monotonic)
        self._remembered: dict[bytes, tuple[Destination, float]] = {}
        self._views: dict[int, View] = {}
        self._open: Counter[tuple[str, int]] = Counter()
        self._is_stopping = False

    def stop(self) -> None:
        """End open streams and long polls; to be called in the event loop as soon as the hub is to stop."""
        self._is_stopping = True
        self._bell.close()

    async def close(self) -> None:
        """Stop, and write how far every consumer is. The store must still be open."""
        self.stop()
        await self._acknowledgements.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, request_id = read_request(scope, receive), self._new_id()
        async with Client(receive, send, request_id, self._limits.patience) as client:
            try:
                answer = await self._answer(request, client)
            except ClientGone:
                return
            except StoreUnavailable as fault:
                _logger.warning("feed not served", extra={"request_id": request_id, "reason": str(fault)})
                answer = feed_requests.later(503, str(fault), feed_requests.CROWDED_RETRY)
            except Exception:
                _logger.exception("feed failed", extra={"request_id": request_id})
                answer = problem(500, "Internal error", f"The hub failed; its log has more under {request_id}.")
            # A snapshot that fails halfway is cut off: its last line is missing, which the consumer sees.
            if answer is not None and not client.has_begun:
                answer.headers.append((b"cache-control", b"no-store"))
                await answer.send(scope, send, request_id)

    async def _answer(self, request: Request, client: Client) -> Answer | None:
        """The answer; None when it has been streamed."""
        directory, _, place = request.path.removeprefix(feed_requests.PREFIX).partition("/")
        if place not in ("events", "snapshot"):
            return feed_requests.not_found()
        if request.method != "GET":
            return feed_requests.not_allowed()
        view = await self._admit(request, directory)
        if isinstance(view, Answer):
            return view
        asked = feed_requests.parse(request, place)
        if isinstance(asked, Answer):
            return asked
        if place == "snapshot":
            return await self._snapshot(client, view)
        if asked.types:
            try:
                view = view.narrowed(asked.types)
            except Invalid as error:
                return feed_requests.bad_request(error.problems)
        position = await self._begin(view, asked)
        if isinstance(position, Answer):
            return position
        with self._counted("readers", view, self._limits.readers) as has_room:
            if not has_room:
                return feed_requests.crowded("readers")
            if not feed_requests.wants_stream(request):
                return await self._page(request, client, view, asked, position)
            await self._stream(request, client, view, asked, position)
            return None

    # ----------------------------------------------------------------- who asks, from where

    async def _admit(self, request: Request, directory: str) -> View | Answer:
        """The view of the feed that the request's token opens."""
        try:
            secret = auth.bearer(request)
        except Refused as refused:
            return feed_requests.unauthorized(refused.fault.status, str(refused), refused.challenge)
        destination = await self._find(digest_of(secret))
        if destination is None or destination.kind != "feed":
            detail = "The bearer token opens no feed; create a destination of kind feed, or rotate its secret, to get one."
            return feed_requests.unauthorized(401, detail, f'{_CHALLENGE}, error="invalid_token"')
        if destination.directory_name != directory:
            # The same whether that directory exists (DECISIONS 20).
            detail = "The token is not for a feed of this directory."
            return feed_requests.unauthorized(403, detail, f'{_CHALLENGE}, error="insufficient_scope"')
        if destination.state not in ("active", "behind"):
            return feed_requests.paused(destination)
        try:
            return await self._view(destination)
        except Invalid as error:
            detail = f"The feed's subscription fits the directory's schemas no more: {error}"
            return feed_requests.later(503, detail, feed_requests.PAUSED_RETRY)

    async def _find(self, digest: bytes) -> Destination | None:
        found, until = self._remembered.get(digest, (None, 0.0))
        if found is not None and until > self._monotonic():
            return found
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        found = await self._store.find_destination_by_token(digest, self._now())
        if found is None:
            self._remembered.pop(digest, None)
        else:
            self._remembered[digest] = (found, self._monotonic() + self._limits.remembered)
        return found

    async def _view(self, destination: Destination) -> View:
        """The view, made anew only when the subscription, the catalog or the destination's state has changed."""
        catalog = await self._catalogs.current(destination.directory)
        known = self._views.get(destination.key)
        if known is None or known.destination != destination or known.envelope.viewpoint.catalog is not catalog:
            known = feed.open_view(destination, catalog, self._root_url, self._store.log_epoch, self._store.cursor_secret)
            self._views[destination.key] = known
        return known

    async def _begin(self, view: View, asked: Asked) -> int | Answer:
        """The position to begin behind; presenting a cursor acknowledges what lies before it."""
        destination = view.destination
        purged, head = await self._store.purged_position(), await self._store.last_position()
        start: Good | Expired | Foreign
        if destination.state == "behind":
            start = Expired(destination.reason or "Retention has removed changes that this feed had not read.")
        elif asked.after is None:
            start = feed.check_position(self._acknowledgements.position(destination), purged)
        else:
            start = view.cursors.parse(asked.after, purged, head)
        if not isinstance(start, Good):
            return self._gone(view, start.reason)
        await self._acknowledgements.note(destination, start.position)
        return start.position

    def _gone(self, view: View, reason: str) -> Answer:
        return feed_requests.expired(reason, self._root_url, view.destination.directory_name)

    async def _changed(self, request: Request, view: View) -> Answer | None:
        """What the request would be answered now that it was admitted before; None when it still is."""
        again = await self._admit(request, view.destination.directory_name)
        if isinstance(again, Answer):
            return again
        if again.destination.state == "behind" or again.cursors != view.cursors:
            return self._gone(view, "The feed has changed while it was read.")
        return None

    @contextmanager
    def _counted(self, what: str, view: View, most: int) -> Iterator[bool]:
        """Whether one more may be open; if so, it counts until this ends."""
        place = (what, view.destination.key)
        if self._open[place] >= most:
            yield False
            return
        self._open[place] += 1
        try:
            yield True
        finally:
            self._open[place] -= 1

    # ----------------------------------------------------------------- events

    async def _page(self, request: Request, client: Client, view: View, asked: Asked, position: int) -> Answer:
        until = self._monotonic() + asked.wait
        while True:
            rung = self._bell.listen()
            page = await feed.read_page(self._store, view, position, asked.limit)
            if isinstance(page, Expired):
                return self._gone(view, page.reason)
            left = until - self._monotonic()
            if page.items or left <= 0 or self._is_stopping:
                return _page_answer(view, page)
            position = page.next
            if page.up_to_date:
                await client.wait(rung, left)
            if (changed := await self._changed(request, view)) is not None:
                return changed

    async def _stream(self, request: Request, client: Client, view: View, asked: Asked, position: int) -> None:
        limits, begun = self._limits, self._monotonic()
        written = checked = begun
        await client.begin(f"{feed_requests.EVENT_STREAM}; charset=utf-8".encode())
        await client.write(b"retry: 1000\n\n")
        while not self._is_stopping and (now := self._monotonic()) - begun < limits.stream:
            if now - checked >= limits.recheck:
                checked = now
                if await self._changed(request, view) is not None:
                    break
            rung = self._bell.listen()
            page = await feed.read_page(self._store, view, position, asked.limit)
            if isinstance(page, Expired):
                break
            for block in _frames(page):
                await client.write(block)
                written = self._monotonic()
            position = page.next
            if self._monotonic() - written >= limits.keep_alive:
                # The id without an event moves the client's Last-Event-ID past what did not match.
                await client.write(f": keep-alive\nid: {view.cursors.write(position)}\n\n".encode())
                written = self._monotonic()
            if page.up_to_date:
                due = min(written + limits.keep_alive, checked + limits.recheck, begun + limits.stream)
                await client.wait(rung, due - self._monotonic())
        # The client comes back, and is then told why if it was turned away.
        await client.write(b"retry: 2000\n\n")
        await client.end()

    # ----------------------------------------------------------------- the snapshot

    async def _snapshot(self, client: Client, view: View) -> Answer | None:
        with self._counted("snapshots", view, self._limits.snapshots) as has_room:
            if not has_room:
                return feed_requests.crowded("snapshots")
            position = await self._store.last_position()
            async with self._pins.hold(position):
                await self._send_snapshot(client, view, position)
            return None

    async def _send_snapshot(self, client: Client, view: View, position: int) -> None:
        await client.begin(b"application/x-ndjson")
        last = b""
        async with aclosing(snapshot.lines(self._store, view, position, self._now)) as blocks:
            async for block in blocks:
                if self._is_stopping:
                    raise ClientGone
                if last:
                    await client.write(last)
                last = block
        if view.destination.state == "behind":
            await self._catch_up(view.destination, position)
        await client.write(last)
        await client.end()

    async def _catch_up(self, destination: Destination, position: int) -> None:
        """Who has the whole snapshot has missed nothing any more. Before its last block, so that the cursor in it holds."""
        try:
            await self._store.move_cursor(destination.key, position, None)
            await self._store.set_state(destination.key, "active", "", self._now())
        except Absent as error:
            raise ClientGone from error
        self._remembered.clear()


def _page_answer(view: View, page: Page) -> Answer:
    head = f'","up_to_date":{"true" if page.up_to_date else "false"},"head":{page.head}}}'
    items = b",".join(item.body for item in page.items)
    body = b"".join((b'{"items":[', items, b'],"next":"', view.cursors.write(page.next).encode(), head.encode()))
    return Answer(200, body, content_type=b"application/json")


def _frames(page: Page) -> Iterator[bytes]:
    """The page's events as server-sent ones, in blocks of some size."""
    block: list[bytes] = []
    size = 0
    for item in page.items:
        # JSON as we write it has no line breaks.
        block += (f"id: {item.cursor}\nevent: {item.type}\ndata: ".encode(), item.body, b"\n\n")
        size += len(item.body)
        if size >= _BLOCK:
            yield b"".join(block)
            block, size = [], 0
    if block:
        yield b"".join(block)
