"""The use-cases on resources: create, get, list, replace, patch, delete. Each write is one intent and one change.

A write is computed against the state that was read and submitted with that state's version. Whoever loses a race reads
again; whoever loses three has the computation made inside the writer, so that no storm of writes starves a request. Who
computed by a catalog that is no longer the directory's does all of it again by the new one.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

import orjson

from scimhub.directory import refusals
from scimhub.directory.intents import (
    Actor,
    Amendment,
    Applied,
    Carried,
    CatalogConflict,
    Compute,
    Content,
    Create,
    Delete,
    ExternalId,
    MemberEdit,
    MembersMissing,
    NotFound,
    Outcome,
    Unchanged,
    UniqueConflict,
    Update,
    Values,
    VersionConflict,
)
from scimhub.directory.ports import Catalogs, ResourceStore
from scimhub.directory.preconditions import Precondition
from scimhub.directory.records import Directory, Source, StoredResource
from scimhub.scim import diff, errors, patch, resource, secret_names
from scimhub.scim.catalog import Kind
from scimhub.scim.dialects import Dialect
from scimhub.scim.notes import Notes

_ATTEMPTS_OUTSIDE = 3


class Caller(NamedTuple):
    """Who asks, in which exchange, and when."""

    directory: Directory
    source: Source
    dialect: Dialect
    exchange_id: str
    now: str
    catalogs: Catalogs

    @property
    def actor(self) -> Actor:
        return Actor(self.directory.key, self.source.key, self.exchange_id, self.now)


class Written(NamedTuple):
    """A write that is in the store; ``change_id`` is None when nothing differed."""

    resource: StoredResource
    change_id: str | None


async def get(store: ResourceStore, caller: Caller, kind: Kind, id: str) -> StoredResource:
    """The resource; raises ScimError 404."""
    found = await store.find(caller.directory.key, kind.name, id, caller.source.key)
    if found is None:
        raise refusals.absent(kind, id)
    return found


async def create(
    store: ResourceStore, caller: Caller, kind: Kind, body: Mapping[str, object], notes: Notes, new_id: Callable[[], str]
) -> Written:
    """Store a new resource (RFC 7644 §3.3); raises ScimError, 409 uniqueness among them."""
    id = new_id()

    async def attempt(kind: Kind) -> Outcome:
        submitted = resource.check_create(body, kind, caller.dialect, notes)
        # In the order of the fields, here and below: by name it would take three times as long.
        intent = Create(
            caller.actor,
            kind.name,
            id,
            content_of(submitted.document, kind),
            submitted.external_id,
            submitted.members or (),
            caller.source.returning == "external_id" and bool(submitted.external_id),
            _unmapped(notes),
            kind.catalog_version,
        )
        return await store.submit(intent)

    return await _carry_through(attempt, caller, kind, id, notes)


async def replace(
    store: ResourceStore,
    caller: Caller,
    kind: Kind,
    id: str,
    body: Mapping[str, object],
    notes: Notes,
    precondition: Precondition | None,
) -> Written:
    """Put the whole resource in the place of the stored one (RFC 7644 §3.5.1); it never creates."""

    async def attempt(kind: Kind) -> Outcome:
        def decide(stored: StoredResource) -> Update:
            return replacement(caller, kind, stored, body, notes)

        return await _write(store, caller, kind, id, decide, notes, precondition)

    return await _carry_through(attempt, caller, kind, id, notes)


async def renew(
    store: ResourceStore,
    caller: Caller,
    kind: Kind,
    id: str,
    compose: Callable[[Mapping[str, object]], Mapping[str, object]],
    notes: Notes,
    *,
    names_external_id: bool,
) -> Written:
    """Put what ``compose`` makes of the stored document in its place; for who knows a part of the resource only.

    The externalId and what is kept of unmapped content stay, unless ``names_external_id`` says that the body names one.
    """

    async def attempt(kind: Kind) -> Outcome:
        def decide(stored: StoredResource) -> Update:
            body = compose(orjson.loads(stored.document))
            return replacement(caller, kind, stored, body, notes, is_whole=False, names_external_id=names_external_id)

        return await _write(store, caller, kind, id, decide, notes, None)

    return await _carry_through(attempt, caller, kind, id, notes)


async def modify(
    store: ResourceStore,
    caller: Caller,
    kind: Kind,
    id: str,
    body: object,
    notes: Notes,
    precondition: Precondition | None,
) -> Written:
    """Apply a PatchOp (RFC 7644 §3.5.2): all of it or nothing."""

    async def attempt(kind: Kind) -> Outcome:
        return await _modify(store, caller, kind, id, body, notes, precondition)

    return await _carry_through(attempt, caller, kind, id, notes)


async def _modify(
    store: ResourceStore,
    caller: Caller,
    kind: Kind,
    id: str,
    body: object,
    notes: Notes,
    precondition: Precondition | None,
) -> Outcome:
    parsed = patch.parse_patch(body, kind, caller.dialect, notes, stored_id=id)
    edit = parsed.member_edit
    members = None if edit is None else MemberEdit(edit.add, edit.remove, edit.exact)
    external_id = None if parsed.external_id is None else ExternalId(parsed.external_id.value)
    if not parsed.touches_document and external_id is None and precondition is None:
        # Members alone: nothing is read, so that the cost does not depend on the group and no two edits conflict.
        unmapped, version = _unmapped(notes), kind.catalog_version
        members = members or MemberEdit()
        return await store.submit(
            Update(caller.actor, kind.name, id, members=members, unmapped=unmapped, catalog_version=version)
        )

    def decide(stored: StoredResource) -> Update:
        before = orjson.loads(stored.document)
        after = patch.apply_patch(before, parsed, kind, caller.dialect, notes) if parsed.touches_document else before
        return _update(caller, kind, stored, before, after, external_id, members, notes, exact=False)

    return await _write(store, caller, kind, id, decide, notes, precondition)


async def delete(store: ResourceStore, caller: Caller, kind: Kind, id: str, precondition: Precondition | None) -> Written:
    """Remove the resource from the directory and from all its groups (RFC 7644 §3.6)."""
    expected = None
    if precondition is not None:
        expected = _admitted(precondition, await get(store, caller, kind, id)).version

    async def attempt(kind: Kind) -> Outcome:
        return await store.submit(Delete(caller.actor, kind.name, id, expected))

    return await _carry_through(attempt, caller, kind, id, Notes())


# --------------------------------------------------------------------------- computing a write


def replacement(
    caller: Caller,
    kind: Kind,
    stored: StoredResource,
    body: Mapping[str, object],
    notes: Notes,
    *,
    is_whole: bool = True,
    names_external_id: bool = True,
) -> Update:
    """What is to be written so that the body takes the place of the stored resource; raises ScimError.

    A body that was made of the stored one (not ``is_whole``) leaves members that it does not name.
    """
    before = orjson.loads(stored.document)
    submitted = resource.check_replace(body, kind, caller.dialect, notes, before)
    is_silent = submitted.members is None or (not is_whole and "members" not in body)
    members = None if is_silent else MemberEdit(submitted.members or (), exact=True)
    external_id = ExternalId(submitted.external_id) if names_external_id else None
    return _update(caller, kind, stored, before, submitted.document, external_id, members, notes, exact=is_whole)


def content_of(document: Mapping[str, object], kind: Kind) -> Content:
    """The document with all that the store derives from it."""
    normal = resource.normal_form(document, kind)
    return Content(
        orjson.dumps(document).decode(),
        orjson.dumps(normal).decode(),
        resource.display_of(document, kind),
        resource.unique_rows(normal, kind),
        resource.index_rows(normal, kind),
    )


def amendment_of(
    stored: StoredResource,
    before: Mapping[str, object],
    after: Mapping[str, object],
    kind: Kind,
    names: Collection[str] | None = None,
) -> Amendment:
    """The document ``after`` in the place of the stored one, which is ``before``, with what the store derives from either.

    ``names`` are the top-level names in which they differ, where that is known.
    """
    old, new = resource.differing(before, after, kind, names)
    return Amendment(
        stored,
        orjson.dumps(after).decode(),
        orjson.dumps(resource.merge_patch(old, new)).decode(),
        resource.display_of(after, kind),
        Values(resource.unique_rows(old, kind), resource.index_rows(old, kind)),
        resource.unique_rows(new, kind),
        resource.index_rows(new, kind),
    )


def _update(
    caller: Caller,
    kind: Kind,
    stored: StoredResource,
    before: Mapping[str, object],
    after: Mapping[str, object],
    external_id: ExternalId | None,
    members: MemberEdit | None,
    notes: Notes,
    *,
    exact: bool,
) -> Update:
    names = resource.differing_names(before, after)
    changed = diff.changed_paths(before, after, kind, names)
    return Update(
        caller.actor,
        kind.name,
        stored.id,
        stored.version,
        amendment_of(stored, before, after, kind, names) if changed else None,
        changed,
        external_id,
        members,
        _unmapped(notes),
        exact,
        kind.catalog_version,
    )


async def _carry_through(
    attempt: Callable[[Kind], Awaitable[Outcome]], caller: Caller, kind: Kind, id: str, notes: Notes
) -> Written:
    """What comes of the attempt, made again by the kind as it is now as often as the directory's catalog has moved on."""
    mark = notes.mark()
    while isinstance(outcome := await attempt(kind), CatalogConflict):
        notes.rewind(mark)
        catalog = await caller.catalogs.current(caller.directory.key)
        found = catalog.kinds.get(kind.name)
        if found is None:
            raise errors.not_found(f"The directory has no resource type {kind.name} any more.")
        kind = found
    return _written(outcome, kind, id)


