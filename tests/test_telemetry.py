"""Log lines and metrics."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from scimhub import telemetry
from scimhub.telemetry import Metrics


@pytest.fixture(autouse=True)
def _keep_loggers() -> Iterator[None]:
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    yield
    root.handlers[:] = kept
    root.setLevel(level)


def lines_of(format: str, level: str = "info") -> tuple[io.StringIO, logging.Logger]:
    stream = io.StringIO()
    telemetry.configure_logging(level, format, stream)  # type: ignore[arg-type]
    return stream, logging.getLogger("scimhub.example")


def test_a_json_line_holds_the_extras_as_keys():
    stream, logger = lines_of("json")
    logger.warning("request refused", extra={"status": 409, "path": "/Users"})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "scimhub.example",
        "message": "request refused",
        "status": 409,
        "path": "/Users",
    }


def test_a_text_line_holds_the_extras_as_key_and_value():
    stream, logger = lines_of("text")
    logger.info("request refused", extra={"status": 409, "detail": "two words", "empty": ""})
    assert stream.getvalue().split(" ", 1)[1] == 'info    request refused status=409 detail="two words" empty=""\n'


def test_without_a_terminal_auto_is_json():
    stream, logger = lines_of("auto")
    logger.info("started")
    assert json.loads(stream.getvalue())["message"] == "started"


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_line_break_in_a_value_does_not_make_a_second_line(format: str):
    stream, logger = lines_of(format)
    logger.info("refused\nfake", extra={"detail": "a\nlevel=error"})
    assert stream.getvalue().count("\n") == 1


def test_an_exception_is_in_the_json_line():
    stream, logger = lines_of("json")
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("failed")
    assert json.loads(stream.getvalue())["exception"].endswith("ValueError: odd")


def test_lines_below_the_level_are_not_written():
    stream, logger = lines_of("json", "error")
    logger.warning("not now")
    assert stream.getvalue() == ""


def test_metrics_count_requests_durations_rewrites_and_gauges():
    metrics = Metrics()
    metrics.count_request("GET", "resource:User", 200, "acme/okta", 0.003)
    metrics.count_request("GET", "resource:User", 200, "acme/okta", 0.2)
    metrics.count_request("POST", "collection:User", 409, "acme/okta", 20.0)
    metrics.count_rewrites(["string-boolean", "string-boolean", "operation-case"])
    metrics.add_family("counter", "exchanges_dropped", "Exchanges that were not recorded.", [], lambda: [([], 3)])
    metrics.add_gauge("writer_queue", "Intents that wait.", lambda: 7)
    lines = metrics.render().decode().splitlines()
    labels = 'method="GET",route="resource:User",source="acme/okta",status="200"'
    assert f"scimhub_requests_total{{{labels}}} 2.0" in lines
    assert 'scimhub_request_duration_seconds_bucket{le="0.0025",route="resource:User"} 0.0' in lines
    assert 'scimhub_request_duration_seconds_bucket{le="0.005",route="resource:User"} 1.0' in lines
    assert 'scimhub_request_duration_seconds_bucket{le="+Inf",route="resource:User"} 2.0' in lines
    assert 'scimhub_request_duration_seconds_sum{route="resource:User"} 0.203' in lines
    assert 'scimhub_request_duration_seconds_bucket{le="10.0",route="collection:User"} 0.0' in lines
    assert 'scimhub_rewrites_total{rule="string-boolean"} 2.0' in lines
    assert "scimhub_exchanges_dropped_total 3.0" in lines
    assert "scimhub_writer_queue 7.0" in lines


def test_two_hubs_in_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.count_rewrites(["string-boolean"])
    assert "string-boolean" not in other.render().decode()
