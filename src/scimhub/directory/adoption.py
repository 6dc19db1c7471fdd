"""Giving resources what sources sent before any schema knew it (DECISIONS 17).

Each adopted resource is updated like any other: with a version, a change, and the source that once sent the content.
What a resource has by now is newer than what was kept, and stays. Content that does not fit the schema stays kept.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal, Protocol

import orjson

from scimhub.directory.intents import Actor, Applied, CatalogConflict, Unchanged, Update, VersionConflict
from scimhub.directory.ports import Catalogs, DirectoryStore, ResourceStore
from scimhub.directory.records import Directory, Unmapped
from scimhub.directory.resources import content_of
from scimhub.scim import diff, paths, resource
from scimhub.scim.catalog import AmbiguousName, Kind, Target
from scimhub.scim.dialects import LENIENT
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes

_PAGE = 500
_ATTEMPTS = 5

# Whether a resource could take the content: all of it, not what the schema still does not know, or nothing.
Fit = Literal["whole", "partly", "not"]


class AdoptionStore(ResourceStore, DirectoryStore, Protocol):
    """What adopting needs of the store."""


async def adopt(
    store: AdoptionStore, directory: Directory, catalogs: Catalogs, now: str, new_id: Callable[[], str]
) -> tuple[int, int]:
    """Move kept content that the catalog knows into its resources: how many got it, and for how many it does not fit."""
    catalog = await catalogs.current(directory.key)
    exchange_id = new_id()
    adopted: set[str] = set()
    failed: set[str] = set()
    done: set[str] = set()
    unfit: set[str] = set()
    for kind in catalog.kinds.values():
        async for kept in _kept(store, directory, kind):
            known = _known(orjson.loads(kept.document), kind)
            if not known:
                continue
            fit = await _give(store, catalogs, kept, known, kind, Actor(directory.key, kept.source, exchange_id, now))
            (failed if fit == "not" else adopted).add(kept.resource_id)
            (done if fit == "whole" else unfit).update(known)
    if done - unfit:
        await store.drop_unmapped(directory.key, sorted(done - unfit))
    return len(adopted - failed), len(failed)


async def _kept(store: DirectoryStore, directory: Directory, kind: Kind) -> AsyncIterator[Unmapped]:
    after = 0
    while page := await store.unmapped(directory.key, kind.name, after, _PAGE):
        for kept in page:
            yield kept
        after = page[-1].key


def _known(content: Mapping[str, object], kind: Kind) -> dict[str, object]:
    """The part of the content, by name, that the kind has a place for by now."""
    return {name: value for name, value in content.items() if _target(name, kind) is not None}


def _target(name: str, kind: Kind) -> Target | None:
    try:
        return kind.resolve(paths.parse_attribute(name), short_names=True)
    except (ScimError, AmbiguousName):
        return None  # a name that is no path, or that several schemas know, has no one place


async def _give(
    store: ResourceStore, catalogs: Catalogs, kept: Unmapped, known: Mapping[str, object], kind: Kind, actor: Actor
) -> Fit:
    """Put the content into the resource where it has nothing yet."""
    for _ in range(_ATTEMPTS):
        kind = (await catalogs.current(actor.directory)).kinds.get(kind.name, kind)
        stored = await store.find(actor.directory, kind.name, kept.resource_id, kept.source)
        if stored is None:
            return "whole"
        before = orjson.loads(stored.document)
        body = _with(before, known, kind)
        notes = Notes()
        try:
            after = resource.check_replace(body, kind, LENIENT, notes, before).document
        except ScimError:
            return "not"
        fit: Fit = "partly" if notes.dropped else "whole"
        changed = diff.changed_paths(before, after, kind)
        if not changed:
            return fit
        content = content_of(after, kind)
        version = kind.catalog_version
        outcome = await store.submit(
            Update(actor, kind.name, kept.resource_id, stored.version, content, changed, catalog_version=version)
        )
        if not isinstance(outcome, VersionConflict | CatalogConflict):
            return fit if isinstance(outcome, Applied | Unchanged) else "not"
    return "not"


def _with(document: Mapping[str, object], known: Mapping[str, object], kind: Kind) -> dict[str, object]:
    """The document with the content at its places; ``check_replace`` judges it afterwards."""
    body = dict(document)
    for name, value in known.items():
        target = _target(name, kind)
        if target is None:
            continue
        home = body
        if target.extension is not None:
            held = body.get(target.extension)
            home = dict(held) if isinstance(held, dict) else {}
            body[target.extension] = home
        if target.attribute is None:
            if isinstance(value, dict):
                home.update({key: given for key, given in value.items() if key.lower() not in {held.lower() for held in home}})
        elif target.sub is None:
            home.setdefault(target.attribute.name, value)
        elif not target.attribute.multi_valued:
            held = home.get(target.attribute.name)
            home[target.attribute.name] = {target.sub.name: value, **(held if isinstance(held, dict) else {})}
    return body
