"""``python -m bench``: how fast the hub is beside a server that only answers (hello), in the same run.

Server and load generator each have a core. Each figure is the median of several runs, interleaved with runs of hello
that answer with a body of the same length. The hub runs as an administrator runs it: authentication, exchanges, change
log, full durability. The result is a document, a plot, and both as JSON.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench import arguments, document, measuring, plot, report, requests, results, servers
from bench.arguments import ROOT, Options
from bench.load import Traffic
from bench.measuring import Bench
from bench.results import POSTGRES, Figure, Result, Row
from bench.rounds import CLIENTS, Loader


def main() -> int:
    options = arguments.parse(sys.argv[1:])
    (ROOT / "build").mkdir(exist_ok=True)
    result = _measure(options) if options.render is None else results.parse(options.render.read_text("utf-8"))
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "benchmarks.json").write_text(result.dump(), "utf-8")
    (options.folder / "benchmarks.svg").write_text(plot.draw(result.rows), "utf-8")
    (options.folder / "benchmarks.md").write_text(document.write(result), "utf-8")
    if options.as_json:
        print(result.dump(), end="")
    report.say(f"Written: {options.folder / 'benchmarks.md'}", options.as_json)
    return 0


def _measure(options: Options) -> Result:
    surroundings, start = results.surroundings(), time.monotonic()
    rows: list[Row] = []
    figures: list[Figure] = []

    def so_far(capacity: float) -> Result:
        now = {"load average at the end": f"{os.getloadavg()[0]:.2f}"}
        method = {
            "rounds": f"{options.rounds} of {options.seconds:g} s each, of which the median counts",
            "clients": f"{CLIENTS} connections, one request at a time on each, unless said",
            "length": f"{(time.monotonic() - start) / 60:.1f} minutes",
        }
        return Result({**surroundings, **now}, method, capacity, rows, figures)

    with Loader() as loader, servers.hello() as hello:
        bench = Bench(loader, hello, options)
        capacity = _capacity(bench)
        report.say(f"load generator: {capacity:.2f} times hello's rate (at least 1.3 is needed)", options.as_json)
        report.say(report.HEAD, options.as_json)
        for found in _measure_all(bench):
            if isinstance(found, Row):
                rows.append(found)
                report.say(report.line(found), options.as_json)
            else:
                figures.append(found)
                report.say(report.figure(found), options.as_json)
            # What a run that breaks off has measured can still be rendered.
            (ROOT / "build" / "benchmarks-begun.json").write_text(so_far(capacity).dump(), "utf-8")
    return so_far(capacity)


def _measure_all(bench: Bench) -> Iterator[Row | Figure]:
    options = bench.options
    if options.has_peer:
        yield from measuring.measure_peer(bench)
    with ExitStack() as stack:
        cluster = stack.enter_context(servers.postgres()) if POSTGRES in options.databases else None
        for users in options.users:
            yield from measuring.measure_hubs(bench, cluster, users)


def _capacity(bench: Bench) -> float:
    """How many times hello's rate the load generator reaches against a server that does not even read."""
    traffic = Traffic([requests.hello(0)], 200, repeat=True, seconds=bench.options.seconds)
    with servers.bare() as bare:
        best = bench.loader.send(bare, traffic).measured
    return best.rate / bench.loader.send(bench.hello, traffic).measured.rate


if __name__ == "__main__":
    sys.exit(main())
