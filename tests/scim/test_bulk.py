"""Bulk requests: reading them, ordering their operations, references between them, and the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import bulk, bulk_order, bulk_references, errors
from scimhub.scim.bulk import Operation, Result
from scimhub.scim.catalog import ENTERPRISE_URN
from scimhub.scim.dialects import LENIENT, STRICT, Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from tests.scim.samples import ANY_JSON, CATALOG, OFFICE_URN, check_refusal, outcome

URL = "https://hub.example/scim/acme/v2"


def post(endpoint: str, bulk_id: str, **data: object) -> dict[str, object]:
    return {"method": "POST", "path": endpoint, "bulkId": bulk_id, "data": data}


def request(*operations: object, dialect: Dialect = STRICT, limit: int = 100, **more: object) -> bulk.BulkRequest:
    body = {"schemas": [bulk.REQUEST_URN], "Operations": list(operations), **more}
    return bulk.parse_bulk(body, limit, dialect, Notes(), URL)


def one(operation: object) -> Operation:
    return request(operation).operations[0]


# --------------------------------------------------------------------------- reading


@pytest.mark.requirement("B-002", "B-006", "B-008", "B-016")
@pytest.mark.parametrize(
    "path, endpoint, resource_id",
    [
        ("/Users/u1", "/Users", "u1"),
        ("Users/u1", "/Users", "u1"),
        (f"{URL}/Users/u1", "/Users", "u1"),
        ("/Users/bulkId:x", "/Users", "bulkId:x"),
        ("/Users/a%20b", "/Users", "a b"),
        ("/Users/u1/", "/Users", "u1"),
    ],
)
def test_an_operation_is_read_into_its_parts(path: str, endpoint: str, resource_id: str):
    operation = one({"method": "PUT", "path": path, "version": 'W/"1"', "bulkId": "b", "data": {"userName": "k"}})
    assert operation == Operation(0, "PUT", "b", endpoint, resource_id, 'W/"1"', {"userName": "k"})


@pytest.mark.requirement("B-004", "B-005", "B-006", "B-007")
@pytest.mark.parametrize(
    "operation",
    [
        "x",
        {"method": "GET", "path": "/Users/u1"},
        {"method": "post", "path": "/Users", "bulkId": "b", "data": {}},
        {"path": "/Users/u1"},
        {"method": "POST", "path": "/Users", "data": {}},
        {"method": "POST", "path": "/Users", "bulkId": "", "data": {}},
        {"method": "POST", "path": "/Users", "bulkId": 7, "data": {}},
        {"method": "POST", "path": "/Users/u1", "bulkId": "b", "data": {}},
        {"method": "POST", "path": "/Users", "bulkId": "b"},
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": []},
        {"method": "PUT", "path": "/Users/u1"},
        {"method": "PATCH", "path": "/Users/u1", "data": "x"},
        {"method": "PUT", "path": "/Users", "data": {}},
        {"method": "DELETE", "path": "/Users"},
        {"method": "DELETE", "path": "/Users/u1", "version": 7},
        {"method": "DELETE", "path": "/Users/u1/name"},
        {"method": "DELETE", "path": "/Users/"},
        {"method": "DELETE", "path": "/Users/u1?x=1"},
        {"method": "DELETE", "path": "https://elsewhere.example/Users/u1"},
        {"method": "DELETE", "path": ""},
        {"method": "DELETE", "path": 7},
        {"method": "DELETE"},
        {"method": "POST", "path": "/Bulk", "bulkId": "b", "data": {}},
        {"method": "POST", "path": "/Me", "bulkId": "b", "data": {}},
        {"method": "POST", "path": "/Users/.search", "bulkId": "b", "data": {}},
        {"method": "DELETE", "path": "/Schemas/x"},
        {"method": "DELETE", "path": "/ServiceProviderConfig/x"},
    ],
)
def test_a_broken_operation_carries_its_fault(operation: object):
    fault = one(operation).fault
    assert fault is not None
    assert outcome(fault) == (400, "invalidSyntax")
    assert request(operation, {"method": "DELETE", "path": "/Users/u1"}).operations[1].fault is None


@pytest.mark.requirement("B-005")
def test_a_bulk_id_may_stand_once_only():
    first, second = request(post("/Users", "b"), post("/Users", "b")).operations
    assert first.fault is None
    assert second.fault is not None
    assert outcome(second.fault) == (400, "invalidSyntax")


@pytest.mark.requirement("B-022")
@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"Operations": []},
        {"schemas": [bulk.REQUEST_URN]},
        {"schemas": [bulk.REQUEST_URN], "Operations": {}},
        {"schemas": [bulk.REQUEST_URN], "Operations": [], "failOnErrors": "1"},
        {"schemas": [bulk.REQUEST_URN], "Operations": [], "failOnErrors": 0},
        {"schemas": [bulk.REQUEST_URN], "Operations": [], "failOnErrors": True},
    ],
)
def test_a_broken_envelope_is_refused(body: object):
    with pytest.raises(ScimError) as caught:
        bulk.parse_bulk(body, 10, STRICT, Notes(), URL)
    assert outcome(caught.value) == (400, "invalidSyntax")


@pytest.mark.requirement("B-018")
def test_too_many_operations_are_refused_with_the_limit():
    assert len(request(*["x"] * 3, limit=3).operations) == 3
    with pytest.raises(ScimError) as caught:
        request(*["x"] * 4, limit=3)
    assert outcome(caught.value) == (413, None)
    assert "maxOperations is 3" in caught.value.detail


@pytest.mark.requirement("B-011")
def test_the_number_of_errors_to_stop_after_is_read():
    assert request(failOnErrors=2).fail_on_errors == 2
    assert request().fail_on_errors is None


def test_a_lenient_envelope_may_lack_its_schema():
    notes = Notes()
    assert bulk.parse_bulk({"operations": []}, 10, LENIENT, notes, URL).operations == ()
    assert notes.rewrites == ["message-key-case", "schemas-missing"]


# --------------------------------------------------------------------------- references

MEMBER = {"value": "bulkId:a"}


@pytest.mark.requirement("B-013", "B-023")
@pytest.mark.parametrize(
    "endpoint, data, result",
    [
        ("/Groups", {"members": [MEMBER, {"value": "u1"}]}, {"members": [{"value": "A"}, {"value": "u1"}]}),
        ("/Groups", {"MEMBERS": {"VALUE": "bulkId:a"}}, {"MEMBERS": {"VALUE": "A"}}),
        ("/Groups", {"members": ["bulkId:a"]}, {"members": ["A"]}),
        ("/Groups", {"members": [{"$ref": f"{URL}/Users/bulkId:a"}]}, {"members": [{"$ref": f"{URL}/Users/A"}]}),
        ("/Users", {ENTERPRISE_URN: {"manager": MEMBER}}, {ENTERPRISE_URN: {"manager": {"value": "A"}}}),
        ("/Users", {ENTERPRISE_URN: {"manager": "bulkId:a"}}, {ENTERPRISE_URN: {"manager": "A"}}),
        ("/Users", {f"{ENTERPRISE_URN}:manager.value": "bulkId:a"}, {f"{ENTERPRISE_URN}:manager.value": "A"}),
        ("/Users", {"manager": "bulkId:a"}, {"manager": "A"}),
        ("/Users", {"profileUrl": "Users/bulkId:a"}, {"profileUrl": "Users/A"}),
        ("/Badges", {"marks": [MEMBER], "home": "bulkId:a"}, {"marks": [{"value": "A"}], "home": "A"}),
    ],
)
def test_a_bulk_id_in_a_references_place_becomes_the_id(endpoint: str, data: dict[str, object], result: dict[str, object]):
    operation, kind = one(post(endpoint, "x", **data)), CATALOG.at_endpoint(endpoint)
    assert bulk_references.dependencies(operation, kind) == {"a"}
    assert bulk_references.substitute(operation, kind, {"a": "A"}) == result


@pytest.mark.requirement("B-023")
@pytest.mark.parametrize(
    "endpoint, data",
    [
        ("/Users", {"displayName": "bulkId:a", "userName": "bulkId:a"}),
        ("/Users", {"emails": [{"value": "bulkId:a", "display": "bulkId:a"}]}),
        ("/Groups", {"members": [{"value": "u1", "display": "bulkId:a"}]}),
        ("/Groups", {"members": [{"value": "x bulkId:a"}]}),
        ("/Badges", {OFFICE_URN: {"floor": "bulkId:a"}, "tags": ["bulkId:a"]}),
        ("/Users", {"unknown": "bulkId:a", "no path": "bulkId:a"}),
        ("/Nothings", {"members": [MEMBER]}),
    ],
)
def test_elsewhere_the_same_text_is_left_alone(endpoint: str, data: dict[str, object]):
    operation, kind = one(post(endpoint, "x", **data)), CATALOG.at_endpoint(endpoint)
    assert bulk_references.dependencies(operation, kind) == frozenset()
    assert bulk_references.substitute(operation, kind, {"a": "A"}) == data


def modify(*operations: object, path: str = "/Groups/g1") -> Operation:
    return one({"method": "PATCH", "path": path, "data": {"Operations": list(operations)}})


@pytest.mark.requirement("B-013")
@pytest.mark.parametrize(
    "endpoint, operation, result",
    [
        (
            "/Groups",
            {"op": "add", "path": "members", "value": [MEMBER]},
            {"op": "add", "path": "members", "value": [{"value": "A"}]},
        ),
        ("/Groups", {"op": "add", "value": {"members": [MEMBER]}}, {"op": "add", "value": {"members": [{"value": "A"}]}}),
        (
            "/Groups",
            {"op": "add", "path": "members", "value": {"members": [MEMBER]}},
            {"op": "add", "path": "members", "value": {"members": [{"value": "A"}]}},
        ),
        (
            "/Groups",
            {"op": "remove", "path": 'members[value eq "bulkId:a"]'},
            {"op": "remove", "path": 'members[value eq "A"]'},
        ),
        (
            "/Users",
            {"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": "bulkId:a"},
            {"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": "A"},
        ),
        (
            "/Users",
            {"op": "add", "path": f"{ENTERPRISE_URN}:manager.value", "value": [MEMBER]},
            {"op": "add", "path": f"{ENTERPRISE_URN}:manager.value", "value": [{"value": "A"}]},
        ),
        (
            "/Users",
            {"op": "add", "path": ENTERPRISE_URN, "value": {"manager": MEMBER}},
            {"op": "add", "path": ENTERPRISE_URN, "value": {"manager": {"value": "A"}}},
        ),
    ],
)
def test_a_bulk_id_in_a_patch_becomes_the_id(endpoint: str, operation: dict[str, object], result: dict[str, object]):
    found, kind = modify(operation, path=f"{endpoint}/x"), CATALOG.at_endpoint(endpoint)
    assert bulk_references.dependencies(found, kind) == {"a"}
    assert bulk_references.substitute(found, kind, {"a": "A"}) == {"Operations": [result]}


def test_a_patch_of_other_attributes_is_left_alone():
    operation = modify({"op": "replace", "path": "displayName", "value": "bulkId:a"}, "x", {"op": "add"})
    assert bulk_references.dependencies(operation, CATALOG.kinds["Group"]) == frozenset()
    assert bulk_references.substitute(operation, CATALOG.kinds["Group"], {}) == operation.data


@pytest.mark.requirement("B-016", "B-017")
def test_a_bulk_id_that_created_nothing_is_a_conflict():
    operation, kind = one(post("/Groups", "x", members=[MEMBER])), CATALOG.kinds["Group"]
    elsewhere = one({"method": "DELETE", "path": "/Groups/bulkId:a"})
    assert bulk_references.dependencies(elsewhere, kind) == {"a"}
    assert bulk_references.resource_id(elsewhere, {"a": "A"}) == "A"
    assert bulk_references.resource_id(one({"method": "DELETE", "path": "/Groups/g1"}), {}) == "g1"
    for ask in (lambda: bulk_references.substitute(operation, kind, {}), lambda: bulk_references.resource_id(elsewhere, {})):
        with pytest.raises(ScimError) as caught:
            ask()
        assert outcome(caught.value) == (409, None)
        assert "bulkId a" in caught.value.detail


def test_what_is_deferred_is_left_out_and_added_afterwards():
    manager = {"manager": MEMBER, "department": "D"}
    cases = [
        (
            "/Groups",
            {"displayName": "G", "members": [MEMBER, {"value": "bulkId:b"}]},
            {"displayName": "G", "members": [{"value": "B"}]},
        ),
        ("/Users", {"userName": "k", ENTERPRISE_URN: manager}, {"userName": "k", ENTERPRISE_URN: {"department": "D"}}),
        ("/Users", {"userName": "k", "manager": "bulkId:a"}, {"userName": "k"}),
    ]
    added = [
        {"op": "add", "path": "members", "value": [{"value": "A"}, {"value": "B"}]},
        {"op": "add", "path": ENTERPRISE_URN, "value": {"manager": {"value": "A"}, "department": "D"}},
        {"op": "add", "path": "manager", "value": "A"},
    ]
    for (endpoint, data, first), addition in zip(cases, added, strict=True):
        operation, kind = one(post(endpoint, "x", **data)), CATALOG.at_endpoint(endpoint)
        assert bulk_references.substitute(operation, kind, {"b": "B"}, frozenset({"a"})) == first
        completion = bulk_references.completion(operation, kind, {"a": "A", "b": "B"}, frozenset({"a"}))
        assert completion == {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [addition]}


# --------------------------------------------------------------------------- order


def order(*operations: object) -> list[tuple[int, set[str], bool]]:
    steps = bulk_order.order(request(*operations).operations, CATALOG.at_endpoint)
    return [(step.operation.index, set(step.deferred), step.completes) for step in steps]


def group(bulk_id: str, *members: str) -> dict[str, object]:
    return post("/Groups", bulk_id, displayName=bulk_id, members=[{"value": f"bulkId:{member}"} for member in members])


def change(path: str, *members: str) -> dict[str, object]:
    value = [{"value": f"bulkId:{member}"} for member in members]
    return {"method": "PATCH", "path": path, "data": {"Operations": [{"op": "add", "path": "members", "value": value}]}}


def plain(*indexes: int) -> list[tuple[int, set[str], bool]]:
    return [(index, set(), False) for index in indexes]


@pytest.mark.requirement("B-014", "B-016", "B-021")
@pytest.mark.parametrize(
    "operations, expected",
    [
        ([], plain()),
        ([post("/Users", "a"), post("/Users", "b")], plain(0, 1)),
        ([post("/Users", "a"), group("g", "a")], plain(0, 1)),
        ([group("g", "a"), post("/Users", "a")], plain(1, 0)),
        ([group("g", "h"), group("h", "a"), post("/Users", "a"), post("/Users", "b")], plain(2, 1, 0, 3)),
        ([change("/Groups/g1", "a"), change("/Groups/g1"), change("/Groups/g2"), post("/Users", "a")], plain(2, 3, 0, 1)),
        ([change("/Groups/bulkId:g"), group("g")], plain(1, 0)),
        ([group("g", "nobody"), post("/Users", "a")], plain(0, 1)),
        (["x", post("/Users", "a"), {"method": "POST", "path": "/Users", "bulkId": "a", "data": {}}], plain(0, 1, 2)),
    ],
)
def test_operations_run_after_those_they_refer_to(operations: list[object], expected: list[tuple[int, set[str], bool]]):
    assert order(*operations) == expected


@pytest.mark.requirement("B-015")
@pytest.mark.parametrize(
    "operations, expected",
    [
        ([group("g", "h"), group("h", "g")], [(0, {"h"}, False), (1, set(), False), (0, {"h"}, True)]),
        ([group("g", "g")], [(0, {"g"}, False), (0, {"g"}, True)]),
        (
            [group("f", "g"), group("g", "h", "a"), group("h", "g"), post("/Users", "a")],
            [(3, set(), False), (1, {"h"}, False), (0, set(), False), (2, set(), False), (1, {"h"}, True)],
        ),
        (
            [group("g", "h"), group("h", "g"), change("/Groups/bulkId:g")],
            [(0, {"h"}, False), (1, set(), False), (0, {"h"}, True), (2, set(), False)],
        ),
        (
            [group("a", "b"), group("b", "a"), group("c", "d"), group("d", "c")],
            [
                (0, {"b"}, False),
                (1, set(), False),
                (0, {"b"}, True),
                (2, {"d"}, False),
                (3, set(), False),
                (2, {"d"}, True),
            ],
        ),
    ],
)
def test_a_circle_is_cut_and_completed_afterwards(operations: list[object], expected: list[tuple[int, set[str], bool]]):
    assert order(*operations) == expected


NAMES = ["a", "b", "c", "d", "e"]


@given(st.lists(st.lists(st.sampled_from(NAMES), max_size=3), min_size=5, max_size=5), st.permutations(range(8)))
def test_every_operation_runs_once_and_meets_what_it_needs(members: list[list[str]], places: list[int]):
    entries = [group(name, *inside) for name, inside in zip(NAMES, members, strict=True)]
    entries += [change("/Groups/bulkId:a", "b"), change("/Groups/bulkId:b", "c"), change("/Groups/bulkId:a", "e")]
    operations = request(*[entries[place] for place in places]).operations
    made: dict[str, str] = {}
    pending: set[int] = set()
    ran = []
    for step in bulk_order.order(operations, CATALOG.at_endpoint):
        operation, kind = step.operation, CATALOG.kinds["Group"]
        if step.completes:
            assert bulk_references.completion(operation, kind, made, step.deferred)["Operations"] != []
            pending.remove(operation.index)
            continue
        ran.append(operation.index)
        bulk_references.substitute(operation, kind, made, step.deferred)
        bulk_references.resource_id(operation, made)
        if operation.bulk_id is not None:
            made[operation.bulk_id] = operation.bulk_id.upper()
        if step.deferred:
            pending.add(operation.index)
    assert sorted(ran) == list(range(8))
    assert pending == set()


# --------------------------------------------------------------------------- results


@pytest.mark.requirement("B-002", "B-009", "B-010", "B-012", "B-021")
def test_results_stand_in_the_order_of_the_request():
    first, second = request(post("/Users", "a"), {"method": "DELETE", "path": "/Users/u1"}).operations
    error = errors.not_found("It is not there.").body()
    location = f"{URL}/Users/u1"
    shown = bulk.render_results(
        [Result(second, 404, location, response=error), Result(first, 201, f"{URL}/Users/u2", 'W/"1"', response={"id": "u2"})]
    )
    assert shown == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
        "Operations": [
            {"method": "POST", "bulkId": "a", "version": 'W/"1"', "location": f"{URL}/Users/u2", "status": "201"},
            {"method": "DELETE", "location": location, "status": "404", "response": error},
        ],
    }


@given(ANY_JSON, st.sampled_from([LENIENT, STRICT]))
def test_any_request_is_read_or_refused(body: object, dialect: Dialect):
    try:
        bulk.parse_bulk(body, 10, dialect, Notes(), URL)
    except ScimError as refusal:
        check_refusal(refusal)
    operations = request(body, body, dialect=dialect).operations
    assert {step.operation.index for step in bulk_order.order(operations, CATALOG.at_endpoint)} == {0, 1}


@given(ANY_JSON, st.sampled_from(["POST", "PUT", "PATCH"]), st.sampled_from(["/Users", "/Groups", "/Badges"]))
def test_any_body_can_be_looked_through(body: object, method: str, endpoint: str):
    operation = Operation(0, method, "a", endpoint, None, None, body)
    kind = CATALOG.at_endpoint(endpoint)
    ids = dict.fromkeys(bulk_references.dependencies(operation, kind), "ID")
    bulk_references.substitute(operation, kind, ids)
    bulk_references.substitute(operation, kind, {}, frozenset(ids))
