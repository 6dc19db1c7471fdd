"""What kinds have in common whose secret the destination gives out: a token, a password, a client secret, a certificate."""

from collections.abc import Callable

from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Purpose, Secret


class BroughtSecret:
    """The part of a kind that is about its one secret, which is brought and never made or shown."""

    __slots__ = ()

    def make_secret(self, purpose: Purpose, random: Callable[[int], bytes]) -> bytes:
        """Raises Invalid: nobody but the destination can make it."""
        raise Invalid(["So configured it needs the secret that the destination gave out; bring it with --secret-file FILE."])

    def show_secret(self, secret: Secret) -> str:
        """Nothing: who brought it has it."""
        return ""
