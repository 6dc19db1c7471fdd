"""Area 6: the filter language, sorting, index and cursor paging, .search."""

import re

import pytest

from tests.conformance.hub import ENTERPRISE, GROUP, MESSAGE, USER, Hub, ok, refused, wait_until

requirement = pytest.mark.requirement


@pytest.fixture
def people(hub: Hub) -> Hub:
    """Four users who differ in what filters may ask for."""
    emails = [{"value": "a@work.example", "type": "work"}, {"value": "b@home.example", "type": "home", "primary": True}]
    hub.strict.user("ann", title="Boss", userType="E", active=False, emails=emails, externalId="X1")
    hub.strict.user("bob", title="Dev", emails=[{"value": "bob@work.example", "type": "work"}], name={"familyName": "Zed"})
    hub.strict.user("carl%_\\d", nickName='say "hi"', userType="E", name={"familyName": "abel"})
    hub.strict.user(
        "dora", title="", enterprise={"employeeNumber": "1", "manager": {"value": "u2"}}, name={"familyName": "Young"}
    )
    return hub


CARL = "carl%_\\d"
EVERYBODY = {"ann", "bob", CARL, "dora"}


# --------------------------------------------------------------------------- grammar


FINDS = [
    # The row's id, the filter, whom it finds.
    ("F-003", 'USERNAME Eq "ANN" AND active Eq false', {"ann"}),
    ("F-003", 'NOT (userName EQ "ann") Or title PR', EVERYBODY),
    ("F-005", 'userName eq "ann" or userName eq "bob" and userName eq "carl"', {"ann"}),
    ("F-005", '(userName eq "ann" or userName eq "bob") and title eq "dev"', {"bob"}),
    ("F-006", 'not (userName eq "ann") and title pr', {"bob"}),
    ("F-007", "not(title pr)", {CARL, "dora"}),
    ("F-007", "not (title pr)", {CARL, "dora"}),
    ("F-008", 'title pr and userType eq "E"', {"ann"}),
    ("F-009", '((((((((userName eq "ann"))))))))', {"ann"}),
    ("F-010", 'nickName eq "say \\"hi\\""', {CARL}),
    ("F-010", 'userName eq "\\u0061nn"', {"ann"}),
    ("F-011", f'{ENTERPRISE}:employeeNumber eq "1"', {"dora"}),
    ("F-011", f'{ENTERPRISE}:manager.value eq "u2"', {"dora"}),
    ("F-011", f'{USER}:userName sw "B"', {"bob"}),
    ("F-012", f'{ENTERPRISE.upper()}:employeeNumber eq "1"', {"dora"}),
    ("F-015", '  userName   eq    "ann"  ', {"ann"}),
    ("F-017", 'emails[type eq "work"].value eq "a@work.example"', {"ann"}),
    ("F-017", 'emails[type eq "home"].value eq "a@work.example"', set()),
    ("F-019", 'emails[type eq "home" and value co "@home"]', {"ann"}),
    ("F-020", 'userName eq "BOB"', {"bob"}),
    ("F-020", 'externalId eq "x1"', set()),
    ("F-021", 'emails.value eq "b@home.example"', {"ann"}),
    ("F-022", 'emails[type eq "work" and value eq "b@home.example"]', set()),
    ("F-022", 'emails.type eq "work" and emails.value eq "b@home.example"', {"ann"}),
    ("F-023", 'emails co "work.example"', {"ann", "bob"}),
    ("F-024", "active pr", EVERYBODY),
    ("F-024", "emails pr", {"ann", "bob"}),
    ("F-024", "name pr", {"bob", CARL, "dora"}),
    ("F-024", "title pr", {"ann", "bob"}),
    ("F-025", 'title ne "boss"', {"bob", CARL, "dora"}),
    ("F-025", 'not (title eq "boss")', {"bob", CARL, "dora"}),
    ("F-025", 'emails.value ne "a@work.example"', EVERYBODY),
    ("F-025", 'not (emails.value eq "a@work.example")', {"bob", CARL, "dora"}),
    ("F-026", "emails eq null", {CARL, "dora"}),
    ("F-026", "emails ne null", {"ann", "bob"}),
    ("F-027", 'userName gt "BOB"', {CARL, "dora"}),
    ("F-027", 'userName ge "bob" and userName lt "d"', {"bob", CARL}),
    ("F-027", 'userName le "ann"', {"ann"}),
    ("F-031", "active eq true", {"bob", CARL, "dora"}),
    ("F-032", f'schemas eq "{ENTERPRISE}"', {"dora"}),
    ("F-033", 'meta.resourceType eq "User"', EVERYBODY),
    ("F-033", 'meta.lastModified ge "2020-01-01T00:00:00Z"', EVERYBODY),
    ("F-033", 'meta.created lt "2020-01-01T00:00:00Z"', set()),
    ("F-033", 'externalId eq "X1"', {"ann"}),
    ("F-036", 'userName co "%"', {CARL}),
    ("F-036", 'userName co "_"', {CARL}),
    ("F-036", 'userName ew "\\\\d"', {CARL}),
    ("F-036", 'userName sw "carl%_"', {CARL}),
    ("F-037", 'nickName co ""', {CARL}),
    ("F-037", 'userName ew ""', EVERYBODY),
    ("F-038", 'userName eq "\' OR 1=1 --"', set()),
    ("F-038", 'userName eq "\'; DROP TABLE resources; --"', set()),
]


