"""How far an import has come, in a file beside the one that is loaded, so that a broken one goes on where it stopped."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from scimhub.bulkload import plan
from scimhub.bulkload.plan import Plan

_FORMAT = 1
SUFFIX = ".import"


class Unresumable(Exception):
    """The import cannot go on from the journal; the text is one sentence for an administrator."""


@dataclass(slots=True)
class Journal:
    """One import: which, of what, and how many entries of the file the hub has acknowledged.

    ``terms`` are the options that must be the same when it goes on; ``digest`` is the content's hash.
    """

    path: Path
    job: str
    digest: str
    terms: dict[str, object]
    acknowledged: int = 0
    # Lines to come again at the end, because they name groups that were not there yet.
    deferred: list[int] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)

    def save(self) -> None:
        """Write it; what was written before stays until the new one is whole."""
        written = {
            "format": _FORMAT,
            "job": self.job,
            "digest": self.digest,
            "terms": self.terms,
            "acknowledged": self.acknowledged,
            "deferred": self.deferred,
            "plan": self.plan.render(),
        }
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            beside.write_bytes(orjson.dumps(written))
            os.replace(beside, self.path)
        except OSError as error:
            raise Unresumable(
                f"The journal {self.path} cannot be written: {error.strerror}; name another with --journal."
            ) from error

    def remove(self) -> None:
        """Forget the import: it is over."""
        self.path.unlink(missing_ok=True)


def path_beside(file: Path) -> Path:
    """Where the journal of a file lies unless somebody says otherwise."""
    return file.with_name(file.name + SUFFIX)


def load(path: Path, digest: str, terms: dict[str, object]) -> Journal:
    """The journal of a broken import of the same file with the same options; raises Unresumable."""
    try:
        written = orjson.loads(path.read_bytes())
        found = Journal(
            path,
            str(written["job"]),
            str(written["digest"]),
            dict(written["terms"]),
            int(written["acknowledged"]),
            [int(line) for line in written["deferred"]],
            plan.parse(written["plan"]),
        )
    except OSError as error:
        raise Unresumable(f"There is nothing to go on with: the journal {path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError) as error:
        raise Unresumable(f"{path} is no journal of an import; remove it, and begin anew.") from error
    if found.digest != digest:
        raise Unresumable("The file is not the one whose import was broken off; begin anew with --restart.")
    differing = sorted(name for name in {*terms, *found.terms} if terms.get(name) != found.terms.get(name))
    if differing:
        raise Unresumable(
            f"The broken import had other options ({', '.join(differing)}); repeat them, or begin with --restart."
        )
    return found
