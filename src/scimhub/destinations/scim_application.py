"""A SCIM application as its client sees it: one request at a time, and what each answer means (RFC 7644 §3).

An answer is believed only as far as it shows that a SCIM server gave it: a 404 in HTML comes from a gateway, not from who
knows that somebody is gone. What ends an attempt is raised as ``Failure``; what the caller asked to be told is returned.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from multidict import istr
from yarl import URL

from scimhub.destinations import http_client, http_outcomes, redaction
from scimhub.destinations.http_authorization import AUTHORIZATION, Authorizer
from scimhub.destinations.http_client import Answer, HttpClient
from scimhub.destinations.http_outcomes import Failure, shown_status
from scimhub.destinations.scim_app_configuration import Configuration
from scimhub.distribution.delivery import Outcome, Rejected, Retry
from scimhub.distribution.pace import Pace
from scimhub.distribution.slots import Slots

MEDIA_TYPE: Final = "application/scim+json"
ENDPOINTS: Final[Mapping[str, str]] = {"User": "/Users", "Group": "/Groups"}
_ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
# RFC 7644 §3.12, table 9: what may be shown of an error, since it is one of a closed list.
_SCIM_TYPES: Final = frozenset(
    ("invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue")
) | {"invalidVers", "sensitive"}
_OVERLOADED: Final = frozenset((429, 502, 503, 504))
_LONGEST_ANSWER: Final = 4 * 1024 * 1024
_ACCEPT, _CONTENT_TYPE, _IF_MATCH = istr("Accept"), istr("Content-Type"), istr("If-Match")
Waiting = Callable[[float], Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that the application itself gave. ``document`` is the JSON object in it, empty when there is none."""

    status: int
    document: Mapping[str, Any]
    etag: str | None
    scim_type: str

    @property
    def remote_id(self) -> str | None:
        """The id of the resource in the answer, None when there is none that could stand in a URL."""
        id = self.document.get("id")
        return id if isinstance(id, str) and id not in ("", ".", "..") and len(id) <= 1000 else None


class Application:
    """Asks one application. ``monotonic`` is a clock in seconds that only grows, ``sleep`` waits for as many."""

    def __init__(
        self,
        configuration: Configuration,
        client: HttpClient,
        authorizer: Authorizer,
        now_seconds: Callable[[], float],
        monotonic: Callable[[], float],
        sleep: Waiting = asyncio.sleep,
    ) -> None:
        profile = configuration.profile
        self._configuration = configuration
        self._client = client
        self._authorizer = authorizer
        self._pace = Pace(profile.per_minute, profile.burst)
        # As many as there are connections, unless somebody knows better.
        self.slots = Slots(lambda: configuration.concurrency)
        self._now_seconds = now_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._headers = http_client.own_headers()
        self._headers.update(configuration.headers)
        self._headers[_ACCEPT] = f"{MEDIA_TYPE}, application/json"

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        etag: str | None = None,
        expected: Collection[int] = (),
        repeats: bool = True,
        limit: int = _LONGEST_ANSWER,
    ) -> Reply:
        """What it answers, when that is a success or one of the ``expected``; raises Failure for everything else.

        ``limit`` is how many bytes the answer may have; ``repeats`` says whether the request may be sent twice when a
        connection turned out to be stale.
        """
        url = URL(
            f"{self._configuration.base_url}{path}{'?' + urlencode(query, quote_via=quote) if query else ''}", encoded=True
        )
        content = None if body is None else orjson.dumps(body)
        http_outcomes.check_size(content, self._configuration.largest_message)
        answer = await self._answer(method, url, content, etag, repeats, limit)
        reply = _reply(answer)
        is_expected = answer.status in expected and (answer.status != 404 or _is_scim_error(answer, reply))
        if 200 <= answer.status < 300 or is_expected:
            if answer.body and not answer.is_whole and method == "GET":
                raise Failure(Retry("The application's answer is too long, or broke off.", status=answer.status))
            return reply
        retry_after = http_outcomes.parse_retry_after(answer.headers.get("Retry-After"), self._now_seconds())
        excerpt = redaction.excerpt(answer.body, (*self._configuration.headers.values(), *self._authorizer.secrets))
        raise Failure(_of_failure(answer, reply, method, retry_after, excerpt))

    async def _answer(
        self, method: str, url: URL, content: bytes | None, etag: str | None, repeats: bool, limit: int
    ) -> Answer:
        header = await self._authorizer.header()
        answer = await self._send(method, url, content, etag, header, repeats, limit)
        if self._authorizer.forget_refused(header, answer.status):
            # The token may have been withdrawn before its end; one more that is new tells.
            renewed = await self._authorizer.header()
            answer = await self._send(method, url, content, etag, renewed, repeats, limit)
        return answer

    async def _send(
        self,
        method: str,
        url: URL,
        content: bytes | None,
        etag: str | None,
        header: str | None,
        repeats: bool,
        limit: int,
    ) -> Answer:
        headers = self._headers.copy()
        if header is not None:
            headers[AUTHORIZATION] = header
        if content is not None:
            headers[_CONTENT_TYPE] = MEDIA_TYPE
        if etag is not None:
            headers[_IF_MATCH] = etag
        slots, timeout = self.slots, self._configuration.timeout
        await slots.take()
        begun, status = self._now_seconds(), None
        try:
            wait = self._pace.reserve(self._monotonic())
            if wait:
                await self._sleep(wait)
                begun = self._now_seconds()
            answer = await self._client.ask(method, url, headers, content, limit=limit, patience=timeout, repeats=repeats)
            status = answer.status
        except http_client.FAULTS as error:
            raise Failure(http_outcomes.of_failure(error, self._configuration.host, timeout)) from error
        finally:
            slots.give(status, begun)
        # Whoever has the slot now asks before this answer is read: the application is not to wait for that.
        await asyncio.sleep(0)
        return answer


