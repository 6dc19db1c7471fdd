"""Loading many resources at once: what a file says is compared with what is there, and the difference is written.

Every write is the same intent as that of a SCIM request, with the same checks and the same change. A dry load finds
everything out and writes nothing. Loading the same records again changes nothing, so that whoever lost an answer asks
again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol

import orjson

from scimhub.directory import references, refusals, resources
from scimhub.directory.errors import Invalid
from scimhub.directory.intents import Update
from scimhub.directory.ports import ResourceStore
from scimhub.directory.records import Change, StoredResource
from scimhub.directory.references import Names
from scimhub.directory.resources import Caller
from scimhub.scim import errors, resource, slots, values
from scimhub.scim.catalog import Catalog, Kind, Target
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from scimhub.scim.slots import Slot

Action = Literal["created", "updated", "unchanged", "removed", "refused"]
Mode = Literal["create", "upsert"]
Absent = Literal["deactivate", "delete"]
# How many writes may be under way: as many as the store commits together. How many records are looked at before others
# get their turn.
_WINDOW = 256
_TURN = 16
_MEMBERS = 1000
# Beyond any position of the log.
_LAST = 2**62
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class LoadingStore(ResourceStore, Protocol):
    """What loading needs of the store."""

    async def member_ids(self, group: int, after_key: int, limit: int) -> Sequence[tuple[int, str]]:
        """Keys and ids of members of the group with that key, behind ``after_key`` and in order of key."""

    async def read_changes_of(self, resource_id: str, first: int, last: int, limit: int) -> Sequence[Change]:
        """Changes of one resource, of whatever directory, at the positions from ``first`` to ``last``, in order."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How to load. ``key`` names the attribute by which a record and a resource are one and the same.

    With ``slots`` a record speaks of these places only, and the rest of a resource stays; without, it is the whole one.
    """

    kind: Kind
    key: Target
    mode: Mode
    is_dry: bool
    slots: tuple[Slot, ...] = ()
    keeps_ids: bool = False
    absent: Absent = "deactivate"

    @property
    def names_external_id(self) -> bool:
        return not self.slots or any(slot.attribute.name == "externalId" for slot in self.slots)

    def key_of(self, resource: Mapping[str, object]) -> str | None:
        """The key's value in a resource, whose names may be written in any case; None without one."""
        name = self.key.key
        found = resource.get(name)
        if found is None:
            found = next((value for other, value in resource.items() if other.lower() == name.lower()), None)
        return found if isinstance(found, str) and found else None

    def normal(self, text: str) -> values.Normal:
        """The key's value in the form in which two are equal."""
        return values.normal(self.key.attribute, text) if self.key.attribute is not None else text


def find_key(kind: Kind, name: str) -> Target:
    """The attribute by which resources of the kind are told apart: the one named, or what it has in the place of a userName.

    Raises Invalid.
    """
    for each in (name, "displayName") if name == "userName" else (name,):
        target = references.target_of(kind, each)
        if target is not None:
            return target
    raise Invalid([f"{kind.name} has no {name[:80]!r}, by which two records could be told apart."])


