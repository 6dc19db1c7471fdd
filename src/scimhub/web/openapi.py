"""An OpenAPI 3.1 description of one directory's SCIM endpoints, generated from its catalog."""

from collections.abc import Mapping

from scimhub.scim.catalog import Catalog, Kind
from scimhub.scim.schema import Attribute, Schema

_TYPES: Mapping[str, Mapping[str, object]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "decimal": {"type": "number"},
    "integer": {"type": "integer"},
    "dateTime": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "reference": {"type": "string"},
}
_SCIM = "application/scim+json"
_ERRORS = {
    "400": "The request is malformed or names something that is not there; scimType tells which.",
    "401": "The bearer token is missing, unknown, expired or revoked.",
    "403": "The token may not do this, or belongs to another directory.",
    "404": "There is no such resource.",
    "405": "The method is not possible here.",
    "406": "Accept admits no JSON.",
    "409": "A unique value is taken.",
    "412": "If-Match or If-None-Match forbids the write.",
    "413": "The body is larger than the limit.",
    "415": "The body is no JSON by its Content-Type.",
    "503": "The database cannot be written now.",
}


def describe(catalog: Catalog, base_url: str) -> dict[str, object]:
    """The description of the SCIM API below the base URL (OpenAPI 3.1)."""
    schemas: dict[str, object] = {"Error": _error_schema(), "PatchOp": _patch_schema(), "SearchRequest": _search_schema()}
    paths: dict[str, object] = {}
    for kind in catalog.kinds.values():
        schemas[kind.name] = _kind_schema(kind)
        schemas[f"{kind.name}List"] = _list_schema(kind)
        paths[kind.endpoint] = _collection(kind)
        paths[f"{kind.endpoint}/.search"] = {"post": _search(f"{kind.name}List", f"Search for resources of type {kind.name}.")}
        paths[f"{kind.endpoint}/{{id}}"] = _single(kind)
    schemas["AnyList"] = {"type": "object", "properties": {"totalResults": {"type": "integer"}}}
    paths["/.search"] = {"post": _search("AnyList", "Search for resources of all types.")}
    for name in ("ServiceProviderConfig", "Schemas", "ResourceTypes"):
        paths[f"/{name}"] = {"get": _operation(f"Read {name}.", {"200": _answer("The document.", {"type": "object"})})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "scimhub SCIM 2.0", "version": "2.0", "description": "RFC 7643, RFC 7644 and RFC 9865."},
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _collection(kind: Kind) -> dict[str, object]:
    listed = _operation(
        f"List resources of type {kind.name}.",
        {"200": _answer("A page of the list.", _reference(f"{kind.name}List"))},
        parameters=[
            *_shape_parameters(),
            _parameter("filter", "string", "A filter (RFC 7644 §3.4.2.2)."),
            _parameter("sortBy", "string", "The attribute to sort by."),
            _parameter("sortOrder", "string", "ascending or descending.", enum=["ascending", "descending"]),
            _parameter("startIndex", "integer", "The first result, from 1."),
            _parameter("count", "integer", "The most results on a page."),
            _parameter("cursor", "string", "Empty for the first page, then nextCursor (RFC 9865)."),
        ],
    )
    created = _operation(
        f"Create a {kind.name}.",
        {"201": _answer("The resource as stored.", _shown(kind))},
        parameters=_shape_parameters(),
        body=_reference(kind.name),
    )
    return {"get": listed, "post": created}


def _single(kind: Kind) -> dict[str, object]:
    shape = _shape_parameters()
    condition: dict[str, object] = {
        "name": "If-Match",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The ETag to be changed.",
    }
    resource = _answer("The resource.", _shown(kind))
    patched: dict[str, object] = {"200": resource}
    if kind.has_members:
        patched["204"] = {"description": "Done; ask with attributes for a body."}
    return {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "get": _operation(f"Read a {kind.name}.", {"200": resource}, parameters=shape),
        "put": _operation(
            f"Replace a {kind.name}.", {"200": resource}, parameters=[*shape, condition], body=_reference(kind.name)
        ),
        "patch": _operation(f"Change a {kind.name}.", patched, parameters=[*shape, condition], body=_reference("PatchOp")),
        "delete": _operation(f"Delete a {kind.name}.", {"204": {"description": "It is gone."}}, parameters=[condition]),
    }


def _search(answer: str, summary: str) -> dict[str, object]:
    return _operation(summary, {"200": _answer("A page of the list.", _reference(answer))}, body=_reference("SearchRequest"))


