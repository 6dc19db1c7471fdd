"""Single places of a resource: read, written, renewed."""

from typing import Any

import pytest

from scimhub.scim import slots
from scimhub.scim.catalog import ENTERPRISE_URN, standard_catalog
from scimhub.scim.errors import ScimError

USER = standard_catalog().kinds["User"]
WHOLE: dict[str, Any] = {
    "userName": "ines",
    "name": {"givenName": "Ines", "familyName": "Okoro"},
    "emails": [{"value": "w@x", "type": "Work", "primary": True}, {"value": "h@x", "type": "home", "display": "H"}],
    "addresses": [{"type": "work", "locality": "Ulm", "country": "DE"}],
    ENTERPRISE_URN: {"department": "Sales", "manager": {"value": "m1"}},
}
WORK = 'emails[type eq "work"].value'


@pytest.mark.parametrize(
    "path, expected",
    [
        ("username", "ines"),
        ("name.givenName", "Ines"),
        ("name.middleName", None),
        (WORK, "w@x"),
        ('emails[type eq "other"]', None),
        ("emails.value", ["w@x", "h@x"]),
        (f"{ENTERPRISE_URN}:department", "Sales"),
        ("manager.value", "m1"),
        ("roles.value", None),
    ],
)
def test_a_slot_is_read(path: str, expected: object):
    assert slots.read(slots.parse_slot(path, USER), WHOLE) == expected


@pytest.mark.parametrize(
    "path, value, changed",
    [
        ("userName", "kim", {"userName": "kim"}),
        ("name.givenName", None, {"name": {"familyName": "Okoro"}}),
        (WORK, "new@x", {"emails": [{"value": "new@x", "type": "Work", "primary": True}, WHOLE["emails"][1]]}),
        (WORK, None, {"emails": [WHOLE["emails"][1]]}),
        ('addresses[type eq "work"].locality', None, {"addresses": [{"type": "work", "country": "DE"}]}),
        ('emails[type eq "other"].value', "o@x", {"emails": [*WHOLE["emails"], {"value": "o@x", "type": "other"}]}),
        ("emails.value", "only@x", {"emails": [{"value": "only@x"}]}),
        ("department", None, {ENTERPRISE_URN: {"manager": {"value": "m1"}}}),
        ("manager.userName", "boss", {ENTERPRISE_URN: {"department": "Sales", "manager": {"value": "m1"}}}),
    ],
)
def test_a_slot_is_renewed_and_the_rest_stays(path: str, value: object, changed: dict[str, object]):
    slot = slots.parse_slot(path, USER)
    body: dict[str, object] = {}
    if slot.names_reference:
        # Whoever writes has found the id by then.
        body = {ENTERPRISE_URN: {"manager": {"value": "m1"}}}
    elif value is not None:
        slots.write(slot, body, value)
    assert slots.overlay(WHOLE, body, [slot]) == {**WHOLE, **changed}


def test_the_last_value_takes_its_holders_with_it():
    document: dict[str, object] = {ENTERPRISE_URN: {"department": "Sales"}, "name": {"givenName": "Ines"}}
    slots.write(slots.parse_slot("department", USER), document, None)
    slots.write(slots.parse_slot("name.givenName", USER), document, None)
    assert document == {}


@pytest.mark.parametrize(
    "path",
    ["", "x", "name.x", "id", "groups", 'name[type eq "work"].givenName', 'emails[value eq "x"].value', "userName.userName"],
)
def test_what_is_no_slot_is_refused(path: str):
    with pytest.raises(ScimError) as refused:
        slots.parse_slot(path, USER)
    assert refused.value.scim_type == "invalidPath"
