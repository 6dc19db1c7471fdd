"""Members of a group, as ids: read from a body or from the operations of a PATCH.

The members of a group are rows of their own and may be a hundred thousand. Nothing here sees those that are stored;
what a request wants is reduced to ids to add and ids to remove. ``display``, ``type`` and ``$ref`` of a member are
computed by the hub from the resource behind the id, so what is sent for them is read past (RFC 7643 §4.2).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scimhub.scim import checks, dialects, errors, values
from scimhub.scim.dialects import Dialect
from scimhub.scim.expressions import Any, Expression, Test
from scimhub.scim.notes import Notes

_PARTS = frozenset({"value", "$ref", "type", "display"})


@dataclass(frozen=True, slots=True)
class MemberOperations:
    """What a PATCH does to the members: with ``exact`` they become just ``add``, else ``remove`` go and ``add`` come."""

    exact: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class MemberEdit:
    """Collects the operations on members of one PATCH, in their order (RFC 7644 §3.5.2)."""

    def __init__(self) -> None:
        self.is_touched = False
        self._exact = False
        # Dictionaries as ordered sets.
        self._add: dict[str, None] = {}
        self._remove: dict[str, None] = {}

    def add(self, ids: Iterable[str]) -> None:
        self.is_touched = True
        for id in ids:
            self._remove.pop(id, None)
            self._add[id] = None

    def remove(self, ids: Iterable[str]) -> None:
        self.is_touched = True
        for id in ids:
            self._add.pop(id, None)
            if not self._exact:
                self._remove[id] = None

    def replace(self, ids: Iterable[str]) -> None:
        self.is_touched = self._exact = True
        self._add = dict.fromkeys(ids)
        self._remove = {}

    def operations(self) -> MemberOperations | None:
        """The sum of it all; None when no operation spoke of members."""
        return MemberOperations(self._exact, tuple(self._add), tuple(self._remove)) if self.is_touched else None


def ids_of(value: object, dialect: Dialect, notes: Notes) -> tuple[str, ...]:
    """The ids of the members that were sent, each once; none for null and the empty list. Raises ScimError."""
    if value is None:
        return ()
    if not isinstance(value, list):
        if not isinstance(value, dict | str) or not dialects.allows(dialect, "object-for-list", notes):
            raise errors.invalid_value('The value of members must be a list of objects such as {"value": "…"}.')
        value = [value] if value else []
    sent = [member for member in value if member is not None or not dialects.allows(dialect, "null-element", notes)]
    return tuple(dict.fromkeys([_id_of(member, dialect, notes) for member in sent]))


def _id_of(member: object, dialect: Dialect, notes: Notes) -> str:
    if isinstance(member, str) and dialects.allows(dialect, "text-for-object", notes):
        return _usable(member)
    if not isinstance(member, dict):
        raise errors.invalid_value('Each of members must be an object such as {"value": "…"} with the id of a resource.')
    if not member.keys() <= _PARTS:
        member = _canonical(member, dialect, notes)
    value = member.get("value")
    if value is None and isinstance(member.get("$ref"), str) and dialects.allows(dialect, "member-by-reference", notes):
        value = str(member["$ref"]).rstrip("/").rpartition("/")[2]
    return _usable(value)


def _canonical(member: dict[str, object], dialect: Dialect, notes: Notes) -> dict[str, object]:
    parts: dict[str, object] = {}
    for name, item in member.items():
        if name.lower() not in _PARTS:
            checks.drop_unknown(f"members.{name}", item, dialect, notes)
        elif name.lower() in parts:
            raise errors.invalid_syntax(f"members.{name.lower()} stands twice, in two spellings; send it once.")
        else:
            parts[name.lower()] = item
    return parts


def _usable(value: object) -> str:
    if not isinstance(value, str) or not value or not values.is_usable(value):
        raise errors.invalid_value("Each of members needs a value, the id of a resource of this directory.")
    return value


def ids_in(filter: Expression, name: str = "members") -> tuple[str, ...]:
    """The ids that the filter of a path such as ``members[value eq "…"]`` names; raises ScimError invalidFilter.

    Only ``value eq`` is read, alone or several joined by ``or``: no other question can be answered without looking at
    every member (DECISIONS 15).
    """
    if isinstance(filter, Any):
        return tuple(dict.fromkeys([id for term in filter.terms for id in ids_in(term, name)]))
    if (
        isinstance(filter, Test)
        and filter.path.text.lower() == "value"
        and filter.operator == "eq"
        and isinstance(filter.value, str)
    ):
        return (filter.value,)
    raise errors.invalid_filter(f'{name} can be chosen by value only: write {name}[value eq "…"], several joined by or.')
