"""List queries, page cursors and list responses."""

import json
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import listing
from scimhub.scim.catalog import ENTERPRISE_URN, standard_catalog
from scimhub.scim.dialects import LENIENT, STRICT
from scimhub.scim.errors import ScimError
from scimhub.scim.listing import SEARCH_SCHEMA, ListQuery, PageEnd
from scimhub.scim.notes import Notes

USER = standard_catalog().kinds["User"]
GROUP = standard_catalog().kinds["Group"]


def refusal(call):
    with pytest.raises(ScimError) as caught:
        call()
    assert caught.value.status in (400, 403)
    return caught.value


@pytest.mark.parametrize(
    "pairs, query",
    [
        ([], ListQuery()),
        ([("filter", 'userName eq "a"')], ListQuery(filter='userName eq "a"')),
        ([("filter", "")], ListQuery(filter="")),
        ([("sortBy", "userName"), ("sortOrder", "descending")], ListQuery(sort_by="userName", descending=True)),
        ([("sortBy", "userName"), ("sortOrder", "ascending")], ListQuery(sort_by="userName")),
        ([("startIndex", "0")], ListQuery(start_index=1)),
        ([("startIndex", "-5"), ("count", "-1")], ListQuery(start_index=1, count=0)),
        ([("startIndex", "11"), ("count", "10")], ListQuery(start_index=11, count=10)),
        ([("startIndex", "99999999999999999999999")], ListQuery(start_index=2**53)),
        ([("startIndex", "-99999999999999999999999")], ListQuery(start_index=1)),
        ([("count", "9" * 100_000)], ListQuery(count=2**53)),
        ([("cursor", "")], ListQuery(cursor="")),
        ([("cursor", "x.y"), ("count", "5")], ListQuery(cursor="x.y", count=5)),
        ([("attributes", "userName,emails"), ("foo", "1"), ("foo", "2")], ListQuery(attributes=("userName,emails",))),
        ([("excludedAttributes", "members")], ListQuery(excluded=("members",))),
        ([("filters", "x"), ("aadOptscim062020", "")], ListQuery()),
        ([("Filter", "x"), ("startindex", "3"), ("SORTBY", "id")], ListQuery(filter="x", start_index=3, sort_by="id")),
    ],
)
def test_a_query_is_read_from_url_parameters(pairs, query):
    assert listing.parse_query(pairs) == query


@pytest.mark.parametrize(
    "pairs, scim_type",
    [
        ([("count", "abc")], "invalidValue"),
        ([("startIndex", "x")], "invalidValue"),
        ([("startIndex", "1.5")], "invalidValue"),
        ([("startIndex", "")], "invalidValue"),
        ([("count", "١٠")], "invalidValue"),
        ([("count", "1_000")], "invalidValue"),
        ([("count", " 1")], "invalidValue"),
        ([("cursor", ""), ("count", "abc")], "invalidCount"),
        ([("cursor", ""), ("startIndex", "1")], "invalidValue"),
        ([("cursor", "x"), ("startIndex", "y")], "invalidValue"),
        ([("sortBy", "userName"), ("sortOrder", "sideways")], "invalidValue"),
        ([("filter", "title pr"), ("filter", "userName pr")], "invalidValue"),
        ([("count", "1"), ("count", "1")], "invalidValue"),
    ],
)
def test_what_a_url_cannot_mean_is_refused(pairs, scim_type):
    assert refusal(lambda: listing.parse_query(pairs)).scim_type == scim_type


def search(**members):
    return listing.parse_search({"schemas": [SEARCH_SCHEMA], **members}, STRICT, Notes())


@pytest.mark.parametrize(
    "members, query",
    [
        ({}, ListQuery()),
        (
            {"filter": "title pr", "sortBy": "name.familyName", "sortOrder": "descending", "startIndex": 3, "count": 7},
            ListQuery(filter="title pr", sort_by="name.familyName", descending=True, start_index=3, count=7),
        ),
        ({"attributes": ["userName", "emails"]}, ListQuery(attributes=("userName", "emails"))),
        ({"attributes": "userName,emails"}, ListQuery(attributes=("userName,emails",))),
        ({"excludedAttributes": []}, ListQuery(excluded=())),
        ({"cursor": "", "count": 2}, ListQuery(cursor="", count=2)),
        ({"startIndex": -(2**70), "count": 2**70}, ListQuery(start_index=1, count=2**53)),
        ({"FILTER": "title pr", "unknown": {}}, ListQuery(filter="title pr")),
        ({"filter": None, "count": None, "cursor": None}, ListQuery()),
    ],
)
def test_a_query_is_read_from_the_body_of_a_search(members, query):
    assert search(**members) == query