@pytest.mark.parametrize(
    "expression, whom", [pytest.param(*case[1:], marks=requirement(case[0]), id=f"{case[0]} {case[1]}") for case in FINDS]
)
def test_a_filter_finds_exactly_those_who_match(people: Hub, expression, whom):
    assert people.strict.found(expression) == whom
    # The same meaning in the body of a search.
    listed = ok(people.strict.search("/Users/.search", filter=expression))["Resources"]
    assert {each["userName"] for each in listed} == whom


REFUSED = [
    ("F-002", "xx"),
    ("F-002", "userName eq"),
    ("F-002", 'userName eq "a" and'),
    ("F-004", 'userName regex "a"'),
    ("F-006", "not title pr"),
    ("F-009", "(" * 10_000 + "title pr" + ")" * 10_000),
    ("F-009", "(" * 50 + "title pr" + ")" * 50),
    ("F-010", "meta.resourceType eq User"),
    ("F-010", "userName eq 'ann'"),
    ("F-010", 'userName eq "ann'),
    ("F-014", 'foo eq "1"'),
    ("F-014", f'{ENTERPRISE}:foo eq "1"'),
    ("F-015", 'userName\teq\t"ann"'),
    ("F-016", ""),
    ("F-016", " "),
    ("F-018", 'emails[type eq "a" and emails[type eq "b"]]'),
    ("F-023", 'name eq "x"'),
    ("F-026", "title gt null"),
    ("F-028", "active gt false"),
    ("F-028", 'x509Certificates.value lt "A"'),
    ("F-030", 'active co "t"'),
    ("F-030", 'active eq "true"'),
    ("F-030", "userName eq 5"),
    ("F-030", 'meta.created gt "yesterday"'),
    ("F-030", 'meta.created co "2024"'),
]


@pytest.mark.parametrize(
    "expression", [pytest.param(case[1], marks=requirement(case[0]), id=f"{case[0]} {case[1][:40]}") for case in REFUSED]
)
def test_a_filter_that_is_wrong_is_refused(people: Hub, expression):
    refused(people.strict.get("/Users", filter=expression), 400, "invalidFilter")


@requirement("F-004")
def test_the_refusal_names_the_unknown_operator(hub: Hub):
    assert "regex" in refused(hub.strict.get("/Users", filter='userName regex "a"'), 400, "invalidFilter")


