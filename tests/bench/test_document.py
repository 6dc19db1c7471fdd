"""The page and the plot tell what was measured, and of each aim whether it was reached and by how much not."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench import document, measuring, plot, reach, results
from bench.results import Figure, Result, Row

ROW = Row("sqlite", "get", 1_000, None, 32, 5_000.0, 6.0, 9.0, 10_000.0, 0.5, 60.0, 0.0, 30.0, 8.0)
ROWS = [
    ROW,
    replace(ROW, users=10_000, ratio=0.36, cpu_us=100.0),
    replace(ROW, server="postgres", users=10_000, ratio=0.33, cpu_us=80.0, database_cpu_us=40.0),
    replace(ROW, server="scim2-server", rate=250.0, cpu_us=4_000.0),
    replace(ROW, scenario="member add", users=10_000, members=1_000, ratio=0.2, cpu_us=100.0),
    replace(ROW, scenario="member add", users=10_000, members=10_000, ratio=0.2, cpu_us=150.0),
    replace(ROW, scenario="member add", users=10_000, members=10_000, clients=1, p50_ms=1.25),
]
FIGURES = [
    Figure("sqlite", measuring.WALK, 1_000, 90_000.0, "users/s"),
    Figure("sqlite", measuring.WALK, 10_000, 15_000.0, "users/s"),
    Figure("postgres", measuring.MEMORY, 10_000, 200.0, "MB"),
]
SURROUNDINGS = {"date": "today", "load average at the start": "0.10", "load average at the end": "1.70"}
RESULT = Result(SURROUNDINGS, {"rounds": "3 of 1 s each"}, 3.5, ROWS, FIGURES)


def test_an_aim_is_judged_at_the_largest_size():
    found = {(each.aim.what, each.server): (each.measured, each.verdict) for each in reach.judge(RESULT)}
    assert found == {
        ("get", "sqlite"): (0.36, "20% too little"),
        ("get", "postgres"): (0.33, "met"),
        ("member add, largest group", "sqlite"): (0.2, "met"),
        ("member add, one client, p50", "sqlite"): (1.25, "met"),
        ("member add: cost in the largest group to the smallest", "sqlite"): (1.5, "1.2 times as much"),
        (measuring.WALK, "sqlite"): (15_000.0, "50% too little"),
        (measuring.MEMORY, "postgres"): (200.0, "met"),
    }


def test_a_ratio_is_also_told_by_cpu_time():
    by_cpu = {(each.aim.what, each.server): each.by_cpu for each in reach.judge(RESULT)}
    assert by_cpu["get", "sqlite"] == pytest.approx(0.3)
    assert by_cpu[measuring.WALK, "sqlite"] is None


def test_an_aim_that_only_the_rates_reach_is_not_counted():
    held_up = replace(RESULT, rows=[replace(ROW, ratio=0.6, cpu_us=100.0)])
    assert next(each.verdict for each in reach.judge(held_up)) == "met by rates, not by CPU"
    page = document.write(held_up)
    assert "**met by rates, not by CPU**" in page
    assert "1 are met by rates only" in page


def test_the_page_has_every_row_and_figure_and_what_falls_short():
    page = document.write(RESULT)
    assert "| get | SQLite | 0.36 of hello | 0.3 | ≥ 0.45 | **20% too little** |" in page
    assert "Of 7 aims 4 are met in this run, 3 are not." in page
    assert "| get |  | 32 | 5,000 | 6.00 | 9.00 | 0.330 | 80 | 40 | 30 |" in page
    assert "| member add | 1,000 | 32 | 5,000 | 6.00 | 9.00 | 0.200 | 100 | 0 | 30 |" in page
    assert "| get |  | 32 | 250 | 5,000 (20×) | – |" in page
    assert f"| {measuring.WALK}, users/s | 90,000 | 15,000 | – |" in page


def test_every_table_of_the_page_is_even():
    widths: set[int] = set()
    for line in document.write(RESULT).splitlines():
        widths = widths | {line.count("|")} if line.startswith("|") else set()
        assert len(widths) <= 1, line


def test_the_page_says_whether_others_used_the_machine():
    assert "at rest when the run began (load average 0.10" in document.write(RESULT)
    busy = replace(RESULT, surroundings={**SURROUNDINGS, "load average at the start": "4.10"})
    assert "**Others used the machine during the run** (load average 4.10" in document.write(busy)


def test_a_result_is_read_back_as_it_was_written():
    assert results.parse(RESULT.dump()) == RESULT


def elements(picture: str, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall(f".//{{http://www.w3.org/2000/svg}}{name}")


def test_the_plot_has_a_line_for_each_series_and_a_point_for_each_row_under_full_load():
    picture = plot.draw(ROWS)
    points = [len(line.attrib["points"].split()) for line in elements(picture, "polyline")]
    assert points == [2, 1, 1, 2]
    told = [title.text for title in elements(picture, "title")]
    assert "get, PostgreSQL, 10,000 users: 120 µs" in told


def test_what_costs_more_stands_higher_and_what_is_larger_farther_right():
    small, large = (
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in elements(plot.draw([ROWS[0], ROWS[1]]), "polyline")
    ).__next__()
    assert large[0] > small[0]
    assert large[1] < small[1]


def test_everything_is_inside_the_picture():
    picture = plot.draw([replace(ROW, users=users, cpu_us=cost) for users, cost in ((10, 1.0), (1_000_000, 9e6))])
    width, height = (float(ElementTree.fromstring(picture).attrib[name]) for name in ("width", "height"))
    for line in elements(picture, "polyline"):
        for x, y in (map(float, point.split(",")) for point in line.attrib["points"].split()):
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_a_run_without_rows_is_a_page_and_a_picture_too():
    empty = Result(SURROUNDINGS, {}, 3.5, [], [])
    assert elements(plot.draw([]), "polyline") == []
    assert re.search("Of 0 aims", document.write(empty))
