"""The use-cases on a directory's schemas: add, replace, remove, show; and its catalog, remembered while it holds.

A definition that only adds is taken at once. One that narrows is taken when no resource stands in its way, else refused
with the count. One that changes how values compare is followed by a job that rewrites rows; a job that a crash ended is
finished by ``finish_jobs``.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from scimhub.directory import additions, adoption, indexes, mistakes, narrowing, short_names
from scimhub.directory.additions import Additions
from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.directory.ports import ChangeLog, DirectoryStore, ResourceStore, Selection
from scimhub.directory.records import Directory, StoredResource
from scimhub.directory.resources import content_of
from scimhub.scim import catalog, schema
from scimhub.scim.catalog import Catalog, Kind, Search
from scimhub.scim.schema import SchemaError

_logger = logging.getLogger(__name__)
_SCAN_PAGE = 500
_CHANGES = 1000
_NO_SOURCE = 0
# What else than resources depends on the catalog of before and could not do with that of after, a sentence for each.
Objections = Callable[[Catalog, Catalog], Awaitable[Sequence[str]]]


async def _none(before: Catalog, after: Catalog) -> Sequence[str]:
    return ()


class SchemaStore(ResourceStore, DirectoryStore, ChangeLog, Protocol):
    """What changing a schema needs of the store."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a change of schemas."""

    catalog_version: int
    schemas: tuple[str, ...]
    resource_types: tuple[str, ...]
    # Resources whose index rows were made anew, and those that got what sources had sent before the schema was there.
    rewritten: int = 0
    adopted: int = 0
    # Resources whose kept content does not fit the schema; it stays kept.
    not_adopted: int = 0
    # What sources will notice, a sentence for each.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """A schema or resource type as a list shows it; ``types`` are the resource types that a schema belongs to."""

    id: str
    name: str
    is_standard: bool
    is_type: bool
    types: tuple[str, ...]
    attributes: int


# --------------------------------------------------------------------------- the catalog


async def load_catalog(store: DirectoryStore, directory: int) -> Catalog:
    """What the directory offers now: the standard and its additions."""
    # The version first: a change between the two reads is then noticed at the next request.
    version = store.catalog_version(directory)
    built = additions.build(additions.read(await store.find_additions(directory)), version)
    searches: dict[str, dict[str, Search]] = {}
    for index in await store.list_indexes(directory):
        if index.state == "ready":
            searches.setdefault(index.kind, {})[index.path] = Search(index.number, index.has_beginnings)
    return catalog.with_searches(built, searches) if searches else built


class Catalogs:
    """The catalogs of all directories, each until its version moves on. ``editing`` is held by who changes schemas."""

    def __init__(self, store: DirectoryStore) -> None:
        self.editing = asyncio.Lock()
        self._store = store
        self._by_directory: dict[int, Catalog] = {}

    def remembered(self, directory: int) -> Catalog | None:
        """The directory's catalog as of now, unless it has to be read."""
        known = self._by_directory.get(directory)
        return known if known is not None and known.version == self._store.catalog_version(directory) else None

    async def current(self, directory: int) -> Catalog:
        """The directory's catalog as of now."""
        known = self.remembered(directory)
        if known is not None:
            return known
        loaded = self._by_directory[directory] = await load_catalog(self._store, directory)
        return loaded


# --------------------------------------------------------------------------- changing it


async def add_schema(
    store: SchemaStore,
    directory: Directory,
    document: object,
    now: str,
    new_id: Callable[[], str],
    objections: Objections = _none,
) -> Report:
    """Add or replace what the document defines; raises Invalid with every mistake, Conflict with the offending counts."""
    version, current = await _current(store, directory)
    try:
        added = additions.parse(document)
        wanted = additions.merge(current, added)
        problems = mistakes.misfits(additions.build(wanted, 0))
        if problems:
            raise SchemaError(problems)
        report = await _install(store, directory, version, current, wanted, objections)
    except SchemaError as error:
        raise Invalid(error.problems) from error
    warnings = short_names.tell_unclear(additions.build(current, 0), additions.build(wanted, 0))
    report = replace(report, schemas=tuple(added.schemas), resource_types=tuple(added.resource_types), warnings=warnings)
    adopted, not_adopted = await adoption.adopt(store, directory, Catalogs(store), now, new_id)
    return replace(report, adopted=adopted, not_adopted=not_adopted)


