"""Area 8: Bulk."""

import pytest

from tests.conformance.hub import ENTERPRISE, GROUP, MESSAGE, Hub, add, group, ok, refused, replace, user

requirement = pytest.mark.requirement


def post(bulk_id: str | None, data: object, path: str = "/Users") -> dict[str, object]:
    operation = {"method": "POST", "path": path, "bulkId": bulk_id, "data": data}
    return {name: value for name, value in operation.items() if value is not None}


def patch_of(*operations: dict[str, object]) -> dict[str, object]:
    return {"schemas": [f"{MESSAGE}:PatchOp"], "Operations": list(operations)}


def statuses(answer) -> list[str]:
    return [operation["status"] for operation in ok(answer)["Operations"]]


@requirement("B-001", "B-002", "B-009", "B-010", "B-021")
def test_each_operation_has_its_result(hub: Hub):
    person = hub.strict.user("p")
    location = person["meta"]["location"]
    body = ok(
        hub.strict.bulk(
            post("u1", user("a")),
            {"method": "PATCH", "path": f"/Users/{person['id']}", "bulkId": "mine", "data": patch_of(replace("title", "t"))},
            {"method": "PUT", "path": f"/Users/{person['id']}", "data": user("p", title="u")},
            {"method": "DELETE", "path": f"/Users/{person['id']}"},
        )
    )
    assert body["schemas"] == [f"{MESSAGE}:BulkResponse"]
    made, patched, put, deleted = body["Operations"]
    assert (made["method"], made["bulkId"], made["status"]) == ("POST", "u1", "201")
    read = hub.strict.get(made["location"])
    assert ok(read)["userName"] == "a"
    assert made["version"] == read.headers["etag"]
    assert (patched["method"], patched["bulkId"], patched["status"], patched["location"]) == ("PATCH", "mine", "200", location)
    assert (put["method"], put["status"], put["location"]) == ("PUT", "200", location)
    assert patched["version"] != put["version"]
    assert (deleted["method"], deleted["status"], deleted["location"]) == ("DELETE", "204", location)


@requirement("B-003", "B-009", "B-011", "B-020", "N-002")
def test_a_job_goes_on_after_failures_and_is_answered_200(hub: Hub):
    hub.strict.user("taken")
    path = f"{hub.strict.base}/Users/none"
    body = ok(
        hub.strict.bulk(
            post("u1", user("taken")),
            {"method": "DELETE", "path": "/Users/none"},
            {"method": "PATCH", "path": "/Users/none", "data": patch_of(replace("title", "t"))},
            post("u2", user("a")),
        )
    )
    first, second, third, last = body["Operations"]
    assert (first["status"], first["response"]["scimType"], first["response"]["status"]) == ("409", "uniqueness", "409")
    assert "location" not in first
    for each in (second, third):
        assert (each["status"], each["location"]) == ("404", path)
        assert each["response"]["schemas"] == [f"{MESSAGE}:Error"]
    assert last["status"] == "201"
    assert hub.strict.found("userName pr") == {"taken", "a"}


BAD = {
    "B-004 another method": {"method": "GET", "path": "/Users"},
    "B-004 no method": {"path": "/Users", "bulkId": "x", "data": user("x")},
    "B-005 no bulkId": post(None, user("x")),
    "B-006 a resource": post("x", user("x"), "/Users/u1"),
    "B-006 no type": post("x", user("x"), "/Nothing"),
    "B-006 a collection": {"method": "DELETE", "path": "/Users"},
    "B-006 bulk": post("x", {}, "/Bulk"),
    "B-006 search": post("x", {}, "/.search"),
    "B-006 me": post("x", user("x"), "/Me"),
    "B-006 discovery": {"method": "DELETE", "path": "/Schemas/urn:a"},
    "B-007 no data": {"method": "POST", "path": "/Users", "bulkId": "x"},
    "B-007 no PatchOp": {"method": "PATCH", "path": "/Users/{id}", "data": {"title": "t"}},
    "B-007 no data to put": {"method": "PUT", "path": "/Users/{id}"},
}


