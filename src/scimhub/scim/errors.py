"""The one fault that the protocol knows, and a constructor for each of its kinds (RFC 7644 §3.12, RFC 9865 §2.1).

Callers branch on ``scim_type``. A detail is one sentence for the administrator who reads it in the identity
provider's console: what was wrong, where, and what would be right. It never holds a secret.
"""

from typing import Literal

ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"

ScimType = Literal[
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
]


class ScimError(Exception):
    """A request that is refused, with the HTTP status and SCIM error keyword of the answer."""

    def __init__(self, status: int, scim_type: ScimType | None, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.scim_type = scim_type
        self.detail = detail

    def body(self) -> dict[str, object]:
        """The error message of RFC 7644 §3.12; ``status`` is a string there."""
        message: dict[str, object] = {"schemas": [ERROR_SCHEMA], "status": str(self.status)}
        if self.scim_type is not None:
            message["scimType"] = self.scim_type
        message["detail"] = self.detail
        return message


def invalid_filter(detail: str) -> ScimError:
    return ScimError(400, "invalidFilter", detail)


def too_many(detail: str) -> ScimError:
    return ScimError(400, "tooMany", detail)


def uniqueness(detail: str) -> ScimError:
    # RFC 7644 §3.3 says 409; RFC 7643 §7 would also allow 400.
    return ScimError(409, "uniqueness", detail)


def mutability(detail: str) -> ScimError:
    return ScimError(400, "mutability", detail)


def invalid_syntax(detail: str) -> ScimError:
    return ScimError(400, "invalidSyntax", detail)


def invalid_path(detail: str) -> ScimError:
    return ScimError(400, "invalidPath", detail)


def no_target(detail: str) -> ScimError:
    return ScimError(400, "noTarget", detail)


def invalid_value(detail: str) -> ScimError:
    return ScimError(400, "invalidValue", detail)


def invalid_version(detail: str) -> ScimError:
    return ScimError(400, "invalidVers", detail)


def sensitive(detail: str) -> ScimError:
    # RFC 7644 §7.5.2: the one keyword that goes with 403.
    return ScimError(403, "sensitive", detail)


def invalid_cursor(detail: str) -> ScimError:
    return ScimError(400, "invalidCursor", detail)


def expired_cursor(detail: str) -> ScimError:
    return ScimError(400, "expiredCursor", detail)


def invalid_count(detail: str) -> ScimError:
    return ScimError(400, "invalidCount", detail)


def not_found(detail: str) -> ScimError:
    return ScimError(404, None, detail)
