"""Area 2, discovery: what the hub says about itself, and that it is true."""

from urllib.parse import quote

import pytest

from tests.conformance.hub import ENTERPRISE, GROUP, MESSAGE, USER, Hub, created, ok, refused

requirement = pytest.mark.requirement
CONFIG = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
BADGE = "urn:example:scim:schemas:Badge"


@requirement("D-001", "D-005")
def test_the_configuration_is_one_object(hub: Hub):
    config = hub.strict.read("/ServiceProviderConfig")
    assert config["schemas"] == [CONFIG]
    assert "Resources" not in config


@requirement("D-002", "K-017", "B-019", "F-001", "S-001", "M-001", "V-001", "B-001")
def test_the_configuration_is_complete(hub: Hub):
    config = hub.strict.read("/ServiceProviderConfig")
    assert config["patch"] == {"supported": True}
    assert config["sort"] == {"supported": True}
    assert config["etag"] == {"supported": True}
    assert config["changePassword"] == {"supported": False}
    assert config["bulk"]["supported"] is True
    assert config["bulk"]["maxOperations"] > 0
    assert config["bulk"]["maxPayloadSize"] > 0
    assert config["filter"]["supported"] is True
    assert config["filter"]["maxResults"] > 0
    pagination = config["pagination"]
    assert (pagination["cursor"], pagination["index"], pagination["defaultPaginationMethod"]) == (True, True, "index")
    assert all(pagination[name] > 0 for name in ("defaultPageSize", "maxPageSize", "cursorTimeout"))
    assert [scheme["type"] for scheme in config["authenticationSchemes"]] == ["oauthbearertoken"]
    assert all(scheme["name"] and scheme["description"] for scheme in config["authenticationSchemes"])


@requirement("D-003")
def test_what_is_announced_is_true(hub: Hub):
    """What is announced as supported works, and what is not says so."""
    config = hub.strict.read("/ServiceProviderConfig")
    person = hub.strict.user("a")
    patched = hub.strict.patch(f"/Users/{person['id']}", {"op": "replace", "path": "title", "value": "t"})
    assert patched.status_code == 200
    assert patched.headers["etag"]
    assert hub.strict.bulk().status_code == 200
    assert hub.strict.read("/Users", sortBy="userName", filter='userName eq "a"')["totalResults"] == 1
    count = config["filter"]["maxResults"]
    assert len(hub.strict.read("/Users", count=str(count + 1))["Resources"]) <= count
    # No password can be changed: nothing differs afterwards.
    before = hub.strict.read(f"/Users/{person['id']}")["meta"]["version"]
    hub.strict.patch(f"/Users/{person['id']}", {"op": "replace", "path": "password", "value": "secret"})
    assert hub.strict.read(f"/Users/{person['id']}")["meta"]["version"] == before


@requirement("D-004")
@pytest.mark.parametrize("path", ["/ServiceProviderConfig", "/Schemas", "/ResourceTypes"])
def test_discovery_is_public_unless_it_is_switched_off(hub: Hub, hub_with, path):
    assert hub.anonymous.get(path).status_code == 200
    refused(hub_with(discovery_public=False).anonymous.get(path), 401)


@requirement("D-004", "D-019")
def test_the_schemas_of_a_directory_are_shown_to_its_sources_only(hub: Hub):
    hub.add_schema(badge_type())
    shown = {each["id"] for each in hub.strict.read("/Schemas")["Resources"]}
    assert BADGE in shown
    for stranger in (hub.anonymous, hub.elsewhere):
        assert {each["id"] for each in ok(stranger.get("/Schemas"))["Resources"]} == shown - {BADGE}
    refused(hub.elsewhere.get(f"/Schemas/{BADGE}"), 404)


