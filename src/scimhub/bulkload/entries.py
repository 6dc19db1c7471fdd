"""A file as a sequence of resources, whatever its form; each time it is asked for it is read anew.

A table tells of resources of one kind, by its columns. Lines of JSON are whole resources of any kind; what an export writes
behind a group, ``{"membersOf": …}``, is put together with it again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scimhub.bulkload import reading
from scimhub.bulkload.mapping import Columns
from scimhub.bulkload.reading import Document, Table
from scimhub.scim.catalog import Catalog, Kind

_MEMBERS_OF = "membersOf"
# What the hub gives itself, or shows only; an import reads past it.
_NOT_LOADED = ("id", "meta", "groups")


@dataclass(slots=True)
class Entry:
    """One resource of a file: where it begins, of what kind it is, the id that the file gives it, what is wrong with it."""

    line: int
    kind: Kind | None
    resource: dict[str, object]
    id: str | None = None
    problem: str = ""


class Entries(Protocol):
    """A file that can be read again and again."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> Columns | None:
        """What the columns mean, None where each record is a whole resource."""

    def read(self) -> Iterator[Entry]:
        """The resources in order; raises Unreadable."""


@dataclass(frozen=True, slots=True)
class TableEntries:
    """The rows of a table as resources."""

    path: Path
    table: Table
    columns: Columns

    def read(self) -> Iterator[Entry]:
        kind = self.columns.kind
        for row in self.table.rows():
            if row.problem:
                yield Entry(row.line, kind, {}, None, row.problem)
                continue
            resource = self.columns.resource_of(row.cells)
            schemas = [kind.base.id, *(urn for urn in kind.extensions if urn in resource)]
            yield Entry(row.line, kind, {"schemas": schemas, **resource})


@dataclass(frozen=True, slots=True)
class DocumentEntries:
    """Lines of JSON as resources. ``default`` is the kind of those that do not say it."""

    path: Path
    catalog: Catalog
    default: Kind
    columns: None = None

    def read(self) -> Iterator[Entry]:
        last: Entry | None = None
        for document in reading.documents(self.path):
            found = document.document.get(_MEMBERS_OF)
            if found is None:
                if last is not None:
                    yield last
                last = self._entry(document)
            elif last is None or last.id != found or not _extend(last, document):
                if last is not None:
                    yield last
                last = Entry(document.line, None, {}, None, f"The members of {found!r} must follow that group.")
        if last is not None:
            yield last

    def _entry(self, document: Document) -> Entry:
        resource = document.document
        if document.problem:
            return Entry(document.line, None, {}, None, document.problem)
        kind = self._kind(resource)
        if kind is None:
            return Entry(
                document.line, None, {}, None, "Neither meta.resourceType nor schemas names a resource type of the directory."
            )
        id = resource.get("id")
        loaded = {name: value for name, value in resource.items() if name not in _NOT_LOADED}
        loaded.setdefault("schemas", [kind.base.id, *(urn for urn in kind.extensions if urn in resource)])
        return Entry(document.line, kind, loaded, id if isinstance(id, str) and id else None)

    def _kind(self, resource: dict[str, object]) -> Kind | None:
        meta, schemas = resource.get("meta"), resource.get("schemas")
        named = meta.get("resourceType") if isinstance(meta, dict) else None
        if isinstance(named, str):
            return self.catalog.kinds.get(named)
        if not isinstance(schemas, list):
            return self.default
        urns = [urn.lower() for urn in schemas if isinstance(urn, str)]
        return next((kind for kind in self.catalog.kinds.values() if kind.base.id.lower() in urns), None)


def _extend(group: Entry, document: Document) -> bool:
    members, more = group.resource.get("members"), document.document.get("members")
    if not isinstance(members, list) or not isinstance(more, list):
        return False
    members.extend(more)
    return True
