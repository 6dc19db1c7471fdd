"""References between the operations of a bulk request: which there are, and what to put in their place.

A text ``bulkId:x`` refers to another operation only where an id or a reference may stand; elsewhere it is a text like any
other (spec B-013, B-023). ``bulk_order`` says in which order to run the operations, so that what they refer to is there.
"""

import re
from collections.abc import Callable, Mapping

from scimhub.scim import filters
from scimhub.scim.bulk import PREFIX, Operation
from scimhub.scim.catalog import AmbiguousName, Kind, Target
from scimhub.scim.errors import ScimError
from scimhub.scim.patch import PATCH_URN
from scimhub.scim.schema import Attribute

# The whole of an id, or the last segment of a reference.
_WHOLE = re.compile(r"((?:.*/)?)bulkId:([^/]+)", re.DOTALL)
# Within the filter of a PATCH path.
_QUOTED = re.compile(r'"bulkId:([^"\\]+)"')

# Gives what to put in place of a bulkId, or None to leave out the value that refers to it.
Replace = Callable[[str], str | None]
_GONE = object()


def dependencies(operation: Operation, kind: Kind | None) -> frozenset[str]:
    """The bulkIds that the operation refers to, in its path and in its data."""
    found = _referred(operation.data, kind, is_patch=operation.method == "PATCH")
    if operation.resource_id is not None and operation.resource_id.startswith(PREFIX):
        found.add(operation.resource_id.removeprefix(PREFIX))
    return frozenset(found)


def substitute(
    operation: Operation, kind: Kind | None, ids: Mapping[str, str], deferred: frozenset[str] = frozenset()
) -> object:
    """The operation's data with ids in place of bulkIds, without the values that refer to ``deferred`` ones.

    Raises ScimError 409 for a bulkId whose resource does not exist (spec B-017).
    """

    def replace(bulk_id: str) -> str | None:
        return None if bulk_id in deferred else _id_of(bulk_id, ids)

    return _rewritten(operation.data, kind, replace, is_patch=operation.method == "PATCH")


def resource_id(operation: Operation, ids: Mapping[str, str]) -> str | None:
    """The id in the operation's path, where a bulkId may stand for it; raises ScimError 409 as ``substitute`` does."""
    if operation.resource_id is None or not operation.resource_id.startswith(PREFIX):
        return operation.resource_id
    return _id_of(operation.resource_id.removeprefix(PREFIX), ids)


def completion(operation: Operation, kind: Kind | None, ids: Mapping[str, str], deferred: frozenset[str]) -> object:
    """The body of the PATCH that gives a created resource the references that were left out at first."""
    created = operation.data if isinstance(operation.data, dict) else {}
    late = {key: value for key, value in created.items() if _referred({key: value}, kind, is_patch=False) & deferred}
    values = _rewritten(late, kind, lambda bulk_id: _id_of(bulk_id, ids), is_patch=False)
    added = values.items() if isinstance(values, dict) else ()
    # To add what is there already changes nothing, so the whole attribute can be added.
    return {"schemas": [PATCH_URN], "Operations": [{"op": "add", "path": key, "value": value} for key, value in added]}


def _id_of(bulk_id: str, ids: Mapping[str, str]) -> str:
    if bulk_id not in ids:
        raise ScimError(409, None, f"The bulkId {bulk_id[:100]} names nothing that this request has created.")
    return ids[bulk_id]


def _referred(body: object, kind: Kind | None, *, is_patch: bool) -> set[str]:
    found: set[str] = set()

    def collect(bulk_id: str) -> str:
        found.add(bulk_id)
        return ""

    _rewritten(body, kind, collect, is_patch=is_patch)
    return found


# --------------------------------------------------------------------------- walking through a body


def _rewritten(body: object, kind: Kind | None, replace: Replace, *, is_patch: bool) -> object:
    """A copy of the body with each bulkId in a reference's place replaced; the body itself when no kind explains it."""
    if kind is None or not isinstance(body, dict):
        return body
    if not is_patch:
        return _rewrite_object(body, kind, replace)
    return {
        key: [_rewrite_operation(item, kind, replace) for item in value]
        if key.lower() == "operations" and isinstance(value, list)
        else value
        for key, value in body.items()
    }


