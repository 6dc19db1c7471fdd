"""The text of a ``.creds`` file, by which a user shows a NATS server who it is: a JWT, and the seed of a key that signs.

The library looks for both while it connects. Of a text without a JWT it reads the end over and over and comes back to
nobody, so that the whole hub would stand still; of one without a seed it raises what says nothing to anybody.
"""

import re
from typing import Final

_JWT: Final = re.compile(r"BEGIN NATS USER JWT-*\s+([\w.=-]+)\s")
# A user's seed in base32: two bytes of prefix, 32 of seed, two of checksum.
_SEED: Final = re.compile(r"BEGIN USER NKEY SEED-*\s+(SU[A-D][A-Z2-7]{55})\s")


class NoCredentials(Exception):
    """The text is no credentials; what is said is a sentence for the administrator, and never holds it."""


def canonical(text: str) -> str:
    """The same as the library reads it, which takes no other ends of lines; raises NoCredentials."""
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None:
        what = "NATS USER JWT" if jwt is None else "USER NKEY SEED with a user's seed"
        raise NoCredentials(
            f"The secret is no text of a .creds file: it has no {what}; bring the whole file with --secret-file."
        )
    return "\n".join(
        (
            *("-----BEGIN NATS USER JWT-----", jwt[1], "------END NATS USER JWT------", ""),
            *("-----BEGIN USER NKEY SEED-----", seed[1], "------END USER NKEY SEED------", ""),
        )
    )
