"""What the command line of the benchmark says."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.results import POSTGRES, SQLITE

ROOT = Path(__file__).parents[1]
_DATABASES = {"sqlite": (SQLITE,), "postgres": (POSTGRES,), "both": (SQLITE, POSTGRES)}


@dataclass(frozen=True, slots=True)
class Options:
    """``folder`` is where the document, the plot and the result go; ``render`` names a result that is there already."""

    databases: tuple[str, ...]
    users: tuple[int, ...]
    members: tuple[int, ...]
    rounds: int
    seconds: float
    only: str
    has_peer: bool
    as_json: bool
    folder: Path
    render: Path | None

    def wants(self, scenario: str) -> bool:
        return self.only in scenario


def parse(arguments: Sequence[str]) -> Options:
    """The options; ends the program with a sentence when they cannot be understood."""
    parser = _parser()
    said = parser.parse_args(arguments)
    users = said.users or ((1_000, 10_000) if said.quick else (1_000, 10_000, 100_000))
    members = said.members or (1_000, 10_000, 100_000)
    if max(users) < min(members) and said.members:
        parser.error(f"no group of {min(members):,} can be made of {max(users):,} users; give --users a larger number.")
    is_part = said.quick or said.only
    return Options(
        databases=_DATABASES[said.database],
        users=users,
        members=tuple(size for size in members if size <= max(users)),
        rounds=said.rounds or (3 if said.quick else 5),
        seconds=said.seconds or (0.5 if said.quick else 1.0),
        only=said.only,
        has_peer=not said.no_peer,
        as_json=said.json,
        # What is published is from a whole run.
        folder=said.folder or ROOT / ("build" if is_part else "docs"),
        render=said.render,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description="How fast the hub is beside a server that only answers, in the same run."
    )
    add = parser.add_argument
    add("--database", choices=_DATABASES, default="both", help="where the hub stores (both)")
    add("--users", type=_sizes, help="how many users the hub holds, such as 1000,10000")
    add("--members", type=_sizes, help="how many members groups have, such as 1000,10000; as far as there are users")
    add("--rounds", type=_count, help="runs of each scenario, of which the median counts (5)")
    add("--seconds", type=_seconds, help="how long each run lasts (1)")
    add("--only", default="", help="scenarios whose name has this text")
    add("--quick", action="store_true", help="fewer and shorter runs, up to 10,000 users")
    add("--no-peer", action="store_true", help="leave scim2-server out")
    add("--json", action="store_true", help="print the result as JSON")
    add("--folder", type=Path, help="where benchmarks.md is written: docs, or build for a part or a quick run")
    add("--render", type=Path, help="measure nothing; write the document from this benchmarks.json")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({_count(part) for part in text.split(",")}))


def _count(text: str) -> int:
    number = int(text.replace("_", ""))
    if number < 1:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 3600:
        raise ValueError(text)
    return seconds
