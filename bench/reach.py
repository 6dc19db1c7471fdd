"""What the hub is meant to reach with a million users, and what a run with fewer measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import measuring
from bench.results import POSTGRES, SQLITE, Figure, Result, Row
from bench.rounds import CLIENTS


@dataclass(frozen=True, slots=True)
class Aim:
    """``wanted`` is by database; ``is_least`` tells that more is better. ``measured`` finds the value, if it was measured.

    What is a ratio to hello is told a second time by CPU time, which suffers less from others on the machine.
    """

    what: str
    wanted: dict[str, float]
    is_least: bool
    unit: str
    measured: Callable[[Result, str], float | None]
    by_cpu: Callable[[Result, str], float | None] = lambda result, server: None


@dataclass(frozen=True, slots=True)
class Finding:
    """An aim on one database and what was measured."""

    aim: Aim
    server: str
    wanted: float
    measured: float
    by_cpu: float | None

    @property
    def is_met(self) -> bool:
        return self.measured >= self.wanted if self.aim.is_least else self.measured <= self.wanted

    @property
    def is_certain(self) -> bool:
        """Whether CPU time, where it is told, says the same."""
        return self.by_cpu is None or (self.by_cpu >= self.wanted) == self.is_met

    @property
    def verdict(self) -> str:
        """Met, or by how much it is not."""
        if self.is_met:
            return "met" if self.is_certain else "met by rates, not by CPU"
        times = self.measured / self.wanted
        return f"{1 - times:.0%} too little" if self.aim.is_least else f"{times:.1f} times as much"


def judge(result: Result) -> list[Finding]:
    """What the run says of each aim, at its largest population and group."""
    return list(_judge(result))


def _judge(result: Result) -> Iterator[Finding]:
    for aim in AIMS:
        for server, wanted in aim.wanted.items():
            measured = aim.measured(result, server)
            if measured is not None:
                yield Finding(aim, server, wanted, measured, aim.by_cpu(result, server))


def _last(rows: list[Row]) -> Row | None:
    """The one at the largest population, and there in the largest group."""
    return max(rows, key=lambda row: (row.users, row.members or 0), default=None)


def _of_row(scenario: str, clients: int, value: Callable[[Row], float]) -> Callable[[Result, str], float | None]:
    def measured(result: Result, server: str) -> float | None:
        row = _last([row for row in result.rows if (row.server, row.scenario, row.clients) == (server, scenario, clients)])
        return None if row is None else value(row)

    return measured


def _ratio(what: str, scenario: str, sqlite: float, postgres: float) -> Aim:
    """A scenario's rate beside hello's."""
    ratio = _of_row(scenario, CLIENTS, lambda row: row.ratio)
    by_cpu = _of_row(scenario, CLIENTS, lambda row: row.hello_cpu_us / row.cpu_us)
    return Aim(what, _on(sqlite, postgres), True, "of hello", ratio, by_cpu)


def _alone(scenario: str) -> Callable[[Result, str], float | None]:
    return _of_row(scenario, 1, lambda row: row.p50_ms)


def _growth(scenario: str) -> Callable[[Result, str], float | None]:
    def measured(result: Result, server: str) -> float | None:
        rows = [row for row in result.rows if (row.server, row.scenario, row.clients) == (server, scenario, CLIENTS)]
        by_members = {row.members: row.cost_us for row in rows if row.members is not None}
        return by_members[max(by_members)] / by_members[min(by_members)] if len(by_members) > 1 else None

    return measured


def _figure(name: str) -> Callable[[Result, str], float | None]:
    def measured(result: Result, server: str) -> float | None:
        found: list[Figure] = [each for each in result.figures if (each.server, each.name) == (server, name)]
        return max(found, key=lambda each: each.users).value if found else None

    return measured


def _on(sqlite: float, postgres: float) -> dict[str, float]:
    return {SQLITE: sqlite, POSTGRES: postgres}


AIMS = (
    _ratio("create", "create", 0.12, 0.10),
    _ratio("get", "get", 0.45, 0.30),
    _ratio("userName eq", "userName eq", 0.33, 0.20),
    _ratio("externalId eq", "externalId eq", 0.33, 0.20),
    _ratio("emails.value eq", "emails.value eq", 0.33, 0.20),
    _ratio("PATCH active", "PATCH active", 0.12, 0.10),
    _ratio("PUT", "PUT", 0.10, 0.08),
    _ratio("member add, largest group", "member add", 0.12, 0.06),
    _ratio("member remove, largest group", "member remove", 0.12, 0.06),
    Aim("member add, one client, p50", _on(1.5, 3.0), False, "ms", _alone("member add")),
    Aim("member remove, one client, p50", _on(1.5, 3.0), False, "ms", _alone("member remove")),
    Aim("member add: cost in the largest group to the smallest", _on(1.3, 1.3), False, "times", _growth("member add")),
    Aim("member remove: cost in the largest group to the smallest", _on(1.3, 1.3), False, "times", _growth("member remove")),
    Aim(measuring.WALK, _on(30_000, 20_000), True, "users/s", _figure(measuring.WALK)),
    Aim(measuring.BY_INDEX, _on(15, 60), False, "ms", _figure(measuring.BY_INDEX)),
    Aim(measuring.BY_CURSOR, _on(3, 5), False, "ms", _figure(measuring.BY_CURSOR)),
    Aim(measuring.FIRST, _on(1.5, 1.5), False, "s", _figure(measuring.FIRST)),
    Aim(measuring.MEMORY, _on(250, 250), False, "MB", _figure(measuring.MEMORY)),
)
