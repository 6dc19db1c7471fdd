"""Looking at a destination that can be asked: everything it shows, against what it was to be and what the ledger says.

What it shows is read page by page; of it only ids are kept, and what differs. Whoever is owed to the destination anyway is
not taken for drift. Nothing is written.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import orjson

from scimhub.directory.errors import Conflict
from scimhub.directory.records import Change
from scimhub.distribution import comparison, envelope, opening, preview, rules
from scimhub.distribution.backfilling import told_kinds
from scimhub.distribution.delivery import Destination
from scimhub.distribution.drift import Drift, Finding, Readable, Shown, Sight, Unreadable
from scimhub.distribution.engine import Engine
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.ledger import RemoteState
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.ports import SharedStore
from scimhub.distribution.subscription import STATE, Notice, is_active, tells_active
from scimhub.distribution.unable import Unable

_CHUNK = 500
# Resources compared before others get their turn.
_TURN = 50
# Told what is looked at, how much of it is done, and how much there is.
Watch = Callable[[str, int, int], None]


class _Known(NamedTuple):
    """What the ledger says of a resource, without what was written."""

    resource_type: str
    state: RemoteState
    version: int
    remote_id: str | None


@dataclass(slots=True)
class _Ours:
    """What is known before anything is read of the destination."""

    known: dict[str, _Known] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    cursor: int = 0


@dataclass(slots=True)
class _OfType:
    """What has been seen of one resource type."""

    seen: set[str] = field(default_factory=set)
    # What nobody of ours has, by its keys.
    free: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    strangers: dict[str, Finding] = field(default_factory=dict)
    # Who of ours would be adopted there, by the remote id.
    adopters: dict[str, str] = field(default_factory=dict)
    shown_paths: set[str] = field(default_factory=set)
    compared: int = 0
    # Whatever differs, by resource id; paths of which nothing is shown are judged when all is seen.
    different: dict[str, Finding] = field(default_factory=dict)
    absent: dict[str, tuple[Finding, Mapping[str, object]]] = field(default_factory=dict)
    members: dict[str, Finding] = field(default_factory=dict)
    shows_members: bool = False


async def look(engine: Engine, destination: Destination, watch: Watch) -> tuple[Drift, Sight]:
    """How the destination differs, and what can be seen of it.

    Raises Conflict for one that cannot be asked, Unreadable when it cannot be read now.
    """
    technology = engine.kinds.get(destination.kind)
    if technology is None:
        raise Conflict(f"Destination {destination.name} is a {destination.kind}: what its consumer has cannot be asked.")
    sender = (await opening.open_sender(engine.given, technology, destination)).sender
    try:
        if isinstance(sender, Unable):
            raise Unreadable(sender.reason)
        if not isinstance(sender, Readable):
            raise Conflict(
                f"Destination {destination.name} is a {destination.kind}, which cannot be asked what it has: its receiver "
                "compares its own copy (docs/consumer.md), and a backfill tells it everything again."
            )
        return await _Look(engine, destination, sender, watch).all()
    finally:
        await sender.close()


class _Look:
    """One look at one destination."""

    def __init__(self, engine: Engine, destination: Destination, sender: Readable, watch: Watch) -> None:
        self._store: SharedStore = engine.given.store
        self._engine = engine
        self._destination = destination
        self._sender = sender
        self._watch = watch
        self._ours = _Ours()

    async def all(self) -> tuple[Drift, Sight]:
        sight = await self._sender.look()
        outlook = await Outlook(self._engine.place, self._destination).envelope()
        drift = Drift(await self._engine.given.reader.last_position(), limits=list(sight.limits))
        await self._read_ours()
        if not sight.resource_types:
            raise Conflict(f"Destination {self._destination.name} cannot be asked what it has: {' '.join(sight.limits)}")
        for kind in told_kinds(outlook.interest):
            if kind.name.lower() in sight.resource_types:
                await self._look_at(kind.name, outlook, sight, drift)
        self._note_kept(drift)
        return drift, sight

    async def _read_ours(self) -> None:
        key, pump = self._destination.key, self._engine.find_pump(self._destination.key)
        ours = self._ours
        held = await self._store.list_held(key)
        ours.held = frozenset(one.resource_id for one in held)
        ours.cursor = self._destination.cursor if pump is None else pump.cursor
        kept: list[str] = []
        while some := await self._store.list_kept(key, kept[-1] if kept else "", _CHUNK):
            kept += [one.resource_id for one in some]
        ours.kept = frozenset(kept)
        after = ""
        while entries := await self._store.list_remotes(key, after, _CHUNK):
            after = entries[-1].remote.resource_id
            for entry in entries:
                one = entry.remote
                ours.known[one.resource_id] = _Known(one.resource_type, one.state, one.version, one.remote_id)
                if one.remote_id is not None:
                    ours.claims[one.resource_type, one.remote_id] = one.resource_id

    # ------------------------------------------------------------------ one resource type

    async def _look_at(self, name: str, outlook: Envelope, sight: Sight, drift: Drift) -> None:
        of_type, done = _OfType(), 0
        counts = await self._store.count_resources(self._destination.directory)
        expected = sum(known.resource_type == name and known.state == "present" for known in self._ours.known.values())
        async for page in self._sender.list_shown(name):
            for shown in page:
                await self._look_at_shown(name, shown, outlook, sight, of_type)
                done += 1
                if done % _TURN == 0:
                    self._watch(f"looking at {name} there", done, max(done, expected))
                    await asyncio.sleep(0)
        drift.shown[name] = done
        await self._walk(name, outlook, of_type, drift, counts.get(name, 0), sight)
        self._judge(name, of_type, drift)
        drift.limits += _doubts(name, of_type, expected)

    async def _look_at_shown(self, name: str, shown: Shown, outlook: Envelope, sight: Sight, of_type: _OfType) -> None:
        of_type.shown_paths.update(path for path, value in shown.content.items() if not rules.is_empty(value))
        id = self._owner_of(name, shown)
        if id is None:
            was_ours = shown.external_id is not None and shown.external_id in self._ours.known
            of_type.strangers[shown.remote_id] = Finding(
                "extra",
                name,
                shown.external_id if was_ours else None,
                shown.remote_id,
                was_ours=was_ours,
            )
            for key in shown.keys:
                of_type.free[key].append(shown.remote_id)
            return
        of_type.seen.add(id)
        known = self._ours.known[id]
        change = await self._engine.given.reader.read_state(id)
        version = 0 if change is None or change.after is None else change.version
        found = Finding("different", name, id, shown.remote_id, version)
        notice = None if change is None else outlook.interest.state_of(change, "drift")
        if change is None or notice is None or notice.verb != STATE:
            if known.state == "present" and not self._is_owed(id, change):
                of_type.different[id] = replace(found, category="leftover")
        elif self._is_owed(id, change):
            of_type.different[id] = replace(found, category="waiting")
        else:
            await self._compare(found, notice, shown, outlook, sight, of_type)

    def _owner_of(self, name: str, shown: Shown) -> str | None:
        """Who of ours it is: by its id in the ledger, or by ours that it shows where the ledger has none of its own."""
        ours = self._ours
        id = ours.claims.get((name, shown.remote_id))
        known = None if shown.external_id is None else ours.known.get(shown.external_id)
        if id is not None or known is None or known[:2] != (name, "present") or known.remote_id is not None:
            return id
        id = shown.external_id or ""
        ours.known[id] = known._replace(remote_id=shown.remote_id)
        ours.claims[name, shown.remote_id] = id
        return id

    def _is_owed(self, id: str, change: Change | None) -> bool:
        """Whether what the destination lacks is on its way."""
        return id in self._ours.held or (change is not None and change.position > self._ours.cursor)

    async def _compare(
        self, found: Finding, notice: Notice, shown: Shown, outlook: Envelope, sight: Sight, of_type: _OfType
    ) -> None:
        id = notice.change.resource_id
        desired = await self._sender.desire(envelope.of_notice(outlook, notice)[0])
        if desired.problem:
            of_type.different[id] = replace(found, category="conflict", reason=desired.problem)
            return
        of_type.compared += 1
        compared = comparison.compare(desired.values, shown.content, sight.folded)
        values = dict(compared.different)
        if (values or compared.absent) and not tells_active(notice.change.after):
            found = replace(found, activity=await self._activity(notice, desired.values, outlook))
        if self._ours.known[id].state != "present":
            # Deactivated because it had left; the state that comes brings it back.
            values.setdefault("active", (True, False))
        if values:
            of_type.different[id] = replace(found, values=values)
        if compared.absent:
            of_type.absent[id] = (found, compared.absent)
        if notice.members and sight.shows_members:
            await self._compare_members(found, notice.change, shown, sight, of_type)

    async def _activity(self, notice: Notice, values: Mapping[str, object], outlook: Envelope) -> frozenset[str]:
        """The paths that would have another value if the resource were active."""
        document = orjson.dumps({**orjson.loads(notice.change.after or "{}"), "active": True}).decode()
        active = notice._replace(change=notice.change._replace(after=document))
        others = (await self._sender.desire(envelope.of_notice(outlook, active)[0])).values
        return frozenset(path for path in {*values, *others} if values.get(path) != others.get(path))

    async def _compare_members(self, found: Finding, change: Change, shown: Shown, sight: Sight, of_type: _OfType) -> None:
        wanted = {}
        for member in change.members_added:
            known = self._ours.known.get(member)
            if known is not None and known.remote_id is not None and (sight.nests_groups or known.resource_type != "Group"):
                wanted[known.remote_id] = member
        if shown.members is None and wanted:
            again = await self._sender.show(found.resource_type, shown.remote_id)
            shown = shown if again is None else again
        of_type.shows_members |= bool(shown.members)
        there = set(shown.members or ())
        ours = {id: resource for (_, id), resource in self._claims_of(there)}
        lacking = sorted(member for id, member in wanted.items() if id not in there)
        beyond = sorted(resource for id, resource in ours.items() if id not in wanted)
        strangers = len(there) - len(ours)
        if lacking or beyond:
            of_type.members[change.resource_id] = replace(
                found, category="members", lacking=lacking, beyond=beyond, strangers=strangers
            )

    def _claims_of(self, remote_ids: set[str]) -> Sequence[tuple[tuple[str, str], str]]:
        claims = self._ours.claims
        # A destination may number people and groups apart; of two with the same id the person is meant.
        pairs = [(name, id) for id in remote_ids for name in ("Group", "User")]
        return [(pair, claims[pair]) for pair in pairs if pair in claims]

    # ------------------------------------------------------------------ what it does not show

    async def _walk(self, name: str, outlook: Envelope, of_type: _OfType, drift: Drift, total: int, sight: Sight) -> None:
        """Everybody of ours: in scope and not seen there."""
        done = in_scope = active = 0
        async for resource in preview.resources(self._store, self._destination.directory, name):
            done += 1
            if done % _TURN == 0:
                self._watch(f"looking at {name} here", done, max(done, total))
            document = orjson.loads(resource.document)
            if not outlook.interest.contains(name, resource.id, document):
                continue
            in_scope += 1
            active += is_active(document)
            if resource.id not in of_type.seen:
                of_type.different[resource.id] = await self._unseen(name, resource.id, outlook, of_type, sight)
        drift.ours[name], drift.active[name] = in_scope, active

    async def _unseen(self, name: str, id: str, outlook: Envelope, of_type: _OfType, sight: Sight) -> Finding:
        change = await self._engine.given.reader.read_state(id)
        known = self._ours.known.get(id)
        was_there = known is not None and known.remote_id is not None
        found = Finding("missing", name, id, None, 0 if change is None else change.version, was_there=was_there)
        notice = None if change is None else outlook.interest.state_of(change, "drift")
        if change is None or notice is None or self._is_owed(id, change):
            return replace(found, category="waiting")
        desired = await self._sender.desire(envelope.of_notice(outlook, notice)[0])
        if desired.problem:
            return replace(found, category="conflict", reason=desired.problem)
        for one in desired.keys:
            there = of_type.free.get(one, [])
            if len(there) > 1:
                return replace(found, category="conflict", reason=f"{len(there)} resources there have {one.partition('=')[0]}.")
            if there and not sight.adopts:
                return replace(found, category="conflict", reason="It is there already, and adopt is never.")
            if there:
                return self._adoptable(found, there[0], one.partition("=")[0], of_type)
        return found

    def _adoptable(self, found: Finding, remote_id: str, key: str, of_type: _OfType) -> Finding:
        id = found.resource_id or ""
        other = of_type.adopters.setdefault(remote_id, id)
        if other != id:
            # Who of them it is nobody can tell from here.
            reason = f"Several of ours have the {key} of the one that is there, "
            of_type.different[other] = replace(of_type.different[other], category="conflict", reason=f"{reason}such as {id}.")
            return replace(found, category="conflict", reason=f"{reason}such as {other}.")
        of_type.strangers.pop(remote_id, None)
        return replace(found, category="adoptable", remote_id=remote_id)

    # ------------------------------------------------------------------ when all is seen

    def _judge(self, name: str, of_type: _OfType, drift: Drift) -> None:
        ignored: Counter[str] = Counter()
        for id, (found, absent) in of_type.absent.items():
            ignored.update(path for path in absent if path not in of_type.shown_paths)
            lost = {path: (value, None) for path, value in absent.items() if path in of_type.shown_paths}
            if lost:
                before = of_type.different.get(id, found)
                of_type.different[id] = replace(before, values={**before.values, **lost})
        if ignored:
            drift.ignored[name] = dict(ignored)
        if of_type.members and not of_type.shows_members:
            drift.limits.append(f"No {name} there shows any member: whether it has them cannot be told.")
            of_type.members.clear()
        strangers = [_unless_twice(one, of_type) for one in of_type.strangers.values()]
        drift.findings += [*of_type.different.values(), *of_type.members.values(), *strangers]

    def _note_kept(self, drift: Drift) -> None:
        """What an administrator wanted to be kept is no drift to be mended."""
        drift.findings = [replace(one, category="kept") if self._is_kept(one) else one for one in drift.findings]

    def _is_kept(self, found: Finding) -> bool:
        # A deactivation may have been discarded as well: then it is active there, and is to stay so.
        is_removal = found.category == "leftover" or (found.category == "different" and "active" in found.values)
        return is_removal and found.resource_id in self._ours.kept


def _unless_twice(stranger: Finding, of_type: _OfType) -> Finding:
    """What is extra; or a conflict, where the one that it says it is was seen as well."""
    if not stranger.was_ours or stranger.resource_id not in of_type.seen:
        return stranger
    return replace(stranger, category="conflict", reason=f"It is there twice, also as {stranger.remote_id}; one must go.")


def _doubts(name: str, of_type: _OfType, given: int) -> list[str]:
    """What an administrator should look at before such a report is believed; ``given`` is how many it has by the ledger."""
    doubts = []
    missing = sum(one.category == "missing" and one.was_there for one in of_type.different.values())
    if 2 * missing > given:
        doubts.append(
            f"Of {given:,} {name} that it was given it lacks {missing:,}. If they cannot be gone, it did not show all that it "
            "has, and a plan would make them a second time."
        )
    paths = Counter(path for one in of_type.different.values() for path in one.values)
    for path, count in paths.items():
        if count == of_type.compared > 1:
            doubts.append(
                f"It shows another {path} than ours in each of {count:,} {name}: it may keep that in a way of its own, which a "
                "plan would not change."
            )
    return doubts