@pytest.mark.parametrize("operation", [pytest.param(each, marks=requirement(name[:5]), id=name) for name, each in BAD.items()])
def test_an_operation_out_of_form_fails_alone(hub: Hub, operation):
    person = hub.strict.user("p")
    operation = operation | {"path": str(operation["path"]).format(id=person["id"])}
    bad, good = ok(hub.strict.bulk(operation, post("good", user("good"))))["Operations"]
    assert bad["status"] in ("400", "404", "405", "501")
    assert bad["response"]["status"] == bad["status"]
    assert good["status"] == "201"
    assert hub.strict.found("userName pr") == {"p", "good"}


@requirement("B-005")
def test_a_bulk_id_stands_for_one_resource(hub: Hub):
    results = statuses(hub.strict.bulk(post("same", user("a")), post("same", user("b"))))
    assert "400" in results
    assert len(hub.strict.found("userName pr")) <= 1


@requirement("B-006")
@pytest.mark.parametrize("path", ["Users", "/Users", "{base}/Users"])
def test_a_path_may_be_written_in_three_ways(hub: Hub, path):
    assert statuses(hub.strict.bulk(post("u", user("a"), path.format(base=hub.strict.base)))) == ["201"]


@requirement("B-008", "V-006")
def test_a_version_is_a_precondition(hub: Hub):
    person = hub.strict.user("a")
    operation = {"method": "PATCH", "path": f"/Users/{person['id']}", "data": patch_of(replace("title", "t"))}
    results = statuses(hub.strict.bulk(operation | {"version": 'W/"0.0"'}, operation | {"version": person["meta"]["version"]}))
    assert results == ["412", "200"]


@requirement("B-011", "B-012")
def test_a_job_stops_after_so_many_errors(hub: Hub):
    hub.strict.user("taken")
    answer = hub.strict.bulk(post("u1", user("a")), post("u2", user("taken")), post("u3", user("b")), failOnErrors=1)
    assert statuses(answer) == ["201", "409"]
    assert "failOnErrors" not in answer.json()
    assert hub.strict.found("userName pr") == {"taken", "a"}


@requirement("B-013", "B-014", "B-024")
def test_references_are_resolved_wherever_an_id_may_stand(hub: Hub):
    worker = user("worker", enterprise={"manager": {"value": "bulkId:boss", "$ref": "../Users/bulkId:boss"}})
    team = group("team") | {"members": [{"value": "bulkId:boss", "$ref": "../Users/bulkId:boss"}]}
    late = hub.strict.group("late")
    path = f"/Groups/{late['id']}"
    answer = hub.strict.bulk(
        post("team", team, "/Groups"),
        post("worker", worker),
        {
            "method": "PATCH",
            "path": path,
            "data": patch_of(add("members", [{"value": "bulkId:boss"}, {"value": "bulkId:team"}])),
        },
        post("boss", user("boss")),
    )
    assert sorted(statuses(answer)) == ["200", "201", "201", "201"] or sorted(statuses(answer)) == ["201", "201", "201", "204"]
    assert [each.get("bulkId") for each in answer.json()["Operations"]] == ["team", "worker", None, "boss"]
    ids = {each["bulkId"]: each["location"].rpartition("/")[2] for each in answer.json()["Operations"] if "bulkId" in each}
    assert [member["value"] for member in hub.strict.read(f"/Groups/{ids['team']}")["members"]] == [ids["boss"]]
    assert hub.strict.read(f"/Users/{ids['worker']}")[ENTERPRISE]["manager"]["value"] == ids["boss"]
    assert {member["value"] for member in hub.strict.read(path)["members"]} == {ids["boss"], ids["team"]}
    assert "bulkId:" not in hub.strict.get("/").text


@requirement("B-015")
def test_two_groups_may_contain_each_other(hub: Hub):
    def member_of(other: str) -> list[dict[str, str]]:
        return [{"type": "Group", "value": f"bulkId:{other}"}]

    answer = hub.strict.bulk(
        post("a", group("A") | {"members": member_of("b")}, "/Groups"),
        post("b", group("B") | {"members": member_of("a")}, "/Groups"),
    )
    assert statuses(answer) == ["201", "201"]
    ids = [each["location"].rpartition("/")[2] for each in answer.json()["Operations"]]
    found = [hub.strict.read(f"/Groups/{id}")["members"][0]["value"] for id in ids]
    assert found == ids[::-1]


