"""The kind ``scim_app``: an application that speaks SCIM is kept as the directory is, under ids of its own.

What is sent follows from the event and the ledger: an event that comes twice, or an older one behind a newer one, never
takes the application back. Users come before groups because the log has them so; a member that is not there yet waits in
the ledger, and its own coming adds it to its groups.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Final

import orjson

from scimhub.destinations import (
    http_outcomes,
    personal,
    scim_ability,
    scim_app_configuration,
    scim_application,
    scim_content,
    scim_listing,
)
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_authorization import Authorizer
from scimhub.destinations.http_client import HttpClient
from scimhub.destinations.http_kind import HttpKind
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.resource_locks import ResourceLocks
from scimhub.destinations.scim_ability import Ability
from scimhub.destinations.scim_app_configuration import Configuration
from scimhub.destinations.scim_application import Application
from scimhub.destinations.scim_event import Event
from scimhub.destinations.scim_memberships import Memberships
from scimhub.destinations.scim_resources import Resources
from scimhub.distribution import amendments, times
from scimhub.distribution.amendments import Amendment
from scimhub.distribution.delivery import Delivered, Destination, Message, Outcome, Rejected, Secret
from scimhub.distribution.drift import Desired, Shown, Sight
from scimhub.distribution.envelope import TYPE_PREFIX
from scimhub.distribution.ledger import Ledger, Remote
from scimhub.distribution.slots import Slots, TurnedAway

_DUE_AT_ONCE: Final = 100

_log = logging.getLogger(__name__)


class ScimApp(HttpKind):
    """The kind."""

    name = "scim_app"

    def check(self, configuration: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration with defaults filled in; raises Invalid with every mistake."""
        return scim_app_configuration.check(configuration, self._policy)

    def open(self, destination: Destination, secrets: Sequence[Secret]) -> "ScimAppSender":
        """A sender that writes to the application and notes it in the ledger."""
        configuration = scim_app_configuration.read(destination.configuration)
        return ScimAppSender(destination, configuration, secrets, self._policy, self._now_seconds, self._ledger)


