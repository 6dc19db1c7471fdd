"""What a name means within the resource types of one directory."""

import pytest

from scimhub.scim import catalog, paths, schema
from scimhub.scim.catalog import ENTERPRISE_URN, GROUP_URN, STANDARD_TYPES, USER_URN, AmbiguousName, Kind
from scimhub.scim.schema import ResourceType, SchemaError, SchemaExtension
from tests.scim.samples import BADGE, BADGE_KIND, BADGE_URN, CATALOG, GROUP, OFFICE, OFFICE_URN, SEAT_URN, USER


def key(kind: Kind, text: str, *, short_names: bool = False) -> str | None:
    target = kind.resolve(paths.parse_attribute(text), short_names=short_names)
    return None if target is None else target.key


@pytest.mark.requirement("A-002", "F-011", "F-012", "X-004")
@pytest.mark.parametrize(
    "kind, text, found",
    [
        (USER, "userName", "userName"),
        (USER, "USERNAME", "userName"),
        (USER, "name.GIVENNAME", "name.givenName"),
        (USER, f"{USER_URN}:userName", "userName"),
        (USER, f"{USER_URN.upper()}:name.familyName", "name.familyName"),
        (USER, f"{ENTERPRISE_URN}:manager.value", f"{ENTERPRISE_URN}:manager.value"),
        (USER, f"{ENTERPRISE_URN.upper()}:DEPARTMENT", f"{ENTERPRISE_URN}:department"),
        (USER, ENTERPRISE_URN, ENTERPRISE_URN),
        (USER, "id", "id"),
        (USER, "META.lastmodified", "meta.lastModified"),
        (USER, f"{USER_URN}:externalId", "externalId"),
        (USER, "members", None),
        (USER, "userName.x", None),
        (USER, "name.x", None),
        (USER, "department", None),
        (USER, f"{ENTERPRISE_URN}:userName", None),
        (USER, f"{GROUP_URN}:displayName", None),
        (USER, USER_URN, None),
        (USER, "urn:acme:2.0:User:badge", None),
        (GROUP, "members.$ref", "members.$ref"),
        (GROUP, ENTERPRISE_URN, None),
        # Elements of a simple multi-valued attribute are called value (E7122)
        (BADGE_KIND, "tags.VALUE", "tags"),
        (BADGE_KIND, "tags.x", None),
        (BADGE_KIND, "level.value", None),
        (BADGE_KIND, f"{OFFICE_URN}:room", f"{OFFICE_URN}:room"),
    ],
)
def test_a_path_is_resolved_within_its_type(kind: Kind, text: str, found: str | None):
    assert key(kind, text) == found


@pytest.mark.requirement("F-013")
def test_short_names_are_a_choice():
    assert key(USER, "department", short_names=True) == f"{ENTERPRISE_URN}:department"
    assert key(USER, "manager.value", short_names=True) == f"{ENTERPRISE_URN}:manager.value"
    assert key(USER, "nothing", short_names=True) is None
    assert key(BADGE_KIND, "desk", short_names=True) == f"{SEAT_URN}:desk"
    # The base schema comes first.
    assert key(BADGE_KIND, "number", short_names=True) == "number"


def test_a_short_name_of_two_extensions_is_ambiguous():
    with pytest.raises(AmbiguousName) as caught:
        key(BADGE_KIND, "room", short_names=True)
    assert caught.value.urns == [OFFICE_URN, SEAT_URN]


def test_a_kind_knows_what_it_shows():
    assert (USER.has_members, USER.shows_groups) == (False, True)
    assert (GROUP.has_members, GROUP.shows_groups) == (True, False)
    assert (BADGE_KIND.has_members, BADGE_KIND.shows_groups) == (False, False)
    assert BADGE_KIND.required_extensions == {OFFICE_URN}
    assert (USER.name, USER.endpoint) == ("User", "/Users")
    assert USER.extension_urn(ENTERPRISE_URN.upper()) == ENTERPRISE_URN
    assert USER.extension_urn(USER_URN) is None
    assert USER.is_base_urn(USER_URN.upper())


def test_a_catalog_finds_kinds_by_endpoint_and_schemas_by_urn():
    assert CATALOG.at_endpoint("/Badges") is BADGE_KIND
    assert CATALOG.at_endpoint("/badges") is None
    assert CATALOG.find_schema(BADGE_URN.upper()) is BADGE
    assert CATALOG.find_schema("urn:nobody:knows") is None
    assert catalog.standard_catalog() is catalog.standard_catalog()


@pytest.mark.parametrize(
    "schemas, types, wording",
    [
        ([BADGE, BADGE], [], "is defined twice"),
        ([], [ResourceType("Badge", "/Badges", "", BADGE_URN)], "which is not there"),
        ([BADGE], [ResourceType("Badge", "/Badges", "", BADGE_URN, (SchemaExtension(OFFICE_URN),))], "which is not there"),
        ([BADGE], [ResourceType("user", "/Badges", "", BADGE_URN)], "user is defined twice"),
        ([BADGE], [ResourceType("Badge", "/users", "", BADGE_URN)], "/users is taken"),
        ([BADGE], [ResourceType("Badge", "/Bulk", "", BADGE_URN)], "belongs to the protocol"),
        (
            [schema.parse_schema({"id": BADGE_URN, "attributes": [{"name": "externalid"}]})],
            [ResourceType("Badge", "/Badges", "", BADGE_URN)],
            "every resource has already",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(schemas: list[schema.Schema], types: list[ResourceType], wording: str):
    with pytest.raises(SchemaError) as caught:
        catalog.build_catalog(2, [*catalog.standard_schemas(), *schemas], [*STANDARD_TYPES, *types])
    (problem,) = caught.value.problems
    assert wording in problem


def test_an_extension_may_serve_several_types():
    types = [
        ResourceType("A", "/As", "", BADGE_URN, (SchemaExtension(OFFICE_URN),)),
        ResourceType("B", "/Bs", "", BADGE_URN, (SchemaExtension(OFFICE_URN, True),)),
    ]
    built = catalog.build_catalog(1, [BADGE, OFFICE], types)
    assert built.kinds["A"].required_extensions == frozenset()
    assert built.kinds["B"].required_extensions == {OFFICE_URN}
