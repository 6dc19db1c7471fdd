"""Attribute, Schema and ResourceType: the data that describes data (RFC 7643 §2, §6, §7).

They are read from JSON documents, never written in code. ``parse_*`` collects every mistake of a document before it
complains, because an administrator who adds a schema wants to mend it once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

Type = Literal["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]
Mutability = Literal["readOnly", "readWrite", "immutable", "writeOnly"]
Returned = Literal["always", "never", "default", "request"]
Uniqueness = Literal["none", "server", "global"]

SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"

# RFC 7643 §2.1, with `$` inside a name (E8924) and exactly `$ref` as the exception at its beginning.
ATTRIBUTE_NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9_$-]*|\$ref)")
_URN = re.compile(r"urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[A-Za-z0-9()+,.:=@;$_!*%/?#-]+", re.IGNORECASE)
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ENDPOINT = re.compile(r"/[A-Za-z][A-Za-z0-9_-]*")


class SchemaError(ValueError):
    """A schema or resource type document that cannot be used; ``problems`` has one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """One attribute or sub-attribute with its characteristics; the defaults are those of RFC 7643 §2.2."""

    name: str
    type: Type = "string"
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Returned = "default"
    uniqueness: Uniqueness = "none"
    description: str = ""
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    sub_attributes: tuple["Attribute", ...] = ()
    # Ours, not the RFC's: equality and prefix filters on it are answered from the index table.
    indexed: bool = False
    _subs: Mapping[str, "Attribute"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_subs", {sub.name.lower(): sub for sub in self.sub_attributes})

    @property
    def is_complex(self) -> bool:
        return self.type == "complex"

    @property
    def compares_exactly(self) -> bool:
        """Whether two strings must agree in case to be equal. References and binaries always must (§2.3.6, §2.3.7)."""
        return self.case_exact or self.type in ("reference", "binary")

    def find(self, name: str) -> "Attribute | None":
        """The sub-attribute of that name, in any case (RFC 7643 §2.1)."""
        return self._subs.get(name.lower())


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A set of attributes under one URN (RFC 7643 §7)."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    _by_name: Mapping[str, Attribute] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {attribute.name.lower(): attribute for attribute in self.attributes})

    def find(self, name: str) -> Attribute | None:
        """The attribute of that name, in any case (RFC 7643 §2.1)."""
        return self._by_name.get(name.lower())


@dataclass(frozen=True, slots=True)
class SchemaExtension:
    """A schema that a resource type adds to its base schema (RFC 7643 §6)."""

    schema: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class ResourceType:
    """The name, endpoint and schemas of one type of resource (RFC 7643 §6)."""

    name: str
    endpoint: str
    description: str
    schema: str
    extensions: tuple[SchemaExtension, ...] = ()


# --------------------------------------------------------------------------- reading


def parse_schema(document: object) -> Schema:
    """The schema that a JSON document of RFC 7643 §7 describes; raises SchemaError with every mistake in it."""
    problems: list[str] = []
    if not isinstance(document, dict):
        raise SchemaError(["A schema is a JSON object."])
    urn = document.get("id")
    if not isinstance(urn, str) or not _URN.fullmatch(urn):
        problems.append(f"The schema's id is {urn!r}; it must be a URN such as urn:example:scim:schemas:Badge.")
        urn = ""
    if urn.lower().startswith("urn:ietf:params:scim:api:"):
        # RFC 7644 §3.1: message schemas are not resources' schemas.
        problems.append(f"The schema's id {urn} lies in the name space of SCIM messages.")
    entries = document.get("attributes")
    if not isinstance(entries, list) or not entries:
        problems.append("The schema has no list of attributes.")
        entries = []
    attributes = _parse_attributes(entries, "", problems)
    if problems:
        raise SchemaError(problems)
    name = document.get("name")
    return Schema(urn, name if isinstance(name, str) and name else urn.rsplit(":", 1)[-1], _text(document), attributes)


def parse_resource_type(document: object) -> ResourceType:
    """The resource type that a JSON document of RFC 7643 §6 describes; raises SchemaError with every mistake in it."""
    problems: list[str] = []
    if not isinstance(document, dict):
        raise SchemaError(["A resource type is a JSON object."])
    name, endpoint, schema = document.get("name"), document.get("endpoint"), document.get("schema")
    if not isinstance(name, str) or not _TYPE_NAME.fullmatch(name):
        problems.append(f"The resource type's name is {name!r}; it must begin with a letter, such as Badge.")
    if endpoint is None and isinstance(name, str):
        endpoint = f"/{name}s"  # RFC 7644 §3.2: the plural of the type's name
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
        problems.append(f"The endpoint is {endpoint!r}; it must be one relative path segment such as /Badges.")
    if not isinstance(schema, str) or not _URN.fullmatch(schema):
        problems.append(f"The resource type's schema is {schema!r}; it must be the URN of its base schema.")
    extensions = []
    entries = document.get("schemaExtensions", [])
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or not isinstance(entry.get("schema"), str):
            problems.append("Each of schemaExtensions is an object with a schema URN and a required flag.")
            continue
        extensions.append(SchemaExtension(entry["schema"], entry.get("required") is True))
    if problems:
        raise SchemaError(problems)
    return ResourceType(cast(str, name), cast(str, endpoint), _text(document), cast(str, schema), tuple(extensions))


def _parse_attributes(entries: list[object], parent: str, problems: list[str]) -> tuple[Attribute, ...]:
    attributes = []
    seen: set[str] = set()
    for entry in entries:
        attribute = _parse_attribute(entry, parent, problems)
        if attribute is None:
            continue
        if attribute.name.lower() in seen:
            problems.append(f"The attribute {parent}{attribute.name} is defined twice.")
        seen.add(attribute.name.lower())
        attributes.append(attribute)
    return tuple(attributes)


def _parse_attribute(entry: object, parent: str, problems: list[str]) -> Attribute | None:
    if not isinstance(entry, dict):
        problems.append(f"An attribute of {parent or 'the schema'} is not an object.")
        return None
    name = entry.get("name")
    if not isinstance(name, str) or not ATTRIBUTE_NAME.fullmatch(name):
        problems.append(
            f"The attribute name {name!r} is not legal; it begins with a letter and goes on with letters, digits, -, _ or $."
        )
        return None
    where = f"{parent}{name}"
    kind = _choice(entry, "type", get_args(Type), "string", where, problems)
    multi_valued = _flag(entry, "multiValued", where, problems)
    subs = _parse_parts(entry, kind, parent, where, multi_valued, problems)
    if kind != "reference" and entry.get("referenceTypes"):
        problems.append(f"The attribute {where} has referenceTypes, but its type is {kind}.")
    mutability = _choice(entry, "mutability", get_args(Mutability), "readWrite", where, problems)
    returned = _choice(entry, "returned", get_args(Returned), "default", where, problems)
    uniqueness = _choice(entry, "uniqueness", get_args(Uniqueness), "none", where, problems)
    if uniqueness != "none" and (parent or multi_valued):
        problems.append(f"The attribute {where} cannot be unique: only a single-valued attribute at the top of a schema can.")
    return Attribute(
        name=name,
        type=cast(Type, kind),
        multi_valued=multi_valued,
        required=_flag(entry, "required", where, problems),
        case_exact=_flag(entry, "caseExact", where, problems),
        mutability=cast(Mutability, mutability),
        returned=cast(Returned, returned),
        uniqueness=cast(Uniqueness, uniqueness),
        description=_text(entry),
        canonical_values=_strings(entry, "canonicalValues", where, problems),
        reference_types=_strings(entry, "referenceTypes", where, problems),
        sub_attributes=subs,
        indexed=_flag(entry, "indexed", where, problems),
    )


def _parse_parts(
    entry: Mapping[str, object], kind: str, parent: str, where: str, multi_valued: bool, problems: list[str]
) -> tuple[Attribute, ...]:
    """The sub-attributes of an attribute; those of RFC 7643 §2.4 for a multi-valued one that names none."""
    listed = entry.get("subAttributes")
    if kind != "complex":
        if listed:
            problems.append(f"The attribute {where} is of type {kind} and cannot have subAttributes.")
        return ()
    if parent:
        # RFC 7643 §2.3.8 with E8415: two levels at most, so that every value has a path.
        problems.append(f"The attribute {where} is complex inside a complex attribute; only simple types may stand there.")
    problems += [
        f"The complex attribute {where} has no {key}; put it on a sub-attribute."
        for key in ("uniqueness", "caseExact")
        if entry.get(key) not in (None, "none", False)
    ]
    if isinstance(listed, list) and listed:
        return _parse_attributes(listed, f"{where}.", problems)
    if multi_valued and not parent:
        return _DEFAULT_SUB_ATTRIBUTES
    if not parent:
        problems.append(f"The complex attribute {where} has no subAttributes.")
    return ()


_DEFAULT_SUB_ATTRIBUTES = (
    Attribute("value", description="The attribute's significant value."),
    Attribute("display", mutability="immutable", description="A human-readable name, for display only."),
    Attribute("type", description="A label that tells the attribute's function."),
    Attribute("primary", "boolean", description="Whether this is the preferred value."),
    Attribute("$ref", "reference", case_exact=True, reference_types=("uri",), description="The URI of the value."),
)


def _text(document: Mapping[str, object]) -> str:
    text = document.get("description")
    return text if isinstance(text, str) else ""


def _flag(entry: Mapping[str, object], key: str, where: str, problems: list[str]) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        problems.append(f"The attribute {where} has {key} {value!r}; it must be true or false.")
        return False
    return value


def _choice(
    entry: Mapping[str, object], key: str, choices: tuple[str, ...], default: str, where: str, problems: list[str]
) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str) or value not in choices:
        problems.append(f"The attribute {where} has {key} {value!r}; it must be one of {', '.join(choices)}.")
        return default
    return value


