"""The use-cases on search indexes: add, show, remove; and the work that goes on beside, building and taking away.

An index is built while writes go on: from its creation the database keeps it with each write, and ``Builder`` puts in what
was there before, step by step. A step is one transaction, so that a crash costs at most one, and it does not matter which
node does it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from scimhub.directory.errors import Absent, Invalid, StoreUnavailable
from scimhub.directory.ports import Catalogs, IndexStore
from scimhub.directory.records import Directory, SearchIndex
from scimhub.scim import paths
from scimhub.scim.catalog import COMMON_NAMES, AmbiguousName, Catalog, Kind, Target
from scimhub.scim.errors import ScimError
from scimhub.scim.schema import Attribute

_logger = logging.getLogger(__name__)
# Seconds until a node looks by itself for work that another one began and left.
_LOOK_EVERY = 30.0
_AFTER_FAULT = 5.0
# Seconds in which every node has read the catalog that does not know the index any more.
_UNTIL_ALL_KNOW = 2.0


async def add_index(
    store: IndexStore, catalog: Catalog, directory: Directory, type_name: str, attribute: str, now: str
) -> SearchIndex:
    """Begin the index of the attribute; raises Invalid, or Conflict when there is one or the database cannot."""
    kind, target = _resolve(catalog, type_name, attribute)
    problem = problem_of(kind, target, attribute)
    if problem:
        raise Invalid([problem])
    return await store.create_index(directory.key, kind, target, now)


async def get_index(store: IndexStore, catalog: Catalog, directory: Directory, type_name: str, attribute: str) -> SearchIndex:
    """The index of the attribute; raises Absent, Invalid."""
    kind, target = _resolve(catalog, type_name, attribute)
    for index in await store.list_indexes(directory.key):
        if (index.kind, index.path) == (kind.name, target.key):
            return index
    raise Absent(f"{target.key} of {kind.name} in directory {directory.name} has no search index.")


async def remove_index(
    store: IndexStore, catalog: Catalog, directory: Directory, type_name: str, attribute: str
) -> SearchIndex:
    """Begin to remove the index: filters use it no longer. Raises Absent, Invalid."""
    index = await get_index(store, catalog, directory, type_name, attribute)
    given_up = await store.give_up_index(index)
    if given_up is None:
        raise Absent(f"{index.path} of {index.kind} in directory {directory.name} has no search index.")
    return given_up


def in_the_way(indexes: Iterable[SearchIndex], before: Catalog, after: Catalog) -> list[str]:
    """A sentence for each index whose attribute another definition would change or take away."""
    return [
        f"{index.path} of {index.kind} has a search index, which another definition of it would break; remove it first with:"
        f" scimhub index remove {index.path} --type {index.kind}"
        for index in indexes
        if _shape(before, index) != _shape(after, index)
    ]


def _shape(catalog: Catalog, index: SearchIndex) -> list[tuple[str, bool]] | None:
    """What the statements of an index depend on; None when there is no such attribute."""
    kind = catalog.kinds.get(index.kind)
    target = None if kind is None else kind.resolve(paths.parse_attribute(index.path), short_names=False)
    if target is None:
        return None
    return [(each.type, each.multi_valued) for each in (target.attribute, target.sub) if each is not None]


def _resolve(catalog: Catalog, type_name: str, attribute: str) -> tuple[Kind, Target]:
    kind = next((kind for kind in catalog.kinds.values() if kind.name.lower() == type_name.lower()), None)
    if kind is None:
        raise Invalid([f"There is no resource type {type_name[:80]!r}; there are {', '.join(catalog.kinds)}."])
    try:
        target = kind.resolve(paths.parse_attribute(attribute), short_names=True)
    except AmbiguousName as error:
        raise Invalid([str(error)]) from error
    except ScimError as error:
        raise Invalid([error.detail]) from error
    if target is None or target.attribute is None:
        raise Invalid([f"{attribute[:100]} is no attribute of {kind.name}; scimhub schema show {kind.name} tells what is."])
    value = target.attribute.find("value") if target.sub is None and target.attribute.is_complex else None
    # As in a filter, emails stands for emails.value.
    return kind, target if value is None else Target(target.extension, target.attribute, value)


def problem_of(kind: Kind, target: Target, written: str) -> str | None:
    """Why the attribute cannot have a search index."""
    attribute, leaf = target.attribute, target.leaf
    if attribute is None or leaf is None or leaf.is_complex:
        return f"{written} is complex; name one of its sub-attributes."
    if _is_hidden(attribute) or _is_hidden(leaf):
        return f"{written} is never returned and cannot be filtered on."
    is_row = (attribute.name == "members" and kind.has_members) or (attribute.name == "groups" and kind.shows_groups)
    if target.extension is None and (attribute.name in COMMON_NAMES or is_row):
        return f"{written} is kept apart from the resource and cannot be searched; eq on it needs no search index."
    if leaf.type not in ("string", "reference"):
        return f"{written} is of type {leaf.type}; co, sw and ew look into strings only."
    return None


def _is_hidden(attribute: Attribute) -> bool:
    return attribute.returned == "never" or attribute.mutability == "writeOnly"


# --------------------------------------------------------------------------- building and taking away


class Builder:
    """What builds and takes away search indexes as long as the hub runs; ``wake`` it when there is something to do."""

    def __init__(self, store: IndexStore, catalogs: Catalogs) -> None:
        self._store = store
        self._catalogs = catalogs
        self._woken = asyncio.Event()
        self._working = asyncio.create_task(self._work())

    def wake(self) -> None:
        self._woken.set()

    async def close(self) -> None:
        """Stop within one step; the rest is done by another node, or after the next start."""
        self._working.cancel()
        await asyncio.gather(self._working, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            pause = _LOOK_EVERY
            try:
                await finish(self._store, self._catalogs)
            except StoreUnavailable as fault:
                _logger.warning("search indexes wait", extra={"reason": str(fault)})
                pause = _AFTER_FAULT
            except Exception:
                _logger.exception("search indexes were not worked on")
            # Not wait_for, which with Python 3.11 may forget that it was cancelled: then ``close`` would wait for ever.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()


async def finish(store: IndexStore, catalogs: Catalogs) -> None:
    """Do all that is left to do on search indexes."""
    for directory in await store.list_directories():
        for index in await store.list_indexes(directory.key):
            if index.state == "building":
                await _build(store, await catalogs.current(directory.key), index)
            elif index.state == "removing":
                await asyncio.sleep(_UNTIL_ALL_KNOW)
                await store.drop_index(index)


async def _build(store: IndexStore, catalog: Catalog, index: SearchIndex) -> None:
    kind, target = _resolve(catalog, index.kind, index.path)
    now: SearchIndex | None = index
    while now is not None and now.state == "building":
        now = await store.fill_index(index, kind, target)
    if now is not None:
        _logger.info("search index is ready", extra={"type": index.kind, "attribute": index.path, "resources": now.done})
