"""``python -m bench.pairs``: what a difference costs the hub in CPU time a request, recording exchanges or another version.

Two hubs hold the same and get the same requests in short runs, one after the other, in turn which comes first; each pair of
runs gives one comparison, and what counts is their median. Rates of a busy machine are noise, and so are long runs that do
not share its minutes. Of each run counts the CPU time of the whole process, until all exchanges of the run are written.
"""

import argparse
import http.client
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

from bench import report, scenarios, seed, servers
from bench.arguments import ROOT
from bench.load import Traffic
from bench.rounds import Loader
from bench.scenarios import Scenario
from bench.seed import Filling
from bench.servers import ADMIN_TOKEN, Place, Server

_MEMBERS = 1_000
# A run before the first that counts fills caches.
_WARMING = 2
_HEAD = (
    f"{'scenario':<16} {'pairs':>5} {'without µs':>10} {'with µs':>10} {'difference µs':>13} {'per cent':>9} {'quartiles':>15}"
)


@dataclass(frozen=True, slots=True)
class Run:
    """CPU seconds a request of one pair: of the hub without the difference, and of the one with it."""

    without: float
    with_it: float

    @property
    def share(self) -> float:
        """How much more, as a part of what it costs without."""
        return self.with_it / self.without - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians over the pairs of a scenario; microseconds of CPU time a request, and parts of one."""

    scenario: str
    pairs: int
    without_us: float
    with_us: float
    difference_us: float
    share: float
    lower_quartile: float
    upper_quartile: float

    def line(self) -> str:
        quartiles = f"{self.lower_quartile:+.1%} {self.upper_quartile:+.1%}"
        return (
            f"{self.scenario:<16} {self.pairs:>5} {self.without_us:>10.1f} {self.with_us:>10.1f} {self.difference_us:>+13.1f} "
            f"{self.share:>+9.1%} {quartiles:>15}"
        )


def summarise(scenario: str, runs: Sequence[Run]) -> Comparison:
    shares = [run.share for run in runs]
    lower, _, upper = quantiles(shares, n=4) if len(shares) > 1 else (shares[0],) * 3
    return Comparison(
        scenario,
        len(runs),
        without_us=median(run.without for run in runs) * 1e6,
        with_us=median(run.with_it for run in runs) * 1e6,
        difference_us=median(run.with_it - run.without for run in runs) * 1e6,
        share=median(shares),
        lower_quartile=lower,
        upper_quartile=upper,
    )


def main() -> int:
    options = _parse(sys.argv[1:])
    report.say(_HEAD, options.json)
    found = []
    with ExitStack() as stack:
        for comparison in _compare(stack, options):
            report.say(comparison.line(), options.json)
            found.append(asdict(comparison))
    if options.json:
        print(json.dumps(found, indent=2))
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.pairs",
        description="What recording exchanges costs the hub in CPU time a request; with --against, what this version does.",
    )
    add = parser.add_argument
    add("--against", type=Path, help="a checkout with its .venv: compare it with this one, both recording")
    add("--only", default="", help="scenarios whose name has one of these texts, with commas between")
    add("--users", type=int, default=5_000, help="how many users the hubs hold (5000)")
    add("--pairs", type=int, default=20, help="pairs of runs (20)")
    add("--requests", type=int, default=1_000, help="requests of a run (1000)")
    add("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args(arguments)


def _compare(stack: ExitStack, options: argparse.Namespace) -> Iterator[Comparison]:
    """Fill a hub, start two on copies of it, and compare them in each scenario."""
    python, settings = sys.executable, {"SCIMHUB_EXCHANGE_CONTENT": "off"}
    if options.against is not None:
        python, settings = str(options.against / ".venv" / "bin" / "python"), {}
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build")))
    filled, without, with_it = (Place(folder / name) for name in ("filled", "without", "with"))
    filled.folder.mkdir()
    # An older version fills, since a newer one can read what it has written.
    with servers.hub(filled, python=python):
        filling = seed.fill_hub(filled, options.users, options.requests, (_MEMBERS,))
    # Both are copies: checkpoints of a copied file cost more than those of one that grew, 3 to 5 µs of a PATCH.
    for place in (without, with_it):
        shutil.copytree(filled.folder, place.folder)
    pair = (
        stack.enter_context(servers.hub(without, python=python, settings=settings)),
        stack.enter_context(servers.hub(with_it)),
    )
    loader = stack.enter_context(Loader())
    for case in _cases(filling, options.requests):
        if any(name in case.name for name in options.only.split(",")):
            yield summarise(case.name, list(_measure(loader, pair, case, options.pairs)))


@dataclass(frozen=True, slots=True)
class _Case:
    """A scenario: the requests of a run by its number, and those that undo it, which do not count."""

    name: str
    traffic: Callable[[int], Traffic]
    undoing: Traffic | None = None


def _cases(filling: Filling, count: int) -> Iterator[_Case]:
    group, strangers = filling.groups[_MEMBERS], filling.strangers.ids
    adding, removing = scenarios.member_add(group, strangers), scenarios.member_remove(group, strangers)
    yield _Case("member add", lambda number: adding, removing)
    for scenario in scenarios.of_users(filling.people):
        yield _Case(scenario.name, partial(requests_of, scenario, count))


def requests_of(scenario: Scenario, count: int, number: int) -> Traffic:
    """So many requests of the scenario, behind those of earlier runs; reads begin again at the end."""
    # So long a run has so many requests at least.
    traffic = scenario.traffic(number * count, count / scenarios.A_SECOND)
    start = number * count % len(traffic.requests) if traffic.repeat else 0
    return Traffic(list(islice(cycle(traffic.requests), start, start + count)), traffic.status)


def _measure(loader: Loader, pair: tuple[Server, Server], case: _Case, pairs: int) -> Iterator[Run]:
    for number in range(-_WARMING, pairs):
        traffic = case.traffic(number + _WARMING)
        cost = {}
        for server in pair if number % 2 else reversed(pair):
            cost[server.port] = _cost(loader, server, traffic)
            if case.undoing is not None:
                loader.send(server, case.undoing)
                _settle(server)
        if number >= 0:
            yield Run(*(cost[server.port] for server in pair))


def _cost(loader: Loader, server: Server, traffic: Traffic) -> float:
    """CPU seconds a request, with all that is left to be written afterwards."""
    before = server.cpu_seconds()
    loader.send(server, traffic)
    _settle(server)
    return (server.cpu_seconds() - before) / len(traffic.requests)


def _settle(server: Server) -> None:
    """Have the exchanges written: the hub does that before it looks for one, here for one that is not there."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", "/admin/v1/exchanges/none", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 404:
            raise RuntimeError(f"the hub answered {answer.status} when it was asked for an exchange")


if __name__ == "__main__":
    sys.exit(main())
