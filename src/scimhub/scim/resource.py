"""A resource as it is sent: checked on create and replace, and brought into the form in which it is kept.

The document that is kept has canonical attribute names and every value exactly as it was sent; ``schemas`` is computed
from what is there. What the hub gives itself (``id``, ``meta``) or keeps elsewhere (``externalId``, members, groups) is
not in it. The work is compiled once for each kind and dialect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scimhub.scim import checks, dialects, errors, members, normal, paths
from scimhub.scim.catalog import COMMON_NAMES, USER_URN, AmbiguousName, Kind, Target
from scimhub.scim.checks import Check
from scimhub.scim.dialects import Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.normal import differing, differing_names, display_of, index_rows, merge_patch, normal_form, unique_rows
from scimhub.scim.notes import Notes
from scimhub.scim.schema import Attribute, Schema

__all__ = [
    "Submitted",
    "check_create",
    "check_replace",
    "differing",
    "differing_names",
    "display_of",
    "index_rows",
    "merge_patch",
    "normal_form",
    "schemas_of",
    "unique_rows",
    "with_schemas",
]


class Submitted(NamedTuple):
    """What a client sent, ready to be stored. ``members`` is None when nothing was said of them."""

    document: dict[str, object]
    external_id: str | None
    members: tuple[str, ...] | None


def check_create(body: Mapping[str, object], kind: Kind, dialect: Dialect, notes: Notes) -> Submitted:
    """The resource that a POST wants (RFC 7644 §3.3); raises ScimError."""
    plan = _plan(kind, dialect)
    body = _canonical_body(body, kind, dialect, notes)
    document = plan.document(body, notes)
    if kind.base.id == USER_URN:
        # Spec U-014: a person is active unless somebody says otherwise.
        document.setdefault("active", True)
    _check_complete(document, body, kind)
    return Submitted(with_schemas(document, kind), plan.external_id(body, notes), plan.members(body, notes, absent=None))


def check_replace(
    body: Mapping[str, object], kind: Kind, dialect: Dialect, notes: Notes, stored: Mapping[str, object]
) -> Submitted:
    """The resource that a PUT wants in place of the stored document (RFC 7644 §3.5.1); raises ScimError.

    What the body leaves out is cleared, except ``active``, whose absence says nothing about a person, and immutable
    attributes.
    """
    plan = _plan(kind, dialect)
    body = _canonical_body(body, kind, dialect, notes)
    document = plan.document(body, notes)
    if kind.base.id == USER_URN and "active" in stored:
        document.setdefault("active", stored["active"])
    _keep_immutable(document, stored, kind)
    _check_complete(document, body, kind)
    # DECISIONS 16: a strict PUT without members clears them, a lenient one does not speak of them.
    absent = None if dialect.is_lenient else ()
    return Submitted(with_schemas(document, kind), plan.external_id(body, notes), plan.members(body, notes, absent=absent))


def schemas_of(document: Mapping[str, object], kind: Kind) -> list[str]:
    """The base schema, and the extensions that the document has values of (RFC 7643 §3, spec C-005)."""
    return [kind.base.id, *(urn for urn in kind.extensions if urn in document)]


def with_schemas(document: Mapping[str, object], kind: Kind) -> dict[str, object]:
    """The document with ``schemas`` in front, as its attributes imply it."""
    schemas = schemas_of(document, kind)
    if next(iter(document), "") == "schemas":
        return {**document, "schemas": schemas}
    return {"schemas": schemas, **{name: value for name, value in document.items() if name != "schemas"}}


def check_schemas(value: object, kind: Kind, dialect: Dialect, notes: Notes) -> None:
    """Raise ScimError when what was sent as ``schemas`` does not fit the kind. It is never stored, only computed."""
    if isinstance(value, str) and dialects.allows(dialect, "object-for-list", notes):
        value = [value]
    if value is not None and not isinstance(value, list):
        raise errors.invalid_syntax(f"schemas must be a list of URNs, {kind.base.id} among them.")
    is_named = False
    for urn in value or ():
        if urn == kind.base.id:
            is_named = True
            continue
        if not isinstance(urn, str):
            raise errors.invalid_syntax(f"Each of schemas must be a URN, {kind.base.id} among them.")
        is_scim1 = urn.lower().startswith("urn:scim:schemas:") and dialects.allows(dialect, "scim1-schema", notes)
        if is_scim1 or kind.is_base_urn(urn):
            is_named = True
        elif kind.extension_urn(urn) is None and not dialects.allows(dialect, "schemas-unknown", notes):
            raise errors.invalid_value(f"The schema {urn[:200]} is none of {kind.name}; leave it out of schemas.")
    if not is_named and not dialects.allows(dialect, "schemas-missing", notes):
        # RFC 7643 §3.3: the base schema is always named.
        raise errors.invalid_syntax(f"schemas must be there and name {kind.base.id}.")


# --------------------------------------------------------------------------- names


def _canonical_body(body: Mapping[str, object], kind: Kind, dialect: Dialect, notes: Notes) -> Mapping[str, object]:
    """The body with canonical names at its top level; what no schema knows is dropped or refused."""
    if body.keys() <= _known_names(kind):
        return body
    parts: dict[str, object] = {}
    others: list[tuple[str, object]] = []
    for key, value in _unfolded(body, kind, dialect, notes):
        name = _top_name(key, kind)
        if name is None:
            others.append((key, value))
        elif name in parts:
            raise _twice(name)
        else:
            parts[name] = value
    for key, value in others:
        target = _target_of(key, kind) if dialect.is_lenient else None
        if target is not None and target.attribute is not None:
            is_short = ":" not in key and target.extension is not None
            notes.rewrote("short-name" if is_short else "key-as-path")
            _place(parts, target, value)
        elif ":" in key and not dialect.is_lenient:
            # Spec C-006: content of a schema that the resource type does not have.
            raise errors.invalid_value(f"The schema {key[:200]} is none of {kind.name}; leave its attributes out.")
        else:
            checks.drop_unknown(key, value, dialect, notes)
    return parts


def _unfolded(body: Mapping[str, object], kind: Kind, dialect: Dialect, notes: Notes) -> Iterator[tuple[str, object]]:
    """Names and values, those in an object under the base schema's URN, as extensions have theirs, among them."""
    for key, value in body.items():
        if isinstance(value, dict) and kind.is_base_urn(key) and dialects.allows(dialect, "key-as-path", notes):
            yield from value.items()
        else:
            yield key, value


