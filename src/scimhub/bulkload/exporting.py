"""A directory as a file: lines of JSON as the hub gives them, or a table of chosen slots."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from scimhub.bulkload.importing import Hub, Query
from scimhub.scim import slots
from scimhub.scim.catalog import ENTERPRISE_URN, Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.slots import Slot

# The columns of a table of users unless somebody names others.
USUAL_COLUMNS = (
    "userName",
    "externalId",
    "active",
    "name.givenName",
    "name.familyName",
    "displayName",
    'emails[type eq "work"].value',
    'phoneNumbers[type eq "work"].value',
    'phoneNumbers[type eq "mobile"].value',
    "title",
    "userType",
    f"{ENTERPRISE_URN}:employeeNumber",
    f"{ENTERPRISE_URN}:department",
    f"{ENTERPRISE_URN}:costCenter",
    f"{ENTERPRISE_URN}:organization",
    f"{ENTERPRISE_URN}:manager.userName",
)
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PARTED = ";"


class WrongColumns(Exception):
    """Columns that cannot be; ``problems`` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


async def pages(hub: Hub, query: Query, watch: Callable[[int], None]) -> AsyncIterator[Sequence[bytes]]:
    """The lines of each page in turn; ``watch`` is told how many resources were looked at."""
    after: str | None = ""
    seen = 0
    while after is not None:
        answer = await hub.get("export", [*query, ("after", after)] if after else query)
        *lines, last = answer.splitlines()
        end = orjson.loads(last)
        after = end["next"]
        seen += end["seen"]
        watch(seen)
        yield lines


@dataclass(frozen=True, slots=True)
class TableWriter:
    """Resources as rows of a table. With ``is_guarded`` no cell is a formula to a spreadsheet."""

    columns: tuple[Slot, ...]
    is_guarded: bool

    def header(self) -> str:
        return self._row([slot.text for slot in self.columns])

    def row(self, line: bytes) -> str:
        """The row of the resource that the line of an export holds."""
        resource: Mapping[str, object] = orjson.loads(line)
        return self._row([self._guarded(_cell(slots.read(slot, resource))) for slot in self.columns])

    def _guarded(self, cell: str) -> str:
        return f"'{cell}" if self.is_guarded and cell.startswith(_FORMULA) else cell

    def _row(self, cells: Sequence[str]) -> str:
        written = io.StringIO()
        csv.writer(written).writerow(cells)
        return written.getvalue()


def choose_columns(names: Sequence[str], kind: Kind) -> tuple[Slot, ...]:
    """The slots of these columns, without names the usual ones; raises WrongColumns."""
    found: list[Slot] = []
    problems: list[str] = []
    for name in names or [*USUAL_COLUMNS]:
        try:
            found.append(slots.parse_slot(name, kind))
        except ScimError as error:
            if names:
                problems.append(error.detail)
    if problems or not found:
        raise WrongColumns(problems or [f"{kind.name} has none of the usual columns; name them with --columns."])
    return tuple(found)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() if all(isinstance(item, str) for item in value):
            return _PARTED.join(value)
        case dict() | list():
            return orjson.dumps(value).decode()
        case _:
            return str(value)