@pytest.mark.parametrize(
    "body, scim_type",
    [
        (None, "invalidSyntax"),
        ([], "invalidSyntax"),
        ({}, "invalidSyntax"),
        ({"schemas": ["urn:other"]}, "invalidSyntax"),
        ({"schemas": 7}, "invalidSyntax"),
        ({"schemas": [SEARCH_SCHEMA], "filter": "a pr", "Filter": "b pr"}, "invalidSyntax"),
        ({"schemas": [SEARCH_SCHEMA], "filter": 7}, "invalidValue"),
        ({"schemas": [SEARCH_SCHEMA], "count": "7"}, "invalidValue"),
        ({"schemas": [SEARCH_SCHEMA], "count": True}, "invalidValue"),
        ({"schemas": [SEARCH_SCHEMA], "count": 1.5, "cursor": ""}, "invalidCount"),
        ({"schemas": [SEARCH_SCHEMA], "startIndex": 1, "cursor": ""}, "invalidValue"),
        ({"schemas": [SEARCH_SCHEMA], "attributes": [1]}, "invalidValue"),
        ({"schemas": [SEARCH_SCHEMA], "attributes": {}}, "invalidValue"),
        ({"schemas": [SEARCH_SCHEMA], "sortOrder": "up"}, "invalidValue"),
    ],
)
def test_what_a_search_cannot_mean_is_refused(body, scim_type):
    assert refusal(lambda: listing.parse_search(body, STRICT, Notes())).scim_type == scim_type


def test_the_schema_of_a_search_is_known_in_any_case():
    assert listing.parse_search({"Schemas": [SEARCH_SCHEMA.upper()]}, STRICT, Notes()) == ListQuery()


@pytest.mark.parametrize(
    "body, rule", [({"count": 0}, "schemas-missing"), ({"schemas": SEARCH_SCHEMA, "count": 0}, "object-for-list")]
)
def test_the_schema_of_a_search_is_inferred_when_lenient(body, rule):
    notes = Notes()
    assert listing.parse_search(body, LENIENT, notes) == ListQuery(count=0)
    assert notes.rewrites == [rule]
    assert refusal(lambda: listing.parse_search(body, STRICT, Notes())).scim_type == "invalidSyntax"


@pytest.mark.parametrize("count, size", [(None, 100), (0, 0), (1, 1), (200, 200), (1_000_000, 1000)])
def test_a_page_has_what_was_asked_for_up_to_the_maximum(count, size):
    assert ListQuery(count=count).page_size(100, 1000) == size


# --------------------------------------------------------------------------- sorting


@pytest.mark.parametrize(
    "sort_by, kind, key",
    [
        ("userName", USER, "userName"),
        ("USERNAME", USER, "userName"),
        ("emails", USER, "emails.value"),
        ("name.familyName", USER, "name.familyName"),
        ("meta.lastModified", USER, "meta.lastModified"),
        (f"{ENTERPRISE_URN}:employeeNumber", USER, f"{ENTERPRISE_URN}:employeeNumber"),
        ("employeeNumber", USER, f"{ENTERPRISE_URN}:employeeNumber"),
    ],
)
def test_a_list_can_be_sorted_by_a_simple_attribute(sort_by, kind, key):
    assert listing.sort_target(sort_by, kind, lenient=True).key == key


@pytest.mark.parametrize("sort_by", ["name", "foo", "addresses", ENTERPRISE_URN, "a..b", "", "emails[type pr]"])
def test_a_list_cannot_be_sorted_by_anything_else(sort_by):
    error = refusal(lambda: listing.sort_target(sort_by, USER, lenient=True))
    assert (error.status, error.scim_type) == (400, "invalidValue")


def test_a_list_is_not_sorted_by_a_password():
    assert refusal(lambda: listing.sort_target("password", USER, lenient=True)).scim_type == "sensitive"


