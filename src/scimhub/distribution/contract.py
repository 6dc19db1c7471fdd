"""The published contract: JSON Schemas (2020-12) of what events tell, generated from the SCIM catalog.

Each resource type has a document. Its root describes an event's ``data``, since that is what ``dataschema`` points at
(CloudEvents 1.0); ``#/$defs/event`` describes the whole event and ``#/$defs/resource`` the resource in it. A type that an
administrator added has the generic document, so that the contract is the same for everybody and shows nobody's schemas.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scimhub.distribution.envelope import CONTRACT_VERSION, MEMBERS_PER_EVENT, TYPE_PREFIX
from scimhub.distribution.subscription import MEMBERS_CHANGED, STATE, VERBS
from scimhub.scim import catalog
from scimhub.scim.catalog import COMMON_ATTRIBUTES, Kind
from scimhub.scim.schema import Attribute

Schema = dict[str, Any]

# The document of every type that the RFC does not know.
GENERIC: Final = "resource"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
# How ``scimhub.clock`` writes a time.
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
# JSON's type for each of SCIM's (RFC 7643 §2.3), with what else there is to say of it.
_SIMPLE: Final[Mapping[str, Schema]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "decimal": {"type": "number"},
    "integer": {"type": "integer"},
    "dateTime": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "reference": {"type": "string"},
}
# Told beside the resource or not at all: members by their changes, groups as changes of the groups.
_LEFT_OUT: Final = frozenset(("members", "groups"))
# A change knows when it was made, not when its resource was.
_META_LEFT_OUT: Final = frozenset(("created",))


def standard_names() -> tuple[str, ...]:
    """The names of the documents that there are for sure: those of the standard types, and the generic one."""
    return (*(kind.name.lower() for kind in catalog.standard_catalog().kinds.values()), GENERIC)


def path_of(name: str) -> str:
    """Where the document is published, below the hub's root URL."""
    return f"/contract/{CONTRACT_VERSION}/{name}.json"


def is_type_name(name: str) -> bool:
    """Whether a resource type can have that name, written in lower case."""
    return _TYPE_NAME.fullmatch(name) is not None


def document(name: str, root_url: str) -> Schema:
    """The document of a resource type by its name in lower case; the generic one for a type that is no standard one.

    ``root_url`` is the hub's own, without a slash at its end.
    """
    kinds = {kind.name.lower(): kind for kind in catalog.standard_catalog().kinds.values()}
    return _document(kinds.get(name), root_url)


def verbs_of(kind: Kind | None) -> tuple[str, ...]:
    """The verbs that events about the kind may have; None stands for any kind."""
    verbs = [*VERBS, MEMBERS_CHANGED, STATE]
    if kind is not None and not kind.has_members:
        verbs = [verb for verb in verbs if not verb.startswith("member")]
    if kind is not None and kind.base.find("active") is None:
        verbs = [verb for verb in verbs if verb not in ("activated", "deactivated")]
    return tuple(verbs)


def _document(kind: Kind | None, root_url: str) -> Schema:
    name = "resource" if kind is None else kind.name
    return {
        "$schema": _DIALECT,
        "$id": f"{root_url}{path_of(GENERIC if kind is None else kind.name.lower())}",
        "title": f"What an event tells of a {name}",
        "description": "Members that are not described here may be added; a receiver ignores those it does not know.",
        **_told(kind),
        "$defs": {"event": _event(kind), "resource": _resource(kind)},
    }


def _told(kind: Kind | None) -> Schema:
    """The schema of an event's ``data``."""
    properties: Schema = {
        "resourceType": {
            "type": "string",
            "description": "The resource type, as in SCIM.",
            **({} if kind is None else {"const": kind.name}),
        },
        "id": {"type": "string", "minLength": 1, "description": "The resource's id, as in SCIM."},
        "version": _count("The resource's version after the change. It only grows; the lower of two is the older."),
        "position": _count("The place of the change in the hub's log. It only grows."),
        "cause": {
            "enum": ["write", "scope", "state"],
            "description": (
                "write: it was written. scope: it entered or left what the destination subscribed to. state: nothing "
                "happened; what it is now is told, because somebody asked for that."
            ),
        },
        "changed": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "description": "The paths of the attributes that differ, such as name.familyName; empty where all is new.",
        },
        "resource": {"$ref": "#/$defs/resource"},
    }
    needs = {"changed": ["resource"], "resource": ["changed"]}
    if kind is None or kind.has_members:
        properties |= _of_members()
        needs |= {"part": ["parts"], "parts": ["part"], "fromVersion": ["members"]}
    required = ["resourceType", "id", "version", "position", "cause"]
    return {"type": "object", "required": required, "properties": properties, "dependentRequired": needs}


