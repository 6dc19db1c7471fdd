"""Runs of a scenario and of hello in turn, and what they come to."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from types import TracebackType

from bench import load, requests
from bench.load import Measured, Traffic
from bench.servers import LOAD_CORE, Server

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: medians over the runs."""

    scenario: str
    users: int
    members: int | None
    rate: float
    p50_ms: float
    p99_ms: float
    hello_rate: float
    # Of the runs' ratios, each to the hello run just before it.
    ratio: float
    cpu_us: float
    hello_cpu_us: float
    target: float | None
    # The load generator's own CPU time; it may not be the bottleneck.
    load_cpu_us: float

    @property
    def is_met(self) -> bool | None:
        return None if self.target is None else self.ratio >= self.target


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a scenario beside its run of hello; CPU seconds are the servers'."""

    measured: Measured
    cpu: float
    hello: Measured
    hello_cpu: float


class Loader(AbstractContextManager["Loader"]):
    """The load generator in its own process on its own core."""

    def __init__(self) -> None:
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=load.pin, initargs=(LOAD_CORE,))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.shutdown()

    def send(self, server: Server, traffic: Traffic, connections: int = CONNECTIONS) -> tuple[Measured, float]:
        """What was measured, and the CPU seconds that it cost the server."""
        before = server.cpu_seconds()
        measured = self._process.submit(load.run, traffic, server.port, connections).result()
        return measured, server.cpu_seconds() - before


def measure(
    loader: Loader, hub: Server, hello: Server, runs: int, seconds: float, traffic: Callable[[int], Traffic]
) -> list[Run]:
    """Runs of hello and of the scenario in turn; hello answers with a body as long as the scenario's."""
    loader.send(hub, _first(traffic(-1)))
    length = loader.send(hub, _first(traffic(-2)))[0].body_length
    return [measure_once(loader, hub, hello, seconds, traffic(number), length) for number in range(runs)]


def measure_once(loader: Loader, hub: Server, hello: Server, seconds: float, traffic: Traffic, length: int = 0) -> Run:
    """One run of hello, then one of the traffic."""
    greeting, greeting_cpu = loader.send(hello, Traffic([requests.hello(length)], 200, repeat=True, seconds=seconds))
    measured, cpu = loader.send(hub, traffic)
    return Run(measured, cpu, greeting, greeting_cpu)


def _first(traffic: Traffic) -> Traffic:
    """A little of it: connections, caches and the length of an answer."""
    return Traffic(traffic.requests[:64], traffic.status)


def summarise(scenario: str, users: int, members: int | None, target: float | None, runs: list[Run]) -> Row:
    return Row(
        scenario,
        users,
        members,
        rate=median(run.measured.rate for run in runs),
        p50_ms=median(run.measured.quantile(0.5) for run in runs) * 1e3,
        p99_ms=median(run.measured.quantile(0.99) for run in runs) * 1e3,
        hello_rate=median(run.hello.rate for run in runs),
        ratio=median(run.measured.rate / run.hello.rate for run in runs),
        cpu_us=median(run.cpu / run.measured.answered for run in runs) * 1e6,
        hello_cpu_us=median(run.hello_cpu / run.hello.answered for run in runs) * 1e6,
        target=target,
        load_cpu_us=median(run.measured.own_cpu / run.measured.answered for run in runs) * 1e6,
    )
