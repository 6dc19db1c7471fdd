"""What is kept of a resource that is sent, and what is refused."""

import base64
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import catalog, resource, schema
from scimhub.scim.catalog import ENTERPRISE_URN, GROUP_URN, USER_URN, Kind
from scimhub.scim.dialects import LENIENT, STRICT, Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from tests.scim.samples import (
    ANY_JSON,
    BADGE_KIND,
    CATALOG,
    GROUP,
    NAMES,
    OFFICE_URN,
    SEAT_URN,
    USER,
    badge,
    check_refusal,
    created,
    enterprise,
    group,
    kind_of,
    outcome,
    stored,
    user,
)

ADSCIM = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"


def refused(body: dict[str, object], dialect: Dialect) -> ScimError:
    with pytest.raises(ScimError) as caught:
        resource.check_create(body, kind_of(body), dialect, Notes())
    return caught.value


# --------------------------------------------------------------------------- a type of one's own


def offering(*types: schema.ResourceType, attributes: list[object], of: str = "urn:example:Safe") -> dict[str, Kind]:
    """The kinds of a catalog with a schema of these attributes."""
    safe = schema.parse_schema({"id": of, "attributes": attributes})
    return dict(catalog.build_catalog(2, [*catalog.standard_schemas(), safe], types).kinds)


@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_what_is_required_and_not_kept_may_be_written_in_any_case(dialect: Dialect):
    person = schema.ResourceType("User", "/Users", "", USER_URN, (schema.SchemaExtension("urn:example:Safe"),))
    kind = offering(person, attributes=[{"name": "pinCode", "required": True, "returned": "never"}, {"name": "place"}])["User"]
    sent = user(schemas=[USER_URN, "urn:example:Safe"])
    kept = resource.check_create({**sent, "urn:example:Safe": {"PINCODE": "1", "place": "x"}}, kind, dialect, Notes())
    assert kept.document["urn:example:Safe"] == {"place": "x"}
    with pytest.raises(ScimError, match="pinCode is required"):
        resource.check_create({**sent, "urn:example:Safe": {"PINCODE": "", "place": "x"}}, kind, dialect, Notes())


@pytest.mark.parametrize("multi_valued", [True, False])
def test_groups_of_a_type_are_the_view_where_they_are_a_list(multi_valued: bool):
    groups = {
        "name": "groups",
        "type": "complex",
        "mutability": "readOnly",
        "multiValued": multi_valued,
        "subAttributes": [{"name": "value"}],
    }
    kinds = offering(schema.ResourceType("Safe", "/Safes", "", "urn:example:Safe"), attributes=[groups])
    assert kinds["Safe"].shows_groups is multi_valued


# --------------------------------------------------------------------------- what is kept


@pytest.mark.requirement("A-019", "A-020", "A-022", "A-044", "A-048", "U-004", "U-006")
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"userName": "Bob@X.org"},
        {"displayName": "Zoë 👩‍🚀 e\u0301"},
        {"title": ""},
        {"phoneNumbers": [{"value": "555-1 (work)", "type": "vacation"}]},
        {"emails": [{"value": "A@x", "type": "work"}, {"value": "A@x", "type": "home"}]},
        {"name": {"givenName": "K", "familyName": "P"}},
        {"locale": "en_US", "timezone": "Europe/Oslo"},
        {"addresses": [{"country": "NO", "postalCode": "04412"}]},
        {"active": False},
    ],
)
def test_values_are_kept_as_they_were_sent(attributes: dict[str, object], dialect: Dialect):
    assert created(user(**attributes), dialect) == {"userName": "kim@x.example", "active": True, **attributes}


