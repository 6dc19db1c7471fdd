"""``python -m bench``: how fast the hub is beside a server that only answers (hello), in the same run.

Server and load generator each have a core. Each figure is the median of several runs, interleaved with runs of hello
that answer with a body of the same length. The hub runs as an administrator runs it: authentication, exchanges, change
log, full durability.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench import report, requests, rounds, scenarios, servers
from bench.load import Traffic
from bench.rounds import Loader, Row
from bench.scenarios import Population
from bench.seed import make_group, make_users
from bench.servers import Server

ROOT = Path(__file__).parents[1]
FULL_SIZES = (1_000, 10_000, 100_000)
QUICK_SIZES = (1_000, 10_000)
# Users beside the population, to be added to groups and removed again.
STRANGERS = 20_000


def main() -> int:
    options = _parse(sys.argv[1:])
    rows = []
    with Loader() as loader, servers.hello() as hello:
        capacity = _capacity(loader, hello, options.seconds)
        report.say(f"load generator: {capacity:.2f} times hello's rate (at least 1.3 is needed)", options.json)
        for size in options.sizes:
            for row in _measure_size(loader, hello, size, options):
                report.say(report.line(row), options.json)
                rows.append(row)
    findings = report.targets(rows)
    if options.json:
        print(json.dumps({"load_to_hello": capacity, "rows": [asdict(row) for row in rows], "targets": findings}, indent=2))
    else:
        print("\n".join(["", report.HEAD, *map(report.line, rows), "", *report.sentences(findings)]))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, up to 10,000 users")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--users", type=int, action="append", dest="sizes", help="how many users the hub holds (repeatable)")
    parser.add_argument("--only", default="", help="scenarios whose name has this text")
    parser.add_argument("--runs", type=int, help="runs of each scenario")
    parser.add_argument("--seconds", type=float, help="seconds of each run")
    options = parser.parse_args(arguments)
    options.sizes = options.sizes or (QUICK_SIZES if options.quick else FULL_SIZES)
    options.runs = options.runs or (3 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 2.0)
    return options


def _capacity(loader: Loader, hello: Server, seconds: float) -> float:
    """How many times hello's rate the load generator reaches against a server that does not even read."""
    traffic = Traffic([requests.hello(0)], 200, repeat=True, seconds=seconds)
    with servers.bare() as bare:
        best, _ = loader.send(bare, traffic)
    greeting, _ = loader.send(hello, traffic)
    return best.rate / greeting.rate


def _measure_size(loader: Loader, hello: Server, size: int, options: argparse.Namespace) -> Iterator[Row]:
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder, servers.hub(Path(folder)) as hub:
        report.say(f"{size:,} users …", options.json)
        population = make_users(loader, hub, size, "person")
        # Groups first: the scenario that creates users makes the population larger.
        if options.only in "member add remove":
            yield from _measure_groups(loader, hello, hub, population, options)
        for scenario in scenarios.of_users(population):
            if options.only not in scenario.name:
                continue
            seconds = options.seconds
            runs = rounds.measure(loader, hub, hello, options.runs, seconds, lambda run: scenario.traffic(run, seconds))  # noqa: B023
            yield rounds.summarise(scenario.name, size, None, scenario.target, runs)


def _measure_groups(
    loader: Loader, hello: Server, hub: Server, population: Population, options: argparse.Namespace
) -> Iterator[Row]:
    """Adding and removing members, in turn, so that a group keeps its size; only at the largest population."""
    if len(population.ids) < max(options.sizes):
        return
    strangers = make_users(loader, hub, STRANGERS, "stranger").ids
    for members in [members for members in FULL_SIZES if members <= len(population.ids)]:
        group = make_group(loader, hub, f"Group of {members}", population.ids[:members])
        added, removed = [], []
        for run in range(options.runs):
            first = (run * 3_000) % STRANGERS
            some = [*strangers[first:], *strangers[:first]]
            traffic = scenarios.member_add(group, some, options.seconds)
            added.append(rounds.measure_once(loader, hub, hello, options.seconds, traffic))
            present = some[: added[-1].measured.answered]
            removed.append(rounds.measure_once(loader, hub, hello, options.seconds, scenarios.member_remove(group, present)))
        yield rounds.summarise("member add", len(population.ids), members, 0.13, added)
        yield rounds.summarise("member remove", len(population.ids), members, None, removed)


if __name__ == "__main__":
    sys.exit(main())
