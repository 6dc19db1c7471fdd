"""Area 4: create and read."""

import pytest

from tests.conformance.hub import USER, Hub, created, group, ok, refused, user

requirement = pytest.mark.requirement


@requirement("P-001", "P-002", "P-003", "V-002")
def test_a_created_resource_is_shown_with_its_place(hub: Hub):
    answer = hub.strict.post("/Users", user("a", title="t"))
    made = created(answer)
    assert made == {"schemas": [USER], "userName": "a", "title": "t", "active": True, "id": made["id"], "meta": made["meta"]}
    assert answer.headers["location"] == made["meta"]["location"] == f"{hub.strict.base}/Users/{made['id']}"
    assert answer.headers["etag"] == made["meta"]["version"]


@requirement("P-007", "P-014", "N-003")
def test_a_name_that_is_taken_is_a_conflict(hub: Hub):
    first = hub.strict.user("a", externalId="x")
    detail = refused(hub.strict.post("/Users", user("a", externalId="x")), 409, "uniqueness")
    assert "userName" in detail
    assert hub.strict.read("/Users")["Resources"] == [first]


@requirement("P-009", "U-001")
@pytest.mark.parametrize(
    "document", [{"schemas": [USER]}, {"schemas": [USER], "userName": ""}, {"schemas": [USER], "userName": 5}]
)
def test_a_required_attribute_must_be_there_and_right(hub: Hub, document):
    assert "userName" in refused(hub.strict.post("/Users", document), 400, "invalidValue")


@requirement("P-010", "W-013")
def test_unknown_attributes_are_dropped_in_lenient_and_refused_in_strict(hub: Hub):
    made = created(hub.lenient.post("/Users", user("a", foo=1)))
    assert "foo" not in made
    assert "foo" not in ok(hub.lenient.put(f"/Users/{made['id']}", user("a", foo=1)))
    assert "foo" in refused(hub.strict.post("/Users", user("b", foo=1)), 400, "invalidSyntax")
    assert "foo" in refused(hub.strict.put(f"/Users/{made['id']}", user("a", foo=1)), 400, "invalidSyntax")


@requirement("P-011", "X-001")
def test_a_projection_shapes_the_answer_to_a_create(hub: Hub):
    assert created(hub.strict.post("/Users?attributes=userName", user("a", title="t"))).keys() == {"schemas", "id", "userName"}
    assert "title" not in created(hub.strict.post("/Users?excludedAttributes=title", user("b", title="t")))


@requirement("P-012", "Z-004", "Z-005", "IDP-10")
def test_the_name_of_a_deleted_user_is_free_again(hub: Hub):
    first = hub.strict.user("a")
    assert hub.strict.delete(f"/Users/{first['id']}").status_code == 204
    second = hub.strict.user("a")
    assert second["id"] != first["id"]
    refused(hub.strict.get(f"/Users/{first['id']}"), 404)


@requirement("P-013")
def test_of_many_creates_of_one_name_exactly_one_succeeds(hub: Hub):
    answers = hub.strict.together(*[("POST", "/Users", user("a"))] * 10)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert hub.strict.read("/Users")["totalResults"] == 1


@requirement("R-001", "R-004")
def test_a_resource_is_read(hub: Hub):
    made = hub.strict.user("a", password="secret", title="t")
    assert hub.strict.read(f"/Users/{made['id']}") == made
    assert "password" not in made


@requirement("R-002", "R-003", "N-002")
def test_an_unknown_id_is_not_found(hub: Hub):
    team = hub.strict.group("g")
    person = hub.strict.user("a")
    for path in ("/Users/none", f"/Users/{team['id']}", f"/Groups/{person['id']}", f"/Users/{person['id'].upper()}"):
        refused(hub.strict.get(path), 404)


@requirement("R-005", "F-002")
def test_a_single_resource_cannot_be_filtered(hub: Hub):
    team = created(hub.strict.post("/Groups", group("g")))
    refused(hub.strict.get(f"/Groups/{team['id']}", filter="displayName pr"), 400, "invalidFilter")
    assert hub.strict.read(f"/Groups/{team['id']}", excludedAttributes="members")["id"] == team["id"]


@requirement("R-006")
def test_head_shows_the_headers_of_get(hub: Hub):
    person = hub.strict.user("a")
    for path in (f"/Users/{person['id']}", "/Users", "/Schemas"):
        read, head = hub.strict.get(path), hub.strict.request("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "etag"):
            assert head.headers.get(name) == read.headers.get(name)
