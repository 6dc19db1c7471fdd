"""Who is shown, and how a timeline is cut."""

import pytest

from scimhub.demo import timelines
from scimhub.simulate import people

ID = "01a20aff-c9b2-7303-9518-3cc6780a7919"
OTHER = "01a20aff-c9b2-7303-9518-3cc678aaaaaa"
TRACED = f"""\
User ines@kestrel.example, id {ID}
2026-11-24T00:41:05.200Z  sent       entra: POST /Users → 201 in 3.4 ms
                                     request 01a20aff-c9b0-7638-8209-acd00c61c760
                                     {{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ines@kes
                                     trel.example"}}
                          rewritten  string-boolean
2026-11-24T00:41:05.200Z  changed    User ines@kestrel.example ({ID}) created by entra: version 1, position 1
                                     change 01a20aff-c9b2-7303-9518-3cc749685f1c
                                     userName  ines@kestrel.example
2026-11-24T00:41:05.204Z  delivered  webhook: position 1, attempt 1, status 200, 4.3 ms
2026-11-24T00:41:06.100Z  changed    Group Crew ({OTHER}) updated by entra: version 2, position 9
                                     change 01a20aff-cc85-7e61-8965-444dce05ee65
                                     + member a@kestrel.example ({OTHER})
                                     + member b@kestrel.example ({OTHER})
                                     + member c@kestrel.example ({OTHER})
                                     + member d@kestrel.example ({OTHER})
                                     + member e@kestrel.example ({OTHER})
                                     + member f@kestrel.example ({OTHER})
                                     + member ines@kestrel.example ({ID})
2026-11-24T00:41:06.104Z  delivered  webhook: position 9, attempt 1, status 200, 4.3 ms
Note: ines@kestrel.example was taken for a userName.""".splitlines()
WHOLE = """\
00:41:05.200  sent       entra: POST /Users → 201 in 3.4 ms
                         {"userName":"ines@kestrel.example"}
              rewritten  string-boolean
00:41:05.200  changed    User ines@kestrel.example created by entra: version 1, position 1
                         userName  ines@kestrel.example
00:41:05.204  delivered  webhook: position 1, attempt 1, status 200, 4.3 ms
00:41:06.100  changed    Group Crew updated by entra: version 2, position 9
                         + member a@kestrel.example
                         + member b@kestrel.example
                         + member c@kestrel.example
                         + member d@kestrel.example
                         + member ines@kestrel.example
                         … 2 more
00:41:06.104  delivered  webhook: position 9, attempt 1, status 200, 4.3 ms""".splitlines()


def shorten(since: str = "", most: int = 100) -> list[str]:
    return timelines.shorten(TRACED, "ines@kestrel.example", since, most)


def test_dates_ids_and_folded_bodies_go_and_the_person_among_the_members_stays():
    assert shorten() == WHOLE


def test_a_timeline_is_cut_at_the_end_and_says_so():
    assert shorten(most=3) == [*WHOLE[:3], "… 11 lines more"]


def test_a_timeline_is_not_cut_for_the_sake_of_one_line():
    assert shorten(most=13) == WHOLE


def test_what_was_before_is_counted():
    assert shorten(since="2026-11-24T00:41:06.000Z") == ["… 9 lines before", *WHOLE[6:]]


def test_what_is_no_timeline_is_shown_as_it_is():
    assert timelines.shorten(["Nothing is known of x."], "x", "", 5) == ["Nothing is known of x."]


@pytest.mark.parametrize("part", timelines.PARTS)
def test_whoever_is_shown_plays_the_part_and_no_other(part: timelines.Part):
    population = people.populate("kestrel.example", 200)
    name = timelines.choose(part, population)
    career = next(each for each in population.careers if (each.moved or each.joined).user_name == name)
    is_renamed = career.moved is not None and career.moved.user_name != career.joined.user_name
    assert (is_renamed, career.departure) == {
        "joiner": (False, "stays"),
        "mover": (True, "stays"),
        "leaver": (False, "deleted"),
    }[part]


def test_nobody_is_shown_of_whom_nothing_could_be_seen():
    everybody = people.populate("kestrel.example", 20)
    steady = [each for each in everybody.careers if each.departure == "stays" and each.moved is None]
    population = people.Population("kestrel.example", "tag", tuple(steady), everybody.groups)
    assert [timelines.choose(part, population) is None for part in timelines.PARTS] == [False, True, True]
