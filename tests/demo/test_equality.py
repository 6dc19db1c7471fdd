"""Each way in which a copy can differ from the hub is named, and no other."""

from dataclasses import replace

from scimhub.demo import equality
from scimhub.demo.equality import State

INES = State("User", "1", "ines", 3, {"userName": "ines", "title": "Purser"}, frozenset())
TOVE = State("User", "2", "tove", 1, {"userName": "tove"}, frozenset())
CREW = State("Group", "3", "Crew", 7, {"displayName": "Crew"}, frozenset({"1"}))
HUB = {state.id: state for state in (INES, TOVE, CREW)}


def differences_with(*changed: State) -> list[str]:
    return equality.differences(HUB, HUB | {state.id: state for state in changed})


def test_two_that_hold_the_same_are_equal():
    assert equality.differences(HUB, dict(HUB)) == []


def test_a_missing_resource_is_named():
    assert equality.differences(HUB, {"1": INES, "3": CREW}) == ["User tove is missing."]


def test_a_resource_too_many_is_named():
    assert differences_with(State("Group", "9", "", 1, {}, frozenset())) == ["Group 9 is there, and the hub has it not."]


def test_another_version_is_named():
    assert differences_with(replace(INES, version=2)) == ["User ines has version 2; the hub has 3."]


def test_another_value_a_missing_and_an_additional_attribute_are_named():
    assert differences_with(replace(INES, document={"userName": "inez", "locale": "en"})) == [
        "User ines: locale is 'en'; the hub has None.",
        "User ines: title is None; the hub has 'Purser'.",
        "User ines: userName is 'inez'; the hub has 'ines'.",
    ]


def test_other_members_are_named():
    assert differences_with(replace(CREW, members=frozenset({"2", "9"}))) == [
        "Group Crew lacks the member ines.",
        "Group Crew has the member tove, whom the hub has not in it.",
        "Group Crew has the member 9, whom the hub has not in it.",
    ]
