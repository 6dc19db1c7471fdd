"""The pull feed: pages of events behind a cursor that only this hub can write and only this destination can use.

A feed cursor binds the log's epoch, the position, the destination and its subscription's version (DECISIONS 26). What it
cannot mean any more is told apart from what it never meant; to the consumer both say: begin with the snapshot. It gives no
rights; whoever shows it is authorised anew.
"""

import asyncio
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scimhub.directory.records import Change
from scimhub.distribution import envelope, subscription
from scimhub.distribution.delivery import Destination, Message, Subscription
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.ports import ChangeReader
from scimhub.distribution.subscription import Interest, Notice
from scimhub.distribution.waking import Waking
from scimhub.scim.catalog import Catalog

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
# What one page looks through at most, so that a feed that wants little costs no more than others.
SCANNED = 10_000
_READ_AT_ONCE = 500
# Reads of so few are made without changing the thread.
_READ_QUICKLY = 100
# Changes looked at before others get their turn.
_TURN = 50
# A page is full when it is as large as this, in bytes, whatever its limit.
_LARGEST_PAGE = 4 * 1024 * 1024


# --------------------------------------------------------------------------- cursors


@dataclass(frozen=True, slots=True)
class Good:
    """The cursor leads to what lies behind this position."""

    position: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The cursor was ours and leads nowhere any more; ``reason`` is one sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """The cursor was never given to this destination by this hub."""

    reason: str = "The cursor was not given out to this feed by this hub as it is now."


@dataclass(frozen=True, slots=True)
class Cursors:
    """Writes and reads the cursors of one feed. ``secret`` is the store's, ``epoch`` its log's."""

    secret: bytes
    epoch: str
    destination: str
    subscription_version: int

    def write(self, position: int) -> str:
        """The cursor; letters, digits, ``-``, ``_`` and ``.`` only."""
        payload = [self.destination, self.epoch, self.subscription_version, position]
        body = _encode(json.dumps(payload, separators=(",", ":")).encode())
        return f"{body}.{_signature(self.secret, body)}"

    def parse(self, text: str, purged: int, head: int) -> Good | Expired | Foreign:
        """What the text means while content is kept from behind ``purged`` up to ``head``."""
        body, _, signature = text.partition(".")
        if not hmac.compare_digest(_signature(self.secret, body).encode(), signature.encode("utf-8", "replace")):
            return Foreign()
        destination, epoch, subscription_version, position = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if destination != self.destination:
            return Foreign()
        # Without an epoch of its own a restored file could have fewer changes than the cursor knows.
        if epoch != self.epoch or position > head:
            return Expired("The hub was restored from a backup after the cursor was given out.")
        if subscription_version != self.subscription_version:
            return Expired("The feed's subscription has changed since the cursor was given out.")
        return check_position(position, purged)


def check_position(position: int, purged: int) -> Good | Expired:
    """Whether what lies behind the position is still kept."""
    if position < purged:
        return Expired(f"Changes behind position {position} have been removed by retention, up to {purged}.")
    return Good(position)


def _signature(secret: bytes, body: str) -> str:
    # Over the text, not over what it decodes to, so that each cursor has exactly one writing.
    return _encode(hmac.digest(secret, b"scimhub feed cursor " + body.encode("utf-8", "replace"), "sha256"))


def _encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


# --------------------------------------------------------------------------- what a feed shows


@dataclass(frozen=True, slots=True)
class View:
    """One feed as it is now: what it wants, how its events look, how its cursors are written."""

    destination: Destination
    envelope: Envelope
    cursors: Cursors

    @property
    def interest(self) -> Interest:
        return self.envelope.interest

    def narrowed(self, types: Sequence[str]) -> "View":
        """The same view of these types only; raises Invalid with every mistake."""
        catalog = self.envelope.viewpoint.catalog
        asked = subscription.bind(Subscription(types=tuple(types)), catalog).wishes
        wishes = {
            name: replace(wish, verbs=wish.verbs & asked[name].verbs)
            for name, wish in self.interest.wishes.items()
            if name in asked
        }
        return replace(self, envelope=replace(self.envelope, interest=Interest(wishes)))


