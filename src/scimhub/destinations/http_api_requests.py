"""A custom HTTP API as its client sees it: one request at a time, as it was written, and whether its answer is a success."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import orjson
from multidict import CIMultiDict
from yarl import URL

from scimhub.destinations import http_client, http_configuration, http_outcomes, redaction
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_api_configuration import Configuration
from scimhub.destinations.http_api_operations import Operation
from scimhub.destinations.http_authorization import AUTHORIZATION, Authorizer
from scimhub.destinations.http_client import Answer, HttpClient
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.templates import Source, Unfit
from scimhub.distribution import rules
from scimhub.distribution.delivery import Delivered, Gone, Rejected, Retry, Secret

_LONGEST_ANSWER: Final = 1024 * 1024
_CONTENT_TYPES: Final[Mapping[str, str]] = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class Api:
    """Asks one API. ``now_seconds`` is the Unix time."""

    def __init__(
        self,
        configuration: Configuration,
        secrets: Sequence[Secret],
        policy: Policy,
        now_seconds: Callable[[], float],
    ) -> None:
        self._configuration = configuration
        self._now_seconds = now_seconds
        self._authorizer = Authorizer(configuration.auth, secrets, policy, now_seconds)
        self._client = HttpClient(policy, configuration.concurrency, configuration.timeout, self._authorizer.tls)
        self._headers = CIMultiDict(configuration.headers)
        self._headers.update(http_client.own_headers())

    async def make_ready(self) -> None:
        """Have the credentials ready, and send nothing; raises Failure."""
        await self._authorizer.header()

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        await self._client.close()
        await self._authorizer.close()

    def url_of(self, operation: Operation, source: Source) -> URL:
        """Where the operation is asked; raises Unfit."""
        return URL(f"{self._configuration.base_url}{operation.url.render(source)}", encoded=True)

    async def ask(
        self,
        operation: Operation,
        source: Source,
        delivery_id: str = "",
        *,
        url: URL | None = None,
        limit: int = _LONGEST_ANSWER,
    ) -> Answer:
        """The answer, which satisfies the success rule; raises Failure, Unfit.

        ``delivery_id`` is what the request delivers, empty for none. At most ``limit`` bytes of the answer are read.
        """
        url = url or self.url_of(operation, source)
        headers, body = self._content_of(operation, source, delivery_id)
        header = await self._authorizer.header()
        answer = await self._request(operation.method, url, headers, body, header, limit)
        if self._authorizer.forget_refused(header, answer.status):
            answer = await self._request(operation.method, url, headers, body, await self._authorizer.header(), limit)
        self._check(operation, answer)
        return answer

    def check(self, operation: Operation, source: Source) -> None:
        """Raise Failure or Unfit when the request could not even be written."""
        self.url_of(operation, source)
        self._content_of(operation, source, "")

    def _content_of(self, operation: Operation, source: Source, delivery_id: str) -> tuple[CIMultiDict[str], bytes | None]:
        headers, body = self._headers_of(operation, source, delivery_id), _body(operation, source)
        http_outcomes.check_size(body, self._configuration.largest_message)
        if body is not None:
            headers["Content-Type"] = _CONTENT_TYPES[operation.format]
        return headers, body

    async def _request(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes | None, header: str | None, limit: int
    ) -> Answer:
        if header is not None:
            headers[AUTHORIZATION] = header
        timeout = self._configuration.timeout
        # With the idempotency header a second try is the same request; without it only what is idempotent is repeated.
        repeats = bool(self._configuration.idempotency_header) or method != "POST"
        try:
            return await self._client.ask(method, url, headers, body, limit=limit, patience=timeout, repeats=repeats)
        except http_client.FAULTS as error:
            raise Failure(http_outcomes.of_failure(error, self._configuration.host, timeout)) from error

    def _headers_of(self, operation: Operation, source: Source, delivery_id: str) -> CIMultiDict[str]:
        headers = self._headers.copy()
        if self._configuration.idempotency_header and delivery_id:
            headers[self._configuration.idempotency_header] = delivery_id
        for name, rule in operation.headers.items():
            text = rules.text_of(rules.value_of(rule, source))
            if text is None:
                continue
            if not http_configuration.is_field_value(text):
                raise Unfit(f"The value of the header {name} cannot be sent: it is no line of printable ASCII characters.")
            headers[name] = text
        return headers

    def _check(self, operation: Operation, answer: Answer) -> None:
        success = operation.success
        excerpt = redaction.excerpt(answer.body, (*self._configuration.concealed, *self._authorizer.secrets))
        if answer.status not in success.statuses:
            retry_after = answer.headers.get("Retry-After")
            outcome = http_outcomes.of_answer(answer.status, retry_after, excerpt, self._now_seconds())
            # 410 speaks of one resource of the API, not of the API; a success that is not listed is none.
            if isinstance(outcome, (Gone, Delivered)):
                shown = http_outcomes.shown_status(answer.status)
                outcome = Rejected(f"The API answered {shown}, which is no success here.", answer.status, excerpt)
            raise Failure(outcome)
        if success.read is not None and success.read(json_of(answer)) != success.equals:
            reason = f"The API answered {answer.status}, and {success.path} in the answer is not what means success."
            raise Failure(Retry(reason, status=answer.status, excerpt=excerpt))


def json_of(answer: Answer) -> object:
    """The JSON in the answer; None when it is none, or not whole."""
    try:
        return orjson.loads(answer.body) if answer.is_whole else None
    except ValueError:
        return None


def _body(operation: Operation, source: Source) -> bytes | None:
    if operation.body is None:
        return None
    value = rules.value_of(operation.body, source)
    if operation.format == "json":
        return orjson.dumps(value)
    if value is not None and not isinstance(value, Mapping):
        raise Unfit("The body is no object, and a form needs names and values.")
    texts = {name: rules.text_of(one) for name, one in (value or {}).items()}
    return urlencode({name: text for name, text in texts.items() if text is not None}).encode()