class ScimAppSender:
    """One open application."""

    def __init__(
        self,
        destination: Destination,
        configuration: Configuration,
        secrets: Sequence[Secret],
        policy: Policy,
        now_seconds: Callable[[], float],
        ledger: Ledger,
    ) -> None:
        self._destination = destination
        self._ledger = ledger
        self._now_seconds = now_seconds
        self._configuration = configuration
        self._authorizer = Authorizer(configuration.auth, secrets, policy, now_seconds)
        self._client = HttpClient(policy, configuration.concurrency, configuration.timeout, self._authorizer.tls)
        self._application = Application(configuration, self._client, self._authorizer, now_seconds, time.monotonic)
        shows_active = _shows(destination, "active")
        self._blindness = () if shows_active else (_NO_ACTIVE,)
        self._resources = Resources(
            destination.key, configuration, self._application, ledger, now_seconds, shows_active=shows_active
        )
        self._memberships = Memberships(destination.key, configuration.profile, self._application, ledger, self._resources)
        # One writer of a resource at a time: a group is also written when a member of it comes.
        self._locks = ResourceLocks()
        self._ability: Ability | None = None
        self._asking = asyncio.Lock()

    def limit_by(self, slots: Slots) -> None:
        """Take one of these slots for each request."""
        self._application.slots = slots

    async def send(self, message: Message) -> Outcome:
        """Have the application show what the message tells."""
        event = _read(message)
        try:
            if event.type == "test":
                return await self._examine()
            if event.resource_type in scim_application.ENDPOINTS:
                await self._deliver(event, await self._known_ability())
            return Delivered()
        except Failure as failure:
            return personal.hidden(failure.outcome, event.resource)

    async def amend(self, amendment: Amendment) -> None:
        """Correct the ledger by what the application was seen to have."""
        async with self._locks.of(amendment.resource_id):
            await amendments.amend(self._ledger, self._destination.key, amendment, times.text(self._now_seconds()))

    async def look(self) -> Sight:
        """What can be seen of the application."""
        with http_outcomes.reading():
            ability = await self._known_ability()
        profile = self._configuration.profile
        limits = [] if profile.shows_members else ["It shows groups without members: those are not compared."]
        return Sight(
            [name.lower() for name in scim_application.ENDPOINTS],
            profile.shows_members,
            profile.nested_groups,
            self._configuration.adopt != "never" and bool(ability.user_lookups),
            profile.per_minute,
            profile.members_per_patch,
            limits,
            scim_listing.FOLDED,
        )

    async def list_shown(self, resource_type: str) -> AsyncIterator[Sequence[Shown]]:
        """Everything that the application shows of the type."""
        with http_outcomes.reading():
            ability = await self._known_ability()
            async for page in scim_listing.pages(self._application, self._configuration.profile, ability, resource_type):
                yield page

    async def show(self, resource_type: str, remote_id: str) -> Shown | None:
        """One resource as the application shows it when it is asked for that alone."""
        with http_outcomes.reading():
            return await scim_listing.one(self._application, resource_type, remote_id)

    async def desire(self, message: Message) -> Desired:
        """What the application is to show of a state."""
        event = _read(message)
        try:
            body, _ = await self._resources.body_of(event, event.resource or {})
        except Failure as failure:
            return Desired(problem=getattr(failure.outcome, "reason", ""))
        with http_outcomes.reading():
            ability = await self._known_ability()
        return Desired(scim_content.flatten(body), scim_listing.keys_of(body, ability.lookups(event.resource_type)))

    async def tend(self) -> None:
        """Delete those whose time has come."""
        now = times.text(self._now_seconds())
        for due in await self._ledger.list_due(self._destination.key, now, _DUE_AT_ONCE):
            async with self._locks.of(due.resource_id):
                known = await self._ledger.find_remote(self._destination.key, due.resource_id)
                is_due = known is not None and known.delete_at is not None and known.delete_at <= now
                if known is not None and is_due and not await self._removes(known):
                    return

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        await self._client.close()
        await self._authorizer.close()

    # ------------------------------------------------------------------ one event

    async def _deliver(self, event: Event, ability: Ability) -> None:
        async with self._locks.of(event.id):
            if event.is_deleted:
                going = await self._resources.leave(event, ability)
                if going is not None:
                    await self._remove(going, ability)
                return
            written = await self._write(event, ability)
        if written is not None and written.remote_id is not None:
            await self._follow(written, ability)

    async def _write(self, event: Event, ability: Ability) -> Remote | None:
        """The resource itself, and if it is a group what is owed of its members."""
        known = await self._ledger.find_remote(self._destination.key, event.id)
        is_stale = known is not None and known.version > event.version
        if not is_stale and event.whole:
            await self._ledger.note_whole(self._destination.key, event.id, event.added, event.whole, is_last=event.is_last_part)
        elif not is_stale and (event.added or event.removed):
            # Before the group's version is noted: whatever a repetition of this event drops is then owed already.
            await self._ledger.note_members(self._destination.key, event.id, event.added, event.removed)
        if not is_stale and event.resource is not None:
            known = await self._resources.put(event, event.resource, known, ability)
        if event.resource_type == "Group" and known is not None and known.remote_id is not None:
            await self._memberships.write(known, ability)
        return known

    async def _remove(self, going: Remote, ability: Ability) -> None:
        """Delete it there, out of its groups first: many applications keep a deleted member among the others."""
        key = self._destination.key
        for id in await self._ledger.list_groups_of(key, going.resource_id, "written"):
            async with self._locks.of(id):
                group = await self._ledger.find_remote(key, id)
                if group is None or group.remote_id is None:
                    continue
                await self._ledger.note_members(key, id, (), [going.resource_id])
                await self._unless_refused(self._memberships.write(group, ability, going.resource_id), group)
                # Whether it still belongs to the group is the group's to say; if so, it waits for the way back.
                await self._ledger.note_members(key, id, [going.resource_id], ())
        await self._resources.remove(going)

    async def _follow(self, member: Remote, ability: Ability) -> None:
        """Whoever is there now becomes a member of the groups that wait for it, and the manager of those who do."""
        key = self._destination.key
        for id in await self._ledger.list_groups_of(key, member.resource_id, "waiting"):
            async with self._locks.of(id):
                group = await self._ledger.find_remote(key, id)
                if group is not None and group.remote_id is not None:
                    await self._unless_refused(self._memberships.write(group, ability, member.resource_id), group)
        for waiting in await self._ledger.list_awaiting(key, member.resource_id):
            async with self._locks.of(waiting.resource_id):
                report = await self._ledger.find_remote(key, waiting.resource_id)
                if report is not None and report.awaits == member.resource_id and report.remote_id is not None:
                    await self._unless_refused(self._resources.set_reference(report, member.remote_id or ""), report)

    async def _unless_refused(self, work: Coroutine[None, None, None], other: Remote) -> None:
        """Do it; a refusal is the other resource's, stays in the ledger, and is no failure of the event at hand."""
        try:
            await work
        except Failure as failure:
            if not isinstance(failure.outcome, Rejected):
                raise
            _log.warning("application refuses", extra={**self._names, "resource": other.resource_id})

    async def _removes(self, known: Remote) -> bool:
        """Delete it; False when the application cannot be asked now, so that the others had better wait, too."""
        try:
            await self._remove(known, await self._known_ability())
        except TurnedAway:
            return False
        except Failure as failure:
            reason = getattr(failure.outcome, "reason", "")
            _log.warning("deletion waits", extra={**self._names, "resource": known.resource_id, "reason": reason})
            return isinstance(failure.outcome, Rejected)
        return True

    # ------------------------------------------------------------------ what it can do

    async def _known_ability(self) -> Ability:
        """What the application can do, asked once; raises Failure when it cannot be asked."""
        if self._ability is not None:
            return self._ability
        async with self._asking:
            if self._ability is None:
                self._ability = await self._ask_ability()
                for note in (*self._ability.notes, *self._blindness):
                    _log.warning("application is limited", extra={**self._names, "note": note})
        return self._ability

    async def _ask_ability(self) -> Ability:
        try:
            reply = await self._application.ask("GET", "/ServiceProviderConfig", expected=(400, 404, 405, 501))
        except Failure as failure:
            # Who does not know the path may answer it in HTML; that says nothing about users.
            if getattr(failure.outcome, "status", None) != 404:
                raise
            return scim_ability.of_application(self._configuration, None)
        told = reply.document if reply.status == 200 and reply.document else None
        return scim_ability.of_application(self._configuration, told)

    async def _examine(self) -> Outcome:
        """A look at its users proves address and credentials; what it cannot do is told."""
        ability = await self._known_ability()
        reply = await self._application.ask("GET", scim_application.path_of("User"), query={"count": "1"})
        return Delivered(reply.status, (*ability.notes, *self._blindness))

    # ------------------------------------------------------------------ within

    @property
    def _names(self) -> dict[str, str]:
        return {"directory": self._destination.directory_name, "destination": self._destination.name}


