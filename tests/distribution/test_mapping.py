"""Mappings: what each rule forms, what is told of mistakes, and what events look like behind one."""

import random
from pathlib import Path
from typing import Any

import pytest

from scimhub.distribution import mapping, rules
from scimhub.distribution.delivery import Subscription
from scimhub.scim.catalog import standard_catalog
from tests.consumer.hub import USER
from tests.distribution.outside import open_outside

CATALOG = standard_catalog()
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
KIM: dict[str, Any] = {
    "id": "7c",
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
    "userName": "kim@example.com",
    "name": {"givenName": "Kim", "familyName": "Reyes"},
    "active": True,
    "userType": "Employee",
    "emails": [
        {"value": "home@example.com", "type": "Home"},
        {"value": "kim@example.com", "type": "work", "primary": True},
    ],
    ENTERPRISE: {"department": "IT", "manager": {"value": "b0"}},
}


def mapped(rules_of_user: dict[str, Any], document: dict[str, Any] = KIM, *, keep: bool = False) -> dict[str, Any]:
    problems: list[str] = []
    bound = mapping.bind({"User": {"keep": keep, "set": rules_of_user}}, CATALOG, problems)
    assert problems == []
    before = str(document)
    seen = bound["User"].apply(document)
    assert str(document) == before  # what was given stays as it is
    return {name: value for name, value in seen.items() if name not in ("id", "schemas")} if not keep else seen


RULES: list[tuple[Any, Any]] = [
    ("userName", "kim@example.com"),
    ({"path": "name.givenName"}, "Kim"),
    ("USERNAME", "kim@example.com"),
    ("id", "7c"),
    ("title", None),
    ("active", True),
    ("emails.value", ["home@example.com", "kim@example.com"]),
    ('emails[type eq "home"].value', "home@example.com"),
    ("emails[primary eq true].value", "kim@example.com"),
    ('emails[type eq "work"]', {"value": "kim@example.com", "type": "work", "primary": True}),
    ('emails[type eq "other"].value', None),
    (f"{ENTERPRISE}:department", "IT"),
    ("department", "IT"),
    ("manager.value", "b0"),
    ({"constant": 7}, 7),
    ({"constant": None}, None),
    ({"constant": {"a": [1]}}, {"a": [1]}),
    ({"join": ["name.givenName", "name.familyName"], "with": " "}, "Kim Reyes"),
    ({"join": ["name.givenName", "name.middleName", "name.familyName"], "with": " "}, "Kim Reyes"),
    ({"join": ["userName", {"constant": "-x"}]}, "kim@example.com-x"),
    ({"join": ["title", {"constant": "-x"}]}, None),
    ({"join": ["active", {"constant": "/"}, "emails.value"]}, "true/home@example.com"),
    ({"first_of": ["title", "displayName", "userName"]}, "kim@example.com"),
    ({"first_of": ["title", {"constant": False}]}, False),
    ({"lookup": "userType", "table": {"Employee": "FTE"}}, "FTE"),
    ({"lookup": "active", "table": {"true": 1, "false": 0}}, 1),
    ({"lookup": "title", "table": {"a": "b"}, "otherwise": "userName"}, "kim@example.com"),
    ({"lookup": "userName", "table": {"a": "b"}}, None),
    ({"when": 'userType eq "employee" and active eq true', "then": {"constant": "in"}}, "in"),
    ({"when": "title pr", "then": {"constant": "in"}, "otherwise": {"constant": "out"}}, "out"),
    ({"when": 'emails[type eq "work"]', "then": "userName"}, "kim@example.com"),
    ({"object": {"first": "name.givenName", "title": "title"}}, {"first": "Kim"}),
    ({"object": {"title": "title"}}, None),
    (
        {"list": ["title", {"object": {"value": "userName", "primary": {"constant": True}}}]},
        [{"value": KIM["userName"], "primary": True}],
    ),
    ({"list": ["title"]}, None),
]


@pytest.mark.parametrize("rule, value", RULES, ids=[str(rule)[:60] for rule, _ in RULES])
def test_a_rule_forms_a_value(rule: Any, value: object):
    assert mapped({"x": rule}) == ({} if value is None else {"x": value})


def test_targets_lie_within_objects_and_extensions():
    seen = mapped({"name.formatted": "userName", f"{ENTERPRISE}:costCenter": "department", "a.b.c": "active"})
    assert seen == {
        "name": {"formatted": "kim@example.com"},
        ENTERPRISE: {"costCenter": "IT"},
        "a": {"b": {"c": True}},
    }


