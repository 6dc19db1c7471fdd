"""Area 7: replace, PATCH, delete."""

import pytest

from tests.conformance.hub import ENTERPRISE, MESSAGE, USER, Client, Hub, add, group, ok, refused, remove, replace, user

requirement = pytest.mark.requirement
PATCH_OP = f"{MESSAGE}:PatchOp"


def person_of(client: Client, **more: object) -> dict:
    """A user with something of everything."""
    attributes: dict[str, object] = {
        "title": "t",
        "name": {"givenName": "g", "familyName": "f"},
        "emails": [{"type": "work", "value": "w@x.example", "display": "W"}, {"type": "home", "value": "h@x.example"}],
        "addresses": [{"type": "work", "locality": "L", "region": "R"}],
        "enterprise": {"department": "d", "division": "v"},
    }
    return client.user("a", **(attributes | more))


# --------------------------------------------------------------------------- PUT


@requirement("W-002", "W-003", "W-008", "W-011", "IDP-13")
def test_put_replaces_what_is_given_and_clears_the_rest(hub: Hub):
    person = person_of(hub.strict, active=False, externalId="x")
    other = hub.client("strict")
    other.patch(f"/Users/{person['id']}", add("externalId", "theirs"))
    answer = hub.strict.put(f"/Users/{person['id']}", user("a", nickName="n", emails=[{"value": "only@x.example"}]))
    put = ok(answer)
    assert put["emails"] == [{"value": "only@x.example"}]
    assert put["nickName"] == "n"
    assert not {"title", "name", "addresses", ENTERPRISE} & put.keys()
    assert put["schemas"] == [USER]
    assert put["active"] is False, "a PUT without active neither ends nor revives an account"
    assert other.read(f"/Users/{person['id']}")["externalId"] == "theirs"
    assert put["meta"]["created"] == person["meta"]["created"]
    assert answer.headers["etag"] == put["meta"]["version"] != person["meta"]["version"]
    assert hub.strict.read(f"/Users/{person['id']}") == put


@requirement("W-007")
def test_put_needs_the_required_attributes(hub: Hub):
    person = person_of(hub.strict)
    refused(hub.strict.put(f"/Users/{person['id']}", {"schemas": [USER], "title": "u"}), 400, "invalidValue")
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("W-009", "U-002")
def test_a_name_that_is_taken_is_a_conflict_in_put_and_patch(hub: Hub):
    hub.strict.user("taken")
    person = hub.strict.user("a")
    refused(hub.strict.put(f"/Users/{person['id']}", user("Taken")), 409, "uniqueness")
    refused(hub.strict.patch(f"/Users/{person['id']}", replace("userName", "TAKEN")), 409, "uniqueness")
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("W-010")
def test_a_put_of_what_is_there_writes_nothing(hub: Hub):
    person = person_of(hub.strict)
    writes = len(hub.changes())
    assert ok(hub.strict.put(f"/Users/{person['id']}", person)) == person
    assert len(hub.changes()) == writes


@requirement("W-012", "IDP-13")
def test_a_put_of_a_group_compares_its_members_as_a_set(hub: Hub):
    ids = [hub.strict.user(f"user{number}")["id"] for number in range(6)]
    team = hub.strict.group("g", *ids[:4])
    put = ok(hub.strict.put(f"/Groups/{team['id']}", group("g", *ids[2:])))
    assert {member["value"] for member in put["members"]} == set(ids[2:])
    change = hub.changes()[-1]
    assert (set(change.members_added), set(change.members_removed)) == (set(ids[4:]), set(ids[:2]))


# --------------------------------------------------------------------------- envelope


