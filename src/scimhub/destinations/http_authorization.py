"""Who we are to a destination: nobody, a bearer token, a name and a password, an OAuth 2 client, or a certificate.

The part that is secret comes from the destination's secrets and never stands in its configuration. A token of OAuth 2 is
fetched once for all requests that need it, and again before it ends.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote_plus, urlencode

import orjson
from multidict import istr
from yarl import URL

from scimhub.destinations import client_tls, http_client, http_configuration, http_outcomes, redaction
from scimhub.destinations.client_tls import Unusable
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_client import HttpClient
from scimhub.destinations.http_outcomes import Failure
from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Purpose, Retry, Secret

Manner = Literal["none", "bearer", "basic", "oauth", "mtls"]
AUTHORIZATION: Final = istr("Authorization")

# What belongs to each manner: the keys that must be there, and those that may.
_KEYS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "none": ((), ()),
    "bearer": ((), ()),
    "basic": (("username",), ()),
    "oauth": (("token_url", "client_id"), ("scope", "audience", "credentials")),
    "mtls": ((), ()),
}
_NO_TOKEN_URL: Final = "The auth needs token_url, where tokens are fetched, such as https://login.example.com/token."  # noqa: S105
# A token whose end is not told is taken to hold so many seconds.
_UNTOLD_LIFETIME: Final = 300.0
# It is fetched again so many seconds before its end, or a tenth of its life before.
_EARLY: Final = 60.0
# One that is so many seconds old and may not do what is asked is fetched again: what a client may do often stands in it.
_RIGHTS_BELIEVED: Final = 60.0
_TOKEN_TIMEOUT: Final = 15.0
_LONGEST_ANSWER: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """How to authorise, as configured. ``credentials`` says where an OAuth 2 client proves itself: RFC 6749 §2.3.1."""

    type: Manner = "bearer"
    username: str = ""
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    audience: str = ""
    credentials: Literal["basic", "body"] = "basic"


def check(value: object, policy: Policy, problems: list[str]) -> None:
    """Add every mistake of the configured ``auth``."""
    if not isinstance(value, Mapping) or value.get("type") not in tuple(_KEYS):
        problems.append(f'The auth must be an object whose type is one of {", ".join(_KEYS)}, such as {{"type": "bearer"}}.')
        return
    needed, possible = _KEYS[str(value["type"])]
    known = dict.fromkeys(("type", *needed, *possible))
    for key in value:
        if key in ("password", "token", "secret", "client_secret", "private_key"):
            problems.append(f"The auth holds {key}; a secret is given apart (--secret-file), so that nobody is shown it.")
        elif key not in known:
            problems.append(http_configuration.unknown_key(f"The auth {value['type']}", str(key), known))
    for key in known:
        given = value.get(key, "")
        if not isinstance(given, str) or (not given and key in needed and key != "token_url"):
            problems.append(f"The auth {value['type']} needs {key}, a text.")
    if ":" in str(value.get("username", "")):
        problems.append("The username of the auth has a colon, which nobody could tell from the end of it (RFC 7617).")
    if "token_url" in needed:
        http_configuration.check_url(value.get("token_url"), policy, problems, _NO_TOKEN_URL, "token_url")
    if value.get("credentials", "basic") not in ("basic", "body"):
        problems.append("The credentials of the auth must be basic or body.")


def read(checked: Mapping[str, str]) -> Wish:
    """What ``check`` let pass, as a value."""
    return Wish(**checked)  # type: ignore[arg-type]  # its keys and values were checked


def purpose(value: object) -> Purpose | None:
    """The password of the configured ``auth``, which may have mistakes; None when it is to have none."""
    return None if isinstance(value, Mapping) and value.get("type") == "none" else "password"


def check_secret(value: object, text: str) -> None:
    """Raise Invalid for a secret that the configured ``auth`` cannot use; what is said never holds it."""
    if not isinstance(value, Mapping) or value.get("type") != "mtls":
        if not _is_line(text):
            raise Invalid(["The secret must be one line of printable ASCII characters."])
        return
    try:
        tls_of(text)
    except Unusable as unusable:
        raise Invalid([f"{unusable}"]) from unusable


class Authorizer:
    """Gives the header of each request. ``secrets`` are those that hold, the newest first; the first is used."""

    def __init__(self, wish: Wish, secrets: Sequence[Secret], policy: Policy, now_seconds: Callable[[], float]) -> None:
        self._wish = wish
        self._secret = next((secret.value.decode() for secret in secrets if secret.purpose == "password"), None)
        self._now_seconds = now_seconds
        self._client = HttpClient(policy, 1, _TOKEN_TIMEOUT)
        self._fetching: asyncio.Task[str] | None = None
        self._token = ""
        # Requests may be under way with it, and their answers repeat it.
        self._former_token = ""
        self._asked_at = self._ends = 0.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is sent and must not be shown: the secret as it is and within a form, and the tokens of OAuth 2."""
        secret = self._secret or ""
        return secret, quote_plus(secret), self._token, self._former_token

    def tls(self) -> ssl.SSLContext | None:
        """What proves who we are in TLS; raises Failure when the secret is no certificate with its key."""
        if self._wish.type != "mtls" or self._secret is None:
            return None
        try:
            return tls_of(self._secret)
        except Unusable as unusable:
            raise Failure(Retry(f"{unusable}", "destination")) from unusable

    async def header(self) -> str | None:
        """The value of ``Authorization``, None for none; raises Failure."""
        wish = self._wish
        if wish.type == "none":
            return None
        if self._secret is None:
            raise Failure(
                Retry("There is no secret that holds; give the application's: scimhub destination rotate.", "destination")
            )
        if wish.type != "mtls" and not _is_line(self._secret):
            # It was brought as a certificate, before the auth was made another one.
            reason = (
                f"The secret is no {wish.type} secret, which is one line; bring the application's: scimhub destination rotate."
            )
            raise Failure(Retry(reason, "destination"))
        match wish.type:
            case "bearer":
                return f"Bearer {self._secret}"
            case "basic":
                return _basic(wish.username, self._secret)
            case "oauth":
                return f"Bearer {await self._current_token(self._secret)}"
            case _:
                return None

    def forget_refused(self, header: str | None, status: int) -> bool:
        """Forget the token of that header if the answer refuses it; whether the request may do better at once with another."""
        if self._wish.type != "oauth":
            return False
        if status == 401 or (status == 403 and self._now_seconds() - self._asked_at >= _RIGHTS_BELIEVED):
            self.forget_token(header)
        # With 403 most often the client itself may not: whether it may by now the next attempt tells.
        return status == 401

    def forget_token(self, header: str | None) -> None:
        """The token of that header was refused: the next request fetches another one."""
        if header == f"Bearer {self._token}":
            self._ends = 0.0

    async def close(self) -> None:
        """End what is being fetched."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.close()

    async def _current_token(self, secret: str) -> str:
        if self._now_seconds() < self._ends:
            return self._token
        if self._fetching is None:
            # One for all that wait; it must not end when the first of them does.
            self._fetching = asyncio.create_task(self._fetch(secret))
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)

    def _fetched(self, task: asyncio.Task[str]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # looked at, also when nobody waits any more

    async def _fetch(self, secret: str) -> str:
        wish, headers = self._wish, http_client.own_headers()
        form = {"grant_type": "client_credentials", "scope": wish.scope, "audience": wish.audience}
        if wish.credentials == "body":
            form |= {"client_id": wish.client_id, "client_secret": secret}
        else:
            # RFC 6749 §2.3.1: both are form-encoded before they are joined.
            headers[AUTHORIZATION] = _basic(quote_plus(wish.client_id), quote_plus(secret))
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers["Accept"] = "application/json"
        url, asked_at = URL(wish.token_url), self._now_seconds()
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        try:
            answer = await self._client.ask("POST", url, headers, body, limit=_LONGEST_ANSWER, patience=_TOKEN_TIMEOUT)
        except http_client.FAULTS as error:
            failed = http_outcomes.of_failure(error, url.host or "", _TOKEN_TIMEOUT)
            reason = getattr(failed, "reason", "")
            raise Failure(Retry(f"No token could be fetched. {reason}", "destination")) from error
        former, (self._token, lifetime) = self._token, self._read_token(answer)
        self._former_token, self._asked_at = former, asked_at
        self._ends = asked_at + lifetime - min(_EARLY, lifetime / 10)
        return self._token

    def _read_token(self, answer: http_client.Answer) -> tuple[str, float]:
        """The token, and for how many seconds it holds (RFC 6749 §5.1)."""
        if answer.status != 200:
            excerpt = redaction.excerpt(answer.body, self.secrets)
            after = http_outcomes.parse_retry_after(answer.headers.get("Retry-After"), self._now_seconds())
            shown = http_outcomes.shown_status(answer.status)
            reason = f"No token could be fetched: the authorisation server answered {shown}."
            raise Failure(Retry(reason, "destination", after, answer.status, excerpt))
        try:
            told = orjson.loads(answer.body)
        except ValueError:
            told = None
        token = told.get("access_token") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(token, str) or not http_configuration.is_field_value(token):
            raise Failure(Retry("The authorisation server answered 200 without an access_token.", "destination", status=200))
        lifetime = told.get("expires_in")
        if isinstance(lifetime, (int, float)) and not isinstance(lifetime, bool) and lifetime > 0:
            return token, float(lifetime)
        return token, _UNTOLD_LIFETIME


def tls_of(pem: str) -> ssl.SSLContext:
    """A context that shows the certificate; the text is PEM, with the unencrypted private key in it. Raises Unusable."""
    context = client_tls.context()
    with client_tls.as_file(pem) as path:
        client_tls.show(context, path, None, "The secret")
    return context


def _is_line(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
