"""What became of a change at each destination: from the attempts that are kept, else from where the destination stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import orjson

from scimhub.directory.records import Change
from scimhub.distribution import activation
from scimhub.distribution.control import FEED
from scimhub.distribution.delivery import Attempt, Destination, Held
from scimhub.distribution.subscription import Interest
from scimhub.scim.catalog import Catalog
from scimhub.timeline.differences import is_purged
from scimhub.timeline.records import Arrival, Outcome

_NO_ATTEMPT = "No attempt is kept; the destination's cursor has passed the change."


@dataclass(frozen=True, slots=True)
class Standing:
    """One destination as it stands now. ``interest`` is None when its subscription cannot be understood any more."""

    destination: Destination
    interest: Interest | None
    held: Mapping[str, Held] = field(default_factory=dict)


def arrivals_of(
    change: Change, standings: Sequence[Standing], attempts: Sequence[Attempt], catalog: Catalog, purged: int
) -> Iterator[Arrival]:
    """What became of the change everywhere. ``attempts`` are those of its resource, ``purged`` is where retention has got to.

    Each attempt that touched the change is one arrival; a destination that has not got it yet has another that says why.
    """
    for standing in standings:
        name = standing.destination.name
        tried = [attempt for attempt in attempts if attempt.destination == name and _touches(attempt, change)]
        for attempt in sorted(tried, key=lambda attempt: (attempt.time, attempt.number)):
            yield _of_attempt(change, attempt)
        if not any(attempt.outcome == "delivered" for attempt in tried):
            found = _without_success(change, standing, bool(tried), catalog, purged)
            if found is not None:
                yield found


def _touches(attempt: Attempt, change: Change) -> bool:
    return attempt.first_position <= change.position <= attempt.position


def _of_attempt(change: Change, attempt: Attempt) -> Arrival:
    # What the log of attempts holds are the names of the outcome classes.
    outcome = cast(Outcome, attempt.outcome)
    return Arrival(attempt.time, change.position, change.id, attempt.destination, outcome, attempt, attempt.detail)


def _without_success(change: Change, standing: Standing, was_tried: bool, catalog: Catalog, purged: int) -> Arrival | None:
    destination = standing.destination

    def arrival(outcome: Outcome, detail: str, next_attempt: str | None = None) -> Arrival:
        return Arrival(change.time, change.position, change.id, destination.name, outcome, None, detail, next_attempt)

    unwanted = None if was_tried else _why_unwanted(change, standing, catalog)
    if unwanted is not None:
        return arrival("unwanted", unwanted)
    held = standing.held.get(change.resource_id)
    if held is not None and held.first_position <= change.position:
        times = "once" if held.attempts == 1 else f"{held.attempts} times"
        until = "is not tried again before somebody asks" if held.next_attempt is None else "is tried again"
        return arrival("held", f"{held.error} It failed {times} and {until}.", held.next_attempt)
    if change.position <= destination.cursor or change.position in destination.ahead:
        if was_tried:
            return None  # the last attempt says how it ended
        if destination.created > change.time:
            return arrival("earlier", f"The destination was made at {destination.created}, after this change.")
        told = "Its consumer has acknowledged it." if destination.kind == FEED else _NO_ATTEMPT
        return arrival("delivered", told)
    if change.position <= purged:
        return arrival("lost", "Retention removed the change before the destination had it; a resync can help.")
    reason = f" ({destination.reason})" if destination.reason else ""
    stands = f"The destination is {destination.state}{reason} and stands at position {destination.cursor}."
    return arrival("waiting", stands)


def _why_unwanted(change: Change, standing: Standing, catalog: Catalog) -> str | None:
    """Why the destination is not told of the change, None when it is or when it cannot be said."""
    interest, kind = standing.interest, catalog.kinds.get(change.kind)
    if interest is None or kind is None or is_purged(change):
        return None
    if interest.assess(change) is not None:
        return None
    if change.kind not in interest.wishes:
        return f"The subscription has no event types of {change.kind}."
    after = None if change.after is None else orjson.loads(change.after)
    for image in (after, change.before):
        rule = None if image is None else activation.rule_met(image, kind)
        if rule is not None:
            return f"The rule {rule} takes it for a resource of an activation test, which no destination is told of."
    image = change.before if after is None else after
    if not interest.contains(change.kind, change.resource_id, image):
        return "The resource does not satisfy the filter of the subscription."
    return "The subscription wants neither this type of event nor the attributes that changed."