@pytest.mark.requirement("A-002")
def test_names_become_canonical_wherever_they_stand():
    body = {
        "SCHEMAS": [USER_URN.upper()],
        "USERNAME": "a",
        "Name": {"GIVENNAME": "K"},
        "emails": [{"VALUE": "a@x", "Primary": True}],
        ENTERPRISE_URN.upper(): {"DEPARTMENT": "D", "Manager": {"Value": "u2"}},
        "EXTERNALID": "e",
    }
    submitted = resource.check_create(body, USER, STRICT, Notes())
    assert submitted.external_id == "e"
    assert submitted.document == {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "userName": "a",
        "name": {"givenName": "K"},
        "emails": [{"value": "a@x", "primary": True}],
        ENTERPRISE_URN: {"department": "D", "manager": {"value": "u2"}},
        "active": True,
    }


@pytest.mark.requirement("A-003")
@pytest.mark.parametrize(
    "body",
    [
        user(username="b"),
        user(name={"givenName": "K", "GIVENNAME": "L"}),
        user(emails=[{"value": "a", "VALUE": "b"}]),
        user(**enterprise(department="D"), **{ENTERPRISE_URN.upper(): {"division": "D"}}),
    ],
)
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_one_attribute_in_two_spellings_is_refused(body: dict[str, object], dialect: Dialect):
    error = refused(body, dialect)
    assert outcome(error) == (400, "invalidSyntax")
    assert "twice" in error.detail


def test_an_attribute_beside_itself_under_the_base_schema_is_refused():
    error = refused(user(title="a", **{USER_URN: {"Title": "b"}}), LENIENT)
    assert outcome(error) == (400, "invalidSyntax")
    assert "twice" in error.detail


@pytest.mark.requirement("A-045", "A-046", "A-047", "P-006", "W-004")
def test_what_is_unassigned_is_not_there():
    body = user(
        title=None, emails=[], name={}, nickName="", addresses=[{"locality": None}], **enterprise(manager={}, division=None)
    )
    assert created(body, LENIENT) == {"userName": "kim@x.example", "active": True, "nickName": ""}
    assert created(body, STRICT) == {"userName": "kim@x.example", "active": True, "nickName": ""}


@pytest.mark.requirement("A-024", "C-010", "C-015", "P-004", "U-010", "E-001")
def test_read_only_attributes_are_ignored():
    body = user(
        id="x", meta={"created": "1999"}, groups=[{"value": "g"}], **enterprise(manager={"value": "u2", "displayName": "B"})
    )
    assert created(body, STRICT) == {"userName": "kim@x.example", "active": True, **enterprise(manager={"value": "u2"})}


@pytest.mark.requirement("C-005", "C-007")
def test_schemas_say_what_is_there():
    assert resource.check_create(user(**enterprise(division="D")), USER, STRICT, Notes()).document["schemas"] == [
        USER_URN,
        ENTERPRISE_URN,
    ]
    listed = user() | {"schemas": [ENTERPRISE_URN, USER_URN, USER_URN]}
    assert resource.check_create(listed, USER, STRICT, Notes()).document["schemas"] == [USER_URN]
    assert next(iter(resource.check_create(user(), USER, STRICT, Notes()).document)) == "schemas"


@pytest.mark.requirement("A-026", "U-009")
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_a_password_is_checked_and_forgotten(dialect: Dialect):
    notes = Notes()
    assert "password" not in created(user(password="s3cret-9"), dialect, notes)
    assert notes.rewrites == ["password-not-kept"]
    assert notes.unmapped == {}
    error = refused(user(password={"value": "s3cret-9"}), dialect)
    assert outcome(error) == (400, "invalidValue")
    assert "s3cret" not in error.detail
    assert "7777" not in refused(user(password=7777.5), dialect).detail


@pytest.mark.requirement("U-014", "P-005")
def test_a_person_is_active_unless_somebody_says_otherwise():
    assert created(user())["active"] is True
    assert created(user(active=None), LENIENT)["active"] is True
    assert created(user(active=False))["active"] is False
    assert "active" not in created(group())