@requirement("M-002", "M-003", "M-004", "N-003")
@pytest.mark.parametrize(
    "body",
    [
        {"Operations": [{"op": "add", "path": "title", "value": "u"}]},
        {"schemas": [USER], "Operations": [{"op": "add", "path": "title", "value": "u"}]},
        {"schemas": [PATCH_OP]},
        {"schemas": [PATCH_OP], "Operations": []},
        {"schemas": [PATCH_OP], "Operations": {"op": "add", "path": "title", "value": "u"}},
        {"schemas": [PATCH_OP], "Operations": ["add"]},
        {"schemas": [PATCH_OP], "Operations": [{"path": "title", "value": "u"}]},
        {"schemas": [PATCH_OP], "Operations": [{"op": "move", "path": "title", "value": "u"}]},
        {"schemas": [PATCH_OP], "Operations": [{"op": 5, "path": "title", "value": "u"}]},
    ],
    ids=str,
)
def test_a_patch_out_of_form_is_refused(hub: Hub, body):
    person = person_of(hub.strict)
    refused(hub.strict.request("PATCH", f"/Users/{person['id']}", body), 400, "invalidSyntax")
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("M-002", "M-003", "M-004", "IDP-01", "IDP-09", "IDP-16")
@pytest.mark.parametrize(
    "body, title",
    [
        ({"Operations": [{"op": "add", "path": "title", "value": "u"}]}, "u"),
        ({"schemas": [PATCH_OP], "operations": [{"op": "Add", "path": "title", "value": "u"}]}, "u"),
        ({"schemas": [PATCH_OP], "Operations": [{"op": "REPLACE", "path": "title", "value": "u"}]}, "u"),
        ({"schemas": [PATCH_OP], "Operations": []}, "t"),
    ],
    ids=str,
)
def test_lenient_understands_a_patch_out_of_form(hub: Hub, body, title):
    person = person_of(hub.lenient)
    assert ok(hub.lenient.request("PATCH", f"/Users/{person['id']}", body))["title"] == title


@requirement("M-004", "IDP-01")
@pytest.mark.parametrize("op", ["Add", "Replace", "Remove"])
def test_a_capitalised_operation_is_tolerance(hub: Hub, op):
    person = person_of(hub.strict)
    operation = {"op": op, "path": "title"} | ({} if op == "Remove" else {"value": "u"})
    refused(hub.strict.patch(f"/Users/{person['id']}", operation), 400, "invalidSyntax")
    patched = ok(hub.lenient.patch(f"/Users/{person['id']}", operation))
    assert patched.get("title") == (None if op == "Remove" else "u")


@requirement("M-006", "M-007", "M-010", "V-004")
def test_operations_run_in_order_and_all_or_none(hub: Hub):
    person = person_of(hub.strict)
    path = f"/Users/{person['id']}"
    writes = len(hub.changes())
    assert "nickName" not in ok(hub.strict.patch(path, add("nickName", "n"), remove("nickName")))
    refused(hub.strict.patch(path, replace("title", "u"), replace("foo", "x")), 400, "invalidPath")
    refused(hub.strict.patch(path, replace("title", "u"), replace("active", "maybe")), 400, "invalidValue")
    assert hub.strict.read(path) == person
    assert len(hub.changes()) == writes
    team = hub.strict.group("g", person["id"])
    refused(hub.strict.patch(f"/Groups/{team['id']}", remove("members"), replace("foo", "x")), 400, "invalidPath")
    assert hub.strict.read(f"/Groups/{team['id']}") == team


@requirement("M-008", "M-009", "V-002", "IDP-10")
def test_a_users_patch_shows_the_user_and_a_groups_only_when_asked(hub: Hub):
    person = person_of(hub.strict)
    team = hub.strict.group("g")
    assert ok(hub.strict.patch(f"/Users/{person['id']}", replace("title", "u")))["title"] == "u"
    quiet = hub.strict.patch(f"/Groups/{team['id']}", replace("displayName", "h"))
    assert (quiet.status_code, quiet.content) == (204, b"")
    assert quiet.headers["location"] == team["meta"]["location"]
    assert quiet.headers["etag"] == hub.strict.get(f"/Groups/{team['id']}").headers["etag"] != team["meta"]["version"]
    body = {"schemas": [PATCH_OP], "Operations": [replace("displayName", "i")]}
    for query in ("attributes=displayName", "excludedAttributes=members"):
        shown = ok(hub.strict.request("PATCH", f"/Groups/{team['id']}?{query}", body))
        assert shown["displayName"] == "i"
        assert "members" not in shown