def test_all_else_is_kept_on_request():
    seen = mapped({"name.givenName": {"constant": "K"}, "userType": {"constant": None}, "active": "title"}, keep=True)
    expected = {**KIM, "name": {"givenName": "K", "familyName": "Reyes"}}
    assert seen == {name: value for name, value in expected.items() if name not in ("userType", "active")}
    assert mapped({"name.givenName": "title", "name.familyName": "title"}, keep=True).get("name") is None


def test_nothing_but_id_and_schemas_is_there_by_itself():
    bound = mapping.bind({"user": {}}, CATALOG, [])
    assert bound["User"].apply(KIM) == {"id": "7c", "schemas": KIM["schemas"]}


def test_differences_are_told_by_target_path():
    bound = mapping.bind(
        {"User": {"set": {"full.name": {"join": ["name.givenName", "name.familyName"]}, "on": "active"}}}, CATALOG, []
    )
    other = {**KIM, "name": {"givenName": "Kimberly", "familyName": "Reyes"}, "title": "x"}
    assert bound["User"].differences(KIM, other) == ("full.name",)
    assert bound["User"].differences(KIM, {**KIM, "title": "x"}) == ()
    assert bound["User"].differences(KIM, {**other, "active": False}) == ("full.name", "on")


MISTAKES: list[tuple[Any, str]] = [
    ({"Badge": {}}, "The mapping for 'Badge' names no resource type; there are User, Group."),
    ({"User": []}, "The mapping for User must be an object with set, paths and rules, and maybe keep."),
    ({"User": {"sets": {}}}, "The mapping for User must be an object with set"),
    ({"User": {"keep": 1}}, "The keep of the mapping for User must be true or false."),
    ({"User": {"set": []}}, "The set of the mapping for User must be an object of paths and rules."),
    ({"User": {"set": {"a b": "userName"}}}, "The mapping for User, a b: 'a b' is no path to write to;"),
    ({"User": {"set": {"meta.x": "userName"}}}, "The mapping for User, meta.x: meta is the hub's own and cannot be set."),
    ({"User": {"set": {"members": "userName"}}}, "The mapping for User, members: members is the hub's own"),
    (
        {"User": {"set": {"name": "id", "name.givenName": "id"}}},
        "The mapping for User sets name and name.givenName, which is a part of it;",
    ),
]
# Of one rule; what is said begins with where it is.
MISTAKES_OF_A_RULE: list[tuple[Any, str]] = [
    ("shoeSize", "names a path that cannot be used: 'shoeSize' is no attribute of User."),
    ("groups.value", "names a path that cannot be used: 'groups.value' is not told"),
    ("meta.lastModified", "names a path that cannot be used: 'meta.lastModified' is not"),
    ("password", "names a path that cannot be used: 'password' is not told"),
    ("emails[typ", "names a path that cannot be used: "),
    ('emails[size eq "x"].value', "names a path that cannot be used: "),
    ('emails[type eq "x"].size', "names a path that cannot be used: "),
    ({"path": 5}, "names a path that cannot be used: 5 is no path."),
    (5, "is 5; a rule is a path, or an object with one of path, constant,"),
    ({}, "must have exactly one of path, constant,"),
    ({"path": "id", "constant": 1}, "must have exactly one of path, constant,"),
    ({"path": "id", "with": ""}, "has 'with'; nothing may stand beside path."),
    ({"join": []}, "needs a list of rules."),
    ({"join": ["id"], "with": 5}, "has a with that is no short text."),
    ({"lookup": "id"}, "needs a table, an object with 1 to 2000 entries."),
    ({"object": {}}, "needs an object of names and rules."),
    ({"when": "active eq", "then": "id"}, "has a condition that cannot be used: "),
    ({"when": "meta.version pr", "then": "id"}, "has a condition that cannot be used: It asks for meta"),
    ({"when": "active eq true"}, "needs then, the rule for when the condition holds."),
    ({"constant": "x" * 20_000}, "has a constant of more than 10000 characters."),
]


_ALL = [*MISTAKES, *(({"User": {"set": {"a": rule}}}, f"The mapping for User, a: {said}") for rule, said in MISTAKES_OF_A_RULE)]


@pytest.mark.parametrize("written, said", _ALL, ids=[said[:70] for _, said in _ALL])
def test_every_mistake_is_one_sentence(written: Any, said: str):
    problems: list[str] = []
    mapping.bind(written, CATALOG, problems)
    assert [problem[: len(said)] for problem in problems] == [said]
    assert problems[0].endswith(".")