@lru_cache(maxsize=256)
def _known_names(kind: Kind) -> frozenset[str]:
    return COMMON_NAMES | kind.extensions.keys() | {attribute.name for attribute in kind.base.attributes}


def _top_name(key: str, kind: Kind) -> str | None:
    if ":" in key:
        return kind.extension_urn(key)
    common = next((name for name in COMMON_NAMES if name.lower() == key.lower()), None)
    found = kind.base.find(key)
    return common or (found.name if found is not None else None)


def _target_of(key: str, kind: Kind) -> Target | None:
    """What a key denotes that is no plain name, such as name.givenName or a short name (DECISIONS 17)."""
    try:
        return kind.resolve(paths.parse_attribute(key), short_names=True)
    except AmbiguousName as error:
        raise errors.invalid_syntax(str(error)) from error
    except ScimError:
        return None


def _place(parts: dict[str, object], target: Target, value: object) -> None:
    """Put the value where the target says; what is there already must not say something else."""
    names = [target.extension, target.attribute.name if target.attribute else None, target.sub.name if target.sub else None]
    *steps, last = [name for name in names if name is not None]
    holder = parts
    for step in steps:
        inner = holder.get(step)
        if inner is not None and not isinstance(inner, dict):
            raise errors.invalid_value(f"The value of {step} must be an object; {target.key} is a part of it.")
        holder[step] = holder = dict(inner or {})
    if any(name.lower() == last.lower() for name in holder):
        raise _twice(target.key)
    holder[last] = value


def _twice(name: str) -> ScimError:
    return errors.invalid_syntax(f"{name} stands twice, in two spellings; send it once.")


# --------------------------------------------------------------------------- compiled checks


