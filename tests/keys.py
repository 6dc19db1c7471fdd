"""A key for tests that put parts of a hub together themselves."""

from pydantic import SecretStr

from scimhub import clock
from scimhub.distribution import sealing
from scimhub.distribution.delivery import Purpose, Secret
from scimhub.distribution.sealing import Key, Keyring
from scimhub.sqlstore.store import SqlStore

KEY = Key("test", bytes(range(32)))
# As a setting.
SEALING_KEYS = (SecretStr(sealing.write_key(KEY)),)


def keyring(*keys: Key) -> Keyring:
    """These keys, or one that is always the same."""
    return Keyring(lambda: keys or (KEY,))


async def keep_secret(store: SqlStore, key: int, purpose: Purpose, value: bytes, hint: str, now: str) -> Secret:
    """A secret of the destination, kept as it is given."""
    made = Secret(clock.new_id(), purpose, value, hint, now, None)
    await store.add_secret(key, made)
    return made
