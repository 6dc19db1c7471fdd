"""``python -m bench.first_load``: filling a SCIM application with everybody, beside what the application could take.

The hub has one core; the application, which is a second hub or scim2-server, has the other with everything else. In turn
the hub loads a fresh application, and the bare load generator sends another one the very requests that the hub sends, ready
made, over as many connections. The ratio of the two says how far it is the application that limits the load.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean, median
from threading import Thread
from typing import Any

from bench import delivery, report, requests, servers
from bench.arguments import ROOT
from bench.load import Traffic
from bench.rounds import Loader
from bench.seed import fill_hub
from bench.servers import TOKEN, Place, Server
from scimhub.cli.progress import Past
from scimhub.distribution import times

# Seconds; each look costs the hub what some five people do.
_LOOK_EVERY = 0.25
_LIMIT = 1800.0
_PARTS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load by the hub.

    CPU is in seconds, ``fullness`` the mean of messages on their way by those that were permitted; ``told`` has for each of
    ``_PARTS`` how many seconds were said to remain, and how many it then took.
    """

    seconds: float
    hub_cpu: float
    application_cpu: float
    fullness: float
    permitted: int
    told: Sequence[tuple[float, float]]


def main() -> int:
    options = _parse(sys.argv[1:])
    results: dict[str, float] = {}
    with Loader() as loader, tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as name:
        place = Place(Path(name))
        with servers.hub(place) as hub:
            fill_hub(place, options.people)
            for what in options.applications.split():
                results |= _measure(loader, hub, what, options)
    if options.json:
        print(json.dumps(results, indent=2))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.first_load")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--people", type=int, default=4000, help="how many people the hub holds")
    parser.add_argument("--rounds", type=int, default=3, help="loads by the hub and by the load generator, in turn")
    parser.add_argument("--concurrency", type=int, default=None, help="requests at a time, else the hub's own default")
    parser.add_argument("--applications", default=" ".join(_APPLICATIONS), help="which of them are loaded")
    return parser.parse_args(arguments)


def _measure(loader: Loader, hub: Server, what: str, options: argparse.Namespace) -> dict[str, float]:
    recorded = record(hub, options.people, options.concurrency)
    ours, bare, bare_cpu = list[Loaded](), list[float](), list[float]()
    for _ in range(options.rounds):
        with _APPLICATIONS[what]() as application:
            ours.append(load_by_hub(hub, application, options.people, options.concurrency))
        with _APPLICATIONS[what]() as application:
            sent = loader.send(application, Traffic(recorded, 201), ours[-1].permitted)
            bare.append(sent.measured.rate)
            bare_cpu.append(sent.cpu)
    found = figures(options.people, ours, bare, bare_cpu)
    for figure, value in found.items():
        report.say(f"{what:<13} {figure:<72} {value:>10,.2f}", options.json)
    return {f"{what}: {figure}": value for figure, value in found.items()}


def figures(people: int, ours: Sequence[Loaded], bare: Sequence[float], bare_cpu: Sequence[float]) -> dict[str, float]:
    rates = [people / one.seconds for one in ours]
    found = {
        "requests at a time": float(ours[0].permitted),
        "people/s by the hub": median(rates),
        "people/s by the bare load generator": median(bare),
        "ratio (wanted 0.9)": median(rate / other for rate, other in zip(rates, bare, strict=True)),
        "messages on their way, of those permitted": median(one.fullness for one in ours),
        "CPU ms of the hub each": median(one.hub_cpu for one in ours) / people * 1e3,
        "CPU ms of the application each": median(one.application_cpu for one in ours) / people * 1e3,
        "the same by the bare load generator": median(bare_cpu) / people * 1e3,
        "the application's part of its core": median(one.application_cpu / one.seconds for one in ours),
        "its part by the bare load generator": median(cpu * rate / people for cpu, rate in zip(bare_cpu, bare, strict=True)),
    }
    for number, part in enumerate(_PARTS):
        found[f"seconds said to remain at {part:.0%}"] = median(one.told[number][0] for one in ours)
        found[f"seconds that it then took, at {part:.0%}"] = median(one.told[number][1] for one in ours)
    return found


# --------------------------------------------------------------------------- by the hub


