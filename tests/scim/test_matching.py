"""What a condition says of a resource. The database's side of the same rules is in tests/filter_agreement."""

import pytest

from scimhub.scim import filters, matching
from scimhub.scim.catalog import ENTERPRISE_URN, USER_URN, build_catalog, standard_catalog
from scimhub.scim.paths import parse_attribute
from scimhub.scim.schema import ResourceType, parse_schema

USER = standard_catalog().kinds["User"]

KIM = {
    "id": "u1",
    "externalId": "AbC",
    "schemas": [USER_URN, ENTERPRISE_URN],
    "meta": {
        "resourceType": "User",
        "created": "2026-01-31T08:00:00.000000000Z",
        "lastModified": "2026-02-01T08:00:00.500000000Z",
        "version": 'W/"e1.4"',
        "location": "https://hub.example/scim/acme/v2/Users/u1",
    },
    "userName": "kim@x.example",
    "displayName": "a%b_c\\d",
    "nickName": "",
    "active": False,
    "name": {"familyName": "lee"},
    "profileUrl": "https://X.example/Kim",
    "emails": [{"type": "work", "value": "a@x.example"}, {"type": "home", "value": "b@x.example"}, {"type": "other"}],
    "groups": [{"value": "g1", "type": "direct"}, {"value": "g2", "type": "indirect"}],
    ENTERPRISE_URN: {"employeeNumber": "1", "manager": {"value": "u2"}},
}


def matches(text, resource=KIM, kind=USER):
    return matching.matches(filters.bind(filters.parse(text), kind, lenient=True), resource)


TRUE = [
    'userName eq "KIM@X.example"',
    'externalId eq "AbC"',
    'userName co "M@x"',
    'userName sw "kim"',
    'userName ew ".EXAMPLE"',
    'userName ew ""',
    'userName co ""',
    'nickName co ""',
    'nickName eq ""',
    'displayName co "%"',
    'displayName co "_"',
    r'displayName co "\\"',
    'userName gt "kim"',
    'userName ge "KIM@x.example"',
    'userName lt "l"',
    "active pr",
    "active eq false",
    "active ne true",
    "name pr",
    "emails pr",
    "meta pr",
    f"{ENTERPRISE_URN} pr",
    'title ne "x"',
    'not (title eq "x")',
    "title eq null",
    "nickName eq null",
    'emails.value eq "B@x.example"',
    'emails co "@X"',
    'emails.value ne "a@x.example"',
    'phoneNumbers.value ne "1"',
    'emails.type eq "work" and emails.value eq "b@x.example"',
    'emails[type eq "work" and value eq "a@x.example"]',
    'emails[type eq "other" and value ne "x"]',
    'emails[type eq "other" and not (value pr)]',
    'emails[type eq "work"].value eq "a@x.example"',
    'name[familyName eq "Lee"]',
    f'schemas eq "{ENTERPRISE_URN}"',
    'meta.created eq "2026-01-31T10:00:00+02:00"',
    'meta.lastModified gt "2026-02-01T08:00:00.4Z"',
    'meta.resourceType eq "User"',
    r'meta.version eq "W/\"e1.4\""',
    'meta.location ew "/Users/u1"',
    'groups.value eq "g2"',
    'groups[value eq "g2" and type eq "indirect"]',
    'employeeNumber eq "1" and manager eq "u2"',
    "title pr or userName pr and active eq false",
    'profileUrl eq "https://X.example/Kim"',
]
FALSE = [
    'externalId eq "abc"',
    'id eq "U1"',
    "nickName pr",
    "title pr",
    'title eq ""',
    'title co ""',
    'title gt ""',
    'title le "x"',
    'profileUrl eq "https://x.example/kim"',
    'emails[type eq "work" and value eq "b@x.example"]',
    'emails[type eq "work"].value eq "b@x.example"',
    'not (emails.value eq "a@x.example")',
    'phoneNumbers[type ne "work"]',
    'emails[type eq "other" and value pr]',
    'displayName sw "a_b"',
    'userName co ".*"',
    "phoneNumbers pr",
    "emails eq null",
    'groups[value eq "g1" and type eq "indirect"]',
    "(title pr or userName pr) and active eq true",
    'meta.created gt "2026-01-31T08:00:00Z"',
    'schemas eq "urn:other"',
]


@pytest.mark.parametrize("text", TRUE)
def test_the_condition_holds(text):
    assert matches(text)
    assert not matches(f"not ({text})")


@pytest.mark.parametrize("text", FALSE)
def test_the_condition_does_not_hold(text):
    assert not matches(text)
    assert matches(f"not ({text})")


def test_what_the_kind_does_not_know_is_absent():
    condition = filters.bind(filters.parse('members pr or not (members eq "x")'), USER, lenient=True, unknown="absent")
    assert matching.matches(condition, KIM)


def badge_kind():
    schema = parse_schema(
        {
            "id": "urn:example:Badge",
            "attributes": [
                {"name": "size", "type": "integer"},
                {"name": "weight", "type": "decimal"},
                {"name": "tags", "multiValued": True},
                {"name": "owner", "type": "complex", "subAttributes": [{"name": "names", "multiValued": True}]},
            ],
        }
    )
    return build_catalog(1, [schema], [ResourceType("Badge", "/Badges", "", schema.id)]).kinds["Badge"]


@pytest.mark.parametrize(
    "text, holds",
    [
        ("size gt 9", True),
        ("size le 9", False),
        ("size eq 10", True),
        ("weight eq 1", True),
        ("weight ge 1.5", False),
        ('tags eq "B"', True),
        ('tags[value sw "b"]', True),
        ('tags[value eq "a" and value eq "b"]', False),
        ('tags ne "a"', True),
        ('owner.names eq "kim"', True),
        ("owner pr", True),
    ],
)
def test_numbers_are_numbers_and_lists_are_any_of_their_values(text, holds):
    badge = {"size": 10, "weight": 1.0, "tags": ["a", "b"], "owner": {"names": ["kim", ""]}}
    assert matches(text, badge, badge_kind()) is holds


@pytest.mark.parametrize(
    "path, element, holds",
    [
        ('emails[type eq "Work"]', {"type": "work", "value": "a"}, True),
        ('emails[type eq "work"]', {"value": "a"}, False),
        ('emails[type ne "work"]', {"value": "a"}, True),
        ('emails[type eq "work" or not (primary eq true)]', {"type": "home"}, True),
        ("emails[primary eq true]", {"primary": True}, True),
        ("emails[value pr]", {"value": ""}, False),
        ('emails[type eq "work"]', "not an object", False),
    ],
)
def test_the_filter_of_a_path_chooses_elements(path, element, holds):
    found = filters.parse_value_path(path)
    target = USER.resolve(parse_attribute("emails"), short_names=False)
    condition = filters.bind_inside(found.filter, target, lenient=True)
    assert matching.element_matches(condition, target.attribute, element) is holds


def test_the_filter_of_a_path_chooses_among_simple_values():
    kind = badge_kind()
    target = kind.resolve(parse_attribute("tags"), short_names=False)
    condition = filters.bind_inside(filters.parse_value_path('tags[value eq "A"]').filter, target, lenient=False)
    assert [matching.element_matches(condition, target.attribute, tag) for tag in ("a", "b")] == [True, False]
