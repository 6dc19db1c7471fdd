import pytest

from scimhub.simulate import attributes
from scimhub.simulate.attributes import ENTERPRISE_USER

USER = {
    "userName": "ines@kestrel.example",
    "active": False,
    "name": {"givenName": "Ines"},
    "emails": [{"type": "home", "value": "h@kestrel.example"}, {"type": "work", "value": "w@kestrel.example"}],
    "phoneNumbers": "none",
    ENTERPRISE_USER: {"department": "Charts", "manager": {"value": "m1", "displayName": "Lennart Voss"}},
}

READ = [
    ("userName", "ines@kestrel.example"),
    ("active", False),
    ("name.givenName", "Ines"),
    ("name.familyName", None),
    ("title", None),
    ("userName.value", None),
    ('emails[type eq "work"].value', "w@kestrel.example"),
    ('emails[type eq "other"].value', None),
    ('phoneNumbers[type eq "work"].value', None),
    ('addresses[type eq "work"].locality', None),
    (f"{ENTERPRISE_USER}:department", "Charts"),
    (f"{ENTERPRISE_USER}:manager", "m1"),
    (f"{ENTERPRISE_USER}:costCenter", None),
    ("urn:acme:2.0:User:badge", None),
]


@pytest.mark.parametrize("path, value", READ)
def test_reading_by_path(path, value):
    assert attributes.read(USER, path) == value


WRITTEN = [
    ({}, "title", {"title": 1}),
    ({"title": 0}, "title", {"title": 1}),
    ({}, "name.givenName", {"name": {"givenName": 1}}),
    ({}, 'emails[type eq "work"].value', {"emails": [{"type": "work", "value": 1}]}),
    (
        {"emails": [{"type": "work", "primary": True}]},
        'emails[type eq "work"].value',
        {"emails": [{"type": "work", "primary": True, "value": 1}]},
    ),
    ({}, f"{ENTERPRISE_USER}:department", {ENTERPRISE_USER: {"department": 1}}),
]


@pytest.mark.parametrize("before, path, after", WRITTEN)
def test_writing_by_path_makes_what_is_missing(before, path, after):
    attributes.write(before, path, 1)
    assert before == after


def test_differences_are_the_wanted_values_that_are_not_there():
    wanted = {"userName": "ines@kestrel.example", "title": "Purser", "active": True}
    assert attributes.differences(USER, wanted) == {"title": "Purser", "active": True}
