import pytest

from scimhub.simulate import steps
from scimhub.simulate.steps import Answer, Unusable
from tests.simulate.dialogue import NOBODY, hold, one, spoken

KINDS = [
    (steps.get("/Users", {"filter": "x", "startIndex": 1}), "GET /Users?filter"),
    (steps.get("/Users", {"startIndex": 1, "count": 2}), "GET /Users?startIndex"),
    (steps.get("/Groups"), "GET /Groups"),
    (steps.get("/Groups/7", {"excludedAttributes": "members"}), "GET /Groups/{id}"),
    (steps.post("/Users", {}), "POST /Users"),
    (steps.patch("/Users/7", []), "PATCH /Users/{id}"),
    (steps.delete("/Users/7"), "DELETE /Users/{id}"),
]


@pytest.mark.parametrize("step, kind", KINDS)
def test_the_kind_of_a_request_names_no_id(step, kind):
    assert step.kind == kind


def test_values_in_filters_are_escaped():
    assert steps.equals("displayName", 'a "b" \\ é') == 'displayName eq "a \\"b\\" \\\\ é"'


def outcome(conversation, answers):
    """What a sub-conversation returns, or the sentence with which it gives up."""
    found = []

    def ask():
        found.append((yield from conversation))

    try:
        hold(ask(), answers)
    except Unusable as error:
        return str(error)
    return found[0]


FILTERED = steps.get("/Users", {"filter": 'userName eq "x"'}, frozenset({200, 404}))
ANSWERS = [
    (NOBODY, None),
    (Answer(404), None),
    (one({"id": "1"}), {"id": "1"}),
    (Answer(200, {"totalResults": 0}), None),
    (
        Answer(200, {"totalResults": 2, "Resources": [{}, {}]}),
        'The filter userName eq "x" should find one at most and found 2.',
    ),
    (Answer(200, {"Resources": []}), "The ListResponse's totalResults is None, not an integer."),
    (Answer(200, {"totalResults": "1", "Resources": []}), "The ListResponse's totalResults is '1', not an integer."),
    (Answer(200, {"totalResults": 1, "Resources": {}}), "The ListResponse's Resources are not a list of objects."),
]


@pytest.mark.parametrize("answer, found", ANSWERS)
def test_a_match_query_finds_one_or_nobody_and_refuses_the_rest(answer, found):
    assert outcome(steps.find(FILTERED), [answer]) == found


def page(*ids, total):
    return Answer(200, {"totalResults": total, "Resources": [{"id": each} for each in ids]})


def test_walking_asks_for_the_next_page_until_all_are_there():
    pages = [page("a", "b", total=3), page("c", total=3)]
    assert outcome(steps.walk("/Users", 2), pages) == [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    asked = hold(ignoring(steps.walk("/Users", 2)), pages)
    assert spoken(asked) == [
        ("GET", "/Users", {"startIndex": "1", "count": "2"}),
        ("GET", "/Users", {"startIndex": "3", "count": "2"}),
    ]


def test_walking_ends_at_an_empty_page():
    assert outcome(steps.walk("/Users", 2), [page("a", total=5), page(total=5)]) == [{"id": "a"}]


def test_walking_notices_pages_that_overlap():
    overlap = [page("a", "b", total=4), page("b", "c", total=4)]
    assert outcome(steps.walk("/Users", 2), overlap) == "The pages of /Users overlap: 4 resources, 3 different ids."


@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": 7}])
def test_an_answer_without_an_id_is_of_no_use(body):
    with pytest.raises(Unusable, match="The answer holds no id"):
        _ = Answer(201, body).id


def test_a_failure_shows_the_detail_or_the_text():
    assert Answer(409, {"detail": "It is taken."}).detail == "It is taken."
    assert Answer(502, text="Bad gateway").detail == "Bad gateway"


def ignoring(conversation):
    yield from conversation