@dataclass(frozen=True, slots=True)
class Record:
    """One resource of a file. ``id`` is what it gets if it is new; None for any."""

    line: int
    resource: dict[str, object]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """A resource that the file lacks: its id, and the key by which it was missed."""

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one record; in a dry load, what would become of it. ``paths`` differ, or did."""

    line: int
    action: Action
    id: str | None = None
    paths: tuple[str, ...] = ()
    status: int = 0
    detail: str = ""
    change_id: str | None = None


# What a record asks for: known already, or a write that is still to be made.
_Step = Result | Callable[[], Awaitable[Result]]


async def load(
    store: LoadingStore, caller: Caller, catalog: Catalog, terms: Terms, records: Sequence[Record], new_id: Callable[[], str]
) -> list[Result]:
    """What became of each record, in their order. Raises StoreUnavailable; what was written until then stays."""
    run = await _prepare(store, caller, catalog, terms, records, new_id)
    return await _carry_out([(record.line, partial(run.step, record)) for record in records])


async def remove(store: LoadingStore, caller: Caller, terms: Terms, removals: Sequence[Removal]) -> list[Result]:
    """What became of each resource that a file lacks; one that has another key by now is left alone."""
    run = _Run(store, caller, terms, {}, Names(), frozenset(), str)
    return await _carry_out([(0, partial(run.step_out, removal)) for removal in removals])


async def _carry_out(steps: Sequence[tuple[int, Callable[[], Awaitable[_Step]]]]) -> list[Result]:
    """Decide one after the other, and let the writes of those decided be under way meanwhile, in the same order."""
    places = asyncio.Semaphore(_WINDOW)
    results: list[Result | asyncio.Task[Result]] = []

    async def finish(line: int, write: Callable[[], Awaitable[Result]]) -> Result:
        try:
            return await write()
        except ScimError as error:
            return _refused(line, error)
        finally:
            places.release()

    try:
        for number, (line, decide) in enumerate(steps, 1):
            try:
                step = await decide()
            except ScimError as error:
                step = _refused(line, error)
            if isinstance(step, Result):
                results.append(step)
            else:
                await places.acquire()
                results.append(asyncio.create_task(finish(line, step)))
            if number % _TURN == 0:
                await asyncio.sleep(0)
        return [each if isinstance(each, Result) else await each for each in results]
    except BaseException:
        for each in results:
            if isinstance(each, asyncio.Task):
                each.cancel()
        raise


def _refused(line: int, error: ScimError) -> Result:
    return Result(line, "refused", status=error.status, detail=error.detail)


# --------------------------------------------------------------------------- one load


@dataclass(frozen=True, slots=True)
class _Run:
    """One call of ``load``: what it found out before the first record."""

    store: LoadingStore
    caller: Caller
    terms: Terms
    stored: references.Found
    names: Names
    # Ids of members that are there; asked for only where nothing is written, since the store checks them itself.
    known: frozenset[str]
    new_id: Callable[[], str]
    unsettled: Mapping[int, ScimError] = field(default_factory=dict)

    async def step(self, record: Record) -> _Step:
        """What the record asks for; raises ScimError when it cannot be had."""
        if record.line in self.unsettled:
            raise self.unsettled[record.line]
        terms = self.terms
        text, key = terms.key_of(record.resource), terms.key.key
        if text is None:
            raise errors.invalid_value(f"The record has no {key}, by which it could be found; give it one.")
        found = self.stored.get(terms.normal(text), ())
        if len(found) > 1:
            raise errors.uniqueness(f"{len(found)} resources have the {key} {text[:100]!r}; take another key for the import.")
        if not found:
            return await self._creation(record)
        stored = found[0]
        if terms.keeps_ids and record.id not in (None, stored.id):
            raise errors.uniqueness(f"It exists under the id {stored.id}, and cannot get the id {record.id}.")
        try:
            return await self._update(record, stored)
        except ScimError as error:
            return replace(_refused(record.line, error), id=stored.id)

    async def _creation(self, record: Record) -> _Step:
        terms, store, caller = self.terms, self.store, self.caller
        if record.id is not None:
            await self._check_id(record.id)
        if terms.is_dry:
            submitted = resource.check_create(record.resource, terms.kind, caller.dialect, Notes())
            await self._check_unique(submitted.document, None)
            self._check_members(submitted.members or ())
            return Result(record.line, "created", record.id)

        async def write() -> Result:
            made = await resources.create(
                store,
                caller,
                terms.kind,
                record.resource,
                Notes(),
                self.new_id if record.id is None else lambda: str(record.id),
            )
            return Result(record.line, "created", made.resource.id, change_id=made.change_id)

        return write

    async def _check_id(self, id: str) -> None:
        """Raise ScimError when the id is another resource's, or was: versions would begin anew, and copies would not follow."""
        if _ID.fullmatch(id) is None:
            raise errors.invalid_value(f"The id {id[:80]!r} cannot be kept: it has not the form of a UUID in lower case.")
        own, source = self.caller.directory.key, self.caller.source.key
        for change in await self.store.read_changes_of(id, 1, _LAST, 1):
            if await self.store.find(change.directory, change.kind, id, source) is not None:
                where = "" if change.directory == own else " of another directory"
                raise errors.uniqueness(f"Another {change.kind}{where} has the id {id}.")
            if change.directory == own:
                raise errors.uniqueness(f"The id {id} is that of a resource which was deleted; it is not given again.")

    async def _update(self, record: Record, stored: StoredResource) -> _Step:
        terms, caller = self.terms, self.caller
        intent = self._replacement(record, stored)
        changed = dict.fromkeys(intent.before)
        if intent.external_id is not None and intent.external_id.value != stored.external_id:
            changed["externalId"] = None
        if intent.members is not None:
            self._check_members(intent.members.add)
            if await self._members_of(stored) != set(intent.members.add):
                changed["members"] = None
        if not changed:
            return Result(record.line, "unchanged", stored.id)
        if terms.mode == "create":
            raise errors.uniqueness(
                f"It exists under the id {stored.id} and differs in {', '.join(changed)}; upsert updates it."
            )
        updated = Result(record.line, "updated", stored.id, tuple(changed))
        if terms.is_dry:
            if intent.content is not None:
                await self._check_unique(orjson.loads(intent.content.document), stored.id)
            return updated

        async def write() -> Result:
            if terms.slots:
                written = await resources.renew(
                    self.store,
                    caller,
                    terms.kind,
                    stored.id,
                    lambda document: slots.overlay(document, record.resource, terms.slots),
                    Notes(),
                    names_external_id=terms.names_external_id,
                )
            else:
                written = await resources.replace(self.store, caller, terms.kind, stored.id, record.resource, Notes(), None)
            return replace(updated, change_id=written.change_id)

        return write

    def _replacement(self, record: Record, stored: StoredResource) -> Update:
        terms = self.terms
        body: Mapping[str, object] = record.resource
        if terms.slots:
            body = slots.overlay(orjson.loads(stored.document), record.resource, terms.slots)
        return resources.replacement(
            self.caller,
            terms.kind,
            stored,
            body,
            Notes(),
            is_whole=not terms.slots,
            names_external_id=terms.names_external_id,
        )

    async def _members_of(self, group: StoredResource) -> set[str]:
        ids: set[str] = set()
        key = 0
        while chunk := await self.store.member_ids(group.key, key, _MEMBERS):
            ids.update(id for _, id in chunk)
            key = chunk[-1][0]
        return ids

    def _check_members(self, ids: Sequence[str]) -> None:
        """In a dry load, refuse as the store would."""
        if self.terms.is_dry:
            missing = sorted({id for id in ids if id not in self.known and id not in self.names.coming})
            if missing:
                raise refusals.members_missing(missing[:10])

    async def _check_unique(self, document: Mapping[str, object], own: str | None) -> None:
        kind = self.terms.kind
        for path, value in resource.unique_rows(resource.normal_form(document, kind), kind):
            holder = await references.find_holder(self.store, self.caller, kind, path, value)
            if holder is not None and holder.id != own:
                raise refusals.taken(kind, path, holder.id)

    # ----------------------------------------------------------------- what a file lacks

    async def step_out(self, removal: Removal) -> _Step:
        """The removal of a resource that a file lacks."""
        store, caller, terms = self.store, self.caller, self.terms
        stored = await store.find(caller.directory.key, terms.kind.name, removal.id, caller.source.key)
        if stored is None:
            return Result(0, "unchanged", removal.id)
        document = orjson.loads(stored.document)
        text = terms.key_of({**document, "externalId": stored.external_id})
        # What cannot be deactivated, such as a group, stays.
        can_go = terms.absent == "delete" or terms.kind.base.find("active") is not None
        is_out = not can_go or (terms.absent == "deactivate" and document.get("active") is False)
        if is_out or text is None or terms.normal(text) != terms.normal(removal.key):
            return Result(0, "unchanged", removal.id)
        removed = Result(0, "removed", removal.id)
        if terms.is_dry:
            return removed

        async def write() -> Result:
            if terms.absent == "delete":
                written = await resources.delete(store, caller, terms.kind, removal.id, None)
            else:
                written = await resources.renew(
                    store,
                    caller,
                    terms.kind,
                    removal.id,
                    lambda now: {**now, "active": False},
                    Notes(),
                    names_external_id=False,
                )
            return replace(removed, change_id=written.change_id)

        return write


async def _prepare(
    store: LoadingStore, caller: Caller, catalog: Catalog, terms: Terms, records: Sequence[Record], new_id: Callable[[], str]
) -> _Run:
    names = await references.look_up(store, caller, catalog, [record.resource for record in records])
    unsettled: dict[int, ScimError] = {}
    for record in records:
        try:
            await names.settle(record.resource, catalog)
        except ScimError as error:
            unsettled[record.line] = error
    keys = [text for record in records if (text := terms.key_of(record.resource)) is not None and values.is_usable(text)]
    stored = await references.find_by(store, caller, terms.kind, terms.key, keys)
    known: frozenset[str] = frozenset()
    if terms.is_dry and terms.kind.has_members:
        known = await references.known_ids(store, caller, catalog, [record.resource for record in records])
    return _Run(store, caller, terms, stored, names, known, new_id, unsettled)
