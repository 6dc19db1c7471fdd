"""Who asks: the bearer token of a request as a grant (RFC 6750, RFC 7644 §2).

Grants are remembered for one second, so that a revoked or expired token is refused within that time on every node
(DECISIONS 22) and a busy provider costs one look-up a second.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from scimhub.directory.ports import DirectoryStore
from scimhub.directory.records import Grant, Permission
from scimhub.directory.sources import digest_of
from scimhub.scim.errors import ScimError
from scimhub.web.exchange import Request

REMEMBERED_SECONDS = 1.0
_MOST_REMEMBERED = 10_000
_CHALLENGE = 'Bearer realm="scimhub"'


class Refused(Exception):
    """The request is not let in; ``challenge`` is the WWW-Authenticate header (RFC 6750 §3)."""

    def __init__(self, status: int, detail: str, error: str | None) -> None:
        super().__init__(detail)
        self.fault = ScimError(status, None, detail)
        # RFC 6750 §3.1: no error code for a request that carried no credentials at all.
        self.challenge = _CHALLENGE if error is None else f'{_CHALLENGE}, error="{error}"'


class Admission(NamedTuple):
    """A grant, and how long it may be taken for what the database has: until so many seconds on the gatekeeper's clock."""

    grant: Grant
    until: float


class Gatekeeper:
    """Finds the grant of a token, and keeps when each token was last used until somebody collects it."""

    def __init__(self, store: DirectoryStore, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        # By the Authorization header in its usual writing, so that a request's own can be looked up unread.
        self._remembered: dict[bytes, Admission] = {}
        self._last_used: dict[str, str] = {}

    async def admit(self, request: Request, now: str) -> Admission:
        """The grant of the request's bearer token; raises Refused."""
        in_url = _is_in_url(request)
        admission = None if in_url else self._recall(request.headers.get(b"authorization", b""))
        if admission is None:
            admission = await self._find(bearer(request))
        if admission is None or admission.grant.token.revoked is not None:
            raise Refused(401, "The bearer token is not known; create one with: scimhub token create.", "invalid_token")
        token = admission.grant.token
        if token.has_expired(now):
            raise Refused(401, f"The bearer token expired on {token.expires}; create a new one.", "invalid_token")
        self._last_used[token.id] = now
        return admission

    def admit_again(self, admission: Admission, request: Request, now: str) -> bool:
        """Let a request in that has the same headers as an admitted one; False where it must be looked at like any other."""
        token = admission.grant.token
        if token.has_expired(now) or admission.until <= self._monotonic() or _is_in_url(request):
            return False
        self._last_used[token.id] = now
        return True

    def _recall(self, header: bytes) -> Admission | None:
        remembered = self._remembered.get(header)
        return remembered if remembered is not None and remembered.until > self._monotonic() else None

    async def _find(self, secret: str) -> Admission | None:
        header = f"Bearer {secret}".encode()
        recalled = self._recall(header)
        if recalled is not None:
            return recalled
        now = self._monotonic()
        # Looked up by digest: the database holds no secret, and its index does not compare secrets byte by byte.
        grant = await self._store.find_grant(digest_of(secret))
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        if grant is None:
            return None
        admission = self._remembered[header] = Admission(grant, now + REMEMBERED_SECONDS)
        return admission

    def collect_last_used(self) -> Mapping[str, str]:
        """The tokens used since the last call, by id, with the time of their last use."""
        used, self._last_used = self._last_used, {}
        return used


def require(grant: Grant, permission: Permission) -> None:
    """Raises Refused 403 unless the token has the permission (RFC 6750 §3.1 insufficient_scope)."""
    if permission not in grant.token.permissions:
        raise Refused(
            403, f"The token may not {permission}; create one with the permission {permission}.", "insufficient_scope"
        )


def _is_in_url(request: Request) -> bool:
    return b"access_token=" in request.query_string


def bearer(request: Request) -> str:
    if _is_in_url(request):
        # RFC 6750 §2.3, §5.3: a token in a URL ends in logs.
        raise Refused(400, "Send the token in the Authorization header, never in the URL.", "invalid_request")
    header = request.header(b"authorization")
    if header is None:
        raise Refused(401, "The request has no Authorization header; send Authorization: Bearer <token>.", None)
    scheme, _, secret = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "The Authorization header is not of the scheme Bearer.", None)
    secret = secret.strip()
    if not secret or not secret.isascii() or " " in secret or len(secret) > 4096:
        raise Refused(401, "The Authorization header holds no bearer token.", "invalid_token")
    return secret
