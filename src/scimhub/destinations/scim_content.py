"""What a SCIM application is to show of a resource, and how that differs from what was written last. Pure.

The resource comes from an event; what goes out is what the application's profile lets through. A path is a top-level
attribute, a part of a singular complex one, or an attribute of an extension with its URN in front, as in an event's
``changed``; a multi-valued attribute is one value.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import orjson

from scimhub.scim import diff

ENTERPRISE: Final = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MANAGER: Final = f"{ENTERPRISE}:manager"
CORE: Final[Mapping[str, str]] = {
    "User": "urn:ietf:params:scim:schemas:core:2.0:User",
    "Group": "urn:ietf:params:scim:schemas:core:2.0:Group",
}
PATCH_OP: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
# What an application gives itself, what travels apart, and what nobody is told.
_NOT_WRITTEN: Final = frozenset(("schemas", "id", "meta", "groups", "members", "password"))

Json = dict[str, Any]


def body_of(
    resource: Mapping[str, object], resource_type: str, *, attributes: Sequence[str] | None, single: Sequence[str]
) -> Json:
    """The resource as it may be written: only what ``attributes`` names, one value each of those that are ``single``."""
    schemas = [CORE[resource_type]]
    body: Json = {"schemas": schemas}
    for name, value in resource.items():
        if name in _NOT_WRITTEN or value is None:
            continue
        shown = value if attributes is None or name in attributes else _part(name, value, attributes)
        if name in single and isinstance(shown, list):
            shown = _only_one(shown)
        # Numbers and booleans say something even when they are false.
        if shown or not (shown is None or shown == {} or shown == []):
            body[name] = shown
            if name.startswith("urn:"):
                schemas.append(name)
    return body


def _part(name: str, value: object, attributes: Sequence[str]) -> object:
    joint = ":" if name.startswith("urn:") else "."
    wanted = {one[len(name) + 1 :] for one in attributes if one.startswith(f"{name}{joint}")}
    if isinstance(value, Mapping):
        return {part: item for part, item in value.items() if part in wanted}
    if isinstance(value, list):
        parts = [{part: one[part] for part in one if part in wanted} for one in value if isinstance(one, Mapping)]
        return [part for part in parts if part]
    return None


def _only_one(values: list[Any]) -> list[Any]:
    """The primary value, or the first."""
    chosen = next((one for one in values if isinstance(one, Mapping) and one.get("primary") is True), None)
    return values[:1] if chosen is None else [chosen]


def flatten(body: Mapping[str, object]) -> Json:
    """The values of the body by path."""
    return {path: value for path, value in diff.flat_values(body).items() if path != "schemas"}


def value_at(body: Mapping[str, object], path: str) -> object:
    """The value at the path; of a multi-valued attribute that of its primary or first element (``emails.value``)."""
    flat = flatten(body)
    if path in flat:
        return flat[path]
    name, _, part = path.partition(".")
    several = body.get(name)
    if isinstance(several, list) and several and isinstance(one := _only_one(several)[0], Mapping):
        return one.get(part)
    return several if not part else None


def digests(flat: Mapping[str, object]) -> dict[str, str]:
    """A short digest of each value; equal values have equal ones."""
    dumps, option = orjson.dumps, orjson.OPT_SORT_KEYS
    # As ``digest``, without a call for each.
    return {path: blake2b(dumps(value, option=option), digest_size=8).hexdigest() for path, value in flat.items()}


def digest(value: object) -> str:
    """16 hexadecimal digits of BLAKE2b."""
    return blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def operations(flat: Mapping[str, object], written: Mapping[str, str]) -> list[Json]:
    """The PATCH operations that lead from what was written to the values; everything is replaced when nothing is known."""
    changed = [path for path, value in flat.items() if written.get(path) != digest(value)]
    removed = [path for path in written if path not in flat]
    return [
        *({"op": "replace", "path": path, "value": flat[path]} for path in changed),
        *({"op": "remove", "path": path} for path in removed),
    ]


def patch(some: Sequence[Json]) -> Json:
    """A PatchOp with these operations."""
    return {"schemas": [PATCH_OP], "Operations": list(some)}
