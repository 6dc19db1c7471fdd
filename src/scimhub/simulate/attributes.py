"""Attributes of a resource by their PATCH paths, as providers write them: ``emails[type eq "work"].value``, ``URN:department``.

A mapping from such paths to values says what a resource must look like; it serves the shapes and the comparison alike.
"""

import re
from collections.abc import Mapping
from typing import cast

from scimhub.simulate.people import Person

CORE_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
CORE_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_USER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

WORK_EMAIL = 'emails[type eq "work"].value'
DEPARTMENT = f"{ENTERPRISE_USER}:department"
EMPLOYEE_NUMBER = f"{ENTERPRISE_USER}:employeeNumber"
MANAGER = f"{ENTERPRISE_USER}:manager"

_VALUE_PATH = re.compile(r'(\w+)\[(\w+) eq "([^"]*)"\]\.(\w+)')


def of(person: Person) -> dict[str, object]:
    """What every provider sends of a person."""
    return {
        "active": True,
        "userName": person.user_name,
        "name.givenName": person.given_name,
        "name.familyName": person.family_name,
        WORK_EMAIL: person.email,
        "title": person.title,
        DEPARTMENT: person.department,
    }


def read(resource: Mapping[str, object], path: str) -> object:
    """The value at the path, or None; of a complex one with a ``value`` that value."""
    extension, _, plain = path.rpartition(":")
    holder = _object(resource.get(extension)) if extension else resource
    if part := _VALUE_PATH.fullmatch(plain):
        attribute, key, wanted, sub = part.groups()
        elements = holder.get(attribute)
        chosen = [each for each in elements if _object(each).get(key) == wanted] if isinstance(elements, list) else []
        return chosen[0].get(sub) if chosen else None
    found: object = holder
    for name in plain.split("."):
        found = _object(found).get(name)
    return found["value"] if isinstance(found, dict) and "value" in found else found


def write(resource: dict[str, object], path: str, value: object) -> None:
    """Put the value where the path points, making what is missing on the way."""
    extension, _, plain = path.rpartition(":")
    holder = _made(resource, extension) if extension else resource
    if part := _VALUE_PATH.fullmatch(plain):
        attribute, key, wanted, sub = part.groups()
        elements = cast(list[dict[str, object]], holder.setdefault(attribute, []))  # what SCIM has there
        chosen = next((each for each in elements if each.get(key) == wanted), None)
        if chosen is None:
            chosen = {key: wanted}
            elements.append(chosen)
        chosen[sub] = value
        return
    *parents, name = plain.split(".")
    for parent in parents:
        holder = _made(holder, parent)
    holder[name] = value


def differences(resource: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    """Those of the wanted paths whose values the resource has not."""
    return {path: value for path, value in wanted.items() if read(resource, path) != value}


def _object(found: object) -> Mapping[str, object]:
    return found if isinstance(found, dict) else {}


def _made(holder: dict[str, object], name: str) -> dict[str, object]:
    return cast(dict[str, object], holder.setdefault(name, {}))  # what SCIM has there
