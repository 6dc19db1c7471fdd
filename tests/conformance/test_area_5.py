"""Area 5: list responses and projection."""

import pytest

from tests.conformance.hub import ENTERPRISE, MESSAGE, Hub, ok, refused, replace, user

requirement = pytest.mark.requirement


@pytest.fixture
def people(hub: Hub) -> Hub:
    """A directory of 25 users."""
    operations = [{"method": "POST", "path": "/Users", "bulkId": f"u{n}", "data": user(f"user{n:02d}")} for n in range(25)]
    ok(hub.strict.bulk(*operations))
    return hub


@requirement("L-001", "L-004", "L-005", "L-006", "L-010", "I-002", "I-004", "I-008")
@pytest.mark.parametrize("start, count, shown", [("1", "10", 10), ("11", "10", 10), ("21", "10", 5), ("26", "10", 0)])
def test_a_page_tells_what_it_is_a_part_of(people: Hub, start, count, shown):
    page = people.strict.read("/Users", startIndex=start, count=count)
    assert page["schemas"] == [f"{MESSAGE}:ListResponse"]
    assert len(page["Resources"]) == shown
    numbers = [page["totalResults"], page["itemsPerPage"], page["startIndex"]]
    assert numbers == [25, shown, int(start)]
    assert all(type(number) is int for number in numbers)


@requirement("L-002", "L-003")
def test_an_empty_result_is_a_list_too(hub: Hub):
    page = hub.strict.read("/Users", filter='userName eq "nobody"')
    assert (page["totalResults"], page["Resources"]) == (0, [])


@requirement("L-007", "L-009", "Q-005")
def test_the_root_spans_all_types(hub: Hub):
    person = hub.strict.user("a", displayName="Smith")
    team = hub.strict.group("Smiths", person["id"])
    assert {each["id"] for each in hub.strict.read("/")["Resources"]} == {person["id"], team["id"]}
    assert hub.strict.found('meta.resourceType eq "Group"', "/") == {"Smiths"}
    assert hub.strict.found("userName pr", "/") == {"a"}
    assert hub.strict.found('nothingKnowsThis eq "x"', "/") == set()
    found = ok(hub.strict.search("/.search", filter='displayName sw "smith"'))["Resources"]
    assert {each["id"] for each in found} == {person["id"], team["id"]}


@requirement("L-008", "F-039")
def test_a_filter_that_costs_too_much_is_refused(hub_with):
    hub = hub_with(scan_limit=5)
    for number in range(8):
        hub.strict.user(f"user{number}", nickName="n")
    refused(hub.strict.get("/Users", filter='nickName co "x"'), 400, "tooMany")
    assert hub.strict.found('userName eq "user3"') == {"user3"}


@requirement("X-001", "X-002", "X-010", "M-009")
def test_attributes_are_chosen_on_every_operation_that_shows_a_resource(hub: Hub):
    person = hub.strict.user("a", title="t", emails=[{"value": "a@x.example"}])
    path = f"/Users/{person['id']}"
    shown = [
        ok(hub.strict.get(f"{path}?attributes=userName")),
        ok(hub.strict.get("/Users?attributes=userName"))["Resources"][0],
        ok(hub.strict.put(f"{path}?attributes=userName", user("a", title="u"))),
        ok(hub.strict.request("PATCH", f"{path}?attributes=userName", patch_of(replace("title", "v")))),
        ok(hub.strict.search("/Users/.search", attributes=["userName"]))["Resources"][0],
        ok(hub.strict.search("/.search", attributes=["userName"]))["Resources"][0],
    ]
    assert [each.keys() for each in shown] == [{"schemas", "id", "userName"}] * 6


@requirement("X-001", "X-003", "M-009")
def test_attributes_are_left_out_on_every_operation_that_shows_a_resource(hub: Hub):
    person = hub.strict.user("a", title="t")
    path = f"/Users/{person['id']}"
    shown = [
        ok(hub.strict.get(f"{path}?excludedAttributes=id,title")),
        ok(hub.strict.get("/Users?excludedAttributes=id,title"))["Resources"][0],
        ok(hub.strict.put(f"{path}?excludedAttributes=id,title", user("a", title="u"))),
        ok(hub.strict.request("PATCH", f"{path}?excludedAttributes=id,title", patch_of(replace("title", "v")))),
        ok(hub.strict.search("/Users/.search", excludedAttributes=["id", "title"]))["Resources"][0],
    ]
    assert [each.keys() for each in shown] == [{"schemas", "id", "userName", "active", "meta"}] * 5


@requirement("X-004", "X-005", "X-007", "X-009")
@pytest.mark.parametrize(
    "attributes, expected",
    [
        ("name.familyName", {"name": {"familyName": "f"}}),
        (f"name.familyName , {ENTERPRISE}:department", {"name": {"familyName": "f"}, ENTERPRISE: {"department": "d"}}),
        ("EMAILS.value", {"emails": [{"value": "a@x.example"}, {"value": "b@x.example"}]}),
        (f"{ENTERPRISE}:manager.value", {ENTERPRISE: {"manager": {"value": "b"}}}),
        (ENTERPRISE, {ENTERPRISE: {"department": "d", "division": "v", "manager": {"value": "b"}}}),
        (ENTERPRISE.upper() + ":division", {ENTERPRISE: {"division": "v"}}),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", {"userName": "a"}),
        ("foo", {}),
        ("meta.resourceType", {"meta": {"resourceType": "User"}}),
    ],
)
def test_names_are_full_attribute_notation(hub: Hub, attributes, expected):
    emails = [{"value": "a@x.example", "type": "work"}, {"value": "b@x.example", "type": "home"}]
    enterprise = {"department": "d", "division": "v", "manager": {"value": "b"}}
    person = hub.strict.user("a", name={"familyName": "f", "givenName": "g"}, emails=emails, enterprise=enterprise)
    read = hub.strict.read(f"/Users/{person['id']}", attributes=attributes)
    assert read.pop("id") == person["id"]
    assert set(read.pop("schemas")) == set(person["schemas"])
    if "manager" in read.get(ENTERPRISE, {}):
        read[ENTERPRISE]["manager"].pop("$ref", None)
    assert read == expected


@requirement("X-006")
def test_choosing_and_leaving_out_exclude_each_other(hub: Hub):
    refused(hub.strict.get("/Users", attributes="userName", excludedAttributes="title"), 400, "invalidValue")
    refused(hub.strict.search(attributes=["userName"], excludedAttributes=["title"]), 400, "invalidValue")


def patch_of(*operations: dict[str, object]) -> dict[str, object]:
    return {"schemas": [f"{MESSAGE}:PatchOp"], "Operations": list(operations)}
