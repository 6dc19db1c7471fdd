"""Schemas and resource types as data: read from JSON with every mistake named, and shown in full."""

import pytest

from scimhub.scim import catalog, schema
from scimhub.scim.catalog import ENTERPRISE_URN, GROUP_URN, USER_URN
from scimhub.scim.schema import Attribute, Schema, SchemaError
from tests.scim.samples import BADGE

URN = "urn:example:scim:schemas:Thing"


def read(*attributes: dict[str, object], **more: object) -> Schema:
    return schema.parse_schema({"id": URN, "attributes": list(attributes), **more})


def problems_of(document: object) -> list[str]:
    with pytest.raises(SchemaError) as caught:
        schema.parse_schema(document)
    return caught.value.problems


@pytest.mark.requirement("A-004")
def test_characteristics_that_are_not_stated_have_the_defaults():
    (attribute,) = read({"name": "size"}).attributes
    assert schema.render_attribute(attribute) == {
        "name": "size",
        "type": "string",
        "multiValued": False,
        "description": "",
        "required": False,
        "caseExact": False,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    }


@pytest.mark.requirement("A-041")
def test_a_multi_valued_complex_attribute_has_the_five_parts_of_the_rfc():
    (attribute,) = read({"name": "links", "type": "complex", "multiValued": True}).attributes
    assert [sub.name for sub in attribute.sub_attributes] == ["value", "display", "type", "primary", "$ref"]
    display = attribute.find("DISPLAY")
    assert display is not None
    assert display.mutability == "immutable"


@pytest.mark.requirement("A-001")
@pytest.mark.parametrize("name", ["a", "A9-_$", "$ref"])
def test_legal_names_are_accepted(name: str):
    assert read({"name": name}).attributes[0].name == name


@pytest.mark.requirement("A-001", "A-014", "A-015", "A-017", "A-018", "A-023", "A-030")
@pytest.mark.parametrize(
    "attribute, wording",
    [
        ({"name": "9x"}, "'9x' is not legal"),
        ({"name": "a b"}, "is not legal"),
        ({"name": "$x"}, "is not legal"),
        ({}, "None is not legal"),
        ("x", "is not an object"),
        ({"name": "a", "type": "uuid"}, "has type 'uuid'"),
        ({"name": "a", "mutability": "readonly"}, "has mutability 'readonly'"),
        ({"name": "a", "returned": "sometimes"}, "has returned 'sometimes'"),
        ({"name": "a", "uniqueness": 7}, "has uniqueness 7"),
        ({"name": "a", "required": "yes"}, "has required 'yes'"),
        ({"name": "a", "type": "complex"}, "has no subAttributes"),
        ({"name": "a", "subAttributes": [{"name": "b"}]}, "cannot have subAttributes"),
        ({"name": "a", "type": "complex", "uniqueness": "server", "subAttributes": [{"name": "b"}]}, "has no uniqueness"),
        ({"name": "a", "type": "complex", "caseExact": True, "subAttributes": [{"name": "b"}]}, "has no caseExact"),
        (
            {"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex", "subAttributes": []}]},
            "a.b is complex inside",
        ),
        ({"name": "a", "type": "complex", "subAttributes": [{"name": "b"}, {"name": "B"}]}, "a.B is defined twice"),
        ({"name": "a", "referenceTypes": ["external"]}, "has referenceTypes"),
        ({"name": "a", "type": "reference", "referenceTypes": "external"}, "not a list of strings"),
        ({"name": "a", "canonicalValues": [1]}, "not a list of strings"),
        ({"name": "a", "multiValued": True, "uniqueness": "server"}, "cannot be unique"),
    ],
)
def test_a_wrong_attribute_is_refused(attribute: object, wording: str):
    (problem,) = problems_of({"id": URN, "attributes": [attribute]})
    assert wording in problem
    assert problem.endswith(".")


def test_every_mistake_is_named_at_once():
    document = {"id": "nonsense", "attributes": [{"name": "9x"}, {"name": "a", "type": "uuid"}, {"name": "b"}, {"name": "B"}]}
    assert len(problems_of(document)) == 4


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"id": URN},
        {"id": URN, "attributes": []},
        {"id": "urn:ietf:params:scim:api:messages:2.0:X", "attributes": [{"name": "a"}]},
        {"attributes": [{"name": "a"}]},
    ],
)
def test_a_document_that_is_no_schema_is_refused(document: object):
    assert len(problems_of(document)) == 1


def test_a_schema_is_called_by_its_name_or_the_end_of_its_urn():
    assert read({"name": "a"}, name="A thing", description="D").name == "A thing"
    assert read({"name": "a"}).name == "Thing"


@pytest.mark.requirement("A-002")
def test_attributes_are_found_in_any_case():
    assert BADGE.find("NUMBER") is BADGE.find("number")
    assert BADGE.find("numbers") is None
    chip = BADGE.find("chip")
    assert chip is not None
    assert chip.find("MAKER") is not None
    assert chip.find("") is None


