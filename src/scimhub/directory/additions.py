"""The schemas and resource types that an administrator added to a directory, as a value: read, merged, made a catalog.

A file is either one schema of RFC 7643 §7, with our keys ``extends`` (the types it is added to, ``["User"]`` unless it
says otherwise) and ``required``, or a bundle of ``schemas``, ``resourceTypes`` and ``extensions`` for whole new types.
Every mistake of a file is told at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from scimhub.directory import mistakes
from scimhub.scim import catalog
from scimhub.scim.catalog import STANDARD_TYPES, Catalog
from scimhub.scim.schema import (
    ResourceType,
    Schema,
    SchemaError,
    SchemaExtension,
    parse_resource_type,
    parse_schema,
)

Document = Mapping[str, object]

_BUNDLE_KEYS = ("schemas", "resourceTypes", "extensions")


@dataclass(frozen=True, slots=True)
class Additions:
    """What was added to the standard. Documents are kept as they were given, so that they can be shown again."""

    schemas: Mapping[str, Document] = field(default_factory=dict)
    resource_types: Mapping[str, Document] = field(default_factory=dict)
    # For each type, by name, the schemas that extend it beside those of its own definition.
    extensions: Mapping[str, tuple[SchemaExtension, ...]] = field(default_factory=dict)
    # Types whose normal form and index rows are still to be rewritten: a job that a crash may have interrupted.
    pending: tuple[str, ...] = ()

    def render(self) -> dict[str, object]:
        """The JSON document that the store keeps."""
        links = {
            name: [{"schema": link.schema, "required": link.required} for link in links]
            for name, links in self.extensions.items()
            if links
        }
        return {
            "schemas": list(self.schemas.values()),
            "resourceTypes": list(self.resource_types.values()),
            "extensions": links,
            "pending": list(self.pending),
        }


def read(stored: Mapping[str, object]) -> Additions:
    """The additions that ``Additions.render`` wrote."""
    kept = _Bundle(
        cast(list[Document], stored.get("schemas", [])),  # our own writing
        cast(list[Document], stored.get("resourceTypes", [])),
        cast(Mapping[str, list[object]], stored.get("extensions", {})),
    )
    return replace(_additions_of(kept, []), pending=tuple(cast(list[str], stored.get("pending", []))))


def parse(document: object) -> Additions:
    """What an administrator's file adds; raises SchemaError with every mistake that can be seen without the directory."""
    problems: list[str] = []
    bundle = _parse_bundle(document, problems)
    for schema in bundle.schemas:
        problems += mistakes.in_schema(schema)
    for resource_type in bundle.resource_types:
        problems += mistakes.in_type(resource_type)
    if not (bundle.schemas or bundle.resource_types or bundle.extensions):
        problems.append("The bundle holds nothing that could be added.")
    if problems:
        raise SchemaError(problems)
    added = _additions_of(bundle, problems)
    if problems:
        raise SchemaError(problems)
    return added


def merge(current: Additions, added: Additions) -> Additions:
    """The additions with these put in: a schema or type that was there before is replaced, with its links to types."""
    renewed = {urn.lower() for urn in added.schemas}
    schemas = {urn: document for urn, document in current.schemas.items() if urn.lower() not in renewed}
    links = {
        name: tuple(link for link in of_type if link.schema.lower() not in renewed)
        for name, of_type in current.extensions.items()
    }
    for name, of_type in added.extensions.items():
        given = {link.schema.lower() for link in of_type}
        links[name] = (*(link for link in links.get(name, ()) if link.schema.lower() not in given), *of_type)
    types = {name: each for name, each in current.resource_types.items() if name.lower() not in _lower(added.resource_types)}
    return Additions(schemas | dict(added.schemas), types | dict(added.resource_types), links, current.pending)


def without_schema(current: Additions, urn: str) -> Additions:
    """The additions less that schema and its links to types."""
    schemas = {key: document for key, document in current.schemas.items() if key.lower() != urn.lower()}
    links = {
        name: tuple(link for link in of_type if link.schema.lower() != urn.lower())
        for name, of_type in current.extensions.items()
    }
    return replace(current, schemas=schemas, extensions=links)


def without_type(current: Additions, name: str) -> Additions:
    """The additions less that type and the schemas that no other type uses."""
    types = {key: document for key, document in current.resource_types.items() if key.lower() != name.lower()}
    links = {key: of_type for key, of_type in current.extensions.items() if key.lower() != name.lower()}
    rest = replace(current, resource_types=types, extensions=links)
    used = {urn.lower() for urn in _used_urns(rest)}
    return replace(rest, schemas={urn: document for urn, document in rest.schemas.items() if urn.lower() in used})


