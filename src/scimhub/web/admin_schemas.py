"""A directory's schemas and resource types."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body

from scimhub.directory import schemas, sources
from scimhub.directory.records import Directory
from scimhub.directory.schemas import Objections
from scimhub.distribution import dependents
from scimhub.web.admin_models import SchemaReport, Schemas, show_report, show_schema
from scimhub.web.administration import Parts

routes = APIRouter(tags=["schemas"])

_EXAMPLE = {
    "id": "urn:example:scim:schemas:Badge",
    "name": "Badge",
    "extends": ["User"],
    "attributes": [{"name": "badgeNumber", "type": "string", "uniqueness": "server", "caseExact": True}],
}
Definition = Annotated[
    dict[str, object],
    Body(
        description="A schema (RFC 7643 §7, with `extends`, `required`), or a bundle: schemas, resourceTypes, extensions.",
        examples=[_EXAMPLE],
    ),
]


@routes.get("/directories/{directory}/schemas", summary="List schemas and resource types")
async def list_schemas(parts: Parts, directory: str) -> Schemas:
    home = await sources.get_directory(parts.store, directory)
    return Schemas(items=[show_schema(offered) for offered in await schemas.list_schemas(parts.store, home)])


@routes.post("/directories/{directory}/schemas", summary="Add or replace schemas and resource types")
async def add_schema(parts: Parts, directory: str, definition: Definition) -> SchemaReport:
    home = await sources.get_directory(parts.store, directory)
    async with parts.catalogs.editing:
        now, objections = parts.now(), _objections(parts, home)
        return show_report(await schemas.add_schema(parts.store, home, definition, now, parts.new_id, objections))


@routes.get("/directories/{directory}/schemas/{name:path}", summary="Show one definition, by URN or by type name")
async def get_schema(parts: Parts, directory: str, name: str) -> dict[str, object]:
    home = await sources.get_directory(parts.store, directory)
    return dict(await schemas.show_schema(parts.store, home, name))


@routes.delete("/directories/{directory}/schemas/{name:path}", summary="Remove an added schema or type that no data needs")
async def remove_schema(parts: Parts, directory: str, name: str) -> SchemaReport:
    home = await sources.get_directory(parts.store, directory)
    async with parts.catalogs.editing:
        return show_report(await schemas.remove_schema(parts.store, home, name, _objections(parts, home)))


def _objections(parts: Parts, directory: Directory) -> Objections:
    return partial(dependents.objections, parts.engine.given.store, directory)
