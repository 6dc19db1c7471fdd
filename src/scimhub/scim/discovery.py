"""What the hub says about itself: ServiceProviderConfig, /Schemas and /ResourceTypes (RFC 7644 §4, RFC 7643 §5 to §7).

Several providers build their forms from these documents, so every characteristic is stated and nothing is null. Base
URLs are without a slash at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scimhub.scim import errors, schema
from scimhub.scim.catalog import Catalog
from scimhub.scim.errors import ScimError

LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
_CONFIG_PATH = "/ServiceProviderConfig"


@dataclass(frozen=True, slots=True)
class Offer:
    """The limits that the hub publishes: payload in bytes, life of a cursor in seconds. No bulk operations means no bulk."""

    bulk_operations: int
    bulk_payload: int
    page_size: int
    page_size_max: int
    cursor_lifetime: int


def document(catalog: Catalog, name: str, base_url: str, offer: Offer) -> dict[str, object]:
    """The discovery document of that name: Schemas, ResourceTypes or ServiceProviderConfig; raises ScimError 404."""
    match name:
        case "Schemas":
            return schemas_list(catalog, base_url)
        case "ResourceTypes":
            return resource_types_list(catalog, base_url)
        case "ServiceProviderConfig":
            return service_provider_config(offer, base_url)
        case _:
            raise _absent("discovery document", name)


def find(catalog: Catalog, name: str, id: str, base_url: str) -> dict[str, object]:
    """One schema by its URN or one resource type by its name; raises ScimError 404."""
    match name:
        case "Schemas":
            return schema_document(catalog, id, base_url)
        case "ResourceTypes":
            return resource_type_document(catalog, id, base_url)
        case _:
            raise _absent("discovery document", f"{name}/{id}")


def service_provider_config(offer: Offer, base_url: str) -> dict[str, object]:
    """What the hub can do (RFC 7643 §5, with the paging of RFC 9865 §4)."""
    return {
        "schemas": [CONFIG_URN],
        "patch": {"supported": True},
        "bulk": {
            "supported": offer.bulk_operations > 0,
            "maxOperations": offer.bulk_operations,
            "maxPayloadSize": offer.bulk_payload,
        },
        "filter": {"supported": True, "maxResults": offer.page_size_max},
        # DECISIONS 19: passwords are accepted and not kept.
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            # RFC 9865 §2.4: whoever asks for neither has always been given index paging.
            "defaultPaginationMethod": "index",
            "defaultPageSize": offer.page_size,
            "maxPageSize": offer.page_size_max,
            "cursorTimeout": offer.cursor_lifetime,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "A bearer token that the hub's administrator made for this source.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base_url}{_CONFIG_PATH}"},
    }


def schemas_list(catalog: Catalog, base_url: str) -> dict[str, object]:
    """All schemas of the directory, as one list that is never cut into pages (RFC 7644 §4)."""
    return _whole_list([schema_document(catalog, urn, base_url) for urn in catalog.schemas])


def schema_document(catalog: Catalog, urn: str, base_url: str) -> dict[str, object]:
    """One schema by its URN in any case; raises ScimError 404."""
    found = catalog.find_schema(urn)
    if found is None:
        raise _absent("schema", urn)
    return schema.render_schema(found, f"{base_url}/Schemas/{found.id}")


def resource_types_list(catalog: Catalog, base_url: str) -> dict[str, object]:
    """All resource types of the directory, as one list."""
    return _whole_list([resource_type_document(catalog, name, base_url) for name in catalog.kinds])


def resource_type_document(catalog: Catalog, name: str, base_url: str) -> dict[str, object]:
    """One resource type by its name; raises ScimError 404."""
    kind = catalog.kinds.get(name)
    if kind is None:
        raise _absent("resource type", name)
    return schema.render_resource_type(kind.resource_type, f"{base_url}/ResourceTypes/{kind.name}")


def _absent(what: str, name: str) -> ScimError:
    return errors.not_found(f"There is no {what} {name[:200]} in this directory.")


def _whole_list(resources: Sequence[dict[str, object]]) -> dict[str, object]:
    return {
        "schemas": [LIST_URN],
        "totalResults": len(resources),
        "itemsPerPage": len(resources),
        "startIndex": 1,
        "Resources": list(resources),
    }
