"""The administrator's verbs: create, check, pause, resume, rotate, replay, and what is held.

Each that touches where a destination stands halts its pump, writes, and lets it go on, so that there is one writer of
that state at any time. Without a started engine, as when no hub runs, they only write.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from scimhub import clock
from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.directory.records import Directory
from scimhub.distribution import brake, envelope, keeping, opening, replay_limits, secrets, status, times, visibility
from scimhub.distribution import subscription as subscriptions
from scimhub.distribution.delivery import Destination, Held, Outcome, Replay, Secret, State, Subscription
from scimhub.distribution.engine import Engine
from scimhub.distribution.keeping import Kept
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.ports import DestinationKind
from scimhub.scim.catalog import Catalog

# A consumer that comes and fetches; see ``feed``.
FEED = "feed"
# How long a secret that was rotated still holds, in hours.
DEFAULT_OVERLAP = 24.0
_LONGEST_OVERLAP = 30 * 24.0
T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
# More owed events than this are told as "at least".
MOST_OWED_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Made:
    """A destination and the secret that it or its receiver needs, shown this once."""

    destination: Destination
    secret: str


@dataclass(frozen=True, slots=True)
class Owed:
    """A held lane, and how many wanted events it waits with, counted up to ``MOST_OWED_COUNTED``."""

    held: Held
    events: int


# --------------------------------------------------------------------------- making and changing


async def create(
    engine: Engine,
    directory: Directory,
    name: str,
    kind: str,
    configuration: Mapping[str, object],
    subscription: Subscription,
    *,
    after: int | None = None,
    secret: str | None = None,
    thresholds: Mapping[str, object] | None = None,
    is_paused: bool = False,
) -> Made:
    """A new destination, which begins behind position ``after`` or, without it, behind the newest change.

    ``secret`` is one that somebody brought, ``thresholds`` are those of its brake; ``is_paused``: it is sent nothing before it
    is resumed. Raises Invalid with every mistake, Conflict when the name is taken.
    """
    technology = engine.kinds.get(kind)
    problems = _name_problems(name)
    is_known = technology is not None or kind == FEED
    if not is_known:
        problems.append(f"{kind[:40]!r} is no kind of destination; there are {', '.join([*engine.kinds, FEED])}.")
    checked = _unless(problems, lambda: _checked(technology, configuration) if is_known else configuration, configuration)
    none: tuple[Secret | None, str] = (None, "")
    new, shown = _unless(problems, lambda: secrets.new(engine.given, technology, checked, secret) if is_known else none, none)
    catalog = await engine.place.catalogs.current(directory.key)
    problems += _subscription_problems(subscription, catalog)
    problems += _style_problems(kind, configuration, subscription)
    problems += [] if after is None else await _after_problems(engine, after)
    no_thresholds: Mapping[str, object] = {}
    braked = _unless(problems, lambda: _thresholds(kind, thresholds), no_thresholds)
    given, id = engine.given, engine.given.new_id()
    kept = _unless(problems, lambda: keeping.keep(given, id, checked), Kept({}, None))
    if problems:
        raise Invalid(problems)
    sealed = [*keeping.sealed(given, id, new), *([] if kept.concealed is None else [kept.concealed])]
    where, now, paused = kept.configuration, _now(engine), "It was made so." if is_paused else ""
    made = await given.store.create_destination(
        directory.key, name, kind, where, subscription, after, now, sealed, id, braked, paused
    )
    async with engine.halted(made):
        pass  # a pump begins
    return Made(made, shown)


async def get(engine: Engine, directory: Directory, name: str) -> Destination:
    """The directory's destination of that name; raises Absent."""
    found = await engine.given.store.find_destination(directory.key, name)
    if found is None:
        raise Absent(f"Directory {directory.name} has no destination {name[:80]!r}.")
    return found


