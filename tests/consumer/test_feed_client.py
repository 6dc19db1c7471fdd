"""The kit's client against a live hub: bootstrap, tail, restarts, faults; while others write."""

import http.client
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scimhub import clock
from scimhub.consumer import Feed, Page, Refused, Replica, Truncated, Unavailable
from scimhub.directory import sources
from scimhub.distribution.delivery import Destination, Subscription
from scimhub.sqlstore.store import SqlStore
from scimhub.web.feed_api import FeedApi, Limits
from tests.consumer.hub import TOKEN, Loop, Place, Served, open_api, open_sqlite
from tests.consumer.test_torture import WANTED, History, compare


class Hub:
    """A live hub in a thread of its own. ``spoil`` may stand between it and the network."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.folder = folder
        self.port = 0
        self.feeds: list[Feed] = []
        self.spoil: Callable[[Any], Any] | None = None
        self.store: SqlStore
        self.api: FeedApi
        self.served: Served
        self.loop.run(self._open())
        self.place = self.loop.run(Place.open(self.store))

    async def _open(self) -> None:
        self.store = open_sqlite(self.folder)
        self.api = open_api(self.store, Limits(remembered=0))
        self.served = await Served.start(self._application, self.port)
        self.port = self.served.port

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        await self.api(scope, receive, self.spoil(send) if self.spoil is not None else send)

    def stop(self) -> None:
        async def stop() -> None:
            await self.api.close()
            await self.served.stop()

        self.loop.run(stop())
        self.store.database.close_here()

    def start(self) -> None:
        self.loop.run(self._open())
        self.place.store = self.store

    def close(self) -> None:
        for feed in self.feeds:
            feed.close()
        self.stop()
        self.loop.close()

    def feed(self, token: str = TOKEN, **options: Any) -> Feed:
        self.feeds.append(Feed(f"http://127.0.0.1:{self.port}/feed/v1/acme", token, **options))
        return self.feeds[-1]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    opened = Hub(tmp_path)
    yield opened
    opened.close()


def until_current(pages: Iterator[Page]) -> list[Page]:
    """Pages up to the one that is up to date."""
    found = [next(pages)]
    while not found[-1].up_to_date:
        found.append(next(pages))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_consumer_that_bootstraps_and_tails_while_all_is_written_ends_as_the_hub_is(hub: Hub, tmp_path: Path, seed: int):
    chance = random.Random(seed)
    destination = hub.loop.run(hub.place.feed(subscription=WANTED, cursor=0))
    history = History(hub.place, chance)
    hub.loop.run(write(history, 150))
    path = tmp_path / "replica.db"
    writing = hub.loop.begin(write(history, 300))
    told: list[Page] = []
    while not writing.done():
        # Each round is a restart of the consumer.
        with Replica(path) as replica:
            feed = hub.feed()
            pages = feed.tail(replica, wait=0, limit=chance.randint(1, 20))
            told += [next(pages) for _ in range(chance.randint(1, 5))]
            feed.close()
    writing.result(60)
    with Replica(path) as replica:
        feed = hub.feed()
        told += until_current(feed.tail(replica, wait=0))
        assert [page.rebuilt for page in told].count(True) == 1
        assert sum(len(page.outcomes) for page in told) > 100
        compare(replica, *hub.loop.run(hub.place.expected(destination)))
        with Replica() as other:
            assert feed.bootstrap(other) == len(list(replica.resources()))
            assert other.digest() == replica.digest()


async def write(history: History, steps: int) -> None:
    for _ in range(steps):
        await history.step()


def test_tail_begins_with_the_snapshot_then_waits_for_what_comes(hub: Hub):
    hub.loop.run(hub.place.feed())
    anna = hub.loop.run(hub.place.user("anna"))
    with Replica() as replica:
        feed = hub.feed()
        pages = feed.tail(replica, wait=20)
        assert next(pages) == Page(rebuilt=True)
        assert [held.id for held in replica.resources()] == [anna]
        hub.loop.begin(hub.place.set(anna, title="boss"))
        page = next(pages)
        assert [(event.verb, outcome) for event, outcome in page.outcomes] == [("updated", "applied")]
        held = replica.get(anna)
        assert held is not None
        assert (held.version, held.resource["title"]) == (2, "boss")


def test_a_cursor_that_leads_nowhere_leads_to_a_new_snapshot(hub: Hub):
    destination = hub.loop.run(hub.place.feed())
    hub.loop.run(hub.place.user("anna"))
    with Replica() as replica:
        feed = hub.feed()
        pages = feed.tail(replica, wait=0)
        until_current(pages)
        narrower = Subscription(filters={"User": 'userName eq "ben"'})
        hub.loop.run(hub.store.update_destination(destination.key, {}, narrower, clock.now_text()))
        ben = hub.loop.run(hub.place.user("ben"))
        assert next(pages) == Page(rebuilt=True)
        assert [held.id for held in replica.resources()] == [ben]


def test_a_hub_that_restarts_is_waited_for(hub: Hub):
    hub.loop.run(hub.place.feed())
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            hub.start()

    with Replica() as replica:
        feed = hub.feed(sleep=pause)
        pages = feed.tail(replica, wait=0)
        until_current(pages)
        anna = hub.loop.run(hub.place.user("anna"))
        hub.stop()
        page = next(pages)
        assert [event.resource_id for event, _ in page.outcomes] == [anna]
        assert len(pauses) == 3
        assert all(0 < seconds <= 4 for seconds in pauses)


def test_a_paused_feed_is_asked_again_when_it_says(hub: Hub):
    destination = hub.loop.run(hub.place.feed())
    pauses: list[float] = []

    def state(name: Any) -> None:
        hub.loop.run(hub.store.set_state(destination.key, name, "", clock.now_text()))

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        state("active")

    with Replica() as replica:
        feed = hub.feed(sleep=pause)
        state("paused")
        with pytest.raises(Unavailable) as caught:
            feed.bootstrap(replica)
        assert caught.value.after == 30
        assert next(feed.tail(replica)) == Page(rebuilt=True)
        assert [30 <= seconds <= 31 for seconds in pauses] == [True]


def test_a_wrong_token_is_refused_for_good(hub: Hub):
    hub.loop.run(hub.place.feed())
    with Replica() as replica:
        feed = hub.feed("a-token-that-nobody-made")
        with pytest.raises(Refused) as caught:
            next(feed.tail(replica))
        assert caught.value.status == 401
        assert "opens no feed" in str(caught.value)


def test_a_snapshot_that_is_cut_off_leaves_the_replica_as_it_was(hub: Hub):
    hub.loop.run(hub.place.feed())
    hub.loop.run(hub.place.user("anna"))
    with Replica() as replica:
        feed = hub.feed(sleep=lambda _: setattr(hub, "spoil", None))
        feed.bootstrap(replica)
        before = replica.digest()
        for number in range(300):
            hub.loop.run(hub.place.user(f"user{number}", title="x" * 1000))
        hub.spoil = cut_after(2)
        with pytest.raises(Truncated):
            feed.bootstrap(replica)
        assert replica.digest() == before
        # An end that HTTP calls a proper one: only the last line tells.
        hub.spoil = end_after(2)
        with pytest.raises(Truncated, match="before its last line"):
            feed.bootstrap(replica)
        assert replica.digest() == before
        hub.loop.run(hub.store.purge_changes(200))
        assert next(feed.tail(replica)) == Page(rebuilt=True)
        assert len(list(replica.resources())) == 301


def test_what_a_webhook_tells_before_a_snapshot_begins_is_in_the_snapshot(hub: Hub):
    """The snapshot is asked for inside the replica's transaction, so that no webhook falls between the two."""
    hub.loop.run(hub.place.feed())
    asked: list[bool] = []

    class Watched(Feed):
        def _get(self, target: str, patience: float) -> http.client.HTTPResponse:
            asked.append(replica._connection.in_transaction)
            return super()._get(target, patience)

    with Replica() as replica, Watched(f"http://127.0.0.1:{hub.port}/feed/v1/acme", TOKEN) as feed:
        feed.bootstrap(replica)
    assert asked == [True]


