"""What of a resource an answer shows."""

import json

import pytest

from scimhub.scim import projection
from scimhub.scim.catalog import (
    ENTERPRISE_URN,
    GROUP_URN,
    STANDARD_TYPES,
    USER_URN,
    build_catalog,
    standard_catalog,
    standard_schemas,
)
from scimhub.scim.errors import ScimError
from scimhub.scim.schema import ResourceType, SchemaExtension, parse_schema

USER = standard_catalog().kinds["User"]
GROUP = standard_catalog().kinds["Group"]
KIM = {
    "id": "u1",
    "externalId": "e1",
    "schemas": [USER_URN, ENTERPRISE_URN],
    "userName": "kim",
    "name": {"givenName": "Kim", "familyName": "Lee"},
    "displayName": "Kim Lee",
    "emails": [{"type": "work", "value": "a"}, {"type": "home"}, {"value": "c", "primary": True}],
    ENTERPRISE_URN: {"department": "Tour", "manager": {"value": "u2", "displayName": "Bo"}},
    "groups": [{"value": "g1", "display": "Staff"}],
    "meta": {"resourceType": "User", "version": 'W/"1"'},
}
ALWAYS = {"id": "u1", "schemas": [USER_URN, ENTERPRISE_URN]}


def apply(attributes=None, excluded=None, document=KIM, kind=USER, **more):
    return projection.parse(attributes, excluded, [kind], **more).apply(document, kind)


@pytest.mark.parametrize(
    "attributes, shown",
    [
        ("userName", {"userName": "kim"}),
        ("USERNAME , displayname", {"userName": "kim", "displayName": "Kim Lee"}),
        (["userName", "displayName"], {"userName": "kim", "displayName": "Kim Lee"}),
        (["userName,displayName"], {"userName": "kim", "displayName": "Kim Lee"}),
        (f"{USER_URN}:userName", {"userName": "kim"}),
        ("name.familyName", {"name": {"familyName": "Lee"}}),
        ("name,name.familyName", {"name": {"givenName": "Kim", "familyName": "Lee"}}),
        ("name.middleName", {}),
        ("emails.value", {"emails": [{"value": "a"}, {"value": "c"}]}),
        (
            f"name.familyName,{ENTERPRISE_URN}:department",
            {"name": {"familyName": "Lee"}, ENTERPRISE_URN: {"department": "Tour"}},
        ),
        (f"{ENTERPRISE_URN.upper()}:Manager.Value", {ENTERPRISE_URN: {"manager": {"value": "u2"}}}),
        (ENTERPRISE_URN, {ENTERPRISE_URN: KIM[ENTERPRISE_URN]}),
        ("department", {ENTERPRISE_URN: {"department": "Tour"}}),
        ("meta", {"meta": KIM["meta"]}),
        ("meta.version", {"meta": {"version": 'W/"1"'}}),
        ("externalId", {"externalId": "e1"}),
        ("id", {}),
        ("foo", {}),
        ("9x,a..b,foo bar,[", {}),
        ("password", {}),
        ("groups.value", {"groups": [{"value": "g1"}]}),
    ],
)
def test_attributes_show_what_they_name_and_what_is_always_shown(attributes, shown):
    assert apply(attributes) == ALWAYS | shown


@pytest.mark.parametrize(
    "excluded, hidden",
    [
        ("id,emails", ["emails"]),
        ("schemas", []),
        ("meta,groups", ["meta", "groups"]),
        (ENTERPRISE_URN, [ENTERPRISE_URN]),
        (f"{ENTERPRISE_URN}:department,{ENTERPRISE_URN}:manager", [ENTERPRISE_URN]),
        ("name.givenName,name.familyName", ["name"]),
        ("foo", []),
    ],
)
def test_excluded_attributes_are_hidden_but_for_what_is_always_shown(excluded, hidden):
    assert apply(None, excluded) == {name: value for name, value in KIM.items() if name not in hidden}


def test_an_excluded_sub_attribute_leaves_the_others():
    found = apply(None, "emails.value,name.givenName")
    assert found["emails"] == [{"type": "work"}, {"type": "home"}, {"primary": True}]
    assert found["name"] == {"familyName": "Lee"}


def test_the_order_of_a_document_is_kept():
    assert list(apply("emails,displayName,userName")) == ["id", "schemas", "userName", "displayName", "emails"]


def test_short_names_are_for_the_lenient():
    assert apply("department", lenient=False) == ALWAYS


def test_attributes_and_excluded_attributes_exclude_each_other():
    with pytest.raises(ScimError) as caught:
        apply("userName", "emails")
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")


@pytest.mark.parametrize("attributes, excluded", [(None, None), ("", ""), (",", None), ([], []), (None, " ")])
def test_without_a_wish_the_document_itself_is_the_answer(attributes, excluded):
    found = projection.parse(attributes, excluded, [USER, GROUP])
    assert found.is_default
    assert found.apply(KIM, USER) is KIM


@pytest.mark.parametrize(
    "attributes, excluded, members, groups",
    [
        (None, None, True, True),
        ("userName", None, False, False),
        ("displayName", None, False, False),
        ("members.value", None, True, False),
        ("groups", None, False, True),
        (None, "members", False, True),
        (None, "members.display", True, True),
        (None, "groups,members", False, False),
    ],
)
def test_rows_are_read_only_when_they_are_wanted(attributes, excluded, members, groups):
    found = projection.parse(attributes, excluded, [USER, GROUP])
    assert (found.wants("members"), found.wants("groups")) == (members, groups)