def test_all_mistakes_are_told_at_once():
    problems: list[str] = []
    mapping.bind({"User": {"set": {"a": "x y", "b": {"join": ["nobody", {"constant": 1}]}}}, "Nobody": {}}, CATALOG, problems)
    assert len(problems) == 3


def test_limits_end_what_is_too_deep_or_too_much():
    deep: Any = "id"
    for _ in range(rules.MAX_DEPTH + 2):
        deep = {"first_of": [deep]}
    for written in (deep, {"list": ["id"] * (rules.MAX_RULES + 5)}):
        problems: list[str] = []
        mapping.bind({"User": {"set": {"a": written}}}, CATALOG, problems)
        assert len(problems) == 1
        assert "nests deeper than 12, or there are more than 500 rules" in problems[0]


def test_no_document_makes_a_rule_fail():
    """Any JSON in the place of any attribute: a rule gives a value or none."""
    dice = random.Random(5)
    values = [None, "", "x", 5, True, [], {}, [1, "a", None], {"value": 1}, [{"value": "v"}], [{"type": "work"}]]
    written = {f"t{number}": rule for number, (rule, _) in enumerate(RULES)}
    bound = mapping.bind({"User": {"keep": True, "set": written}}, CATALOG, [])["User"]
    for _ in range(500):
        bound.apply({name: dice.choice(values) for name in KIM} | {"id": "7c", "schemas": []})


def test_whatever_stands_in_a_mapping_is_taken_or_refused_with_sentences():
    odd: list[Any] = [None, "", "x y", 5, True, [], [1], {}, {"a": 1}, {"path": []}, {"when": {}, "then": 1}, "active"]
    keys = ("path", "constant", "join", "first_of", "lookup", "when", "object", "list", "with", "table", "then", "otherwise")
    written = (
        [{"User": one} for one in odd]
        + [{"User": {"set": one}} for one in odd]
        + [{"User": {"set": {"a": one}}} for one in odd]
    )
    written += [{"User": {"set": {"a": {"lookup": "id", "when": "id pr", key: one}}}} for key in keys for one in odd]
    written += [{"User": {"set": {"a": {key: one}}}} for key in keys for one in odd]
    for one in written:
        problems: list[str] = []
        mapping.bind(one, CATALOG, problems)
        assert all(problem.endswith(".") for problem in problems), problems


# --------------------------------------------------------------------------- events behind a mapping

WISH = Subscription(
    mapping={
        "User": {
            "set": {
                "login": "userName",
                "fullName": {"join": ["name.givenName", "name.familyName"], "with": " "},
                "enabled": {"when": "active eq false", "then": {"constant": False}, "otherwise": {"constant": True}},
            }
        }
    }
)


async def test_events_tell_what_the_mapping_makes_and_nothing_of_what_it_leaves_out(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0, wish=WISH)
        kim = await hub.place.create("User", {"schemas": [USER], "userName": "kim", "name": KIM["name"]})
        await hub.place.set(kim, title="boss")  # nothing that is seen
        await hub.place.patch("User", kim, {"op": "replace", "path": "name.givenName", "value": "Kimberly"})
        await hub.place.set(kim, active=False)
        await hub.caught_up()
        told = [(one.type, one.data["changed"], one.data["resource"]) for one in hub.outside.arrivals]
        schemas = told[0][2]["schemas"]
        seen = {"id": kim, "schemas": schemas, "login": "kim", "fullName": "Kim Reyes", "enabled": True}
        assert told == [
            ("user.created", [], seen),
            ("user.updated", ["fullName"], {**seen, "fullName": "Kimberly Reyes"}),
            ("user.deactivated", ["enabled"], {**seen, "fullName": "Kimberly Reyes", "enabled": False}),
        ]


async def test_a_mapping_reveals_nothing_that_the_allow_list_hides(tmp_path: Path):
    wish = Subscription(attributes=("userName",), mapping={"User": {"set": {"a": "title", "b": "userName"}}})
    async with open_outside(tmp_path) as hub:
        await hub.destination(after=0, wish=wish)
        kim = await hub.place.user("kim", title="boss")
        await hub.place.set(kim, title="chief")
        await hub.caught_up()
        (one,) = hub.outside.arrivals
        assert (one.data["resource"].get("a"), one.data["resource"]["b"]) == (None, "kim")


async def test_another_mapping_is_another_version_of_the_subscription(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0, wish=WISH)
        assert (await hub.again()).subscription == WISH
        update = hub.store.update_destination
        same = await update(made.key, made.configuration, WISH, made.updated)
        other = await update(made.key, made.configuration, Subscription(), made.updated)
        assert (same.subscription_version, other.subscription_version) == (1, 2)
