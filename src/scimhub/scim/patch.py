"""PATCH: a message read to a Patch, and a Patch applied to a document (RFC 7644 §3.5.2).

Everything is read and checked before anything is applied, and applying makes a new document, so that a PATCH happens as
a whole or not at all. Members of a group and ``externalId`` never reach the document: they are given apart.
"""

from collections.abc import Mapping
from typing import NamedTuple

from scimhub.scim import dialects, edits, errors, resource
from scimhub.scim.catalog import Kind
from scimhub.scim.dialects import Dialect
from scimhub.scim.edits import Edit
from scimhub.scim.errors import ScimError
from scimhub.scim.members import MemberOperations
from scimhub.scim.notes import Notes
from scimhub.scim.operations import ExternalIdEdit, Reader

__all__ = ["ExternalIdEdit", "MemberOperations", "Patch", "apply_patch", "parse_patch"]

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_OF_A_MESSAGE = frozenset(("schemas", "Operations"))
# More than any provider sends in one message; the limit of the body's size comes first for most.
MAX_OPERATIONS = 50_000
# Half a second of the hub's time. A body of the largest size could ask for hours: operations times values times tests.
MAX_COMPARISONS = 500_000


class Patch(NamedTuple):
    """What a PATCH wants, in its three parts; None where it wants nothing."""

    edits: tuple[Edit, ...]
    member_edit: MemberOperations | None
    external_id: ExternalIdEdit | None

    @property
    def touches_document(self) -> bool:
        return bool(self.edits)


def parse_patch(body: object, kind: Kind, dialect: Dialect, notes: Notes, stored_id: str) -> Patch:
    """The Patch that the message asks for. ``stored_id`` is the id of the resource, which may be named but not changed.

    Raises ScimError, whose detail names the number of the operation, counted from 1.
    """
    reader = Reader(kind, dialect, notes, stored_id)
    for number, operation in enumerate(_operations(body, dialect, notes), start=1):
        try:
            reader.read(number, operation)
        except ScimError as error:
            raise _numbered(error, number) from error
    return Patch(tuple(reader.edits), reader.member_edit.operations(), reader.external_id)


def apply_patch(document: Mapping[str, object], patch: Patch, kind: Kind, dialect: Dialect, notes: Notes) -> dict[str, object]:
    """The document after the patch, as a new one; what is given stays as it is. Raises ScimError."""
    changed = dict(document)
    comparisons = 0
    for edit in patch.edits:
        try:
            comparisons += edits.effort(edit, changed)
            if comparisons > MAX_COMPARISONS:
                raise _too_laborious(edit)
            edits.apply_edit(edit, changed, kind, dialect, notes)
        except ScimError as error:
            raise _numbered(error, edit.number) from error
    _check_extensions(document, changed, kind)
    return resource.with_schemas(changed, kind)


def _operations(body: object, dialect: Dialect, notes: Notes) -> list[object]:
    message = dialects.message_fields(body, _OF_A_MESSAGE, "The message", dialect, notes)
    dialects.check_message_schema(message.get("schemas"), PATCH_URN, dialect, notes)
    operations = message.get("Operations")
    if isinstance(operations, dict) and dialects.allows(dialect, "object-for-list", notes):
        return [operations]
    if not isinstance(operations, list):
        raise errors.invalid_syntax("The message must have Operations, a list with at least one operation.")
    if not operations and not dialects.allows(dialect, "operations-empty", notes):
        raise errors.invalid_syntax("Operations is empty; send at least one operation.")
    if len(operations) > MAX_OPERATIONS:
        raise ScimError(413, None, f"The message has {len(operations)} operations; at most {MAX_OPERATIONS} are read.")
    return operations


def _check_extensions(before: Mapping[str, object], after: Mapping[str, object], kind: Kind) -> None:
    """Raise ScimError when a required extension is gone, or a new one lacks a required attribute (RFC 7643 §6)."""
    for urn, schema in kind.extensions.items():
        part = after.get(urn)
        if part is None and urn in before and urn in kind.required_extensions:
            raise errors.mutability(f"{kind.name} requires the extension {urn}; its last attribute cannot be removed.")
        if not isinstance(part, dict) or urn in before:
            continue
        for attribute in schema.attributes:
            if attribute.required and attribute.returned != "never" and attribute.name not in part:
                raise errors.invalid_value(f"{urn}:{attribute.name} is required; send it with the extension's first attribute.")


def _too_laborious(edit: Edit) -> ScimError:
    return ScimError(
        413,
        None,
        f"Up to here the message takes more than {MAX_COMPARISONS} comparisons with values of {edit.target.key} and others;"
        " send its operations in several messages, or many values in one operation.",
    )


def _numbered(error: ScimError, number: int) -> ScimError:
    return ScimError(error.status, error.scim_type, f"Operation {number}: {error.detail}")