async def _write(
    store: ResourceStore,
    caller: Caller,
    kind: Kind,
    id: str,
    decide: Callable[[StoredResource], Update],
    notes: Notes,
    precondition: Precondition | None,
) -> Outcome:
    mark = notes.mark()
    for _ in range(_ATTEMPTS_OUTSIDE):
        stored = await get(store, caller, kind, id)
        if precondition is not None:
            _admitted(precondition, stored)
        notes.rewind(mark)
        intent = decide(stored)
        if is_idle(intent, stored):
            return Unchanged(stored)
        outcome = await store.submit(intent)
        if not isinstance(outcome, VersionConflict):
            return outcome

    def inside(stored: StoredResource | None) -> Update | NotFound:
        if stored is None:
            return NotFound()
        if precondition is not None:
            _admitted(precondition, stored)
        notes.rewind(mark)
        return decide(stored)

    return await store.submit(Compute(caller.actor, kind.name, id, inside, kind.catalog_version))


def is_idle(intent: Update, stored: StoredResource) -> bool:
    """Whether the update would change nothing; identity providers send many of those (Okta's PUTs above all)."""
    return (
        intent.content is None
        and intent.members is None
        and intent.unmapped is None
        and (intent.external_id is None or intent.external_id.value == stored.external_id)
    )


def _admitted(precondition: Precondition, stored: StoredResource) -> StoredResource:
    if not precondition.admits(stored.version):
        raise refusals.stale(stored.version)
    return stored


def _written(outcome: Carried, kind: Kind, id: str) -> Written:
    if isinstance(outcome, Applied):
        return Written(outcome.resource, outcome.change_id)
    match outcome:
        case Unchanged(stored):
            return Written(stored, None)
        case NotFound():
            raise refusals.absent(kind, id)
        case UniqueConflict(path, holder):
            raise refusals.taken(kind, path, holder)
        case MembersMissing(ids):
            raise refusals.members_missing(ids)
        case VersionConflict(current):
            raise refusals.stale(current)


def _unmapped(notes: Notes) -> str | None:
    if not notes.unmapped:
        return None
    # DECISIONS 19: a secret is not kept, whether or not a schema knows it; that it was sent stands in the exchange.
    kept = {path: value for path, value in notes.unmapped.items() if not secret_names.stand_in(path, value)}
    return orjson.dumps(kept, default=str).decode() if kept else None
