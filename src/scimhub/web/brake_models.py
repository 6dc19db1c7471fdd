"""The shapes of a destination's brake in the admin API, in and out."""

from pydantic import BaseModel, Field

from scimhub.distribution import braking, times
from scimhub.distribution.braking import BrakeStatus, Plan
from scimhub.distribution.delivery import Kept, KeptRemoval
from scimhub.web.admin_models import Time, Wish


class ThresholdsShape(BaseModel, from_attributes=True):
    """When the brake trips: at count removals that are percent of the population, or at the small ones; see docs/brake.md."""

    enabled: bool
    count: int
    percent: float
    small_count: int
    small_percent: float
    settle_seconds: float


class ThresholdsWish(Wish):
    """What is left out gets its default."""

    enabled: bool = True
    count: int = 50
    percent: float = 10
    small_count: int = 5
    small_percent: float = 50
    settle_seconds: float = Field(60, description="How long each further removal of a burst waits for the rest of it.")


class TripShown(BaseModel):
    """Why the brake tripped."""

    time: Time
    sort: str = Field(description="A resource type, or members.")
    count: int
    population: int


class SortShown(BaseModel, from_attributes=True):
    """One sort of removal."""

    name: str
    held: int
    last_10_minutes: int = Field(description="Removals that were let go within ten minutes.")
    last_24_hours: int


class BrakeShown(BaseModel):
    """How a destination's brake stands."""

    thresholds: ThresholdsShape
    tripped: TripShown | None
    settling: int = Field(description="Resources whose removal waits for the rest of its burst to be seen.")
    waiting: int = Field(description="Resources whose removal waits for an administrator.")
    sorts: list[SortShown]


class RemovalShown(BaseModel):
    """A removal that the brake keeps."""

    resource_id: str
    resource_type: str
    name: str = Field(description="userName or displayName; empty when the change does not tell any more.")
    operation: str
    removes: str = Field(description="The resource type, or members.")
    count: int
    position: int
    time: Time
    since: Time
    due: Time | None = Field(description="When it has settled; null when it waits for an administrator.")
    exchange_id: str
    source: str | None


class RemovalPage(BaseModel):
    items: list[RemovalShown]
    next: int | None = Field(description="Give it as after for what follows; null at the end.")


class KeptShown(BaseModel, from_attributes=True):
    """A resource that the destination keeps, because its removal was discarded."""

    resource_id: str
    position: int
    time: Time


class KeptPage(BaseModel):
    items: list[KeptShown]
    next: str | None


class DecisionWish(Wish):
    """Of which removals: exactly one of resource_ids, exchange_id, source and all."""

    resource_ids: list[str] | None = Field(None, min_length=1)
    exchange_id: str | None = Field(None, description="Those that one request asked for.")
    source: str | None = Field(None, description="Those that one source asked for.")
    all: bool = False
    dry_run: bool = Field(False, description="Only tell what it would concern.")
    samples: int = Field(5, ge=0, le=100)


class DecisionShown(BaseModel):
    """Of how many resources it was, or would be, decided."""

    count: int
    done: bool
    samples: list[RemovalShown]


def show_brake(found: BrakeStatus) -> BrakeShown:
    """How the brake stands."""
    trip = found.trip
    return BrakeShown(
        thresholds=ThresholdsShape.model_validate(found.thresholds),
        tripped=None
        if trip is None
        else TripShown(time=times.text(trip.time), sort=trip.sort, count=trip.count, population=trip.population),
        settling=found.settling,
        waiting=found.waiting,
        sorts=[SortShown.model_validate(sort) for sort in found.sorts],
    )


def show_removal(found: KeptRemoval) -> RemovalShown:
    """One removal."""
    return RemovalShown(
        resource_id=found.resource_id,
        resource_type=found.kind,
        name=braking.name_of(found),
        operation=found.operation,
        removes=found.removes,
        count=found.removed,
        position=found.position,
        time=found.time,
        since=found.since,
        due=found.due,
        exchange_id=found.exchange_id,
        source=found.source,
    )


def show_kept(found: Kept) -> KeptShown:
    """One resource that is kept."""
    return KeptShown.model_validate(found)


def show_decision(plan: Plan, *, done: bool) -> DecisionShown:
    """What was, or would be, decided."""
    return DecisionShown(count=plan.count, done=done, samples=[show_removal(one) for one in plan.samples])