@pytest.mark.requirement("A-011", "A-021")
@pytest.mark.parametrize(
    "attribute, exactly",
    [
        (Attribute("a"), False),
        (Attribute("a", case_exact=True), True),
        (Attribute("a", "reference"), True),
        (Attribute("a", "binary"), True),
    ],
)
def test_references_and_binaries_compare_exactly_whatever_is_stated(attribute: Attribute, exactly: bool):
    assert attribute.compares_exactly is exactly


# --------------------------------------------------------------------------- what is shown


@pytest.mark.requirement("A-015", "A-030", "C-021", "D-018")
@pytest.mark.parametrize("found", catalog.standard_schemas(), ids=lambda found: found.name)
def test_a_shown_schema_states_everything_and_can_be_read_again(found: Schema):
    shown = schema.render_schema(found, "https://hub.example/Schemas/x")
    assert shown["schemas"] == [schema.SCHEMA_URN]
    for attribute in found.attributes:
        check_shown(schema.render_attribute(attribute), attribute)
        assert attribute.name not in ("schemas", "externalId") or found.id.endswith((":Schema", ":ResourceType"))
    again = schema.parse_schema(shown)
    assert schema.render_schema(again, "https://hub.example/Schemas/x") == shown


def check_shown(shown: dict[str, object], attribute: Attribute) -> None:
    assert {"name", "type", "multiValued", "description", "required", "mutability", "returned"} <= shown.keys()
    assert None not in shown.values()
    assert ("caseExact" in shown) == (attribute.type in ("string", "reference", "binary"))
    assert ("referenceTypes" in shown) == (attribute.type == "reference")
    assert ("subAttributes" in shown) == attribute.is_complex
    if attribute.is_complex:
        assert "uniqueness" not in shown
        for sub in attribute.sub_attributes:
            check_shown(schema.render_attribute(sub), sub)


@pytest.mark.parametrize(
    "urn, path, expected",
    [
        (USER_URN, "userName", {"required": True, "caseExact": False, "uniqueness": "server"}),
        (USER_URN, "password", {"mutability": "writeOnly", "returned": "never"}),
        (USER_URN, "groups", {"mutability": "readOnly"}),
        (USER_URN, "groups.$ref", {"referenceTypes": ["Group"]}),
        (USER_URN, "photos.value", {"type": "reference", "referenceTypes": ["external"], "caseExact": True}),
        (USER_URN, "addresses.primary", {"type": "boolean"}),
        (USER_URN, "x509Certificates.value", {"type": "binary", "caseExact": True}),
        (USER_URN, "ims.type", {"canonicalValues": ["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo", "other"]}),
        (GROUP_URN, "displayName", {"required": True}),
        (GROUP_URN, "members.value", {"mutability": "immutable", "caseExact": True}),
        (GROUP_URN, "members.display", {"mutability": "immutable"}),
        (ENTERPRISE_URN, "manager.value", {"caseExact": True}),
        (ENTERPRISE_URN, "manager.displayName", {"mutability": "readOnly"}),
    ],
)
def test_the_standard_schemas_have_the_corrections_of_the_errata(urn: str, path: str, expected: dict[str, object]):
    found = catalog.standard_catalog().schemas[urn]
    name, _, sub = path.partition(".")
    attribute = found.find(name)
    assert attribute is not None
    leaf = attribute.find(sub) if sub else attribute
    assert leaf is not None
    assert schema.render_attribute(leaf).items() >= expected.items()


# --------------------------------------------------------------------------- resource types


def test_a_resource_type_is_read_and_shown():
    read_type = schema.parse_resource_type(
        {"name": "Badge", "schema": URN, "schemaExtensions": [{"schema": f"{URN}:More", "required": True}]}
    )
    # RFC 7644 §3.2: the endpoint is the plural unless something else is stated.
    assert read_type.endpoint == "/Badges"
    shown = schema.render_resource_type(read_type, "https://hub.example/ResourceTypes/Badge")
    assert schema.parse_resource_type(shown) == read_type


@pytest.mark.parametrize(
    "document, count",
    [
        ("x", 1),
        ({}, 3),
        ({"name": "9", "schema": URN, "endpoint": "/X"}, 1),
        ({"name": "A", "schema": URN, "endpoint": "X"}, 1),
        ({"name": "A", "schema": URN, "endpoint": "/a/b"}, 1),
        ({"name": "A", "schema": "x"}, 1),
        ({"name": "A", "schema": URN, "schemaExtensions": ["x", {"schema": 7}]}, 2),
        ({"name": "A", "schema": URN, "schemaExtensions": "x"}, 1),
    ],
)
def test_every_mistake_of_a_resource_type_is_named(document: object, count: int):
    with pytest.raises(SchemaError) as caught:
        schema.parse_resource_type(document)
    assert len(caught.value.problems) == count