@requirement("B-015", "B-017")
def test_a_circle_that_cannot_be_closed_leaves_nothing_behind(hub: Hub):
    circle = (
        post("a", group("A") | {"members": [{"value": "bulkId:b"}]}, "/Groups"),
        post("b", {"schemas": group("B")["schemas"], "members": [{"value": "bulkId:a"}]}, "/Groups"),
    )
    answer = hub.strict.bulk(*circle)
    assert statuses(answer) == ["409", "400"]
    assert hub.strict.found("displayName pr", "/Groups") == set()
    # Stopped after the first failure, the half-made group counts as not processed.
    stopped = hub.strict.bulk(*circle, failOnErrors=1)
    assert statuses(stopped) == ["400"]
    assert hub.strict.found("displayName pr", "/Groups") == set()


@requirement("B-016")
def test_a_reference_in_a_path_is_resolved(hub: Hub):
    answer = hub.strict.bulk(
        post("g", group("g"), "/Groups"),
        {"method": "PATCH", "path": "/Groups/bulkId:g", "data": patch_of(replace("displayName", "h"))},
    )
    assert statuses(answer)[0] == "201"
    assert hub.strict.found("displayName pr", "/Groups") == {"h"}


@requirement("B-017", "B-024")
def test_a_reference_to_what_failed_fails_too(hub: Hub):
    hub.strict.user("taken")
    answer = hub.strict.bulk(
        post("u", user("taken")),
        post("g", group("g", "bulkId:u"), "/Groups"),
        post("h", group("h", "bulkId:never"), "/Groups"),
    )
    assert statuses(answer)[0] == "409"
    assert all(status in ("400", "409") for status in statuses(answer)[1:])
    assert hub.strict.read("/Groups")["totalResults"] == 0


@requirement("B-018", "B-019")
def test_the_limits_are_named_when_they_are_exceeded(hub_with):
    hub = hub_with(bulk_max_operations=2, body_limit_bulk=3000)
    config = hub.strict.read("/ServiceProviderConfig")["bulk"]
    assert config == {"supported": True, "maxOperations": 2, "maxPayloadSize": 3000}
    too_many = [post(f"u{number}", user(f"u{number}")) for number in range(3)]
    assert "2" in refused(hub.strict.bulk(*too_many), 413)
    assert "3000" in refused(hub.strict.bulk(post("u", user("u", displayName="x" * 4000))), 413)
    assert hub.strict.read("/Users")["totalResults"] == 0


@requirement("B-020")
def test_each_operation_is_atomic_by_itself(hub: Hub):
    person = hub.strict.user("a")
    patch = patch_of(replace("title", "t"), replace("foo", "x"))
    answer = hub.strict.bulk({"method": "PATCH", "path": f"/Users/{person['id']}", "data": patch}, post("b", user("b")))
    assert statuses(answer) == ["400", "201"]
    assert hub.strict.read(f"/Users/{person['id']}") == person
    refused(hub.client("strict", permissions=["read"]).bulk(post("c", user("c"))), 403)


@requirement("B-022")
@pytest.mark.parametrize(
    "body",
    [
        {"schemas": [f"{MESSAGE}:BulkRequest"]},
        {"schemas": [f"{MESSAGE}:BulkRequest"], "Operations": {}},
        {"schemas": [GROUP], "Operations": []},
        {"schemas": [f"{MESSAGE}:BulkRequest"], "Operations": [], "failOnErrors": "one"},
    ],
    ids=str,
)
def test_an_envelope_out_of_form_is_refused(hub: Hub, body):
    answer = hub.strict.post("/Bulk", body)
    assert answer.status_code == 400
    assert answer.json()["scimType"] in ("invalidSyntax", "invalidValue")


@requirement("B-023")
def test_what_only_looks_like_a_reference_is_left_alone(hub: Hub):
    answer = hub.strict.bulk(post("u", user("a", displayName="bulkId:u", nickName="bulkId:nobody")))
    made = hub.strict.read(f"/Users/{answer.json()['Operations'][0]['location'].rpartition('/')[2]}")
    assert (made["displayName"], made["nickName"]) == ("bulkId:u", "bulkId:nobody")