async def update(
    engine: Engine,
    destination: Destination,
    configuration: Mapping[str, object] | None,
    subscription: Subscription | None,
) -> Destination:
    """Another configuration, subscription or both, for changes from now on. Raises Invalid with every mistake."""
    problems: list[str] = []
    given, technology, checked = engine.given, engine.kinds.get(destination.kind), destination.configuration
    before = next((one for one in await given.store.list_secrets(destination.key) if one.purpose == "concealed"), None)
    kept = Kept(destination.configuration, before)
    if configuration is not None:
        checked = _unless(problems, lambda: _checked(technology, configuration), configuration)
        kept = _unless(problems, lambda: keeping.keep_anew(given, destination, checked, before), kept)
    wish = destination.subscription if subscription is None else subscription
    catalog = await engine.place.catalogs.current(destination.directory)
    problems += _subscription_problems(wish, catalog, destination.subscription.attributes)
    problems += _style_problems(destination.kind, checked, wish)
    if problems:
        raise Invalid(problems)
    async with engine.halted(destination):
        return await given.store.update_destination(destination.key, kept.configuration, wish, _now(engine), kept.concealed)


async def delete(engine: Engine, destination: Destination) -> None:
    """Remove the destination, its secrets and what it is owed."""
    async with engine.halted(destination):
        await engine.given.store.delete_destination(destination.key)


async def rotate(
    engine: Engine, destination: Destination, *, overlap_hours: float = DEFAULT_OVERLAP, secret: str | None = None
) -> Made:
    """A new secret; the former ones of its purpose hold for the overlap, but of passwords only the newest. Raises Invalid."""
    if not 0 <= overlap_hours <= _LONGEST_OVERLAP:
        raise Invalid([f"The overlap is {overlap_hours:g} hours; it must be from 0 to {_LONGEST_OVERLAP:g}."])
    technology = engine.kinds.get(destination.kind)
    new, shown = secrets.new(engine.given, technology, destination.configuration, secret)
    if new is None:
        raise Invalid([f"Destination {destination.name} has no secret, since its authentication needs none."])
    ends = times.text(engine.given.now() + (0 if new.purpose == "password" else overlap_hours * 3600))
    async with engine.halted(destination):
        await engine.given.store.add_secret(destination.key, *keeping.sealed(engine.given, destination.id, new))
        await engine.given.store.expire_secrets(destination.key, new.purpose, new.id, ends)
    return Made(destination, shown)


# --------------------------------------------------------------------------- stopping and going on


async def pause(engine: Engine, destination: Destination, reason: str = "") -> Destination:
    """Send it nothing until it is resumed; its cursor stays, and retention waits for it up to its maximum."""
    return await _into(engine, destination, "paused", reason or "An administrator paused it.")


async def resume(engine: Engine, destination: Destination) -> Destination:
    """Go on where it stopped. Raises Conflict when changes it lacks are gone."""
    purged = await engine.given.reader.purged_position()
    if destination.cursor < purged:
        raise Conflict(
            f"Destination {destination.name} has everything up to position {destination.cursor}, and changes up to {purged} "
            "are no longer kept; replay from a later position after bringing its system up to date."
        )
    return await _into(engine, destination, "active", "")


async def _into(engine: Engine, destination: Destination, state: State, reason: str) -> Destination:
    async with engine.halted(destination):
        return await engine.given.store.set_state(destination.key, state, reason, _now(engine))


async def replay(engine: Engine, destination: Destination, after: int) -> Destination:
    """Send once more every event behind position ``after``, marked as a replay; what is new comes behind it.

    It takes the place of a replay that runs, and sends all that was left of that. Raises Invalid for a position that is not
    kept, Conflict when it would leave out something that is owed, or release what the brake keeps. A destination that was
    stopped for being behind goes on, also from a later position.
    """
    if problems := await _after_problems(engine, after):
        raise Invalid(problems)
    async with engine.halted(destination):
        current = await engine.given.store.find_destination(destination.directory, destination.name) or destination
        await replay_limits.check(engine, current, after)
        # What it never had is no repetition: only events up to where it stands are marked, or where a replay that runs ends.
        reached = max(current.cursor, *current.ahead, 0 if current.replay is None else current.replay.until)
        mark = Replay(engine.given.new_id(), reached) if after < reached else None
        moved = await engine.given.store.move_cursor(destination.key, after, mark)
        if moved.state == "behind":
            moved = await engine.given.store.set_state(destination.key, "active", "", _now(engine))
    return moved