@requirement("M-079")
def test_a_thousand_member_changes_fit_into_one_patch(hub: Hub):
    person = hub.strict.user("a")
    team = hub.strict.group("g")
    operations = [add("members", [{"value": person["id"]}]), remove(f'members[value eq "{person["id"]}"]')] * 500
    assert hub.strict.patch(f"/Groups/{team['id']}", *operations).status_code == 204
    assert "members" not in hub.strict.read(f"/Groups/{team['id']}")


# --------------------------------------------------------------------------- paths


@requirement("M-020")
@pytest.mark.parametrize(
    "path, value, shown",
    [
        ("title", "u", {"title": "u"}),
        ("name.givenName", "u", {"name": {"givenName": "u", "familyName": "f"}}),
        (f"{USER}:title", "u", {"title": "u"}),
        (f"{USER}:name.givenName", "u", {"name": {"givenName": "u", "familyName": "f"}}),
        (f"{ENTERPRISE}:department", "u", {ENTERPRISE: {"department": "u", "division": "v"}}),
        ('addresses[type eq "work"]', {"type": "work", "locality": "M"}, {"addresses": [{"type": "work", "locality": "M"}]}),
        ('addresses[type eq "work"].region', "S", {"addresses": [{"type": "work", "locality": "L", "region": "S"}]}),
        (f'{USER}:addresses[type eq "work"].region', "S", {"addresses": [{"type": "work", "locality": "L", "region": "S"}]}),
        ('ADDRESSES[TYPE EQ "work"].Region', "S", {"addresses": [{"type": "work", "locality": "L", "region": "S"}]}),
    ],
)
def test_each_form_of_path_is_understood(hub: Hub, path, value, shown):
    person = person_of(hub.strict)
    patched = ok(hub.strict.patch(f"/Users/{person['id']}", replace(path, value)))
    assert {name: patched[name] for name in shown} == shown


@requirement("M-005", "M-021", "M-022", "M-023", "M-024", "M-028", "M-060", "M-067", "A-017")
@pytest.mark.parametrize(
    "operation, scim_type",
    [
        (remove("emails["), "invalidPath"),
        (replace("a..b", "x"), "invalidPath"),
        (replace("a.b.c", "x"), "invalidPath"),
        (replace("title title", "x"), "invalidPath"),
        (replace("foo", "x"), "invalidPath"),
        (replace("name.foo", "x"), "invalidPath"),
        (replace(f"{ENTERPRISE}:foo", "x"), "invalidPath"),
        (replace("urn:nobody:knows:this", "x"), "invalidPath"),
        (replace('name[familyName eq "x"]', {}), "invalidPath"),
        (replace('emails[type xx "work"]', {}), "invalidFilter"),
        (replace('emails[foo eq "work"]', {}), "invalidFilter"),
        (remove('emails[type eq "work" and]'), "invalidFilter"),
        ({"op": "remove"}, "noTarget"),
        ({"op": "remove", "path": ""}, "noTarget"),
        ({"op": "remove", "value": {"title": "t"}}, "noTarget"),
    ],
    ids=str,
)
def test_a_path_that_leads_nowhere_is_refused(hub: Hub, operation, scim_type):
    person = person_of(hub.strict)
    refused(hub.strict.patch(f"/Users/{person['id']}", operation), 400, scim_type)
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("M-005")
@pytest.mark.parametrize("op, path", [("remove", "emails[0]"), ("add", "emails[-1]"), ("replace", "emails/0")])
def test_there_is_no_index(hub: Hub, op, path):
    person = person_of(hub.strict)
    answer = hub.strict.patch(f"/Users/{person['id']}", {"op": op, "path": path, "value": {"value": "x"}})
    assert answer.status_code == 400
    assert answer.json()["scimType"] in ("invalidPath", "invalidFilter")