def _of_members() -> Schema:
    ids = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": MEMBERS_PER_EVENT, "uniqueItems": True}
    return {
        "members": {
            "type": "object",
            "required": ["added", "removed"],
            "properties": {
                "added": {**ids, "description": "Ids of those who are members now."},
                "removed": {**ids, "description": "Ids of those who are members no longer."},
                "whole": {
                    "const": True,
                    "description": "Only in states: added, in all parts together, is everybody who is a member.",
                },
            },
            "description": "What became of members. Applying it twice gives the same members.",
        },
        "fromVersion": _count("Of a run of changes the version after its first one; version is that after its last."),
        "part": _count("The number of this part of a change that is told in several events; the first is 1."),
        "parts": {"type": "integer", "minimum": 2, "description": "How many parts there are."},
    }


def _count(description: str) -> Schema:
    return {"type": "integer", "minimum": 1, "description": description}


# --------------------------------------------------------------------------- the event


def _event(kind: Kind | None) -> Schema:
    text = {"type": "string", "minLength": 1}
    properties: Schema = {
        "specversion": {"const": "1.0"},
        "id": {**text, "pattern": "^[^.]+$", "description": "The same for every try to deliver it, and in the feed."},
        "source": {**text, "pattern": "^/directories/", "description": "The directory. With the id it names the event."},
        "type": _type(kind),
        "subject": {**text, "description": "The resource's id."},
        "time": {"type": "string", "pattern": _TIME, "format": "date-time", "description": "When the change was committed."},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {**text, "format": "uri", "description": "Where the schema of data is."},
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": "The position, to be compared as a text."},
        "partitionkey": {**text, "description": "Events with the same one are in order: the resource's id."},
        "requestid": {**text, "description": "The X-Request-Id of the request that made the change."},
        "epoch": {
            **text,
            "description": "The history that versions and positions belong to; another one after a restored backup.",
        },
        "replayid": {**text, "description": "Only on events that are sent once more: the replay to which they belong."},
        "cursor": {**text, "description": "Only in the feed: where to go on behind this event."},
        "data": {"$ref": "#"},
    }
    return {
        "title": "The whole event: CloudEvents 1.0",
        "type": "object",
        "required": [name for name in properties if name not in ("replayid", "cursor")],
        "properties": properties,
        # CloudEvents 1.0, "Naming conventions".
        "propertyNames": {"pattern": "^[a-z0-9]+$"},
        "if": {"properties": {"type": {"pattern": r"\.deleted$"}}},
        "then": {"properties": {"data": {"properties": dict.fromkeys(("changed", "resource", "members"), False)}}},
        "else": {"properties": {"data": _shows_resource(kind)}},
    }


def _shows_resource(kind: Kind | None) -> Schema:
    """The first or only part of an event that is no delete shows the resource; those of a group always tell of members."""
    is_later_part = {"properties": {"part": {"minimum": 2}}, "required": ["part"]}
    shown: Schema = {"if": is_later_part, "else": {"required": ["changed", "resource"]}}
    return {**shown, "required": ["members"]} if kind is not None and kind.has_members else shown


def _type(kind: Kind | None) -> Schema:
    if kind is None:
        verbs = "|".join(re.escape(verb) for verb in verbs_of(None))
        return {"type": "string", "pattern": rf"^{re.escape(TYPE_PREFIX)}{_TYPE_NAME.pattern}\.({verbs})$"}
    return {"enum": [f"{TYPE_PREFIX}{kind.name.lower()}.{verb}" for verb in verbs_of(kind)]}


# --------------------------------------------------------------------------- the resource


def _resource(kind: Kind | None) -> Schema:
    """A resource as a destination may see it: nothing but id and schemas is certain, since it may have an allow-list."""
    properties = _properties(attribute for attribute in COMMON_ATTRIBUTES if attribute.name != "meta")
    meta = next(attribute for attribute in COMMON_ATTRIBUTES if attribute.name == "meta")
    properties["meta"] = _object(sub for sub in meta.sub_attributes if sub.name not in _META_LEFT_OUT)
    if kind is not None:
        properties |= _properties(attribute for attribute in kind.base.attributes if attribute.name not in _LEFT_OUT)
        for urn, extension in kind.extensions.items():
            properties[urn] = {"description": extension.description, **_object(extension.attributes)}
    return {
        "type": "object",
        "description": "The resource after the change, as far as the destination may see it.",
        "required": [attribute.name for attribute in COMMON_ATTRIBUTES if attribute.returned == "always"],
        "properties": properties,
        # Extensions of the directory's own.
        "patternProperties": {"^urn:": {"type": "object"}},
    }


def _object(attributes: Iterable[Attribute]) -> Schema:
    return {"type": "object", "properties": _properties(attributes)}


def _properties(attributes: Iterable[Attribute]) -> Schema:
    return {attribute.name: _value(attribute) for attribute in attributes if attribute.returned != "never"}


def _value(attribute: Attribute) -> Schema:
    one = _object(attribute.sub_attributes) if attribute.is_complex else dict(_SIMPLE[attribute.type])
    if attribute.canonical_values:
        # RFC 7643 §7: suggestions, so that others may come.
        one["examples"] = list(attribute.canonical_values)
    shown: Schema = {"type": "array", "items": one} if attribute.multi_valued else one
    if attribute.description:
        shown["description"] = attribute.description
    return shown