async def replay_resource(engine: Engine, destination: Destination, resource_id: str, after: int) -> Destination:
    """Send once more the resource's events behind the position, marked as a replay; others are told what is new meanwhile.

    Raises Invalid for a position that is not kept or has nothing of it behind it, Conflict where it cannot be taken out of
    order, where a replay runs, and where something of it is held.
    """
    _check_out_of_order(engine, destination)
    if problems := await _after_problems(engine, after):
        raise Invalid(problems)
    store, now = engine.given.store, _now(engine)
    async with engine.halted(destination):
        current = await store.find_destination(destination.directory, destination.name) or destination
        if current.replay is not None:
            raise Conflict(f"A replay runs up to position {current.replay.until}; wait for its end.")
        if any(held.resource_id == resource_id for held in await store.list_held(current.key)):
            raise Conflict(f"Something of resource {resource_id[:100]!r} is owed anyway, and goes first; try again later.")
        reached = max((current.cursor, *current.ahead))
        found = await engine.given.reader.read_changes_of(resource_id, after + 1, reached, 1)
        if not found or found[0].directory != current.directory:
            raise Invalid(
                [f"Destination {current.name} was told nothing of resource {resource_id[:100]!r} behind position {after}."]
            )
        # As one that overtakes: read from the log at once, and no failure.
        owed = Held(resource_id, found[0].position, now, 0, now, "", "leaver", reached)
        return await store.replay_held(current.key, Replay(engine.given.new_id(), reached, resource_id), owed)


def _check_out_of_order(engine: Engine, destination: Destination) -> None:
    if destination.kind not in engine.kinds:
        raise Conflict(f"Destination {destination.name} is a {destination.kind}: its consumer reads again what it wants.")
    if destination.configuration.get("order") == "stream":
        raise Conflict(
            f"Destination {destination.name} takes all in the order of the log, and nothing of one resource again; replay all."
        )