def _rewrite_operation(operation: object, kind: Kind, replace: Replace) -> object:
    if not isinstance(operation, dict):
        return operation
    fields = {key.lower(): key for key in operation}
    path, value = operation.get(fields.get("path", "")), operation.get(fields.get("value", ""))
    rewritten = dict(operation)
    if isinstance(path, str) and path:
        target = _target(path, kind)
        if target is not None and target.attribute is not None and _refers(target.attribute):
            rewritten[fields["path"]] = _QUOTED.sub(lambda match: f'"{replace(match[1])}"', path)
        if "value" in fields:
            found = _rewrite_at(value, target, kind, replace)
            rewritten[fields["value"]] = None if found is _GONE else found
    elif isinstance(value, dict):
        rewritten[fields["value"]] = _rewrite_object(value, kind, replace)
    return rewritten


def _rewrite_object(value: Mapping[str, object], kind: Kind, replace: Replace) -> dict[str, object]:
    items = ((key, _rewrite_at(item, _target(key, kind), kind, replace)) for key, item in value.items())
    return {key: item for key, item in items if item is not _GONE}


def _target(path: str, kind: Kind) -> Target | None:
    try:
        parsed = filters.parse_value_path(path)
        target = kind.resolve(parsed.path, short_names=True)
    except (ScimError, AmbiguousName):
        # Whoever runs the operation says what is wrong with it.
        return None
    if target is None or target.attribute is None or parsed.sub is None:
        return target
    return Target(target.extension, target.attribute, target.attribute.find(parsed.sub))


def _rewrite_at(value: object, target: Target | None, kind: Kind, replace: Replace) -> object:
    if target is None:
        return value
    if target.attribute is not None:
        if target.sub is not None:
            return _rewrite_part(value, target.attribute, target.sub, replace)
        return _rewrite_value(value, target.attribute, replace)
    if target.extension is None or not isinstance(value, dict):
        return value
    schema = kind.extensions[target.extension]
    items = ((key, _rewrite_value(item, schema.find(key), replace)) for key, item in value.items())
    return {key: item for key, item in items if item is not _GONE}


def _refers(attribute: Attribute) -> bool:
    """Whether a value of the attribute names a resource: a reference, or an object with ``$ref`` (RFC 7643 §2.4)."""
    return attribute.type == "reference" or attribute.find("$ref") is not None


def _rewrite_value(value: object, attribute: Attribute | None, replace: Replace) -> object:
    if attribute is None:
        return value
    if isinstance(value, str):
        return _rewrite_text(value, replace) if _refers(attribute) else value
    if isinstance(value, list):
        return [found for item in value if (found := _rewrite_value(item, attribute, replace)) is not _GONE]
    if not isinstance(value, dict) or not attribute.is_complex:
        return value
    parts: dict[str, object] = {}
    for key, item in value.items():
        # A client may repeat the attribute's name within its value; see the dialect rule value-repeats-name.
        is_repeated = key.lower() == attribute.name.lower()
        sub = attribute.find(key)
        found = _rewrite_value(item, attribute, replace) if is_repeated else _rewrite_part(item, attribute, sub, replace)
        if found is _GONE:
            return _GONE
        parts[key] = found
    return parts


def _rewrite_part(value: object, attribute: Attribute, sub: Attribute | None, replace: Replace) -> object:
    names_resource = sub is not None and (sub.type == "reference" or (sub.name == "value" and _refers(attribute)))
    if not names_resource:
        return value
    if isinstance(value, list):
        return [found for item in value if (found := _rewrite_part(item, attribute, sub, replace)) is not _GONE]
    if isinstance(value, dict):
        return _rewrite_value(value, attribute, replace)
    return _rewrite_text(value, replace) if isinstance(value, str) else value


def _rewrite_text(text: str, replace: Replace) -> object:
    match = _WHOLE.fullmatch(text)
    if match is None:
        return text
    found = replace(match[2])
    return _GONE if found is None else f"{match[1]}{found}"
