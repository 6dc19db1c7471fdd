"""The kind ``http_api``: an HTTP API of one's own, told of each event by the request that the configuration writes for it.

The ledger keeps the API's ids of our resources, for later URLs, and which version it was told last, so that a repetition
asks nothing. Each member of a group is a request of its own. The idempotency header names the delivery, in every try.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from multidict import CIMultiDict
from yarl import URL

from scimhub.destinations import (
    http_api_configuration,
    http_client,
    http_configuration,
    http_outcomes,
    personal,
    redaction,
)
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_api_configuration import TEST, Configuration, Operation
from scimhub.destinations.http_authorization import AUTHORIZATION, Authorizer
from scimhub.destinations.http_client import Answer, HttpClient
from scimhub.destinations.http_kind import HttpKind
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.templates import Source, Unfit
from scimhub.distribution import rules, times
from scimhub.distribution.delivery import Delivered, Destination, Gone, Message, Outcome, Rejected, Retry, Secret
from scimhub.distribution.envelope import TYPE_PREFIX
from scimhub.distribution.ledger import Ledger, Remote, RemoteState

_LONGEST_ANSWER: Final = 1024 * 1024
_NO_TEST: Final = "No operation test is configured: only the credentials were made ready, and nothing was sent."
_CONTENT_TYPES: Final[Mapping[str, str]] = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class HttpApi(HttpKind):
    """The kind."""

    name = "http_api"

    def check(self, configuration: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration with defaults filled in; raises Invalid with every mistake."""
        return http_api_configuration.check(configuration, self._policy)

    def open(self, destination: Destination, secrets: Sequence[Secret]) -> "HttpApiSender":
        """A sender that asks the API and notes what it was told in the ledger."""
        configuration = http_api_configuration.read(destination.configuration)
        return HttpApiSender(destination.key, configuration, secrets, self._policy, self._now_seconds, self._ledger)


@dataclass(frozen=True, slots=True)
class _Told:
    """A message, taken apart. ``verb`` is what happened to the resource itself, empty when only members changed."""

    delivery_id: str
    resource_type: str
    verb: str
    id: str
    version: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    # Told again although nothing happened: whatever was told before is no reason to be silent.
    is_repeated: bool
    event: Mapping[str, Any]


