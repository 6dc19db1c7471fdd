"""The secrets of destinations: made by the hub, or brought by somebody who was given them."""

from collections.abc import Mapping
from dataclasses import replace

from scimhub.directory.errors import Invalid
from scimhub.directory.sources import digest_of
from scimhub.distribution import times
from scimhub.distribution.delivery import Purpose, Secret
from scimhub.distribution.ports import DestinationKind, NeedsSecret
from scimhub.distribution.surroundings import Surroundings

# A kind's technology; None is a feed, which has a token.
Technology = DestinationKind | None
Brought = tuple[Purpose, bytes] | None


def parse(technology: Technology, text: str | None) -> Brought:
    """The secret that was brought; raises Invalid."""
    if text is None:
        return None
    if technology is None:
        raise Invalid(["A feed's token is made by the hub; leave the secret out."])
    return technology.parse_secret(text)


def missing(technology: Technology, configuration: Mapping[str, object], text: str | None) -> list[str]:
    """The sentence about a secret that must be brought and was not."""
    if text is None and isinstance(technology, NeedsSecret) and technology.needs_secret(configuration):
        return ["The configuration needs the secret that the destination gave out; bring it with --secret-file."]
    return []


def first(
    given: Surroundings, technology: Technology, configuration: Mapping[str, object], brought: Brought
) -> tuple[Secret | None, str]:
    """The secret of a new destination, and what is shown of it; None where it needs none."""
    if brought is None and _purpose(technology, configuration) == "password":
        return None, ""
    return another(given, technology, configuration, brought)


def another(
    given: Surroundings, technology: Technology, configuration: Mapping[str, object], brought: Brought
) -> tuple[Secret, str]:
    """A new secret, or the one that was brought, and what is shown of it; raises Invalid where it must be brought."""
    now = times.text(given.now())
    if technology is None:
        token = f"scimhub_feed_{given.random(32).hex()}"
        return Secret(given.new_id(), "token", digest_of(token), token[-4:], now, None), token
    wished = _purpose(technology, configuration)
    purpose, value = brought or (wished, technology.make_secret(wished, given.random))
    secret = Secret(given.new_id(), purpose, value, "", now, None)
    shown = technology.show_secret(secret)
    return replace(secret, hint=shown[-4:]), shown


def _purpose(technology: Technology, configuration: Mapping[str, object]) -> Purpose:
    if technology is None:
        return "token"
    wished = configuration.get("signature")
    return next((purpose for purpose in technology.purposes if purpose == wished), technology.purposes[0])