async def remove_schema(store: SchemaStore, directory: Directory, name: str, objections: Objections = _none) -> Report:
    """Remove an added schema by its URN, or an added resource type by its name together with its own schemas.

    Raises Absent, or Conflict when it is a standard one or something depends on it.
    """
    version, current = await _current(store, directory)
    before = additions.build(current, 0)
    found_type = next((key for key in current.resource_types if key.lower() == name.lower()), None)
    found = next((urn for urn in current.schemas if urn.lower() == name.lower()), None)
    if found_type is not None:
        wanted = additions.without_type(current, found_type)
    elif found is not None:
        owners = [kind.name for kind in before.kinds.values() if kind.base.id == found]
        if owners:
            raise Conflict(f"{found} is the schema of the resource type {owners[0]}; remove that type instead.")
        wanted = additions.without_schema(current, found)
    elif before.find_schema(name) is not None or name.lower() in (kind.lower() for kind in before.kinds):
        raise Conflict(f"{name} is a standard one, which cannot be removed.")
    else:
        raise Absent(f"Directory {directory.name} has no schema or resource type {name[:200]!r}.")
    try:
        report = await _install(store, directory, version, current, wanted, objections)
    except SchemaError as error:
        # A resource type names the schema among its own schemaExtensions.
        raise Conflict(f"{found} cannot be removed: {error}") from error
    gone = tuple(urn for urn in current.schemas if urn not in wanted.schemas)
    return replace(report, schemas=gone, resource_types=(found_type,) if found_type is not None else ())


async def finish_jobs(store: SchemaStore, directory: Directory) -> int:
    """Do what a crash left undone: the count of resources whose rows were rewritten."""
    version, current = await _current(store, directory)
    return await _rewrite_pending(store, directory, version, current) if current.pending else 0


async def _current(store: DirectoryStore, directory: Directory) -> tuple[int, Additions]:
    """What was added, and the catalog's version of which that is so, or of before: then saving is refused."""
    # Asked for anew: a node may not have heard yet of the version that another one gave it.
    found = await store.find_directory(directory.name)
    version = 0 if found is None else found.catalog_version
    return version, additions.read(await store.find_additions(directory.key))


async def _install(
    store: SchemaStore, directory: Directory, version: int, current: Additions, wanted: Additions, objections: Objections
) -> Report:
    """Make the wanted additions the directory's own, unless resources or something else stands in the way.

    ``current`` is what the catalog has at that version; raises Conflict when it has moved on.
    """
    before, after = additions.build(current, 0), additions.build(wanted, 0)
    demands = [narrowing.compare(kind, after.kinds[name]) for name, kind in before.kinds.items() if name in after.kinds]
    looking = [demand for demand in demands if demand.looks_at_resources]
    seen = await store.last_position() if looking else 0
    problems = await _abandoned(store, directory, before, after)
    problems += indexes.in_the_way(await store.list_indexes(directory.key), before, after)
    problems += await _inspect(store, directory, looking)
    problems += await objections(before, after)
    if problems:
        raise Conflict(" ".join(problems))
    # What must be rewritten is saved with the definition, so that a crash in between leaves a job and not wrong rows.
    pending = tuple(sorted({*wanted.pending, *(demand.kind.name for demand in demands if demand.is_rewritten)}))
    wanted = replace(wanted, pending=tuple(name for name in pending if name in after.kinds))
    version = await store.save_additions(directory.key, wanted.render(), version)
    # What was written by the old definition until now was not inspected; from now on nothing is written by it.
    written = await _written_since(store, directory, seen) if looking else ()
    problems = await _abandoned(store, directory, before, after)
    problems += await _inspect(store, directory, [demand for demand in looking if demand.kind.name in written])
    if problems:
        restored = replace(current, pending=tuple(name for name in pending if name in before.kinds))
        version = await store.save_additions(directory.key, restored.render(), version)
        await _rewrite_pending(store, directory, version, restored)
        raise Conflict(" ".join(problems))
    rewritten = 0
    if wanted.pending:
        rewritten = await _rewrite_pending(store, directory, version, wanted)
        version = store.catalog_version(directory.key)
    return Report(version, (), (), rewritten)


async def _abandoned(store: DirectoryStore, directory: Directory, before: Catalog, after: Catalog) -> list[str]:
    gone = [name for name in before.kinds if name not in after.kinds]
    counts = await store.count_resources(directory.key) if gone else {}
    return [
        f"The resource type {name} cannot be removed: there {_are(counts[name])} of it." for name in gone if counts.get(name, 0)
    ]


def _are(count: int) -> str:
    return "is 1 resource" if count == 1 else f"are {count} resources"


