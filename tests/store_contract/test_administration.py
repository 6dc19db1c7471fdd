"""Directories, sources, tokens, catalogs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from scimhub.directory.errors import Absent, Conflict
from scimhub.directory.intents import Actor, Applied, UniqueConflict
from scimhub.directory.ports import Selection
from scimhub.directory.records import Directory, Grant, Source, Token
from scimhub.scim.catalog import standard_catalog
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T0, T1, T2, AnyStore, Desk, applied, group, user

USER = standard_catalog().kinds["User"]


async def test_directories_are_listed_by_name(store: AnyStore):
    beta = await store.create_directory("beta", T0)
    alpha = await store.create_directory("alpha", T1)
    assert beta == Directory(beta.key, "beta", T0, 1, None)
    assert await store.list_directories() == [alpha, beta]
    assert await store.find_directory("beta") == beta
    assert await store.find_directory("gamma") is None
    with pytest.raises(Conflict, match="beta"):
        await store.create_directory("beta", T2)


async def test_a_catalog_has_a_version_that_grows_with_every_change(store: AnyStore, open_it: Callable[..., AnyStore]):
    acme = await store.create_directory("acme", T0)
    assert (store.catalog_version(acme.key), store.catalog_version(acme.key + 1)) == (1, 0)
    assert await store.find_additions(acme.key) == {}
    assert await store.save_additions(acme.key, {"schemas": [{"id": "urn:x"}]}) == 2
    assert store.catalog_version(acme.key) == 2
    assert await store.find_additions(acme.key) == {"schemas": [{"id": "urn:x"}]}
    assert (await open_it()).catalog_version(acme.key) == 2
    found = await (await open_it()).find_directory("acme")
    assert found is not None
    assert found.catalog_version == 2


async def test_what_is_gone_is_told(store: AnyStore):
    for wish in (
        store.find_additions(9),
        store.save_additions(9, {}),
        store.request_directory_deletion(9, T0),
        store.delete_directory(9),
        store.create_source(9, "x", "lenient", "new", T0),
        store.update_source(9, "lenient", "new"),
        store.delete_source(9, T0),
        store.create_token(9, b"x", "x", frozenset({"read"}), None, T0),
        store.revoke_token(9, "x", T0),
    ):
        with pytest.raises(Absent):
            await wish


async def test_a_directory_is_deleted_in_two_steps(desk: Desk):
    store, key = desk.store, desk.directory.key
    other = await open_desk(store, "other")
    await other.users(2)
    users = await desk.users(3)
    staff = await desk.group("Staff", *users)
    await desk.user("kim", external_id="e1", unmapped='{"x":1}')
    await desk.delete(users[0])
    await store.create_token(desk.source.key, b"digest", "1234", frozenset({"read"}), None, T0)
    with pytest.raises(Conflict, match="acme"):
        await store.delete_directory(key)
    assert await desk.find(staff.id, "Group") is not None
    assert (await store.request_directory_deletion(key, T1)).deletion_requested == T1
    assert (await store.request_directory_deletion(key, T2)).deletion_requested == T1
    await store.delete_directory(key)
    assert await store.find_directory("acme") is None
    assert store.catalog_version(key) == 0
    assert await store.find_grant(b"digest") is None
    assert await store.count_resources(key) == {}
    assert await desk.find(staff.id, "Group") is None
    assert await store.find_tombstone(key, users[0]) is None
    assert await store.list_sources(key) == []
    assert len(await other.changes()) == await store.last_position()
    blanked = {change.after for change in await other.changes() if change.directory == key}
    assert blanked == {None}
    assert await store.count_resources(other.directory.key) == {"User": 2}
    assert (await other.get("other-0001")).document == user("user000").document
    # A new directory of that name is another one.
    assert (await store.create_directory("acme", T2)).key > other.directory.key


async def test_nobody_is_written_into_a_directory_that_is_gone(desk: Desk):
    kim = await desk.user("kim")
    other = await open_desk(desk.store, "other")
    await desk.store.request_directory_deletion(desk.directory.key, T1)
    await desk.store.delete_directory(desk.directory.key)
    # Whoever had a grant until now writes with it for up to a second more.
    late = (desk.try_user("late"), desk.put(kim.id, user("kim2")), desk.delete(kim.id))
    outcomes = await asyncio.gather(*late, other.try_user("sam"), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes[:3]] == ["The directory is not there any more."] * 3
    assert isinstance(outcomes[3], Applied)
    sql = "SELECT count(*) FROM resources WHERE directory = ?"
    [(left,)] = await desk.store.database.read(lambda connection: connection.fetch(sql, (desk.directory.key,)))
    assert left == 0
    assert await desk.store.count_resources(desk.directory.key) == {}


async def test_sources_are_listed_by_name(desk: Desk):
    store, key = desk.store, desk.directory.key
    entra = await store.create_source(key, "entra", "lenient", "external_id", T1)
    assert entra == Source(entra.key, key, "entra", "lenient", "external_id", T1)
    assert await store.list_sources(key) == [entra, desk.source]
    assert await store.find_source(key, "entra") == entra
    assert await store.find_source(key + 1, "entra") is None
    changed = await store.update_source(entra.key, "strict", "new")
    assert changed == replace(entra, dialect="strict", returning="new")
    assert await store.find_source(key, "entra") == changed
    with pytest.raises(Conflict, match="okta"):
        await store.create_source(key, "okta", "lenient", "new", T1)


async def test_a_deleted_source_leaves_its_resources(desk: Desk):
    store, key = desk.store, desk.directory.key
    await desk.user("kim", external_id="e1", unmapped='{"x":1}')
    await store.create_token(desk.source.key, b"digest", "1234", frozenset({"write"}), None, T0)
    await store.delete_source(desk.source.key, T1)
    assert await store.list_sources(key) == []
    assert await store.find_source(key, "okta") is None
    assert (await desk.get("acme-0001")).external_id is None
    assert await store.unmapped(key, "User", 0, 10) == []
    grant = await store.find_grant(b"digest")
    assert grant is not None
    assert grant.token.revoked == T1
    again = await store.create_source(key, "okta", "lenient", "new", T2)
    assert again.key != desk.source.key


async def test_a_token_opens_its_source_and_directory(desk: Desk):
    store, source = desk.store, desk.source.key
    token = await store.create_token(source, b"one", "abcd", frozenset({"write", "read"}), T2, T1)
    assert token == Token(token.id, source, "abcd", frozenset({"read", "write"}), T1, T2, None, None)
    assert await store.find_grant(b"one") == Grant(token, desk.source, desk.directory)
    assert await store.find_grant(b"two") is None
    second = await store.create_token(source, b"two", "efgh", frozenset({"read"}), None, T2)
    assert await store.list_tokens(source) == [token, second]
    with pytest.raises(Conflict, match="same secret"):
        await store.create_token(source, b"two", "efgh", frozenset({"read"}), None, T2)


async def test_a_revoked_token_is_found_as_revoked(desk: Desk):
    store, source = desk.store, desk.source.key
    token = await store.create_token(source, b"one", "abcd", frozenset({"read"}), None, T0)
    assert await store.revoke_token(source, token.id, T1) == replace(token, revoked=T1)
    assert await store.revoke_token(source, token.id, T2) == replace(token, revoked=T1)
    grant = await store.find_grant(b"one")
    assert grant is not None
    assert grant.token.revoked == T1
    with pytest.raises(Absent):
        await store.revoke_token(source + 1, token.id, T1)


async def test_the_last_use_of_a_token_only_moves_on(desk: Desk):
    store, source = desk.store, desk.source.key
    one = await store.create_token(source, b"one", "abcd", frozenset({"read"}), None, T0)
    two = await store.create_token(source, b"two", "abcd", frozenset({"read"}), None, T0)
    await store.touch_tokens({one.id: T1, two.id: T2, "nobody": T2})
    await store.touch_tokens({one.id: T2, two.id: T1})
    await store.touch_tokens({})
    assert [token.last_used for token in await store.list_tokens(source)] == [T2, T2]


# --------------------------------------------------------------------------- content that schemas change


async def test_reindexing_is_no_change(desk: Desk):
    a, b = await desk.user("a"), await desk.user("b")
    kept = await desk.store.last_position()
    contents = {
        stored.key: user(name)._replace(normal='{"title":"x"}', unique=(("title", "x"),), indexed=(("title", "x"),))
        for name, stored in (("a", a), ("b", b))
    }
    conflicts, overtaken = await desk.store.reindex(desk.directory.key, "User", contents)
    assert (conflicts, overtaken) == ([UniqueConflict("title", a.id)], set())
    assert await desk.get(a.id) == a
    assert await desk.store.last_position() == kept
    # The former unique value is given up.
    assert isinstance(await desk.try_user("a"), Applied)


async def test_reindexing_passes_over_what_has_changed_since(desk: Desk):
    kim = await desk.user("kim")
    await desk.put(kim.id, user("sam"))
    assert await desk.store.reindex(desk.directory.key, "User", {kim.key: user("kim"), 999: user("x")}) == ([], {kim.key, 999})
    assert await desk.try_user("sam") == UniqueConflict("userName", kim.id)
    assert isinstance(await desk.try_user("kim"), Applied)


async def test_unmapped_content_is_walked_by_resource(desk: Desk):
    store, key = desk.store, desk.directory.key
    entra = desk.of(await store.create_source(key, "entra", "lenient", "new", T0))
    kim = await desk.user("kim", unmapped='{"hat":1}')
    await entra.put(kim.id, None, unmapped='{"hat":2}')
    sam = await desk.user("sam", unmapped='{"hat":3,"coat":4}')
    first = await store.unmapped(key, "User", 0, 1)
    assert [(kept.resource_id, kept.source, kept.document) for kept in first] == [
        (kim.id, desk.source.key, '{"hat":1}'),
        (kim.id, entra.source.key, '{"hat":2}'),
    ]
    rest = await store.unmapped(key, "User", kim.key, 10)
    assert [(kept.key, kept.kind, kept.document) for kept in rest] == [(sam.key, "User", '{"hat":3,"coat":4}')]
    assert await store.unmapped(key, "Group", 0, 10) == []
    await store.drop_unmapped(key, ["hat"])
    assert [kept.document for kept in await store.unmapped(key, "User", 0, 10)] == ['{"coat":4}']
    await store.drop_unmapped(key, ["coat"])
    assert await store.unmapped(key, "User", 0, 10) == []


async def test_everything_is_there_after_a_restart(desk: Desk, open_it: Callable[..., AnyStore]):
    users = await desk.users(3)
    staff = await desk.group("Staff", *users)
    before = await desk.changes()
    again = replace(desk, store=await open_it())
    assert await again.changes() == before
    assert await again.members(staff.id) == users
    assert applied(await again.try_user("new")).resource.id == "acme-0005"
    page = await again.store.select(Selection(desk.directory.key, desk.source.key, {USER: None}))
    assert page.total == 4
    assert (await again.get(staff.id, "Group")).document == group("Staff").document
    assert Actor(desk.directory.key, desk.source.key, "exchange-acme", T0) == again.actor
