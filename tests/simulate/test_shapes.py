"""What each provider sends, in which order, compared with the payloads that it documents or was seen to send."""

from dataclasses import replace

import pytest

from scimhub.simulate import provider as providing
from scimhub.simulate import providers
from scimhub.simulate.people import Career, Group, Person, Population
from scimhub.simulate.steps import Answer, Memory, Unusable
from tests.simulate.dialogue import DONE, NOBODY, hold, made, one, spoken

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
COMPLIANT = "https://hub.example/scim/v2?aadOptscim062020"

BOSS = Person(0, "Lennart", "Voss", "l.voss@x.example", "Purser", "Pilots", "70000", "+47 555 00000", None, ())
INES = Person(1, "Inés", "Okoro", "i.okoro@x.example", "Analyst", "Charts", "70001", "+47 555 00001", 0, ("Crew",))
MOVED = replace(INES, family_name="Quist", user_name="i.quist@x.example", title="Purser", department="Legal")
TOVE = replace(BOSS, key=2, user_name="tove@x.example")
CREW = Group("Crew", "d68c56cb-0000-5f60-b041-fe127655f98a")
POPULATION = Population("x.example", "x.example/0", (Career(BOSS), Career(INES, MOVED, "deleted"), Career(TOVE)), (CREW,))

# What a server shows of INES as she joined.
SHOWN = {
    "schemas": [USER, ENTERPRISE],
    "id": "u1",
    "meta": {"resourceType": "User", "version": 'W/"1.1"'},
    "userName": "i.okoro@x.example",
    "name": {"givenName": "Inés", "familyName": "Okoro", "formatted": "Inés Okoro"},
    "displayName": "Inés Okoro",
    "emails": [{"type": "work", "value": "i.okoro@x.example", "primary": True}],
    "phoneNumbers": [{"type": "work", "value": "+47 555 00001"}],
    "title": "Analyst",
    "active": True,
    "locale": "en-US",
    "groups": [{"value": "g1", "display": "Crew"}],
    ENTERPRISE: {"department": "Charts", "employeeNumber": "70001"},
}


def provider_of(name):
    return providers.find("entra", COMPLIANT) if name == "entra compliant" else providers.find(name)


def knowing(*users: int, groups: bool = False) -> Memory:
    """A memory of some users, their ids u0, u1, …, and of the group as g1."""
    return Memory(POPULATION, {key: f"u{key}" for key in users}, {"Crew": "g1"} if groups else {})


def listed(attribute, value, **more):
    return {"filter": f'{attribute} eq "{value}"', **more}


def patched(path, *operations):
    return ("PATCH", path, {"schemas": [PATCH_OP], "Operations": list(operations)})


OKTA_ID = "00u2d41b46cabc55220a"
PAGE = {"startIndex": "1", "count": "100"}