def _operation(
    summary: str,
    responses: Mapping[str, object],
    *,
    parameters: list[dict[str, object]] | None = None,
    body: Mapping[str, object] | None = None,
) -> dict[str, object]:
    failures = {status: _answer(text, _reference("Error")) for status, text in _ERRORS.items()}
    operation: dict[str, object] = {"summary": summary, "responses": {**responses, **failures}}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_SCIM: {"schema": body}}}
    return operation


def _shape_parameters() -> list[dict[str, object]]:
    return [
        _parameter("attributes", "string", "Show just these attributes, separated by commas."),
        _parameter("excludedAttributes", "string", "Leave these attributes out, separated by commas."),
    ]


def _parameter(name: str, type_name: str, description: str, **limits: object) -> dict[str, object]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type_name, **limits}}


def _reference(name: str) -> dict[str, object]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"description": description, "content": {_SCIM: {"schema": schema}}}


def _kind_schema(kind: Kind) -> dict[str, object]:
    properties: dict[str, object] = {
        "schemas": {"type": "array", "items": {"type": "string"}},
        "id": {"type": "string", "readOnly": True},
        "externalId": {"type": "string"},
        **_properties(kind.base),
        "meta": {"type": "object", "readOnly": True},
    }
    for urn, extension in kind.extensions.items():
        properties[urn] = {"type": "object", "description": extension.description, "properties": _properties(extension)}
    required = [attribute.name for attribute in kind.base.attributes if attribute.required]
    return {"type": "object", "required": ["schemas", *required], "properties": properties}


def _shown(kind: Kind) -> dict[str, object]:
    """A resource in an answer: a projection may leave out what a request must have."""
    return {"type": "object", "required": ["schemas", "id"], "properties": _kind_schema(kind)["properties"]}


def _exactly(urn: str) -> dict[str, object]:
    return {"type": "array", "items": {"const": urn}, "minItems": 1}


def _properties(schema: Schema) -> dict[str, object]:
    return {attribute.name: _attribute_schema(attribute) for attribute in schema.attributes}


def _attribute_schema(attribute: Attribute) -> dict[str, object]:
    shown: dict[str, object]
    if attribute.is_complex:
        properties = {sub.name: _attribute_schema(sub) for sub in attribute.sub_attributes}
        shown = {"type": "object", "properties": properties}
    else:
        shown = dict(_TYPES[attribute.type])
        if attribute.required and attribute.type == "string":
            shown["minLength"] = 1
    if attribute.multi_valued:
        shown = {"type": "array", "items": shown}
    if attribute.description:
        shown["description"] = attribute.description
    if attribute.mutability == "readOnly":
        shown["readOnly"] = True
    if attribute.returned == "never":
        shown["writeOnly"] = True
    return shown


def _list_schema(kind: Kind) -> dict[str, object]:
    return {
        "type": "object",
        "required": ["schemas", "totalResults", "Resources"],
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "totalResults": {"type": "integer"},
            "startIndex": {"type": "integer"},
            "itemsPerPage": {"type": "integer"},
            "nextCursor": {"type": "string"},
            # A projection may leave required attributes out, so the items are described loosely.
            "Resources": {"type": "array", "items": {"type": "object", "required": ["schemas", "id"]}},
        },
        "description": f"A list of resources of type {kind.name}.",
    }


def _patch_schema() -> dict[str, object]:
    operation = {
        "type": "object",
        "required": ["op"],
        "properties": {"op": {"type": "string", "enum": ["add", "remove", "replace"]}, "path": {"type": "string"}, "value": {}},
    }
    return {
        "type": "object",
        "required": ["schemas", "Operations"],
        "properties": {
            "schemas": _exactly("urn:ietf:params:scim:api:messages:2.0:PatchOp"),
            "Operations": {"type": "array", "items": operation, "minItems": 1},
        },
    }


def _search_schema() -> dict[str, object]:
    names = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "required": ["schemas"],
        "properties": {
            "schemas": _exactly("urn:ietf:params:scim:api:messages:2.0:SearchRequest"),
            "attributes": names,
            "excludedAttributes": names,
            "filter": {"type": "string"},
            "sortBy": {"type": "string"},
            "sortOrder": {"type": "string", "enum": ["ascending", "descending"]},
            "startIndex": {"type": "integer"},
            "count": {"type": "integer"},
            "cursor": {"type": "string"},
        },
    }


def _error_schema() -> dict[str, object]:
    return {
        "type": "object",
        "required": ["schemas", "status"],
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "status": {"type": "string"},
            "scimType": {"type": "string"},
            "detail": {"type": "string"},
        },
    }