@requirement("M-025", "M-062")
def test_a_missing_blank_before_a_quotation_mark_is_forgiven(hub: Hub):
    person = person_of(hub.strict)
    patched = ok(hub.strict.patch(f"/Users/{person['id']}", remove('emails[type eq"work"]')))
    assert patched["emails"] == [{"type": "home", "value": "h@x.example"}]


@requirement("M-026")
def test_the_urn_alone_is_the_extension_as_a_whole(hub: Hub):
    person = person_of(hub.strict)
    path = f"/Users/{person['id']}"
    assert ok(hub.strict.patch(path, add(ENTERPRISE, {"costCenter": "c"})))[ENTERPRISE] == {
        "department": "d",
        "division": "v",
        "costCenter": "c",
    }
    gone = ok(hub.strict.patch(path, remove(ENTERPRISE)))
    assert ENTERPRISE not in gone
    assert gone["schemas"] == [USER]


@requirement("M-027")
def test_values_of_a_simple_attribute_are_chosen_by_value(hub: Hub):
    badge = "urn:example:scim:schemas:extension:badge:2.0:User"
    hub.add_schema({"id": badge, "name": "Badge", "attributes": [{"name": "tags", "multiValued": True}], "extends": ["User"]})
    document = user("a", **{badge: {"tags": ["x", "y"]}}) | {"schemas": [USER, badge]}
    person = hub.strict.post("/Users", document).json()
    assert ok(hub.strict.patch(f"/Users/{person['id']}", remove(f'{badge}:tags[value eq "x"]')))[badge] == {"tags": ["y"]}


@requirement("M-029", "IDP-06")
def test_lenient_reads_keys_of_a_value_as_paths(hub: Hub):
    person = person_of(hub.lenient)
    value = {
        "name.givenName": "u",
        f"{ENTERPRISE}:department": "e",
        'emails[type eq "work"].value': "new@x.example",
        "title": "v",
    }
    patched = ok(hub.lenient.patch(f"/Users/{person['id']}", replace(None, value)))
    assert patched["name"] == {"givenName": "u", "familyName": "f"}
    assert patched[ENTERPRISE] == {"department": "e", "division": "v"}
    assert patched["emails"][0] == {"type": "work", "value": "new@x.example", "display": "W"}
    assert patched["title"] == "v"


@requirement("M-030", "M-031", "M-050", "M-070", "IDP-11")
@pytest.mark.parametrize("path", [{}, {"path": None}, {"path": ""}], ids=str)
@pytest.mark.parametrize("op", ["add", "replace"])
def test_without_a_path_only_the_named_attributes_change(hub: Hub, op, path):
    person = person_of(hub.strict)
    value = {"nickName": "n", "active": False, ENTERPRISE: {"department": "e"}}
    patched = ok(hub.strict.patch(f"/Users/{person['id']}", {"op": op, "value": value} | path))
    expected = person | {"nickName": "n", "active": False, ENTERPRISE: {"department": "e", "division": "v"}}
    assert {**patched, "meta": 0} == {**expected, "meta": 0}


# --------------------------------------------------------------------------- operations


@requirement("M-040", "C-010", "C-015")
@pytest.mark.parametrize(
    "operation",
    [
        replace("id", "other"),
        replace("meta.created", "1999-01-01T00:00:00Z"),
        replace("meta", {"created": "1999-01-01T00:00:00Z"}),
        add("groups", [{"value": "g"}]),
        replace(None, {"id": "other"}),
        remove("id"),
        remove("meta"),
    ],
    ids=str,
)
def test_what_is_read_only_cannot_be_patched(hub: Hub, operation):
    person = person_of(hub.strict)
    refused(hub.strict.patch(f"/Users/{person['id']}", operation), 400, "mutability")
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("M-040", "IDP-12")
def test_the_same_id_once_more_is_no_change(hub: Hub):
    team = hub.strict.group("g")
    assert hub.strict.patch(f"/Groups/{team['id']}", replace(None, {"id": team["id"], "displayName": "x"})).status_code == 204
    assert hub.strict.read(f"/Groups/{team['id']}")["displayName"] == "x"