@requirement("F-013", "IDP-09")
def test_lenient_understands_short_names_and_string_booleans(people: Hub):
    assert people.lenient.found('employeeNumber eq "1"') == {"dora"}
    assert people.lenient.found('active eq "False"') == {"ann"}
    refused(people.strict.get("/Users", filter='employeeNumber eq "1"'), 400, "invalidFilter")


@requirement("F-015")
def test_both_writings_of_a_blank_are_read(people: Hub):
    for query in ("filter=userName+eq+%22ann%22", "filter=userName%20eq%20%22ann%22"):
        assert ok(people.strict.get(f"/Users?{query}"))["totalResults"] == 1


@requirement("F-029", "A-008")
def test_moments_compare_as_moments(people: Hub):
    ann = people.strict.read("/Users", filter='userName eq "ann"')["Resources"][0]
    created = ann["meta"]["created"]
    other_zone = re.sub(r"T(\d\d)", lambda hour: f"T{(int(hour[1]) + 2) % 24:02d}", created).replace("Z", "+02:00")
    if int(created[11:13]) >= 22:  # the day is another one there
        other_zone = created.replace("Z", "000+00:00")
    assert "ann" in people.strict.found(f'meta.created eq "{other_zone}"')
    assert "ann" not in people.strict.found(f'meta.created ne "{other_zone}"')
    assert "ann" in people.strict.found(f'meta.created le "{created.replace("Z", "0001Z")}"')


@requirement("F-033")
def test_id_location_and_version_can_be_asked_for(people: Hub):
    ann = people.strict.read("/Users", filter='userName eq "ann"')["Resources"][0]
    assert people.strict.found(f'id eq "{ann["id"]}"') == {"ann"}
    assert people.strict.found(f'id eq "{ann["id"].upper()}"') == set()
    assert people.strict.found(f'meta.location eq "{ann["meta"]["location"]}"') == {"ann"}
    version = ann["meta"]["version"].replace('"', '\\"')
    assert "ann" in people.strict.found(f'meta.version eq "{version}"')


@requirement("F-034")
def test_passwords_cannot_be_guessed_by_filters(people: Hub):
    refused(people.strict.get("/Users", filter='password eq "a"'), 403, "sensitive")
    refused(people.strict.search("/Users/.search", filter='password eq "a"'), 400, "invalidFilter")


@requirement("F-035")
@pytest.mark.parametrize("expression", ['members.value eq "{id}"', 'members[value eq "{id}"]'])
def test_groups_are_found_by_their_members(hub: Hub, expression):
    person = hub.strict.user("a")
    hub.strict.group("with", person["id"])
    hub.strict.group("without")
    assert hub.strict.found(expression.format(id=person["id"]), "/Groups") == {"with"}
    assert hub.strict.found(expression.format(id="nobody"), "/Groups") == set()


@requirement("SEC-3", "SEC-6")
def test_personal_data_may_be_asked_for_in_either_way(people: Hub):
    """By GET, because identity providers do; and in a body, for those who keep it out of logs."""
    assert people.strict.found('emails.value eq "bob@work.example"') == {"bob"}
    assert ok(people.strict.search("/Users/.search", filter='emails.value eq "bob@work.example"'))["totalResults"] == 1


# --------------------------------------------------------------------------- sorting


@requirement("S-002", "S-003", "S-004", "S-005", "S-006")
@pytest.mark.parametrize(
    "sort_by, order, expected",
    [
        ("userName", None, ["ann", "bob", CARL, "dora"]),
        ("userName", "ascending", ["ann", "bob", CARL, "dora"]),
        ("userName", "descending", ["dora", CARL, "bob", "ann"]),
        ("name.familyName", None, [CARL, "dora", "bob", "ann"]),
        ("name.familyName", "descending", ["ann", "bob", "dora", CARL]),
        ("emails", None, ["ann", "bob", CARL, "dora"]),
        ("emails.value", None, ["ann", "bob", CARL, "dora"]),
    ],
)
def test_lists_are_sorted(people: Hub, sort_by, order, expected):
    query = {"sortBy": sort_by} | ({} if order is None else {"sortOrder": order})
    assert [each["userName"] for each in people.strict.read("/Users", **query)["Resources"]] == expected


