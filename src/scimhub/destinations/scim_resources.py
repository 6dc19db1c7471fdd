"""One resource at a SCIM application: made, adopted, changed, deactivated and deleted there, and noted in the ledger.

What is to be done follows from the event and the ledger alone, never from what the application shows. Sending an event
twice changes nothing, and an older one than was written is dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from scimhub.destinations import scim_application, scim_content
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.scim_ability import Ability
from scimhub.destinations.scim_app_configuration import Configuration
from scimhub.destinations.scim_application import Application, Reply
from scimhub.destinations.scim_content import MANAGER, Json
from scimhub.destinations.scim_event import Event
from scimhub.distribution import times
from scimhub.distribution.delivery import Rejected, Retry
from scimhub.distribution.ledger import Ledger, Remote
from scimhub.distribution.noting import Noting

_NOT_THERE: Final = (404,)
_INACTIVE: Final = scim_content.digest(False)
_DAY: Final = 24 * 3600.0
# Seconds in which an application may answer 404 for what it took: some answer from copies that lag behind.
_LAG: Final = 60.0


class Resources:
    """The resources of one destination. ``shows_active`` says whether its subscription lets it see ``active``."""

    def __init__(
        self,
        key: int,
        configuration: Configuration,
        application: Application,
        ledger: Ledger,
        now_seconds: Callable[[], float],
        *,
        shows_active: bool,
    ) -> None:
        self._key = key
        self._configuration = configuration
        self._application = application
        self._ledger = ledger
        self._now_seconds = now_seconds
        self._shows_active = shows_active
        # While as many wait for their request as are asking, nobody waits for the ledger.
        self._noting = Noting(key, ledger, lambda: application.slots.are_short)

    # ------------------------------------------------------------------ written as the event tells

    async def put(self, event: Event, resource: Mapping[str, object], known: Remote | None, ability: Ability) -> Remote:
        """Have the application show the resource, of which the ledger knows that; what it then says. Raises Failure."""
        body, awaits = await self.body_of(event, resource)
        if known is None or known.remote_id is None:
            return await self._create(event, known, body, awaits, ability)
        return await self._change(event, known, body, awaits, ability)

    async def body_of(self, event: Event, resource: Mapping[str, object]) -> tuple[Json, str | None]:
        """What is to be written, and whose remote id it still lacks; raises Failure when it cannot be."""
        configuration, shape = self._configuration, self._configuration.profile.of(event.resource_type)
        resource, awaits = await self._with_reference(resource)
        if configuration.external_id == "hub":
            resource = {**resource, "externalId": event.id}
        if event.resource_type == "User" and self._shows_active:
            # RFC 7643 §4.1.1 leaves open what a user without it is; applications take it for an active one.
            resource = {"active": True, **resource}
        body = scim_content.body_of(resource, event.resource_type, attributes=shape.attributes, single=shape.single)
        missing = [path for path in shape.required if scim_content.value_at(body, path) in (None, "", [])]
        if missing:
            raise Failure(
                Rejected(
                    f"The application requires {', '.join(missing)}, which the resource does not have as the destination "
                    "sees it; give the person a value, or form one by a mapping."
                )
            )
        return body, awaits

    async def _with_reference(self, resource: Mapping[str, object]) -> tuple[Mapping[str, object], str | None]:
        """The resource with the manager's id as the application knows it."""
        extension = resource.get(scim_content.ENTERPRISE)
        manager = extension.get("manager") if isinstance(extension, Mapping) else None
        id = manager.get("value") if isinstance(manager, Mapping) else None
        if not isinstance(extension, Mapping) or not isinstance(id, str):
            return resource, None
        known = await self._ledger.find_remote(self._key, id)
        inner = {name: value for name, value in extension.items() if name != "manager"}
        if known is None or known.remote_id is None:
            return {**resource, scim_content.ENTERPRISE: inner}, id
        return {**resource, scim_content.ENTERPRISE: {**inner, "manager": {"value": known.remote_id}}}, None

    # ------------------------------------------------------------------ made

    async def _create(self, event: Event, known: Remote | None, body: Json, awaits: str | None, ability: Ability) -> Remote:
        # An answer that was lost, or the wish to look first: somebody may be there already.
        if (known is not None and known.state == "creating") or self._configuration.adopt == "first":
            found = await self._find(event.resource_type, body, ability)
            if found is not None:
                return await self._adopt(event, found, body, awaits, ability)
        before = 0 if known is None else known.version
        # The time of the first request counts, however often it is repeated.
        since = self._now() if known is None or known.state != "creating" else known.updated
        await self._save(Remote(event.id, event.resource_type, "creating", before, since))
        path = scim_application.path_of(event.resource_type)
        reply = await self._application.ask("POST", path, body, expected=(409,), repeats=False)
        if reply.status == 409:
            return await self._adopt_after_conflict(event, known, body, awaits, ability)
        if reply.remote_id is None:
            found = await self._find(event.resource_type, body, ability)
            if found is None:
                reason = f"The application answered {reply.status} without an id, and it is found by no filter."
                raise Failure(Retry(reason, status=reply.status))
            reply = found
        return await self._note(event, reply, body, awaits, ability)

    async def _adopt_after_conflict(
        self, event: Event, known: Remote | None, body: Json, awaits: str | None, ability: Ability
    ) -> Remote:
        is_wanted = self._configuration.adopt != "never"
        found = await self._find(event.resource_type, body, ability) if is_wanted else None
        if found is None and known is not None and known.state == "creating":
            self._check_lag(known)
        if found is None:
            asked = " or ".join(ability.lookups(event.resource_type)) or "any attribute"
            raise Failure(
                Rejected(
                    f"The application answered 409 Conflict, and no {event.resource_type} of it is found by {asked}: another "
                    "attribute collides, or who has it is hidden. Mend it there, or set match to what identifies people.",
                    409,
                )
            )
        return await self._adopt(event, found, body, awaits, ability)

    async def _find(self, resource_type: str, body: Json, ability: Ability) -> Reply | None:
        """The one resource there that has our externalId, or else the value of the match rule; raises Failure for several."""
        for attribute in ability.lookups(resource_type):
            value = scim_content.value_at(body, attribute)
            if not isinstance(value, str) or not value:
                continue
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            path = scim_application.path_of(resource_type)
            # An application that offers no such filter is none in which somebody could be found by it.
            reply = await self._application.ask(
                "GET", path, query={"filter": f'{attribute} eq "{quoted}"'}, expected=(400, 404, 501)
            )
            found = [one for one in _listed(reply) if _has(one, attribute, value)]
            if len(found) > 1:
                reason = f"{len(found)} resources of the application have the same {attribute}; one of them must go."
                raise Failure(Rejected(reason))
            if found and found[0].remote_id is not None:
                return found[0]
        return None

    async def _adopt(self, event: Event, found: Reply, body: Json, awaits: str | None, ability: Ability) -> Remote:
        """Take what is there for ours, unless it is somebody else's of ours, and write everything."""
        remote_id = found.remote_id or ""
        claim = await self._ledger.find_claim(self._key, event.resource_type, remote_id)
        is_taken = claim is not None and claim.resource_id != event.id
        if claim is not None and is_taken and claim.state != "left":
            raise Failure(
                Rejected(
                    f"The {event.resource_type} that the application has already belongs to our {claim.resource_id}; "
                    "two of ours cannot be one of theirs.",
                    409,
                )
            )
        releases = claim.resource_id if claim is not None and is_taken else None
        adopted = Remote(event.id, event.resource_type, "present", 0, self._now(), remote_id)
        await self._save(adopted, releases=releases)
        return await self._change(event, adopted, body, awaits, ability, recreates=False)

    # ------------------------------------------------------------------ changed

    async def _change(
        self, event: Event, known: Remote, body: Json, awaits: str | None, ability: Ability, *, recreates: bool = True
    ) -> Remote:
        flat = scim_content.flatten(body)
        if scim_content.digests(flat) == known.written:
            return await self._note(event, None, body, awaits, ability, known)
        reply = await self._write(known, body, flat, ability)
        if reply is not None and reply.status == 412:
            # Somebody else changed it there since we wrote; what is ours is written once more on top of that.
            current = await self._get(known)
            reply = None if current is None else await self._write(replace(known, etag=current.etag), body, flat, ability)
        if reply is not None and reply.status == 412:
            raise Failure(Retry("The application says twice that the resource was changed meanwhile.", status=412))
        if reply is None or reply.status == 404:
            if not recreates:
                # Some keep whom they deleted among those whom a filter finds, and answer for nobody else.
                await self._lose(known)
                reason = f"The application finds the {known.resource_type}, and answers 404 when it is to be changed."
                raise Failure(Rejected(reason, 404))
            return await self._create(event, await self.lose(known), body, awaits, ability)
        return await self._note(event, reply, body, awaits, ability, known)

    async def _write(self, known: Remote, body: Json, flat: Json, ability: Ability) -> Reply | None:
        """What it answers to the change: a success, 404 or 412."""
        path = scim_application.path_of(known.resource_type, known.remote_id)
        etag = known.etag if ability.has_etags else None
        if ability.update(known.resource_type) == "put" and known.resource_type == "User":
            return await self._application.ask("PUT", path, body, etag=etag, expected=(404, 412))
        if ability.update(known.resource_type) == "put":
            return await self._put_group(known, body, path)
        reply, some = None, scim_content.operations(flat, known.written)
        most = self._configuration.profile.operations_per_patch
        for first in range(0, len(some), most):
            content = scim_content.patch(some[first : first + most])
            reply = await self._application.ask("PATCH", path, content, etag=etag, expected=(404, 412))
            if reply.status in (404, 412):
                return reply
            etag = reply.etag
        return reply

    async def _put_group(self, known: Remote, body: Json, path: str) -> Reply:
        """The group with the members that the ledger says it has: PUT replaces them (RFC 7644 §3.5.1)."""
        written = await self._ledger.list_pending(self._key, known.resource_id, "written")
        members = [{"value": one.remote_id} for one in written if one.remote_id is not None]
        return await self._application.ask("PUT", path, {**body, "members": members}, expected=(404, 412))

    async def _get(self, known: Remote) -> Reply | None:
        """The resource as the application has it, without members; None when it is gone."""
        path = scim_application.path_of(known.resource_type, known.remote_id)
        query = {"excludedAttributes": "members"} if known.resource_type == "Group" else None
        reply = await self._application.ask("GET", path, query=query, expected=_NOT_THERE)
        return None if reply.status == 404 else reply

    async def is_there(self, known: Remote) -> bool:
        """Whether the application still has it; raises Failure when that cannot be told."""
        return await self._get(known) is not None

    async def set_reference(self, known: Remote, manager: str) -> None:
        """Write the manager's remote id into the resource that waits for it; raises Failure."""
        path = scim_application.path_of(known.resource_type, known.remote_id)
        value = {"value": manager}
        operation = {"op": "replace", "path": MANAGER, "value": value}
        reply = await self._application.ask("PATCH", path, scim_content.patch([operation]), expected=_NOT_THERE)
        written = {**known.written, MANAGER: scim_content.digest(value)}
        if reply.status != 404:
            await self._save(replace(known, awaits=None, written=written, etag=reply.etag, updated=self._now()))

    # ------------------------------------------------------------------ gone

    async def leave(self, event: Event, ability: Ability) -> Remote | None:
        """The resource was deleted or left the scope: do what the configuration says; raises Failure.

        What is to be deleted there now is returned, for ``remove``.
        """
        known = await self._ledger.find_remote(self._key, event.id)
        if known is not None and known.version > event.version:
            return None
        if known is not None and known.state == "creating":
            known = await self._found_after_all(known, ability)
        if known is None or known.remote_id is None:
            await self._save(Remote(event.id, event.resource_type, "gone", event.version, self._now()))
            return None
        known = replace(known, version=event.version)
        leaving = self._configuration.on_delete
        if known.resource_type == "Group":
            return known
        is_there = await self._deactivate(known, ability, refuses=leaving != "delete")
        if not is_there:
            await self.lose(known)
        elif leaving == "delete":
            return known
        else:
            due = times.text(self._now_seconds() + self._configuration.delete_after_days * _DAY)
            delete_at = due if leaving == "deactivate_then_delete" else None
            written = {**known.written, "active": _INACTIVE}
            left = replace(known, state="left", written=written, updated=self._now(), etag=None, awaits=None)
            await self._save(replace(left, delete_at=known.delete_at or delete_at))
        return None

    async def _found_after_all(self, known: Remote, ability: Ability) -> Remote:
        """What was asked for without an answer may be there; only our own id tells."""
        if self._configuration.external_id != "hub":
            return known
        found = await self._find(known.resource_type, {"externalId": known.resource_id}, ability)
        return known if found is None else replace(known, state="present", remote_id=found.remote_id)

    async def _deactivate(self, known: Remote, ability: Ability, *, refuses: bool) -> bool:
        """Make the user inactive; False when the application has no such user. A refusal counts only if it ``refuses``."""
        if known.written.get("active") == _INACTIVE:
            return True
        path = scim_application.path_of(known.resource_type, known.remote_id)
        try:
            if ability.user_update == "patch":
                operation = {"op": "replace", "path": "active", "value": False}
                reply = await self._application.ask("PATCH", path, scim_content.patch([operation]), expected=_NOT_THERE)
                return reply.status != 404
            current = await self._get(known)
            if current is None:
                return False
            body = scim_content.body_of({**current.document, "active": False}, "User", attributes=None, single=())
            reply = await self._application.ask("PUT", path, body, expected=_NOT_THERE)
            return reply.status != 404
        except Failure as failure:
            # Whoever is deleted at once need not be inactive before, where that is not possible.
            if refuses or not isinstance(failure.outcome, Rejected):
                raise
            return True

    async def remove(self, known: Remote) -> None:
        """DELETE it; that it is not there is as good."""
        path = scim_application.path_of(known.resource_type, known.remote_id)
        reply = await self._application.ask("DELETE", path, expected=_NOT_THERE)
        if reply.status == 404:
            self._check_lag(known)
        await self._lose(known, for_good=True)

    async def _lose(self, known: Remote, *, for_good: bool = False) -> Remote:
        """Note that the application no longer has it, nor the memberships that it had."""
        gone = Remote(known.resource_id, known.resource_type, "gone", known.version, self._now())
        await self._save(gone)
        if known.resource_type == "Group":
            await self._ledger.forget_members(self._key, known.resource_id, for_good=for_good)
        await self._ledger.forget_memberships(self._key, known.resource_id)
        return gone

    async def lose(self, known: Remote) -> Remote:
        """The application answered 404: it has it no more, and the next event makes it anew; raises Failure if it may lag."""
        self._check_lag(known)
        return await self._lose(known)

    def _check_lag(self, known: Remote) -> None:
        """Raise Failure where what is not found was written just now: to take it for gone would leave it there for good."""
        ago = self._now_seconds() - times.seconds(known.updated)
        if 0 <= ago < _LAG:
            reason = (
                f"The application does not show the {known.resource_type} that it was sent {ago:.0f} s ago; it may lag behind."
            )
            raise Failure(Retry(reason))

    # ------------------------------------------------------------------ noted

    async def _note(
        self, event: Event, reply: Reply | None, body: Json, awaits: str | None, ability: Ability, known: Remote | None = None
    ) -> Remote:
        """Note what was written; without a reply nothing was, because it was there already."""
        before = known or Remote(event.id, event.resource_type, "present", 0, "")
        noted = Remote(
            event.id,
            event.resource_type,
            "present",
            event.version,
            before.updated if reply is None else self._now(),
            before.remote_id or (None if reply is None else reply.remote_id),
            before.etag if reply is None else reply.etag if ability.has_etags else None,
            scim_content.digests(scim_content.flatten(body)),
            awaits,
        )
        if known is None or noted != replace(before, updated=noted.updated):
            await self._save(noted)
        return noted

    async def _save(self, remote: Remote, *, releases: str | None = None) -> None:
        if releases is not None:
            is_saved = await self._ledger.save_remote(self._key, remote, releases=releases)
        else:
            is_saved = await self._noting.save(remote)
        if not is_saved:
            reason = f"The application gave two of our resources one id; the other one is not {remote.resource_id}."
            raise Failure(Rejected(reason))

    def _now(self) -> str:
        return times.text(self._now_seconds())


def _listed(reply: Reply) -> list[Reply]:
    """The resources of a list answer."""
    found = reply.document.get("Resources") if reply.status == 200 else None
    several = found if isinstance(found, list) else []
    return [Reply(200, one, scim_application.etag_of(one), "") for one in several if isinstance(one, dict)]


def _has(found: Reply, attribute: str, value: str) -> bool:
    """Whether it really has that value: an application that ignores the filter lists everybody."""
    shown = scim_content.value_at(found.document, attribute)
    several = found.document.get(attribute.partition(".")[0])
    part = attribute.partition(".")[2]
    others = [one.get(part) for one in several if isinstance(one, Mapping)] if isinstance(several, list) else []
    candidates = [one for one in (shown, *others) if isinstance(one, str)]
    if attribute in ("externalId", "id"):
        return value in candidates
    return value.casefold() in (one.casefold() for one in candidates)
