"""Area 1, the data model: attribute types and characteristics, multi-valued attributes, common attributes."""

import base64
import re
from urllib.parse import urljoin

import pytest

from scimhub.directory.errors import Invalid
from tests.conformance.hub import ENTERPRISE, GROUP, MESSAGE, USER, Hub, add, created, group, ok, refused, remove, replace, user

requirement = pytest.mark.requirement
BADGE = "urn:example:scim:schemas:extension:badge:2.0:User"


def extension(*attributes: dict[str, object], required: bool = False) -> dict[str, object]:
    """A schema document for `scimhub schema add` that extends User."""
    return {"id": BADGE, "name": "Badge", "attributes": list(attributes), "extends": ["User"], "required": required}


def badge(name: str, **values: object) -> dict[str, object]:
    return user(name, **{BADGE: values}) | {"schemas": [USER, BADGE]}


@pytest.fixture
def badges(hub: Hub) -> Hub:
    """A directory whose users may carry an attribute of each type and characteristic."""
    hub.add_schema(
        extension(
            {"name": "level", "type": "integer"},
            {"name": "weight", "type": "decimal"},
            {"name": "issued", "type": "dateTime"},
            {"name": "photo", "type": "reference", "referenceTypes": ["external"]},
            {"name": "seal", "type": "binary"},
            {"name": "plain"},
            {"name": "exact", "caseExact": True},
            {"name": "fixed", "mutability": "immutable"},
            {"name": "asked", "returned": "request"},
            {"name": "secret", "mutability": "writeOnly", "returned": "never"},
            {"name": "shown", "returned": "always"},
            {"name": "serial", "uniqueness": "server"},
            {"name": "tags", "multiValued": True},
            {"name": "keys", "type": "complex", "multiValued": True},
        )
    )
    return hub


# --------------------------------------------------------------------------- names, types, characteristics


@requirement("A-001", "A-014", "A-018", "A-030")
@pytest.mark.parametrize(
    "attribute, complaint",
    [
        ({"name": "9x"}, "9x"),
        ({"name": "a b"}, "a b"),
        ({"name": "x", "type": "uuid"}, "uuid"),
        ({"name": "x", "referenceTypes": ["User"]}, "referenceTypes"),
        (
            {
                "name": "x",
                "type": "complex",
                "subAttributes": [{"name": "y", "type": "complex", "subAttributes": [{"name": "z"}]}],
            },
            "x.y",
        ),
    ],
)
def test_a_schema_that_breaks_the_rules_is_refused(hub: Hub, attribute, complaint):
    with pytest.raises(Invalid, match=re.escape(complaint)):
        hub.add_schema(extension(attribute))


@requirement("A-001")
def test_the_name_dollar_ref_is_accepted_in_members(hub: Hub):
    person = hub.strict.user("a")
    document = group("g") | {"members": [{"value": person["id"], "$ref": person["meta"]["location"]}]}
    assert created(hub.strict.post("/Groups", document))["members"][0]["$ref"] == person["meta"]["location"]


@requirement("A-002", "F-003")
def test_attribute_names_have_no_case_anywhere(hub: Hub):
    made = created(hub.strict.post("/Users", {"schemas": [USER], "USERNAME": "a", "NickName": "n", "NAME": {"GIVENname": "g"}}))
    assert (made["userName"], made["nickName"], made["name"]) == ("a", "n", {"givenName": "g"})
    assert hub.strict.found('USERNAME EQ "a"') == {"a"}
    assert set(hub.strict.read(f"/Users/{made['id']}", attributes="NICKNAME")) == {"schemas", "id", "nickName"}
    assert hub.strict.read("/Users", sortBy="USERname")["totalResults"] == 1
    assert ok(hub.strict.patch(f"/Users/{made['id']}", replace("Name.GivenName", "h")))["name"] == {"givenName": "h"}


@requirement("A-003")
def test_the_same_attribute_twice_in_different_case_is_refused(hub: Hub):
    refused(hub.strict.post("/Users", {"schemas": [USER], "userName": "a", "username": "b"}), 400, "invalidSyntax")