def load_by_hub(hub: Server, application: Server, people: int, concurrency: int | None) -> Loaded:
    """Have the hub tell a new destination everybody, and look on as ``scimhub destination backfill --wait`` does."""
    cpu = hub.cpu_seconds(), application.cpu_seconds()
    start = time.perf_counter()
    begin(hub, "load", application.port, concurrency)
    past = Past(0.0, 0)
    # When, how many were there, and how many seconds were said to remain.
    moments: list[tuple[float, int, float]] = []
    fullness: list[float] = []
    while True:
        time.sleep(_LOOK_EVERY)
        backfill, status = _look(hub, "load")
        now = time.perf_counter() - start
        done = backfill["looked_at"] - max(0, backfill["told"] - backfill["arrived"] - backfill["failed"])
        rate = past.rate(now, done)
        moments.append((now, done, (people - done) / rate if rate else 0.0))
        if backfill["state"] == "done":
            seconds = times.seconds(backfill["updated"]) - times.seconds(backfill["begun"])
            break
        fullness.append(status["in_flight"] / status["concurrency"])
        if backfill["failed"] or now > _LIMIT:
            raise RuntimeError(f"The load does not get on: {backfill}")
    used = hub.cpu_seconds() - cpu[0], application.cpu_seconds() - cpu[1]
    delivery.admin(hub, "DELETE", f"{delivery.DESTINATIONS}/load?confirm=load")
    reached = [next(moment for moment in moments if moment[1] >= people * part) for part in _PARTS]
    told = [(left, max(0.0, seconds - at)) for at, _, left in reached]
    return Loaded(seconds, *used, fmean(fullness or [0.0]), status["concurrency"], told)


def begin(hub: Server, name: str, port: int, concurrency: int | None) -> None:
    """A new destination that is told everybody."""
    configuration = {"base_url": f"http://127.0.0.1:{port}{requests.ROOT}"} | (
        {} if concurrency is None else {"concurrency": concurrency}
    )
    wish = {"name": name, "kind": "scim_app", "configuration": configuration, "secret": TOKEN, "backfill": True}
    delivery.admin(hub, "POST", delivery.DESTINATIONS, wish)


def _look(hub: Server, name: str) -> tuple[dict[str, Any], Mapping[str, int]]:
    backfill = json.loads(delivery.admin(hub, "GET", f"{delivery.DESTINATIONS}/{name}/backfill"))
    return backfill, delivery.status(hub, name)


# --------------------------------------------------------------------------- the very same requests


def record(hub: Server, people: int, concurrency: int | None) -> list[bytes]:
    """The requests by which the hub creates everybody; raises RuntimeError if it sends anything else for somebody."""
    recorder = _Recorder()
    with recorder, _serving(recorder):
        begin(hub, "recorded", recorder.server_port, concurrency)
        delivery.wait(lambda: _look(hub, "recorded")[0]["state"] == "done", _LIMIT)
        delivery.admin(hub, "DELETE", f"{delivery.DESTINATIONS}/recorded?confirm=recorded")
    if len(recorder.created) != people:
        raise RuntimeError(f"For {people} people {len(recorder.created)} creations came.")
    if recorder.others > 1:
        raise RuntimeError("Beside the question what the application can do it asked more, which the load generator does not.")
    return recorder.created


@contextmanager
def _serving(recorder: "_Recorder") -> Iterator[None]:
    thread = Thread(target=recorder.serve_forever)
    thread.start()
    try:
        yield
    finally:
        recorder.shutdown()
        thread.join()


class _Recorder(ThreadingHTTPServer):
    """An application that keeps each creation as it came, and says that it has whoever is created."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recording)
        self.created: list[bytes] = []
        self.others = 0


class _Recording(BaseHTTPRequestHandler):
    server: _Recorder
    protocol_version = "HTTP/1.1"
    # An answer goes out as one.
    wbufsize = -1

    def tell(self) -> None:
        self.server.others += 1
        self._answer(200, {"patch": {"supported": True}, "filter": {"supported": True}})

    def keep(self) -> None:
        head = b"".join(f"{name}: {value}\r\n".encode() for name, value in self.headers.items())
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.created.append(f"POST {self.path} HTTP/1.1\r\n".encode() + head + b"\r\n" + body)
        self._answer(201, {"id": str(len(self.server.created))})

    def _answer(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/scim+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


# The names under which http.server looks for them.
for _method, _answering in (("GET", _Recording.tell), ("POST", _Recording.keep)):
    setattr(_Recording, f"do_{_method}", _answering)


# --------------------------------------------------------------------------- the applications


@contextmanager
def _second_hub() -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as name,
        servers.hub(Place(Path(name)), core=servers.LOAD_CORE) as server,
    ):
        yield server


def _peer() -> AbstractContextManager[Server]:
    return servers.peer(core=servers.LOAD_CORE)


_APPLICATIONS = {"hub": _second_hub, "scim2-server": _peer}


if __name__ == "__main__":
    sys.exit(main())