@pytest.mark.requirement("C-013", "C-014")
@pytest.mark.parametrize("sent, external_id", [("AbC", "AbC"), (None, None), ("", ""), (701222, "701222")])
def test_the_external_id_is_given_apart(sent: object, external_id: str | None):
    submitted = resource.check_create(user(externalId=sent), USER, LENIENT, Notes())
    assert submitted.external_id == external_id
    assert "externalId" not in submitted.document


def test_nested_parts_of_every_type_are_kept():
    body = badge(
        level=7,
        weight=1.25,
        expires="2024-01-01T10:00:00.5+02:00",
        lost=False,
        photo="AAAA",
        home="../Offices/1",
        tags=["a", "B"],
        marks=[{"value": "x", "$ref": "https://x.example/1"}],
        chip={"maker": "M", "keys": ["k1", "k2"]},
    )
    assert created(body) == {name: value for name, value in body.items() if name != "schemas"}


def test_a_part_that_is_never_returned_is_forgotten_too():
    notes = Notes()
    assert created(badge(pin="1234", chip={"maker": "M", "secret": "s"}), STRICT, notes) == created(badge(chip={"maker": "M"}))
    assert notes.rewrites == ["password-not-kept", "password-not-kept"]


# --------------------------------------------------------------------------- members


@pytest.mark.requirement("G-003", "G-005")
@pytest.mark.parametrize(
    "sent, ids",
    [
        ([{"value": "u1"}, {"value": "u2", "display": "K", "type": "User", "$ref": "x"}], ("u1", "u2")),
        ([{"value": "u1"}, {"value": "u1"}], ("u1",)),
        ([{"VALUE": "u1", "$ref": None}], ("u1",)),
        ([], ()),
        (None, ()),
    ],
)
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_members_become_ids(sent: object, ids: tuple[str, ...], dialect: Dialect):
    submitted = resource.check_create(group(members=sent), GROUP, dialect, Notes())
    assert submitted.members == ids
    assert submitted.document == group()


@pytest.mark.parametrize(
    "sent, ids, rules",
    [
        (["u1", "u2"], ("u1", "u2"), ["text-for-object", "text-for-object"]),
        ([{"$ref": "https://x.example/v2/Users/u1/"}], ("u1",), ["member-by-reference"]),
        ({"value": "u1"}, ("u1",), ["object-for-list"]),
        ("u1", ("u1",), ["object-for-list", "text-for-object"]),
        ([None, {"value": "u1"}], ("u1",), ["null-element"]),
    ],
)
def test_members_in_odd_forms_are_understood_when_lenient(sent: object, ids: tuple[str, ...], rules: list[str]):
    notes = Notes()
    assert resource.check_create(group(members=sent), GROUP, LENIENT, notes).members == ids
    assert notes.rewrites == rules
    assert outcome(refused(group(members=sent), STRICT)) == (400, "invalidValue")


@pytest.mark.parametrize(
    "sent", [[{}], [{"value": ""}], [{"value": 7}], [{"display": "x"}], [7], [["u1"]], 7, [{"value": "a\0"}]]
)
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_a_member_without_an_id_is_refused(sent: object, dialect: Dialect):
    assert outcome(refused(group(members=sent), dialect)) == (400, "invalidValue")


def test_what_a_member_does_not_have_is_dropped_or_refused():
    notes = Notes()
    assert resource.check_create(group(members=[{"value": "u1", "mood": "x"}]), GROUP, LENIENT, notes).members == ("u1",)
    assert notes.dropped == ["members.mood"]
    assert outcome(refused(group(members=[{"value": "u1", "mood": "x"}]), STRICT)) == (400, "invalidSyntax")


def test_nothing_said_of_members_is_not_the_same_as_no_members():
    assert resource.check_create(group(), GROUP, STRICT, Notes()).members is None
    assert resource.check_create(user(), USER, STRICT, Notes()).members is None


# --------------------------------------------------------------------------- what is refused


