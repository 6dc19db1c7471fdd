"""What the hub says about itself is complete and free of nulls."""

from collections.abc import Iterator

import pytest

from scimhub.scim import catalog, discovery, schema
from scimhub.scim.catalog import ENTERPRISE_URN, USER_URN
from scimhub.scim.discovery import Offer
from scimhub.scim.errors import ScimError
from tests.scim.samples import BADGE_URN, CATALOG, OFFICE_URN, SEAT_URN, outcome

URL = "https://hub.example/scim/acme/v2"
OFFER = Offer(bulk_operations=1000, bulk_payload=8_388_608, page_size=100, page_size_max=500, cursor_lifetime=600)
NAMES = ["Schemas", "ResourceTypes", "ServiceProviderConfig"]


def shown(name: str) -> dict[str, object]:
    return discovery.document(CATALOG, name, URL, OFFER)


def resources(name: str) -> dict[str, dict[str, object]]:
    return {each["id"]: each for each in shown(name)["Resources"]}


def everything_in(value: object) -> Iterator[object]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything_in(inner)


@pytest.mark.requirement("D-001", "D-002", "K-017", "B-019")
def test_the_configuration_states_what_the_hub_can_do():
    assert shown("ServiceProviderConfig") == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {"supported": True, "maxOperations": 1000, "maxPayloadSize": 8_388_608},
        "filter": {"supported": True, "maxResults": 500},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": 100,
            "maxPageSize": 500,
            "cursorTimeout": 600,
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
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{URL}/ServiceProviderConfig"},
    }


def test_without_operations_there_is_no_bulk():
    config = discovery.service_provider_config(Offer(0, 0, 1, 1, 1), URL)
    assert config["bulk"] == {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}


@pytest.mark.requirement("D-002", "D-012")
def test_the_configuration_keeps_to_its_own_schema():
    described = CATALOG.find_schema(discovery.CONFIG_URN)
    assert described is not None
    for name, value in shown("ServiceProviderConfig").items():
        if name in ("schemas", "meta"):
            continue
        attribute = described.find(name)
        assert attribute is not None, name
        assert isinstance(value, list) == attribute.multi_valued
        for part in value if isinstance(value, list) else [value]:
            assert part.keys() <= {sub.name for sub in attribute.sub_attributes}
            assert {sub.name for sub in attribute.sub_attributes if sub.required} <= part.keys()


@pytest.mark.requirement("D-006", "D-013", "D-016")
def test_all_schemas_are_listed_and_no_messages():
    listed = shown("Schemas")
    assert listed["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    assert listed["totalResults"] == listed["itemsPerPage"] == len(listed["Resources"]) == 9
    assert listed["startIndex"] == 1
    assert {USER_URN, ENTERPRISE_URN, BADGE_URN, OFFICE_URN, SEAT_URN} <= resources("Schemas").keys()
    assert not [urn for urn in resources("Schemas") if urn.startswith("urn:ietf:params:scim:api:")]
    assert resources("Schemas")[USER_URN]["meta"] == {"resourceType": "Schema", "location": f"{URL}/Schemas/{USER_URN}"}


@pytest.mark.requirement("D-006", "D-010", "D-011", "D-015")
def test_resource_types_name_schemas_that_are_there():
    assert list(resources("ResourceTypes")) == ["User", "Group", "Badge"]
    assert resources("ResourceTypes")["Badge"] == {
        "schemas": [schema.RESOURCE_TYPE_URN],
        "id": "Badge",
        "name": "Badge",
        "endpoint": "/Badges",
        "description": "",
        "schema": BADGE_URN,
        "schemaExtensions": [{"schema": OFFICE_URN, "required": True}, {"schema": SEAT_URN, "required": False}],
        "meta": {"resourceType": "ResourceType", "location": f"{URL}/ResourceTypes/Badge"},
    }
    for each in resources("ResourceTypes").values():
        assert each["schema"] in resources("Schemas")
        assert {extension["schema"] for extension in each["schemaExtensions"]} <= resources("Schemas").keys()


@pytest.mark.requirement("A-046", "D-018")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_null(name: str):
    assert None not in list(everything_in(shown(name)))


@pytest.mark.requirement("D-007")
def test_one_schema_and_one_type_can_be_read():
    assert discovery.find(CATALOG, "Schemas", USER_URN, URL) == resources("Schemas")[USER_URN]
    assert discovery.find(CATALOG, "Schemas", USER_URN.upper(), URL) == resources("Schemas")[USER_URN]
    assert discovery.find(CATALOG, "ResourceTypes", "Group", URL) == resources("ResourceTypes")["Group"]


@pytest.mark.parametrize(
    "name, id", [("Schemas", "urn:nobody:knows"), ("ResourceTypes", "Users"), ("ResourceTypes", "user"), ("Things", "x")]
)
def test_what_is_not_there_is_404(name: str, id: str):
    with pytest.raises(ScimError) as caught:
        discovery.find(CATALOG, name, id, URL)
    assert outcome(caught.value) == (404, None)


def test_an_unknown_document_is_404():
    with pytest.raises(ScimError) as caught:
        shown("Things")
    assert outcome(caught.value) == (404, None)


@pytest.mark.requirement("D-019")
def test_one_directory_does_not_show_the_schemas_of_another():
    listed = discovery.schemas_list(catalog.standard_catalog(), URL)
    assert BADGE_URN not in [each["id"] for each in listed["Resources"]]