class HttpApiSender:
    """One open API."""

    def __init__(
        self,
        key: int,
        configuration: Configuration,
        secrets: Sequence[Secret],
        policy: Policy,
        now_seconds: Callable[[], float],
        ledger: Ledger,
    ) -> None:
        self._key = key
        self._configuration = configuration
        self._ledger = ledger
        self._now_seconds = now_seconds
        self._authorizer = Authorizer(configuration.auth, secrets, policy, now_seconds)
        self._client = HttpClient(policy, configuration.concurrency, configuration.timeout, self._authorizer.tls)
        self._headers = CIMultiDict(configuration.headers)
        self._headers.update(http_client.own_headers())

    async def send(self, message: Message) -> Outcome:
        """Ask what the configuration writes for the event."""
        told = _read(message)
        try:
            if told.event["type"] == TEST:
                return await self._examine(told)
            return await self._tell(told)
        except Unfit as unfit:
            return Rejected(str(unfit))
        except Failure as failure:
            return personal.hidden(failure.outcome, told.event.get("resource"))

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        await self._client.close()
        await self._authorizer.close()

    # ------------------------------------------------------------------ one event

    async def _tell(self, told: _Told) -> Outcome:
        known = await self._ledger.find_remote(self._key, told.id)
        if known is not None and known.version > told.version and not told.is_repeated:
            return Delivered()
        status: int | None = None
        if told.verb:
            known, status = await self._tell_resource(told, known)
        for verb, members in (("member.removed", told.removed), ("member.added", told.added)):
            operation = self._configuration.operations.get(f"{told.resource_type}.{verb}")
            if operation is not None:
                is_addition = verb == "member.added"
                status = await self._tell_members(told, known, operation, members, is_addition=is_addition) or status
        return Delivered(status)

    async def _tell_resource(self, told: _Told, known: Remote | None) -> tuple[Remote | None, int | None]:
        """What the ledger says afterwards, and the last answer's status."""
        if known is not None and known.version == told.version and known.state != "creating" and not told.is_repeated:
            return known, None
        verb, operation = self._operation(told, known)
        remote_id = None if known is None else known.remote_id
        # Nothing is to be removed that was never there.
        is_moot = verb == "deleted" and remote_id is None and operation is not None and "remote_id" in operation.uses
        if operation is None or is_moot:
            return known, None
        answer = await self._ask(operation, _source(told, known), told.delivery_id)
        if operation.capture is not None:
            remote_id = _captured(operation, answer)
        state: RemoteState = "present"
        if verb == "deleted":
            state, remote_id = "gone", None
        noted = Remote(told.id, told.event["resourceType"], state, told.version, times.text(self._now_seconds()), remote_id)
        if not await self._ledger.save_remote(self._key, noted):
            raise Failure(Rejected("The API gave two of our resources one id.", answer.status))
        return noted, answer.status

    def _operation(self, told: _Told, known: Remote | None) -> tuple[str, Operation | None]:
        """What is to be told, and the request that does; None where none is configured."""
        for verb in _verbs(told.verb, is_there=known is not None and known.state == "present"):
            found = self._configuration.operations.get(f"{told.resource_type}.{verb}")
            if found is not None:
                return verb, found
        return told.verb, None

    async def _tell_members(
        self, told: _Told, known: Remote | None, operation: Operation, members: Sequence[str], *, is_addition: bool
    ) -> int | None:
        status = None
        for id in members:
            remote = await self._ledger.find_remote(self._key, id)
            if "member.remote_id" in operation.uses and (remote is None or remote.remote_id is None):
                if is_addition and remote is None:
                    raise Failure(Retry(f"The member {id} has no id at the destination yet."))
                # Whoever is gone there, or never came, is a member of nothing.
                continue
            member = {"id": id, "remote_id": None if remote is None else remote.remote_id}
            source = {**_source(told, known), "member": member}
            status = (await self._ask(operation, source, f"{told.delivery_id}_{id}")).status
        return status

    async def _examine(self, told: _Told) -> Outcome:
        operation = self._configuration.operations.get(TEST)
        if operation is None:
            await self._authorizer.header()
            return Delivered(None, (_NO_TEST,))
        answer = await self._ask(operation, _source(told, None), told.delivery_id)
        return Delivered(answer.status)

    # ------------------------------------------------------------------ one request

    async def _ask(self, operation: Operation, source: Source, delivery_id: str) -> Answer:
        """The answer, which satisfies the success rule; raises Failure, Unfit."""
        url = URL(f"{self._configuration.base_url}{operation.url.render(source)}", encoded=True)
        headers, body = self._headers_of(operation, source, delivery_id), _body(operation, source)
        http_outcomes.check_size(body, self._configuration.largest_message)
        if body is not None:
            headers["Content-Type"] = _CONTENT_TYPES[operation.format]
        header = await self._authorizer.header()
        answer = await self._request(operation.method, url, headers, body, header)
        if answer.status == 401 and self._authorizer.may_renew:
            self._authorizer.forget_token(header)
            answer = await self._request(operation.method, url, headers, body, await self._authorizer.header())
        self._check(operation, answer)
        return answer

    async def _request(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes | None, header: str | None
    ) -> Answer:
        if header is not None:
            headers[AUTHORIZATION] = header
        timeout = self._configuration.timeout
        # With the idempotency header a second try is the same request; without it only what is idempotent is repeated.
        repeats = bool(self._configuration.idempotency_header) or method != "POST"
        try:
            return await self._client.ask(method, url, headers, body, limit=_LONGEST_ANSWER, patience=timeout, repeats=repeats)
        except http_client.FAULTS as error:
            raise Failure(http_outcomes.of_failure(error, self._configuration.host, timeout)) from error

    def _headers_of(self, operation: Operation, source: Source, delivery_id: str) -> CIMultiDict[str]:
        headers = self._headers.copy()
        if self._configuration.idempotency_header:
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
        if success.read is not None and success.read(_json(answer)) != success.equals:
            reason = f"The API answered {answer.status}, and {success.path} in the answer is not what means success."
            raise Failure(Retry(reason, status=answer.status, excerpt=excerpt))


def _verbs(verb: str, *, is_there: bool) -> tuple[str, ...]:
    """What tells it, best first: who is there already is updated, and who is not there yet is created."""
    if verb == "deleted":
        return ("deleted",)
    if verb == "created":
        return ("updated", "created") if is_there else ("created",)
    return (verb, "updated") if is_there else ("created", verb, "updated")


def _captured(operation: Operation, answer: Answer) -> str:
    found = None if operation.capture is None else rules.text_of(operation.capture(_json(answer)))
    if not found:
        reason = f"The API answered {answer.status} without {operation.capture_path}, the id by which it is asked later."
        raise Failure(Rejected(reason, answer.status))
    return found


def _json(answer: Answer) -> object:
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


def _source(told: _Told, known: Remote | None) -> dict[str, object]:
    return {**told.event, "delivery_id": told.delivery_id, "remote_id": None if known is None else known.remote_id}


def _read(message: Message) -> _Told:
    data = orjson.loads(message.data)
    type = message.attributes["type"].removeprefix(TYPE_PREFIX)
    resource_type, _, verb = type.partition(".")
    members = data.get("members") or {}
    return _Told(
        message.delivery_id,
        resource_type,
        # The later parts of a long event tell of members only.
        "" if verb.startswith("member") or data.get("part", 1) > 1 else verb,
        data.get("id", ""),
        data.get("version", 0),
        tuple(members.get("added", ())),
        tuple(members.get("removed", ())),
        "replayid" in message.attributes or data.get("cause") == "state",
        {**data, "type": type},
    )
