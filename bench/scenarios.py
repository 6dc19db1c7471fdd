"""What is measured under load: for each scenario the requests of one run."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import requests
from bench.load import Traffic

# More different requests than any server answers in a second.
A_SECOND = 12_000
_MOST_READ = 20_000


@dataclass(frozen=True, slots=True)
class Population:
    """The users that the hub holds: their names and ids in order of creation."""

    names: Sequence[str]
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``traffic`` gives the requests of a run, by how many were sent before it and by its length in seconds."""

    name: str
    traffic: Callable[[int, float], Traffic]


def of_users(population: Population, patched: int = 200) -> list[Scenario]:
    """The scenarios on users; the one that makes new ones stands last. ``patched`` is the status of a PATCH."""
    names, ids = population.names, population.ids
    # The same choice in every run, and nobody twice before everybody has been chosen, so that each write changes something.
    some = random.Random(28).sample(range(len(ids)), min(len(ids), _MOST_READ))

    def reading(build: Callable[[int], bytes]) -> Callable[[int, float], Traffic]:
        prepared = [build(index) for index in some]
        return lambda sent, seconds: Traffic(prepared, 200, repeat=True, seconds=seconds)

    def activity(number: int) -> bytes:
        path = f"/Users/{ids[some[number % len(some)]]}"
        return requests.patch(path, op="replace", path="active", value=number // len(some) % 2 == 1)

    def replacement(number: int) -> bytes:
        index = some[number % len(some)]
        return requests.request("PUT", f"/Users/{ids[index]}", requests.user(names[index], f"Title {number}"))

    return [
        Scenario("get", reading(lambda index: requests.request("GET", f"/Users/{ids[index]}"))),
        Scenario("userName eq", reading(lambda index: requests.find("userName", f"{names[index]}@tidewater.example"))),
        Scenario("externalId eq", reading(lambda index: requests.find("externalId", f"ext-{names[index]}"))),
        Scenario("emails.value eq", reading(lambda index: requests.find("emails.value", f"{names[index]}@home.example"))),
        Scenario("list 100", reading(lambda index: requests.request("GET", f"/Users?startIndex={index + 1}&count=100"))),
        Scenario("PATCH active", _writing(activity, patched)),
        Scenario("PUT", _writing(replacement, 200)),
        Scenario("create", _writing(lambda number: requests.create_user(f"new-{number}"), 201)),
    ]


def _writing(build: Callable[[int], bytes], status: int) -> Callable[[int, float], Traffic]:
    """Requests of which each is another one, numbered over all runs."""

    def traffic(sent: int, seconds: float) -> Traffic:
        amount = int(A_SECOND * seconds) + 64
        return Traffic([build(number) for number in range(sent, sent + amount)], status, seconds=seconds)

    return traffic


def member_add(group: str, members: Sequence[str], seconds: float | None = None) -> Traffic:
    path = f"/Groups/{group}"
    prepared = [requests.patch(path, op="add", path="members", value=[{"value": member}]) for member in members]
    return Traffic(prepared, 204, seconds=seconds)


def member_remove(group: str, members: Sequence[str]) -> Traffic:
    path = f"/Groups/{group}"
    return Traffic([requests.patch(path, op="remove", path=f'members[value eq "{member}"]') for member in members], 204)