def cut_after(count: int) -> Callable[[Any], Any]:
    """The network breaks after so many messages of each answer."""

    def spoil(send: Any) -> Any:
        sent: list[Any] = []

        async def broken(message: Any) -> None:
            sent.append(message)
            if len(sent) > count:
                raise ConnectionResetError
            await send(message)

        return broken

    return spoil


def end_after(count: int) -> Callable[[Any], Any]:
    """Something between ends each answer early, properly."""

    def spoil(send: Any) -> Any:
        sent: list[Any] = []

        async def ended(message: Any) -> None:
            sent.append(message)
            if len(sent) == count:
                await send({**message, "more_body": False})
            elif len(sent) < count:
                await send(message)

        return ended

    return spoil


def test_the_replica_holds_what_was_acknowledged(hub: Hub):
    destination = hub.loop.run(hub.place.feed())
    with Replica() as replica:
        feed = hub.feed()
        pages = feed.tail(replica, wait=0)
        until_current(pages)
        for name in ("anna", "ben"):
            hub.loop.run(hub.place.user(name))
        until_current(pages)
        next(pages)
        hub.loop.run(hub.api.close())
        again: Destination = hub.loop.run(hub.place.again(destination))
        assert again.cursor == 2
        assert json.dumps(replica.cursor)


@pytest.mark.parametrize("url", ["hub.example/feed", "ftp://hub/feed/v1/acme", "https:///feed"])
def test_a_url_that_is_none_is_refused(url: str):
    with pytest.raises(ValueError, match="no URL of a feed"):
        Feed(url, TOKEN)


def test_tokens_are_kept_as_digests_only(hub: Hub):
    hub.loop.run(hub.place.feed())
    (destination,) = hub.loop.run(hub.store.list_destinations())
    (secret,) = hub.loop.run(hub.store.list_secrets(destination.key))
    assert secret.value == sources.digest_of(TOKEN)
