"""Secrets sealed under keys: what opens, what does not, and what is bound to what."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scimhub.directory.errors import KeysUnusable
from scimhub.distribution import concealment, key_file, sealing
from scimhub.distribution.concealment import CONCEALED
from scimhub.distribution.delivery import Secret
from scimhub.distribution.sealing import Key, Keyring, Unreadable
from tests.keys import KEY, keyring

OTHER = Key("other", bytes(range(1, 33)))
SECRET = Secret("s1", "hmac", b"canary-value", "alue", "2026-11-26T00:00:00.000Z", None)


def sealed(ring: Keyring | None = None) -> Secret:
    return (ring or keyring()).seal(SECRET, "d1", os.urandom)


# --------------------------------------------------------------------------- sealing


def test_what_is_sealed_opens_again_and_shows_nothing():
    kept = sealed()
    assert (kept.key_id, b"canary" in kept.value, len(kept.value)) == ("test", False, 12 + len(SECRET.value) + 16)
    assert keyring().open(kept, "d1") == SECRET
    assert "canary" not in repr(kept)


def test_each_sealing_has_a_nonce_of_its_own():
    assert len({sealed().value[:12] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "moved",
    [
        lambda kept: (kept, "d2"),
        lambda kept: (replace(kept, id="s2"), "d1"),
        lambda kept: (replace(kept, purpose="password"), "d1"),
        lambda kept: (replace(kept, value=kept.value[:-1] + bytes([kept.value[-1] ^ 1])), "d1"),
        lambda kept: (replace(kept, value=b""), "d1"),
        lambda kept: (replace(kept, value=kept.value[:20]), "d1"),
    ],
    ids=["another destination", "another id", "another purpose", "another byte", "nothing", "cut"],
)
def test_what_was_moved_or_changed_does_not_open(moved):
    kept, destination = moved(sealed())
    with pytest.raises(Unreadable, match="does not open with the key test"):
        keyring().open(kept, destination)


def test_a_missing_and_a_wrong_key_are_named_and_nothing_else_is_told():
    kept = sealed(keyring(OTHER))
    with pytest.raises(Unreadable, match="sealed with the key other, which this hub does not have") as missing:
        keyring().open(kept, "d1")
    with pytest.raises(Unreadable, match="does not open with the key other") as wrong:
        keyring(replace(KEY, id="other")).open(kept, "d1")
    assert "canary" not in str(missing.value) + str(wrong.value)


def test_the_digest_of_a_token_is_left_as_it_is():
    token = replace(SECRET, purpose="token")
    assert keyring().seal(token, "d1", os.urandom) == token
    assert keyring().open(token, "d1") == token


def test_a_key_that_is_not_known_is_looked_up_once_more():
    known = [KEY]
    ring = Keyring(lambda: known)
    kept = sealed(keyring(OTHER))
    known.insert(0, OTHER)
    assert ring.open(kept, "d1") == SECRET
    assert (ring.newest, ring.ids) == ("other", ["other", "test"])


def test_a_key_is_read_as_it_was_written_and_not_shown():
    assert sealing.parse_key(sealing.write_key(KEY)) == KEY
    assert repr(KEY) == "Key(id='test')"
    made = sealing.new_key("2026-11-26", os.urandom)
    assert (made.id[:11], len(made.value)) == ("2026-11-26-", 32)


@pytest.mark.parametrize("written", ["", "test", "test:", "test:QUJD", f"a b:{'A' * 43}=", f":{'A' * 43}=", f"x:{'A' * 44}"])
def test_what_is_no_key_is_told_without_showing_it(written: str):
    with pytest.raises(ValueError, match="must be written as id:base64") as refused:
        sealing.parse_key(written)
    assert "AAA" not in str(refused.value)


# --------------------------------------------------------------------------- the file of keys


def test_a_file_of_keys_is_its_owners_alone_and_grows_in_front(tmp_path: Path):
    path = tmp_path / "secret.keys"
    key_file.make(path, KEY)
    assert (path.stat().st_mode & 0o777, key_file.read(path)) == (0o600, [KEY])
    key_file.make(path, OTHER)
    assert key_file.read(path) == [KEY]
    key_file.add(path, OTHER)
    assert (path.stat().st_mode & 0o777, key_file.read(path)) == (0o600, [OTHER, KEY])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content, told",
    [
        (None, "is not there; put it back"),
        (b"# nothing\n\n", "has no key"),
        (b"# remark\nnonsense-canary\n", "Line 2 of the key file"),
        (b"\xff\xfe", "holds no text"),
        (sealing.write_key(KEY).encode() * 1 + b"\n" + sealing.write_key(KEY).encode(), "two keys with the same id"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_says_why(tmp_path: Path, content: bytes | None, told: str):
    path = tmp_path / "secret.keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeysUnusable, match=told) as refused:
        key_file.read(path)
    assert "canary" not in str(refused.value)


# --------------------------------------------------------------------------- what nobody is shown

CONFIGURATION = {
    "url": "https://a.example",
    "headers": {"Authorization": "Bearer canary", "X-Tenant": "t1"},
    "operations": {
        "user.created": {
            "url": "/users",
            "headers": {"X-Key": {"constant": "canary"}, "X-Id": "id", "X-Both": {"join": ["id", {"constant": "canary"}]}},
            "body": {"constant": "seen"},
        }
    },
}


def test_values_of_headers_are_taken_out_and_put_back():
    shown, taken = concealment.conceal(CONFIGURATION, {})
    assert "canary" not in str(shown)
    assert shown["headers"] == {"Authorization": CONCEALED, "X-Tenant": CONCEALED}
    assert shown["operations"]["user.created"]["headers"] == {
        "X-Key": {"constant": CONCEALED},
        "X-Id": "id",
        "X-Both": {"join": ["id", {"constant": CONCEALED}]},
    }
    assert concealment.reveal(shown, concealment.read(concealment.write(taken))) == CONFIGURATION


def test_what_is_written_back_as_it_was_shown_stays():
    shown, taken = concealment.conceal(CONFIGURATION, {})
    assert concealment.conceal(shown, taken) == (shown, taken)
    changed = {**shown, "headers": {"Authorization": CONCEALED, "X-New": "other"}}
    again, kept = concealment.conceal(changed, taken)
    assert concealment.reveal(again, kept)["headers"] == {"Authorization": "Bearer canary", "X-New": "other"}


@pytest.mark.parametrize("configuration", [{}, {"url": "x"}, {"headers": 3}, {"headers": {"a": 4}}, {"operations": ["x"]}])
def test_a_configuration_without_headers_stays_as_it_is(configuration):
    assert concealment.conceal(configuration, {}) == (configuration, {})
