"""What is wrong with an administrator's definitions beyond what RFC 7643 says, a sentence for each mistake.

They are asked of what is added, never of what is stored: what was taken once stays readable.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from scimhub.scim import catalog, paths
from scimhub.scim.catalog import Catalog
from scimhub.scim.schema import Attribute, Schema, SchemaError, parse_resource_type, parse_schema

Document = Mapping[str, object]

_SCHEMA_KEYS = ("schemas", "id", "name", "description", "attributes", "meta", "extends", "required")
_TYPE_KEYS = ("schemas", "id", "name", "endpoint", "description", "schema", "schemaExtensions", "meta")
_ATTRIBUTE_KEYS = (
    *("name", "type", "multiValued", "description", "required", "canonicalValues", "caseExact", "mutability"),
    *("returned", "uniqueness", "referenceTypes", "subAttributes", "indexed"),
)
_LINK_KEYS = ("schema", "required")
# What a URN may be of that is to stand in attribute paths, which know no brackets, in lists of them, and in the address of
# the schema; at its end a colon or a point would belong to what follows.
_ADDRESSABLE = re.compile(r"[A-Za-z0-9+=@;$_!*.:-]*[A-Za-z0-9+=@;$_!*-]")
_RESERVED_TYPES = {"user", "group", "schema", "resourcetype", "serviceproviderconfig"}


def misfits(built: Catalog) -> list[str]:
    """What is wrong with schemas beside each other, a sentence for each mistake."""
    problems = []
    for kind in built.kinds.values():
        if kind.base.id in kind.extensions:
            problems.append(f"The resource type {kind.name} extends its own schema {kind.base.id}.")
        problems += _called_alike([kind.base, *kind.extensions.values()])
    return list(dict.fromkeys(problems))


def _names(schema: Schema) -> Iterator[str]:
    """The names in paths of all attributes of the schema and of their parts."""
    for attribute in schema.attributes:
        yield attribute.name
        yield from (f"{attribute.name}.{sub.name}" for sub in attribute.sub_attributes)


def _called_alike(schemas: Sequence[Schema]) -> list[str]:
    """Sentences on schemas whose URN is also the path of an attribute: nobody could tell which of them is meant."""
    homes = {f"{schema.id}:{name}".lower(): schema.id for schema in schemas for name in _names(schema)}
    return [
        f"The schema {schema.id} is called like an attribute of {homes[schema.id.lower()]}."
        for schema in schemas
        if schema.id.lower() in homes
    ]


def in_schema(document: Document) -> list[str]:
    what = f"The schema {document.get('id')}"
    problems = unknown_keys(what, document, _SCHEMA_KEYS)
    problems += _of_other_types(what, document, ("name", "description"), str, "a text")
    problems += _of_other_types(what, document, ("required",), bool, "true or false")
    problems += _entry_problems(document.get("attributes"), "")
    try:
        schema = parse_schema(document)
    except SchemaError as error:
        return problems + error.problems
    if any(schema.id.lower() == standard.id.lower() for standard in catalog.standard_schemas()):
        problems.append(
            f"The schema {schema.id} is a standard one, which cannot be changed; extend the type by a schema of your own."
        )
    if not _ADDRESSABLE.fullmatch(schema.id):
        problems.append(
            f"The schema's id {schema.id} cannot stand in paths and addresses; it must be of letters, digits and"
            " + - . : = @ ; $ _ ! *, and end neither in a colon nor in a point."
        )
    for attribute in schema.attributes:
        problems += _attribute_problems(attribute, attribute.name)
        problems += _length_problems(schema, attribute.name)
        for sub in attribute.sub_attributes:
            problems += _attribute_problems(sub, f"{attribute.name}.{sub.name}")
            problems += _sub_problems(attribute, sub, f"{attribute.name}.{sub.name}")
            problems += _length_problems(schema, f"{attribute.name}.{sub.name}")
    return problems


def in_type(document: Document) -> list[str]:
    what, name = f"The resource type {document.get('name')}", document.get("name")
    problems = unknown_keys(what, document, _TYPE_KEYS) + _of_other_types(what, document, ("description",), str, "a text")
    if document.get("id", name) != name:
        problems.append(f"{what} has the id {document['id']!r}; leave it out, the name is the id.")
    entries = document.get("schemaExtensions")
    for entry in entries if isinstance(entries, list) else []:
        problems += in_link(str(name), entry) if isinstance(entry, dict) else []
    try:
        resource_type = parse_resource_type(document)
    except SchemaError as error:
        return problems + error.problems
    if resource_type.name.lower() in _RESERVED_TYPES:
        problems.append(
            f"The resource type {resource_type.name} is a standard one, which cannot be changed; choose another name."
        )
    return problems


def in_link(name: str, entry: Document) -> list[str]:
    what = f"An extension of {name}"
    return unknown_keys(what, entry, _LINK_KEYS) + _of_other_types(what, entry, ("required",), bool, "true or false")


def _entry_problems(entries: object, parent: str) -> list[str]:
    problems = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            where = f"{parent}{entry.get('name')}"
            problems += unknown_keys(f"The attribute {where}", entry, _ATTRIBUTE_KEYS)
            problems += _of_other_types(f"The attribute {where}", entry, ("description",), str, "a text")
            problems += _of_other_types(f"The attribute {where}", entry, ("subAttributes",), list, "a list of attributes")
            problems += _entry_problems(entry.get("subAttributes"), f"{where}.")
    return problems


def _of_other_types(what: str, document: Document, keys: Iterable[str], wanted: type, called: str) -> list[str]:
    found = [(key, document[key]) for key in keys if document.get(key) is not None]
    return [f"{what} has {key} {value!r}; it must be {called}." for key, value in found if not isinstance(value, wanted)]


def unknown_keys(what: str, document: Document, known: Iterable[str]) -> list[str]:
    problems = []
    for key in document:
        if key not in known:
            # A slip such as `multivalued` would else be a characteristic that silently does not hold.
            close = get_close_matches(str(key), list(known), 1)
            problems.append(
                f"{what} has the key {key!r}, which means nothing{f'; perhaps {close[0]} is meant' if close else ''}."
            )
    return problems


def _attribute_problems(attribute: Attribute, where: str) -> list[str]:
    problems = []
    if attribute.mutability == "writeOnly" and attribute.returned != "never":
        problems.append(f"The attribute {where} is writeOnly; then returned must be never.")  # RFC 7643 §7
    if attribute.mutability == "readOnly" and attribute.required:
        problems.append(f"The attribute {where} is readOnly and required; no source could ever give it.")
    is_looked_up = attribute.indexed or attribute.uniqueness != "none"
    if is_looked_up and attribute.returned == "never":
        problems.append(f"The attribute {where} is never returned, hence not kept; it can be neither unique nor indexed.")
    if is_looked_up and attribute.type in ("complex", "boolean"):
        problems.append(f"The attribute {where} is of type {attribute.type}, which can be neither unique nor indexed.")
    return problems


def _sub_problems(attribute: Attribute, sub: Attribute, where: str) -> list[str]:
    problems = []
    if sub.required and sub.returned == "never":
        problems.append(
            f"The attribute {where} is required and never returned, hence not kept; nobody could tell that it is there."
        )
    if sub.indexed and sub.returned != "never" and attribute.returned == "never":
        problems.append(f"The attribute {where} is never returned, as little as {attribute.name}, hence not kept nor indexed.")
    return problems


def _length_problems(schema: Schema, name: str) -> list[str]:
    length = len(f"{schema.id}:{name}")
    if length <= paths.MAX_LENGTH:
        return []
    return [f"The attribute {name[:80]} has a path of {length} characters; at most {paths.MAX_LENGTH} are read."]
