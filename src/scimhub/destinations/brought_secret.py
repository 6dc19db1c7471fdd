"""What kinds have in common whose secret the destination gives out: a token, a password, a client secret, a certificate."""

from collections.abc import Callable

from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Purpose, Secret

_LONGEST = 64 * 1024


class BroughtSecret:
    """The part of a kind that is about its one secret, which is brought and never made or shown."""

    __slots__ = ()

    def make_secret(self, purpose: Purpose, random: Callable[[int], bytes]) -> bytes:
        """Raises Invalid: nobody but the destination can make it."""
        raise Invalid(["So configured it needs the secret that the destination gave out; bring it with --secret-file FILE."])

    def parse_secret(self, text: str) -> tuple[Purpose, bytes]:
        """The secret that somebody brought: one line, or a text in PEM; raises Invalid, whose text never holds it."""
        if not text:
            raise Invalid(["The secret is empty."])
        if len(text) > _LONGEST:
            raise Invalid([f"The secret has {len(text)} characters; {_LONGEST} are possible."])
        if "-----BEGIN" not in text and not (text.isascii() and text.isprintable()):
            raise Invalid(["The secret must be one line of printable ASCII characters, or a certificate with its key as PEM."])
        return "password", text.encode()

    def show_secret(self, secret: Secret) -> str:
        """Nothing: who brought it has it."""
        return ""