def test_a_kind_without_the_attribute_has_no_value_to_sort_by():
    assert listing.sort_target("userName", GROUP, lenient=True, unknown="absent") is None


# --------------------------------------------------------------------------- page cursors

SECRET = b"0" * 32
QUERY = ListQuery(filter='title eq "x"', sort_by="userName", attributes=("userName",))
HOME = {"directory": 7, "source": 3, "endpoint": "/Users", "count": 10}
END = PageEnd(4711, "kim@x.example")


def encode(query=QUERY, end=END, *, secret=SECRET, expires=1000, **home):
    return listing.encode_cursor(secret, query, end, expires=expires, **(HOME | home))


def decode(cursor, query=QUERY, *, now=999, **home):
    return listing.decode_cursor(SECRET, query._replace(cursor=cursor), now=now, **(HOME | home))


@given(
    st.integers(1, 2**62),
    st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_cursor_leads_back_to_the_end_of_its_page(key, value):
    cursor = encode(end=PageEnd(key, value))
    # RFC 9865 §2: unreserved characters only.
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", cursor)
    found = decode(cursor)
    assert (found, type(found.value)) == (PageEnd(key, value), type(value))


@pytest.mark.parametrize("cursor", [None, ""])
def test_an_empty_cursor_is_the_first_page(cursor):
    assert decode(cursor) is None


FORGED = [
    *(
        "zzz",
        ".",
        "a.b",
        "x" * 10_000,
        "é.ü",
        "\ud800",
        "." + "A" * 43,
        encode()[:-1],
        encode() + "A",
        encode() + "=",
        " " + encode(),
    ),
    encode(secret=b"1" * 32),
    encode(directory=8),
    encode(source=4),
    encode(endpoint="/Groups"),
    encode(QUERY._replace(filter='title eq "y"')),
    encode(QUERY._replace(filter=None)),
    encode(QUERY._replace(sort_by=None)),
    encode(QUERY._replace(descending=True)),
    encode(QUERY._replace(attributes=None, excluded=("userName",))),
    encode(source=4, expires=0),
    encode(source=4, count=11),
    urlsafe_b64encode(b'[7,3,"",10,1,null,9999]').decode().rstrip("=") + ".",
]


@pytest.mark.parametrize("cursor", FORGED)
def test_every_forged_or_borrowed_cursor_gets_the_same_answer(cursor):
    error = refusal(lambda: decode(cursor))
    assert (error.status, error.scim_type) == (400, "invalidCursor")
    assert error.detail == "The cursor was not given out for this request; begin the list again without it."


def test_no_other_writing_of_a_cursor_is_good():
    cursor = encode()
    for place in range(len(cursor)):
        for other in ("A" if cursor[place] != "A" else "B", chr(ord(cursor[place]) ^ 1), chr(ord(cursor[place]) ^ 4)):
            changed = cursor[:place] + other + cursor[place + 1 :]
            assert refusal(lambda changed=changed: decode(changed)).scim_type == "invalidCursor"


def test_a_cursor_expires():
    assert decode(encode(expires=1000), now=999.9) == END
    assert refusal(lambda: decode(encode(expires=1000), now=1000)).scim_type == "expiredCursor"


def test_the_count_stays_the_same_from_page_to_page():
    error = refusal(lambda: decode(encode(), count=11))
    assert error.scim_type == "invalidCount"
    assert error.detail == "count was 10 when this list was begun; it must stay so until its end."


# --------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "arguments, shown",
    [
        ((0, [], 1, None), {"totalResults": 0, "itemsPerPage": 0, "startIndex": 1, "Resources": []}),
        (
            (25, [b'{"id":"a"}', b'{"id":"b"}'], 11, None),
            {"totalResults": 25, "itemsPerPage": 2, "startIndex": 11, "Resources": [{"id": "a"}, {"id": "b"}]},
        ),
        (
            (25, [b'{"id":"a"}'], None, "abc.def-_"),
            {"totalResults": 25, "itemsPerPage": 1, "nextCursor": "abc.def-_", "Resources": [{"id": "a"}]},
        ),
        ((25, [], None, None), {"totalResults": 25, "itemsPerPage": 0, "Resources": []}),
    ],
)
def test_a_list_response_has_its_members_and_no_nulls(arguments, shown):
    found = json.loads(listing.render_list(*arguments))
    assert found == {"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], **shown}
