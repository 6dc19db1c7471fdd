"""What one directory offers: its resource types with their schemas, and the meaning of a path within them.

A catalog never changes; adding a schema makes a new one. Other modules ask it what a name means and never look into
schemas themselves, so that case, URNs and short names are understood in one place.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources

from scimhub.scim.paths import AttributePath
from scimhub.scim.schema import (
    Attribute,
    ResourceType,
    Schema,
    SchemaError,
    SchemaExtension,
    parse_schema,
)

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

# RFC 7643 §3.1: on every resource, and listed in no schema.
_META = Attribute(
    "meta",
    "complex",
    mutability="readOnly",
    sub_attributes=(
        Attribute("resourceType", case_exact=True, mutability="readOnly"),
        Attribute("created", "dateTime", mutability="readOnly"),
        Attribute("lastModified", "dateTime", mutability="readOnly"),
        Attribute("location", "reference", case_exact=True, mutability="readOnly"),
        Attribute("version", case_exact=True, mutability="readOnly"),
    ),
)
COMMON_ATTRIBUTES = (
    Attribute("schemas", "reference", multi_valued=True, required=True, case_exact=True, returned="always"),
    Attribute("id", case_exact=True, mutability="readOnly", returned="always", uniqueness="server"),
    Attribute("externalId", case_exact=True),
    _META,
)
_COMMON = {attribute.name.lower(): attribute for attribute in COMMON_ATTRIBUTES}
COMMON_NAMES = frozenset(attribute.name for attribute in COMMON_ATTRIBUTES)


class AmbiguousName(Exception):
    """A short name that several schemas of the type know; ``urns`` are the schemas."""

    def __init__(self, name: str, urns: list[str]) -> None:
        super().__init__(f"{name} is an attribute of {' and of '.join(urns)}; write it with its URN in front.")
        self.urns = urns


@dataclass(frozen=True, slots=True)
class Target:
    """What a path denotes within a resource type.

    ``extension`` is the URN whose object holds the attribute, None for the base schema and common attributes.
    ``attribute`` is None when the path is an extension's URN alone, which denotes the whole object.
    """

    extension: str | None
    attribute: Attribute | None
    sub: Attribute | None = None

    @property
    def leaf(self) -> Attribute | None:
        """The attribute whose values the path reaches."""
        return self.sub or self.attribute

    @property
    def key(self) -> str:
        """The path in its canonical writing, as used in index rows and in the paths of a change."""
        names = [part.name for part in (self.attribute, self.sub) if part is not None]
        return ":".join(part for part in (self.extension, ".".join(names)) if part)


@dataclass(frozen=True, slots=True)
class Search:
    """That an attribute's texts can be searched by a search index, which the store knows by the number.

    ``has_beginnings`` tells that it finds values and beginnings of values too, which else another index does.
    """

    number: int
    has_beginnings: bool


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One resource type of a directory together with its base schema and its extensions."""

    resource_type: ResourceType
    base: Schema
    extensions: Mapping[str, Schema]
    required_extensions: frozenset[str]
    # The version of the catalog that it belongs to.
    catalog_version: int = 0
    # By the key of the attribute's path.
    searches: Mapping[str, Search] = field(default_factory=dict)
    # What follows is asked for with every request and is worked out once.
    name: str = field(init=False)
    endpoint: str = field(init=False)
    # Whether ``members`` of this type are rows of their own (they are for the standard Group).
    has_members: bool = field(init=False)
    # Whether a resource of this type shows the read-only view ``groups``.
    shows_groups: bool = field(init=False)
    _by_urn: Mapping[str, str | None] = field(init=False, repr=False)
    _resolved: dict[tuple[str, bool], Target] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_urn: dict[str, str | None] = {urn.lower(): urn for urn in self.extensions}
        by_urn[self.base.id.lower()] = None
        groups = self.base.find("groups")
        object.__setattr__(self, "name", self.resource_type.name)
        object.__setattr__(self, "endpoint", self.resource_type.endpoint)
        object.__setattr__(self, "has_members", self.base.id == GROUP_URN)
        is_view = groups is not None and groups.mutability == "readOnly" and groups.is_complex and groups.multi_valued
        object.__setattr__(self, "shows_groups", is_view)
        object.__setattr__(self, "_by_urn", by_urn)
        object.__setattr__(self, "_resolved", {})

    def extension_urn(self, text: str) -> str | None:
        """The canonical URN of the extension written in any case, or None."""
        return self._by_urn.get(text.lower())

    def is_base_urn(self, text: str) -> bool:
        return text.lower() == self.base.id.lower()

    def resolve(self, path: AttributePath, *, short_names: bool) -> Target | None:
        """What the path denotes, or None when this type does not know it.

        ``short_names`` lets an extension's attribute be named without its URN (DECISIONS 17); a name that several
        extensions know raises AmbiguousName.
        """
        key = (path.text.lower(), short_names)
        target = self._resolved.get(key)
        if target is None:
            target = self._resolve(path, short_names)
            if target is not None:
                self._resolved[key] = target
        return target

    def _resolve(self, path: AttributePath, short_names: bool) -> Target | None:
        whole = path.text.lower()
        if whole in self._by_urn:
            extension = self._by_urn[whole]
            return Target(extension, None) if extension is not None else None
        if path.urn is not None:
            if path.urn.lower() not in self._by_urn:
                return None
            extension = self._by_urn[path.urn.lower()]
            schema = self.base if extension is None else self.extensions[extension]
            found = schema.find(path.name) or (_COMMON.get(path.name.lower()) if extension is None else None)
            return with_sub(extension, found, path.sub)
        found = _COMMON.get(path.name.lower()) or self.base.find(path.name)
        if found is not None:
            return with_sub(None, found, path.sub)
        if not short_names:
            return None
        homes = [urn for urn, schema in self.extensions.items() if schema.find(path.name) is not None]
        if len(homes) > 1:
            raise AmbiguousName(path.name, homes)
        return with_sub(homes[0], self.extensions[homes[0]].find(path.name), path.sub) if homes else None


