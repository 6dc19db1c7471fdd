"""One thing that ``scimhub doctor`` looked at."""

from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    verdict: Verdict
    subject: str
    sentence: str

    def render(self) -> dict[str, object]:
        """As ``--json`` prints it."""
        return asdict(self)