@requirement("S-003")
def test_a_multi_valued_attribute_sorts_by_its_primary_value(hub: Hub):
    hub.strict.user("first", emails=[{"value": "a@x.example"}, {"value": "z@x.example", "primary": True}])
    hub.strict.user("second", emails=[{"value": "m@x.example"}, {"value": "n@x.example"}])
    assert [each["userName"] for each in hub.strict.read("/Users", sortBy="emails")["Resources"]] == ["second", "first"]


@requirement("S-002", "S-004")
@pytest.mark.parametrize("query", [{"sortBy": "name"}, {"sortBy": "userName", "sortOrder": "upwards"}])
def test_a_sort_that_means_nothing_is_refused(people: Hub, query):
    refused(people.strict.get("/Users", **query), 400, "invalidValue")


# --------------------------------------------------------------------------- paging


def many(hub: Hub, count: int) -> list[str]:
    """Users of whom many share a title; their names."""
    names = [f"user{number:03d}" for number in range(count)]
    operations = [
        {
            "method": "POST",
            "path": "/Users",
            "bulkId": name,
            "data": {"schemas": [USER], "userName": name, "title": f"t{index % 3}"},
        }
        for index, name in enumerate(names)
    ]
    assert {each["status"] for each in ok(hub.strict.bulk(*operations))["Operations"]} == {"201"}
    return names


def walk(hub: Hub, count: int, **query: str) -> list[dict]:
    """All pages by cursor."""
    pages = []
    cursor = ""
    while True:
        pages.append(hub.strict.read("/Users", count=str(count), cursor=cursor, **query))
        if "nextCursor" not in pages[-1]:
            return pages
        cursor = pages[-1]["nextCursor"]


@requirement("S-007", "I-001", "I-002", "IDP-13")
@pytest.mark.parametrize("query", [{}, {"sortBy": "title"}, {"sortBy": "title", "sortOrder": "descending"}])
def test_index_pages_neither_overlap_nor_leave_gaps(hub: Hub, query):
    names = many(hub, 23)
    seen = []
    for start in range(1, 24, 5):
        seen += [each["userName"] for each in hub.strict.read("/Users", startIndex=str(start), count="5", **query)["Resources"]]
    assert sorted(seen) == names


@requirement("I-001", "I-003", "I-004", "I-005", "I-008", "K-014")
@pytest.mark.parametrize(
    "query, start, shown",
    [
        ({"startIndex": "0"}, 1, 7),
        ({"startIndex": "-5"}, 1, 7),
        ({"count": "0"}, 1, 0),
        ({"count": "-3"}, 1, 0),
        ({"count": "100000"}, 1, 7),
        ({"startIndex": "100"}, 100, 0),
        ({}, 1, 7),
    ],
)
def test_numbers_out_of_range_are_understood(hub: Hub, query, start, shown):
    many(hub, 7)
    page = hub.strict.read("/Users", **query)
    assert (page["totalResults"], page["startIndex"], len(page["Resources"])) == (7, start, shown)


@requirement("I-006")
@pytest.mark.parametrize("query", [{"count": "abc"}, {"startIndex": "1.5"}, {"startIndex": ""}, {"count": "0x10"}])
def test_what_is_no_number_is_refused(hub: Hub, query):
    refused(hub.strict.get("/Users", **query), 400, "invalidValue")


