"""The table of deviations is complete, and its rules mend values as they say."""

import json
import os
from pathlib import Path

import pytest

from scimhub.scim import dialects, patch
from scimhub.scim.catalog import USER_URN
from scimhub.scim.dialects import LENIENT, RULES, STRICT
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from tests.scim.samples import BADGE, USER, created, enterprise, parsed, patched, stored, user

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def test_lenient_has_every_rule_and_strict_has_none():
    assert LENIENT.rules == set(RULES)
    assert STRICT.rules == frozenset()
    assert dialects.find("lenient") is LENIENT
    assert dialects.find("strict") is STRICT
    assert dialects.find("unheard-of") is None
    assert LENIENT.is_lenient
    assert not STRICT.is_lenient


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_names_its_vendor_and_its_evidence(name: str):
    rule = RULES[name]
    assert rule.description.endswith(".")
    assert rule.vendor
    assert rule.vector


@pytest.mark.skipif("SCIMHUB_VECTORS" not in os.environ, reason="the vectors' folder is not given in SCIMHUB_VECTORS")
def test_every_vector_that_a_rule_names_exists():
    folder = Path(os.environ["SCIMHUB_VECTORS"])
    named = [rule.vector for rule in RULES.values() if rule.vector[:2] not in {"A-", "E-", "M-"}]
    assert [vector for vector in named if not (folder / f"{vector}.json").exists()] == []


def test_source_code_uses_every_rule():
    folder = Path(dialects.__file__).parent
    source = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    assert [name for name in RULES if source.count(json.dumps(name)) < 2] == []


@pytest.mark.parametrize(
    "name, value, meant, rule",
    [
        ("lost", "True", True, "string-boolean"),
        ("lost", "fAlSe", False, "string-boolean"),
        ("lost", "", None, "empty-unassigned"),
        ("lost", ["True"], "True", "list-for-single"),
        ("number", 4711, "4711", "number-for-string"),
        ("number", [], None, "empty-unassigned"),
        ("number", {}, None, "empty-unassigned"),
        ("number", ["x"], "x", "list-for-single"),
        ("home", "", None, "empty-unassigned"),
        ("expires", "", None, "empty-unassigned"),
        ("chip", "", None, "empty-unassigned"),
        ("marks", "a", ["a"], "object-for-list"),
        ("marks", {"value": "a"}, [{"value": "a"}], "object-for-list"),
        ("marks", "", None, "empty-unassigned"),
    ],
)
def test_a_value_that_does_not_fit_is_mended(name: str, value: object, meant: object, rule: str):
    attribute = BADGE.find(name)
    assert attribute is not None
    assert dialects.mend(attribute, value, LENIENT) == (meant, rule)
    assert dialects.mend(attribute, value, STRICT) is None


@pytest.mark.parametrize(
    "name, value",
    [
        ("lost", "yes"),
        ("lost", 1),
        ("number", ""),
        ("number", "x"),
        ("number", True),
        ("number", 1.5),
        ("number", {"value": "x"}),
        ("number", ["x", "y"]),
        ("number", [["x"]]),
        ("level", "7"),
        ("chip", "x"),
        ("marks", [{"value": "a"}]),
    ],
)
def test_what_no_rule_knows_is_left_to_the_check(name: str, value: object):
    attribute = BADGE.find(name)
    assert attribute is not None
    assert dialects.mend(attribute, value, LENIENT) is None


