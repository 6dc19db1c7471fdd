"""A stored resource as the bytes that a client receives.

The stored document is spliced, not parsed, unless a projection or an attribute that is returned only on request asks
for it: a list of a hundred users costs little more than copying them (TECHNOLOGY, trick 3).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from scimhub.directory.ports import ResourceStore
from scimhub.directory.records import GroupView, StoredResource
from scimhub.scim.catalog import Catalog, Kind
from scimhub.scim.projection import Projection


class Viewpoint(NamedTuple):
    """From where a resource is looked at: the directory's catalog, its base URL and the log's epoch."""

    catalog: Catalog
    base_url: str
    epoch: str

    def location(self, kind: Kind, id: str) -> str:
        """The absolute URL of a resource; ``meta.location`` and ``Content-Location`` (RFC 7643 §3.1)."""
        return f"{self.base_url}{kind.endpoint}/{id}"

    def etag(self, version: int) -> str:
        """The weak entity tag; a restored backup has another epoch, so that old tags never match (DECISIONS 7)."""
        return f'W/"{self.epoch}.{version}"'


async def render(
    store: ResourceStore,
    viewpoint: Viewpoint,
    resources: Sequence[StoredResource],
    projection: Projection,
    *,
    without_members: bool = False,
    counts: Mapping[int, int] | None = None,
) -> list[bytes]:
    """Each resource as JSON, with its view ``groups`` and its rows ``members`` where the projection wants them.

    ``counts`` says how many members groups have, by key, where that is known.
    """
    kinds = viewpoint.catalog.kinds
    rendered: list[bytes] = []
    rest: list[tuple[int, StoredResource]] = []
    for resource in resources:
        kind = kinds[resource.kind]
        if kind.has_members or (resource.in_groups and kind.shows_groups) or not projection.shows_all(kind):
            rest.append((len(rendered), resource))
            rendered.append(b"")
        else:
            # Its stored text is all that is shown.
            rendered.append(_splice(viewpoint, kind, resource, None, None))
    if not rest:
        return rendered
    wanting = [resource.key for _, resource in rest if resource.in_groups and kinds[resource.kind].shows_groups]
    groups = await store.groups_of(wanting) if wanting and projection.wants("groups") else {}
    wants_members = projection.wants("members") and not without_members
    known = counts or {}
    for index, resource in rest:
        kind = kinds[resource.kind]
        members = None
        if wants_members and kind.has_members:
            members = await store.members_json(resource.key, locations(viewpoint), known.get(resource.key))
        views = groups.get(resource.key)
        text = _splice(viewpoint, kind, resource, _groups_json(viewpoint, views) if views else None, members)
        if not projection.shows_all(kind):
            text = orjson.dumps(projection.apply(orjson.loads(text), kind))
        rendered[index] = text
    return rendered


def without_document(rendered: bytes, resource: StoredResource) -> bytes:
    """The rendered resource, of which nothing was left out, without its document: what no change in the log has."""
    document = resource.document
    length = len(document) if document.isascii() else len(document.encode())
    begin = len(_beginning(resource).encode())
    # The document stands without its braces between two commas, of which one is enough.
    return rendered[: begin - 1] + rendered[begin + length - 2 :]


def locations(viewpoint: Viewpoint) -> dict[str, str]:
    """For each kind the URL in front of a resource's id."""
    return {kind.name: viewpoint.location(kind, "") for kind in viewpoint.catalog.kinds.values()}


def _groups_json(viewpoint: Viewpoint, views: Sequence[GroupView]) -> str:
    shown = []
    for view in views:
        kind = viewpoint.catalog.kinds[view.kind]
        group = {"value": view.id, "$ref": viewpoint.location(kind, view.id)}
        if view.display is not None:
            group["display"] = view.display
        group["type"] = "direct" if view.direct else "indirect"
        shown.append(group)
    return orjson.dumps(shown).decode()


def _splice(viewpoint: Viewpoint, kind: Kind, resource: StoredResource, groups: str | None, members: str | None) -> bytes:
    # The URL was checked when the settings were read.
    _, id, _, version, created, modified, document, _, _ = resource
    rows = "" if groups is None else f',"groups":{groups}'
    if members is not None:
        rows += f',"members":{members}'
    return (
        f'{_beginning(resource)}{document[1:-1]}{rows},"meta":{{"resourceType":"{kind.name}","created":"{created}",'
        f'"lastModified":"{modified}","location":"{viewpoint.base_url}{kind.endpoint}/{id}",'
        f'"version":"W/\\"{viewpoint.epoch}.{version}\\""}}}}'
    ).encode()


def _beginning(resource: StoredResource) -> str:
    # Ids are ours and hold no character that JSON would escape.
    named = "" if resource.external_id is None else f'"externalId":{orjson.dumps(resource.external_id).decode()},'
    return f'{{"id":"{resource.id}",{named}'
