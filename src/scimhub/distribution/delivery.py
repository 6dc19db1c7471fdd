"""Destinations, what is sent to them, and what comes of it, as values.

Times are RFC 3339 texts as in ``directory.records``; ``key`` never leaves the process, ``id`` is what the world sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

# active: its pump runs; paused: a person stopped it; failing: it was stopped because it failed too long, or said so
# itself (HTTP 410); behind: retention removed changes that it had not received, and only a resync can help.
State = Literal["active", "paused", "failing", "behind"]
Format = Literal["structured", "binary"]
# event: every change is told. state: who changed is told as it is then, however many changes that were; groups, whose members
# are told as differences, are told as in event.
Style = Literal["event", "state"]
STYLES: tuple[Style, ...] = ("event", "state")
# Why a lane is held: its delivery failed; the brake keeps a removal; an administrator let go what the brake had kept; the
# resource overtakes the backlog; or the state of the moment is owed, whatever the log says.
# ``discarded`` is a removal that an administrator gave up.
HeldCause = Literal["failure", "brake", "released", "discarded", "leaver", "state"]
# What a removal of memberships is counted as; any other is counted as its resource type.
MEMBERS = "members"
# What a secret is for: signing with HMAC-SHA256 or ed25519, opening a feed (then the value is the token's digest), or
# proving to the destination who we are, with what it gave out; that is brought, and never shown again. ``concealed`` are
# the parts of the configuration that nobody is shown, as ``concealment`` says.
Purpose = Literal["hmac", "ed25519", "token", "password", "concealed"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which changes a destination wants, and what it may see of a resource.

    ``types`` are names such as ``user.created`` or ``group.*``; empty means all. ``filters`` has for a kind the SCIM filter
    that its resources must satisfy; a kind without one is wanted whole. ``attributes`` is the allow-list, in the writing of
    the SCIM parameter of the same name; empty means whatever is returned by default. ``mapping`` forms what it sees of a
    resource, as ``mapping`` the module says; empty means the resource as it is.
    """

    types: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    mapping: Mapping[str, object] = field(default_factory=dict)
    style: Style = "event"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where changes of one directory are sent. ``cursor`` is the position up to which it has everything, but what is held."""

    key: int
    id: str
    directory: int
    directory_name: str
    name: str
    kind: str
    # What the kind needs, such as the URL of a webhook; checked by the kind when it was created.
    configuration: Mapping[str, object]
    subscription: Subscription
    # Grows when the subscription changes; part of a feed cursor (DECISIONS 26).
    subscription_version: int
    state: State
    # Why it is in that state, in words; empty while active.
    reason: str
    cursor: int
    # Positions beyond the cursor that it has already.
    ahead: frozenset[int]
    # While a replay runs: its id, and the last position that belongs to it.
    replay: "Replay | None"
    created: str
    updated: str
    # The thresholds of its brake that were set, and what the brake has let go; see ``brake``.
    brake: Mapping[str, object] = field(default_factory=dict)
    brake_state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replay:
    """Events up to ``until`` are sent once more, marked with ``id``; only those of one resource where that is given."""

    id: str
    until: int
    resource_id: str | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of a destination, the newest first in every list. ``expires`` is set when a newer one took its place.

    ``key_id`` names the key with which the value is sealed; None when it is not, as in memory or of a token's digest.
    """

    id: str
    purpose: Purpose
    value: bytes = field(repr=False)
    # The last characters, so that a person can tell secrets apart.
    hint: str
    created: str
    expires: str | None
    key_id: str | None = None


def holding(secrets: Sequence[Secret], now: str) -> list[Secret]:
    """Those of the secrets that hold now, in the same order."""
    return [secret for secret in secrets if secret.expires is None or secret.expires > now]


@dataclass(frozen=True, slots=True)
class Held:
    """A lane that waits: every event of the resource from ``first_position`` on is owed to the destination.

    ``next_attempt`` is None when it waits for a person.
    """

    resource_id: str
    first_position: int
    since: str
    attempts: int
    next_attempt: str | None
    error: str
    cause: HeldCause = "failure"
    # The log is read for it up to this position even where the cursor has not come so far, and what an administrator
    # released is not asked for again up to there; None where neither is wanted.
    until: int | None = None
    # What the brake keeps: a resource type or ``members``, and how many of them would go. Of a state that is owed also what
    # it would take away although nobody was told so, and the log does not say it.
    removes: str = ""
    removed: int = 0
    # The id of the wish for the state that is owed.
    ask: str = ""


@dataclass(frozen=True, slots=True)
class KeptRemoval:
    """A removal that the brake keeps, with the change that asks for it. ``due`` is None once the brake has tripped.

    ``document`` is the JSON text of what the change still tells of the resource, None when retention has removed it.
    """

    resource_id: str
    position: int
    since: str
    due: str | None
    removes: str
    removed: int
    kind: str
    operation: str
    time: str
    exchange_id: str
    source: str | None
    document: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the removals that the brake keeps: these resources', those of one request or of one source; None is all."""

    resource_ids: frozenset[str] | None = None
    exchange_id: str | None = None
    source: str | None = None

    @property
    def is_all(self) -> bool:
        return self.resource_ids is None and self.exchange_id is None and self.source is None


@dataclass(frozen=True, slots=True)
class Kept:
    """A resource that a destination keeps, because its removal at that position was discarded."""

    resource_id: str
    position: int
    time: str


# --------------------------------------------------------------------------- what is sent


class Message(NamedTuple):
    """One event as it travels: a CloudEvent whose ``data`` is the text of a JSON object.

    ``delivery_id`` is what a receiver recognises a repetition by: the event's id, in a replay with the replay's behind it.
    ``attributes`` are the context attributes of CloudEvents 1.0, ``specversion`` and ``datacontenttype`` among them.
    """

    delivery_id: str
    attributes: Mapping[str, str]
    data: bytes

    @property
    def body(self) -> bytes:
        """The event in the structured mode of CloudEvents' JSON format."""
        return b"".join((orjson.dumps(dict(self.attributes))[:-1], b',"data":', self.data, b"}"))


# --------------------------------------------------------------------------- what came of it

# Whose fault a failure is taken to be. The resource's holds its own lane; the destination's opens the breaker.
Blame = Literal["resource", "destination"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination confirmed it. ``notes`` are sentences for who checks it: what it cannot do, and what follows."""

    status: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """It may succeed later. ``after`` is what the destination asked for, in seconds; ``excerpt`` what it answered."""

    reason: str
    blame: Blame = "resource"
    after: float | None = None
    status: int | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The destination will not have this one, now or later."""

    reason: str
    status: int | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """The destination asks that nothing be sent to it any more (HTTP 410)."""

    reason: str
    status: int | None = None
    excerpt: str = ""


Outcome = Delivered | Retry | Rejected | Gone


class Attempt(NamedTuple):
    """One try to deliver, as it is kept for debugging beside the exchanges.

    ``first_position`` and ``position`` are equal unless it was a run of membership changes; ``change_id`` belongs to
    ``position``. ``number`` counts from 1. ``outcome`` is the name of the outcome's class in lower case.
    """

    time: str
    directory: str
    destination: str
    delivery_id: str
    change_id: str
    resource_id: str
    first_position: int
    position: int
    number: int
    outcome: str
    status: int | None
    duration_us: int
    detail: str
    excerpt: str
