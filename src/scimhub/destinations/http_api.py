"""The kind ``http_api``: an HTTP API of one's own, told of each event by the request that the configuration writes for it.

The ledger keeps the API's ids of our resources, for later URLs, and which version it was told last, so that a repetition
asks nothing. Each member of a group is a request of its own. The idempotency header names the delivery, in every try.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from yarl import URL

from scimhub.destinations import http_api_configuration, http_api_listing, http_api_requests, http_outcomes, personal
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_api_configuration import TEST, Configuration
from scimhub.destinations.http_api_operations import Operation
from scimhub.destinations.http_api_requests import Api
from scimhub.destinations.http_client import Answer
from scimhub.destinations.http_kind import HttpKind
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.resource_locks import ResourceLocks
from scimhub.destinations.templates import Unfit
from scimhub.distribution import amendments, rules, times
from scimhub.distribution.amendments import Amendment
from scimhub.distribution.delivery import Delivered, Destination, Message, Outcome, Rejected, Retry, Secret
from scimhub.distribution.drift import Desired, Shown, Sight
from scimhub.distribution.envelope import TYPE_PREFIX
from scimhub.distribution.ledger import Ledger, Remote, RemoteState
from scimhub.distribution.pace import Pace
from scimhub.distribution.plans import Action

_NO_TEST: Final = "No operation test is configured: only the credentials were made ready, and nothing was sent."
_NO_LIST: Final = "its configuration has no operation that lists, such as user.list (docs/http-api.md)."
# What each action of a plan is told by: without any of these operations it cannot be done.
_TOLD_BY: Final[Mapping[Action, tuple[str, ...]]] = {
    "add": ("created", "state", "updated"),
    "adopt": ("state", "updated"),
    "change": ("state", "updated", "member.added", "member.removed"),
    "remove": ("deleted",),
}


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
        self._api = Api(configuration, secrets, policy, now_seconds)
        self._pace = Pace(configuration.rate * 60 or None, 1)
        # The ledger is also corrected by what was seen, beside the messages.
        self._locks = ResourceLocks()

    async def send(self, message: Message) -> Outcome:
        """Ask what the configuration writes for the event."""
        told = _read(message)
        try:
            if told.event["type"] == TEST:
                return await self._examine(told)
            async with self._locks.of(told.id):
                return await self._tell(told)
        except Unfit as unfit:
            return Rejected(str(unfit))
        except Failure as failure:
            return personal.hidden(failure.outcome, told.event.get("resource"))

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        await self._api.close()

    async def amend(self, amendment: Amendment) -> None:
        """Correct the ledger by what the API was seen to have. Members that it lacks are told by the state anyway."""
        id, now = amendment.resource_id, times.text(self._now_seconds())
        async with self._locks.of(id):
            await amendments.amend(self._ledger, self._key, replace(amendment, lacking=()), now)
            known = await self._ledger.find_remote(self._key, id)
            if amendment.is_missing and known is not None and known.remote_id is None:
                # It comes back: whoever has it for a member waits for it.
                await self._ledger.save_remote(self._key, replace(known, state="creating"))

    # ------------------------------------------------------------------ what it has

    async def look(self) -> Sight:
        """What can be seen of the API, by the operations that list."""
        lists, rate = self._configuration.lists, self._configuration.rate
        return Sight(
            lists,
            shows_members=any(listing.members is not None for listing in lists.values()),
            nests_groups=True,
            adopts=True,
            per_minute=rate * 60 or None,
            members_per_request=1,
            limits=list(self._limits()) if lists else [_NO_LIST],
            unable=self._unable(),
        )

    async def list_shown(self, resource_type: str) -> AsyncIterator[Sequence[Shown]]:
        """Everything that the API lists of the type."""
        name = resource_type.lower()
        listing = self._configuration.lists[name]

        async def ask(url: URL) -> Answer:
            await asyncio.sleep(self._pace.reserve(time.monotonic()))
            try:
                return await self._api.ask(listing.request, {}, url=url, limit=http_api_listing.LONGEST_PAGE)
            except Unfit as unfit:
                raise Failure(Rejected(str(unfit))) from unfit
            except Failure as failure:
                raise _of_list(name, failure) from failure

        with http_outcomes.reading():
            url = self._api.url_of(listing.request, {})
            async for page in http_api_listing.pages(f"{name}.list", listing, url, ask, time.monotonic):
                yield page

    async def show(self, resource_type: str, remote_id: str) -> Shown | None:
        """Nothing: there is no operation for one alone."""
        return None

    async def desire(self, message: Message) -> Desired:
        """What an item of a list is to show of a state."""
        told = _read(message)
        known = await self._ledger.find_remote(self._key, told.id)
        source, (_, operation) = _source(told, known), self._operation(told, known)
        try:
            if operation is not None:
                self._api.check(operation, source)
        except Unfit as unfit:
            return Desired(problem=str(unfit))
        except Failure as failure:
            return Desired(problem=getattr(failure.outcome, "reason", ""))
        return Desired(*http_api_listing.wanted(self._configuration.lists[told.resource_type], source))

    def _limits(self) -> Iterator[str]:
        """What cannot be told of what it has."""
        lists = self._configuration.lists
        for name in sorted({operation.partition(".")[0] for operation in self._configuration.operations} - {TEST, *lists}):
            yield f"Of {name} nothing can be looked at: the configuration has no operation {name}.list."
        for name, listing in lists.items():
            paths = ", ".join(listing.compared) or "nothing but whether it is there"
            yield f"Of {name} it is compared: {paths}."
            if listing.members is None and f"{name}.member.added" in self._configuration.operations:
                yield f"Of {name} the members are not compared: the operation {name}.list has no path members."
            if listing.total is None:
                yield f"Whether all of {name} was shown cannot be told: the operation {name}.list has no path total."

    def _unable(self) -> dict[tuple[str, Action], str]:
        return {
            (name, action): f"The configuration has no operation {' or '.join(f'{name}.{verb}' for verb in verbs)}."
            for name in self._configuration.lists
            for action, verbs in _TOLD_BY.items()
            if not any(f"{name}.{verb}" in self._configuration.operations for verb in verbs)
        }

    # ------------------------------------------------------------------ one event

    async def _tell(self, told: _Told) -> Outcome:
        known = await self._ledger.find_remote(self._key, told.id)
        if known is not None and known.version > told.version and not told.is_repeated:
            return Delivered()
        status: int | None = None
        if told.verb:
            known, status = await self._tell_resource(told, known)
        beyond = await self._beyond(told)
        for verb, members in (("member.removed", (*told.removed, *beyond)), ("member.added", told.added)):
            operation = self._configuration.operations.get(f"{told.resource_type}.{verb}")
            if operation is not None:
                is_addition = verb == "member.added"
                status = await self._tell_members(told, known, operation, members, is_addition=is_addition) or status
        if beyond:
            await self._ledger.confirm_members(self._key, told.id, (), beyond)
        return Delivered(status)

    async def _beyond(self, told: _Told) -> Sequence[str]:
        """Of a state: the members whom the API was seen to have and should not."""
        if told.verb != "state" or f"{told.resource_type}.member.removed" not in self._configuration.operations:
            return ()
        leaving = await self._ledger.list_pending(self._key, told.id, "leaving")
        return [one.member_id for one in leaving if one.member_id not in told.added]

    async def _tell_resource(self, told: _Told, known: Remote | None) -> tuple[Remote | None, int | None]:
        """What the ledger says afterwards, and the last answer's status."""
        if known is not None and known.version == told.version and known.state != "creating" and not told.is_repeated:
            return known, None
        verb, operation = self._operation(told, known)
        remote_id = None if known is None else known.remote_id
        # Nothing is to be removed that was never there.
        is_moot = verb == "deleted" and remote_id is None and operation is not None and "remote_id" in operation.uses
        if operation is None or is_moot:
            if known is not None and known.state == "creating" and verb == "deleted":
                # Nobody is to wait for it any more.
                await self._ledger.save_remote(self._key, replace(known, state="gone"))
            return known, None
        answer = await self._api.ask(operation, _source(told, known), told.delivery_id)
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
                if is_addition and (remote is None or remote.state == "creating"):
                    raise Failure(Retry(f"The member {id} has no id at the destination yet."))
                # Whoever is gone there, or never came, is a member of nothing.
                continue
            member = {"id": id, "remote_id": None if remote is None else remote.remote_id}
            source = {**_source(told, known), "member": member}
            status = (await self._api.ask(operation, source, f"{told.delivery_id}_{id}")).status
        return status

    async def _examine(self, told: _Told) -> Outcome:
        operation = self._configuration.operations.get(TEST)
        if operation is None:
            await self._api.make_ready()
            return Delivered(None, (_NO_TEST,))
        answer = await self._api.ask(operation, _source(told, None), told.delivery_id)
        return Delivered(answer.status)


def _of_list(name: str, failure: Failure) -> Failure:
    """The failure, where a refusal is none of an event."""
    match failure.outcome:
        case Rejected(status=int(status)):
            return Failure(Rejected(f"The API answered {http_outcomes.shown_status(status)} to {name}.list.", status))
        case _:
            return failure


def _verbs(verb: str, *, is_there: bool) -> tuple[str, ...]:
    """What tells it, best first: who is there already is updated, and who is not there yet is created."""
    if verb == "deleted":
        return ("deleted",)
    if verb == "created":
        return ("updated", "created") if is_there else ("created",)
    return (verb, "updated") if is_there else ("created", verb, "updated")


def _captured(operation: Operation, answer: Answer) -> str:
    found = None if operation.capture is None else rules.text_of(operation.capture(http_api_requests.json_of(answer)))
    if not found:
        reason = f"The API answered {answer.status} without {operation.capture_path}, the id by which it is asked later."
        raise Failure(Rejected(reason, answer.status))
    return found


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