def path_of(resource_type: str, remote_id: str | None = None) -> str:
    """The path of the type's endpoint, or of one resource there."""
    endpoint = ENDPOINTS[resource_type]
    return endpoint if remote_id is None else f"{endpoint}/{quote(remote_id, safe='')}"


# --------------------------------------------------------------------------- what an answer means


def _reply(answer: Answer) -> Reply:
    try:
        found = orjson.loads(answer.body) if answer.body and answer.is_whole else {}
    except ValueError:
        found = {}
    document = found if isinstance(found, dict) else {}
    scim_type = document.get("scimType")
    etag = _usable(answer.headers.get("ETag")) or etag_of(document)
    return Reply(answer.status, document, etag, scim_type if scim_type in _SCIM_TYPES else "")


def etag_of(document: Mapping[str, Any]) -> str | None:
    """The version that a resource shows of itself (RFC 7643 §3.1)."""
    meta = document.get("meta")
    return _usable(meta.get("version")) if isinstance(meta, Mapping) else None


def _usable(etag: object) -> str | None:
    is_usable = isinstance(etag, str) and etag.isascii() and etag.isprintable() and 0 < len(etag) <= 1000
    return etag if isinstance(etag, str) and is_usable else None


def _is_scim_error(answer: Answer, reply: Reply) -> bool:
    """Whether the application itself says so: the error schema, or an object under SCIM's own media type (RFC 7644 §3.12)."""
    schemas = reply.document.get("schemas")
    if isinstance(schemas, list) and _ERROR in schemas:
        return True
    return bool(reply.document) and answer.headers.get("Content-Type", "").lower().startswith(MEDIA_TYPE)


def _of_failure(answer: Answer, reply: Reply, method: str, retry_after: float | None, excerpt: str) -> Outcome:
    status = answer.status
    shown = shown_status(status) + (f" ({reply.scim_type})" if reply.scim_type else "")
    if status in (401, 403):
        return Retry(
            f"The application answered {shown}; check the secret and what it may do.", "destination", None, status, excerpt
        )
    if status in _OVERLOADED:
        asked = "" if retry_after is None else f" and asked to wait {retry_after:.0f} s"
        return Retry(f"The application answered {shown}{asked}.", "destination", retry_after, status, excerpt)
    if 300 <= status < 400:
        reason = f"The application answered {shown}; redirects are not followed: give the final base_url."
        return Retry(reason, "destination", None, status, excerpt)
    if status == 404 and not _is_scim_error(answer, reply):
        reason = (
            "A 404 came that is no SCIM error: a gateway answered, or the base_url is wrong; nobody is taken for gone by it."
        )
        return Retry(reason, "destination", None, status, excerpt)
    if status in (408, 412, 425) or status >= 500 or status < 200:
        return Retry(f"The application answered {shown}.", "resource", retry_after, status, excerpt)
    return Rejected(f"The application answered {shown} to {method}: it does not accept this.", status, excerpt)
