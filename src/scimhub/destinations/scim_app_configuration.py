"""The configuration of a SCIM application, read and checked: every mistake is told at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from yarl import URL

from scimhub.destinations import http_authorization, http_configuration, scim_profile
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_authorization import Wish
from scimhub.destinations.scim_profile import Profile
from scimhub.directory.errors import Invalid
from scimhub.scim import paths
from scimhub.scim.errors import ScimError

# What becomes of a person who leaves: made inactive, removed, or the first and some days later the second.
Leaving = Literal["deactivate", "delete", "deactivate_then_delete"]
Adoption = Literal["conflict", "first", "never"]

_DEFAULTS: Final[Mapping[str, object]] = {
    "base_url": None,
    "auth": {"type": "bearer"},
    "profile": "generic",
    "overrides": {},
    "match": {"User": "userName", "Group": "displayName"},
    "adopt": "conflict",
    "external_id": "hub",
    "on_delete": "deactivate",
    "delete_after_days": 30,
    "headers": {},
    "timeout": 15,
    "concurrency": 8,
    "largest_message": 0,
}
_NO_URL: Final = (
    "A SCIM application needs base_url, what stands before /Users, such as https://example.com/scim/v2; "
    "the profile's page in docs/scim-applications.md shows its form."
)
_MOST_DAYS: Final = 3650
_CHOICES: Final = {
    "adopt": ("conflict", "first", "never"),
    "external_id": ("hub", "source"),
    "on_delete": ("deactivate", "delete", "deactivate_then_delete"),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a SCIM application needs. ``timeout`` is in seconds, for one request.

    ``match`` names for each resource type the attribute by which somebody who is already there is found.
    """

    base_url: str
    auth: Wish
    profile: Profile
    match: Mapping[str, str]
    adopt: Adoption
    external_id: Literal["hub", "source"]
    on_delete: Leaving
    delete_after_days: int
    headers: Mapping[str, str]
    timeout: float
    concurrency: int
    largest_message: int

    @property
    def host(self) -> str:
        return URL(self.base_url).host or ""


def check(written: Mapping[str, object], policy: Policy) -> Mapping[str, object]:
    """The configuration with its defaults; raises Invalid with every mistake."""
    filled, problems = http_configuration.fill("The configuration of a SCIM application", written, _DEFAULTS)
    http_configuration.check_url(filled["base_url"], policy, problems, _NO_URL, "base_url")
    if isinstance(filled["base_url"], str) and "?" in filled["base_url"]:
        problems.append("The base_url has a query (?…); it must end where /Users begins.")
    http_authorization.check(filled["auth"], policy, problems)
    for key, choices in _CHOICES.items():
        http_configuration.check_choice(filled, key, choices, problems)
    http_configuration.check_range(filled, "delete_after_days", (1, _MOST_DAYS), (int,), "a whole number of days", problems)
    http_configuration.check_pace(filled, problems)
    http_configuration.check_headers(filled["headers"], problems)
    filled["match"] = _check_match(filled["match"], problems)
    _check_profile(filled, problems)
    if problems:
        raise Invalid(problems)
    return filled


def read(checked: Mapping[str, object]) -> Configuration:
    """What ``check`` let pass, as a value."""
    # It was checked when it was written down; what each key holds is known.
    known = cast(dict[str, Any], {**_DEFAULTS, **checked})
    overrides = known.pop("overrides")
    known["profile"] = scim_profile.overridden(scim_profile.load(known["profile"]), overrides, [])
    known["auth"] = http_authorization.read(known["auth"])
    known["base_url"] = known["base_url"].rstrip("/")
    return Configuration(**known)


def _check_match(value: object, problems: list[str]) -> object:
    defaults = cast(dict[str, str], _DEFAULTS["match"])
    if not isinstance(value, Mapping) or set(value) - set(defaults):
        problems.append('The match must be an object such as {"User": "userName", "Group": "displayName"}.')
        return value
    for resource_type, attribute in value.items():
        try:
            paths.parse_attribute(attribute if isinstance(attribute, str) else "")
        except ScimError:
            problems.append(f"The match of {resource_type} must name an attribute, such as {defaults[resource_type]}.")
    return {**defaults, **value}


def _check_profile(filled: Mapping[str, object], problems: list[str]) -> None:
    name, overrides = filled["profile"], filled["overrides"]
    if name not in scim_profile.names():
        problems.append(f"There is no profile {str(name)[:80]!r}; there are {', '.join(scim_profile.names())}.")
    elif not isinstance(overrides, Mapping):
        problems.append('The overrides must be an object such as {"members_per_patch": 50}.')
    else:
        scim_profile.overridden(scim_profile.load(str(name)), overrides, problems)