@pytest.mark.parametrize(
    "body, kept, rules",
    [
        (user(active="True"), {"active": True}, ["string-boolean"]),
        (user(title=7), {"title": "7"}, ["number-for-string"]),
        (user(emails="a@x"), {"emails": [{"value": "a@x"}]}, ["object-for-list", "text-for-object"]),
        (user(emails=["a@x", None]), {"emails": [{"value": "a@x"}]}, ["text-for-object", "null-element"]),
        (user(emails={"value": "a@x"}), {"emails": [{"value": "a@x"}]}, ["object-for-list"]),
        (user(profileUrl=""), {}, ["empty-unassigned"]),
        (user(name=[{"givenName": "K"}]), {"name": {"givenName": "K"}}, ["list-for-single"]),
        (user(department="Pilots"), enterprise(department="Pilots"), ["short-name"]),
        (user(manager="u2"), enterprise(manager={"value": "u2"}), ["short-name", "text-for-object"]),
        (user(**{"name.givenName": "K"}), {"name": {"givenName": "K"}}, ["key-as-path"]),
        (
            user(**{USER_URN: {"title": "x", "name.givenName": "K"}}),
            {"title": "x", "name": {"givenName": "K"}},
            ["key-as-path"] * 2,
        ),
        (enterprise(manager=["u2"]) | user(), enterprise(manager={"value": "u2"}), ["list-for-single", "text-for-object"]),
        (enterprise(manager={"value": "u2", "displayName": "x"}) | user(), enterprise(manager={"value": "u2"}), []),
        (enterprise(manager={"value": ""}) | user(), {}, ["empty-unassigned"]),
        (user(password="s3cret"), {}, ["password-not-kept"]),
    ],
)
def test_a_deviation_in_a_body_is_rewritten_and_named(body: dict[str, object], kept: dict[str, object], rules: list[str]):
    notes = Notes()
    document = created(body, LENIENT, notes)
    assert document == {"userName": "kim@x.example", "active": True, **kept}
    assert notes.rewrites == rules


@pytest.mark.parametrize(
    "operation, rule",
    [
        ({"op": "Replace", "path": "title", "value": "x"}, "operation-case"),
        ({"OP": "replace", "path": "title", "value": "x"}, "message-key-case"),
        ({"op": "replace", "path": "", "value": {"title": "x"}}, "path-empty"),
        ({"op": "replace", "path": "title", "value": {"title": "x"}}, "value-repeats-name"),
        ({"op": "replace", "value": {"title": "x", "id": "other"}}, "read-only-ignored"),
        ({"op": "replace", "path": "title", "value": [{"$ref": None, "value": "x"}]}, "wrapped-value"),
    ],
)
def test_a_deviation_in_a_patch_is_rewritten_and_named(operation: dict[str, object], rule: str):
    notes = Notes()
    assert patched(stored(user()), operation, dialect=LENIENT, notes=notes)["title"] == "x"
    assert notes.rewrites == [rule]


def test_schemas_beside_other_attributes_of_a_patch_are_inferred_as_those_of_a_body():
    notes = Notes()
    operation = {"op": "replace", "value": {"schemas": ["urn:acme:2.0:User"], "title": "x"}}
    assert patched(stored(user()), operation, dialect=LENIENT, notes=notes)["title"] == "x"
    assert notes.rewrites == ["schemas-unknown", "schemas-missing", "schemas-computed"]
    with pytest.raises(ScimError) as caught:
        patched(stored(user()), operation)
    assert caught.value.scim_type == "invalidValue"


@pytest.mark.requirement("M-002", "M-003", "IDP-16")
@pytest.mark.parametrize(
    "message, rules",
    [
        ({"Operations": []}, ["schemas-missing", "operations-empty"]),
        ({"schemas": PATCH_URN, "operations": []}, ["message-key-case", "object-for-list", "operations-empty"]),
        ({"schemas": [PATCH_URN], "Operations": {"op": "remove", "path": "title"}}, ["object-for-list"]),
    ],
)
def test_a_deviating_envelope_is_read_when_lenient_and_refused_when_strict(message: dict[str, object], rules: list[str]):
    notes = Notes()
    patch.parse_patch(message, USER, LENIENT, notes, "u1")
    assert notes.rewrites == rules
    with pytest.raises(ScimError) as caught:
        patch.parse_patch(message, USER, STRICT, Notes(), "u1")
    assert caught.value.scim_type == "invalidSyntax"


def test_a_message_key_in_two_spellings_is_refused():
    with pytest.raises(ScimError) as caught:
        parsed({"op": "remove", "Op": "add", "path": "title"}, dialect=LENIENT)
    assert caught.value.scim_type == "invalidSyntax"
    assert caught.value.detail == "Operation 1: op of The operation stands twice, in two spellings; send it once."
