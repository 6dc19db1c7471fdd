"""Secrets at rest: sealed with AES-256-GCM under a key that is not in the database. Pure but for the looking up of keys.

What is sealed is bound to its destination, its purpose and its id: a value that was moved to another row opens no longer.
A sealed value is a nonce of 12 bytes, then the ciphertext with its tag.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scimhub.directory.errors import KeysUnusable
from scimhub.distribution.delivery import Secret

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_WRITTEN: Final = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,40}):(?P<value>[A-Za-z0-9+/]{43}=)")


class Unreadable(Exception):
    """A secret cannot be opened; the text is a sentence that names the key, and holds nothing of the secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key; its value is never shown."""

    id: str
    value: bytes = field(repr=False)


class Keyring:
    """The keys of this process, the newest first. ``look_up`` gives them as they are now: a file may have got another one.

    ``add`` writes one more in front of them; None where only the administrator can. ``make`` gives a new one for the first
    that is sealed where there is no key yet; without it there must be one.
    """

    def __init__(
        self,
        look_up: Callable[[], Sequence[Key]],
        add: Callable[[Key], None] | None = None,
        make: Callable[[], Key] | None = None,
    ) -> None:
        self._look_up = look_up
        self._add = add
        self._make = make
        self._keys = {key.id: AESGCM(key.value) for key in look_up()}

    @property
    def newest(self) -> str:
        """The id of the key under which secrets are sealed from now on; empty while there is none."""
        return next(iter(self._keys), "")

    @property
    def ids(self) -> Sequence[str]:
        return list(self._keys)

    @property
    def can_grow(self) -> bool:
        """Whether ``grow`` is possible."""
        return self._add is not None

    def grow(self, key: Key) -> None:
        """Have one more key, the newest from now on; the caller has asked ``can_grow``."""
        assert self._add is not None  # noqa: S101 - see above
        self._add(key)
        self.renew()

    def renew(self) -> None:
        """Look the keys up again."""
        self._keys = {key.id: AESGCM(key.value) for key in self._look_up()}

    def seal(self, secret: Secret, destination_id: str, random: Callable[[int], bytes]) -> Secret:
        """The open secret sealed under the newest key; a token's digest tells nothing and stays as it is."""
        if secret.purpose == "token":
            return secret
        if not self._keys and self._make is not None:
            self.grow(self._make())
        key_id, nonce = self.newest, random(_NONCE_BYTES)
        sealed = self._keys[key_id].encrypt(nonce, secret.value, _bound_to(secret, destination_id))
        return replace(secret, value=nonce + sealed, key_id=key_id)

    def open(self, secret: Secret, destination_id: str) -> Secret:
        """The secret as it was before it was sealed; raises Unreadable."""
        if secret.key_id is None:
            return secret
        if secret.key_id not in self._keys:
            with suppress(KeysUnusable):  # then it is not there
                self.renew()
        key = self._keys.get(secret.key_id)
        if key is None:
            raise Unreadable(
                f"Its secret is sealed with the key {secret.key_id}, which this hub does not have; "
                "give that key in secret_keys or secret_keys_file, or bring or rotate the secret."
            )
        try:
            value = key.decrypt(secret.value[:_NONCE_BYTES], secret.value[_NONCE_BYTES:], _bound_to(secret, destination_id))
        except (InvalidTag, ValueError):  # the latter of a value that is too short
            raise Unreadable(
                f"Its secret does not open with the key {secret.key_id}: another key has that id now, or the row was "
                "changed; give the right key, or bring or rotate the secret."
            ) from None
        return replace(secret, value=value, key_id=None)


def new_key(day: str, random: Callable[[int], bytes]) -> Key:
    """A new key, whose id begins with the day, such as 2026-11-26."""
    return Key(f"{day}-{random(3).hex()}", random(KEY_BYTES))


def parse_key(written: str) -> Key:
    """The key that ``id:base64`` names; raises ValueError with a sentence that never holds the key."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise ValueError(
            "A key must be written as id:base64, with an id of up to 40 letters, digits, dots, hyphens and underscores, and "
            f"the base64 of {KEY_BYTES} random bytes; make one with: scimhub secrets new-key"
        )
    return Key(found["id"], binascii.a2b_base64(found["value"]))


def write_key(key: Key) -> str:
    """The key as ``parse_key`` reads it."""
    return f"{key.id}:{base64.b64encode(key.value).decode()}"


def _bound_to(secret: Secret, destination_id: str) -> bytes:
    return "\0".join(("scimhub secret 1", destination_id, secret.purpose, secret.id)).encode()
