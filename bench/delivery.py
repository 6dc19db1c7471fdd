"""``python -m bench.delivery``: how soon and how fast committed changes reach a webhook, or with ``--kafka`` a topic.

Hub on one core, receiver and writers on the other, and an Apache Kafka that the benchmark starts as well. Latency is from the
answer to the write until the event is received, at a steady rate; a drain is a backlog that waited while its destination was
paused, and a fan-out one for several destinations. What a drain takes to get going is told apart from its rate.
"""

import argparse
import http.client
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import load, report, requests, servers
from bench.load import Traffic
from bench.rounds import Loader
from bench.seed import fill_hub, make_group
from bench.servers import ADMIN_TOKEN, Place, Server

_RATE = 200
_ROUNDS = 3
DESTINATIONS = "/admin/v1/directories/default/destinations"
_DEAD_BACKLOG = 1_000_000
# ``--kafka`` without servers.
_OWN = "own"
# How often a drain is looked at, in seconds, and between which parts of the backlog its rate is steady.
_LOOK_EVERY = 0.1
_STEADY_FROM, _STEADY_TO = 0.2, 0.95
# A broker works its way to its usual speed by some hundred thousand records.
_BARE_RECORDS, _BARE_ROUNDS = 60_000, 5


def main() -> int:
    options = _parse(sys.argv[1:])
    results: dict[str, float] = {}

    def note(measured: Mapping[str, float]) -> None:
        results.update(measured)
        for what, value in measured.items():
            report.say(f"{what:<76} {value:>12,.2f}", options.json)

    with Loader() as loader, tempfile.TemporaryDirectory(prefix="bench-") as name:
        _measure_alive(loader, Path(name), options, note)
        if "dead" in options.only:
            note(_dead(Path(name), options.dead))
    if options.json:
        print(json.dumps(results, indent=2))
    return 0


def _measure_alive(
    loader: Loader, folder: Path, options: argparse.Namespace, note: Callable[[Mapping[str, float]], None]
) -> None:
    topic = f"bench-{time.time():.0f}"
    place = Place(folder)
    with ExitStack() as opened:
        broker = opened.enter_context(servers.kafka()) if options.kafka == _OWN else None
        if broker is not None:
            options.kafka = f"127.0.0.1:{broker.port}"
        hub = opened.enter_context(servers.hub(place))
        receiving = servers.kafka_receiver(options.kafka, topic) if options.kafka else servers.receiver("note")
        receiver, silent = opened.enter_context(receiving), opened.enter_context(servers.receiver("silent"))
        users = fill_hub(place, options.users).people.ids
        if options.kafka:
            note(_bare(options.kafka, topic))
            _create_kafka(hub, options.kafka, topic)
        else:
            create(hub, "live", receiver)
        # A group is emptied and filled again, which is no accident here.
        admin(hub, "PUT", f"{DESTINATIONS}/live/brake", {"enabled": False})
        if "latency" in options.only:
            note(_latency(hub, receiver, silent, users, options))
        for what in options.drains.split() if "drain" in options.only else ():
            note(_drain(loader, hub, broker, receiver, users, what, options))
        if "fan-out" in options.only and not options.kafka:
            note(_fan_out(loader, hub, receiver, users, options))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.delivery")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--users", type=int, default=2000, help="how many users the hub holds")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of steady writing")
    parser.add_argument("--rate", type=int, default=_RATE, help="changes a second of steady writing")
    parser.add_argument(
        "--kafka",
        nargs="?",
        const=_OWN,
        default="",
        help="a topic in the place of a webhook, at these servers or of its own",
    )
    parser.add_argument("--drains", default="users group", help="changes of many users, of one group's members, or both")
    parser.add_argument("--alone", action="store_true", help="have a topic consumed when a drain is over, not beside it")
    parser.add_argument("--backlog", type=int, default=100_000, help="changes to drain")
    parser.add_argument("--dead", type=int, default=_DEAD_BACKLOG, help="changes behind a dead destination")
    parser.add_argument("--destinations", type=int, default=10, help="how many webhooks a fan-out has")
    parser.add_argument("--only", default="latency drain fan-out dead", help="which of latency, drain, fan-out, dead")
    return parser.parse_args(arguments)


