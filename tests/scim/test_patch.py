"""PATCH, row by row of the requirements: what each operation does, and with which keyword it is refused."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimhub.scim import diff, patch, resource
from scimhub.scim.catalog import ENTERPRISE_URN, GROUP_URN, USER_URN
from scimhub.scim.dialects import LENIENT, PASSWORD_NOT_KEPT, STRICT, Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from scimhub.scim.patch import ExternalIdEdit, MemberOperations
from tests.scim.samples import (
    ANY_JSON,
    CATALOG,
    GROUP,
    OFFICE_URN,
    OPERATIONS,
    SEAT_URN,
    USER,
    badge,
    check_refusal,
    enterprise,
    group,
    outcome,
    parsed,
    patched,
    stored,
    user,
)

BOTH = pytest.mark.parametrize("dialect", [LENIENT, STRICT], ids=["lenient", "strict"])
WORK = {"value": "w@x", "type": "work", "primary": True}
HOME = {"value": "h@x", "type": "home"}


def op(verb: str, path: str | None = None, *value: object) -> dict[str, object]:
    operation: dict[str, object] = {"op": verb}
    if path is not None:
        operation["path"] = path
    if value:
        (operation["value"],) = value
    return operation


def refused(document: dict[str, object], *operations: object, dialect: Dialect = STRICT) -> ScimError:
    with pytest.raises(ScimError) as caught:
        patched(stored(document), *operations, dialect=dialect)
    return caught.value


# --------------------------------------------------------------------------- what operations do


@pytest.mark.requirement(
    "M-020", "M-053", "M-054", "M-061", "M-062", "M-063", "M-070", "M-071", "M-072", "M-073", "M-074", "M-075"
)
@BOTH
@pytest.mark.parametrize(
    "before, operation, after",
    [
        # Singular values
        (user(), op("add", "title", "Bosun"), user(title="Bosun")),
        (user(title="Mate"), op("add", "title", "Bosun"), user(title="Bosun")),
        (user(), op("replace", "title", "Bosun"), user(title="Bosun")),
        (user(title="Mate"), op("remove", "title"), user()),
        (user(title="Mate"), op("remove", "title", "Mate"), user()),
        (user(title="Mate"), op("replace", "title", None), user()),
        (user(), op("remove", "title"), user()),
        (user(), op("replace", f"{USER_URN}:title", "Bosun"), user(title="Bosun")),
        (user(active=True), op("remove", "active"), user() | {"active": None}),
        (user(), op("replace", "userName", "KIM@x.example"), user() | {"userName": "KIM@x.example"}),
        # Singular complex values are merged
        (
            user(name={"givenName": "K"}),
            op("add", "name", {"familyName": "P"}),
            user(name={"givenName": "K", "familyName": "P"}),
        ),
        (
            user(name={"givenName": "K"}),
            op("replace", "name", {"familyName": "P"}),
            user(name={"givenName": "K", "familyName": "P"}),
        ),
        (
            user(name={"givenName": "K", "middleName": "M"}),
            op("replace", "name", {"middleName": None}),
            user(name={"givenName": "K"}),
        ),
        (user(name={"givenName": "K"}), op("replace", "name", {}), user(name={"givenName": "K"})),
        (user(name={"givenName": "K"}), op("replace", "name", None), user()),
        (user(name={"givenName": "K"}), op("remove", "name.givenName"), user()),
        (user(), op("add", "name.givenName", "K"), user(name={"givenName": "K"})),
        (user(name={"givenName": "K"}), op("remove", "name"), user()),
        # Multi-valued attributes
        (user(emails=[WORK]), op("add", "emails", [HOME]), user(emails=[WORK, HOME])),
        (user(emails=[WORK]), op("add", "emails", HOME), user(emails=[WORK, HOME])),
        (user(), op("add", "emails", [HOME]), user(emails=[HOME])),
        (user(emails=[WORK]), op("add", "emails", []), user(emails=[WORK])),
        (user(emails=[WORK]), op("add", "emails", None), user(emails=[WORK])),
        (user(emails=[WORK]), op("replace", "emails", [HOME]), user(emails=[HOME])),
        (user(emails=[WORK]), op("replace", "emails", []), user()),
        (user(emails=[WORK]), op("replace", "emails", None), user()),
        (user(emails=[WORK]), op("remove", "emails"), user()),
        (
            user(emails=[WORK, HOME]),
            op("remove", "emails.type"),
            user(emails=[{"value": "w@x", "primary": True}, {"value": "h@x"}]),
        ),
        (user(emails=[HOME]), op("add", "emails.display", "H"), user(emails=[HOME | {"display": "H"}])),
        (user(), op("add", "emails.value", "a@x"), user(emails=[{"value": "a@x"}])),
        # Value paths
        (user(emails=[WORK, HOME]), op("remove", 'emails[type eq "work"]'), user(emails=[HOME])),
        (user(emails=[WORK]), op("remove", 'emails[type eq "work"]'), user()),
        (user(emails=[WORK]), op("remove", 'emails[type eq "work"]', [WORK]), user()),
        (user(emails=[WORK | {"display": "W"}]), op("remove", 'emails[type eq "work"].display'), user(emails=[WORK])),
        (
            user(emails=[WORK, HOME]),
            op("replace", 'emails[type eq "work"].value', "n@x"),
            user(emails=[WORK | {"value": "n@x"}, HOME]),
        ),
        (
            user(emails=[WORK, HOME]),
            op("add", 'emails[type eq "work"].value', "n@x"),
            user(emails=[WORK | {"value": "n@x"}, HOME]),
        ),
        (user(emails=[WORK]), op("replace", 'EMAILS[TYPE EQ "WORK"].VALUE', "n@x"), user(emails=[WORK | {"value": "n@x"}])),
        (user(emails=[WORK]), op("replace", 'emails[type eq"work"]', {"value": "n@x"}), user(emails=[{"value": "n@x"}])),
        (user(emails=[WORK]), op("add", 'emails[type eq "work"]', {"display": "W"}), user(emails=[WORK | {"display": "W"}])),
        (
            user(emails=[WORK]),
            op("replace", 'emails[type eq "work" and primary eq true].value', "n@x"),
            user(emails=[WORK | {"value": "n@x"}]),
        ),
        (
            user(emails=[WORK, HOME]),
            op("replace", 'emails[value ew "@x"].display', "D"),
            user(emails=[WORK | {"display": "D"}, HOME | {"display": "D"}]),
        ),
        # Extensions
        (user(), op("add", f"{ENTERPRISE_URN}:department", "D"), user(**enterprise(department="D"))),
        (user(**enterprise(department="D")), op("remove", f"{ENTERPRISE_URN}:department"), user()),
        (user(**enterprise(department="D")), op("remove", ENTERPRISE_URN), user()),
        (user(**enterprise(department="D")), op("replace", ENTERPRISE_URN, None), user()),
        (
            user(**enterprise(department="D")),
            op("replace", ENTERPRISE_URN, {"division": "V"}),
            user(**enterprise(department="D", division="V")),
        ),
        (
            user(**enterprise(department="D")),
            op("add", None, {ENTERPRISE_URN: {"division": "V"}}),
            user(**enterprise(department="D", division="V")),
        ),
        # Without path
        (user(title="T"), op("replace", None, {"nickName": "N", "active": False}), user(title="T", nickName="N", active=False)),
        (user(title="T"), op("replace", None, {"title": None}), user()),
        (user(title="T"), op("replace", None, {"TITLE": "U"}), user(title="U")),
        (user(emails=[WORK]), op("add", None, {"emails": [HOME]}), user(emails=[WORK, HOME])),
        (user(emails=[WORK]), op("replace", None, {"emails": [HOME]}), user(emails=[HOME])),
        (user(), {"op": "add", "path": None, "value": {"title": "T"}}, user(title="T")),
        (user(), op("add", USER_URN, {"title": "T"}), user(title="T")),
        # Simple multi-valued attributes (E7122)
        (badge(tags=["a"]), op("add", "tags", ["b", "A"]), badge(tags=["a", "b"])),
        (badge(tags=["a", "b"]), op("remove", 'tags[value eq "A"]'), badge(tags=["b"])),
        (badge(tags=["a", "b"]), op("replace", 'tags[value eq "a"]', "c"), badge(tags=["c", "b"])),
        (badge(tags=["a", "b"]), op("replace", 'tags[value eq "a"].value', "c"), badge(tags=["c", "b"])),
    ],
)
def test_an_operation_does_what_the_rfc_says(
    before: dict[str, object], operation: dict[str, object], after: dict[str, object], dialect: Dialect
):
    document = stored(before)
    unchanged = copy.deepcopy(document)
    expected = stored(after)
    if after.get("active", True) is None:
        del expected["active"]
    assert patched(document, operation, dialect=dialect) == expected
    assert document == unchanged


@pytest.mark.requirement("A-043", "M-012", "M-052", "C-018")
@BOTH
@pytest.mark.parametrize(
    "before, operation",
    [
        (user(emails=[WORK, HOME]), op("add", "emails", [HOME])),
        (user(emails=[WORK, HOME]), op("add", "emails", [{"value": "H@X", "type": "Home", "primary": False}])),
        (user(emails=[WORK]), op("add", "emails", [WORK])),
        (user(ims=[{"display": "D", "type": "xmpp"}]), op("add", "ims", [{"type": "XMPP", "display": "d", "primary": False}])),
        (user(title="T"), op("replace", "title", "T")),
        (user(name={"givenName": "K"}), op("replace", "name", {"givenName": "K"})),
        (user(emails=[WORK]), op("replace", 'emails[type eq "work"].value', "w@x")),
        (user(), op("remove", 'phoneNumbers[type eq "fax"].value')),
        (user(emails=[WORK]), op("remove", 'emails[type eq "fax"]')),
        (user(**enterprise(manager={"value": "u2", "$ref": "r"})), op("add", f"{ENTERPRISE_URN}:manager", {"value": "u2"})),
        (badge(serial="S"), op("replace", "serial", "s")),
    ],
)
def test_what_is_so_already_is_no_change(before: dict[str, object], operation: dict[str, object], dialect: Dialect):
    document = stored(before)
    after = patched(document, operation, dialect=dialect)
    kind = CATALOG.kinds["Badge" if "number" in before else "User"]
    assert resource.normal_form(after, kind) == resource.normal_form(document, kind)
    if "serial" not in before:
        assert diff.changed_paths(document, after, kind) == {}


@pytest.mark.requirement("M-052")
def test_adding_a_value_again_brings_what_is_new_about_it():
    after = patched(stored(user(emails=[HOME])), op("add", "emails", [HOME | {"value": "H@x", "display": "H"}]))
    assert after["emails"] == [HOME | {"display": "H"}]


@pytest.mark.requirement("M-013")
@BOTH
@pytest.mark.parametrize(
    "operation",
    [
        op("add", "emails", [{"value": "n@x", "primary": True}]),
        op("add", "emails", {"value": "n@x", "primary": True}),
        op("add", None, {"emails": [{"value": "n@x", "primary": True}]}),
    ],
)
def test_a_new_primary_value_demotes_the_old_one(operation: dict[str, object], dialect: Dialect):
    after = patched(stored(user(emails=[HOME, WORK])), operation, dialect=dialect)
    assert after["emails"] == [HOME, WORK | {"primary": False}, {"value": "n@x", "primary": True}]


@pytest.mark.requirement("M-013")
@BOTH
def test_making_a_value_primary_demotes_the_old_one(dialect: Dialect):
    for operation in (
        op("replace", 'emails[type eq "home"].primary', True),
        op("add", 'emails[type eq "home"]', {"primary": True}),
        op("add", "emails", [HOME | {"primary": True}]),
    ):
        after = patched(stored(user(emails=[HOME, WORK])), operation, dialect=dialect)
        assert after["emails"] == [HOME | {"primary": True}, WORK | {"primary": False}]


@pytest.mark.requirement("M-044")
@pytest.mark.parametrize(
    "operation",
    [
        op("add", "emails", [{"value": "a", "primary": True}, {"value": "b", "primary": True}]),
        op("replace", "emails", [{"value": "a", "primary": True}, {"value": "b", "primary": True}]),
        op("replace", "emails[value pr].primary", True),
    ],
)
def test_two_primaries_in_one_operation_are_refused_or_the_last_one_wins(operation: dict[str, object]):
    before = user(emails=[{"value": "a"}, {"value": "b"}])
    assert outcome(refused(before, operation)) == (400, "invalidValue")
    notes = Notes()
    after = patched(stored(before), operation, dialect=LENIENT, notes=notes)
    assert [email["value"] for email in after["emails"] if email.get("primary")] == ["b"]
    assert len(after["emails"]) == 2
    assert "two-primaries" in notes.rewrites


@pytest.mark.requirement("M-046", "C-005")
def test_schemas_follow_the_attributes():
    after = patched(stored(user()), op("add", f"{ENTERPRISE_URN}:department", "D"))
    assert after["schemas"] == [USER_URN, ENTERPRISE_URN]
    assert patched(after, op("remove", f"{ENTERPRISE_URN}:department")) == stored(user())


@pytest.mark.requirement("M-006")
def test_operations_run_in_their_order_on_the_result_of_the_one_before():
    after = patched(stored(user()), op("add", "title", "One"), op("remove", "title"), op("add", "title", "Three"))
    assert after["title"] == "Three"
    assert "title" not in patched(stored(user()), op("add", "title", "One"), op("remove", "title"))


@pytest.mark.requirement("M-007")
@pytest.mark.parametrize(
    "second",
    [op("replace", "emails[type eq", "x"), op("remove", "userName"), op("replace", 'emails[type eq "fax"].value', "x")],
)
def test_a_failing_operation_leaves_everything_as_it_was(second: dict[str, object]):
    document = stored(user(title="Old", **enterprise(department="D")))
    before = copy.deepcopy(document)
    with pytest.raises(ScimError) as caught:
        patched(document, op("replace", "title", "New"), op("remove", ENTERPRISE_URN), second)
    assert caught.value.detail.startswith("Operation 3: ")
    assert document == before


def test_only_what_is_touched_is_copied():
    document = stored(user(emails=[WORK, HOME], name={"givenName": "K"}, **enterprise(department="D")))
    after = patched(document, op("replace", 'emails[type eq "work"].value', "n@x"))
    assert after["name"] is document["name"]
    assert after[ENTERPRISE_URN] is document[ENTERPRISE_URN]
    assert after["emails"][1] is document["emails"][1]


@pytest.mark.requirement("E-001", "E-002", "IDP-07")
@pytest.mark.parametrize(
    "path, value, manager",
    [
        (f"{ENTERPRISE_URN}:manager", "u2", {"value": "u2"}),
        (f"{ENTERPRISE_URN}:manager", {"value": "u2"}, {"value": "u2"}),
        (f"{ENTERPRISE_URN}:manager", [{"value": "u2"}], {"value": "u2"}),
        (f"{ENTERPRISE_URN}:manager", {"$ref": "R2", "displayName": "B", "value": "u2"}, {"value": "u2", "$ref": "R2"}),
        (f"{ENTERPRISE_URN}:manager.value", "u2", {"value": "u2"}),
        (f"{ENTERPRISE_URN}:manager.value", [{"value": "u2"}], {"value": "u2"}),
        ("manager", "u2", {"value": "u2"}),
        ("manager.value", "u2", {"value": "u2"}),
        (f"{ENTERPRISE_URN}:manager", "", None),
        (f"{ENTERPRISE_URN}:manager", None, None),
        # An id that is empty or gone names nobody, and takes along the reference to whom it named
        (f"{ENTERPRISE_URN}:manager", {"value": ""}, None),
        (f"{ENTERPRISE_URN}:manager", {"value": None}, None),
        (f"{ENTERPRISE_URN}:manager.value", "", None),
        (f"{ENTERPRISE_URN}:manager.value", None, None),
    ],
)
def test_a_new_manager_leaves_nothing_of_the_old_one(path: str, value: object, manager: object):
    before = stored(user(**enterprise(department="D", manager={"value": "u1", "$ref": "R1"})))
    for verb in ("Add", "Replace"):
        after = patched(before, op(verb, path, value), dialect=LENIENT)
        assert after[ENTERPRISE_URN] == ({"department": "D"} if manager is None else {"department": "D", "manager": manager})


# --------------------------------------------------------------------------- elements that are not there


@pytest.mark.requirement("M-055", "M-076", "IDP-05")
@pytest.mark.parametrize(
    "operations, emails",
    [
        ([op("add", 'emails[type eq "other"].value', "a")], [{"type": "other", "value": "a"}]),
        ([op("replace", 'emails[type eq "other"].value', "a")], [{"type": "other", "value": "a"}]),
        (
            [op("replace", 'emails[type eq "other" and primary eq true].value', "a")],
            [{"type": "other", "primary": True, "value": "a"}],
        ),
        ([op("replace", 'emails[primary eq "True"].value', "a")], [{"primary": True, "value": "a"}]),
        ([op("add", 'emails[type eq "other"]', {"value": "a"})], [{"type": "other", "value": "a"}]),
        ([op("add", 'emails[type eq "other"]', "a")], [{"type": "other", "value": "a"}]),
        ([op("add", 'emails[type eq "other"]', [{"value": "a"}])], [{"type": "other", "value": "a"}]),
        ([op("add", 'emails[type eq "other"].value', [{"value": "a"}])], [{"type": "other", "value": "a"}]),
        (
            [op("add", 'emails[type eq "other"].value', "a"), op("add", 'emails[type eq "other"].display', "A")],
            [{"type": "other", "value": "a", "display": "A"}],
        ),
    ],
)
def test_a_lenient_value_path_creates_the_element_that_it_describes(operations: list[object], emails: list[object]):
    assert patched(stored(user()), *operations, dialect=LENIENT)["emails"] == emails
    after = patched(stored(user(emails=[HOME])), *operations, dialect=LENIENT)
    assert after["emails"] == [HOME, *emails]


def test_a_created_primary_element_demotes_the_old_one():
    after = patched(
        stored(user(emails=[HOME, WORK | {"primary": True}])), op("add", 'emails[type eq "x" and primary eq true].value', "a")
    )
    assert after["emails"] == [HOME, WORK | {"primary": False}, {"type": "x", "primary": True, "value": "a"}]


@pytest.mark.requirement("M-055", "M-076")
@pytest.mark.parametrize(
    "operation, dialect",
    [
        (op("replace", 'emails[type eq "other"].value', "a"), STRICT),
        (op("replace", 'emails[type eq "other"]', {"value": "a"}), STRICT),
        (op("add", 'emails[type ne "home"].value', "a"), LENIENT),
        (op("add", 'emails[type eq "a" or type eq "b"].value', "a"), LENIENT),
        (op("add", 'emails[not (type eq "home")].value', "a"), LENIENT),
        (op("add", 'emails[type co "q"].value', "a"), STRICT),
    ],
)
def test_without_an_element_and_a_way_to_make_one_there_is_no_target(operation: dict[str, object], dialect: Dialect):
    error = refused(user(emails=[HOME]), operation, dialect=dialect)
    assert outcome(error) == (400, "noTarget")
    assert "emails" in error.detail


def test_no_element_is_created_with_a_part_that_would_be_unassigned():
    error = refused(user(), op("add", 'photos[value eq ""].type', "x"), dialect=LENIENT)
    assert outcome(error) == (400, "noTarget")


@pytest.mark.requirement("M-064")
@BOTH
def test_removing_what_is_not_there_succeeds(dialect: Dialect):
    for path in (
        "title",
        "name.givenName",
        'emails[type eq "fax"]',
        'ims[type eq "x"].value',
        ENTERPRISE_URN,
        f"{ENTERPRISE_URN}:manager",
    ):
        assert patched(stored(user(emails=[WORK])), op("remove", path), dialect=dialect) == stored(user(emails=[WORK]))


@pytest.mark.requirement("M-066")
@pytest.mark.parametrize(
    "listed, emails",
    [
        ([{"value": "H@x"}], [WORK]),
        ([{"value": "h@x", "type": "home", "primary": False}], [WORK]),
        ([{"value": "h@x", "type": "work"}], [WORK, HOME]),
        ({"type": "home"}, [WORK]),
        ("h@x", [WORK]),
        ([], [WORK, HOME]),
    ],
)
def test_a_lenient_removal_with_a_list_removes_those_values(listed: object, emails: list[object]):
    before = user(emails=[WORK, HOME])
    notes = Notes()
    assert patched(stored(before), op("Remove", "emails", listed), dialect=LENIENT, notes=notes)["emails"] == emails
    assert "listed-removal" in notes.rewrites
    assert outcome(refused(before, op("remove", "emails", listed))) == (400, "invalidSyntax")


CHIP = {"maker": "M", "keys": ["a", "b"]}


@pytest.mark.parametrize(
    "operation, keys",
    [
        (op("add", "chip.keys", ["B", "c"]), ["a", "b", "c"]),
        (op("add", "chip", {"keys": ["c", "C", "c", "a"]}), ["a", "b", "c"]),
        (op("add", None, {"chip": {"keys": ["c"]}}), ["a", "b", "c"]),
        (op("add", "chip.keys", []), ["a", "b"]),
        (op("replace", "chip.keys", ["c"]), ["c"]),
        (op("remove", "chip.keys"), None),
    ],
)
@BOTH
def test_a_part_with_several_values_is_added_to_like_any_list(
    operation: dict[str, object], keys: list[str] | None, dialect: Dialect
):
    chip = patched(stored(badge(chip=CHIP)), operation, dialect=dialect)["chip"]
    assert chip == ({"maker": "M"} if keys is None else {"maker": "M", "keys": keys})


@pytest.mark.parametrize("listed, keys", [(["A"], ["b"]), ("b", ["a"]), ([], ["a", "b"]), (["z"], ["a", "b"])])
def test_a_listed_removal_from_a_part_with_several_values_removes_those(listed: object, keys: list[str]):
    before, operation = stored(badge(chip=CHIP)), op("remove", "chip.keys", listed)
    assert patched(before, operation, dialect=LENIENT)["chip"] == {"maker": "M", "keys": keys}
    assert outcome(refused(badge(chip=CHIP), operation)) == (400, "invalidSyntax")


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "pin", "1234"),
        op("replace", "chip.secret", "s"),
        op("add", "vault", {"code": 7}),
        op("replace", "vault.code", 7),
        op("replace", "vault.value", "s"),
        op("add", None, {"vault": {"value": "s"}}),
    ],
)
@BOTH
def test_what_is_never_returned_is_not_kept_and_that_is_told(operation: dict[str, object], dialect: Dialect):
    before, notes = stored(badge(chip={"maker": "M"})), Notes()
    assert patched(before, operation, dialect=dialect, notes=notes) == before
    assert notes.rewrites == [PASSWORD_NOT_KEPT]


@BOTH
def test_of_what_is_never_returned_a_refusal_quotes_nothing(dialect: Dialect):
    error = refused(badge(), op("replace", "vault.code", "hidden"), dialect=dialect)
    assert outcome(error) == (400, "invalidValue")
    assert "hidden" not in error.detail


RACK = {"value": ["a", "b"], "type": "t", "label": "one"}


@pytest.mark.parametrize(
    "operation, racks",
    [
        (op("add", "racks", [{"value": ["A", "b"], "type": "T", "label": "two"}]), [{**RACK, "label": "two"}]),
        (op("add", "racks", [{"value": ["a"], "type": "t"}]), [RACK, {"value": ["a"], "type": "t"}]),
        (op("add", "racks", [{"label": "one"}]), [RACK, {"label": "one"}]),
        (op("add", 'racks[type eq "t"].value', ["c"]), [{**RACK, "value": ["a", "b", "c"]}]),
        (op("add", 'racks[type eq "t"]', {"value": ["B", "c"]}), [{**RACK, "value": ["a", "b", "c"]}]),
        (op("replace", 'racks[type eq "t"].value', ["c"]), [{**RACK, "value": ["c"]}]),
    ],
)
@BOTH
def test_an_element_is_told_by_all_the_values_of_its_value(operation: dict[str, object], racks: list[object], dialect: Dialect):
    assert patched(stored(badge(racks=[RACK])), operation, dialect=dialect)["racks"] == racks


def test_a_listed_removal_reaches_into_the_elements_that_a_filter_chose():
    operation = op("remove", 'racks[type eq "t"].value', ["a"])
    before = stored(badge(racks=[RACK, {"value": ["a"], "type": "u"}]))
    assert patched(before, operation, dialect=LENIENT)["racks"] == [{**RACK, "value": ["b"]}, {"value": ["a"], "type": "u"}]


# --------------------------------------------------------------------------- what is refused

REFUSED = [
    ("M-004", op("move", "title", "x"), "invalidSyntax"),
    ("M-004", {"path": "title", "value": "x"}, "invalidSyntax"),
    ("M-004", {"op": 7, "path": "title", "value": "x"}, "invalidSyntax"),
    ("M-004", "remove", "invalidSyntax"),
    ("M-022", op("replace", "emails[", "x"), "invalidPath"),
    ("M-022", op("replace", "a..b", "x"), "invalidPath"),
    ("M-022", op("replace", "a.b.c", "x"), "invalidPath"),
    ("M-022", {"op": "replace", "path": 7, "value": "x"}, "invalidPath"),
    ("M-023", op("replace", "foo", "x"), "invalidPath"),
    ("M-023", op("remove", "foo"), "invalidPath"),
    ("M-023", op("replace", "emails.foo", "x"), "invalidPath"),
    ("M-023", op("replace", 'emails[type eq "work"].foo', "x"), "invalidPath"),
    ("M-023", op("replace", f"{ENTERPRISE_URN}:foo", "x"), "invalidPath"),
    ("A-017", op("replace", "userName.x", "x"), "invalidPath"),
    ("M-024", op("replace", 'emails[type xx "work"]', {"value": "x"}), "invalidFilter"),
    ("M-024", op("replace", 'emails[foo eq "work"]', {"value": "x"}), "invalidFilter"),
    ("M-028", op("replace", 'name[familyName eq "x"]', {"givenName": "y"}), "invalidPath"),
    ("M-028", op("remove", 'title[value eq "x"]'), "invalidPath"),
    ("M-040", op("replace", "groups", []), "mutability"),
    ("M-040", op("add", "groups", [{"value": "g1"}]), "mutability"),
    ("M-040", op("remove", 'groups[value eq "g1"]'), "mutability"),
    ("M-040", op("replace", "id", "other"), "mutability"),
    ("M-040", op("remove", "id"), "mutability"),
    ("M-040", op("replace", "meta.created", "2020-01-01T00:00:00Z"), "mutability"),
    ("M-040", op("replace", f"{ENTERPRISE_URN}:manager.displayName", "x"), "mutability"),
    ("M-042", op("replace", "active", "maybe"), "invalidValue"),
    ("M-042", op("replace", "active", 0), "invalidValue"),
    ("M-042", op("replace", "title", {"x": 1}), "invalidValue"),
    ("M-042", op("replace", "emails", [["a"]]), "invalidValue"),
    ("M-042", op("replace", None, {"active": "maybe"}), "invalidValue"),
    ("M-042", op("replace", 'emails[type eq "work"].primary', "maybe"), "invalidValue"),
    ("M-043", op("add", "title"), "invalidValue"),
    ("M-043", op("replace", "title"), "invalidValue"),
    ("M-043", op("add"), "invalidValue"),
    ("M-050", op("add", None, "x"), "invalidValue"),
    ("M-045", op("replace", "schemas", []), "invalidValue"),
    ("M-045", op("replace", "schemas", [ENTERPRISE_URN]), "invalidValue"),
    ("M-045", op("replace", "schemas", None), "invalidValue"),
    ("M-045", op("add", "schemas", [7]), "invalidValue"),
    ("M-045", op("remove", "schemas"), "mutability"),
    ("M-045", op("remove", f'schemas[value eq "{USER_URN}"]'), "mutability"),
    ("M-060", op("remove"), "noTarget"),
    ("M-060", op("remove", ""), "noTarget"),
    ("M-067", op("remove", None, {"title": "x"}), "noTarget"),
    ("M-065", op("remove", "userName"), "mutability"),
    ("W-007", op("replace", "userName", None), "invalidValue"),
    ("W-007", op("replace", "userName", ""), "invalidValue"),
    ("A-003", op("add", None, {"title": "a", "TITLE": "b"}), "invalidSyntax"),
    ("A-003", op("add", "name", {"givenName": "a", "GIVENNAME": "b"}), "invalidSyntax"),
]


@pytest.mark.requirement("M-005", *sorted({row for row, _, _ in REFUSED}))
@BOTH
@pytest.mark.parametrize("row, operation, keyword", REFUSED)
def test_a_wrong_operation_is_refused_with_its_keyword(row: str, operation: object, keyword: str, dialect: Dialect):
    error = refused(user(title="T", emails=[WORK]), op("replace", "title", "x"), operation, dialect=dialect)
    assert outcome(error) == (400, keyword)
    assert error.detail.startswith("Operation 2: ")


@pytest.mark.requirement("M-005")
@BOTH
def test_there_are_no_array_indexes(dialect: Dialect):
    error = refused(user(emails=[WORK]), op("replace", "emails[0]", HOME), dialect=dialect)
    assert error.scim_type in ("invalidPath", "invalidFilter")


@pytest.mark.requirement("P-010", "M-029")
@pytest.mark.parametrize(
    "value", [{"foo": 1}, {"name.givenName": "K"}, {f"{ENTERPRISE_URN}:department": "D"}, {"department": "D"}, {"no path": 1}]
)
def test_strict_values_have_plain_names_only(value: dict[str, object]):
    assert outcome(refused(user(), op("replace", None, value))) == (400, "invalidSyntax")


@pytest.mark.requirement("M-040", "IDP-12")
def test_a_value_may_name_the_id_that_is_there():
    assert patched(stored(user()), op("replace", None, {"id": "u1", "title": "T"}))["title"] == "T"
    assert patched(stored(user()), op("replace", "id", "u1")) == stored(user())
    assert outcome(refused(user(), op("replace", None, {"id": "other", "title": "T"}))) == (400, "mutability")


@pytest.mark.requirement("C-006")
def test_a_lenient_path_into_a_schema_that_nobody_knows_is_dropped_and_named():
    notes = Notes()
    operations = [
        op("Add", "urn:acme:2.0:User:badge", "7"),
        op("Replace", "title", "T"),
        op("add", None, {"foo": 1, "urn:x:y": {}}),
    ]
    assert patched(stored(user()), *operations, dialect=LENIENT, notes=notes) == stored(user(title="T"))
    assert notes.dropped == ["urn:acme:2.0:User:badge", "foo", "urn:x:y"]
    assert notes.unmapped == {"urn:acme:2.0:User:badge": "7", "foo": 1, "urn:x:y": {}}
    assert outcome(refused(user(), operations[0] | {"op": "add"})) == (400, "invalidPath")


@pytest.mark.requirement("M-029", "IDP-06")
def test_lenient_keys_may_be_paths():
    value = {
        "displayName": "Ines",
        "name.givenName": "Ines",
        f"{ENTERPRISE_URN}:employeeNumber": "77120",
        'emails[type eq "work"].value': "i@x",
        "department": "D",
        USER_URN: {"title": "Bosun"},
    }
    assert patched(stored(user()), op("replace", None, value), dialect=LENIENT) == stored(
        user(
            displayName="Ines",
            title="Bosun",
            name={"givenName": "Ines"},
            emails=[{"type": "work", "value": "i@x"}],
            **enterprise(employeeNumber="77120", department="D"),
        )
    )
    assert outcome(refused(user(), op("replace", None, {"emails[type": "x"}), dialect=LENIENT)) == (400, "invalidPath")


def test_a_short_name_of_two_schemas_is_refused():
    error = refused(badge(), op("add", "room", "7"), dialect=LENIENT)
    assert outcome(error) == (400, "invalidPath")
    assert SEAT_URN in error.detail


@pytest.mark.requirement("M-045")
@BOTH
@pytest.mark.parametrize(
    "operation",
    [
        op("add", "schemas", [ENTERPRISE_URN]),
        op("replace", "schemas", [USER_URN, ENTERPRISE_URN]),
        op("replace", None, {"schemas": [USER_URN]}),
        op("remove", f'schemas[value eq "{ENTERPRISE_URN}"]'),
    ],
)
def test_schemas_are_computed_whatever_is_sent(operation: dict[str, object], dialect: Dialect):
    notes = Notes()
    wanted = parsed(operation, dialect=dialect, notes=notes)
    assert not wanted.touches_document
    assert notes.rewrites == ["schemas-computed"]


@pytest.mark.requirement("A-026", "U-009")
@BOTH
def test_a_password_is_checked_and_forgotten(dialect: Dialect):
    notes = Notes()
    wanted = parsed(op("replace", None, {"password": "s3cret"}), op("remove", "password"), dialect=dialect, notes=notes)
    assert not wanted.touches_document
    assert notes.rewrites == ["password-not-kept"]
    with pytest.raises(ScimError) as caught:
        parsed(op("replace", "password", ["s3cret", "x"]), dialect=dialect)
    assert "s3cret" not in caught.value.detail


@pytest.mark.requirement("M-041")
@pytest.mark.parametrize(
    "before, operation",
    [
        (badge(serial="S"), op("replace", "serial", "T")),
        (badge(serial="S"), op("add", "serial", "T")),
        (badge(serial="S"), op("remove", "serial")),
        (badge(**{SEAT_URN: {"lock": "L"}}), op("remove", SEAT_URN)),
        (badge(**{SEAT_URN: {"lock": "L"}}), op("replace", SEAT_URN, None)),
        (badge(**{SEAT_URN: {"lock": "L"}}), op("add", None, {SEAT_URN: None})),
        (badge(chip={"maker": "M", "id": "1"}), op("replace", "chip", {"id": "2"})),
        (badge(chip={"maker": "M", "id": "1"}), op("remove", "chip.id")),
        (badge(marks=[{"value": "a", "display": "A"}]), op("replace", 'marks[value eq "a"].display', "B")),
        (badge(marks=[{"value": "a", "display": "A"}]), op("replace", 'marks[value eq "a"]', {"value": "a", "display": "B"})),
    ],
)
@BOTH
def test_an_immutable_value_cannot_be_changed(before: dict[str, object], operation: dict[str, object], dialect: Dialect):
    assert outcome(refused(before, operation, dialect=dialect)) == (400, "mutability")


@pytest.mark.requirement("M-041", "M-074")
@BOTH
def test_an_immutable_value_can_be_set_once_and_goes_on_in_a_replaced_record(dialect: Dialect):
    assert patched(stored(badge()), op("add", "serial", "S"), dialect=dialect) == stored(badge(serial="S"))
    before = stored(badge(marks=[{"value": "a", "display": "A", "type": "t"}]))
    after = patched(before, op("replace", 'marks[value eq "a"]', {"value": "b"}), dialect=dialect)
    assert after["marks"] == [{"display": "A", "value": "b"}]


@pytest.mark.requirement("C-023", "M-065")
@BOTH
@pytest.mark.parametrize(
    "operation, keyword",
    [
        (op("remove", "number"), "mutability"),
        (op("remove", "doors"), "mutability"),
        (op("remove", 'doors[door eq "north"]'), "mutability"),
        (op("remove", 'doors[door eq "north"].door'), "mutability"),
        (op("replace", "doors", []), "invalidValue"),
        (op("add", "doors", [{"hours": "9-17"}]), "invalidValue"),
        (op("add", "chip", {"keys": ["k"]}), "invalidValue"),
        (op("remove", OFFICE_URN), "mutability"),
        (op("remove", f"{OFFICE_URN}:floor"), "mutability"),
    ],
)
def test_what_is_required_stays(operation: dict[str, object], keyword: str, dialect: Dialect):
    assert outcome(refused(badge(), operation, dialect=dialect)) == (400, keyword)


def test_the_last_of_a_required_list_cannot_be_listed_for_removal():
    assert outcome(refused(badge(), op("remove", "doors", [{"door": "north"}]), dialect=LENIENT)) == (400, "mutability")
    two = stored(badge(doors=[{"door": "north"}, {"door": "south"}]))
    assert patched(two, op("remove", "doors", [{"door": "North"}]), dialect=LENIENT)["doors"] == [{"door": "south"}]


@pytest.mark.requirement("M-079")
@pytest.mark.parametrize(
    "operations",
    [
        [op("add", "emails", [{"value": f"new{number}"}]) for number in range(600)],
        [op("replace", f'emails[value eq "{number}"].type', "x") for number in range(600)],
        [op("remove", "emails[" + " or ".join(f'value eq "{number}"' for number in range(100, 600)) + "]")],
        [op("remove", "emails", [{"value": f"x{number}"} for number in range(600)])],
    ],
    ids=["many additions", "many paths", "a long filter", "a long list"],
)
def test_the_effort_of_a_message_is_limited(operations: list[object]):
    few = stored(user(emails=[{"value": str(number)} for number in range(10)]))
    patched(few, *operations, dialect=LENIENT)
    many = stored(user(emails=[{"value": str(number)} for number in range(1000)]))
    with pytest.raises(ScimError) as caught:
        patched(many, *operations, dialect=LENIENT)
    assert caught.value.status == 413
    assert "500000 comparisons" in caught.value.detail


@pytest.mark.requirement("M-079")
@pytest.mark.parametrize(
    "operations",
    [
        [op("add", "chip.keys", [f"new{number}"]) for number in range(600)],
        [op("remove", "chip.keys", [f"x{number}" for number in range(600)])],
    ],
    ids=["many additions", "a long list"],
)
def test_the_effort_on_the_values_of_a_part_is_limited_as_well(operations: list[object]):
    def of(amount: int) -> dict[str, object]:
        return stored(badge(chip={"maker": "M", "keys": [str(number) for number in range(amount)]}))

    patched(of(10), *operations, dialect=LENIENT)
    with pytest.raises(ScimError) as caught:
        patched(of(1000), *operations, dialect=LENIENT)
    assert caught.value.status == 413


@pytest.mark.requirement("M-079")
def test_the_number_of_operations_is_limited():
    operations = [op("remove", "title")] * (patch.MAX_OPERATIONS + 1)
    with pytest.raises(ScimError) as caught:
        parsed(*operations)
    assert outcome(caught.value) == (413, None)
    assert str(patch.MAX_OPERATIONS) in caught.value.detail


@BOTH
@pytest.mark.parametrize(
    "body", [None, "x", [], {}, {"schemas": [patch.PATCH_URN]}, {"schemas": [patch.PATCH_URN], "Operations": "x"}]
)
def test_a_broken_envelope_is_refused(body: object, dialect: Dialect):
    with pytest.raises(ScimError) as caught:
        patch.parse_patch(body, USER, dialect, Notes(), "u1")
    assert outcome(caught.value) == (400, "invalidSyntax")


# --------------------------------------------------------------------------- externalId and members


@pytest.mark.parametrize(
    "operations, wanted",
    [
        ([op("replace", "externalId", "e")], ExternalIdEdit("e")),
        ([op("add", None, {"externalId": "e"})], ExternalIdEdit("e")),
        ([op("remove", "externalId")], ExternalIdEdit(None)),
        ([op("replace", "externalId", None)], ExternalIdEdit(None)),
        ([op("remove", "externalId"), op("add", "externalId", "f")], ExternalIdEdit("f")),
        ([op("add", "title", "T")], None),
    ],
)
def test_the_external_id_is_given_apart(operations: list[object], wanted: ExternalIdEdit | None):
    assert parsed(*operations).external_id == wanted


IDS = [{"value": "u1"}, {"value": "u2"}]


@pytest.mark.requirement("M-051", "M-061", "M-071", "M-077")
@BOTH
@pytest.mark.parametrize(
    "operations, wanted",
    [
        ([op("add", "members", IDS)], MemberOperations(add=("u1", "u2"))),
        ([op("add", None, {"members": IDS})], MemberOperations(add=("u1", "u2"))),
        ([op("add", f"{GROUP_URN}:members", IDS)], MemberOperations(add=("u1", "u2"))),
        (
            [op("add", "members", [{"value": "u1", "display": "K", "type": "User", "$ref": None}])],
            MemberOperations(add=("u1",)),
        ),
        ([op("replace", "members", IDS)], MemberOperations(True, add=("u1", "u2"))),
        ([op("replace", "members", [])], MemberOperations(True)),
        ([op("replace", "members", None)], MemberOperations(True)),
        ([op("remove", "members")], MemberOperations(True)),
        ([op("remove", "members", None)], MemberOperations(True)),
        ([op("remove", 'members[value eq "u1"]')], MemberOperations(remove=("u1",))),
        ([op("remove", 'members[value eq"u1"]')], MemberOperations(remove=("u1",))),
        ([op("remove", 'members[VALUE EQ "u1" or (value eq "u2" or value eq "u1")]')], MemberOperations(remove=("u1", "u2"))),
        ([op("remove", 'members[value eq "u1"]', IDS)], MemberOperations(remove=("u1",))),
        ([op("remove", 'members[value eq "u1"]'), op("add", "members", [{"value": "u1"}])], MemberOperations(add=("u1",))),
        ([op("add", "members", IDS), op("remove", 'members[value eq "u1"]')], MemberOperations(add=("u2",), remove=("u1",))),
        ([op("add", "members", IDS), op("remove", "members")], MemberOperations(True)),
        ([op("replace", "members", IDS), op("remove", 'members[value eq "u1"]')], MemberOperations(True, add=("u2",))),
        ([op("remove", "members"), op("add", "members", IDS)], MemberOperations(True, add=("u1", "u2"))),
        ([op("add", "members", [])], MemberOperations()),
        # One object in place of a list of one, as for every other multi-valued attribute
        ([op("add", "members", {"value": "u1"})], MemberOperations(add=("u1",))),
        ([op("replace", None, {"members": {"value": "u1"}})], MemberOperations(True, add=("u1",))),
        ([op("replace", "displayName", "x")], None),
    ],
)
def test_operations_on_members_come_to_ids(operations: list[object], wanted: MemberOperations | None, dialect: Dialect):
    found = parsed(*operations, kind=GROUP, dialect=dialect)
    assert found.member_edit == wanted
    assert found.touches_document == (wanted is None)


@pytest.mark.requirement("M-066", "M-078", "IDP-03", "IDP-04")
@pytest.mark.parametrize(
    "operation, wanted",
    [
        (op("Remove", "members", [{"$ref": None, "value": "u1"}]), MemberOperations(remove=("u1",))),
        (op("remove", "members", {"value": "u1"}), MemberOperations(remove=("u1",))),
        (op("remove", "members", "u1"), MemberOperations(remove=("u1",))),
        (op("remove", "members", []), MemberOperations()),
        (op("remove", "members", {"members": [{"value": "u1"}]}), MemberOperations(remove=("u1",))),
        (op("add", "members", {"members": IDS}), MemberOperations(add=("u1", "u2"))),
        (op("replace", "members", "u1"), MemberOperations(True, add=("u1",))),
        (op("add", "members", [None, {"value": "u1"}]), MemberOperations(add=("u1",))),
        (op("replace", "members", {}), MemberOperations(True)),
    ],
)
def test_odd_operations_on_members_are_understood_when_lenient(operation: dict[str, object], wanted: MemberOperations):
    assert parsed(operation, kind=GROUP, dialect=LENIENT).member_edit == wanted


@pytest.mark.requirement("M-066")
@pytest.mark.parametrize("value", [[{"value": "u1"}], [], {"value": "u1"}])
def test_a_strict_removal_with_a_value_never_clears_a_group(value: object):
    with pytest.raises(ScimError) as caught:
        parsed(op("remove", "members", value), kind=GROUP)
    assert outcome(caught.value) == (400, "invalidSyntax")


@pytest.mark.requirement("G-002", "M-040")
@BOTH
@pytest.mark.parametrize(
    "operation, keyword",
    [
        (op("replace", 'members[value eq "u1"].value', "u2"), "mutability"),
        (op("replace", 'members[value eq "u1"]', {"value": "u2"}), "mutability"),
        (op("add", 'members[value eq "u1"].display', "K"), "mutability"),
        (op("remove", 'members[value eq "u1"].display'), "mutability"),
        (op("replace", "members.value", "u2"), "mutability"),
        (op("remove", "members.display"), "mutability"),
        (op("remove", "members.mood"), "invalidPath"),
        (op("remove", 'members[display eq "K"]'), "invalidFilter"),
        (op("remove", 'members[value eq "u1" and type eq "User"]'), "invalidFilter"),
        (op("remove", 'members[not (value eq "u1")]'), "invalidFilter"),
        (op("remove", 'members[value sw "u"]'), "invalidFilter"),
        (op("remove", "members[value eq 7]"), "invalidFilter"),
        (op("add", "members", [{"display": "K"}]), "invalidValue"),
        (op("add", "members", 7), "invalidValue"),
        (op("add", "members"), "invalidValue"),
    ],
)
def test_a_wrong_operation_on_members_is_refused(operation: dict[str, object], keyword: str, dialect: Dialect):
    with pytest.raises(ScimError) as caught:
        parsed(operation, kind=GROUP, dialect=dialect)
    assert outcome(caught.value) == (400, keyword)


# --------------------------------------------------------------------------- anything at all

DOCUMENTS = {
    "User": stored(user(title="T", emails=[WORK, HOME], name={"givenName": "K"}, **enterprise(manager={"value": "u2"}))),
    "Group": stored(group()),
    "Badge": stored(
        badge(serial="S", tags=["a", "b"], marks=[{"value": "a", "primary": True}], chip={"maker": "M", "id": "1"})
    ),
}


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(DOCUMENTS)), st.sampled_from([LENIENT, STRICT]), st.lists(OPERATIONS, min_size=1, max_size=4))
def test_any_operations_make_a_sound_document_or_are_refused(name: str, dialect: Dialect, operations: list[object]):
    kind, document = CATALOG.kinds[name], DOCUMENTS[name]
    before = copy.deepcopy(document)
    try:
        wanted = parsed(*operations, kind=kind, dialect=dialect)
        after = patch.apply_patch(document, wanted, kind, dialect, Notes())
    except ScimError as refusal:
        check_refusal(refusal, opening="Operation ")
    else:
        # The result would be accepted as it is, and nothing in it is unassigned.
        again = resource.check_replace(after, kind, LENIENT, Notes(), after).document
        assert repr(again) == repr(after)
        assert diff.changed_paths(after, again, kind) == {}
    assert document == before


@given(st.sampled_from(sorted(DOCUMENTS)), st.sampled_from([LENIENT, STRICT]), ANY_JSON)
def test_any_message_is_read_or_refused(name: str, dialect: Dialect, message: object):
    try:
        patch.parse_patch(message, CATALOG.kinds[name], dialect, Notes(), "u1")
    except ScimError as refusal:
        check_refusal(refusal)