@requirement("K-001", "K-002", "K-003", "K-004", "K-005", "K-008", "K-012")
@pytest.mark.parametrize(
    "query", [{}, {"sortBy": "title"}, {"sortBy": "userName", "sortOrder": "descending"}, {"filter": 'title eq "t1"'}]
)
def test_cursor_pages_neither_overlap_nor_leave_gaps(hub: Hub, query):
    many(hub, 20)
    everybody = [each["userName"] for each in hub.strict.read("/Users", **query)["Resources"]]
    pages = walk(hub, 5, **query)
    assert [each["userName"] for page in pages for each in page["Resources"]] == everybody
    assert all(len(page["Resources"]) <= 5 and page["totalResults"] == len(everybody) for page in pages)
    assert len(pages) == -(-len(everybody) // 5), "no empty page at the end"
    assert "previousCursor" not in pages[0]
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]+", page["nextCursor"]) for page in pages[:-1])


@requirement("K-001", "K-007")
def test_a_walk_may_begin_in_both_writings(hub: Hub):
    many(hub, 3)
    assert ok(hub.strict.get("/Users?cursor&count=2"))["nextCursor"]
    assert ok(hub.strict.get("/Users?cursor=&count=2"))["totalResults"] == 3


@requirement("K-003", "K-011")
def test_the_count_of_a_cursor_page(hub: Hub):
    many(hub, 6)
    for count in ("0", "-1"):
        page = hub.strict.read("/Users", cursor="", count=count)
        assert (page["totalResults"], page.get("Resources", [])) == (6, [])
    refused(hub.strict.get("/Users", cursor="", count="abc"), 400, "invalidCount")
    cursor = hub.strict.read("/Users", cursor="", count="2")["nextCursor"]
    refused(hub.strict.get("/Users", cursor=cursor, count="3"), 400, "invalidCount")


@requirement("K-006", "K-009", "K-019", "K-020", "K-021", "K-022", "T-004")
def test_a_cursor_belongs_to_its_query_and_its_owner(hub: Hub):
    many(hub, 6)
    query = {"filter": "userName pr", "count": "2"}
    cursor = hub.strict.read("/Users", cursor="", **query)["nextCursor"]
    assert len(hub.strict.read("/Users", cursor=cursor, **query)["Resources"]) == 2
    flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    middle = cursor[:10] + ("A" if cursor[10] != "A" else "B") + cursor[11:]
    details = [
        refused(hub.strict.get("/Users", cursor=cursor, count="2", filter="title pr"), 400, "invalidCursor"),
        refused(hub.strict.get("/Groups", cursor=cursor, count="2", filter="displayName pr"), 400, "invalidCursor"),
        refused(hub.strict.get("/Users", cursor="zzz", **query), 400, "invalidCursor"),
        refused(hub.strict.get("/Users", cursor=middle, **query), 400, "invalidCursor"),
        refused(hub.client("strict").get("/Users", cursor=cursor, **query), 400, "invalidCursor"),
        refused(hub.elsewhere.get("/Users", cursor=cursor, **query), 400, "invalidCursor"),
    ]
    assert hub.strict.get("/Users", cursor=flipped, **query).status_code in (200, 400)
    # RFC 9865 §5.2: whether the page exists for somebody else cannot be told from the answer.
    assert details[4] == details[5]


@requirement("K-010")
def test_a_cursor_expires(hub_with):
    hub = hub_with(cursor_lifetime=1)
    many(hub, 3)
    cursor = hub.strict.read("/Users", cursor="", count="2")["nextCursor"]
    wait_until(lambda: hub.strict.get("/Users", cursor=cursor, count="2").status_code == 400)
    refused(hub.strict.get("/Users", cursor=cursor, count="2"), 400, "expiredCursor")


@requirement("K-015")
def test_both_ways_of_paging_at_once_are_refused(hub: Hub):
    refused(hub.strict.get("/Users", cursor="", startIndex="1"), 400, "invalidValue")