@dataclass(frozen=True, slots=True)
class _Plan:
    """The compiled checks of a kind for a dialect."""

    kind: Kind
    dialect: Dialect
    # By top-level name; an extension's URN has the check of its whole object.
    attributes: Mapping[str, Check]
    external: Check

    def document(self, body: Mapping[str, object], notes: Notes) -> dict[str, object]:
        check_schemas(body.get("schemas"), self.kind, self.dialect, notes)
        return checks.assigned(body, self.attributes, notes)

    def external_id(self, body: Mapping[str, object], notes: Notes) -> str | None:
        found = self.external(body.get("externalId"), notes) if body.get("externalId") is not None else None
        return found if isinstance(found, str) else None

    def members(self, body: Mapping[str, object], notes: Notes, absent: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if not self.kind.has_members:
            return None
        return members.ids_of(body["members"], self.dialect, notes) if "members" in body else absent


@lru_cache(maxsize=256)
def _plan(kind: Kind, dialect: Dialect) -> _Plan:
    attributes: dict[str, Check] = dict.fromkeys(COMMON_NAMES, checks.ignored)
    attributes |= dict.fromkeys(("schemas", "externalId"), checks.checked_elsewhere)
    attributes |= _schema_checks(kind, None, kind.base, dialect)
    if kind.has_members:
        attributes["members"] = checks.ignored
    for urn, schema in kind.extensions.items():
        parts = _schema_checks(kind, urn, schema, dialect)
        attributes[urn] = checks.object_check(parts, schema.find, f"{urn}:", dialect, _no_object(urn, dialect))
    return _Plan(kind, dialect, attributes, external_id_check(kind, dialect))


def external_id_check(kind: Kind, dialect: Dialect) -> Check:
    """The check of ``externalId``, the client's own name for a resource (RFC 7643 §3.1)."""
    return checks.checks_of(kind, None, EXTERNAL_ID, dialect).whole


EXTERNAL_ID = Attribute("externalId", case_exact=True)


def _schema_checks(kind: Kind, extension: str | None, schema: Schema, dialect: Dialect) -> dict[str, Check]:
    return {
        attribute.name: checks.ignored
        if attribute.mutability == "readOnly"
        else checks.checks_of(kind, extension, attribute, dialect).whole
        for attribute in schema.attributes
    }


def _no_object(urn: str, dialect: Dialect) -> checks.Misfit:
    def misfit(value: object, notes: Notes, check: Check) -> None:
        if value not in ("", []) or not dialects.allows(dialect, "empty-unassigned", notes):
            raise errors.invalid_value(f"The value of {urn} must be an object with the extension's attributes.")

    return misfit


# --------------------------------------------------------------------------- required and immutable attributes


@lru_cache(maxsize=256)
def _required(kind: Kind) -> tuple[tuple[Target, Attribute], ...]:
    """The attributes that must be there or have parts that must."""
    return tuple(
        (Target(extension, attribute), attribute)
        for extension, schema in _schemas(kind)
        for attribute in schema.attributes
        if attribute.mutability != "readOnly" and (attribute.required or any(sub.required for sub in attribute.sub_attributes))
    )


def _schemas(kind: Kind) -> list[tuple[str | None, Schema]]:
    return [(None, kind.base), *kind.extensions.items()]


def _check_complete(document: Mapping[str, object], body: Mapping[str, object], kind: Kind) -> None:
    """Raise ScimError when a required attribute or extension is missing (RFC 7643 §2.2, §6)."""
    for urn in kind.required_extensions:
        if urn not in document:
            raise errors.invalid_value(f"{kind.name} requires the extension {urn}; send its attributes.")
    for target, attribute in _required(kind):
        # What is never returned is not in the document, though it was sent and checked.
        holder = _holder(body if attribute.returned == "never" else document, target.extension)
        if holder is None:
            continue
        value = holder.get(attribute.name)
        if value is None and attribute.returned == "never":
            # What was sent has its names in any case.
            value = next((item for name, item in holder.items() if name.lower() == attribute.name.lower()), None)
        if attribute.required and value in (None, "", []):
            raise errors.invalid_value(f"{target.key} is required; send a value that is not empty.")
        if attribute.returned != "never":
            checks.check_required_parts(target, value)


def _holder(document: Mapping[str, object], extension: str | None) -> Mapping[str, object] | None:
    if extension is None:
        return document
    found = document.get(extension)
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=256)
def _immutable(kind: Kind) -> tuple[Target, ...]:
    """The immutable attributes of the kind, and immutable parts of singular complex ones."""
    found = []
    for extension, schema in _schemas(kind):
        for attribute in schema.attributes:
            if attribute.mutability == "immutable":
                found.append(Target(extension, attribute))
            elif not attribute.multi_valued:
                found += [
                    Target(extension, attribute, sub) for sub in attribute.sub_attributes if sub.mutability == "immutable"
                ]
    return tuple(found)


def _keep_immutable(document: dict[str, object], stored: Mapping[str, object], kind: Kind) -> None:
    """Carry stored immutable values over, or raise ScimError mutability when others were sent (RFC 7644 §3.5.1)."""
    for target in _immutable(kind):
        names = [part.name for part in (target.attribute, target.sub) if part is not None]
        path = [target.extension, *names] if target.extension else names
        old = _at(stored, path)
        if old is None or target.leaf is None:
            continue
        new = _at(document, path)
        if new is None:
            _carry(document, path, old, is_part=target.sub is not None)
        elif new != old and normal.of_attribute(target.leaf)(new) != normal.of_attribute(target.leaf)(old):
            raise errors.mutability(f"{target.key} is immutable and has another value; send that, or leave it out.")


def _at(document: Mapping[str, object], path: list[str]) -> object:
    found: object = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _carry(document: dict[str, object], path: list[str], value: object, *, is_part: bool) -> None:
    if is_part and _at(document, path[:-1]) is None:
        # The attribute it is a part of was cleared, and could be.
        return
    holder = document
    for name in path[:-1]:
        inner = holder.get(name)
        holder[name] = holder = dict(inner) if isinstance(inner, dict) else {}
    holder[path[-1]] = value
