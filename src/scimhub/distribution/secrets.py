"""The secrets of destinations: made by the hub, or brought by somebody who was given them.

What comes from here is open; ``sealing`` is what it has to pass before it is written down.
"""

from collections.abc import Mapping
from dataclasses import replace

from scimhub.directory.errors import Invalid
from scimhub.directory.sources import digest_of
from scimhub.distribution import times
from scimhub.distribution.delivery import Secret
from scimhub.distribution.ports import DestinationKind
from scimhub.distribution.surroundings import Surroundings


def new(
    given: Surroundings, technology: DestinationKind | None, configuration: Mapping[str, object], brought: str | None
) -> tuple[Secret | None, str]:
    """A new secret, or the one that was brought, and the text of it that is shown; None when it is to have none.

    ``technology`` is the kind's, None for a feed, which has a token. Raises Invalid.
    """
    now = times.text(given.now())
    if technology is None:
        if brought is not None:
            raise Invalid(["A feed's token is made by the hub; leave the secret out."])
        token = f"scimhub_feed_{given.random(32).hex()}"
        return Secret(given.new_id(), "token", digest_of(token), token[-4:], now, None), token
    purpose = technology.purpose(configuration)
    if purpose is None:
        if brought is not None:
            raise Invalid(["So configured it has no secret; set its authentication, or leave the secret out."])
        return None, ""
    if brought is None:
        value = technology.make_secret(purpose, given.random)
    else:
        purpose, value = technology.parse_secret(brought, configuration)
    secret = Secret(given.new_id(), purpose, value, "", now, None)
    shown = technology.show_secret(secret)
    return replace(secret, hint=shown[-4:]), shown
