"""A directory written out page by page, as a load takes it in again (DECISIONS 11).

Resources are walked by key in short reads, and what changes meanwhile may be in the pages or not; none is there twice. Beside
the id of a manager or a member stands the ``userName``, so that another directory, where ids differ, finds the same person.
A group's first members are in it; more of them follow in lines of their own, ``{"membersOf": id, "members": […]}``.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from scimhub.directory.errors import Invalid
from scimhub.directory.ports import After, ResourceStore, Selection
from scimhub.directory.records import Directory, Source, StoredResource
from scimhub.scim import errors, filters, matching, resource, values
from scimhub.scim.catalog import ENTERPRISE_URN, Catalog, Kind
from scimhub.scim.filters import And, Comparison, Condition, Elements, Not, Nothing, Or, Present

MEMBERS_OF = "membersOf"
# Resources looked at, and members told, at most in one page; how many before others get their turn.
_RESOURCES = 500
_MEMBERS = 1000
_TURN = 50
_PLACE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)\.(\d{1,18})\.(\d{1,18})")
_ANYBODY = 0


class ExportStore(ResourceStore, Protocol):
    """What writing out needs of the store."""

    async def walk(self, directory: int, kind: str, after_key: int, limit: int) -> Sequence[StoredResource]:
        """Resources of the kind behind the key, in its order; with the externalId of the source that wrote last."""

    async def member_ids(self, group: int, after_key: int, limit: int) -> Sequence[tuple[int, str]]:
        """Keys and ids of members of the group with that key, behind ``after_key`` and in order of key."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to write out: which kinds, of which source the externalIds (None: of whoever wrote last), which resources.

    ``attributes`` are the top-level ones that are wanted; without them all.
    """

    directory: Directory
    catalog: Catalog
    source: Source | None
    kinds: tuple[Kind, ...]
    conditions: Mapping[Kind, Condition | None]
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of JSON, and where the next page begins; None after the last one. ``seen`` resources were looked at."""

    lines: Sequence[bytes]
    next: str | None
    seen: int


def parse_kinds(
    catalog: Catalog, names: Sequence[str], filter: str | None
) -> tuple[tuple[Kind, ...], dict[Kind, Condition | None]]:
    """The kinds of these names, without names all of them, and the filter bound to each; raises Invalid, ScimError.

    A group comes after whatever may be its member.
    """
    by_name = {name.lower(): kind for name, kind in catalog.kinds.items()}
    if absent := [name for name in names if name.lower() not in by_name]:
        raise Invalid([f"There is no resource type {absent[0][:80]!r}; there are {', '.join(catalog.kinds)}."])
    chosen = [by_name[name.lower()] for name in names] or list(catalog.kinds.values())
    kinds = tuple(sorted(dict.fromkeys(chosen), key=lambda kind: kind.has_members))
    if filter is None:
        return kinds, dict.fromkeys(kinds)
    expression = filters.parse(filter)
    unknown: filters.Unknown = "error" if len(kinds) == 1 else "absent"
    conditions = {kind: filters.bind(expression, kind, lenient=True, unknown=unknown) for kind in kinds}
    if all(condition == Nothing() for condition in conditions.values()):
        # An empty file would say that there is nobody; this says what is not understood.
        filters.bind(expression, kinds[0], lenient=True)
    if any(_asks_for_rows(condition) for condition in conditions.values()):
        raise errors.invalid_filter("An export cannot be filtered by members or groups; choose users by their own attributes.")
    return kinds, dict(conditions)


def _asks_for_rows(condition: Condition) -> bool:
    """Whether it asks for what is no part of a document, so that it cannot be answered from one."""
    match condition:
        case And(terms) | Or(terms):
            return any(_asks_for_rows(term) for term in terms)
        case Not(term):
            return _asks_for_rows(term)
        case Comparison(target) | Present(target) | Elements(target):
            return target.extension is None and target.attribute is not None and target.attribute.name in ("members", "groups")
        case Nothing():
            return False


async def read_page(store: ExportStore, wish: Wish, place: str | None) -> Page:
    """The page that begins at the place, which the page before gave; None is the beginning. Raises Invalid."""
    kind, key, member = _parse_place(wish, place)
    writer = _Writer(store, wish, kind)
    if member:
        group = await _next(store, wish, kind, key - 1, 1)
        # It may have been deleted meanwhile; then the rest of its members is no more.
        if group and group[0].key == key:
            return await writer.members(group[0], member)
        member = 0
    chunk = await _next(store, wish, kind, key, _RESOURCES)
    for number, stored in enumerate(chunk, 1):
        rest = await writer.add(stored)
        if rest:
            return Page(writer.lines, f"{kind.name}.{stored.key}.{rest}", number)
        if number % _TURN == 0:
            await asyncio.sleep(0)
        if writer.told >= _MEMBERS:
            return Page(writer.lines, f"{kind.name}.{stored.key}.0", number)
    if chunk:
        return Page(writer.lines, f"{kind.name}.{chunk[-1].key}.0", len(chunk))
    later = wish.kinds[wish.kinds.index(kind) + 1 :]
    return Page(writer.lines, f"{later[0].name}.0.0" if later else None, 0)


