"""Runs of a scenario and of hello in turn, and what they come to."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from types import TracebackType
from typing import ParamSpec, TypeVar

from bench import load, requests
from bench.load import Measured, Traffic
from bench.results import Row
from bench.scenarios import Scenario
from bench.servers import LOAD_CORE, Server

CLIENTS = 32
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """What was measured of some traffic, and the CPU seconds that it cost the server and its database."""

    measured: Measured
    cpu: float
    database_cpu: float


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a scenario beside its run of hello."""

    hub: Sent
    hello: Sent


class Loader(AbstractContextManager["Loader"]):
    """The load generator in its own process on its own core."""

    def __init__(self) -> None:
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=load.pin, initargs=(LOAD_CORE,))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.shutdown()

    def send(self, server: Server, traffic: Traffic, clients: int = CLIENTS) -> Sent:
        """What was measured, and what it cost."""
        cpu, database_cpu = server.cpu_seconds(), server.database_cpu_seconds()
        measured = self.call(load.run, traffic, server.port, clients)
        return Sent(measured, server.cpu_seconds() - cpu, server.database_cpu_seconds() - database_cpu)

    def call(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """What the function gives when it runs there."""
        return self._process.submit(function, *arguments, **named).result()


def measure(
    loader: Loader, server: Server, hello: Server, scenario: Scenario, rounds: int, seconds: float, clients: int = CLIENTS
) -> list[Round]:
    """Runs of hello and of the scenario in turn; hello answers with a body as long as the scenario's."""
    sent = length = 0
    for _ in range(2):
        warmed = loader.send(server, _first(scenario.traffic(sent, seconds), 2 * clients), clients).measured
        sent, length = sent + warmed.answered, warmed.body_length
    made = []
    for _ in range(rounds):
        made.append(measure_once(loader, server, hello, scenario.traffic(sent, seconds), seconds, length, clients))
        sent += made[-1].hub.measured.answered
    return made


def measure_once(
    loader: Loader,
    server: Server,
    hello: Server,
    traffic: Traffic,
    seconds: float,
    length: int = 0,
    clients: int = CLIENTS,
) -> Round:
    """One run of hello, then one of the traffic."""
    greeting = loader.send(hello, Traffic([requests.hello(length)], 200, repeat=True, seconds=seconds), clients)
    return Round(loader.send(server, traffic, clients), greeting)


def _first(traffic: Traffic, amount: int) -> Traffic:
    """A little of it: connections, caches and the length of an answer."""
    return Traffic(traffic.requests[:amount], traffic.status)


def summarise(
    server: str, scenario: str, users: int, rounds: Sequence[Round], members: int | None = None, clients: int = CLIENTS
) -> Row:
    def middle(value: Callable[[Round], float]) -> float:
        return median(value(each) for each in rounds)

    return Row(
        server,
        scenario,
        users,
        members,
        clients,
        rate=middle(lambda each: each.hub.measured.rate),
        p50_ms=middle(lambda each: each.hub.measured.quantile(0.5)) * 1e3,
        p99_ms=middle(lambda each: each.hub.measured.quantile(0.99)) * 1e3,
        hello_rate=middle(lambda each: each.hello.measured.rate),
        ratio=middle(lambda each: each.hub.measured.rate / each.hello.measured.rate),
        cpu_us=middle(lambda each: each.hub.cpu / each.hub.measured.answered) * 1e6,
        database_cpu_us=middle(lambda each: each.hub.database_cpu / each.hub.measured.answered) * 1e6,
        hello_cpu_us=middle(lambda each: each.hello.cpu / each.hello.measured.answered) * 1e6,
        load_cpu_us=middle(lambda each: each.hub.measured.own_cpu / each.hub.measured.answered) * 1e6,
    )