def build(additions: Additions, version: int) -> Catalog:
    """The directory's catalog: the standard and what was added; raises SchemaError when they do not fit together."""
    problems: list[str] = []
    schemas = [*catalog.standard_schemas(), *(parse_schema(document) for document in additions.schemas.values())]
    types = [*STANDARD_TYPES, *(parse_resource_type(document) for document in additions.resource_types.values())]
    names = {each.name.lower(): each.name for each in types}
    problems += [
        f"There is no resource type {name!r} to extend; there are {', '.join(names.values())}."
        for name, links in additions.extensions.items()
        if links and name.lower() not in names
    ]
    used = {urn.lower() for urn in _used_urns(additions)}
    problems += [f"The schema {urn} belongs to no resource type." for urn in additions.schemas if urn.lower() not in used]
    try:
        built = catalog.build_catalog(version, schemas, [_extended(each, additions, schemas) for each in types])
    except SchemaError as error:
        raise SchemaError(problems + error.problems) from None
    if problems:
        raise SchemaError(problems)
    return built


def _extended(resource_type: ResourceType, additions: Additions, schemas: Iterable[Schema]) -> ResourceType:
    """The type with the added extensions, each under the URN as its schema writes it."""
    urns = {schema.id.lower(): schema.id for schema in schemas}
    given = [
        *resource_type.extensions,
        *(link for name, links in additions.extensions.items() if name.lower() == resource_type.name.lower() for link in links),
    ]
    own = {urns.get(link.schema.lower(), link.schema): link.required for link in given}
    extensions = tuple(SchemaExtension(urn, required) for urn, required in own.items())
    return replace(resource_type, schema=urns.get(resource_type.schema.lower(), resource_type.schema), extensions=extensions)


def _used_urns(additions: Additions) -> list[str]:
    types = [parse_resource_type(document) for document in additions.resource_types.values()]
    own = [urn for each in types for urn in (each.schema, *(link.schema for link in each.extensions))]
    return own + [link.schema for links in additions.extensions.values() for link in links]


# --------------------------------------------------------------------------- reading a file


@dataclass(slots=True)
class _Bundle:
    schemas: list[Document]
    resource_types: list[Document]
    extensions: Mapping[str, list[object]]


def _parse_bundle(document: object, problems: list[str]) -> _Bundle:
    if not isinstance(document, dict):
        raise SchemaError(["The file must hold one object: a schema, or a bundle of schemas, resourceTypes and extensions."])
    if "attributes" in document or "id" in document:
        return _Bundle([document], [], {})
    if not any(key in document for key in _BUNDLE_KEYS):
        raise SchemaError(
            ["The file holds neither a schema (id, attributes) nor a bundle (schemas, resourceTypes, extensions)."]
        )
    problems += mistakes.unknown_keys("The bundle", document, _BUNDLE_KEYS)
    lists: list[list[Document]] = []
    for key in ("schemas", "resourceTypes"):
        entries = document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            problems.append(f"{key} must be a list of objects.")
            entries = []
        lists.append(entries)
    extensions = document.get("extensions", {})
    if not isinstance(extensions, dict) or not all(isinstance(entries, list) for entries in extensions.values()):
        problems.append("extensions must be an object from the names of resource types to lists of schema URNs.")
        extensions = {}
    return _Bundle(lists[0], lists[1], extensions)


def _additions_of(bundle: _Bundle, problems: list[str]) -> Additions:
    links: dict[str, list[SchemaExtension]] = {}
    for name, entries in bundle.extensions.items():
        links[name] = [link for entry in entries if (link := _parse_link(name, entry, problems)) is not None]
    schemas: dict[str, Document] = {}
    for document in bundle.schemas:
        urn = cast(str, document["id"])  # parse_schema has accepted it
        if urn.lower() in _lower(schemas):
            problems.append(f"The schema {urn} is defined twice.")
        schemas[urn] = document
        for name in _extended_types(document, bundle, problems):
            if urn.lower() not in {link.schema.lower() for link in links.get(name, [])}:
                links.setdefault(name, []).append(SchemaExtension(urn, document.get("required") is True))
    types = {cast(str, document["name"]): document for document in bundle.resource_types}
    if len(_lower(types)) < len(bundle.resource_types):
        problems.append("A resource type is defined twice.")
    return Additions(schemas, types, {name: tuple(of_type) for name, of_type in links.items()})


def _extended_types(document: Document, bundle: _Bundle, problems: list[str]) -> list[str]:
    extends = document.get("extends")
    if extends is None:
        # A schema alone is there to extend people; in a bundle the types and extensions say what it is for.
        is_alone = len(bundle.schemas) == 1 and not bundle.resource_types and not bundle.extensions
        return ["User"] if is_alone else []
    if not isinstance(extends, list) or not all(isinstance(name, str) for name in extends):
        problems.append(f'extends of the schema {document["id"]} must be a list of resource types, such as ["User"].')
        return []
    return extends


def _parse_link(name: str, entry: object, problems: list[str]) -> SchemaExtension | None:
    if isinstance(entry, str):
        return SchemaExtension(entry)
    if isinstance(entry, dict) and isinstance(entry.get("schema"), str):
        problems += mistakes.in_link(name, entry)
        return SchemaExtension(entry["schema"], entry.get("required") is True)
    problems.append(f"extensions of {name} must list schema URNs, or objects with schema and required.")
    return None


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}
