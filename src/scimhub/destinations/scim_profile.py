"""What a SCIM application accepts, as data: one file for each vendor in ``profiles``, each fact with its source.

An application's own ``/ServiceProviderConfig`` says what the profile leaves open; where the two differ the profile wins.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, get_args, get_type_hints

from scimhub.destinations.http_configuration import unknown_key
from scimhub.directory.errors import Invalid

Verb = Literal["patch", "put"]
Removal = Literal["filter", "value"]
Deletion = Literal["delete", "deactivate"]
Paging = Literal["index", "cursor", "none"]


@dataclass(frozen=True, slots=True)
class TypeProfile:
    """One resource type: None leaves to the application what it says of itself, or everything.

    ``update`` is the verb that changes a resource. ``attributes`` are the paths that it takes, ``single`` the multi-valued
    attributes of which it takes one value, ``required`` what a resource must have, ``lookups`` what a filter may ask for.
    """

    update: Verb | None = None
    attributes: tuple[str, ...] | None = None
    single: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    lookups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A vendor's application.

    ``member_removal`` says how a member is taken out of a group: by a path with a filter, or by naming it in the value.
    ``shows_members`` is whether a group that is read has its members, ``delete_means`` is what DELETE does to a user;
    ``per_minute`` and ``burst`` are how many requests it takes.
    ``sources`` names for each key where the fact is from; ``notes`` are told to whoever checks a destination.
    """

    name: str
    title: str
    base_url: str = ""
    user: TypeProfile = TypeProfile()
    group: TypeProfile = TypeProfile()
    operations_per_patch: int = 100
    members_per_patch: int = 100
    member_removal: Removal = "filter"
    nested_groups: bool = True
    page_size: int = 100
    paging: Paging = "index"
    shows_members: bool = True
    delete_means: Deletion = "delete"
    per_minute: float | None = None
    burst: int = 1
    etag: bool | None = None
    notes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def of(self, resource_type: str) -> TypeProfile:
        return self.group if resource_type == "Group" else self.user


# What an administrator may set otherwise, because it differs from customer to customer.
OVERRIDABLE: Final = (
    *("operations_per_patch", "members_per_patch", "member_removal", "nested_groups", "page_size", "delete_means"),
    *("per_minute", "burst", "etag", "shows_members"),
)
_LIMITS: Final = {"operations_per_patch": 1000, "members_per_patch": 10_000, "page_size": 10_000, "burst": 10_000}
_NOT_FACTS: Final = frozenset(("name", "title", "notes", "sources"))


@cache
def names() -> tuple[str, ...]:
    """The profiles that come with the hub; ``generic`` is first."""
    folder = resources.files("scimhub.destinations") / "profiles"
    found = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
    return ("generic", *(name for name in found if name != "generic"))


@cache
def load(name: str) -> Profile:
    """The profile of that name; raises Invalid with every mistake in its file."""
    text = (resources.files("scimhub.destinations") / "profiles" / f"{name}.json").read_text("utf-8")
    return parse(json.loads(text))


def parse(written: Mapping[str, Any]) -> Profile:
    """The profile that the JSON object writes; raises Invalid with every mistake."""
    problems: list[str] = []
    known = get_type_hints(Profile)
    values = {key: value for key, value in written.items() if key in known}
    problems += [unknown_key("A profile", key, known) for key in written if key not in known]
    problems += [f"A profile needs {key}." for key in ("name", "title") if not values.get(key)]
    for key in ("user", "group"):
        values[key] = _type_profile(written.get(key, {}), key, problems)
    values["notes"] = tuple(written.get("notes", ()))
    _check_values(values, problems)
    facts = set(written) - _NOT_FACTS
    problems += [f"The fact {key} names no source." for key in sorted(facts - set(values.get("sources", ())))]
    if problems:
        raise Invalid(problems)
    return Profile(**values)


def overridden(profile: Profile, changes: Mapping[str, object], problems: list[str]) -> Profile:
    """The profile with an administrator's changes; what is wrong with them is added to ``problems``."""
    possible = dict.fromkeys(OVERRIDABLE)
    mistakes = [unknown_key("The overrides of a profile", key, possible) for key in changes if key not in possible]
    known = {key: value for key, value in changes.items() if key in possible}
    _check_values(known, mistakes)
    problems += mistakes
    return profile if mistakes else replace(profile, **known)  # type: ignore[arg-type]  # each was checked


def _type_profile(written: Any, key: str, problems: list[str]) -> TypeProfile:
    if not isinstance(written, dict):
        problems.append(f"The {key} of a profile must be an object.")
        return TypeProfile()
    known = get_type_hints(TypeProfile)
    problems += [unknown_key(f"The {key} of a profile", name, known) for name in written if name not in known]
    if written.get("update") not in (None, "patch", "put"):
        problems.append(f"The {key}.update must be patch, put or null.")
    lists = {name: written.get(name) for name in ("attributes", "single", "required", "lookups") if name in written}
    for name, value in lists.items():
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) and one for one in value)):
            problems.append(f"The {key}.{name} must be a list of paths.")
    tuples = {name: None if value is None else tuple(value) for name, value in lists.items() if isinstance(value, list | None)}
    return TypeProfile(update=written.get("update"), **tuples)  # type: ignore[arg-type]  # each was checked


_CHOICES: Final = {"member_removal": Removal, "delete_means": Deletion, "paging": Paging}


def _check_values(values: Mapping[str, object], problems: list[str]) -> None:
    for key, value in values.items():
        if key in _CHOICES and value not in (possible := get_args(_CHOICES[key])):
            problems.append(f"The {key} must be {' or '.join(possible)}.")
        if key in _LIMITS and not (type(value) is int and 1 <= value <= _LIMITS[key]):
            problems.append(f"The {key} must be a whole number from 1 to {_LIMITS[key]}.")
        if key == "per_minute" and not (value is None or (type(value) in (int, float) and 0 < value <= 1e6)):  # type: ignore[operator]
            problems.append("The per_minute must be a number above 0, or null.")
        if (key in ("nested_groups", "shows_members") and type(value) is not bool) or (
            key == "etag" and value not in (True, False, None)
        ):
            problems.append(f"The {key} must be true or false.")
