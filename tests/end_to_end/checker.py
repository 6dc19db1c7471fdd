"""What must be true after every fault test, in one place: complete, no phantom, in order, dense, stable, few duplicates."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scimhub import clock
from scimhub.consumer import Replica
from scimhub.directory.records import Change
from scimhub.sqlstore.store import open_store
from tests.end_to_end.receiver import Arrival


@dataclass
class Journal:
    """What clients were told is done: for each resource the versions that were acknowledged."""

    acknowledged: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    deleted: set[str] = field(default_factory=set)

    def note(self, id: str, etag: str) -> None:
        self.acknowledged[id].add(int(etag.rpartition(".")[2].strip('"')))


@dataclass(frozen=True)
class State:
    """What the hub itself holds at the end: the log, and each resource with its document and members."""

    changes: Sequence[Change]
    resources: dict[str, tuple[int, frozenset[str]]]


async def read_state(database: Path | str) -> State:
    """The state of a hub that does not run."""
    store = await open_store(database, new_id=clock.new_id, now=clock.now_text)
    try:
        await store.last_position()
        changes = await store.read_changes(0, 1_000_000)
        resources = {}
        (directory,) = await store.list_directories()
        for kind in ("User", "Group"):
            for stored in await store.walk(directory.key, kind, 0, 100_000):
                resources[stored.id] = (stored.version, frozenset(await store.members_of(stored.id)))
        return State(changes, resources)
    finally:
        await store.close()


def check(journal: Journal, state: State, arrivals: Iterable[Arrival], *, most_duplicates: int) -> int:
    """Raise AssertionError unless every promise was kept; how many duplicates there were."""
    accepted = [arrival for arrival in arrivals if arrival.status < 300 and arrival.event.tells_of_resource]
    check_log(journal, state)
    _check_complete(state, accepted)
    _check_phantoms(state, accepted)
    _check_order(state, accepted)
    check_stable(accepted)
    check_final(state, accepted)
    duplicates = len(accepted) - len({(arrival.delivery_id, arrival.event.part) for arrival in accepted})
    assert duplicates <= most_duplicates, f"{duplicates} duplicates"
    return duplicates


def check_log(journal: Journal, state: State) -> None:
    """Whatever becomes of it elsewhere: nothing that was acknowledged is lost, and positions and versions have no gap."""
    positions = [change.position for change in state.changes]
    assert positions == list(range(1, len(positions) + 1)), "positions are not dense"
    versions: dict[str, list[int]] = defaultdict(list)
    for change in state.changes:
        versions[change.resource_id].append(change.version)
    for id, seen in versions.items():
        assert seen == list(range(1, len(seen) + 1)), f"the versions of {id} have a gap: {seen}"
    for id, acknowledged in journal.acknowledged.items():
        assert acknowledged <= set(versions[id]), f"{id} lost acknowledged versions"
    deleted = {change.resource_id for change in state.changes if change.operation == "deleted"}
    assert journal.deleted <= deleted, "an acknowledged deletion is lost"


def _check_complete(state: State, accepted: Sequence[Arrival]) -> None:
    had: dict[str, set[int]] = defaultdict(set)
    for arrival in accepted:
        event = arrival.event
        had[event.resource_id] |= set(range(event.from_version or event.version, event.version + 1))
    for change in state.changes:
        assert change.version in had[change.resource_id], f"{change.resource_id} version {change.version} never arrived"


def _check_phantoms(state: State, accepted: Sequence[Arrival]) -> None:
    by_position = {change.position: change for change in state.changes}
    for arrival in accepted:
        event = arrival.event
        change = by_position.get(event.position)
        assert change is not None, f"position {event.position} was never committed"
        assert (change.resource_id, change.version) == (event.resource_id, event.version)
        assert event.id.endswith(change.id), f"{event.id} is not of change {change.id}"


def _check_order(state: State, accepted: Sequence[Arrival]) -> None:
    """Nothing arrives before what it builds on; only what arrived already may come again."""
    reached: dict[str, int] = defaultdict(int)
    for arrival in accepted:
        event = arrival.event
        first = event.from_version or event.version
        assert first <= reached[event.resource_id] + 1, f"{event.resource_id}: {first} came after {reached[event.resource_id]}"
        reached[event.resource_id] = max(reached[event.resource_id], event.version)


def check_stable(accepted: Sequence[Arrival]) -> None:
    """A repetition has the same bytes."""
    bodies: dict[str, bytes] = {}
    for arrival in accepted:
        assert bodies.setdefault(arrival.delivery_id, arrival.body) == arrival.body, f"{arrival.delivery_id} changed"


def check_final(state: State, accepted: Sequence[Arrival]) -> None:
    """What was told, in that order, gives what the hub holds."""
    with Replica() as replica:
        replica.apply_all(arrival.event for arrival in accepted)
        held = {one.id: (one.version, frozenset(replica.members_of(one.id))) for one in replica.resources()}
    assert held == state.resources, json.dumps(
        {"missing": sorted(set(state.resources) - set(held)), "too many": sorted(set(held) - set(state.resources))}
    )
