"""What an import does, or in a dry run would do: counts, which attributes, samples, and every refusal with its line."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

Action = Literal["created", "updated", "unchanged", "removed", "refused"]
ACTIONS: tuple[Action, ...] = get_args(Action)
_SAMPLES = 5
# Refusals kept with their sentence; beyond them only the number is known.
MOST_REFUSED = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is not loaded, and why; status 0 when the hub was not even asked."""

    line: int
    name: str
    status: int
    detail: str


@dataclass(slots=True)
class Plan:
    """The sum of all results so far."""

    counts: Counter[str] = field(default_factory=Counter)
    # How many updates change each attribute.
    attributes: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    # Who was refused and is named by others as their manager, who so have nobody.
    unmet: list[str] = field(default_factory=list)

    def add(self, action: Action, line: int, name: str, id: str | None, paths: Iterable[str] = ()) -> None:
        """Count what became of a record."""
        self.counts[action] += 1
        changed = list(paths)
        self.attributes.update(changed)
        shown = self.samples.setdefault(action, [])
        if action != "unchanged" and len(shown) < _SAMPLES:
            shown.append({"line": line, "name": name, "id": id, "attributes": changed})

    def refuse(self, line: int, name: str, status: int, detail: str) -> None:
        """Count a record that is not loaded."""
        self.counts["refused"] += 1
        if len(self.refused) < MOST_REFUSED:
            self.refused.append(Refusal(line, name, status, detail))

    @property
    def total(self) -> int:
        """How many records have been judged."""
        return sum(self.counts.values())

    def render(self) -> dict[str, object]:
        """As ``--json`` and ``--plan-out`` write it, and ``parse`` reads it."""
        return {
            "counts": {action: self.counts[action] for action in ACTIONS},
            "attributes": dict(self.attributes.most_common()),
            "samples": {action: self.samples[action] for action in ACTIONS if self.samples.get(action)},
            "refused": [
                {"line": each.line, "name": each.name, "status": each.status, "detail": each.detail} for each in self.refused
            ],
            "unmet_managers": self.unmet,
        }


def parse(rendered: Mapping[str, object]) -> Plan:
    """The plan that ``render`` wrote; raises TypeError, KeyError or ValueError for anything else."""
    counts = cast(Mapping[str, int], rendered["counts"])  # written by ourselves; else one of the errors above follows
    attributes = cast(Mapping[str, int], rendered["attributes"])
    samples = cast(Mapping[str, list[dict[str, object]]], rendered["samples"])
    refused = cast(list[dict[str, object]], rendered["refused"])
    return Plan(
        Counter(counts),
        Counter(attributes),
        {action: list(items) for action, items in samples.items()},
        [Refusal(**each) for each in refused],  # type: ignore[arg-type]  # as above
        list(cast(list[str], rendered["unmet_managers"])),
    )
