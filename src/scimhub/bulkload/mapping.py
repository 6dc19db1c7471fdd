"""From the columns of a table to resources: which slot a column fills, and what its cells mean.

A column that is called like a SCIM path fills that. Of any other the administrator says in a file what it is; the usual
names of HR systems are suggested, never taken without a word.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scimhub.scim import slots
from scimhub.scim.catalog import ENTERPRISE_URN, Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.slots import Slot

IGNORED = "ignore"
_ENTERPRISE = f"{ENTERPRISE_URN}:"
# Names that HR systems and directories give their columns, in letters and digits only, and what they usually mean.
_USUAL = {
    "login": "userName",
    "username": "userName",
    "loginname": "userName",
    "samaccountname": "userName",
    "upn": "userName",
    "userprincipalname": "userName",
    "benutzername": "userName",
    "uid": "externalId",
    "id": "externalId",
    "personid": "externalId",
    "employeeid": "externalId",
    "firstname": "name.givenName",
    "givenname": "name.givenName",
    "vorname": "name.givenName",
    "lastname": "name.familyName",
    "surname": "name.familyName",
    "sn": "name.familyName",
    "familyname": "name.familyName",
    "nachname": "name.familyName",
    "name": "displayName",
    "fullname": "displayName",
    "cn": "displayName",
    "displayname": "displayName",
    "email": 'emails[type eq "work"].value',
    "emails": 'emails[type eq "work"].value',
    "mail": 'emails[type eq "work"].value',
    "emailaddress": 'emails[type eq "work"].value',
    "workemail": 'emails[type eq "work"].value',
    "privateemail": 'emails[type eq "home"].value',
    "phone": 'phoneNumbers[type eq "work"].value',
    "telephone": 'phoneNumbers[type eq "work"].value',
    "telefon": 'phoneNumbers[type eq "work"].value',
    "mobile": 'phoneNumbers[type eq "mobile"].value',
    "mobil": 'phoneNumbers[type eq "mobile"].value',
    "jobtitle": "title",
    "position": "title",
    "funktion": "title",
    "enabled": "active",
    "isactive": "active",
    "status": "active",
    "aktiv": "active",
    "department": f"{_ENTERPRISE}department",
    "abteilung": f"{_ENTERPRISE}department",
    "dept": f"{_ENTERPRISE}department",
    "division": f"{_ENTERPRISE}division",
    "organization": f"{_ENTERPRISE}organization",
    "company": f"{_ENTERPRISE}organization",
    "costcenter": f"{_ENTERPRISE}costCenter",
    "kostenstelle": f"{_ENTERPRISE}costCenter",
    "employeenumber": f"{_ENTERPRISE}employeeNumber",
    "personnelnumber": f"{_ENTERPRISE}employeeNumber",
    "personalnummer": f"{_ENTERPRISE}employeeNumber",
    "manager": f"{_ENTERPRISE}manager.userName",
    "supervisor": f"{_ENTERPRISE}manager.userName",
    "vorgesetzter": f"{_ENTERPRISE}manager.userName",
    "managerid": f"{_ENTERPRISE}manager.externalId",
    "city": 'addresses[type eq "work"].locality',
    "country": 'addresses[type eq "work"].country',
    "locale": "locale",
    "language": "preferredLanguage",
    "timezone": "timezone",
}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE]-?[0-9]{1,3})?")
_KEYS = frozenset({"to", "values", "separator"})


class Unmapped(Exception):
    """Columns of which nobody knows what they mean, or a map that is wrong; ``problems`` has a sentence for each.

    ``suggestion`` is a map file that would do, to be looked at and changed.
    """

    def __init__(self, problems: list[str], suggestion: str = "") -> None:
        super().__init__(" ".join(problems))
        self.problems = problems
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Column:
    """What one column means. ``values`` translates cells, ``separator`` parts a cell into several values."""

    name: str
    slot: Slot | None
    values: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """What all columns of a table mean, in their order."""

    kind: Kind
    columns: tuple[Column, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The places of which every row speaks."""
        return tuple(column.slot for column in self.columns if column.slot is not None)

    def resource_of(self, cells: Sequence[str]) -> dict[str, object]:
        """The resource that a row tells of."""
        resource: dict[str, object] = {}
        for column, cell in zip(self.columns, cells, strict=True):
            if column.slot is not None and cell != "":
                slots.write(column.slot, resource, _value(column, column.slot, cell))
        return resource


def map_columns(header: Sequence[str], kind: Kind, given: object = None) -> Columns:
    """What the columns mean: as the map says, else as they are called; raises Unmapped with everything that is wrong.

    ``given`` is the map file's content: ``{"columns": {name: path, "ignore" or {to, values, separator}}}``.
    """
    problems: list[str] = []
    wishes = _wishes(given, header, problems)
    columns: list[Column] = []
    unknown: list[str] = []
    for name in header:
        wish = wishes.get(name.lower())
        column = _plain(name, kind, unknown) if wish is None else _wished(name, kind, wish, problems)
        columns.append(column)
    problems += _doubles(columns)
    problems += [_unknown(name, kind) for name in unknown]
    if not problems and not any(column.slot is not None for column in columns):
        problems.append("No column of the file means anything; is the first line the one with the names?")
    if problems:
        raise Unmapped(problems, _suggest(unknown, kind) if unknown else "")
    return Columns(kind, tuple(columns))


