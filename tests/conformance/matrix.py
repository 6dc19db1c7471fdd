"""The conformance matrix: which tests carry which requirement, and why a requirement has none.

A test says what it carries with ``@pytest.mark.requirement("M-051")``; it performs that row's check. The rows stand in
``requirements.toml``, the reasons of those without a test in ``exceptions.toml``.
"""

import contextlib
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
REASONS = {
    "not offered": "the hub does not offer it, and says so in ServiceProviderConfig or by 501",
    "deployment": "it holds outside the process",
    "later": "it belongs to a part of the hub that does not exist yet",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row; ``level`` is the standard's word, in brackets where it is only implied, REC where it is our choice."""

    id: str
    level: str
    statement: str
    area: int

    @property
    def is_must(self) -> bool:
        return self.level.strip("()").startswith("MUST")


@dataclass(frozen=True, slots=True)
class Area:
    number: int
    title: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why a requirement has no test: one of REASONS, and a sentence."""

    reason: str
    sentence: str


def load_areas() -> tuple[Area, ...]:
    document = tomllib.loads((Path(__file__).parent / "requirements.toml").read_text("utf-8"))
    return tuple(
        Area(area["number"], area["title"], tuple(Requirement(*row, area["number"]) for row in area["rows"]))
        for area in document["area"]
    )


def load_exemptions(areas: Sequence[Area]) -> dict[str, Exemption]:
    """The exemption of each exempt requirement; an exemption of a whole area counts for each of its rows."""
    document = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text("utf-8"))
    exemptions = {}
    for number, entry in document["areas"].items():
        area = next(area for area in areas if area.number == int(number))
        exemptions.update({row.id: Exemption(entry["reason"], entry["sentence"]) for row in area.requirements})
    for id, entry in document["requirements"].items():
        exemptions[id] = Exemption(entry["reason"], entry["sentence"])
    return exemptions


class _Claims:
    """A pytest plugin that notes which test function carries which ids."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            name = f"{item.path.relative_to(ROOT / 'tests').as_posix()}::{getattr(item, 'originalname', item.name)}"
            for mark in item.iter_markers("requirement"):
                for id in mark.args:
                    self.tests.setdefault(id, set()).add(name)


def collect_claims() -> Mapping[str, set[str]]:
    """For each id the names of the tests that carry it. Collects the whole suite, so call it in a process of its own."""
    claims = _Claims()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", str(ROOT / "tests")], plugins=[claims])
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"The tests cannot be collected:\n{said.getvalue()[-4000:]}")
    return claims.tests


def problems(areas: Sequence[Area], exemptions: Mapping[str, Exemption], claims: Mapping[str, set[str]]) -> list[str]:
    """What is wrong with the matrix, one sentence each."""
    rows = {row.id: row for area in areas for row in area.requirements}
    found = [
        f"{id} is no requirement, but {', '.join(sorted(claims[id]))} carries it." for id in sorted(claims.keys() - rows.keys())
    ]
    found += [f"{id} is no requirement, but exceptions.toml exempts it." for id in sorted(exemptions.keys() - rows.keys())]
    found += [
        f"{id} has the reason {entry.reason!r}; permitted are {', '.join(REASONS)}."
        for id, entry in exemptions.items()
        if entry.reason not in REASONS
    ]
    for row in rows.values():
        if row.is_must and row.id not in claims and row.id not in exemptions:
            found.append(f"{row.id} ({row.level}) has neither a test nor a permitted reason: {row.statement}.")
    return found


def render(areas: Sequence[Area], exemptions: Mapping[str, Exemption], claims: Mapping[str, set[str]]) -> str:
    """The page docs/conformance.md."""
    lines = [
        "# Conformance",
        "",
        "Written by `make conformance` from the marks of the tests; do not edit. Each requirement of SCIM 2.0 is followed by",
        "the tests that perform its check, or by the reason why none does. Levels in brackets are implied wording of the",
        "standard; REC is our choice where no rule exists. Reasons: "
        + "; ".join(f"*{name}*, {meaning}" for name, meaning in REASONS.items())
        + ".",
        "",
        "| area | requirements | with tests | exempt | open |",
        "|---|--:|--:|--:|--:|",
    ]
    for area in areas:
        tested = sum(row.id in claims for row in area.requirements)
        exempt = sum(row.id not in claims and row.id in exemptions for row in area.requirements)
        total = len(area.requirements)
        lines.append(f"| {area.number}. {area.title} | {total} | {tested} | {exempt} | {total - tested - exempt} |")
    for area in areas:
        lines += ["", f"## {area.number}. {area.title}", "", "| id | level | requirement | tests |", "|---|---|---|---|"]
        lines += [
            f"| {row.id} | {row.level} | {_cell(row.statement)} | {_carriers(row, exemptions, claims)} |"
            for row in area.requirements
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _carriers(row: Requirement, exemptions: Mapping[str, Exemption], claims: Mapping[str, set[str]]) -> str:
    if row.id in claims:
        return "<br>".join(f"`{name.removeprefix('conformance/')}`" for name in sorted(claims[row.id]))
    if row.id in exemptions:
        return f"*{exemptions[row.id].reason}*: {_cell(exemptions[row.id].sentence)}"
    return "–"
