"""Why the store refused a write, as the error that its client gets."""

from collections.abc import Sequence

from scimhub.scim import errors
from scimhub.scim.catalog import Kind
from scimhub.scim.errors import ScimError


def taken(kind: Kind, path: str, holder: str) -> ScimError:
    """The refusal of a value that another resource has, which is the one with the id ``holder``."""
    return errors.uniqueness(f"Another {kind.name}, with the id {holder}, has the same {path}; it must be unique.")


def members_missing(ids: Sequence[str]) -> ScimError:
    """The refusal of members that are no resources of the directory."""
    return errors.invalid_value(
        f"members: no resource of this directory has the id {_listed(ids)}; create it first, then add it."
    )


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(repr(id[:80]) for id in ids)


def absent(kind: Kind, id: str) -> ScimError:
    """The refusal of what is asked of a resource that is not there."""
    return errors.not_found(f"There is no {kind.name} with the id {id[:80]!r}.")


def stale(current: int) -> ScimError:
    """The refusal of a write whose precondition names another version than the ``current`` one."""
    # RFC 7644 §3.14: a version that does not match is 412, never 409.
    return ScimError(
        412, None, f"The resource has changed: it is at version {current}, which If-Match does not name; read it again."
    )