def _strings(entry: Mapping[str, object], key: str, where: str, problems: list[str]) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        problems.append(f"The attribute {where} has {key} that is not a list of strings.")
        return ()
    return tuple(value)


# --------------------------------------------------------------------------- showing


def render_schema(schema: Schema, location: str) -> dict[str, object]:
    """The schema as a resource of /Schemas, with every characteristic stated and no nulls (RFC 7643 §7)."""
    return {
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [render_attribute(attribute) for attribute in schema.attributes],
        "meta": {"resourceType": "Schema", "location": location},
    }


def render_attribute(attribute: Attribute) -> dict[str, object]:
    """The attribute's definition with all the characteristics that apply to its type."""
    shown: dict[str, object] = {
        "name": attribute.name,
        "type": attribute.type,
        "multiValued": attribute.multi_valued,
        "description": attribute.description,
        "required": attribute.required,
    }
    if attribute.canonical_values:
        shown["canonicalValues"] = list(attribute.canonical_values)
    if attribute.type in ("string", "reference", "binary"):
        shown["caseExact"] = attribute.compares_exactly
    shown["mutability"] = attribute.mutability
    shown["returned"] = attribute.returned
    if attribute.type not in ("complex", "boolean", "binary"):
        # RFC 7643 §2.3.8 with E6004: complex attributes have neither uniqueness nor caseExact.
        shown["uniqueness"] = attribute.uniqueness
    if attribute.type == "reference":
        shown["referenceTypes"] = list(attribute.reference_types)
    if attribute.is_complex:
        shown["subAttributes"] = [render_attribute(sub) for sub in attribute.sub_attributes]
    return shown


def render_resource_type(resource_type: ResourceType, location: str) -> dict[str, object]:
    """The type as a resource of /ResourceTypes (RFC 7643 §6)."""
    return {
        "schemas": [RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "endpoint": resource_type.endpoint,
        "description": resource_type.description,
        "schema": resource_type.schema,
        "schemaExtensions": [
            {"schema": extension.schema, "required": extension.required} for extension in resource_type.extensions
        ],
        "meta": {"resourceType": "ResourceType", "location": location},
    }