def open_view(destination: Destination, catalog: Catalog, root_url: str, epoch: str, secret: bytes) -> View:
    """The feed's view; ``root_url`` is the hub's own. Raises Invalid when the subscription fits the catalog no more."""
    return View(
        destination,
        # A replay needs no mark here: who pulls says himself from where.
        envelope.of_destination(destination, catalog, root_url, epoch),
        Cursors(secret, epoch, destination.id, destination.subscription_version),
    )


# --------------------------------------------------------------------------- pages


@dataclass(frozen=True, slots=True)
class Item:
    """One event, with the cursor that goes on behind it. ``body`` is the CloudEvent as JSON, ``cursor`` among it."""

    type: str
    cursor: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """The events found, where to go on, and the newest position. ``up_to_date``: all up to ``head`` was looked through."""

    items: Sequence[Item]
    next: int
    head: int
    scanned: int

    @property
    def up_to_date(self) -> bool:
        return self.next >= self.head


async def read_page(log: ChangeReader, view: View, after: int, limit: int = DEFAULT_LIMIT) -> Page | Expired:
    """The events of at most ``limit`` changes behind the position that the view shows.

    At most ``SCANNED`` changes are looked through: ``next`` moves on even when nothing matched. All parts of one change are
    on one page. Expired when retention took changes while they were read.
    """
    items: list[Item] = []
    position, size, matched = after, 0, 0
    head = await log.last_position()
    while position < min(head, after + SCANNED) and matched < limit and size < _LARGEST_PAGE:
        for change in await _read(log, position, head, after):
            notice = view.interest.assess(change) if change.directory == view.destination.directory else None
            if notice is not None:
                some = await _items(log, view, notice)
                items += some
                matched += 1
                size += sum(len(item.body) for item in some)
            position = change.position
            if matched >= limit or size >= _LARGEST_PAGE:
                break
            if position % _TURN == 0:
                await asyncio.sleep(0)
    if position > after and isinstance(lost := check_position(after, await log.purged_position()), Expired):
        return lost
    return Page(items, position, head, position - after)


async def _read(log: ChangeReader, position: int, head: int, after: int) -> Sequence[Change]:
    left = min(head, after + SCANNED) - position
    return await log.read_changes(position, left if left <= _READ_QUICKLY else min(left, _READ_AT_ONCE))


async def _items(log: ChangeReader, view: View, notice: Notice) -> list[Item]:
    members = await log.members_of(notice.change.resource_id) if notice.brings_members else ()
    messages = envelope.of_notice(view.envelope, notice, members)
    # Only behind its last part is a change done: a cursor before that has it sent again as a whole.
    behind = view.cursors.write(notice.change.position)
    before = view.cursors.write(notice.change.position - 1) if len(messages) > 1 else ""
    return [_item(message, before) for message in messages[:-1]] + [_item(messages[-1], behind)]


def _item(message: Message, cursor: str) -> Item:
    # As an extension attribute, so that an item is a CloudEvent like any other.
    marked = message._replace(attributes={**message.attributes, "cursor": cursor})
    return Item(message.attributes["type"], cursor, marked.body)


# --------------------------------------------------------------------------- waiting for the next change


class Bell:
    """Rings after commits, for all who wait in one event loop: one subscription to the log, whoever waits."""

    def __init__(self, log: ChangeReader) -> None:
        self._waking = Waking(log, self.ring)
        self._rung: asyncio.Event | None = None

    def listen(self) -> asyncio.Event:
        """What the next commit sets. Take it before reading, or a commit between reading and waiting is missed."""
        self._waking.begin()
        if self._rung is None:
            self._rung = asyncio.Event()
        return self._rung

    def ring(self) -> None:
        """Wake all who wait; to be called in their loop."""
        if self._rung is not None:
            former, self._rung = self._rung, asyncio.Event()
            former.set()

    def close(self) -> None:
        """Listen to commits no more, and wake all who wait."""
        self._waking.end()
        self.ring()