@requirement("D-006", "D-016")
@pytest.mark.parametrize("path, kind", [("/Schemas", "Schema"), ("/ResourceTypes", "ResourceType")])
def test_the_lists_hold_all_entries(hub: Hub, path, kind):
    listed = hub.strict.read(path)
    assert listed["schemas"] == [f"{MESSAGE}:ListResponse"]
    assert listed["totalResults"] == len(listed["Resources"]) > 1
    for entry in listed["Resources"]:
        assert entry["meta"]["resourceType"] == kind
        assert ok(hub.strict.get(entry["meta"]["location"])) == entry
    assert hub.strict.read("/ServiceProviderConfig")["meta"]["resourceType"] == "ServiceProviderConfig"


@requirement("D-007")
@pytest.mark.parametrize("name", [USER, quote(USER, safe=""), ENTERPRISE, GROUP, USER.upper()])
def test_a_schema_is_found_by_its_urn_in_any_writing(hub: Hub, name):
    assert hub.strict.read(f"/Schemas/{name}")["id"].lower() == name.replace("%3A", ":").lower()


@requirement("D-007")
def test_what_is_not_offered_is_not_found(hub: Hub):
    assert hub.strict.read("/ResourceTypes/User")["name"] == "User"
    refused(hub.strict.get("/ResourceTypes/Users"), 404)
    refused(hub.strict.get("/Schemas/urn:nobody:knows:this"), 404)


@requirement("D-008")
@pytest.mark.parametrize("path", ["/Schemas", "/ResourceTypes", "/ServiceProviderConfig"])
def test_a_filter_on_discovery_is_forbidden(hub: Hub, path):
    refused(hub.strict.get(path, filter="id pr"), 403)


@requirement("D-009")
@pytest.mark.parametrize("path", ["/Schemas", "/ResourceTypes"])
def test_paging_and_sorting_of_discovery_are_ignored(hub: Hub, path):
    assert hub.strict.read(path, startIndex="2", count="1", sortBy="id") == hub.strict.read(path)


@requirement("D-010", "D-011", "D-015", "L-007")
def test_resource_types_lead_to_their_endpoint_and_schemas(hub: Hub):
    hub.add_schema(badge_type())
    schemas = {each["id"] for each in hub.strict.read("/Schemas")["Resources"]}
    types = {each["name"]: each for each in hub.strict.read("/ResourceTypes")["Resources"]}
    assert {name: each["endpoint"] for name, each in types.items()} == {
        "User": "/Users",
        "Group": "/Groups",
        "Badge": "/Badges",
    }
    for each in types.values():
        assert hub.strict.get(each["endpoint"]).status_code == 200
        assert {each["schema"], *(link["schema"] for link in each.get("schemaExtensions", []))} <= schemas
    created(hub.strict.post("/Badges", {"schemas": [BADGE], "number": "7"}))
    assert hub.strict.read("/", filter='meta.resourceType eq "Badge"')["totalResults"] == 1


@requirement("D-013")
def test_message_schemas_are_not_listed(hub: Hub):
    listed = [each["id"] for each in hub.strict.read("/Schemas")["Resources"]]
    assert [urn for urn in listed if urn.startswith("urn:ietf:params:scim:api:")] == []


@requirement("D-014", "H-011")
@pytest.mark.parametrize(
    "path", ["/Schemas", f"/Schemas/{USER}", "/ResourceTypes", "/ResourceTypes/User", "/ServiceProviderConfig"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_discovery_is_read_only(hub: Hub, method, path):
    answer = hub.strict.request(method, path, {})
    refused(answer, 405)
    assert "GET" in answer.headers["allow"]


@requirement("D-017")
def test_the_plural_of_the_configuration_is_an_alias(hub: Hub):
    assert hub.strict.read("/ServiceProviderConfigs") == hub.strict.read("/ServiceProviderConfig")


def badge_type() -> dict[str, object]:
    return {
        "schemas": [{"id": BADGE, "name": "Badge", "attributes": [{"name": "number"}]}],
        "resourceTypes": [{"name": "Badge", "schema": BADGE}],
    }
