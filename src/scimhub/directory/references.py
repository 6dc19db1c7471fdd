"""Finding resources by what a file knows of them, many at once, and the ids behind names of managers and members.

In a record that is loaded, a manager or a member may be named by ``userName``, ``externalId`` or, for a group, by
``displayName`` instead of its id. What such a name means is asked of the store; where it means nobody, a ``value`` beside
it is taken. ``coming`` says that whoever is meant comes with the same load and may not be there yet.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from scimhub.directory.ports import ResourceStore, Selection
from scimhub.directory.records import StoredResource
from scimhub.directory.resources import Caller
from scimhub.scim import errors, paths, values
from scimhub.scim.catalog import ENTERPRISE_URN, Catalog, Kind, Target
from scimhub.scim.errors import ScimError
from scimhub.scim.filters import Comparison, Or
from scimhub.scim.values import Normal

# How many values one query looks for.
_AT_ONCE = 500
# After how many references others get their turn.
_TURN = 1000
# By what a reference may name somebody, and the kinds among which it is then sought.
NAMES = {"userName": ("User",), "externalId": ("User", "Group"), "displayName": ("Group",)}
_MARK = "coming"

Found = Mapping[Normal, Sequence[StoredResource]]


def target_of(kind: Kind, name: str) -> Target | None:
    """The top-level attribute of that name, None when the kind has none or it is complex."""
    try:
        target = kind.resolve(paths.parse_attribute(name), short_names=False)
    except ScimError:
        return None
    is_simple = target is not None and target.sub is None and target.attribute is not None and not target.attribute.is_complex
    return target if is_simple else None


async def find_by(store: ResourceStore, caller: Caller, kind: Kind, target: Target, wanted: Iterable[str]) -> Found:
    """The resources whose attribute, one of those at the top, has one of these values, by the value in normal form."""
    attribute, name = target.attribute, target.key
    if attribute is None:
        return {}
    sought = list(dict.fromkeys(values.normal(attribute, text) for text in wanted if text))
    found: dict[Normal, list[StoredResource]] = {}
    for first in range(0, len(sought), _AT_ONCE):
        terms = tuple(Comparison(target, "eq", operand) for operand in sought[first : first + _AT_ONCE])
        condition = terms[0] if len(terms) == 1 else Or(terms)
        # Values are hardly ever shared; whoever shares one with a thousand others is ambiguous as well.
        wish = Selection(caller.directory.key, caller.source.key, {kind: condition}, limit=2 * _AT_ONCE)
        for stored in (await store.select(wish)).resources:
            own = _value_of(stored, name)
            if isinstance(own, str):
                found.setdefault(values.normal(attribute, own), []).append(stored)
    return found


async def find_holder(store: ResourceStore, caller: Caller, kind: Kind, path: str, value: str) -> StoredResource | None:
    """The resource that has this value, in normal form, of a unique attribute."""
    target = kind.resolve(paths.parse_attribute(path), short_names=False)
    if target is None:
        return None
    wish = Selection(caller.directory.key, caller.source.key, {kind: Comparison(target, "eq", value)}, limit=2)
    found = (await store.select(wish)).resources
    return found[0] if found else None


async def known_ids(
    store: ResourceStore, caller: Caller, catalog: Catalog, resources: Iterable[Mapping[str, object]]
) -> frozenset[str]:
    """The ids of members of these resources that are resources of the directory."""
    wanted: dict[str, None] = {}
    for resource in resources:
        members = resource.get("members")
        for member in members if isinstance(members, list) else ():
            id = member.get("value") if isinstance(member, dict) else member
            if isinstance(id, str) and values.is_usable(id):
                wanted[id] = None
    known: set[str] = set()
    for kind in catalog.kinds.values():
        target = target_of(kind, "id")
        if wanted and target is not None:
            known.update(str(id) for id in await find_by(store, caller, kind, target, wanted))
    return frozenset(known)


def _value_of(stored: StoredResource, name: str) -> object:
    match name:
        case "id":
            return stored.id
        case "externalId":
            return stored.external_id
        case _:
            return orjson.loads(stored.document).get(name)


# --------------------------------------------------------------------------- names of managers and members


@dataclass(slots=True)
class Names:
    """What the names in some records mean. ``coming`` collects the ids of members that need not be there yet."""

    ids: dict[tuple[str, str, Normal], list[str]] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)

    async def settle(self, resource: dict[str, object], catalog: Catalog) -> None:
        """Put ids in the place of names, in the resource itself; raises ScimError for a name that means nobody or several."""
        enterprise = resource.get(ENTERPRISE_URN)
        if isinstance(enterprise, dict) and isinstance(enterprise.get("manager"), dict):
            enterprise["manager"] = self._settled(enterprise["manager"], catalog, "manager")
        members = resource.get("members")
        settled = members if isinstance(members, list) else []
        for number, member in enumerate(settled, 1):
            if isinstance(member, dict):
                settled[number - 1] = self._settled(member, catalog, "members")
            if number % _TURN == 0:
                await asyncio.sleep(0)

    def _settled(self, reference: Mapping[str, object], catalog: Catalog, where: str) -> dict[str, object]:
        rest = {name: item for name, item in reference.items() if name not in NAMES and name != _MARK}
        given = _given(reference)
        if given is not None:
            ids = self._meant(given[0], given[1], reference, catalog)
            if len(ids) > 1:
                raise errors.invalid_value(
                    f"{where}: {len(ids)} resources have the {given[0]} {given[1][:100]!r}; name one by id."
                )
            if ids:
                return {"value": ids[0]}
            if not rest.get("value"):
                raise errors.invalid_value(
                    f"{where}: no resource of this directory has the {given[0]} {given[1][:100]!r}; load it first."
                )
        if where == "manager":
            rest.pop("type", None)  # it chose among whom to look, and is no part of a manager
        if reference.get(_MARK) is True and isinstance(rest.get("value"), str):
            self.coming.add(str(rest["value"]))
        return rest

    def _meant(self, name: str, text: str, reference: Mapping[str, object], catalog: Catalog) -> list[str]:
        found: list[str] = []
        for kind in _kinds(name, reference, catalog):
            target = target_of(kind, name)
            if target is not None and target.attribute is not None:
                found += self.ids.get((kind.name, name, values.normal(target.attribute, text)), [])
        return found


async def look_up(store: ResourceStore, caller: Caller, catalog: Catalog, resources: Iterable[Mapping[str, object]]) -> Names:
    """What the names in these resources mean now."""
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    references = (reference for resource in resources for reference in _references(resource))
    for number, reference in enumerate(references, 1):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        if given := _given(reference):
            for kind in _kinds(given[0], reference, catalog):
                wanted.setdefault((kind.name, given[0]), {})[given[1]] = None
    names = Names()
    for (kind_name, name), texts in wanted.items():
        kind = catalog.kinds[kind_name]
        target = target_of(kind, name)
        found = {} if target is None else await find_by(store, caller, kind, target, texts)
        names.ids |= {(kind_name, name, normal): [stored.id for stored in held] for normal, held in found.items()}
    return names


def _given(reference: Mapping[str, object]) -> tuple[str, str] | None:
    """By what attribute the reference names somebody, and how."""
    return next(((name, text) for name in NAMES if isinstance(text := reference.get(name), str) and text), None)


def _references(resource: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    enterprise, members = resource.get(ENTERPRISE_URN), resource.get("members")
    manager = enterprise.get("manager") if isinstance(enterprise, dict) else None
    for reference in (manager, *(members if isinstance(members, list) else ())):
        if isinstance(reference, dict):
            yield reference


def _kinds(name: str, reference: Mapping[str, object], catalog: Catalog) -> list[Kind]:
    type = reference.get("type")
    kinds = [type] if isinstance(type, str) and type in NAMES[name] else NAMES[name]
    return [catalog.kinds[kind] for kind in kinds if kind in catalog.kinds]
