"""One timeline of a user, a group, a request, a change or a position: what was sent, what changed, where it arrived."""

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from scimhub.directory import sources
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange
from scimhub.timeline import following
from scimhub.timeline.records import Arrival, Changed, Entry, Outcome, Sent, Timeline
from scimhub.web.admin_exchanges import ExchangeShown, completed, show_exchange
from scimhub.web.admin_models import Time
from scimhub.web.administration import Parts

routes = APIRouter(tags=["trace"])

Of = Annotated[
    str,
    Query(
        description="Digits alone are a position. What has the form of an id is looked for among changes, requests and "
        "resources. Everything may also be a userName, externalId, e-mail address, displayName or employee number. "
        "All that fits is shown, and a note says what it was taken for."
    ),
]
Last = Annotated[int, Query(ge=1, le=following.MOST_CHANGES, description="So many of the last changes of each resource.")]


class SubjectShown(BaseModel):
    """A resource that was asked for."""

    id: str
    resource_type: str
    name: str
    is_deleted: bool


class SentShown(BaseModel):
    """What a source sent, and the answer."""

    entry: Literal["sent"] = "sent"
    time: Time
    exchange: ExchangeShown


class DifferenceShown(BaseModel):
    path: str
    old: object = Field(description="null when there was none.")
    new: object = Field(description="null when there is none.")


class ChangedShown(BaseModel):
    """What was committed."""

    entry: Literal["changed"] = "changed"
    time: Time
    position: int
    change_id: str
    request_id: str
    operation: str
    resource_type: str
    resource_id: str
    version: int
    source: str | None
    differences: list[DifferenceShown]
    members_added: list[str]
    members_removed: list[str]
    is_purged: bool = Field(description="Retention has removed what the change was.")


class AttemptShown(BaseModel):
    """One try to deliver."""

    delivery_id: str
    first_position: int = Field(description="Smaller than the position for a run of membership changes.")
    number: int
    status: int | None
    duration_us: int
    excerpt: str


class ArrivalShown(BaseModel):
    """What became of the change at the position at one destination."""

    entry: Literal["arrival"] = "arrival"
    time: Time = Field(description="Of the attempt; without one, of the change.")
    position: int
    change_id: str
    destination: str
    outcome: Outcome
    detail: str
    next_attempt: Time | None
    attempt: AttemptShown | None


class TimelineShown(BaseModel):
    """The oldest entry is the first."""

    of: str
    subjects: list[SubjectShown]
    entries: list[Annotated[SentShown | ChangedShown | ArrivalShown, Field(discriminator="entry")]]
    notes: list[str] = Field(description="Sentences about what is shown and what is not.")
    names: Mapping[str, str] = Field(description="What resources with ids that occur are called.")


@routes.get("/directories/{directory}/trace", summary="Show what was sent, what changed and where it arrived")
async def trace(parts: Parts, directory: str, of: Of, last: Last = 100) -> TimelineShown:
    home = await sources.get_directory(parts.store, directory)
    catalog = await parts.catalogs.current(home.key)
    timeline = await following.follow(parts.store, parts.exchanges, home, catalog, of, last)
    sent = [entry.exchange for entry in timeline.entries if isinstance(entry, Sent)]
    return _show(timeline, {exchange.id: exchange for exchange in await completed(parts, sent)})


def _show(timeline: Timeline, exchanges: Mapping[str, Exchange]) -> TimelineShown:
    return TimelineShown(
        of=timeline.of,
        subjects=[
            SubjectShown(id=each.id, resource_type=each.kind, name=each.name, is_deleted=each.is_deleted)
            for each in timeline.subjects
        ],
        entries=[_show_entry(entry, exchanges) for entry in timeline.entries],
        notes=list(timeline.notes),
        names=timeline.names,
    )


def _show_entry(entry: Entry, exchanges: Mapping[str, Exchange]) -> SentShown | ChangedShown | ArrivalShown:
    match entry:
        case Sent():
            return SentShown(time=entry.time, exchange=show_exchange(exchanges[entry.exchange.id]))
        case Changed():
            return _show_change(entry)
        case Arrival():
            return ArrivalShown(
                time=entry.time,
                position=entry.position,
                change_id=entry.change_id,
                destination=entry.destination,
                outcome=entry.outcome,
                detail=entry.detail,
                next_attempt=entry.next_attempt,
                attempt=None if entry.attempt is None else _show_attempt(entry.attempt),
            )


def _show_change(changed: Changed) -> ChangedShown:
    change = changed.change
    return ChangedShown(
        time=changed.time,
        position=change.position,
        change_id=change.id,
        request_id=change.exchange_id,
        operation=change.operation,
        resource_type=change.kind,
        resource_id=change.resource_id,
        version=change.version,
        source=changed.source,
        differences=[DifferenceShown(path=each.path, old=each.old, new=each.new) for each in changed.differences],
        members_added=list(change.members_added),
        members_removed=list(change.members_removed),
        is_purged=changed.is_purged,
    )


def _show_attempt(attempt: Attempt) -> AttemptShown:
    return AttemptShown(
        delivery_id=attempt.delivery_id,
        first_position=attempt.first_position,
        number=attempt.number,
        status=attempt.status,
        duration_us=attempt.duration_us,
        excerpt=attempt.excerpt,
    )
