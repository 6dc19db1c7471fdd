"""The shapes of destinations in the admin API, in and out; keys stay."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from scimhub.distribution.control import MOST_OWED_COUNTED, Made, Owed
from scimhub.distribution.delivery import Delivered, Destination, Outcome, Subscription
from scimhub.distribution.ledger import Entry
from scimhub.distribution.preview import Preview
from scimhub.distribution.status import Status
from scimhub.web.admin_models import Time, Wish
from scimhub.web.brake_models import ThresholdsWish


class SubscriptionShape(Wish):
    """Which changes a destination wants, and what it may see."""

    types: list[str] = Field([], description="Such as user.created or group.*; empty means all.", examples=[["user.*"]])
    filters: dict[str, str] = Field(
        {},
        description="For a resource type the SCIM filter that its resources must satisfy; without one all of it is wanted.",
        examples=[{"User": 'active eq true and userType eq "Employee"'}],
    )
    attributes: list[str] = Field(
        [], description="The attributes that the destination may see; empty means what is returned by default."
    )

    mapping: dict[str, Any] = Field(
        {},
        description="For a resource type the rules by which what is seen of it is formed; empty means the resource as it is.",
        examples=[
            {"User": {"keep": True, "set": {"displayName": {"join": ["name.givenName", "name.familyName"], "with": " "}}}}
        ],
    )

    style: Literal["event", "state"] = Field(
        "event", description="event: every change is told. state: who changed is told as it is then; see docs/resync.md."
    )

    def read(self) -> Subscription:
        """As distribution has it."""
        return Subscription(tuple(self.types), self.filters, tuple(self.attributes), self.mapping, self.style)


class NewDestination(Wish):
    name: str = Field(description="1 to 64 of a-z, 0-9, dot, hyphen, underscore.", examples=["payroll"])
    kind: str = Field(
        "webhook", description="webhook, feed, http_api, scim_app, kafka, nats, rabbitmq, redis_streams, sns or sqs."
    )
    configuration: dict[str, Any] = Field({}, examples=[{"url": "https://payroll.example.com/scim-events"}])
    subscription: SubscriptionShape = Field(default_factory=lambda: SubscriptionShape.model_validate({}))
    brake: ThresholdsWish | None = Field(None, description="The thresholds of its brake; without them it has the defaults.")
    after: int | None = Field(None, ge=0, description="The position to begin behind; without it only new changes are sent.")
    backfill: bool = Field(False, description="Tell it everybody in its scope, beside what changes from now on.")
    paused: bool = Field(False, description="Send it nothing before it is resumed, so that it can be previewed and checked.")
    secret: str | None = Field(
        None,
        description="A secret to use: one of your own (whsec_…, whsk_…), or what the destination gave out, such as a password.",
    )


class DestinationWish(Wish):
    configuration: dict[str, Any] | None = None
    subscription: SubscriptionShape | None = None
    apply: bool = Field(
        False, description="Tell the destination who enters, leaves or changes by the new subscription; a backfill does."
    )


class PauseWish(Wish):
    reason: str = Field("", max_length=500, description="Shown to who asks why nothing arrives.")


class RotationWish(Wish):
    overlap_hours: float = Field(24.0, description="How long the former secrets still hold.")
    secret: str | None = None


class ReplayWish(Wish):
    after: int | None = Field(None, ge=0, description="Send once more what lies behind this position.")
    since: Time | None = Field(None, description="Send once more what was committed from this time on; a minute early at most.")
    resource: str | None = Field(
        None, description="Only the events of this resource: its id, or its userName, displayName or what else it is known by."
    )

    dry_run: bool = Field(False, description="Tell how many discarded removals it would overrule, and do nothing.")


class RetryWish(Wish):
    resource_id: str | None = Field(None, description="Only this resource's lane.")


class SkipWish(Wish):
    resource_id: str
    everything: bool = Field(False, description="All that is held of it, not only the first event.")


class StatusShown(BaseModel):
    """How a destination fares."""

    head: int = Field(description="The newest position of the log.")
    lag: int = Field(description="How many positions it is behind.")
    lag_seconds: float = Field(description="The age of the oldest change that it lacks.")
    held: int = Field(description="How many resources wait because their delivery failed.")
    held_error: str = Field(description="Why the one of them failed that was held last; empty when nothing is held.")
    brake_held: int = Field(description="How many resources wait because the brake keeps their removal.")
    brake_is_tripped: bool = Field(description="No removal is sent before an administrator has looked.")
    brake_is_on: bool = Field(description="False where it was switched off, and for a feed, which has none.")
    oldest_leaver_seconds: float = Field(
        description="The age of the oldest deletion or deactivation that waits and that the brake does not keep."
    )
    in_flight: int
    breaker: Literal["closed", "open", ""] = Field(description="Empty while no pump runs.")
    error: str = Field(description="What failed last, empty when all is well.")
    last_success: Time | None
    delivered: int = Field(description="Changes delivered since the hub started or the destination was changed.")
    failed: int
    concurrency: int = Field(
        description="How many messages may be on their way now: it falls when the destination cannot keep up. 0 without a pump."
    )
    waits_for: str = Field(description="What keeps it from being sent anything; empty when nothing does.")


class DestinationShown(BaseModel):
    """Where changes of a directory are sent."""

    id: str
    name: str
    directory: str
    kind: str
    state: str = Field(description="active, paused, failing or behind.")
    reason: str
    configuration: dict[str, Any]
    subscription: SubscriptionShape
    subscription_version: int
    cursor: int
    replay: str | None = Field(description="The id of the replay that runs.")
    replay_until: int | None
    replay_resource: str | None = Field(description="The one resource of which it is; null when it is of all.")
    created: Time
    updated: Time
    status: StatusShown


class ReplayShown(DestinationShown):
    overrules: int = Field(
        description="How many removals that an administrator discarded it repeats; the brake is asked for each of them."
    )


class Destinations(BaseModel):
    items: list[DestinationShown]


class DestinationMade(BaseModel):
    destination: DestinationShown
    secret: str = Field(
        description="Shown this once: the signing secret, the public key, or a feed's token; empty if it was brought."
    )


class CheckResult(BaseModel):
    """What came of a test event."""

    outcome: Literal["delivered", "retry", "rejected", "gone"]
    status: int | None
    reason: str
    excerpt: str
    notes: list[str] = Field(description="What the destination cannot do, and what follows.")


class HeldShown(BaseModel):
    """Events of one resource that wait."""

    resource_id: str
    first_position: int
    since: Time
    attempts: int
    next_attempt: Time | None = Field(description="Null when it waits for a person.")
    error: str
    events: int
    events_are_more: bool


class HeldList(BaseModel):
    items: list[HeldShown]


class PreviewWish(Wish):
    """What is given takes the place of what the destination has; nothing is saved."""

    filters: dict[str, str] | None = None
    attributes: list[str] | None = None
    mapping: dict[str, Any] | None = None
    resource_id: str | None = Field(None, description="Look at this resource only.")
    samples: int = Field(5, ge=0, le=100, description="So many samples of each fate.")


class SampleShown(BaseModel, from_attributes=True):
    """One resource as the destination sees it now, and as it would."""

    resource_id: str
    resource_type: str
    fate: Literal["enters", "leaves", "changes", "stays"]
    now: dict[str, Any] | None
    then: dict[str, Any] | None


class PreviewShown(BaseModel):
    """How many resources meet which fate, by resource type, and some of them."""

    looked_at: int
    counts: dict[str, dict[str, int]]
    samples: list[SampleShown]


class LedgerEntry(BaseModel):
    """What a destination was given of one resource."""

    resource_id: str
    resource_type: str
    remote_id: str | None = Field(description="Its id at the destination; null while it is not known, or gone.")
    state: Literal["creating", "present", "left", "gone"] = Field(
        description="creating: asked for without an answer; left: deactivated because it was deleted or left the scope."
    )
    version: int = Field(description="The version that was written last.")
    awaits: str | None = Field(
        description="A resource of ours whose id at the destination is still to be written into this one."
    )
    delete_at: Time | None
    updated: Time
    waiting: int = Field(description="Members of a group that are still to be added or removed.")


class LedgerPage(BaseModel):
    items: list[LedgerEntry]
    next: str | None = Field(description="Give it as after for what follows; null at the end.")


class Retried(BaseModel):
    retried: int


def show_destination(destination: Destination, status: Status) -> DestinationShown:
    """The destination as the API shows it."""
    wish, replay = destination.subscription, destination.replay
    return DestinationShown(
        id=destination.id,
        name=destination.name,
        directory=destination.directory_name,
        kind=destination.kind,
        state=destination.state,
        reason=destination.reason,
        configuration=dict(destination.configuration),
        subscription=SubscriptionShape(
            types=list(wish.types),
            filters=dict(wish.filters),
            attributes=list(wish.attributes),
            mapping=dict(wish.mapping),
            style=wish.style,
        ),
        subscription_version=destination.subscription_version,
        cursor=destination.cursor,
        replay=None if replay is None else replay.id,
        replay_until=None if replay is None else replay.until,
        replay_resource=None if replay is None else replay.resource_id,
        created=destination.created,
        updated=destination.updated,
        status=StatusShown.model_validate(status, from_attributes=True),
    )


def show_made(made: Made, status: Status) -> DestinationMade:
    """A new destination or secret."""
    return DestinationMade(destination=show_destination(made.destination, status), secret=made.secret)


def show_outcome(outcome: Outcome) -> CheckResult:
    """What came of a test event."""
    if isinstance(outcome, Delivered):
        return CheckResult(outcome="delivered", status=outcome.status, reason="", excerpt="", notes=list(outcome.notes))
    name: Any = type(outcome).__name__.lower()
    return CheckResult(outcome=name, status=outcome.status, reason=outcome.reason, excerpt=outcome.excerpt, notes=[])


def show_preview(found: Preview) -> PreviewShown:
    """What was previewed."""
    return PreviewShown.model_validate(found, from_attributes=True)


def show_entry(entry: Entry) -> LedgerEntry:
    """A line of the ledger."""
    remote = entry.remote
    return LedgerEntry(
        resource_id=remote.resource_id,
        resource_type=remote.resource_type,
        remote_id=remote.remote_id,
        state=remote.state,
        version=remote.version,
        awaits=remote.awaits,
        delete_at=remote.delete_at,
        updated=remote.updated,
        waiting=entry.waiting,
    )


def show_owed(owed: Owed) -> HeldShown:
    """A held lane."""
    held = owed.held
    return HeldShown(
        resource_id=held.resource_id,
        first_position=held.first_position,
        since=held.since,
        attempts=held.attempts,
        next_attempt=held.next_attempt,
        error=held.error,
        events=owed.events,
        events_are_more=owed.events >= MOST_OWED_COUNTED,
    )