@requirement("A-004", "A-041")
def test_an_attribute_with_only_a_name_has_the_default_characteristics(badges: Hub):
    shown = {attribute["name"]: attribute for attribute in badges.strict.read(f"/Schemas/{BADGE}")["attributes"]}
    plain = {key: value for key, value in shown["plain"].items() if key not in ("name", "description")}
    assert plain == {
        "type": "string",
        "multiValued": False,
        "required": False,
        "caseExact": False,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    }
    subs = {sub["name"]: sub for sub in shown["keys"]["subAttributes"]}
    assert subs.keys() == {"value", "display", "type", "primary", "$ref"}
    assert subs["display"]["mutability"] == "immutable"


@requirement("A-005", "A-040", "A-042", "P-009", "U-001", "U-005", "U-007", "U-008", "A-009", "M-042")
@pytest.mark.parametrize(
    "attributes",
    [
        {"active": "yes"},
        {"active": 1},
        {"displayName": 5},
        {"name": "Ysolde"},
        {"name": [{"givenName": "Ysolde"}]},
        {"emails": [["a"]]},
        {"emails": ["a@x.example"]},
        {"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]},
        {"addresses": [{"country": "USA"}]},
        {"timezone": "Mars/X"},
        {"x509Certificates": [{"value": "!!"}]},
        {"userName": ""},
        {"userName": None},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_refused(hub: Hub, attributes):
    refused(hub.strict.post("/Users", user("a") | attributes), 400, "invalidValue")
    assert hub.strict.read("/Users")["totalResults"] == 0


@requirement("A-040")
def test_an_object_in_the_place_of_a_list_is_refused(hub: Hub):
    answer = hub.strict.post("/Users", user("a", emails={"value": "a@x.example"}))
    assert answer.status_code == 400
    assert answer.json()["scimType"] in ("invalidSyntax", "invalidValue")


@requirement("A-006", "A-007", "A-008", "A-009", "A-010")
@pytest.mark.parametrize(
    "name, text, is_right",
    [
        ("level", b"1", True),
        ("level", b"1.5", False),
        ("level", b"1e3", False),
        ("level", b"true", False),
        ("weight", b"1.25", True),
        ("weight", b'"1.25"', False),
        ("issued", b'"2024-01-01T10:00:00.5+02:00"', True),
        ("issued", b'"2024-01-01T10:00:00Z"', True),
        ("issued", b'"2024-01-01"', False),
        ("issued", b'"2024-13-01T10:00:00Z"', False),
        ("seal", b'"aGVsbG8="', True),
        ("seal", b'"aGVsbG8"', True),
        ("seal", b'"!!"', False),
        ("photo", b'"../photos/1"', True),
        ("photo", b'"https://photos.example/1"', True),
    ],
)
def test_values_of_an_extension_keep_to_their_type_and_come_back_as_sent(badges: Hub, name, text, is_right):
    body = b'{"schemas": ["%s", "%s"], "userName": "a", "%s": {"%s": %s}}' % (
        USER.encode(),
        BADGE.encode(),
        BADGE.encode(),
        name.encode(),
        text,
    )
    answer = badges.strict.post("/Users", body)
    if not is_right:
        refused(answer, 400, "invalidValue")
        return
    assert answer.status_code == 201, answer.text
    assert b'"%s":%s' % (name.encode(), text) in badges.strict.get(f"/Users/{answer.json()['id']}").content.replace(b": ", b":")


@requirement("A-010", "A-012", "G-003")
def test_a_reference_leads_to_its_target(hub: Hub):
    person = hub.strict.user("a")
    inner = hub.strict.group("inner", person["id"])
    outer = hub.strict.group("outer", person["id"], inner["id"])
    assert {member["value"]: member["type"] for member in outer["members"]} == {person["id"]: "User", inner["id"]: "Group"}
    for member in outer["members"]:
        assert ok(hub.strict.get(member["$ref"]))["id"] == member["value"]
    reference = {"value": person["id"], "$ref": f"Users/{person['id']}"}
    shown = hub.strict.user("b", enterprise={"manager": reference})[ENTERPRISE]["manager"]["$ref"]
    # Relative to the base URL, or made absolute by the hub (RFC 7643 §2.3.7).
    assert ok(hub.strict.get(urljoin(f"{hub.strict.base}/", shown)))["id"] == person["id"]
    relative = group("relative") | {"members": [{"value": person["id"], "$ref": f"../Users/{person['id']}"}]}
    assert hub.strict.post("/Groups", relative).status_code == 201


@requirement("A-011", "A-021", "F-020")
def test_references_and_exact_strings_compare_with_case_and_the_rest_without(badges: Hub):
    badges.strict.post(
        "/Users", badge("a", exact="AbC", plain="AbC") | {"profileUrl": "https://p.example/A", "externalId": "AbC"}
    )
    hits = {
        'profileUrl eq "https://p.example/A"': {"a"},
        'profileUrl eq "https://p.example/a"': set(),
        'externalId eq "AbC"': {"a"},
        'externalId eq "abc"': set(),
        f'{BADGE}:exact eq "AbC"': {"a"},
        f'{BADGE}:exact eq "abc"': set(),
        f'{BADGE}:plain eq "abc"': {"a"},
        'userName eq "A"': {"a"},
    }
    assert {expression: badges.strict.found(expression) for expression in hits} == hits


@requirement("A-013")
def test_a_member_that_is_not_there_is_refused_by_name(hub: Hub):
    assert "nobody-7" in refused(hub.strict.post("/Groups", group("g", "nobody-7")), 400, "invalidValue")


@requirement("A-015", "A-023", "A-030", "D-018", "C-021", "C-022")
def test_the_published_schemas_are_consistent(hub: Hub):
    for schema in hub.strict.read("/Schemas")["Resources"]:
        for attribute in schema["attributes"]:
            for each in [attribute, *attribute.get("subAttributes", [])]:
                assert None not in each.values()
                assert each["mutability"] in ("readOnly", "readWrite", "immutable", "writeOnly")
                assert each["returned"] in ("always", "never", "default", "request")
                assert {"name", "type", "multiValued", "required", "mutability", "returned", "description"} <= each.keys()
                assert ("referenceTypes" in each) == (each["type"] == "reference")
                if each["type"] == "complex":
                    assert not {"uniqueness", "caseExact"} & each.keys(), (schema["id"], each["name"])
    person = {attribute["name"]: attribute for attribute in hub.strict.read(f"/Schemas/{USER}")["attributes"]}
    assert not {"id", "meta", "externalId", "schemas"} & person.keys()
    photo = {sub["name"]: sub for sub in person["photos"]["subAttributes"]}["value"]
    assert photo["referenceTypes"] == ["external"]


@requirement("A-016")
def test_the_order_of_members_in_an_object_means_nothing(hub: Hub):
    document = user("a", name={"givenName": "g", "familyName": "f"}, active=True)
    backwards = dict(reversed(document.items())) | {"userName": "b", "name": {"familyName": "f", "givenName": "g"}}
    first, second = (created(hub.strict.post("/Users", each)) for each in (document, backwards))
    assert {**first, "userName": 0, "id": 0, "meta": 0} == {**second, "userName": 0, "id": 0, "meta": 0}


@requirement("A-017")
def test_a_simple_attribute_has_no_sub_attributes(hub: Hub):
    person = hub.strict.user("a")
    refused(hub.strict.patch(f"/Users/{person['id']}", replace("userName.x", "b")), 400, "invalidPath")


@requirement("A-019", "A-020", "A-022", "A-044", "A-048", "U-004", "U-006", "A-047")
@pytest.mark.parametrize(
    "attributes",
    [
        {"displayName": "Ysolde 🦀 e\u0301 \u00e9 \u202e"},
        {"title": ""},
        {"emails": [{"value": "A@X.Example", "type": "vacation"}]},
        {"emails": [{"value": "a@x.example", "type": "work"}, {"value": "a@x.example", "type": "home"}]},
        {"phoneNumbers": [{"value": "555-1", "type": "work"}]},
        {"name": {"givenName": "Ysolde", "familyName": "Marchetti"}},
        {"name": {"formatted": "Ysolde Marchetti"}},
        {"locale": "en_US"},
    ],
    ids=str,
)
def test_values_come_back_byte_for_byte(hub: Hub, attributes):
    made = created(hub.strict.post("/Users", user("Bob@X.org", **attributes)))
    read = hub.strict.read(f"/Users/{made['id']}")
    assert read["userName"] == "Bob@X.org"
    assert {name: read[name] for name in attributes} == attributes


@requirement("A-047")
def test_an_empty_string_is_a_value_but_not_present(hub: Hub):
    hub.strict.user("a", title="")
    assert hub.strict.found("title pr") == set()


@requirement("A-024", "C-010", "C-015", "P-004", "U-010", "W-005", "IDP-13")
def test_read_only_values_are_ignored_in_post_and_put(hub: Hub):
    foreign = {
        "id": "mine",
        "meta": {"created": "1999-01-01T00:00:00Z", "resourceType": "Users"},
        "groups": [{"value": "g", "display": "Admins"}],
    }
    made = created(hub.strict.post("/Users", user("a") | foreign))
    assert made["id"] != "mine"
    assert not made["meta"]["created"].startswith("1999")
    assert made["meta"]["resourceType"] == "User"
    assert "groups" not in made
    put = ok(hub.strict.put(f"/Users/{made['id']}", user("a") | foreign))
    assert put == made


@requirement("A-025", "W-006", "M-041")
def test_an_immutable_value_is_set_once(badges: Hub):
    empty = created(badges.strict.post("/Users", badge("a", plain="p")))
    path = f"/Users/{empty['id']}"
    assert ok(badges.strict.put(path, badge("a", plain="p", fixed="1")))[BADGE]["fixed"] == "1"
    assert ok(badges.strict.put(path, badge("a", plain="p", fixed="1")))[BADGE]["fixed"] == "1"
    refused(badges.strict.put(path, badge("a", plain="p", fixed="2")), 400, "mutability")
    refused(badges.strict.patch(path, replace(f"{BADGE}:fixed", "2")), 400, "mutability")
    refused(badges.strict.patch(path, remove(f"{BADGE}:fixed")), 400, "mutability")
    unset = created(badges.strict.post("/Users", badge("b", plain="p")))
    assert ok(badges.strict.patch(f"/Users/{unset['id']}", add(f"{BADGE}:fixed", "3")))[BADGE]["fixed"] == "3"


@requirement("A-026", "U-009", "X-008", "SEC-4")
def test_what_is_never_returned_appears_nowhere(badges: Hub):
    secret = "correct-horse-battery"
    document = badge("a", secret=secret, plain="p") | {"password": secret}
    answers = [badges.strict.post("/Users", document)]
    path = f"/Users/{created(answers[0])['id']}"
    answers += [
        badges.strict.get(path),
        badges.strict.get(path, attributes=f"password,{BADGE}:secret"),
        badges.strict.get("/Users"),
        badges.strict.put(path, document | {"title": "t"}),
        badges.strict.patch(path, replace("password", secret), replace("title", "u")),
        badges.strict.search("/Users/.search", attributes=["password"]),
    ]
    for answer in answers:
        assert answer.status_code in (200, 201), answer.text
        assert secret not in answer.text
        assert "password" not in answer.text
    assert secret not in str(badges.changes())


@requirement("A-027", "X-002", "X-003")
def test_what_is_always_returned_cannot_be_left_out(badges: Hub):
    path = f"/Users/{created(badges.strict.post('/Users', badge('a', shown='s', plain='p')))['id']}"
    for query in ({"excludedAttributes": f"id,schemas,{BADGE}:shown"}, {"attributes": "userName"}):
        read = badges.strict.read(path, **query)
        assert read["id"] == path.removeprefix("/Users/")
        assert set(read["schemas"]) == {USER, BADGE}
        assert read[BADGE]["shown"] == "s"


@requirement("A-028", "R-004")
def test_what_is_returned_on_request_comes_when_named_or_just_written(badges: Hub):
    made = created(badges.strict.post("/Users", badge("a", asked="q", plain="p")))
    assert made[BADGE]["asked"] == "q"
    path = f"/Users/{made['id']}"
    assert "asked" not in badges.strict.read(path)[BADGE]
    assert badges.strict.read(path, attributes=f"{BADGE}:asked")[BADGE] == {"asked": "q"}


@requirement("A-029")
def test_uniqueness_is_kept_where_it_is_declared_and_only_there(badges: Hub):
    created(badges.strict.post("/Users", badge("a", serial="S1") | {"displayName": "same"}))
    created(badges.strict.post("/Users", badge("b", serial="S2") | {"displayName": "same"}))
    refused(badges.strict.post("/Users", badge("c", serial="s1")), 409, "uniqueness")


# --------------------------------------------------------------------------- multi-valued, null, primary


@requirement("A-042", "M-013")
def test_there_is_one_primary_value(hub: Hub):
    made = hub.strict.user("a", emails=[{"value": "a@x.example", "primary": True}, {"value": "b@x.example"}])
    patched = ok(hub.strict.patch(f"/Users/{made['id']}", add("emails", [{"value": "c@x.example", "primary": True}])))
    assert {email["value"]: email.get("primary", False) for email in patched["emails"]} == {
        "a@x.example": False,
        "b@x.example": False,
        "c@x.example": True,
    }


@requirement("A-043", "M-052")
def test_a_pair_of_type_and_value_is_kept_once(hub: Hub):
    email = {"type": "work", "value": "a@x.example"}
    made = hub.strict.user("a", emails=[email])
    assert ok(hub.strict.patch(f"/Users/{made['id']}", add("emails", [email])))["emails"] == [email]


@requirement("A-045", "A-046", "W-004", "P-006")
def test_null_and_the_empty_list_clear_an_attribute(hub: Hub):
    made = hub.strict.user("a", title="t", emails=[{"value": "a@x.example"}], name={"givenName": "g"})
    put = ok(hub.strict.put(f"/Users/{made['id']}", user("a", title=None, emails=[], name={})))
    read = hub.strict.read(f"/Users/{made['id']}")
    for shown in (put, read):
        assert not {"title", "emails", "name"} & shown.keys()
    assert hub.strict.found("title pr") == set()
    assert "title" not in created(hub.strict.post("/Users", user("b", title=None)))
    assert "null" not in hub.strict.get(f"/Users/{made['id']}").text


# --------------------------------------------------------------------------- schemas, common attributes, meta


@requirement("C-001", "C-002", "D-012", "N-001", "L-001", "B-002")
def test_every_resource_and_message_names_its_schemas(hub: Hub):
    person = hub.strict.user("a", enterprise={"department": "d"})
    hub.strict.group("g", person["id"])
    offered = {schema["id"] for schema in hub.strict.read("/Schemas")["Resources"]}
    types = {each["name"]: each for each in hub.strict.read("/ResourceTypes")["Resources"]}
    for resource in hub.strict.read("/")["Resources"]:
        kind = types[resource["meta"]["resourceType"]]
        permitted = {kind["schema"], *(each["schema"] for each in kind.get("schemaExtensions", []))}
        assert resource["schemas"]
        assert len(set(resource["schemas"])) == len(resource["schemas"])
        assert set(resource["schemas"]) <= permitted <= offered
    assert hub.strict.read("/Users")["schemas"] == [f"{MESSAGE}:ListResponse"]
    assert hub.strict.get("/Users/none").json()["schemas"] == [f"{MESSAGE}:Error"]
    assert hub.strict.bulk().json()["schemas"] == [f"{MESSAGE}:BulkResponse"]


@requirement("C-003")
def test_the_base_schema_must_be_named(hub: Hub):
    refused(hub.strict.post("/Users", {"schemas": [ENTERPRISE], "userName": "a"}), 400, "invalidSyntax")
    assert created(hub.lenient.post("/Users", {"userName": "a"}))["schemas"] == [USER]


@requirement("C-004")
def test_extension_attributes_live_under_their_urn(hub: Hub):
    made = created(hub.strict.post("/Users", user("a", enterprise={"employeeNumber": "7"})))
    assert made[ENTERPRISE] == {"employeeNumber": "7"}
    flat = hub.strict.post("/Users", user("b", employeeNumber="8"))
    assert flat.status_code == 400 or ENTERPRISE not in flat.json()


@requirement("C-005", "M-046", "C-007", "W-011")
def test_schemas_says_what_is_there(hub: Hub):
    made = created(hub.strict.post("/Users", user("a") | {"schemas": [USER, ENTERPRISE]}))
    assert made["schemas"] == [USER]
    path = f"/Users/{made['id']}"
    assert set(ok(hub.strict.patch(path, add(f"{ENTERPRISE}:department", "d")))["schemas"]) == {USER, ENTERPRISE}
    assert ok(hub.strict.patch(path, remove(f"{ENTERPRISE}:department")))["schemas"] == [USER]
    assert set(ok(hub.strict.put(path, user("a", enterprise={"division": "v"})))["schemas"]) == {USER, ENTERPRISE}
    assert ok(hub.strict.put(path, user("a")))["schemas"] == [USER]
    forgotten = created(hub.lenient.post("/Users", user("b") | {ENTERPRISE: {"division": "v"}}))
    assert (set(forgotten["schemas"]), forgotten[ENTERPRISE]) == ({USER, ENTERPRISE}, {"division": "v"})


@requirement("C-006", "IDP-08")
def test_unknown_schema_urns_are_dropped_in_lenient_and_refused_in_strict(hub: Hub):
    document = group("g") | {"schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]}
    assert created(hub.lenient.post("/Groups", document))["schemas"] == [GROUP]
    refused(hub.strict.post("/Groups", document), 400, "invalidValue")


@requirement("C-010", "C-011", "C-012")
def test_ids_are_the_servers_own_and_unique_over_all_types(hub: Hub):
    ids = [hub.strict.user(f"u{number}")["id"] for number in range(30)] + [
        hub.strict.group(f"g{number}")["id"] for number in range(30)
    ]
    assert len(set(ids)) == 60
    assert all(id and "bulkId" not in id for id in ids)
    assert hub.strict.read(f"/Users/{ids[0]}")["id"] == ids[0]


@requirement("C-013", "C-014", "T-003")
def test_external_ids_belong_to_the_source_that_gave_them(hub: Hub):
    other = hub.client("strict")
    first = hub.strict.user("a", externalId="X1")
    second = other.user("b", externalId="X1")
    assert "externalId" not in hub.strict.user("c")
    assert hub.strict.found('externalId eq "X1"') == {"a"}
    assert other.found('externalId eq "X1"') == {"b"}
    assert "externalId" not in other.read(f"/Users/{first['id']}")
    ok(other.patch(f"/Users/{first['id']}", add("externalId", "mine")))
    assert hub.strict.read(f"/Users/{first['id']}")["externalId"] == "X1"
    assert other.read(f"/Users/{first['id']}")["externalId"] == "mine"
    assert second["externalId"] == "X1"
    assert hub.elsewhere.user("a", externalId="X1")["externalId"] == "X1"


@requirement("C-016", "P-008", "C-017", "C-019", "C-020", "V-001", "V-003", "P-002", "R-001")
def test_meta_is_the_servers(hub: Hub):
    for endpoint, document, name in (("/Users", user("a"), "User"), ("/Groups", group("g"), "Group")):
        answer = hub.strict.post(endpoint, document)
        meta = created(answer)["meta"]
        assert meta["resourceType"] == name
        assert meta["created"] == meta["lastModified"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", meta["created"])
        assert meta["location"] == f"{hub.strict.base}{endpoint}/{answer.json()['id']}"
        assert answer.headers["location"] == meta["location"]
        read = hub.strict.get(meta["location"])
        assert ok(read) == answer.json()
        assert read.headers["content-location"] == meta["location"]
        assert read.headers["etag"] == meta["version"]
        assert re.fullmatch(r'W/"[^"]+"', meta["version"])


@requirement("C-018", "M-012", "W-010", "V-004")
def test_a_write_that_changes_nothing_leaves_time_and_version(hub: Hub):
    person = hub.strict.user("a", title="t")
    team = hub.strict.group("g", person["id"])
    writes = len(hub.changes())
    hub.strict.patch(f"/Groups/{team['id']}", add("members", [{"value": person["id"]}]))
    hub.strict.patch(f"/Users/{person['id']}", replace("title", "t"))
    hub.strict.put(f"/Users/{person['id']}", user("a", title="t"))
    assert hub.strict.read(f"/Groups/{team['id']}")["meta"] == team["meta"]
    assert hub.strict.read(f"/Users/{person['id']}")["meta"] == person["meta"]
    assert len(hub.changes()) == writes


@requirement("C-021")
def test_a_type_of_ones_own_has_the_common_attributes(hub: Hub):
    urn = "urn:example:scim:schemas:Badge"
    hub.add_schema(
        {"schemas": [{"id": urn, "attributes": [{"name": "number"}]}], "resourceTypes": [{"name": "Badge", "schema": urn}]}
    )
    made = created(hub.strict.post("/Badges", {"schemas": [urn], "number": "7", "externalId": "x"}))
    assert made == {"schemas": [urn], "id": made["id"], "externalId": "x", "number": "7", "meta": made["meta"]}
    assert made["meta"]["resourceType"] == "Badge"


@requirement("C-023")
def test_a_required_extension_must_be_there(hub: Hub):
    hub.add_schema(extension({"name": "number", "required": True}, {"name": "colour"}, required=True))
    refused(hub.strict.post("/Users", user("a")), 400, "invalidValue")
    refused(hub.strict.post("/Users", badge("a", colour="red")), 400, "invalidValue")
    assert created(hub.strict.post("/Users", badge("a", number="7")))[BADGE] == {"number": "7"}


# --------------------------------------------------------------------------- User, Group, EnterpriseUser


@requirement("U-001", "U-002", "U-003", "SEC-8")
@pytest.mark.parametrize("twin", ["bob", "BOB", "Bob", "ｂｏｂ"])
def test_user_names_are_unique_whatever_their_case_and_width(hub: Hub, twin):
    hub.strict.user("Bob")
    refused(hub.strict.post("/Users", user(twin)), 409, "uniqueness")
    assert hub.strict.found(f'userName eq "{twin}"') == {"Bob"}


@requirement("U-003", "SEC-8")
def test_user_names_compare_in_their_prepared_form(hub: Hub):
    hub.strict.user("e\u0301toile")
    assert hub.strict.found('userName eq "\u00c9TOILE"') == {"e\u0301toile"}
    # RFC 8265 §3.3 maps width, not compatibility: the ligature is another letter.
    hub.strict.user("ﬀoo")
    assert hub.strict.found('userName eq "ffoo"') == set()


@requirement("U-007")
def test_a_certificate_is_one_certificate(hub: Hub):
    one = bytes.fromhex("3003020101")  # a DER sequence of five bytes
    made = hub.strict.user("a", x509Certificates=[{"value": base64.b64encode(one).decode()}])
    assert made["x509Certificates"][0]["value"] == base64.b64encode(one).decode()
    two = base64.b64encode(one + one).decode()
    refused(hub.strict.post("/Users", user("b", x509Certificates=[{"value": two}])), 400, "invalidValue")


@requirement("U-010", "M-040")
def test_groups_of_a_user_cannot_be_patched(hub: Hub):
    person = hub.strict.user("a")
    refused(hub.strict.patch(f"/Users/{person['id']}", add("groups", [{"value": "g"}])), 400, "mutability")
    refused(hub.strict.patch(f"/Users/{person['id']}", remove("groups")), 400, "mutability")


@requirement("U-011", "U-012", "G-004", "F-035")
def test_a_user_shows_its_groups_direct_and_nested(hub: Hub):
    person = hub.strict.user("a")
    inner = hub.strict.group("inner", person["id"])
    outer = hub.strict.group("outer", inner["id"])
    shown = {each["value"]: each for each in hub.strict.read(f"/Users/{person['id']}")["groups"]}
    assert {id: (each["type"], each["display"], each["$ref"]) for id, each in shown.items()} == {
        inner["id"]: ("direct", "inner", inner["meta"]["location"]),
        outer["id"]: ("indirect", "outer", outer["meta"]["location"]),
    }
    # A circle hangs nothing.
    assert hub.strict.patch(f"/Groups/{inner['id']}", add("members", [{"value": outer["id"]}])).status_code == 204
    for path in (f"/Users/{person['id']}", f"/Groups/{inner['id']}", f"/Groups/{outer['id']}", "/"):
        hub.strict.read(path)
    assert hub.strict.found(f'groups.value eq "{inner["id"]}"') == {"a"}


@requirement("U-013", "U-014", "F-031", "P-005", "IDP-10")
def test_an_inactive_user_stays_readable(hub: Hub):
    made = hub.strict.user("a")
    assert made["active"] is True
    assert hub.strict.found("active eq true") == {"a"}
    ok(hub.strict.patch(f"/Users/{made['id']}", replace("active", False)))
    assert hub.strict.read(f"/Users/{made['id']}")["active"] is False
    assert hub.strict.found('userName eq "a"') == {"a"}
    assert hub.strict.found("active eq true") == set()


@requirement("G-001")
def test_a_group_needs_a_display_name_which_need_not_be_unique(hub: Hub):
    refused(hub.strict.post("/Groups", {"schemas": [GROUP]}), 400, "invalidValue")
    assert hub.strict.group("same")["id"] != hub.strict.group("same")["id"]


@requirement("G-002", "M-041")
def test_a_members_own_attributes_are_fixed(hub: Hub):
    first, second = hub.strict.user("a"), hub.strict.user("b")
    team = hub.strict.group("g", first["id"])
    path = f"/Groups/{team['id']}"
    refused(hub.strict.patch(path, replace(f'members[value eq "{first["id"]}"].value', second["id"])), 400, "mutability")
    assert [member["value"] for member in hub.strict.read(path)["members"]] == [first["id"]]


@requirement("G-005")
def test_a_members_display_is_accepted(hub: Hub):
    person = hub.strict.user("a", displayName="Ysolde")
    team = hub.strict.group("g")
    member = {"value": person["id"], "display": "somebody", "type": "User"}
    assert hub.strict.patch(f"/Groups/{team['id']}", add("members", [member])).status_code == 204
    assert [each["value"] for each in hub.strict.read(f"/Groups/{team['id']}")["members"]] == [person["id"]]


@requirement("G-006", "IDP-10")
def test_all_members_are_shown_unless_they_are_excluded(hub: Hub):
    ids = [operation["location"].rpartition("/")[2] for operation in _many_users(hub, 300)]
    team = hub.strict.group("g", *ids)
    assert {member["value"] for member in hub.strict.read(f"/Groups/{team['id']}")["members"]} == set(ids)
    assert "members" not in hub.strict.read(f"/Groups/{team['id']}", excludedAttributes="members")


def _many_users(hub: Hub, count: int) -> list[dict[str, str]]:
    operations = [{"method": "POST", "path": "/Users", "bulkId": f"u{n}", "data": user(f"user{n:04d}")} for n in range(count)]
    return ok(hub.strict.bulk(*operations))["Operations"]


@requirement("E-001", "IDP-07")
@pytest.mark.parametrize("form", ["{}", "string", "list"])
def test_a_manager_is_understood_in_the_forms_that_are_sent(hub: Hub, form):
    boss = hub.lenient.user("boss", displayName="Boss")
    person = hub.lenient.user("a")
    value = {"{}": {"value": boss["id"], "displayName": "ignored"}, "string": boss["id"], "list": [{"value": boss["id"]}]}[form]
    patched = ok(hub.lenient.patch(f"/Users/{person['id']}", add(f"{ENTERPRISE}:manager", value)))
    manager = patched[ENTERPRISE]["manager"]
    assert manager["value"] == boss["id"]
    assert manager.get("displayName") != "ignored"


@requirement("E-002")
def test_a_manager_shows_value_and_the_reference_that_was_sent(hub: Hub):
    # docs/decisions/0006: a reference that nobody sent is not made up.
    boss = hub.strict.user("boss")
    sent = {"value": boss["id"], "$ref": boss["meta"]["location"]}
    person = hub.strict.user("a", enterprise={"manager": sent})
    assert hub.strict.read(f"/Users/{person['id']}")[ENTERPRISE]["manager"] == sent