CREATED = {
    "okta": {
        "schemas": [USER, ENTERPRISE],
        "userName": "i.okoro@x.example",
        "name": {"givenName": "Inés", "familyName": "Okoro"},
        "emails": [{"primary": True, "value": "i.okoro@x.example", "type": "work"}],
        "displayName": "Inés Okoro",
        "title": "Analyst",
        "locale": "en-US",
        "externalId": OKTA_ID,
        "groups": [],
        "password": f"Tide-{POPULATION.number('password 1')[:12]}-9q",
        "active": True,
        ENTERPRISE: {
            "employeeNumber": "70001",
            "department": "Charts",
            "manager": {"value": "u0", "displayName": "Lennart Voss"},
        },
    },
    "entra": {
        "schemas": [USER, ENTERPRISE],
        "externalId": "i.okoro",
        "userName": "i.okoro@x.example",
        "active": True,
        "displayName": "Inés Okoro",
        "emails": [{"primary": True, "type": "work", "value": "i.okoro@x.example"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Inés Okoro", "familyName": "Okoro", "givenName": "Inés"},
        "phoneNumbers": [{"type": "work", "value": "+47 555 00001"}],
        "roles": [],
        "title": "Analyst",
        ENTERPRISE: {"department": "Charts", "employeeNumber": "70001"},
    },
    "google": {
        "schemas": [USER, ENTERPRISE],
        "userName": "i.okoro@x.example",
        "name": {"givenName": "Inés", "familyName": "Okoro"},
        "emails": [{"value": "i.okoro@x.example", "type": "work", "primary": True}],
        "title": "Analyst",
        "active": True,
        ENTERPRISE: {"department": "Charts"},
    },
    "onelogin": {
        "schemas": [USER, ENTERPRISE],
        "userName": "i.okoro@x.example",
        "name": {"givenName": "Inés", "familyName": "Okoro"},
        "title": "Analyst",
        "userType": "",
        "timezone": "",
        "active": True,
        "emails": [{"value": "i.okoro@x.example", "type": "work", "primary": True}],
        "addresses": [{"locality": "", "region": "", "country": ""}],
        ENTERPRISE: {"organization": "", "department": "Charts", "manager": {"value": "", "displayName": " "}},
    },
    "jumpcloud": {
        "schemas": [USER, ENTERPRISE],
        "userName": "i.okoro@x.example",
        "name": {"givenName": "Inés", "familyName": "Okoro"},
        "displayName": "Inés Okoro",
        "emails": [{"value": "i.okoro@x.example", "type": "work", "primary": True}],
        "title": "Analyst",
        "active": True,
        ENTERPRISE: {"department": "Charts", "employeeNumber": "70001"},
    },
}
CREATED["entra compliant"] = CREATED["entra"]


@pytest.mark.parametrize("name", CREATED)
def test_a_joiner_is_looked_up_by_user_name_and_created(name):
    memory = knowing(0)
    steps = hold(providing.join(provider_of(name), INES, memory), [NOBODY, made("u1")])
    paging = PAGE if name == "okta" else {}
    assert spoken(steps) == [
        ("GET", "/Users", listed("userName", "i.okoro@x.example", **paging)),
        ("POST", "/Users", CREATED[name]),
    ]
    assert memory.users == {0: "u0", 1: "u1"}


RENAMED = {
    "userName": "i.quist@x.example",
    "name.familyName": "Quist",
    'emails[type eq "work"].value': "i.quist@x.example",
    "title": "Purser",
    f"{ENTERPRISE}:department": "Legal",
}
CHANGED = {
    "okta": (
        [Answer(200, SHOWN), Answer(200)],
        [
            ("GET", "/Users/u1", {}),
            (
                "PUT",
                "/Users/u1",
                SHOWN
                | {
                    "userName": "i.quist@x.example",
                    "name": {"givenName": "Inés", "familyName": "Quist", "formatted": "Inés Okoro"},
                    "displayName": "Inés Quist",
                    "emails": [{"type": "work", "value": "i.quist@x.example", "primary": True}],
                    "title": "Purser",
                    "externalId": OKTA_ID,
                    ENTERPRISE: {
                        "department": "Legal",
                        "employeeNumber": "70001",
                        "manager": {"value": "u0", "displayName": "Lennart Voss"},
                    },
                },
            ),
        ],
    ),
    "entra": (
        [Answer(200, SHOWN), DONE],
        [
            ("GET", "/Users/u1", {}),
            patched(
                "/Users/u1",
                *({"op": "Replace", "path": path, "value": value} for path, value in RENAMED.items()),
                {"op": "Replace", "path": "displayName", "value": "Inés Quist"},
                {"op": "Replace", "path": "name.formatted", "value": "Inés Quist"},
                {"op": "Add", "path": "externalId", "value": "i.quist"},
            ),
        ],
    ),
    "entra compliant": (
        [Answer(200, SHOWN), DONE],
        [
            ("GET", "/Users/u1", {}),
            patched(
                "/Users/u1",
                {"op": "replace", "path": 'emails[type eq "work"].value', "value": "i.quist@x.example"},
                {
                    "op": "replace",
                    "value": {
                        "userName": "i.quist@x.example",
                        "name.familyName": "Quist",
                        "title": "Purser",
                        f"{ENTERPRISE}:department": "Legal",
                        "displayName": "Inés Quist",
                        "name.formatted": "Inés Quist",
                        "externalId": "i.quist",
                    },
                },
            ),
        ],
    ),
    "google": (
        [Answer(200, SHOWN), DONE],
        [
            ("GET", "/Users/u1", {}),
            patched("/Users/u1", *({"op": "replace", "path": path, "value": value} for path, value in RENAMED.items())),
        ],
    ),
    "onelogin": (
        [Answer(200)],
        [
            (
                "PUT",
                "/Users/u1",
                CREATED["onelogin"]
                | {
                    "userName": "i.quist@x.example",
                    "name": {"givenName": "Inés", "familyName": "Quist"},
                    "title": "Purser",
                    "emails": [{"value": "i.quist@x.example", "type": "work", "primary": True}],
                    ENTERPRISE: {"organization": "", "department": "Legal", "manager": {"value": "", "displayName": " "}},
                },
            )
        ],
    ),
    "jumpcloud": (
        [Answer(200, SHOWN), DONE],
        [
            ("GET", "/Users/u1", {}),
            patched(
                "/Users/u1",
                *({"op": "replace", "path": path, "value": value} for path, value in RENAMED.items()),
                {"op": "replace", "path": "displayName", "value": "Inés Quist"},
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_mover_is_updated(name):
    answers, wanted = CHANGED[name]
    steps = hold(providing.move(provider_of(name), POPULATION.careers[1], knowing(0, 1)), answers)
    assert spoken(steps) == wanted


DEACTIVATED = {
    "okta": {"op": "replace", "value": {"active": False}},
    "entra": {"op": "Replace", "path": "active", "value": "False"},
    "entra compliant": {"op": "replace", "path": "active", "value": False},
    "google": {"op": "replace", "path": "active", "value": False},
    "onelogin": {"op": "replace", "path": "active", "value": False},
    "jumpcloud": {"op": "replace", "path": "active", "value": False},
}


@pytest.mark.parametrize("name", DEACTIVATED)
def test_a_leaver_is_deactivated(name):
    steps = hold(providing.deactivate(provider_of(name), POPULATION.careers[1], knowing(1)), [DONE])
    assert spoken(steps) == [patched("/Users/u1", DEACTIVATED[name])]


def test_entra_google_and_onelogin_delete_and_the_others_never():
    assert {name: providers.find(name).deletes for name in providers.NAMES} == {
        "okta": False,
        "entra": True,
        "google": True,
        "onelogin": True,
        "jumpcloud": False,
    }


@pytest.mark.parametrize("status", [204, 404])
def test_deleting_somebody_who_is_gone_already_is_fine(status):
    steps = hold(providing.delete(provider_of("entra"), POPULATION.careers[1], knowing(1)), [Answer(status)])
    assert spoken(steps) == [("DELETE", "/Users/u1", {})]


# --------------------------------------------------------------------------- groups

ONE = [{"value": "u1"}]
FILLED = {
    "okta": (
        [NOBODY, made("g1"), DONE, DONE],
        [
            ("GET", "/Groups", listed("displayName", "Crew", **PAGE)),
            ("POST", "/Groups", {"schemas": [GROUP], "displayName": "Crew", "members": []}),
            patched("/Groups/g1", {"op": "replace", "value": {"id": "g1", "displayName": "Crew"}}),
            patched("/Groups/g1", {"op": "add", "path": "members", "value": [{"value": "u1", "display": "i.okoro@x.example"}]}),
        ],
    ),
    "entra": (
        [NOBODY, made("g1"), DONE],
        [
            ("GET", "/Groups", {"excludedAttributes": "members", **listed("displayName", "Crew")}),
            (
                "POST",
                "/Groups",
                {
                    "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                    "externalId": CREW.external_id,
                    "displayName": "Crew",
                    "meta": {"resourceType": "Group"},
                },
            ),
            patched("/Groups/g1", {"op": "Add", "path": "members", "value": [{"$ref": None, "value": "u1"}]}),
        ],
    ),
    "onelogin": (
        [made("g1"), DONE],
        [
            ("POST", "/Groups", {"schemas": [GROUP], "displayName": "Crew"}),
            patched("/Groups/g1", {"op": "add", "path": "members", "value": ONE}),
        ],
    ),
    "jumpcloud": (
        [NOBODY, made("g1"), DONE],
        [
            ("GET", "/Groups", listed("displayName", "Crew")),
            ("POST", "/Groups", {"schemas": [GROUP], "displayName": "Crew"}),
            patched("/Groups/g1", {"op": "add", "path": "members", "value": ONE}),
        ],
    ),
}


@pytest.mark.parametrize("name", FILLED)
def test_a_group_is_created_and_filled(name):
    answers, wanted = FILLED[name]
    memory = knowing(1)
    steps = hold(provider_of(name).groups.push(CREW, [INES], memory), answers)
    assert spoken(steps) == wanted
    assert memory.groups == {"Crew": "g1"}


def probe(user):
    return ("GET", "/Groups", {"excludedAttributes": "members", "filter": f'id eq "g1" and members eq "{user}"'})


MEMBER = one({"id": "g1"})
REGROUPED = {
    "okta": (
        [DONE, DONE],
        [
            patched("/Groups/g1", {"op": "replace", "value": {"id": "g1", "displayName": "Crew"}}),
            patched(
                "/Groups/g1",
                {"op": "remove", "path": 'members[value eq "u1"]'},
                {"op": "add", "path": "members", "value": [{"value": "u2", "display": "tove@x.example"}]},
            ),
        ],
    ),
    "entra": (
        [Answer(200), MEMBER, DONE, NOBODY, DONE],
        [
            ("GET", "/Groups/g1", {"excludedAttributes": "members"}),
            probe("u1"),
            patched("/Groups/g1", {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": "u1"}]}),
            probe("u2"),
            patched("/Groups/g1", {"op": "Add", "path": "members", "value": [{"$ref": None, "value": "u2"}]}),
        ],
    ),
    "entra compliant": (
        [Answer(200), MEMBER, DONE, NOBODY, DONE],
        [
            ("GET", "/Groups/g1", {"excludedAttributes": "members"}),
            probe("u1"),
            patched("/Groups/g1", {"op": "remove", "path": 'members[value eq "u1"]'}),
            probe("u2"),
            patched("/Groups/g1", {"op": "add", "path": "members", "value": [{"value": "u2"}]}),
        ],
    ),
    "onelogin": (
        [DONE, DONE],
        [
            patched("/Groups/g1", {"op": "remove", "path": "members", "value": ONE}),
            patched("/Groups/g1", {"op": "add", "path": "members", "value": [{"value": "u2"}]}),
        ],
    ),
}
REGROUPED["jumpcloud"] = REGROUPED["onelogin"]


@pytest.mark.parametrize("name", REGROUPED)
def test_members_come_and_go(name):
    answers, wanted = REGROUPED[name]
    steps = hold(provider_of(name).groups.change(CREW, [TOVE], [INES], knowing(1, 2, groups=True)), answers)
    assert spoken(steps) == wanted


def test_entra_changes_nothing_that_its_probes_find_done():
    answers = [Answer(200), NOBODY, MEMBER]
    steps = hold(provider_of("entra").groups.change(CREW, [TOVE], [INES], knowing(1, 2, groups=True)), answers)
    assert [step.method for step in steps] == ["GET", "GET", "GET"]


def test_large_changes_of_members_are_sent_in_parts():
    crowd = [replace(INES, key=key) for key in range(45)]
    memory = knowing(*range(45))
    steps = hold(provider_of("entra").groups.push(CREW, crowd, memory), [one({"id": "g1"}), DONE, DONE, DONE])
    sizes = [len(step.body["Operations"][0]["value"]) for step in steps[1:]]
    assert sizes == [20, 20, 5]


def test_google_pushes_no_groups():
    assert provider_of("google").groups is None


# --------------------------------------------------------------------------- entra: references and matches

REFERENCE = {
    "entra": {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "u0"},
    "entra compliant": {"op": "add", "path": f"{ENTERPRISE}:manager", "value": "u0"},
}
REFERENCE_PROBE = ("GET", "/Users", {"filter": 'id eq "u1" and manager eq "u0"', "attributes": "id"})


@pytest.mark.parametrize("name", REFERENCE)
def test_entra_sends_the_manager_in_a_pass_of_its_own(name):
    steps = hold(providing.refer(provider_of(name), INES, knowing(0, 1)), [NOBODY, DONE])
    assert spoken(steps) == [REFERENCE_PROBE, patched("/Users/u1", REFERENCE[name])]


def test_entra_leaves_a_manager_that_its_probe_finds():
    assert spoken(hold(providing.refer(provider_of("entra"), INES, knowing(0, 1)), [one({"id": "u1"})])) == [REFERENCE_PROBE]


def test_whoever_matches_is_taken_over_without_a_second_user():
    memory = knowing(0)
    found = SHOWN | {"active": False, "externalId": "i.okoro"}
    steps = hold(providing.join(provider_of("entra"), INES, memory), [one(found), DONE])
    assert spoken(steps)[1:] == [patched("/Users/u1", {"op": "Replace", "path": "active", "value": "True"})]
    assert memory.users[1] == "u1"


def test_okta_reactivates_somebody_it_finds_by_get_and_put():
    found = SHOWN | {"active": False}
    answers = [one(found), Answer(200, found), Answer(200)]
    steps = hold(providing.join(provider_of("okta"), INES, knowing(0)), answers)
    assert [(step.method, step.path) for step in steps] == [("GET", "/Users"), ("GET", "/Users/u1"), ("PUT", "/Users/u1")]
    assert steps[2].body["active"] is True
    assert steps[2].body["id"] == "u1"


# --------------------------------------------------------------------------- connection tests

MARK = POPULATION.number("activation")[:8]
TESTED = {"schemas": [USER], "userName": f"jctest.{MARK}@x.example", "active": True}
CHECKED = {
    "okta": (
        [NOBODY, NOBODY],
        [("GET", "/Users", {"startIndex": "1", "count": "2"}), ("GET", "/Groups", PAGE)],
    ),
    "entra": (
        [NOBODY] * 3,
        [("GET", "/Users", listed("userName", POPULATION.number(f"probe {each}"))) for each in range(3)],
    ),
    "google": ([NOBODY], [("GET", "/Users", listed("userName", POPULATION.number("probe")))]),
    "onelogin": (
        [Answer(404), NOBODY],
        [("GET", "/Users", listed("userName", f"{POPULATION.number('probe')}@x.example")), ("GET", "/Groups", {})],
    ),
    "jumpcloud": (
        [
            made("t"),
            Answer(200),
            Answer(200, {"name": {"familyName": "Updated"}}),
            made("tg"),
            DONE,
            DONE,
            DONE,
            DONE,
        ],
        [
            ("POST", "/Users", TESTED | {"name": {"givenName": "Test", "familyName": "User"}}),
            ("PUT", "/Users/t", TESTED | {"name": {"givenName": "Test", "familyName": "Updated"}}),
            ("GET", "/Users/t", {}),
            ("POST", "/Groups", {"schemas": [GROUP], "displayName": f"JC Test {MARK}"}),
            patched("/Groups/tg", {"op": "add", "path": "members", "value": [{"value": "t"}]}),
            patched("/Groups/tg", {"op": "remove", "path": "members", "value": [{"value": "t"}]}),
            ("DELETE", "/Groups/tg", {}),
            ("DELETE", "/Users/t", {}),
        ],
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_the_connection_is_tested(name):
    answers, wanted = CHECKED[name]
    assert spoken(hold(provider_of(name).check(knowing()), answers)) == wanted


def test_entra_does_not_believe_a_server_that_finds_its_random_user():
    with pytest.raises(Unusable, match="does not exist found somebody"):
        hold(provider_of("entra").check(knowing()), [one({"id": "u9"})])


def test_onelogin_remembers_its_own_groups_from_the_list():
    memory = knowing()
    groups = Answer(200, {"totalResults": 2, "Resources": [{"id": "g1", "displayName": "Crew"}, {"id": "g2"}]})
    hold(provider_of("onelogin").check(memory), [NOBODY, groups])
    assert memory.groups == {"Crew": "g1"}


def test_jumpcloud_deactivates_its_test_user_when_deleting_is_refused():
    answers = list(CHECKED["jumpcloud"][0])
    answers[-1] = Answer(405)
    steps = hold(provider_of("jumpcloud").check(knowing()), [*answers, DONE])
    assert spoken(steps)[-1] == patched("/Users/t", {"op": "replace", "path": "active", "value": False})


def test_jumpcloud_takes_up_a_test_user_left_over_from_before():
    answers = [Answer(409), one({"id": "t"}), *CHECKED["jumpcloud"][0][1:]]
    steps = hold(provider_of("jumpcloud").check(knowing()), answers)
    assert [(step.method, step.path) for step in steps[1:3]] == [("GET", "/Users"), ("PUT", "/Users/t")]


# --------------------------------------------------------------------------- who joined in an earlier run


def test_somebody_from_an_earlier_run_is_looked_up_by_both_names():
    memory = knowing()
    steps = hold(providing.deactivate(provider_of("entra"), POPULATION.careers[1], memory), [NOBODY, one({"id": "u1"}), DONE])
    assert [step.query.get("filter") for step in steps] == [
        'userName eq "i.okoro@x.example"',
        'userName eq "i.quist@x.example"',
        None,
    ]
    assert steps[2].path == "/Users/u1"


def test_somebody_who_is_not_there_cannot_move():
    with pytest.raises(Unusable, match=r"The server has no user i\.okoro@x\.example; was the story join told\?"):
        hold(providing.move(provider_of("entra"), POPULATION.careers[1], knowing()), [NOBODY, NOBODY])