def with_sub(extension: str | None, attribute: Attribute | None, sub: str | None) -> Target | None:
    """What the sub-attribute's name denotes below the attribute, or without a name the attribute; None when it is not there."""
    if attribute is None:
        return None
    if sub is None:
        return Target(extension, attribute)
    found = attribute.find(sub)
    if found is not None:
        return Target(extension, attribute, found)
    # E7122: elements of a simple multi-valued attribute are called value.
    is_element = attribute.multi_valued and not attribute.is_complex and sub.lower() == "value"
    return Target(extension, attribute) if is_element else None


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The schemas and resource types of one directory; ``version`` grows with every change to them."""

    version: int
    schemas: Mapping[str, Schema]
    kinds: Mapping[str, Kind]
    _by_endpoint: Mapping[str, Kind] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_endpoint", {kind.endpoint: kind for kind in self.kinds.values()})

    def at_endpoint(self, endpoint: str) -> Kind | None:
        """The kind served at that path segment with its slash, such as ``/Users``; the case counts."""
        return self._by_endpoint.get(endpoint)

    def find_schema(self, urn: str) -> Schema | None:
        found = self.schemas.get(urn)
        if found is not None:
            return found
        return next((schema for key, schema in self.schemas.items() if key.lower() == urn.lower()), None)


def build_catalog(version: int, schemas: Iterable[Schema], resource_types: Iterable[ResourceType]) -> Catalog:
    """The catalog of these schemas and types; raises SchemaError when they do not fit together."""
    problems: list[str] = []
    by_urn: dict[str, Schema] = {}
    for schema in schemas:
        if schema.id.lower() in (urn.lower() for urn in by_urn):
            problems.append(f"The schema {schema.id} is defined twice.")
        by_urn[schema.id] = schema
    kinds: dict[str, Kind] = {}
    for resource_type in resource_types:
        kind = _build_kind(resource_type, by_urn, version, problems)
        if kind is None:
            continue
        if any(kind.name.lower() == other.lower() for other in kinds):
            problems.append(f"The resource type {kind.name} is defined twice.")
        if any(kind.endpoint.lower() == other.endpoint.lower() for other in kinds.values()):
            problems.append(f"The endpoint {kind.endpoint} is taken.")
        if kind.endpoint.lower() in _RESERVED_ENDPOINTS:
            problems.append(f"The endpoint {kind.endpoint} belongs to the protocol itself.")
        kinds[kind.name] = kind
    if problems:
        raise SchemaError(problems)
    return Catalog(version, by_urn, kinds)


def with_searches(catalog: Catalog, searches: Mapping[str, Mapping[str, Search]]) -> Catalog:
    """The catalog with the search indexes of each kind, by its name; those of kinds that are not there are left out."""
    kinds = {name: replace(kind, searches=searches.get(name, {})) for name, kind in catalog.kinds.items()}
    return Catalog(catalog.version, catalog.schemas, kinds)


_RESERVED_ENDPOINTS = {"/me", "/bulk", "/schemas", "/resourcetypes", "/serviceproviderconfig", "/serviceproviderconfigs"}


def _build_kind(resource_type: ResourceType, schemas: Mapping[str, Schema], version: int, problems: list[str]) -> Kind | None:
    base = schemas.get(resource_type.schema)
    if base is None:
        problems.append(f"The resource type {resource_type.name} names the schema {resource_type.schema}, which is not there.")
    extensions: dict[str, Schema] = {}
    for extension in resource_type.extensions:
        schema = schemas.get(extension.schema)
        if schema is None:
            problems.append(
                f"The resource type {resource_type.name} names the extension {extension.schema}, which is not there."
            )
        else:
            extensions[extension.schema] = schema
    if base is None or len(extensions) != len(resource_type.extensions):
        return None
    problems += [
        f"The schema {base.id} defines {attribute.name}, which every resource has already."
        for attribute in base.attributes
        if attribute.name.lower() in _COMMON
    ]
    required = frozenset(extension.schema for extension in resource_type.extensions if extension.required)
    return Kind(resource_type, base, extensions, required, version)


# --------------------------------------------------------------------------- the standard catalog


@cache
def standard_schemas() -> tuple[Schema, ...]:
    """The schemas of RFC 7643 with its errata, from the JSON files beside this module."""
    folder = resources.files("scimhub.scim") / "schemas"
    names = ("user", "group", "enterprise_user", "service_provider_config", "resource_type", "schema")
    return tuple(parse_schema(json.loads((folder / f"{name}.json").read_text("utf-8"))) for name in names)


STANDARD_TYPES = (
    # The RFC's example shows the extension as required; then no plain user could exist. It is optional.
    ResourceType("User", "/Users", "A person's account.", USER_URN, (SchemaExtension(ENTERPRISE_URN, False),)),
    ResourceType("Group", "/Groups", "A group of users and groups.", GROUP_URN),
)


@cache
def standard_catalog() -> Catalog:
    """What a directory offers before an administrator adds anything."""
    return build_catalog(1, standard_schemas(), STANDARD_TYPES)
