"""What is measured: for each scenario the requests of one run, and what share of hello's rate it should reach."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import requests
from bench.load import Traffic

# How many requests one run prepares when each is another one; more than a run can send.
PREPARED = 40_000


@dataclass(frozen=True, slots=True)
class Population:
    """The users that the hub holds: their names and ids in order of creation."""

    names: Sequence[str]
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``traffic`` gives the requests of a run by its number and length; ``target`` is the ratio to hello aimed at."""

    name: str
    traffic: Callable[[int, float], Traffic]
    target: float | None = None


def of_users(population: Population) -> list[Scenario]:
    """The scenarios on users; the one that makes new ones stands last."""
    chance = random.Random(28)  # the same choice in every run
    names, ids = population.names, population.ids
    some = [chance.randrange(len(ids)) for _ in range(min(PREPARED, 20_000))]

    def reading(build: Callable[[int], bytes]) -> Callable[[int, float], Traffic]:
        prepared = [build(index) for index in some]
        return lambda run, seconds: Traffic(prepared, 200, repeat=True, seconds=seconds)

    def writing(build: Callable[[int, str], bytes], status: int) -> Callable[[int, float], Traffic]:
        def traffic(run: int, seconds: float) -> Traffic:
            prepared = [build(some[number % len(some)], f"{run}-{number}") for number in range(PREPARED)]
            return Traffic(prepared, status, seconds=seconds)

        return traffic

    return [
        Scenario("get", reading(lambda index: requests.request("GET", f"/Users/{ids[index]}")), 0.5),
        Scenario("filter userName", reading(lambda index: requests.find("userName", f"{names[index]}@tidewater.example")), 0.4),
        Scenario("filter externalId", reading(lambda index: requests.find("externalId", f"ext-{names[index]}")), 0.4),
        Scenario(
            "filter emails.value", reading(lambda index: requests.find("emails.value", f"{names[index]}@home.example")), 0.4
        ),
        Scenario(
            "list page of 100", reading(lambda index: requests.request("GET", f"/Users?startIndex={index + 1}&count=100"))
        ),
        Scenario(
            "patch one attribute",
            writing(lambda index, mark: requests.patch(f"/Users/{ids[index]}", op="replace", path="title", value=mark), 200),
            0.13,
        ),
        Scenario(
            "put",
            writing(
                lambda index, mark: requests.request("PUT", f"/Users/{ids[index]}", requests.user(names[index], mark)), 200
            ),
        ),
        Scenario("create", writing(lambda index, mark: requests.create_user(f"new-{mark}"), 201), 0.13),
    ]


def member_add(group: str, members: Sequence[str], seconds: float) -> Traffic:
    path = f"/Groups/{group}"
    prepared = [requests.patch(path, op="add", path="members", value=[{"value": member}]) for member in members]
    return Traffic(prepared, 204, seconds=seconds)


def member_remove(group: str, members: Sequence[str]) -> Traffic:
    path = f"/Groups/{group}"
    return Traffic([requests.patch(path, op="remove", path=f'members[value eq "{member}"]') for member in members], 204)