@requirement("M-042", "M-043", "M-044")
@pytest.mark.parametrize(
    "operation",
    [
        replace("active", "maybe"),
        replace("title", 5),
        replace("name", "x"),
        replace("userName", ""),
        add("emails", "x"),
        replace('emails[type eq "work"].primary', "x"),
        {"op": "add", "path": "title"},
        {"op": "replace", "path": "title"},
        {"op": "add"},
        {"op": "replace", "value": "x"},
        add("emails", [{"value": "1", "primary": True}, {"value": "2", "primary": True}]),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused(hub: Hub, operation):
    person = person_of(hub.strict)
    refused(hub.strict.patch(f"/Users/{person['id']}", operation), 400, "invalidValue")
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("M-045", "M-046", "C-005")
def test_schemas_follows_the_extensions(hub: Hub):
    person = hub.strict.user("a")
    path = f"/Users/{person['id']}"
    added = ok(hub.strict.patch(path, add("schemas", [ENTERPRISE]), add(f"{ENTERPRISE}:department", "d")))
    assert set(added["schemas"]) == {USER, ENTERPRISE}
    assert ok(hub.strict.patch(path, replace(f"{ENTERPRISE}:department", None)))["schemas"] == [USER]


@requirement("M-051", "M-052", "M-053", "M-054")
def test_add(hub: Hub):
    person = person_of(hub.strict)
    path = f"/Users/{person['id']}"
    third = {"type": "other", "value": "o@x.example"}
    assert ok(hub.strict.patch(path, add("emails", [third])))["emails"] == [*person["emails"], third]
    again = ok(hub.strict.patch(path, add("emails", [third])))
    assert again["emails"] == [*person["emails"], third]
    assert ok(hub.strict.patch(path, add("emails", third)))["meta"] == again["meta"]
    assert ok(hub.strict.patch(path, add("title", "u")))["title"] == "u"
    assert ok(hub.strict.patch(path, add("name", {"givenName": "h"})))["name"] == {"givenName": "h", "familyName": "f"}


@requirement("M-052", "M-012", "IDP-10")
def test_a_member_is_added_once(hub: Hub):
    person = hub.strict.user("a")
    team = hub.strict.group("g")
    member = {"value": person["id"]}
    for _ in range(2):
        assert hub.strict.patch(f"/Groups/{team['id']}", add("members", [member, member])).status_code == 204
    assert len(hub.strict.read(f"/Groups/{team['id']}")["members"]) == 1
    assert len([change for change in hub.changes() if change.members_added]) == 1


@requirement("M-055", "M-076", "IDP-05")
@pytest.mark.parametrize("op", ["add", "replace"])
def test_lenient_makes_the_value_that_a_path_asks_for(hub: Hub, op):
    person = hub.lenient.user("a", emails=[{"type": "home", "value": "h@x.example"}])
    path = f"/Users/{person['id']}"
    patched = ok(hub.lenient.patch(path, {"op": op, "path": 'emails[type eq "work"].value', "value": "w@x.example"}))
    assert patched["emails"] == [{"type": "home", "value": "h@x.example"}, {"type": "work", "value": "w@x.example"}]
    operation = {"op": op, "path": 'emails[type ne "home" and type ne "work"].value', "value": "x"}
    refused(hub.lenient.patch(path, operation), 400, "noTarget")


@requirement("M-055")
def test_add_with_a_value_path_sets_what_matches(hub: Hub):
    person = person_of(hub.strict)
    patched = ok(hub.strict.patch(f"/Users/{person['id']}", add('emails[type eq "work"].display', "X")))
    assert [email.get("display") for email in patched["emails"]] == ["X", None]


@requirement("M-061", "M-062", "M-063")
@pytest.mark.parametrize(
    "path, shown",
    [
        ("title", {"title": None}),
        ("emails", {"emails": None}),
        ("name", {"name": None}),
        ("name.givenName", {"name": {"familyName": "f"}}),
        ('emails[type eq "work"]', {"emails": [{"type": "home", "value": "h@x.example"}]}),
        ('emails[value co "@x.example"]', {"emails": None}),
        (
            'emails[type eq "work"].display',
            {"emails": [{"type": "work", "value": "w@x.example"}, {"type": "home", "value": "h@x.example"}]},
        ),
        (f"{ENTERPRISE}:department", {ENTERPRISE: {"division": "v"}}),
    ],
)
def test_remove(hub: Hub, path, shown):
    person = person_of(hub.strict)
    patched = ok(hub.strict.patch(f"/Users/{person['id']}", remove(path)))
    assert {name: patched.get(name) for name in shown} == shown


@requirement("M-064", "C-018", "IDP-10")
@pytest.mark.parametrize(
    "kind, path",
    [
        ("/Groups", 'members[value eq "nobody"]'),
        ("/Users", "nickName"),
        ("/Users", 'emails[type eq "fax"]'),
        ("/Users", 'emails[type eq "fax"].value'),
    ],
)
def test_removing_what_is_not_there_is_success_without_change(hub: Hub, kind, path):
    made = person_of(hub.strict) if kind == "/Users" else hub.strict.group("g")
    assert hub.strict.patch(f"{kind}/{made['id']}", remove(path)).status_code in (200, 204)
    assert hub.strict.read(f"{kind}/{made['id']}") == made


@requirement("M-065")
@pytest.mark.parametrize(
    "operation", [remove("userName"), remove("groups"), remove("schemas"), replace("userName", None)], ids=str
)
def test_what_is_required_or_read_only_cannot_be_removed(hub: Hub, operation):
    person = person_of(hub.strict)
    answer = hub.strict.patch(f"/Users/{person['id']}", operation)
    assert answer.status_code == 400
    assert answer.json()["scimType"] in (("mutability",) if operation["op"] == "remove" else ("mutability", "invalidValue"))
    assert hub.strict.read(f"/Users/{person['id']}") == person


@requirement("M-066", "IDP-03", "IDP-04")
def test_removal_by_a_list_of_values_removes_just_those_or_nothing(hub: Hub):
    ids = [hub.strict.user(f"user{number}")["id"] for number in range(3)]
    team = hub.strict.group("g", *ids)
    path = f"/Groups/{team['id']}"
    operation = {"op": "remove", "path": "members", "value": [{"value": ids[0], "$ref": None}]}
    refused(hub.strict.patch(path, operation), 400, "invalidSyntax")
    assert len(hub.strict.read(path)["members"]) == 3
    assert hub.lenient.patch(path, operation | {"op": "Remove"}).status_code == 204
    assert {member["value"] for member in hub.strict.read(path)["members"]} == set(ids[1:])
    assert hub.lenient.patch(path, operation | {"value": []}).status_code in (200, 204)
    assert len(hub.strict.read(path)["members"]) == 2


@requirement("IDP-04")
def test_lenient_ignores_parts_of_a_member_that_are_null(hub: Hub):
    person = hub.lenient.user("a")
    team = hub.lenient.group("g")
    assert (
        hub.lenient.patch(f"/Groups/{team['id']}", add("members", [{"value": person["id"], "$ref": None}])).status_code == 204
    )
    assert [member["value"] for member in hub.lenient.read(f"/Groups/{team['id']}")["members"]] == [person["id"]]


@requirement("M-071", "M-072", "M-073", "M-074", "M-075")
@pytest.mark.parametrize(
    "path, value, shown",
    [
        ("title", "u", {"title": "u"}),
        ("emails", [{"value": "new@x.example"}], {"emails": [{"value": "new@x.example"}]}),
        ("nickName", "n", {"nickName": "n"}),
        ("name", {"familyName": "e"}, {"name": {"givenName": "g", "familyName": "e"}}),
        ("name.middleName", "m", {"name": {"givenName": "g", "familyName": "f", "middleName": "m"}}),
        ('addresses[type eq "work"]', {"type": "work", "country": "DE"}, {"addresses": [{"type": "work", "country": "DE"}]}),
        (
            'emails[value ew "x.example"].display',
            "D",
            {
                "emails": [
                    {"type": "work", "value": "w@x.example", "display": "D"},
                    {"type": "home", "value": "h@x.example", "display": "D"},
                ]
            },
        ),
    ],
)
def test_replace(hub: Hub, path, value, shown):
    person = person_of(hub.strict)
    patched = ok(hub.strict.patch(f"/Users/{person['id']}", replace(path, value)))
    assert {name: patched[name] for name in shown} == shown


@requirement("M-076")
@pytest.mark.parametrize("path, value", [('emails[type eq "fax"].value', "x"), ('emails[type eq "fax"]', {"value": "x"})])
def test_replace_of_a_value_that_is_not_there_has_no_target(hub: Hub, path, value):
    person = person_of(hub.strict)
    refused(hub.strict.patch(f"/Users/{person['id']}", replace(path, value)), 400, "noTarget")


@requirement("M-077", "A-045")
@pytest.mark.parametrize("value", [[], None])
def test_replacing_members_by_nothing_clears_them(hub: Hub, value):
    team = hub.strict.group("g", hub.strict.user("a")["id"])
    assert hub.strict.patch(f"/Groups/{team['id']}", replace("members", value)).status_code == 204
    assert "members" not in hub.strict.read(f"/Groups/{team['id']}")


@requirement("M-078")
def test_lenient_unwraps_a_value_in_a_list_of_objects(hub: Hub):
    person = person_of(hub.lenient)
    patched = ok(
        hub.lenient.patch(f"/Users/{person['id']}", replace('emails[type eq "work"].value', [{"value": "n@x.example"}]))
    )
    assert patched["emails"][0]["value"] == "n@x.example"


@requirement("IDP-02")
@pytest.mark.parametrize("text, value", [("True", True), ("False", False), ("false", False), ("TRUE", True)])
def test_lenient_reads_booleans_in_strings_for_boolean_attributes_only(hub: Hub, text, value):
    person = hub.lenient.user("a", active=not value)
    path = f"/Users/{person['id']}"
    assert ok(hub.lenient.patch(path, replace("active", text)))["active"] is value
    assert ok(hub.lenient.patch(path, replace("title", text)))["title"] == text
    refused(hub.lenient.patch(path, replace("active", "yes")), 400, "invalidValue")
    refused(hub.strict.patch(path, replace("active", text)), 400, "invalidValue")


# --------------------------------------------------------------------------- DELETE


@requirement("Z-001", "Z-002", "Z-003", "A-012")
def test_what_is_deleted_is_gone(hub: Hub):
    person, other = hub.strict.user("a"), hub.strict.user("b")
    team = hub.strict.group("g", person["id"], other["id"])
    path = f"/Users/{person['id']}"
    answer = hub.strict.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(hub.strict.get(path), 404)
    refused(hub.strict.put(path, user("a")), 404)
    refused(hub.strict.patch(path, replace("title", "t")), 404)
    refused(hub.strict.delete(path), 404)
    assert hub.strict.found("userName pr") == {"b"}
    assert hub.strict.found('userName eq "a"', "/") == set()
    assert [member["value"] for member in hub.strict.read(f"/Groups/{team['id']}")["members"]] == [other["id"]]
    hub.strict.delete(f"/Groups/{team['id']}")
    assert "groups" not in hub.strict.read(f"/Users/{other['id']}")


@requirement("Z-006")
def test_a_deleted_user_leaves_its_groups_with_a_change_each(hub: Hub):
    person = hub.strict.user("a")
    teams = [hub.strict.group(name, person["id"])["id"] for name in ("g", "h")]
    before = len(hub.changes())
    hub.strict.delete(f"/Users/{person['id']}")
    made = hub.changes()[before:]
    assert sorted(change.resource_id for change in made) == sorted([person["id"], *teams])
    assert {change.members_removed for change in made if change.resource_id in teams} == {(person["id"],)}
    assert len({change.exchange_id for change in made}) == 1