async def position_at(engine: Engine, moment: str) -> int:
    """The position behind which everything from that time on lies; raises Invalid for what is no time."""
    try:
        parsed = datetime.fromisoformat(moment)
        written = clock.text(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Invalid([f"The time {moment[:80]!r} is not understood; write one such as 2026-11-23T20:41:35Z."]) from None
    return await engine.given.reader.position_at(written)


# --------------------------------------------------------------------------- looking


async def check(engine: Engine, destination: Destination) -> Outcome:
    """Send a test event now, past the pump; what came of it. Raises Conflict for a kind that is not sent to."""
    technology = engine.kinds.get(destination.kind)
    if technology is None:
        raise Conflict(f"Destination {destination.name} is a {destination.kind}: it fetches, nothing is sent to it.")
    now = _now(engine)
    sender = (await opening.open_sender(engine.given, technology, destination)).sender
    try:
        return await sender.send(envelope.of_check(engine.given.new_id(), destination, now))
    finally:
        await sender.close()


async def list_owed(engine: Engine, destination: Destination) -> Sequence[Owed]:
    """What is held for the destination, in order of position."""
    interest = (await Outlook(engine.place, destination).envelope()).interest
    head = await engine.given.reader.last_position()
    owed = []
    for held in await engine.given.store.list_held(destination.key):
        if not status.has_failed(held):
            continue
        found = await engine.given.reader.read_changes_of(held.resource_id, held.first_position, head, MOST_OWED_COUNTED)
        owed.append(Owed(held, sum(interest.assess(change) is not None for change in found)))
    return owed


# --------------------------------------------------------------------------- what is held


async def retry_held(engine: Engine, destination: Destination, resource_id: str | None) -> int:
    """Try what is held for the resource now, or everything that is held; how many lanes. Raises Absent."""
    async with engine.halted(destination):
        some = await _held(engine, destination, resource_id)
        for held in some:
            await engine.given.store.change_held(destination.key, replace(held, attempts=0, next_attempt=_now(engine)))
    return len(some)


async def skip_held(engine: Engine, destination: Destination, resource_id: str, *, everything: bool = False) -> None:
    """Owe the resource's first held event no more, or ``everything`` that is held of it; the rest is tried now.

    Raises Absent.
    """
    async with engine.halted(destination):
        (held,) = await _held(engine, destination, resource_id)
        # A state is all that is held of its resource.
        if everything or held.ask:
            await engine.given.store.release_held(destination.key, resource_id)
            return
        behind = await _behind_first_wanted(engine, destination, held)
        rest = replace(held, first_position=behind, attempts=0, next_attempt=_now(engine), error="")
        await engine.given.store.change_held(destination.key, rest)


async def _held(engine: Engine, destination: Destination, resource_id: str | None) -> Sequence[Held]:
    some = await engine.given.store.list_held(destination.key)
    found = [held for held in some if resource_id is None or held.resource_id == resource_id]
    if resource_id is not None and found and found[0].cause == "brake":
        raise Conflict(
            f"The brake of destination {destination.name} keeps the removal of {resource_id[:100]!r}; release or discard it."
        )
    found = [held for held in found if status.has_failed(held)]
    if resource_id is not None and not found:
        raise Absent(f"Destination {destination.name} holds nothing of resource {resource_id[:100]!r}.")
    return found


async def _behind_first_wanted(engine: Engine, destination: Destination, held: Held) -> int:
    interest = (await Outlook(engine.place, destination).envelope()).interest
    head = await engine.given.reader.last_position()
    found = await engine.given.reader.read_changes_of(held.resource_id, held.first_position, head, MOST_OWED_COUNTED)
    for change in found:
        if interest.assess(change) is not None:
            return change.position + 1
    return (found[-1].position if len(found) == MOST_OWED_COUNTED else head) + 1


# --------------------------------------------------------------------------- within


def _now(engine: Engine) -> str:
    return times.text(engine.given.now())


def _unless(problems: list[str], check: Callable[[], T], instead: T) -> T:
    """What the check gives, or ``instead`` with its mistakes added to the others."""
    try:
        return check()
    except Invalid as error:
        problems += error.problems
        return instead


def _name_problems(name: str) -> list[str]:
    if _NAME.fullmatch(name):
        return []
    return [f"The name {name[:80]!r} does not fit; write up to 64 of a-z, 0-9, dot, hyphen and underscore."]


def _checked(technology: DestinationKind | None, configuration: Mapping[str, object]) -> Mapping[str, object]:
    if technology is not None:
        return technology.check(configuration)
    if configuration:
        raise Invalid([f"A feed has no configuration; leave out {', '.join(sorted(configuration))}."])
    return {}


def _thresholds(kind: str, wish: Mapping[str, object] | None) -> Mapping[str, object]:
    if wish is not None and kind == FEED:
        raise Invalid(["A feed has no brake, since its consumer fetches; leave it out."])
    return {} if wish is None else asdict(brake.read_thresholds(wish))


def _subscription_problems(subscription: Subscription, catalog: Catalog, before: tuple[str, ...] = ()) -> list[str]:
    """``before`` is the allow-list that the destination had."""
    problems: list[str] = []
    _unless(problems, lambda: subscriptions.bind(subscription, catalog), None)
    return problems + visibility.untold(subscription.attributes, catalog, before)


def _style_problems(kind: str, configuration: Mapping[str, object], subscription: Subscription) -> list[str]:
    if subscription.style == "event" or (kind != FEED and configuration.get("order") != "stream"):
        return []
    return ["The style state is for destinations that are sent to, and have not the order stream; leave it out."]


async def _after_problems(engine: Engine, after: int) -> list[str]:
    purged, head = await engine.given.reader.purged_position(), await engine.given.reader.last_position()
    if purged <= after <= head:
        return []
    return [f"The position {after} is not kept; write one from {purged} to {head}."]
