"""Where a path leads."""

import pytest

from scimhub.web.scim_routes import Route, find_route


@pytest.mark.parametrize(
    "path, route",
    [
        ("/scim/acme/v2/Users", Route("collection", "acme", "/Users")),
        ("/scim/acme/v2/Users/", Route("collection", "acme", "/Users")),
        ("/scim/acme/v2//Users", Route("collection", "acme", "/Users")),
        ("/scim/acme/v2/Users/7c", Route("resource", "acme", "/Users", "7c")),
        ("/scim/acme/v2/Users/.search", Route("search", "acme", "/Users")),
        ("/scim/acme/v2/.search", Route("root_search", "acme")),
        ("/scim/acme/v2", Route("root", "acme")),
        ("/scim/acme/v2/", Route("root", "acme")),
        ("/scim/acme/v2/Bulk", Route("bulk", "acme")),
        ("/scim/acme/v2/Me", Route("me", "acme")),
        ("/scim/acme/v2/Me/x", Route("me", "acme")),
        ("/scim/acme/v2/openapi.json", Route("openapi", "acme")),
        ("/scim/acme/v2/Schemas", Route("discovery", "acme", "Schemas")),
        ("/scim/acme/v2/Schemas/urn:a:2.0:User", Route("discovery_one", "acme", "Schemas", "urn:a:2.0:User")),
        ("/scim/acme/v2/ServiceProviderConfigs", Route("discovery", "acme", "ServiceProviderConfig")),
        ("/scim/acme/v2/ServiceProviderConfig/x", Route("unknown", "acme")),
        ("/scim/acme/v2/Users/7c/x", Route("unknown", "acme")),
        ("/scim/acme/v3/Users", Route("collection", "acme", "/Users", version="v3")),
        ("/scim/acme/Users", Route("unknown", "acme")),
        ("/scim/", Route("unknown", "")),
        ("/scim//v2/Users/7c", Route("unknown", "v2")),
        ("/scim/acme//v2/Users", Route("collection", "acme", "/Users")),
        ("/scim/acme/v2//Bulk", Route("bulk", "acme")),
        ("/scim/acme/v2/Users//", Route("collection", "acme", "/Users")),
        ("/scim/acme/v3/Users/7c", Route("resource", "acme", "/Users", "7c", "v3")),
        ("/scim/acme/v2/Bulk/7c", Route("resource", "acme", "/Bulk", "7c")),
        ("/scim/acme/v2/Users/" + "7" * 300, Route("resource", "acme", "/Users", "7" * 300)),
        ("/scim/acme/v2/Users/" + "7/" * 300, Route("unknown", "acme")),
    ],
)
def test_a_path_leads_to_one_place(path: str, route: Route) -> None:
    assert find_route(path) == route


@pytest.mark.parametrize("path", ["/scim/acme/v2/Users/\0", "/scim/acme/v2/Users/a\0b", "/scim/acme/v2/Schemas/\0"])
def test_no_resource_has_an_id_with_a_null(path: str):
    assert find_route(path).place == "unknown"