@requirement("K-016", "Q-003")
def test_cursors_work_in_searches(hub: Hub):
    names = many(hub, 5)
    first = ok(hub.strict.search("/Users/.search", cursor="", count=3))
    second = ok(hub.strict.search("/Users/.search", cursor=first["nextCursor"], count=3))
    assert [each["userName"] for page in (first, second) for each in page["Resources"]] == names
    assert "nextCursor" not in second


@requirement("K-023")
def test_who_was_there_at_the_start_is_met_whatever_happens_meanwhile(hub: Hub):
    names = many(hub, 9)
    pages, cursor = [], ""
    for step in range(10):
        page = hub.strict.read("/Users", count="3", cursor=cursor, sortBy="userName")
        pages.append(page)
        if "nextCursor" not in page:
            break
        cursor = page["nextCursor"]
        hub.strict.user(f"aaa{step}")
        hub.strict.user(f"user00{step}x")
    seen = [each["userName"] for page in pages for each in page["Resources"]]
    assert set(names) <= set(seen)
    assert len(seen) == len(set(seen))


# --------------------------------------------------------------------------- .search


@requirement("Q-001", "Q-004", "Q-005")
@pytest.mark.parametrize("path, total", [("/.search", 5), ("/Users/.search", 4), ("/Groups/.search", 1)])
def test_a_search_is_a_query_in_a_body(people: Hub, path, total):
    people.strict.group("g")
    listed = ok(people.strict.search(path))
    assert (listed["schemas"], listed["totalResults"]) == ([f"{MESSAGE}:ListResponse"], total)


@requirement("Q-002")
@pytest.mark.parametrize("body", [{}, {"schemas": []}, {"schemas": [GROUP]}])
def test_a_search_names_its_schema(hub: Hub, body):
    refused(hub.strict.post("/Users/.search", body), 400, "invalidSyntax")


@requirement("Q-003", "Q-004")
def test_each_member_of_a_search_has_the_effect_of_its_parameter(people: Hub):
    found = ok(
        people.strict.search(
            "/Users/.search",
            filter="title pr or nickName pr",
            sortBy="userName",
            sortOrder="descending",
            startIndex=2,
            count=1,
            attributes=["userName"],
        )
    )
    assert (found["totalResults"], found["startIndex"], found["itemsPerPage"]) == (3, 2, 1)
    assert [set(each) for each in found["Resources"]] == [{"schemas", "id", "userName"}]
    assert found["Resources"][0]["userName"] == "bob"
    excluded = ok(people.strict.search("/Users/.search", excludedAttributes=["meta", "active"]))
    assert all("meta" not in each and "active" not in each for each in excluded["Resources"])


@requirement("Q-004")
def test_attributes_as_one_text_are_tolerated(people: Hub):
    found = ok(people.lenient.search("/Users/.search", attributes="userName,title"))
    assert {key for each in found["Resources"] for key in each} <= {"schemas", "id", "userName", "title"}


@requirement("Q-006")
def test_the_query_string_of_a_search_is_ignored(people: Hub):
    assert ok(people.strict.search("/Users/.search?filter=xx&count=1"))["itemsPerPage"] == 4


def test_a_parameter_that_scim_knows_stands_once_and_in_any_case(people: Hub):
    [person] = ok(people.strict.get("/Users?FILTER=userName%20eq%20%22bob%22"))["Resources"]
    assert person["userName"] == "bob"
    for path in ("/Users", f"/Users/{person['id']}"):
        refused(people.strict.get(f"{path}?attributes=userName&attributes=title"), 400, "invalidValue")
    refused(people.strict.get(f"/Users/{person['id']}?Filter=x"), 400, "invalidFilter")
    refused(people.strict.get("/Schemas?Filter=x"), 403)
    assert set(ok(people.strict.get(f"/Users/{person['id']}?Attributes=userName"))) == {"schemas", "id", "userName"}


@requirement("Q-007")
def test_a_search_changes_nothing(people: Hub):
    before = len(people.changes())
    ok(people.strict.search())
    assert len(people.changes()) == before
