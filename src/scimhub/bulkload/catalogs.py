"""A directory's catalog as the admin API tells it: what columns and records may speak of."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import cast

from scimhub.scim import catalog, schema
from scimhub.scim.catalog import Catalog


async def fetch(listed: Iterable[Mapping[str, object]], get: Callable[[str], Awaitable[object]]) -> Catalog:
    """The catalog of the schemas and types listed; ``get`` gives a definition by its URN or name."""
    schemas, types = [], []
    for item in listed:
        document = await get(cast(str, item["id"]))  # as the API's description says
        if item["kind"] == "schema":
            schemas.append(schema.parse_schema(document))
        else:
            types.append(schema.parse_resource_type(document))
    return catalog.build_catalog(0, schemas, types)