_NO_ACTIVE: Final = (
    "The subscription does not show the attribute active: who is deactivated in the directory stays active there. "
    "Add it to the allow-list or to the mapping."
)


def _shows(destination: Destination, attribute: str) -> bool:
    """Whether the subscription lets the destination see the attribute of users."""
    wish = destination.subscription
    names = [name.rpartition(":")[2].lower() for name in wish.attributes]
    mapped = next((content for name, content in wish.mapping.items() if name.lower() == "user"), None)
    is_mapped = not isinstance(mapped, Mapping) or bool(mapped.get("keep")) or attribute in mapped.get("set", {})
    return is_mapped and (not names or attribute in names)


def _read(message: Message) -> Event:
    data = orjson.loads(message.data)
    members = data.get("members") or {}
    part, id = data.get("part", 1), message.attributes["id"]
    return Event(
        type=message.attributes["type"].removeprefix(TYPE_PREFIX),
        resource_type=data.get("resourceType", ""),
        id=data.get("id", ""),
        version=data.get("version", 0),
        resource=data.get("resource"),
        added=tuple(members.get("added", ())),
        removed=tuple(members.get("removed", ())),
        whole=(id if part == 1 else id.removesuffix(f"_{part}")) if members.get("whole") else "",
        is_last_part=part == data.get("parts", 1),
    )