async def _inspect(store: ResourceStore, directory: Directory, demands: Sequence[narrowing.Demands]) -> list[str]:
    problems = []
    for demand in demands:
        inspection = narrowing.Inspection(demand)
        async for page in _pages(store, directory, demand.kind):
            for stored in page:
                inspection.look_at(orjson.loads(stored.document))
        problems += inspection.problems()
    return problems


async def _written_since(store: ChangeLog, directory: Directory, position: int) -> set[str]:
    """The kinds of the directory of which anything was written behind the position."""
    kinds: set[str] = set()
    newest = await store.last_position()
    while position < newest and (changes := await store.read_changes(position, _CHANGES)):
        kinds.update(change.kind for change in changes if change.directory == directory.key)
        position = changes[-1].position
    return kinds


async def _rewrite_pending(store: SchemaStore, directory: Directory, version: int, current: Additions) -> int:
    """Make normal form and index rows of all pending kinds anew, page by page, and note that it is done."""
    built = additions.build(current, 0)
    rewritten = 0
    for name in current.pending:
        async for page in _pages(store, directory, built.kinds[name]):
            await _rewrite(store, directory, built.kinds[name], page)
            rewritten += len(page)
    await _note_done(store, directory, version, current)
    return rewritten


async def _rewrite(store: SchemaStore, directory: Directory, kind: Kind, page: Sequence[StoredResource]) -> None:
    """Make the derived rows of these resources anew.

    Who changes a resource meanwhile writes what differs only, so that it must be read again.
    """
    while page:
        contents = {stored.key: content_of(orjson.loads(stored.document), kind) for stored in page}
        conflicts, overtaken = await store.reindex(directory.key, kind.name, contents)
        for conflict in conflicts:
            # Only where a crash kept what was written meanwhile from being inspected; the resource keeps its value,
            # unguarded and not found by it.
            _logger.warning("value is not unique", extra={"path": conflict.path, "held_by": conflict.id})
        again = [
            await store.find(directory.key, kind.name, stored.id, _NO_SOURCE) for stored in page if stored.key in overtaken
        ]
        page = [stored for stored in again if stored is not None]


async def _note_done(store: SchemaStore, directory: Directory, version: int, current: Additions) -> None:
    """Note that nothing is pending any more; raises Conflict when somebody else changed the additions, who rewrites as well."""
    done = replace(current, pending=())
    while True:
        try:
            await store.save_additions(directory.key, done.render(), version)
            return
        except Conflict:
            # A search index that became ready meanwhile gave the catalog its next version, too; or a node that started has
            # finished the job as well.
            version, now = await _current(store, directory)
            if now == done:
                return
            if now != current:
                raise


async def _pages(store: ResourceStore, directory: Directory, kind: Kind) -> AsyncIterator[Sequence[StoredResource]]:
    selection = Selection(directory.key, _NO_SOURCE, {kind: None}, limit=_SCAN_PAGE)
    while True:
        page = await store.select(selection)
        yield page.resources
        if page.more is None:
            return
        selection = selection._replace(after=page.more)


# --------------------------------------------------------------------------- showing it


async def list_schemas(store: DirectoryStore, directory: Directory) -> Sequence[Offered]:
    """Every schema and resource type of the directory, the standard ones first."""
    built = await load_catalog(store, directory.key)
    standard = catalog.standard_catalog()
    schemas = [
        Offered(each.id, each.name, each.id in standard.schemas, False, tuple(_owners(built, each.id)), len(each.attributes))
        for each in built.schemas.values()
    ]
    types = [
        Offered(kind.name, kind.endpoint, kind.name in standard.kinds, True, (kind.name,), len(kind.base.attributes))
        for kind in built.kinds.values()
    ]
    return schemas + types


def _owners(built: Catalog, urn: str) -> list[str]:
    return [kind.name for kind in built.kinds.values() if urn == kind.base.id or urn in kind.extensions]


async def show_schema(store: DirectoryStore, directory: Directory, name: str) -> Mapping[str, object]:
    """The definition of a schema by URN or of a resource type by name, an added one as it was given; raises Absent."""
    _, current = await _current(store, directory)
    for key, document in {**current.schemas, **current.resource_types}.items():
        if key.lower() == name.lower():
            return document
    built = additions.build(current, 0)
    found = built.find_schema(name)
    if found is not None:
        return schema.render_schema(found, f"/Schemas/{found.id}")
    kind = next((kind for kind in built.kinds.values() if kind.name.lower() == name.lower()), None)
    if kind is None:
        raise Absent(f"Directory {directory.name} has no schema or resource type {name[:200]!r}.")
    return schema.render_resource_type(kind.resource_type, f"/ResourceTypes/{kind.name}")
