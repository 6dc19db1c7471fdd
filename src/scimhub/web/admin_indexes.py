"""A directory's search indexes."""

from typing import Annotated

from fastapi import APIRouter, Path

from scimhub.directory import indexes, sources
from scimhub.web.admin_models import Indexes, IndexShown, NewIndex, show_index
from scimhub.web.administration import Parts

routes = APIRouter(tags=["search indexes"])
_ALL = "/directories/{directory}/indexes"
_ONE = f"{_ALL}/{{type}}/{{attribute:path}}"
TypeName = Annotated[str, Path(description="The resource type.")]
Attribute = Annotated[str, Path(description="The attribute, as a filter names it.")]


@routes.get(_ALL, summary="List the search indexes and how far they are")
async def list_indexes(parts: Parts, directory: str) -> Indexes:
    home = await sources.get_directory(parts.store, directory)
    return Indexes(items=[show_index(index, home.name) for index in await parts.store.list_indexes(home.key)])


@routes.post(_ALL, status_code=202, summary="Begin a search index; it is built while the hub goes on")
async def add_index(parts: Parts, directory: str, wish: NewIndex) -> IndexShown:
    home = await sources.get_directory(parts.store, directory)
    # No definition may change between the look at it and the index that depends on it.
    async with parts.catalogs.editing:
        catalog = await parts.catalogs.current(home.key)
        index = await indexes.add_index(parts.store, catalog, home, wish.type, wish.attribute, parts.now())
    parts.wake_builder()
    return show_index(index, home.name)


@routes.get(_ONE, summary="Show one search index")
async def get_index(parts: Parts, directory: str, type: TypeName, attribute: Attribute) -> IndexShown:
    home = await sources.get_directory(parts.store, directory)
    catalog = await parts.catalogs.current(home.key)
    return show_index(await indexes.get_index(parts.store, catalog, home, type, attribute), home.name)


@routes.delete(_ONE, status_code=202, summary="Remove a search index; filters do without it from now on")
async def remove_index(parts: Parts, directory: str, type: TypeName, attribute: Attribute) -> IndexShown:
    home = await sources.get_directory(parts.store, directory)
    catalog = await parts.catalogs.current(home.key)
    index = await indexes.remove_index(parts.store, catalog, home, type, attribute)
    parts.wake_builder()
    return show_index(index, home.name)
