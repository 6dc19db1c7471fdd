"""What one SCIM application can do: its profile where that speaks, else what it says of itself (RFC 7643 §5).

Whatever it cannot do is told as a note, and never passed over in silence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scimhub.destinations.scim_app_configuration import Configuration
from scimhub.destinations.scim_profile import Paging, TypeProfile, Verb


@dataclass(frozen=True, slots=True)
class Ability:
    """What holds for the application. ``notes`` are sentences about what it cannot do, and what follows."""

    user_update: Verb
    group_update: Verb
    user_lookups: tuple[str, ...]
    group_lookups: tuple[str, ...]
    has_etags: bool
    paging: Paging
    notes: tuple[str, ...]

    def update(self, resource_type: str) -> Verb:
        return self.group_update if resource_type == "Group" else self.user_update

    def lookups(self, resource_type: str) -> tuple[str, ...]:
        return self.group_lookups if resource_type == "Group" else self.user_lookups


def of_application(configuration: Configuration, told: Mapping[str, Any] | None) -> Ability:
    """The ability, from what the application told of itself; None when that could not be read."""
    profile = configuration.profile
    patches, filters = _supports(told, "patch"), _supports(told, "filter")
    etags = profile.etag if profile.etag is not None else _supports(told, "etag") is True
    return Ability(
        user_update=_verb(profile.user, patches),
        group_update=_verb(profile.group, patches),
        user_lookups=_lookups(profile.user, filters, configuration.match["User"]),
        group_lookups=_lookups(profile.group, filters, configuration.match["Group"]),
        has_etags=etags,
        paging=_paging(profile.paging, told),
        notes=tuple(_notes(configuration, told, patches, filters)),
    )


def _supports(told: Mapping[str, Any] | None, feature: str) -> bool | None:
    found = None if told is None else told.get(feature)
    said = found.get("supported") if isinstance(found, Mapping) else None
    return said if isinstance(said, bool) else None


def _paging(known: Paging, told: Mapping[str, Any] | None) -> Paging:
    """Cursors where it offers them (RFC 9865 §4), for they miss nobody who stays while others come and go."""
    pagination = None if told is None else told.get("pagination")
    offers_cursors = isinstance(pagination, Mapping) and pagination.get("cursor") is True
    return "cursor" if known == "index" and offers_cursors else known


def _verb(profile: TypeProfile, patches: bool | None) -> Verb:
    return profile.update or ("put" if patches is False else "patch")


def _lookups(profile: TypeProfile, filters: bool | None, match: str) -> tuple[str, ...]:
    if profile.lookups is not None:
        return tuple(dict.fromkeys(one for one in ("externalId", match) if one in profile.lookups))
    return () if filters is False else tuple(dict.fromkeys(("externalId", match)))


def _notes(
    configuration: Configuration, told: Mapping[str, Any] | None, patches: bool | None, filters: bool | None
) -> Iterator[str]:
    profile = configuration.profile
    yield from profile.notes
    if told is None:
        yield "Its ServiceProviderConfig cannot be read; PATCH and filters are assumed, ETags are not used."
    elif patches is None or filters is None:
        yield "Its ServiceProviderConfig does not say whether it takes PATCH and filters; both are assumed."
    for name, of_type in (("users", profile.user), ("groups", profile.group)):
        verb = _verb(of_type, patches)
        if of_type.update == "patch" and patches is False:
            yield f"Its ServiceProviderConfig denies PATCH; the profile {profile.name} says that it takes it for {name}."
        elif verb == "put" and name == "groups":
            yield "It takes no PATCH for groups: each change of members sends the whole group again, from our own ledger."
        elif verb == "put":
            yield "It takes no PATCH for users: each change sends the whole user."
        if of_type.attributes is not None:
            yield f"Of {name} it is sent only {', '.join(of_type.attributes)}."
        if of_type.single:
            yield f"Of {', '.join(of_type.single)} it is sent one value, the primary or the first."
    if filters is False and profile.user.lookups is None:
        yield "It offers no filters: who is there already cannot be found, so that a conflict waits for a person."
    for resource_type, of_type in (("User", profile.user), ("Group", profile.group)):
        match = configuration.match[resource_type]
        if of_type.lookups is not None and match not in of_type.lookups:
            yield f"It cannot be asked for {match} of a {resource_type}: the match rule is of no use."
    if profile.delete_means == "deactivate" and configuration.on_delete != "deactivate":
        yield "Its DELETE only deactivates a user."
    if not profile.nested_groups:
        yield "It knows no groups within groups: such members are not sent."
