"""``python -m bench.fairness``: what one directory's destination suffers from another directory that floods its own.

The other directory's destinations are paused until the log has a backlog of that directory, and then drain it all at once.
Meanwhile changes of the quiet directory are written at a steady rate, and it is measured how long after the answer to the
write their events arrive. Hub on one core, receivers and writers on the other.
"""

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import delivery, load, report, requests, servers
from bench.seed import fill_hub
from bench.servers import Place, Server

_QUIET = "quiet"


def main() -> int:
    options = _parse(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        results = _measure(Place(Path(name)), options)
    for what, value in results.items():
        report.say(f"{what:<64} {value:>12,.2f}", options.json)
    if options.json:
        print(json.dumps(results, indent=2))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--backlog", type=int, default=100_000, help="changes of the directory that floods")
    parser.add_argument("--destinations", type=int, default=1, help="how many destinations of it drain them")
    parser.add_argument("--rate", type=int, default=100, help="changes a second of the quiet directory")
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds of each round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds idle and flooded, in turn")
    return parser.parse_args(arguments)


def _measure(place: Place, options: argparse.Namespace) -> dict[str, float]:
    names = [f"chatty-{number}" for number in range(options.destinations)]
    with servers.receiver("note") as calm, servers.receiver("note") as flooded:
        with servers.hub(place) as hub:
            people = fill_hub(place, 500).people.ids
            # What the log is made longer with.
            _change(hub, servers.TOKEN, "default", people, 500, 1.0)
            token = _prepare(hub, calm)
            for name in names:
                delivery.create(hub, name, flooded)
                delivery.admin(hub, "POST", f"{delivery.DESTINATIONS}/{name}/pause", {})
        delivery.append_changes(place.folder / "scimhub.db", options.backlog)
        with servers.hub(place) as hub:
            return _rounds(hub, calm, token, names, options)


def _rounds(hub: Server, calm: Server, token: str, names: Sequence[str], options: argparse.Namespace) -> dict[str, float]:
    people = [_make(hub, token, number) for number in range(100)]
    idle, busy, drained = [], [], []
    _steady(hub, calm, token, people, options.rate, 1.0)
    for _ in range(options.rounds):
        idle.append(_steady(hub, calm, token, people, options.rate, options.seconds))
        for name in names:
            delivery.admin(hub, "POST", f"{delivery.DESTINATIONS}/{name}/replay", {"after": 600})
            delivery.admin(hub, "POST", f"{delivery.DESTINATIONS}/{name}/resume")
        before = sum(delivery.status(hub, name)["delivered"] for name in names)
        start = time.perf_counter()
        busy.append(_steady(hub, calm, token, people, options.rate, options.seconds))
        delivered = sum(delivery.status(hub, name)["delivered"] for name in names) - before
        drained.append(delivered / (time.perf_counter() - start))
        for name in names:
            delivery.admin(hub, "POST", f"{delivery.DESTINATIONS}/{name}/pause", {})
    quantiles = {part: (_of(idle, part), _of(busy, part)) for part in (0.5, 0.99)}
    found = {f"beside {len(names)} that drain: changes/s that they get": median(drained)}
    for part, (alone, beside) in quantiles.items():
        found[f"commit to the quiet directory's webhook, idle, p{part * 100:.0f} ms"] = alone * 1e3
        found[f"the same beside the flood, p{part * 100:.0f} ms"] = beside * 1e3
    alone, beside = quantiles[0.99]
    return found | {"the flood's effect on p99 (wanted 2)": beside / alone}


def _of(rounds: Sequence[Sequence[float]], part: float) -> float:
    return median(sorted(run)[min(int(len(run) * part), len(run) - 1)] for run in rounds)


def _prepare(hub: Server, calm: Server) -> str:
    """The quiet directory, with a destination; its token."""
    delivery.admin(hub, "POST", "/admin/v1/directories", {"name": _QUIET})
    delivery.admin(hub, "POST", f"/admin/v1/directories/{_QUIET}/sources", {"name": _QUIET})
    made = json.loads(delivery.admin(hub, "POST", f"/admin/v1/directories/{_QUIET}/sources/{_QUIET}/tokens", {}))
    wish = {"name": "calm", "configuration": {"url": f"http://127.0.0.1:{calm.port}/"}}
    delivery.admin(hub, "POST", f"/admin/v1/directories/{_QUIET}/destinations", wish)
    return str(made["secret"])


def _make(hub: Server, token: str, number: int) -> str:
    body = json.dumps(requests.user(f"quiet {number}"))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    return str(json.loads(delivery.call(hub, "POST", f"/scim/{_QUIET}/v2/Users", body, headers))["id"])


def _steady(hub: Server, calm: Server, token: str, people: Sequence[str], rate: int, seconds: float) -> list[float]:
    """Seconds from each write's answer to its event's arrival."""
    answered = _change(hub, token, _QUIET, people, rate, seconds)
    delivery.wait(lambda: answered.keys() <= delivery.arrivals(calm).keys(), 60)
    arrived = delivery.arrivals(calm)
    return [max(0.0, float(arrived[change]) - moment) for change, moment in answered.items()]


def _change(hub: Server, token: str, directory: str, people: Sequence[str], rate: int, seconds: float) -> dict[str, float]:
    """When each change was answered; writes begin on time whatever the hub does."""
    load.pin(servers.LOAD_CORE)
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    answered: dict[str, float] = {}
    start = time.perf_counter()
    for number in range(int(seconds * rate)):
        wait = start + number / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        edit = {"op": "replace", "path": "title", "value": f"t{number} {start}"}
        body = json.dumps({"schemas": [requests.PATCH_OP], "Operations": [edit]})
        connection.request("PATCH", f"/scim/{directory}/v2/Users/{people[number % len(people)]}", body, headers)
        answer = connection.getresponse()
        answer.read()
        answered[str(answer.headers["Scimhub-Change"])] = time.time()
    connection.close()
    return answered


if __name__ == "__main__":
    sys.exit(main())