@pytest.mark.requirement("A-005", "A-006", "A-008", "A-009", "A-040", "P-009", "U-001", "G-001")
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
@pytest.mark.parametrize(
    "body, where",
    [
        (user() | {"userName": ""}, "userName"),
        (user() | {"userName": None}, "userName"),
        (user() | {"userName": {"value": "x"}}, "userName"),
        (user() | {"userName": "a\0b"}, "userName"),
        (user() | {"userName": "\ud800"}, "userName"),
        (user(active="yes"), "active"),
        (user(active=0), "active"),
        (user(name="Anna Berg"), "name"),
        (user(name={"givenName": {"x": 1}}), "name.givenName"),
        (user(emails=[["a@x"]]), "emails"),
        (user(emails=7), "emails"),
        (user(x509Certificates=[{"value": "!!"}]), "x509Certificates.value"),
        (user(**{ENTERPRISE_URN: "x"}), ENTERPRISE_URN),
        (user(**enterprise(manager=7)), f"{ENTERPRISE_URN}:manager"),
        (user(externalId={}) | {"externalId": {"x": 1}}, "externalId"),
        (group() | {"displayName": ""}, "displayName"),
        ({"schemas": [GROUP_URN]}, "displayName"),
        (badge(level=1.5), "level"),
        (badge(level=1e3), "level"),
        (badge(level=2**70), "level"),
        (badge(weight="1"), "weight"),
        (badge(expires="2024-01-01"), "expires"),
        (badge(doors=[]), "doors"),
        (badge(doors=[{"hours": "9-17"}]), "doors.door"),
        (badge(chip={"keys": ["k"]}), "chip.maker"),
    ],
)
def test_a_wrong_or_missing_value_is_refused(body: dict[str, object], where: str, dialect: Dialect):
    error = refused(body, dialect)
    assert outcome(error) == (400, "invalidValue")
    assert where in error.detail


@pytest.mark.requirement("C-023")
def test_a_required_extension_must_be_there_with_what_it_requires():
    for body in (badge() | {OFFICE_URN: None}, badge() | {OFFICE_URN: {}}, badge() | {OFFICE_URN: {"room": "1"}}):
        error = refused(body, STRICT)
        assert outcome(error) == (400, "invalidValue")
        assert OFFICE_URN in error.detail


def test_a_required_secret_counts_as_sent():
    schema = catalog.parse_schema(
        {"id": "urn:example:Vault", "attributes": [{"name": "label"}, {"name": "key", "required": True, "returned": "never"}]}
    )
    kind = catalog.build_catalog(1, [schema], [catalog.ResourceType("Vault", "/Vaults", "", schema.id)]).kinds["Vault"]
    assert resource.check_create({"schemas": [schema.id], "key": "k"}, kind, STRICT, Notes()).document == {
        "schemas": [schema.id]
    }
    with pytest.raises(ScimError) as caught:
        resource.check_create({"schemas": [schema.id], "label": "l"}, kind, STRICT, Notes())
    assert outcome(caught.value) == (400, "invalidValue")


@pytest.mark.requirement("C-003", "C-006")
@pytest.mark.parametrize(
    "schemas, rules, strict",
    [
        (None, ["schemas-missing"], "invalidSyntax"),
        ([], ["schemas-missing"], "invalidSyntax"),
        ([ENTERPRISE_URN], ["schemas-missing"], "invalidSyntax"),
        (USER_URN, ["object-for-list"], "invalidSyntax"),
        (["urn:scim:schemas:core:1.0"], ["scim1-schema"], "invalidValue"),
        ([USER_URN, ADSCIM], ["schemas-unknown"], "invalidValue"),
        ([USER_URN, GROUP_URN], ["schemas-unknown"], "invalidValue"),
    ],
)
def test_odd_schemas_are_understood_when_lenient(schemas: object, rules: list[str], strict: str):
    notes = Notes()
    created(user() | {"schemas": schemas}, LENIENT, notes)
    assert notes.rewrites == rules
    assert outcome(refused(user() | {"schemas": schemas}, STRICT)) == (400, strict)


