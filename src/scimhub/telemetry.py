"""How the hub tells what it does: log lines and metrics.

Modules log with ``logging.getLogger(__name__)`` and facts as ``extra={"status": 409}``; what a line looks like is decided
here. Metrics are an object that ``app`` makes and passes on. Requests are counted on the hot path, so they are plain
dictionaries that a scrape turns into Prometheus' form, which costs a tenth of its own counters.
"""

import logging
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from scimhub.clock import text

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BUCKET_NAMES = (*(str(bound) for bound in _BUCKETS), "+Inf")
# What a log record has by itself; all else came in as extra.
_RECORD_KEYS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


# --------------------------------------------------------------------------- logging


def configure_logging(level: str, format: Literal["auto", "json", "text"], stream: TextIO | None = None) -> None:
    """Send all log lines from that level up to the stream (stderr by default), one line for each."""
    stream = stream or sys.stderr
    as_text = format == "text" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn's loggers bring handlers of their own, and its access log doubles ours.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, and its extras."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _extras(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """A record for a person: time, level, message, then its extras as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), record.levelname.lower().ljust(7), _one_line(record.getMessage())]
        parts += [f"{key}={_quoted(value)}" for key, value in _extras(record).items()]
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    return text(datetime.fromtimestamp(record.created, UTC))


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _RECORD_KEYS}


def _one_line(message: str) -> str:
    # A client's text must not be able to forge a line.
    return message.replace("\r", "\\r").replace("\n", "\\n")


def _quoted(value: object) -> str:
    shown = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return shown if shown.isprintable() and shown and " " not in shown else orjson.dumps(shown).decode()


# --------------------------------------------------------------------------- metrics


# Values of labels, and what was read for them.
Readings = Callable[[], Iterable[tuple[list[str], float]]]


class Metrics(Collector):
    """The counters of one hub; ``render`` is what /metrics answers. Counted on the event loop only, hence without locks."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int, str]] = Counter()
        self._durations: dict[str, list[float]] = {}
        self._rewrites: Counter[str] = Counter()
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._families: list[tuple[str, str, str, list[str], Readings]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def count_request(self, method: str, route: str, status: int, source: str, seconds: float) -> None:
        """Count one answered request. ``route`` is a pattern, never a path; ``source`` is ``directory/source`` or empty."""
        self._requests[method, route, status, source] += 1
        durations = self._durations.get(route)
        if durations is None:
            durations = self._durations[route] = [0.0] * (len(_BUCKETS) + 2)
        durations[bisect_left(_BUCKETS, seconds)] += 1
        durations[-1] += seconds

    def count_rewrites(self, rules: Iterable[str]) -> None:
        """Count the named rewrites that a dialect made to one request."""
        self._rewrites.update(rules)

    def add_gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Show a value that is read at each scrape; the name goes without ``scimhub_``."""
        self._gauges[name] = (description, read)

    def add_family(
        self, kind: Literal["counter", "gauge"], name: str, description: str, labels: list[str], read: Readings
    ) -> None:
        """Show one value for each set of labels, read at each scrape; the name goes without ``scimhub_``."""
        self._families.append((kind, f"scimhub_{name}", description, labels, read))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, to be sent as CONTENT_TYPE."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for at a scrape."""
        requests = CounterMetricFamily("scimhub_requests", "Answered requests.", labels=["method", "route", "status", "source"])
        for (method, route, status, source), amount in list(self._requests.items()):
            requests.add_metric([method, route, str(status), source], amount)
        yield requests
        durations = HistogramMetricFamily("scimhub_request_duration_seconds", "Time to answer.", labels=["route"])
        for route, counts in list(self._durations.items()):
            durations.add_metric([route], _cumulated(counts[:-1]), counts[-1])
        yield durations
        rewrites = CounterMetricFamily("scimhub_rewrites", "Rewrites that dialects made to requests.", labels=["rule"])
        for rule, amount in list(self._rewrites.items()):
            rewrites.add_metric([rule], amount)
        yield rewrites
        for name, (description, read) in self._gauges.items():
            yield GaugeMetricFamily(f"scimhub_{name}", description, value=read())
        for kind, name, description, labels, readings in self._families:
            shape = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            family = shape(name, description, labels=labels)
            for values, value in readings():
                family.add_metric(values, value)
            yield family


def _cumulated(counts: list[float]) -> list[tuple[str, float]]:
    """Prometheus' buckets count all that took at most so long."""
    total = 0.0
    buckets = []
    for name, count in zip(_BUCKET_NAMES, counts, strict=True):
        total += count
        buckets.append((name, total))
    return buckets
