"""What the contract's tests write with: a store, one directory with a source, and small literal resources."""

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

from scimhub.directory.intents import (
    Actor,
    Applied,
    Content,
    Create,
    Delete,
    ExternalId,
    MemberEdit,
    Outcome,
    Update,
)
from scimhub.directory.ports import ChangeLog, DirectoryStore, ResourceStore
from scimhub.directory.records import Change, Directory, Source, StoredResource

T0 = "2026-11-23T10:00:00.000Z"
T1 = "2026-11-23T11:00:00.000Z"
T2 = "2026-11-23T12:00:00.000Z"
USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"


class AnyStore(ResourceStore, DirectoryStore, ChangeLog):
    """The three ports together."""


def text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def user(name: str, **attributes: Any) -> Content:
    """A user as its document says; index rows for userName, displayName and emails."""
    document = {"schemas": [USER_URN], "userName": name, **attributes}
    normal = json.loads(
        text({key: value for key, value in document.items() if key != "schemas"})
        .lower()
        .replace("username", "userName")
        .replace("displayname", "displayName")
    )
    indexed = [("displayName", normal["displayName"])] if "displayName" in normal else []
    indexed += [("emails.value", email["value"]) for email in normal.get("emails", ())]
    return Content(text(document), text(normal), attributes.get("displayName"), (("userName", name.lower()),), tuple(indexed))


def group(name: str) -> Content:
    lower = name.lower()
    return Content(text({"displayName": name}), text({"displayName": lower}), name, (), (("displayName", lower),))


@dataclass
class Desk:
    """One directory and one source of it, at which a test writes."""

    store: AnyStore
    directory: Directory
    source: Source
    actor: Actor
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def at(self, now: str) -> "Desk":
        """The same desk at another time."""
        return replace(self, actor=self.actor._replace(now=now))

    def of(self, source: Source) -> "Desk":
        """The same desk for another source of the directory."""
        return replace(self, source=source, actor=self.actor._replace(source=source.key))

    def new_id(self) -> str:
        return f"{self.directory.name}-{next(self.ids):04}"

    async def try_user(self, name: str, **options: Any) -> Outcome:
        content = options.pop("content", None) or user(name)
        return await self.store.submit(Create(self.actor, "User", self.new_id(), content, **options))

    async def user(self, name: str, **options: Any) -> StoredResource:
        return applied(await self.try_user(name, **options)).resource

    async def users(self, count: int) -> list[str]:
        return [(await self.user(f"user{number:03}")).id for number in range(count)]

    async def group(self, name: str, *members: str) -> StoredResource:
        intent = Create(self.actor, "Group", self.new_id(), group(name), members=members)
        return applied(await self.store.submit(intent)).resource

    async def edit(self, id: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = (), exact: bool = False) -> Outcome:
        return await self.store.submit(Update(self.actor, "Group", id, members=MemberEdit(add, remove, exact)))

    async def put(self, id: str, content: Content | None, **options: Any) -> Outcome:
        return await self.store.submit(Update(self.actor, "User", id, content=content, **options))

    async def link(self, id: str, external_id: str | None) -> Outcome:
        return await self.store.submit(Update(self.actor, "User", id, external_id=ExternalId(external_id)))

    async def delete(self, id: str, kind: str = "User", expected_version: int | None = None) -> Outcome:
        return await self.store.submit(Delete(self.actor, kind, id, expected_version))

    async def find(self, id: str, kind: str = "User") -> StoredResource | None:
        return await self.store.find(self.directory.key, kind, id, self.source.key)

    async def get(self, id: str, kind: str = "User") -> StoredResource:
        found = await self.find(id, kind)
        assert found is not None
        return found

    async def members(self, id: str) -> list[str]:
        key = (await self.get(id, "Group")).key
        shown = await self.store.members_json(key, {"User": "/Users/", "Group": "/Groups/"})
        return [] if shown is None else [member["value"] for member in json.loads(shown)]

    async def changes(self, after: int = 0) -> list[Change]:
        # Where a commit does not give positions, asking for the last one does.
        await self.store.last_position()
        return list(await self.store.read_changes(after, 10_000))


def applied(outcome: Outcome) -> Applied:
    assert isinstance(outcome, Applied), outcome
    return outcome