@pytest.mark.parametrize("schemas", [7, {"a": 1}, [7], [USER_URN, None]])
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_schemas_that_are_no_list_of_urns_are_refused(schemas: object, dialect: Dialect):
    assert outcome(refused(user() | {"schemas": schemas}, dialect)) == (400, "invalidSyntax")


@pytest.mark.requirement("C-004", "P-010")
@pytest.mark.parametrize(
    "body, path, value, strict",
    [
        (user(foo=1), "foo", 1, "invalidSyntax"),
        (user(roles=[{"value": "r", "displayName": "R"}]), "roles.displayName", "R", "invalidSyntax"),
        (user(**{"urn:acme:2.0:User": {"a": 1}}), "urn:acme:2.0:User", {"a": 1}, "invalidValue"),
        (user(**enterprise(mood="x")), f"{ENTERPRISE_URN}:mood", "x", "invalidSyntax"),
        (user(**{"no path at all": 1}), "no path at all", 1, "invalidSyntax"),
    ],
)
def test_what_no_schema_knows_is_dropped_and_named_or_refused(body: dict[str, object], path: str, value: object, strict: str):
    notes = Notes()
    created(body, LENIENT, notes)
    assert notes.dropped == [path]
    assert notes.unmapped == {path: value}
    assert outcome(refused(body, STRICT)) == (400, strict)


def test_short_names_find_their_extension_unless_two_have_it():
    assert created(badge(desk="7"), LENIENT) == created(badge(**{SEAT_URN: {"desk": "7"}}))
    assert outcome(refused(badge(desk="7"), STRICT)) == (400, "invalidSyntax")
    error = refused(badge(room="7"), LENIENT)
    assert outcome(error) == (400, "invalidSyntax")
    assert OFFICE_URN in error.detail


@pytest.mark.parametrize(
    "body",
    [
        user(department="A", **enterprise(department="B")),
        user(name={"givenName": "A"}, **{"name.givenName": "B"}),
    ],
)
def test_a_path_as_a_key_must_not_contradict_the_value_at_its_place(body: dict[str, object]):
    assert outcome(refused(body, LENIENT)) == (400, "invalidSyntax")


def test_a_path_as_a_key_needs_an_object_to_go_into():
    assert outcome(refused(user(name="A", **{"name.givenName": "B"}), LENIENT)) == (400, "invalidValue")


@pytest.mark.requirement("A-042")
def test_of_two_primaries_the_last_stays_when_lenient():
    emails = [{"value": "a", "primary": True}, {"value": "b"}, {"value": "c", "primary": True}]
    notes = Notes()
    assert created(user(emails=emails), LENIENT, notes)["emails"] == [
        {"value": "a", "primary": False},
        {"value": "b"},
        {"value": "c", "primary": True},
    ]
    assert notes.rewrites == ["two-primaries"]
    assert outcome(refused(user(emails=emails), STRICT)) == (400, "invalidValue")


@pytest.mark.requirement("B-024")
@pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_a_bulk_id_is_no_id(dialect: Dialect):
    assert outcome(refused(user(**enterprise(manager={"value": "bulkId:x"})), dialect)) == (400, "invalidValue")
    assert created(user(displayName="bulkId:x"), dialect)["displayName"] == "bulkId:x"


def der(length: int) -> bytes:
    return b"\x30\x82" + length.to_bytes(2, "big") + b"x" * length


