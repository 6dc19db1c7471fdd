"""Everything that a SCIM application shows of a resource type, page by page.

Pages come by cursor where the application offers them (RFC 9865), else by index (RFC 7644 §3.4.2.4). An application that
repeats people behind its last page is believed once.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from scimhub.destinations import scim_application, scim_content
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.scim_ability import Ability
from scimhub.destinations.scim_application import Application, Reply
from scimhub.destinations.scim_profile import Profile
from scimhub.distribution.delivery import Retry
from scimhub.distribution.drift import Shown

# Bytes of a page, in which one group may have a hundred thousand members.
_LONGEST_PAGE: Final = 64 * 1024 * 1024
# Values that people are found by, whatever their case (RFC 7643 §4.1.1); applications fold them.
FOLDED: Final = frozenset(("userName", "emails", "emails.value"))


async def pages(application: Application, profile: Profile, ability: Ability, resource_type: str) -> AsyncIterator[list[Shown]]:
    """What it shows, each resource once; raises Failure, also when less comes than it says it has."""
    seen: set[str] = set()
    lookups = ability.lookups(resource_type)
    query, total = _first(profile, ability), 0
    while True:
        path = scim_application.path_of(resource_type)
        reply = await application.ask("GET", path, query=query, limit=_LONGEST_PAGE)
        listed = _resources(reply, resource_type, ability)
        found = [shown for one in listed if isinstance(one, dict) and (shown := _shown_of(one, lookups)) is not None]
        fresh = [shown for shown in found if shown.remote_id not in seen]
        seen.update(shown.remote_id for shown in fresh)
        yield fresh
        total = max(total, _number(reply, "totalResults"))
        following = _next(query, reply, len(listed), total, ability)
        if following is None or (not fresh and ability.paging == "index"):
            break
        query = following
    if len(seen) < total:
        reason = f"The application says that it has {total} of {resource_type} and showed {len(seen)}; look again later."
        raise Failure(Retry(reason, "destination"))


async def one(application: Application, resource_type: str, remote_id: str) -> Shown | None:
    """One resource as it is shown alone, which some do with more than in a list; None when it is not there."""
    path = scim_application.path_of(resource_type, remote_id)
    reply = await application.ask("GET", path, expected=(404,), limit=_LONGEST_PAGE)
    return None if reply.status == 404 else _shown_of(reply.document, ())


def _first(profile: Profile, ability: Ability) -> dict[str, str]:
    count = {"count": str(profile.page_size)}
    match ability.paging:
        case "cursor":
            return {"cursor": "", **count}
        case "index":
            return {"startIndex": "1", **count}
        case _:
            return {}


def _next(query: Mapping[str, str], reply: Reply, listed: int, total: int, ability: Ability) -> dict[str, str] | None:
    """How to ask for the page behind the reply; None when that was the last one."""
    if ability.paging == "cursor":
        cursor = reply.document.get("nextCursor")
        return {**query, "cursor": cursor} if isinstance(cursor, str) and cursor else None
    if ability.paging == "none":
        return None
    behind = int(query["startIndex"]) + listed
    return {**query, "startIndex": str(behind)} if listed and behind <= total else None


def _resources(reply: Reply, resource_type: str, ability: Ability) -> list[object]:
    """What the page lists. An answer that is no list says nothing of anybody, and one without a total not where it ends."""
    listed, total = reply.document.get("Resources"), reply.document.get("totalResults")
    is_list = isinstance(listed, list) or (not listed and type(total) is int)
    if not is_list or (ability.paging == "index" and type(total) is not int):
        what = "totalResults" if is_list else "Resources"
        raise Failure(
            Retry(f"The application answered without {what} when it was asked for every {resource_type}.", "destination")
        )
    return listed if isinstance(listed, list) else []


def _number(reply: Reply, name: str) -> int:
    value = reply.document.get(name)
    return value if type(value) is int else 0


def _shown_of(document: Mapping[str, Any], lookups: tuple[str, ...]) -> Shown | None:
    """One resource of a list; None without an id by which it could be named."""
    reply = Reply(200, document, None, "")
    if reply.remote_id is None:
        return None
    members = document.get("members")
    ids = [one.get("value") for one in members if isinstance(one, Mapping)] if isinstance(members, list) else None
    content = {name: value for name, value in document.items() if name not in ("members", "meta", "groups")}
    external_id = document.get("externalId")
    return Shown(
        reply.remote_id,
        scim_content.flatten(content),
        external_id if isinstance(external_id, str) else None,
        None if ids is None else tuple(id for id in ids if isinstance(id, str)),
        keys_of(content, lookups),
    )


def keys_of(content: Mapping[str, Any], lookups: tuple[str, ...]) -> tuple[str, ...]:
    """By what the resource is found, as texts that are equal for who is the same, in the order of the look-ups."""
    keys = []
    for attribute in lookups:
        value = scim_content.value_at(content, attribute)
        if isinstance(value, str) and value:
            keys.append(f"{attribute}={value if attribute == 'externalId' else value.casefold()}")
    return tuple(keys)