# --------------------------------------------------------------------------- latency


def _latency(
    hub: Server, receiver: Server, silent: Server, users: Sequence[str], options: argparse.Namespace
) -> dict[str, float]:
    """Medians over rounds without and with a destination beside it that never answers and has a backlog already."""
    rate, seconds = options.rate, options.seconds
    create(hub, "dead", silent)
    _steady(hub, receiver, users, seconds, rate)
    alone, beside = [], []
    for _ in range(_ROUNDS):
        admin(hub, "POST", f"{DESTINATIONS}/dead/pause", {})
        alone.append(_steady(hub, receiver, users, seconds, rate))
        admin(hub, "POST", f"{DESTINATIONS}/dead/resume")
        time.sleep(1)
        beside.append(_steady(hub, receiver, users, seconds, rate))
    admin(hub, "DELETE", f"{DESTINATIONS}/dead")
    p99_alone = median(_quantile(run, 0.99) for run in alone)
    where = "Kafka" if options.kafka else "webhook"
    p99_beside = median(_quantile(run, 0.99) for run in beside)
    return {
        f"commit to {where}, {rate} changes/s, p50 ms (wanted {15 if options.kafka else 20})": median(
            _quantile(run, 0.5) for run in alone
        )
        * 1e3,
        f"commit to {where}, {rate} changes/s, p99 ms (wanted 100)": p99_alone * 1e3,
        "the same beside a destination that never answers, p99 ms": p99_beside * 1e3,
        "that destination's effect on p99 (wanted 1.2)": p99_beside / p99_alone,
    }


