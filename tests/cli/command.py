"""Running the ``scimhub`` command in this process."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from scimhub.cli.main import commands


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.errors
        return json.loads(self.output)


Scimhub = Callable[..., Outcome]


def run(*words: str, input: str | None = None) -> Outcome:
    """Run the command with these words."""
    result = CliRunner().invoke(commands, list(words), input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def column(items: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """One key of each item."""
    return [item[name] for item in items]