def _wishes(given: object, header: Sequence[str], problems: list[str]) -> dict[str, object]:
    if given is None:
        return {}
    listed = given.get("columns") if isinstance(given, Mapping) and given.keys() == {"columns"} else None
    if not isinstance(listed, Mapping):
        problems.append("The map has one key, columns, with a path for each column; see docs/bulk-load.md.")
        return {}
    known = {name.lower() for name in header}
    wishes = {str(name).strip().lower(): wish for name, wish in listed.items()}
    problems += [
        f"The map speaks of the column {name[:100]!r}, which the file has not." for name in wishes if name not in known
    ]
    return wishes


def _plain(name: str, kind: Kind, unknown: list[str]) -> Column:
    if not name:
        return Column(name, None)
    try:
        slot = slots.parse_slot(name, kind)
    except ScimError:
        unknown.append(name)
        return Column(name, None)
    if slot.leaf is None and not slot.names_reference:
        # A whole complex attribute, such as emails or manager: what of it is meant only the administrator knows.
        unknown.append(name)
        return Column(name, None)
    return Column(name, slot)


def _wished(name: str, kind: Kind, wish: object, problems: list[str]) -> Column:
    options = wish if isinstance(wish, Mapping) else {"to": wish}
    if unknown := [str(key) for key in options if key not in _KEYS]:
        problems.append(f"The map's entry for {name!r} has the key {unknown[0]!r}; there are to, values and separator.")
    path, translated = options.get("to"), options.get("values", {})
    separator = options.get("separator", "")
    if path == IGNORED or path is None:
        return Column(name, None)
    if not isinstance(path, str) or not isinstance(translated, Mapping) or not isinstance(separator, str):
        problems.append(f"The map's entry for {name!r} must be a path, ignore, or an object with to, values and separator.")
        return Column(name, None)
    try:
        slot = slots.parse_slot(path, kind)
    except ScimError as error:
        problems.append(f"The map's entry for {name!r}: {error.detail}")
        return Column(name, None)
    if slot.leaf is None and not slot.names_reference:
        problems.append(f"The map's entry for {name!r}: {path!r} has parts; name the one that is meant, such as {path}.value.")
        return Column(name, None)
    words = {str(word).strip().lower(): str(value) for word, value in translated.items()}
    return Column(name, slot, words, separator)


def _doubles(columns: Sequence[Column]) -> list[str]:
    problems: list[str] = []
    seen: dict[tuple[str | None, str, str | None, str], str] = {}
    for column in columns:
        if column.slot is None:
            continue
        slot = column.slot
        place = (slot.extension, slot.attribute.name, slot.sub, (slot.type or "").lower())
        if place in seen:
            problems.append(f"The columns {seen[place]!r} and {column.name!r} mean the same; ignore one of them in the map.")
        seen[place] = column.name
    return problems


def _unknown(name: str, kind: Kind) -> str:
    usual = _usual(name, kind)
    perhaps = f"perhaps {usual} is meant" if usual is not None else f"write {IGNORED} in the map to leave it out"
    if re.sub(r"[^a-z]", "", name.lower()) in ("groups", "group", "memberof", "gruppen"):
        perhaps = "groups are loaded with their members from NDJSON, see docs/bulk-load.md"
    return f"The column {name[:100]!r} is no attribute of {kind.name}; {perhaps}."


def _usual(name: str, kind: Kind) -> str | None:
    found = _USUAL.get(re.sub(r"[^a-z0-9]", "", name.lower()))
    if found is None:
        return None
    try:
        slots.parse_slot(found, kind)
    except ScimError:
        return None
    return found


def _suggest(unknown: Sequence[str], kind: Kind) -> str:
    """A map file for the columns that mean nothing by themselves."""
    quoted = ['  "{}": {}'.format(name.replace('"', '\\"'), _written(_usual(name, kind))) for name in unknown]
    return "\n".join(("columns:", *quoted, ""))


def _written(path: str | None) -> str:
    return IGNORED if path is None else f"'{path}'"


# --------------------------------------------------------------------------- cells


def _value(column: Column, slot: Slot, cell: str) -> object:
    """What the cell means. What has not the form of its type stays text, and is refused by the attribute's own check."""
    if column.separator:
        parts = [part.strip() for part in cell.split(column.separator)]
        return [_single(column, slot, part) for part in parts if part]
    return _single(column, slot, cell)


def _single(column: Column, slot: Slot, cell: str) -> object:
    cell = column.values.get(cell.strip().lower(), cell)
    type = "string" if slot.leaf is None else slot.leaf.type
    text = cell.strip()
    if type == "boolean":
        return _BOOLEANS.get(text.lower(), cell)
    if type == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if type == "decimal" and _DECIMAL.fullmatch(text):
        return float(text)
    return cell