def _steady(hub: Server, receiver: Server, users: Sequence[str], seconds: float, rate: int) -> list[float]:
    """Seconds from each write's answer to its event's arrival, sorted; writes begin on time whatever the hub does."""
    load.pin(servers.LOAD_CORE)
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
    answered: dict[str, float] = {}
    start = time.perf_counter()
    for number in range(int(seconds * rate)):
        early = start + number / rate - time.perf_counter()
        if early > 0:
            time.sleep(early)
        body = {
            "schemas": [requests.PATCH_OP],
            "Operations": [{"op": "replace", "path": "title", "value": f"t{number} {start}"}],
        }
        headers = {"Authorization": f"Bearer {servers.TOKEN}", "Content-Type": "application/scim+json"}
        connection.request("PATCH", f"{requests.ROOT}/Users/{users[number % len(users)]}", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        answered[str(answer.headers["Scimhub-Change"])] = time.time()
    connection.close()
    wait(lambda: status(hub, "live")["lag"] == 0, 60)
    # A topic's consumer has the last records a moment after the hub has their confirmation.
    wait(lambda: answered.keys() <= arrivals(receiver).keys(), 10)
    arrived = arrivals(receiver)
    return sorted(max(0.0, float(arrived[change]) - moment) for change, moment in answered.items())


def arrivals(receiver: Server) -> dict[str, str]:
    """For each event's id when it came, in seconds since 1970."""
    return dict(line.split(" ", 1) for line in _fetch(receiver, "/arrivals").splitlines())


def _quantile(values: list[float], part: float) -> float:
    return values[min(int(len(values) * part), len(values) - 1)]


# --------------------------------------------------------------------------- draining


@dataclass(frozen=True, slots=True)
class _Moment:
    """Where a drain stands: seconds since it began, changes that are left, CPU seconds of the hub and of the broker."""

    at: float
    left: int
    hub: float
    broker: float


def _drain(
    loader: Loader,
    hub: Server,
    broker: Server | None,
    receiver: Server,
    users: Sequence[str],
    what: str,
    options: argparse.Namespace,
) -> dict[str, float]:
    backlog = options.backlog if what == "users" else options.backlog // 10
    group = make_group(loader, hub, f"hot {time.time()}")
    wait(lambda: status(hub, "live")["lag"] == 0, 60)
    admin(hub, "POST", f"{DESTINATIONS}/live/pause", {})
    _fill(loader, hub, [_change(what, group, users, number) for number in range(backlog)], 200 if what == "users" else 204)
    before = int(_fetch(receiver, "/count"))
    _fetch(receiver, "/hold" if options.alone else "/go")
    moments = _watch_drain(hub, broker)
    _fetch(receiver, "/go")
    wait(lambda: int(_fetch(receiver, "/count")) - before >= backlog, 60)
    name = f"drain of {backlog:,} changes {'of one hot group' if what == 'group' else 'of many users'}"
    begun = next(moment for moment in moments if moment.left < backlog)
    found = {
        f"{name}: changes/s with the start": backlog / moments[-1].at,
        f"{name}: seconds until some have arrived": begun.at,
    }
    wanted = 20_000 if options.kafka and what == "users" else 2_000
    first = next(moment for moment in moments if moment.left <= backlog * (1 - _STEADY_FROM))
    last = next(moment for moment in moments if moment.left <= backlog * (1 - _STEADY_TO))
    done, seconds = first.left - last.left, last.at - first.at
    if not done:
        return found
    found |= {
        f"{name}, under way: changes/s (wanted {wanted})": done / seconds,
        f"{name}, under way: CPU µs of the hub each": (last.hub - first.hub) / done * 1e6,
        f"{name}, under way: the hub's part of its core": (last.hub - first.hub) / seconds,
    }
    if broker is not None:
        found[f"{name}, under way: CPU µs of the broker each"] = (last.broker - first.broker) / done * 1e6
    return found


def _watch_drain(hub: Server, broker: Server | None) -> list[_Moment]:
    """Let the destination go on, and look now and then until it has all."""
    start, left, moments = time.perf_counter(), 1, list[_Moment]()
    admin(hub, "POST", f"{DESTINATIONS}/live/resume")
    while left:
        time.sleep(_LOOK_EVERY)
        left = status(hub, "live")["lag"]
        used = 0.0 if broker is None else broker.cpu_seconds()
        moments.append(_Moment(time.perf_counter() - start, left, hub.cpu_seconds(), used))
        if moments[-1].at > 600:
            raise RuntimeError("The drain took longer than 600 s.")
    return moments


def _fan_out(
    loader: Loader, hub: Server, receiver: Server, users: Sequence[str], options: argparse.Namespace
) -> dict[str, float]:
    """One stream of changes to several webhooks at once."""
    names = [f"fan-{number}" for number in range(options.destinations)]
    backlog = options.backlog // len(names)
    for name in names:
        create(hub, name, receiver)
    for name in ("live", *names):
        admin(hub, "POST", f"{DESTINATIONS}/{name}/pause", {})
    _fill(loader, hub, [_change("users", "", users, number) for number in range(backlog)], 200)
    before, cpu = int(_fetch(receiver, "/count")), hub.cpu_seconds()
    start = time.perf_counter()
    for name in names:
        admin(hub, "POST", f"{DESTINATIONS}/{name}/resume")
    events = backlog * len(names)
    wait(lambda: int(_fetch(receiver, "/count")) - before >= events, 600)
    elapsed, used = time.perf_counter() - start, hub.cpu_seconds() - cpu
    what = f"fan-out of {backlog:,} changes to {len(names)} webhooks"
    return {f"{what}, events/s (wanted 3000)": events / elapsed, f"{what}, CPU µs of the hub each": used / events * 1e6}


def _fill(loader: Loader, hub: Server, changes: Sequence[bytes], status: int) -> None:
    """Have the changes made, in pieces that the load generator takes at once."""
    for first in range(0, len(changes), 10_000):
        loader.send(hub, Traffic(changes[first : first + 10_000], status))


def _change(what: str, group: str, users: Sequence[str], number: int) -> bytes:
    user = users[number % len(users)]
    if what == "users":
        return requests.patch(f"/Users/{user}", op="replace", path="title", value=f"drain {number} {time.time()}")
    verb = "add" if number // len(users) % 2 == 0 else "remove"
    return requests.patch(f"/Groups/{group}", op=verb, path="members", value=[{"value": user}])


# --------------------------------------------------------------------------- a dead destination


def _dead(folder: Path, backlog: int) -> dict[str, float]:
    """What a backlog costs whose destination refuses every connection: rows, and memory over some seconds of trying."""
    with servers.hub(Place(folder)) as hub:
        admin(hub, "POST", f"{DESTINATIONS}/live/pause", {})
        port = servers.free_port()
        admin(hub, "POST", DESTINATIONS, {"name": "dead", "configuration": {"url": f"http://127.0.0.1:{port}/"}})
        admin(hub, "POST", f"{DESTINATIONS}/dead/pause", {})
    append_changes(folder / "scimhub.db", backlog)
    with servers.hub(Place(folder)) as hub:
        before = hub.memory_bytes()
        admin(hub, "POST", f"{DESTINATIONS}/dead/resume")
        most = 0
        end = time.monotonic() + 15
        while time.monotonic() < end:
            time.sleep(0.2)
            most = max(most, hub.memory_bytes())
        stands = status(hub, "dead")
        cpu = hub.cpu_seconds()
        time.sleep(5)
        idle = (hub.cpu_seconds() - cpu) / 5
        admin(hub, "DELETE", f"{DESTINATIONS}/dead")
    with closing(sqlite3.connect(folder / "scimhub.db")) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM held").fetchone()
    return {
        f"backlog of {backlog:,} for a dead destination: positions behind": float(stands["lag"]),
        "rows that it adds (wanted 0)": float(rows + stands["held"]),
        "memory that it adds, MB (wanted 50)": (most - before) / 1e6,
        "CPU that trying costs, part of a core": idle,
    }


def append_changes(database: Path, amount: int) -> None:
    """A log that long, made of its own updates: written behind the hub's back, since only its length matters here."""
    with closing(sqlite3.connect(database)) as connection, connection:
        (head,) = connection.execute("SELECT max(position) FROM changes").fetchone()
        updates = [row[0] for row in connection.execute("SELECT position FROM changes WHERE operation = 'updated'")]
        source = updates[:1000]
        target = head
        while target < head + amount:
            some = source[: head + amount - target]
            connection.executemany(
                "INSERT INTO changes (position, id, operation, directory, kind, resource_id, version, source, exchange_id, "
                "time, after, before) SELECT ?2, 'bench-' || ?2, operation, directory, kind, resource_id, version + ?2, "
                "source, exchange_id, time, after, before FROM changes WHERE position = ?1",
                [(position, target + offset + 1) for offset, position in enumerate(some)],
            )
            target += len(some)


# --------------------------------------------------------------------------- speaking to the hub


def create(hub: Server, name: str, receiver: Server) -> None:
    admin(hub, "POST", DESTINATIONS, {"name": name, "configuration": {"url": f"http://127.0.0.1:{receiver.port}/"}})


def _bare(kafka: str, topic: str) -> dict[str, float]:
    """What a producer that does nothing else gets appended, once the broker is warm; its core is the hub's, which idles."""
    command = [sys.executable, "-m", "bench.kafka_producer", kafka, topic, str(_BARE_RECORDS), str(_BARE_ROUNDS)]
    rates = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {"a bare producer, records/s": rates[-1]}


def _create_kafka(hub: Server, kafka: str, topic: str) -> None:
    configuration = {"servers": kafka, "topic": topic, "tls": False, "format": "binary"}
    admin(hub, "POST", DESTINATIONS, {"name": "live", "kind": "kafka", "configuration": configuration})


def status(hub: Server, name: str) -> Mapping[str, int]:
    found = json.loads(admin(hub, "GET", f"{DESTINATIONS}/{name}"))["status"]
    assert isinstance(found, dict)
    return found


def admin(hub: Server, method: str, path: str, body: object = None) -> str:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"} | ({} if body is None else {"Content-Type": "application/json"})
    return call(hub, method, path, None if body is None else json.dumps(body), headers)


def _fetch(server: Server, path: str) -> str:
    return call(server, "GET", path, None, {})


def call(server: Server, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        told = answer.read().decode()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} gave {answer.status}: {told[:500]}")
        return told
    finally:
        connection.close()


def wait(condition: Callable[[], bool], limit: float) -> None:
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"The hub did not get there within {limit:g} s.")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