def _parse_place(wish: Wish, place: str | None) -> tuple[Kind, int, int]:
    if place is None:
        return wish.kinds[0], 0, 0
    match = _PLACE.fullmatch(place)
    kind = None if match is None else next((kind for kind in wish.kinds if kind.name == match[1]), None)
    if match is None or kind is None:
        raise Invalid([f"after is {place[:80]!r}; it must be what the page before gave as next."])
    return kind, int(match[2]), int(match[3])


async def _next(store: ExportStore, wish: Wish, kind: Kind, key: int, limit: int) -> Sequence[StoredResource]:
    if wish.source is None:
        return await store.walk(wish.directory.key, kind.name, key, limit)
    selection = Selection(wish.directory.key, wish.source.key, {kind: None}, after=After(key), limit=limit)
    return (await store.select(selection)).resources


@dataclass(slots=True)
class _Writer:
    """Gathers the lines of one page; ``told`` counts the members in them."""

    store: ExportStore
    wish: Wish
    kind: Kind
    lines: list[bytes] = field(default_factory=list)
    told: int = 0

    async def add(self, stored: StoredResource) -> int:
        """Add the resource if it is wanted; the key of its last member told when there are more, else 0."""
        document = orjson.loads(stored.document)
        condition = self.wish.conditions[self.kind]
        if condition is not None and not matching.matches(condition, self._compared(stored, document)):
            return 0
        shown = {"schemas": document.pop("schemas", [self.kind.base.id]), "id": stored.id}
        if stored.external_id is not None:
            shown["externalId"] = stored.external_id
        await self._call_by_name(document)
        shown |= document
        rest = 0
        if self.kind.has_members and self._wants("members"):
            shown["members"], rest = await self._members(stored, 0)
        shown["meta"] = {
            "resourceType": self.kind.name,
            "created": stored.created,
            "lastModified": stored.last_modified,
            "version": str(stored.version),
        }
        if self.wish.attributes:
            shown = {name: value for name, value in shown.items() if name in ("id", "meta") or self._wants(name)}
        self.lines.append(orjson.dumps(shown))
        return rest

    async def members(self, group: StoredResource, after: int) -> Page:
        """The page with more members of a group."""
        members, rest = await self._members(group, after)
        if members:
            self.lines.append(orjson.dumps({MEMBERS_OF: group.id, "members": members}))
        return Page(self.lines, f"{self.kind.name}.{group.key}.{rest}", 0)

    def _wants(self, name: str) -> bool:
        return not self.wish.attributes or name in self.wish.attributes

    def _compared(self, stored: StoredResource, document: Mapping[str, object]) -> dict[str, object]:
        """The resource in normal form, as filters compare it."""
        whole: dict[str, object] = resource.normal_form(document, self.kind)
        whole |= {"id": stored.id, "schemas": document.get("schemas")}
        created, modified = values.instant(stored.created), values.instant(stored.last_modified)
        whole["meta"] = {"resourceType": self.kind.name, "created": created, "lastModified": modified}
        return whole if stored.external_id is None else {**whole, "externalId": stored.external_id}

    async def _call_by_name(self, document: dict[str, object]) -> None:
        enterprise = document.get(ENTERPRISE_URN)
        manager = enterprise.get("manager") if isinstance(enterprise, dict) else None
        if isinstance(enterprise, dict) and isinstance(manager, dict) and isinstance(manager.get("value"), str):
            name = await self._user_name(manager["value"])
            if name is not None:
                enterprise["manager"] = {**manager, "userName": name}

    async def _members(self, group: StoredResource, after: int) -> tuple[list[dict[str, object]], int]:
        chunk = await self.store.member_ids(group.key, after, _MEMBERS)
        members: list[dict[str, object]] = []
        for number, (_, id) in enumerate(chunk, 1):
            name = await self._user_name(id)
            members.append({"value": id} if name is None else {"value": id, "type": "User", "userName": name})
            if number % _TURN == 0:
                await asyncio.sleep(0)
        self.told += len(chunk)
        return members, chunk[-1][0] if len(chunk) == _MEMBERS else 0

    async def _user_name(self, id: str) -> str | None:
        found = await self.store.find(self.wish.directory.key, "User", id, _ANYBODY)
        name = None if found is None else orjson.loads(found.document).get("userName")
        return name if isinstance(name, str) else None
