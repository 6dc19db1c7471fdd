"""Directories, sources and tokens on a real store."""

import hashlib
import re
from pathlib import Path

import pytest

from scimhub.directory import sources
from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.sqlstore.store import SqlStore

NOW = "2026-11-23T20:41:35.123Z"


@pytest.mark.parametrize("name", ["a", "acme", "acme-2", "0", "a" * 63])
async def test_a_directory_has_a_name_that_fits_a_url(store: SqlStore, name: str):
    made = await sources.create_directory(store, name, NOW)
    assert (made.name, made.created, made.deletion_requested) == (name, NOW, None)
    assert await sources.get_directory(store, name) == made


@pytest.mark.parametrize("name", ["", "Acme", "a_b", "-a", "a-", "a" * 64, "a b", "ä", "a/b", "a\n"])
async def test_other_names_are_refused(store: SqlStore, name: str):
    with pytest.raises(Invalid) as caught:
        await sources.create_directory(store, name, NOW)
    assert len(caught.value.problems) == 1
    assert await store.list_directories() == []


async def test_a_name_is_given_once(store: SqlStore):
    await sources.create_directory(store, "acme", NOW)
    with pytest.raises(Conflict):
        await sources.create_directory(store, "acme", NOW)


async def test_deleting_a_directory_takes_two_steps(store: SqlStore):
    await sources.create_directory(store, "acme", NOW)
    with pytest.raises(Conflict):
        await sources.delete_directory(store, "acme", "acme")
    requested = await sources.request_directory_deletion(store, "acme", NOW)
    again = await sources.request_directory_deletion(store, "acme", "2026-11-24T00:00:00.000Z")
    assert requested.deletion_requested == again.deletion_requested == NOW
    with pytest.raises(Invalid):
        await sources.delete_directory(store, "acme", "other")
    await sources.delete_directory(store, "acme", "acme")
    with pytest.raises(Absent):
        await sources.get_directory(store, "acme")


async def test_a_source_has_a_known_dialect_and_rule_and_every_mistake_is_told(store: SqlStore):
    acme = await sources.create_directory(store, "acme", NOW)
    with pytest.raises(Invalid) as caught:
        await sources.create_source(store, acme, "Okta", "oktaish", "sometimes", NOW)
    assert len(caught.value.problems) == 3
    made = await sources.create_source(store, acme, "okta", "lenient", "new", NOW)
    assert (await sources.get_source(store, acme, "okta")) == made
    changed = await sources.update_source(store, made, None, "external_id")
    assert (changed.dialect, changed.returning) == ("lenient", "external_id")
    with pytest.raises(Invalid):
        await sources.update_source(store, made, "oktaish", None)


async def test_the_same_source_name_may_stand_in_two_directories(store: SqlStore):
    one, other = [await sources.create_directory(store, name, NOW) for name in ("one", "other")]
    made = [await sources.create_source(store, home, "okta", "strict", "new", NOW) for home in (one, other)]
    assert made[0].key != made[1].key
    with pytest.raises(Absent):
        await sources.get_source(store, one, "entra")


async def test_a_token_is_shown_once_and_kept_as_a_digest(store: SqlStore, tmp_path: Path):
    source = await source_of(store)
    token, secret = await sources.create_token(store, source, {"read", "write"}, None, NOW)
    assert re.fullmatch(r"scimhub_[A-Za-z0-9_-]{43}", secret)
    assert (token.hint, token.permissions, token.expires) == (secret[-4:], {"read", "write"}, "2027-11-23T20:41:35.123Z")
    grant = await store.find_grant(hashlib.sha256(secret.encode()).digest())
    assert grant is not None
    assert (grant.token.id, grant.source.name, grant.directory.name) == (token.id, "okta", "acme")
    store.database.close_here()
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


async def test_tokens_of_one_source_overlap(store: SqlStore):
    source = await source_of(store)
    old, _ = await sources.create_token(store, source, ["read"], "never", NOW)
    new, _ = await sources.create_token(store, source, ["read"], "90d", NOW)
    assert {token.id for token in await store.list_tokens(source.key)} == {old.id, new.id}
    revoked = await store.revoke_token(source.key, old.id, NOW)
    assert (revoked.revoked, old.expires, new.expires) == (NOW, None, "2027-02-21T20:41:35.123Z")


async def test_every_mistake_in_a_wish_for_a_token_is_told(store: SqlStore):
    source = await source_of(store)
    with pytest.raises(Invalid) as caught:
        await sources.create_token(store, source, ["admin", "read"], "tomorrow", NOW, "short")
    assert len(caught.value.problems) == 3
    with pytest.raises(Invalid):
        await sources.create_token(store, source, [], None, NOW)
    assert await store.list_tokens(source.key) == []


EXPIRIES = [
    ("never", None),
    ("12h", "2026-11-24T08:41:35.123Z"),
    ("90d", "2027-02-21T20:41:35.123Z"),
    ("1y", "2027-11-23T20:41:35.123Z"),
    ("2027-01-31", "2027-01-31T00:00:00.000Z"),
    ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00.000Z"),
]


@pytest.mark.parametrize("text, moment", EXPIRIES)
def test_an_expiry_is_a_period_or_a_date_or_never(text: str, moment: str | None):
    assert sources.parse_expiry(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "0d", "-1d", "90", "90 d", "99999y", "2026-11-23", "31.1.2027", "Never"])
def test_other_expiries_are_refused(text: str):
    with pytest.raises(Invalid):
        sources.parse_expiry(text, NOW)


async def test_an_empty_database_gets_a_first_grant_once(store: SqlStore):
    first = await sources.bootstrap(store, None, NOW)
    assert first is not None
    assert (first.directory.name, first.source.name, first.source.dialect) == ("default", "default", "lenient")
    assert first.token.expires == "2027-11-23T20:41:35.123Z"
    assert await sources.bootstrap(store, None, NOW) is None


async def test_a_given_secret_becomes_the_first_token(store: SqlStore):
    secret = "s" * 20
    first = await sources.bootstrap(store, secret, NOW)
    assert first is not None
    assert (first.secret, first.token.expires) == (secret, None)
    assert await store.find_grant(sources.digest_of(secret)) is not None


async def test_what_a_crash_left_half_done_is_completed(store: SqlStore):
    await sources.create_directory(store, "default", NOW)
    first = await sources.bootstrap(store, None, NOW)
    assert first is not None
    assert len(await store.list_directories()) == 1


async def test_a_database_with_another_directory_is_not_empty(store: SqlStore):
    await sources.create_directory(store, "acme", NOW)
    assert await sources.bootstrap(store, None, NOW) is None


async def source_of(store: SqlStore) -> sources.Source:
    acme = await sources.create_directory(store, "acme", NOW)
    return await sources.create_source(store, acme, "okta", "lenient", "new", NOW)
