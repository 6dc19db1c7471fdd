import pytest

from scimhub.simulate import report
from scimhub.simulate.report import NO_ANSWER, Failure, Report

PERCENTILES = [
    ([], 0.5, 0.0),
    ([7.0], 0.99, 7.0),
    ([3.0, 1.0, 2.0], 0.5, 2.0),
    ([float(n) for n in range(1, 101)], 0.5, 50.0),
    ([float(n) for n in range(1, 101)], 0.99, 99.0),
    ([1.0, 2.0], 0.99, 2.0),
]


@pytest.mark.parametrize("values, share, found", PERCENTILES)
def test_percentiles_are_values_that_occurred(values, share, found):
    assert report.percentile(values, share) == found


def test_a_report_as_json():
    done = Report("okta", seconds=1.23456, retries=1)
    done.note_answer("POST /Users", 201, 0.004)
    done.note_answer("POST /Users", 201, 0.002)
    done.note_answer("POST /Users", NO_ANSWER, 0.5)
    done.note_success("joined", "ines")
    done.note_success("joined", "ines")
    done.note_success("groups", "Crew")
    done.failures.append(Failure("join", "tove", "POST /Users", NO_ANSWER, "No answer."))
    latency = {"p50_ms": 4.0, "p99_ms": 500.0}
    assert done.render() == {
        "provider": "okta",
        "joined": 1,
        "moved": 0,
        "left": 0,
        "deleted": 0,
        "groups": 1,
        "requests": 3,
        "retries": 1,
        "seconds": 1.235,
        **latency,
        "kinds": [{"request": "POST /Users", "count": 3, "statuses": {"none": 1, "201": 2}, **latency}],
        "failures": [{"phase": "join", "subject": "tove", "request": "POST /Users", "status": None, "detail": "No answer."}],
    }
