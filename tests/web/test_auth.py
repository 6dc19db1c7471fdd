"""Who is let in, and for how long that is remembered."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scimhub.sqlstore.store import SqlStore
from scimhub.web.auth import Gatekeeper, Refused
from scimhub.web.exchange import Request, read_request
from tests.store_contract.conftest import open_desk, open_sqlite
from tests.store_contract.harness import T0, T1, Desk

SECRET = "a-secret-of-some-length"


def request(header: str, query: bytes = b"") -> Request:
    headers = [(b"authorization", header.encode())]

    async def receive() -> dict[str, object]:
        raise AssertionError

    scope = {"method": "GET", "path": "/", "headers": headers, "scheme": "http", "query_string": query}
    return read_request(scope, receive)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def desk(store: SqlStore) -> Desk:
    return await open_desk(store, "acme")


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"  BEARER   {SECRET} "])
async def test_a_revoked_token_is_refused_after_a_second_however_it_is_written(store: SqlStore, desk: Desk, header: str):
    digest = hashlib.sha256(SECRET.encode()).digest()
    token = await store.create_token(desk.source.key, digest, "gth", frozenset({"read"}), None, T0)
    seconds = [10.0]
    gatekeeper = Gatekeeper(store, lambda: seconds[0])
    assert (await gatekeeper.admit(request(header), T0)).grant.token.id == token.id
    await store.revoke_token(desk.source.key, token.id, T0)
    seconds[0] = 10.9
    assert (await gatekeeper.admit(request(header), T1)).grant.token.id == token.id
    assert gatekeeper.collect_last_used() == {token.id: T1}
    seconds[0] = 11.0
    with pytest.raises(Refused) as refused:
        await gatekeeper.admit(request(header), T1)
    assert refused.value.fault.status == 401


async def test_a_remembered_token_is_refused_beside_one_in_the_url(store: SqlStore, desk: Desk):
    digest = hashlib.sha256(SECRET.encode()).digest()
    await store.create_token(desk.source.key, digest, "gth", frozenset({"read"}), None, T0)
    gatekeeper = Gatekeeper(store, lambda: 10.0)
    await gatekeeper.admit(request(f"Bearer {SECRET}"), T0)
    with pytest.raises(Refused) as refused:
        await gatekeeper.admit(request(f"Bearer {SECRET}", b"access_token=x"), T0)
    assert refused.value.fault.status == 400


async def test_who_was_admitted_is_let_in_again_for_a_second_until_the_token_expires(store: SqlStore, desk: Desk):
    digest = hashlib.sha256(SECRET.encode()).digest()
    token = await store.create_token(desk.source.key, digest, "gth", frozenset({"read"}), T1, T0)
    seconds = [10.0]
    gatekeeper, asking = Gatekeeper(store, lambda: seconds[0]), request(f"Bearer {SECRET}")
    admission = await gatekeeper.admit(asking, T0)
    gatekeeper.collect_last_used()
    seconds[0] = 10.9
    assert gatekeeper.admit_again(admission, asking, T0)
    assert gatekeeper.collect_last_used() == {token.id: T0}
    assert not gatekeeper.admit_again(admission, asking, T1)
    assert not gatekeeper.admit_again(admission, request(f"Bearer {SECRET}", b"access_token=x"), T0)
    seconds[0] = 11.0
    assert not gatekeeper.admit_again(admission, asking, T0)
    assert gatekeeper.collect_last_used() == {}
