"""What a directory needs of its store, as Protocols. ``sqlstore`` keeps them; ``tests/store_contract`` proves it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from scimhub.directory.intents import Content, Intent, Outcome, Reindexed
from scimhub.directory.records import (
    Change,
    Directory,
    Grant,
    GroupView,
    Permission,
    Returning,
    SearchIndex,
    Source,
    StoredResource,
    Token,
    Tombstone,
    Unmapped,
)
from scimhub.scim.catalog import Catalog, Kind, Target
from scimhub.scim.filters import Condition


class After(NamedTuple):
    """Where a page ends: the last resource's key and, when the list is sorted, its sort value in normal form."""

    key: int
    value: str | int | float | None = None


class Selection(NamedTuple):
    """Which resources to list. ``conditions`` has one entry for each kind asked for; None means all of that kind.

    Without ``sort`` the order is that of creation. Ties are broken by key, so that pages never overlap.
    """

    directory: int
    source: int
    conditions: Mapping[Kind, Condition | None]
    # For each kind the attribute to sort by; a kind without it counts as having no value.
    sort: Mapping[Kind, Target] | None = None
    descending: bool = False
    offset: int = 0
    after: After | None = None
    limit: int = 100
    # What stands in front of ``meta.location``, without a slash at the end.
    base_url: str = ""


class Page(NamedTuple):
    """A part of a list. ``total`` counts all that match; ``more`` is where the next page begins, None on the last."""

    resources: Sequence[StoredResource]
    total: int
    more: After | None


class Roll(NamedTuple):
    """A group and the keys of all its members, in their order, both of one moment."""

    group: StoredResource
    members: Sequence[int]


class ResourceStore(Protocol):
    """Reading and writing resources."""

    async def find(self, directory: int, kind: str, id: str, source: int) -> StoredResource | None:
        """The resource, with the externalId that this source gave it."""

    async def select(self, selection: Selection) -> Page:
        """One page of a list; raises ScimError tooMany when the scan would be too long."""

    async def groups_of(self, keys: Sequence[int]) -> Mapping[int, Sequence[GroupView]]:
        """The groups, direct first, of each resource that has any."""

    async def member_counts(self, groups: Sequence[int], limit: int) -> Mapping[int, int]:
        """How many members each of the groups has; of more than ``limit`` no more than one is counted."""

    async def members_json(self, group: int, locations: Mapping[str, str], count: int | None = None) -> str | None:
        """The group's members as the text of a JSON array, None when it has none.

        ``locations`` gives for each kind the URL in front of a resource's id, ending with a slash. ``count`` is how many
        there are, where that is known.
        """

    async def find_roll(self, directory: int, kind: str, id: str, source: int) -> Roll | None:
        """The group with the keys of all its members: eight bytes for each of them."""

    async def some_members_json(self, keys: Sequence[int], locations: Mapping[str, str]) -> str | None:
        """The resources with these keys as members in the text of a JSON array; None when one of them is gone."""

    async def submit(self, intent: Intent) -> Outcome:
        """Carry out the intent; when this returns Applied, it is on disk.

        Raises StoreUnavailable, and ScimError 404 when the directory is not there any more.
        """


class DirectoryStore(Protocol):
    """Administration: directories, sources, tokens, schemas. All raise Absent, Conflict or StoreUnavailable."""

    async def create_directory(self, name: str, now: str) -> Directory: ...

    async def list_directories(self) -> Sequence[Directory]: ...

    async def find_directory(self, name: str) -> Directory | None: ...

    async def request_directory_deletion(self, directory: int, now: str) -> Directory: ...

    async def delete_directory(self, directory: int) -> None:
        """Remove all that the directory holds; Conflict unless the deletion was requested before."""

    async def count_resources(self, directory: int) -> Mapping[str, int]:
        """How many resources of each kind the directory holds, exactly."""

    async def create_source(self, directory: int, name: str, dialect: str, returning: Returning, now: str) -> Source: ...

    async def update_source(self, source: int, dialect: str, returning: Returning) -> Source: ...

    async def list_sources(self, directory: int) -> Sequence[Source]: ...

    async def find_source(self, directory: int, name: str) -> Source | None: ...

    async def delete_source(self, source: int, now: str) -> None:
        """Revoke its tokens and remove it; its resources stay."""

    async def create_token(
        self, source: int, digest: bytes, hint: str, permissions: frozenset[Permission], expires: str | None, now: str
    ) -> Token: ...

    async def list_tokens(self, source: int) -> Sequence[Token]: ...

    async def revoke_token(self, source: int, token_id: str, now: str) -> Token: ...

    async def find_grant(self, digest: bytes) -> Grant | None:
        """What the token with this digest opens, expired and revoked ones included; the caller judges."""

    async def touch_tokens(self, last_used: Mapping[str, str]) -> None:
        """Note when tokens, by id, were last used; later than what is there."""

    def catalog_version(self, directory: int) -> int:
        """The version of the directory's schemas and types; cheap, because every request asks. 0 when it is gone."""

    async def find_additions(self, directory: int) -> Mapping[str, object]:
        """The schemas and resource types that were added to the standard ones, as one JSON document; {} at first."""

    async def save_additions(self, directory: int, additions: Mapping[str, object], expected: int | None = None) -> int:
        """Keep the document and give the directory's catalog its next version, which is returned.

        Raises Conflict when the catalog is not at the expected version: somebody else changed it meanwhile.
        """

    async def list_indexes(self, directory: int) -> Sequence[SearchIndex]:
        """The directory's search indexes, whatever state they are in."""

    async def reindex(self, directory: int, kind: str, contents: Mapping[int, Content]) -> Reindexed:
        """Rewrite normal form, index and unique rows of resources by key, without a change; conflicts are skipped.

        So are resources whose document is not the content's any more.
        """

    async def unmapped(self, directory: int, kind: str, after: int, limit: int) -> Sequence[Unmapped]:
        """What sources sent that no schema knew, by resource key, in order."""

    async def drop_unmapped(self, directory: int, names: Sequence[str]) -> None:
        """Forget the kept content under these top-level names: a schema has adopted it."""


class Catalogs(Protocol):
    """Where the catalog of each directory is remembered."""

    async def current(self, directory: int) -> Catalog:
        """The directory's catalog as of now."""


class IndexStore(DirectoryStore, Protocol):
    """Making and removing search indexes."""

    async def create_index(self, directory: int, kind: Kind, target: Target, now: str) -> SearchIndex:
        """Begin the index of the attribute: what is written from now on is in it. Conflict when there is one."""

    async def fill_index(self, index: SearchIndex, kind: Kind, target: Target) -> SearchIndex | None:
        """Put some more of what was there before in; the index as it is then, None when it is gone.

        When that was the last, the index is ready and the catalog has its next version. Two may do it at once.
        """

    async def give_up_index(self, index: SearchIndex) -> SearchIndex | None:
        """Have catalogs from now on not know it; None when it is gone."""

    async def drop_index(self, index: SearchIndex) -> None:
        """Take it away. Who still asks by it gets StoreUnavailable."""


class ChangeLog(Protocol):
    """Reading what was committed."""

    async def read_changes(self, after: int, limit: int) -> Sequence[Change]:
        """Changes in order of position, which is dense over the whole hub."""

    async def last_position(self) -> int:
        """The newest position. Whatever was committed before this was asked has one when it is answered."""

    async def find_tombstone(self, directory: int, id: str) -> Tombstone | None: ...
