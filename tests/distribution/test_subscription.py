"""Which changes a destination is told of, and as what: tables, and a property that rebuilds what was before."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimhub.directory.errors import Invalid
from scimhub.directory.records import Change
from scimhub.distribution import activation, subscription
from scimhub.distribution.delivery import Subscription
from scimhub.distribution.subscription import Interest, Notice
from scimhub.scim import diff, resource
from scimhub.scim.catalog import (
    ENTERPRISE_URN,
    GROUP_URN,
    STANDARD_TYPES,
    USER_URN,
    Catalog,
    Kind,
    build_catalog,
    standard_catalog,
    standard_schemas,
)
from scimhub.scim.schema import ResourceType, SchemaExtension, parse_schema
from tests.filter_agreement import population

BADGE_URN = population.BADGE_URN
CATALOG = population.catalog()
Json = dict[str, Any]


def interest(**wish: Any) -> Interest:
    """What the subscription of these parts wants, in the catalog with badges."""
    return subscription.bind(Subscription(**wish), CATALOG)


def kind_of(name: str) -> Kind:
    return CATALOG.kinds[name]


def user(**attributes: Any) -> Json:
    return resource.with_schemas({"userName": "kim", **attributes}, kind_of("User"))


def group(**attributes: Any) -> Json:
    return resource.with_schemas({"displayName": "Staff", **attributes}, kind_of("Group"))


def change(
    before: Json | None,
    after: Json | None,
    kind: str = "User",
    *,
    added: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
    external_id: str | None = None,
) -> Change:
    """The change that a write from the one document to the other leaves, as ``directory.resources`` writes it."""
    operation = "created" if before is None else "deleted" if after is None else "updated"
    if before is None:
        kept: Mapping[str, object] = {}
    elif after is None:
        kept = before
    else:
        kept = diff.changed_paths(before, after, kind_of(kind))
    text = None if after is None else orjson.dumps(after).decode()
    return Change(
        *(9, "c9", operation, 1, kind, "r1", 2, 1, "x1", "2026-11-23T10:00:00.000Z", text, kept, external_id, added, removed)
    )


def told(wanted: Interest, made: Change) -> str | None:
    """The type that the destination is told, with its cause when that is no write."""
    notice = wanted.assess(made)
    return None if notice is None else notice.type + ("" if notice.cause == "write" else " by scope")


def assess(wanted: Interest, made: Change) -> Notice:
    notice = wanted.assess(made)
    assert notice is not None
    return notice


# --------------------------------------------------------------------------- what happened

ALL = interest()
EVENTS = [
    (None, user(), "user.created"),
    (user(), user(title="boss"), "user.updated"),
    (user(title="boss"), None, "user.deleted"),
    (user(active=True), user(active=False), "user.deactivated"),
    (user(active=False), user(active=True), "user.activated"),
    (user(), user(active=False), "user.deactivated"),
    (user(active=False), user(), "user.activated"),
    (user(active=False, title="a"), user(active=True, title="b"), "user.activated"),
    # Who had no ``active`` was active already; yet something changed.
    (user(), user(active=True), "user.updated"),
    (user(active=True), user(title="boss"), "user.updated"),
    (user(), user(), None),
]


@pytest.mark.parametrize("before, after, event", EVENTS)
def test_each_write_has_the_verb_that_says_most(before: Json | None, after: Json | None, event: str | None):
    assert told(ALL, change(before, after)) == event


def test_a_notice_names_the_paths_that_changed():
    before = user(name={"givenName": "Kim", "familyName": "Lee"}, title="a")
    after = user(name={"givenName": "Kim", "familyName": "Roe"}, **{ENTERPRISE_URN: {"manager": {"value": "m1"}}})
    assert assess(ALL, change(before, after)).changed == ("name.familyName", "title", f"{ENTERPRISE_URN}:manager.value")


PARTLY = [
    # (types, before, after, told)
    (("user.created",), None, user(), "user.created"),
    (("user.created",), user(), None, None),
    (("user.created",), user(), user(title="b"), None),
    (("user.updated",), user(active=True), user(active=False), None),
    (("user.updated",), user(active=True), user(active=False, title="b"), "user.updated"),
    (("user.updated", "user.deactivated"), user(active=True), user(active=False, title="b"), "user.deactivated"),
    (("user.activated",), user(active=True), user(active=False), None),
    (("user.activated",), user(active=False), user(active=True, title="b"), "user.activated"),
    (("user.deactivated", "user.deleted"), user(), user(active=False), "user.deactivated"),
    (("user.deactivated", "user.deleted"), user(), user(title="b"), None),
    (("group.*",), None, user(), None),
    (("user",), None, user(), "user.created"),
    (("USER.Created",), None, user(), "user.created"),
    (("*.created",), None, user(), "user.created"),
    (("*.created",), user(), None, None),
    (("*",), user(), None, "user.deleted"),
    (("*.*",), user(), user(title="b"), "user.updated"),
]


@pytest.mark.parametrize("types, before, after, event", PARTLY)
def test_of_what_happened_the_first_verb_that_is_wanted_is_told(
    types: tuple[str, ...], before: Json | None, after: Json | None, event: str | None
):
    assert told(interest(types=types), change(before, after)) == event


MEMBERS = [
    # (types, added, removed, title changes as well, told, members are told)
    ((), ("a",), (), False, "group.member.added", True),
    ((), (), ("a",), False, "group.member.removed", True),
    ((), ("a",), ("b",), False, "group.members.changed", True),
    ((), ("a",), ("b",), True, "group.updated", True),
    (("group.member.added",), ("a",), ("b",), False, "group.member.added", True),
    (("group.member.removed",), ("a",), ("b",), True, "group.member.removed", True),
    (("group.member.added",), (), ("b",), False, None, False),
    (("group.updated",), ("a",), (), False, None, False),
    (("group.member.added", "group.member.removed"), ("a",), ("b",), True, "group.members.changed", True),
]


@pytest.mark.parametrize("types, added, removed, renamed, event, members", MEMBERS)
def test_members_are_told_by_what_became_of_them(
    types: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...], renamed: bool, event: str | None, members: bool
):
    after = group(displayName="New") if renamed else group()
    made = change(group(), after, "Group", added=added, removed=removed)
    wanted = interest(types=types)
    assert told(wanted, made) == event
    notice = wanted.assess(made)
    assert (notice is not None and notice.members) == members


def test_only_what_tells_of_members_alone_may_travel_in_a_run():
    joined = assess(ALL, change(group(), group(), "Group", added=("a",)))
    renamed = assess(ALL, change(group(), group(displayName="New"), "Group", added=("a",)))
    made = assess(ALL, change(None, group(), "Group", added=("a",)))
    assert [notice.is_run for notice in (joined, renamed, made)] == [True, False, False]


# --------------------------------------------------------------------------- scope

ENTERPRISE = {ENTERPRISE_URN: {"department": "Sales", "manager": {"value": "m1"}}}
SCOPES = [
    # (filter, before, after, told)
    ('userType eq "Employee"', user(), user(userType="Employee"), "user.created by scope"),
    ('userType eq "Employee"', user(userType="employee"), user(userType="Guest"), "user.deleted by scope"),
    ('userType eq "Employee"', user(userType="Employee"), user(userType="Employee", title="b"), "user.updated"),
    ('userType eq "Employee"', user(), user(title="b"), None),
    ('userType eq "Employee"', None, user(), None),
    ('userType eq "Employee"', None, user(userType="Employee"), "user.created"),
    ('userType eq "Employee"', user(userType="Employee"), None, "user.deleted"),
    ('userType eq "Employee"', user(), None, None),
    ("active eq true", user(active=True), user(active=False), "user.deleted by scope"),
    ("active eq true", user(active=False), user(active=True), "user.created by scope"),
    ("not (active eq false)", user(), user(active=False), "user.deleted by scope"),
    ('name.familyName eq "Lee"', user(name={"givenName": "A"}), user(name={"familyName": "Lee"}), "user.created by scope"),
    ('name.familyName eq "Lee"', user(name={"familyName": "Lee"}), user(), "user.deleted by scope"),
    ("name pr", user(), user(name={"givenName": "A"}), "user.created by scope"),
    ("name pr", user(name={"givenName": "A"}), user(), "user.deleted by scope"),
    ('emails[type eq "work"]', user(emails=[{"value": "a@b.c"}]), user(emails=[{"value": "a@b.c", "type": "work"}]),
     "user.created by scope"),
    (f'{ENTERPRISE_URN}:department eq "Sales"', user(), user(**ENTERPRISE), "user.created by scope"),
    (f'{ENTERPRISE_URN}:department eq "Sales"', user(**ENTERPRISE), user(), "user.deleted by scope"),
    ('department eq "sales"', user(**ENTERPRISE), user(**{ENTERPRISE_URN: {"department": "HR"}}), "user.deleted by scope"),
    (f'{ENTERPRISE_URN}:manager.value eq "m1"', user(**{ENTERPRISE_URN: {"department": "Sales"}}), user(**ENTERPRISE),
     "user.created by scope"),
    (f"{ENTERPRISE_URN}:manager pr", user(**ENTERPRISE), user(**{ENTERPRISE_URN: {"department": "Sales"}}),
     "user.deleted by scope"),
    (f'schemas eq "{ENTERPRISE_URN}"', user(), user(**ENTERPRISE), "user.created by scope"),
    (f'schemas eq "{ENTERPRISE_URN}"', user(**ENTERPRISE), user(), "user.deleted by scope"),
    ('id eq "r1"', user(), user(title="b"), "user.updated"),
    ('id eq "other"', user(), user(title="b"), None),
]  # fmt: skip


@pytest.mark.parametrize("condition, before, after, event", SCOPES)
def test_who_enters_the_scope_is_created_and_who_leaves_it_deleted(
    condition: str, before: Json | None, after: Json | None, event: str | None
):
    assert told(interest(filters={"User": condition}), change(before, after)) == event


def test_who_enters_or_leaves_is_told_only_to_who_wants_those_verbs():
    wanted = interest(types=("user.updated",), filters={"User": "active eq true"})
    assert told(wanted, change(user(active=False), user(active=True, title="b"))) is None


def test_the_filter_of_one_kind_says_nothing_of_another():
    wanted = interest(filters={"user": "active eq true"})
    assert told(wanted, change(None, group(), "Group")) == "group.created"


def test_a_group_that_left_the_scope_is_told_without_its_members():
    wanted = interest(filters={"Group": 'displayName sw "S"'})
    left = assess(wanted, change(group(), group(displayName="Other"), "Group", added=("a",)))
    assert (left.verb, left.cause, left.members) == ("deleted", "scope", False)


@pytest.mark.parametrize(
    "document, inside",
    [(user(active=True), True), (user(active=False), False), (user(userName="jctest.1@acme.com", active=True), False)],
)
def test_a_stored_resource_is_in_the_scope_by_the_same_rules(document: Json, inside: bool):
    assert interest(filters={"User": "active eq true"}).contains("User", "r1", document) is inside
    assert not interest(types=("group.*",)).contains("User", "r1", document)


# --------------------------------------------------------------------------- the allow-list

SHOWN = [
    # (allow-list, before, after, told, changed)
    (("title",), user(), user(title="b", nickName="x"), "user.updated", ("title",)),
    (("title",), user(), user(nickName="x"), None, ()),
    (("name",), user(), user(name={"givenName": "A"}), "user.updated", ("name.givenName",)),
    (("name.familyName",), user(), user(name={"givenName": "A"}), None, ()),
    (("emails.value",), user(), user(emails=[{"value": "a@b.c"}]), "user.updated", ("emails",)),
    (("title",), user(), user(active=False), None, ()),
    (("active",), user(), user(active=False, title="b"), "user.deactivated", ("active",)),
    (("department",), user(), user(**ENTERPRISE), "user.updated", (f"{ENTERPRISE_URN}:department",)),
    ((ENTERPRISE_URN,), user(), user(**ENTERPRISE), "user.updated",
     (f"{ENTERPRISE_URN}:department", f"{ENTERPRISE_URN}:manager.value")),
    ((f"{ENTERPRISE_URN}:manager",), user(), user(**ENTERPRISE), "user.updated", (f"{ENTERPRISE_URN}:manager.value",)),
]  # fmt: skip


@pytest.mark.parametrize("names, before, after, event, changed", SHOWN)
def test_what_the_allow_list_hides_did_not_happen(
    names: tuple[str, ...], before: Json, after: Json, event: str | None, changed: tuple[str, ...]
):
    wanted, made = interest(attributes=names), change(before, after)
    assert told(wanted, made) == event
    notice = wanted.assess(made)
    assert (() if notice is None else notice.changed) == changed


def test_members_that_the_allow_list_hides_are_never_told():
    wanted = interest(attributes=("displayName",))
    assert told(wanted, change(group(), group(), "Group", added=("a",))) is None
    renamed = assess(wanted, change(group(), group(displayName="New"), "Group", added=("a",)))
    made = assess(wanted, change(None, group(), "Group", added=("a",)))
    assert (renamed.members, made.members) == (False, False)
    shown = interest(attributes=("members",))
    assert assess(shown, change(None, group(), "Group", added=("a",))).members
    assert told(shown, change(group(), group(displayName="New"), "Group")) is None


# --------------------------------------------------------------------------- activation tests

THROW_AWAY = [
    ("User", user(userName="jctest.64f@acme.com"), "jumpcloud-test-user"),
    ("User", user(userName="JCGT.64f@acme.com"), "jumpcloud-test-user"),
    ("User", user(userName="runscope300a@atko.com"), "okta-specification-test"),
    ("Group", group(displayName="JC Test 12-ab"), "jumpcloud-test-group"),
    ("User", user(userName="jc.test@acme.com"), None),
    ("User", user(userName="ajctest.64f@acme.com"), None),
    ("User", user(userName="runscope@atko.com.example"), None),
    ("User", user(displayName="JC Test 12-ab"), None),
    ("Group", group(displayName="JC Test"), None),
    ("Group", group(displayName="Our JC Test 12"), None),
    ("Group", group(displayName=5), None),
]


@pytest.mark.parametrize("kind, document, rule", THROW_AWAY)
def test_what_is_made_to_try_a_connection_is_recognised_and_not_told(kind: str, document: Json, rule: str | None):
    assert activation.rule_met(document, kind_of(kind)) == rule
    assert (told(ALL, change(None, document, kind)) is None) == (rule is not None)
    assert (told(ALL, change(document, None, kind)) is None) == (rule is not None)


# --------------------------------------------------------------------------- a resource type of one's own


def test_a_resource_type_of_ones_own_is_told_like_the_others():
    badge = {"schemas": [BADGE_URN], "text": "a", "owner": {"value": "u1"}}
    assert told(ALL, change(None, badge, "Badge")) == "badge.created"
    owned = interest(types=("badge.*",), filters={"Badge": 'owner.value eq "u1"'})
    assert told(owned, change(badge, {**badge, "owner": {"value": "u2"}}, "Badge")) == "badge.deleted by scope"
    assert told(owned, change({**badge, "owner": {}}, badge, "Badge")) == "badge.created by scope"
    # Its attribute ``members`` is one like any other.
    grown = assess(ALL, change(badge, {**badge, "members": ["x"]}, "Badge"))
    assert (grown.type, grown.changed, grown.members) == ("badge.updated", ("members",), False)


def test_a_kind_that_the_catalog_no_longer_has_is_nobodys_business():
    bound = subscription.bind(Subscription(), standard_catalog())
    assert bound.assess(change(None, {"schemas": [BADGE_URN]}, "Badge")) is None


# --------------------------------------------------------------------------- mistakes


def ambiguous_catalog() -> Catalog:
    """Users with two extensions that both know ``room``."""
    rooms = [
        parse_schema({"id": f"urn:example:scim:schemas:{name}", "name": name, "attributes": [{"name": "room"}]})
        for name in ("Office", "Lab")
    ]
    standard_user, standard_group = STANDARD_TYPES
    extended = (*standard_user.extensions, *(SchemaExtension(schema.id) for schema in rooms))
    person = ResourceType(standard_user.name, standard_user.endpoint, "", standard_user.schema, extended)
    return build_catalog(1, (*standard_schemas(), *rooms), (person, standard_group))


MISTAKES = [
    ({"types": ("user.hired",)}, "The type 'user.hired' is none; write one of user, group, badge, a dot, and one of created,"),
    ({"types": ("robot.created",)}, "The type 'robot.created' is none; write one of user, group, badge,"),
    ({"types": ("",)}, "The type '' is none;"),
    ({"filters": {"Robot": "active eq true"}}, "The filter for 'Robot' names no resource type; there are User, Group, Badge."),
    ({"filters": {"User": "active eq"}}, "The filter for User cannot be used: "),
    ({"filters": {"User": 'shoeSize eq "9"'}}, "The filter for User cannot be used: "),
    ({"filters": {"User": 'groups.value eq "g"'}}, "The filter for User asks for groups, which a change does not tell;"),
    ({"filters": {"User": 'externalId eq "e"'}}, "The filter for User asks for externalId, which a change does not tell;"),
    ({"filters": {"User": 'groups[value eq "g"] or not (meta.version pr)'}}, "The filter for User asks for groups and meta,"),
    ({"filters": {"Group": 'members.value eq "u"'}}, "The filter for Group asks for members, which a change does not tell;"),
    ({"attributes": ("shoeSize",)}, "The attribute 'shoeSize' of the allow-list is one of no resource type of the directory."),
    ({"attributes": ("emails[",)}, "The attribute 'emails[' of the allow-list is one of no resource type of the directory."),
    ({"attributes": ("name.shoe",)}, "The attribute 'name.shoe' of the allow-list is one of no resource type"),
]


@pytest.mark.parametrize("wish, sentence", MISTAKES, ids=[sentence[:50] for _, sentence in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(wish: Json, sentence: str):
    with pytest.raises(Invalid) as refused:
        interest(**wish)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(sentence)
    assert refused.value.problems[0].endswith(".")


def test_all_mistakes_are_told_together():
    with pytest.raises(Invalid) as refused:
        interest(types=("user.hired", "robot.*"), filters={"User": "(", "Robot": "id pr"}, attributes=("shoeSize", "title"))
    assert len(refused.value.problems) == 5


def test_a_short_name_that_two_extensions_know_is_a_mistake():
    with pytest.raises(Invalid) as refused:
        subscription.bind(Subscription(attributes=("room",)), ambiguous_catalog())
    assert "The allow-list is ambiguous: room is an attribute of " in refused.value.problems[0]
    with pytest.raises(Invalid) as refused:
        subscription.bind(Subscription(filters={"User": 'room eq "1"'}), ambiguous_catalog())
    assert "room" in refused.value.problems[0]


# --------------------------------------------------------------------------- the state before


def documents(seed: int) -> tuple[Kind, Json, Json]:
    """A kind, and two documents of it that have most in common."""
    random = Random(seed)
    kind = random.choice(list(CATALOG.kinds.values()))
    first, second = _document(random, kind), _document(random, kind)
    mixed = {name: value for name, value in first.items() if random.random() < 0.7}
    mixed |= {name: value for name, value in second.items() if random.random() < 0.4}
    for name in first.keys() & second.keys():
        if isinstance(first[name], dict) and isinstance(second[name], dict) and random.random() < 0.8:
            mixed[name] = {**first[name], **{part: value for part, value in second[name].items() if random.random() < 0.5}}
    return kind, resource.with_schemas(first, kind), resource.with_schemas(mixed, kind)


def _document(random: Random, kind: Kind) -> Json:
    """As the population of ``filter_agreement`` has it, but with the values as somebody would send them."""
    made = population._create(random, 1, kind).normal
    return {name: value for name, value in json.loads(json.dumps(made)).items() if name != "schemas"}


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_the_former_document_is_rebuilt_from_what_the_change_kept(seed: int):
    kind, before, after = documents(seed)
    assert subscription.images(change(before, after, kind.name), kind) == (before, after)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_filter_that_always_holds_changes_nothing_of_what_is_told(seed: int):
    kind, before, after = documents(seed)
    made = change(before, after, kind.name)
    plain = subscription.bind(Subscription(), CATALOG)
    filtered = subscription.bind(Subscription(filters={kind.name: "id pr"}), CATALOG)
    assert plain.assess(made) == filtered.assess(made)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_rebuilding_leaves_the_newer_document_as_it_is(seed: int):
    kind, before, after = documents(seed)
    made = change(before, after, kind.name)
    assert subscription.images(made, kind) == subscription.images(made, kind)


def test_the_urns_of_the_catalog_are_those_that_the_tables_use():
    assert (kind_of("User").base.id, kind_of("Group").base.id) == (USER_URN, GROUP_URN)