def test_each_kind_understands_the_names_that_it_has():
    found = projection.parse("displayName,members.value,userName", None, [USER, GROUP])
    staff = {"id": "g1", "schemas": [GROUP_URN], "displayName": "Staff", "members": [{"value": "u1", "type": "User"}]}
    assert found.apply(KIM, USER) == ALWAYS | {"userName": "kim", "displayName": "Kim Lee"}
    assert found.apply(staff, GROUP) == {**staff, "members": [{"value": "u1"}]}


# --------------------------------------------------------------------------- returned

BADGE = parse_schema(
    {
        "id": "urn:example:Badge",
        "attributes": [
            {"name": "number", "returned": "always"},
            {"name": "photo", "returned": "request"},
            {"name": "pin", "returned": "never"},
            {
                "name": "owner",
                "type": "complex",
                "subAttributes": [
                    {"name": "value", "returned": "always"},
                    {"name": "since"},
                    {"name": "note", "returned": "request"},
                    {"name": "secret", "returned": "never"},
                ],
            },
        ],
    }
)


def badges(urn_of_base):
    user, _ = STANDARD_TYPES
    extended = ResourceType(user.name, user.endpoint, "", user.schema, (SchemaExtension(BADGE.id),))
    alone = ResourceType("Badge", "/Badges", "", BADGE.id)
    return build_catalog(1, (*standard_schemas(), BADGE), (extended, alone)).kinds[urn_of_base]


OWNER = {"value": "u1", "since": "2026", "note": "n"}
CONTENT = {"number": "7", "photo": "p", "pin": "0000", "owner": OWNER}


@pytest.mark.parametrize(
    "attributes, excluded, supplied, shown",
    [
        (None, None, (), {"number": "7", "owner": {"value": "u1", "since": "2026"}}),
        (None, None, ("photo",), {"number": "7", "photo": "p", "owner": {"value": "u1", "since": "2026"}}),
        (None, None, ("owner", "owner.note"), {"number": "7", "owner": OWNER}),
        ("photo", None, (), {"number": "7", "photo": "p", "owner": {"value": "u1"}}),
        ("owner", None, (), {"number": "7", "owner": {"value": "u1", "since": "2026"}}),
        ("owner.note", None, (), {"number": "7", "owner": {"value": "u1", "note": "n"}}),
        ("pin,owner.secret", None, (), {"number": "7", "owner": {"value": "u1"}}),
        (None, "number,owner", (), {"number": "7", "owner": {"value": "u1"}}),
        (None, "owner.since", ("photo",), {"number": "7", "photo": "p", "owner": {"value": "u1"}}),
        (None, "photo", ("photo",), {"number": "7", "owner": {"value": "u1", "since": "2026"}}),
    ],
)
def test_returned_decides_before_the_names_do(attributes, excluded, supplied, shown):
    document = {"id": "b1", "schemas": [BADGE.id], **CONTENT}
    kind = badges("Badge")
    assert apply(attributes, excluded, document, kind, supplied=supplied) == {"id": "b1", "schemas": [BADGE.id], **shown}


def test_returned_counts_in_an_extension_too():
    kind = badges("User")
    document = {"id": "u1", "schemas": [USER_URN], "userName": "kim", BADGE.id: CONTENT}
    assert apply("userName", None, document, kind)[BADGE.id] == {"number": "7", "owner": {"value": "u1"}}
    assert apply(BADGE.id, None, document, kind)[BADGE.id] == {"number": "7", "owner": {"value": "u1", "since": "2026"}}
    assert apply(None, BADGE.id, document, kind)[BADGE.id] == {"number": "7", "owner": {"value": "u1"}}
    assert apply(None, None, document, kind, supplied=[f"{BADGE.id}:photo"])[BADGE.id]["photo"] == "p"


def test_nothing_that_is_never_returned_is_in_any_answer():
    kind = badges("Badge")
    document = {"id": "b1", "schemas": [BADGE.id], **CONTENT}
    for attributes in (None, "pin", "owner.secret", BADGE.id, "number"):
        assert "0000" not in json.dumps(apply(attributes, None, document, kind))


def test_a_name_of_two_extensions_is_ambiguous():
    other = parse_schema({"id": "urn:example:Other", "attributes": [{"name": "number"}]})
    user, _ = STANDARD_TYPES
    extended = ResourceType(user.name, user.endpoint, "", user.schema, (SchemaExtension(BADGE.id), SchemaExtension(other.id)))
    kind = build_catalog(1, (*standard_schemas(), BADGE, other), (extended,)).kinds["User"]
    with pytest.raises(ScimError) as caught:
        projection.parse("number", None, [kind])
    assert caught.value.scim_type == "invalidValue"
    assert BADGE.id in caught.value.detail


def test_an_ambiguous_name_in_a_body_is_left_to_who_reads_the_body():
    one, two = (parse_schema({"id": f"urn:x:{name}", "attributes": [{"name": "seat", "returned": "request"}]}) for name in "ab")
    person = ResourceType("User", "/Users", "", USER_URN, (SchemaExtension(one.id), SchemaExtension(two.id)))
    kind = build_catalog(2, [*standard_schemas(), one, two], [person]).kinds["User"]
    operations = {
        "Operations": [{"op": "add", "path": "seat", "value": "1"}, {"op": "add", "value": {"urn:x:b": {"seat": "2"}}}]
    }
    assert projection.supplied_in(operations, kind, lenient=True) == {"urn:x:b:seat"}
    with pytest.raises(ScimError, match="seat is an attribute of urn:x:a and of urn:x:b"):
        projection.parse("seat", None, [kind])