@pytest.mark.requirement("U-005", "U-007", "U-008")
@pytest.mark.parametrize(
    "attributes",
    [
        {"addresses": [{"country": "USA"}]},
        {"timezone": "Mars/X"},
        {"locale": "English (US)"},
        {"x509Certificates": [{"value": base64.b64encode(der(300) + der(300)).decode()}]},
        {"x509Certificates": [{"value": "AAAA"}]},
        {"x509Certificates": [{"value": "MA=="}]},
    ],
)
def test_formats_bind_strict_sources_only(attributes: dict[str, object]):
    assert created(user(**attributes), LENIENT).items() >= attributes.items()
    assert outcome(refused(user(**attributes), STRICT)) == (400, "invalidValue")


@pytest.mark.requirement("A-009", "U-007")
@pytest.mark.parametrize("certificate", [der(300), der(299), b"\x30\x03abc"])
def test_one_certificate_is_accepted_with_or_without_padding(certificate: bytes):
    padded = base64.b64encode(certificate).decode()
    for text in (padded, padded.rstrip("=")):
        assert created(user(x509Certificates=[{"value": text}]))["x509Certificates"] == [{"value": text}]


# --------------------------------------------------------------------------- PUT


def replaced(body: dict[str, object], before: dict[str, object], dialect: Dialect = STRICT) -> dict[str, object]:
    return resource.check_replace(body, kind_of(body), dialect, Notes(), stored(before)).document


@pytest.mark.requirement("W-002", "W-003", "W-005", "W-011")
def test_a_replacement_clears_what_it_does_not_name():
    before = user(title="Bosun", emails=[{"value": "a"}, {"value": "b"}], active=False, **enterprise(department="D"))
    assert replaced(user(emails=[{"value": "c"}]), before) == {
        "schemas": [USER_URN],
        "userName": "kim@x.example",
        "emails": [{"value": "c"}],
        "active": False,
    }
    assert replaced(user(id="other", groups=[], meta={}, active=True), before)["active"] is True


@pytest.mark.requirement("W-007")
def test_a_replacement_needs_what_is_required():
    with pytest.raises(ScimError) as caught:
        resource.check_replace({"schemas": [USER_URN]}, USER, STRICT, Notes(), stored(user()))
    assert outcome(caught.value) == (400, "invalidValue")


def test_a_replacement_of_a_group_without_members_clears_them_only_when_strict():
    assert resource.check_replace(group(), GROUP, LENIENT, Notes(), group()).members is None
    assert resource.check_replace(group(), GROUP, STRICT, Notes(), group()).members == ()
    for sent in (None, []):
        assert resource.check_replace(group(members=sent), GROUP, LENIENT, Notes(), group()).members == ()


@pytest.mark.requirement("A-025", "W-006")
@pytest.mark.parametrize(
    "before, sent, kept",
    [
        (badge(serial="S"), badge(serial="s"), badge(serial="s")),
        (badge(serial="S"), badge(), badge(serial="S")),
        (badge(), badge(serial="S"), badge(serial="S")),
        (badge(chip={"maker": "M", "id": "1"}), badge(chip={"maker": "N"}), badge(chip={"maker": "N", "id": "1"})),
        (badge(chip={"maker": "M", "id": "1"}), badge(), badge()),
    ],
)
def test_an_immutable_value_stays(before: dict[str, object], sent: dict[str, object], kept: dict[str, object]):
    assert replaced(sent, before) == stored(kept)


@pytest.mark.requirement("A-025", "W-006")
@pytest.mark.parametrize(
    "before, sent",
    [
        (badge(serial="S"), badge(serial="T")),
        (badge(chip={"maker": "M", "id": "1"}), badge(chip={"maker": "M", "id": "2"})),
    ],
)
def test_another_immutable_value_is_refused(before: dict[str, object], sent: dict[str, object]):
    with pytest.raises(ScimError) as caught:
        replaced(sent, before)
    assert outcome(caught.value) == (400, "mutability")


# --------------------------------------------------------------------------- normal form


def test_the_normal_form_is_what_is_compared():
    document = stored(
        badge(
            number="Ab",
            serial="Ab",
            home="HTTPS://X",
            level=7,
            expires="2024-01-01T10:00:00.5+02:00",
            lost=False,
            tags=["A", ""],
            marks=[{"value": "X", "display": None}],
            chip={"maker": "ＡＢ", "keys": ["K"]},
        )
    )
    assert resource.normal_form(document, BADGE_KIND) == {
        "number": "Ab",
        "serial": "ab",
        "home": "HTTPS://X",
        "level": 7,
        "expires": "2024-01-01T08:00:00.500000000Z",
        "lost": False,
        "tags": ["a", ""],
        "marks": [{"value": "x"}],
        "chip": {"maker": "ab", "keys": ["k"]},
        "doors": [{"door": "north"}],
        OFFICE_URN: {"floor": "3"},
    }


def test_the_normal_form_leaves_out_what_is_kept_elsewhere():
    everything = {"schemas": [USER_URN], "id": "u1", "externalId": "e", "meta": {}, "userName": "K", "groups": [{"value": "g"}]}
    assert resource.normal_form(everything, USER) == {"userName": "k"}
    assert resource.normal_form({"displayName": "G", "members": [{"value": "u1"}]}, GROUP) == {"displayName": "g"}


def test_rows_of_the_index_are_distinct_and_unique_rows_are_never_empty():
    document = stored(
        user(
            displayName="Kim",
            emails=[{"value": "A@x"}, {"value": "a@X"}, {"value": "b"}],
            **enterprise(employeeNumber="7", manager={"value": "U2"}),
        )
    )
    normal = resource.normal_form(document, USER)
    assert resource.index_rows(normal, USER) == (
        ("displayName", "kim"),
        ("emails.value", "a@x"),
        ("emails.value", "b"),
        (f"{ENTERPRISE_URN}:employeeNumber", "7"),
        (f"{ENTERPRISE_URN}:manager.value", "U2"),
    )
    assert resource.unique_rows(normal, USER) == (("userName", "kim@x.example"),)
    assert resource.unique_rows({"userName": ""}, USER) == ()
    assert resource.index_rows({"level": 7, "lost": False}, BADGE_KIND) == (("level", "7"), ("lost", "false"))


@pytest.mark.parametrize(
    "document, kind, display",
    [
        ({"displayName": "Kim P", "userName": "k"}, USER, "Kim P"),
        ({"displayName": "", "name": {"formatted": "Kim Park"}, "userName": "k"}, USER, "Kim Park"),
        ({"name": {"givenName": "Kim"}, "userName": "k"}, USER, "k"),
        ({"displayName": "Pilots"}, GROUP, "Pilots"),
        ({"number": "B1"}, BADGE_KIND, "B1"),
        ({}, BADGE_KIND, None),
    ],
)
def test_a_resource_is_called_by_the_best_name_it_has(document: dict[str, object], kind: catalog.Kind, display: str | None):
    assert resource.display_of(document, kind) == display


# --------------------------------------------------------------------------- anything at all

LEAST = {"User": user(), "Group": group(), "Badge": badge()}


@given(
    st.sampled_from(sorted(LEAST)),
    st.sampled_from([LENIENT, STRICT]),
    st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=6),
)
def test_any_body_is_kept_whole_or_refused(name: str, dialect: Dialect, attributes: dict[str, object]):
    kind = CATALOG.kinds[name]
    body = {**LEAST[name], **attributes}
    before = copy.deepcopy(body)
    try:
        document = resource.check_create(body, kind, dialect, Notes()).document
    except ScimError as refusal:
        check_refusal(refusal)
    else:
        normal = resource.normal_form(document, kind)
        assert resource.normal_form(normal, kind) == normal
        assert all(isinstance(text, str) for row in resource.index_rows(normal, kind) for text in row)
        # What was kept is accepted again as it is.
        again = resource.check_create(document, kind, dialect, Notes()).document
        assert repr(again) == repr(document)
        resource.check_replace(body, kind, dialect, Notes(), document)
    assert repr(body) == repr(before)
