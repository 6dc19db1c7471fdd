"""What the brake asks of a store: counts in chunks, what it keeps, and what an administrator decides."""

from dataclasses import replace

import pytest

from scimhub.directory.errors import Absent
from scimhub.distribution.delivery import Choice, Destination, Held, Kept
from scimhub.distribution.ports import Settlement
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.harness import T0, T1, Desk, user
from tests.store_contract.test_destinations import again, create

ALL = Choice()


def kept(resource: str, position: int, due: str | None = None) -> Held:
    return Held(resource, position, T0, 0, due, "", "brake", None, "User", 1)


async def braked(store: SqlStore, desk: Desk) -> Destination:
    """Three people are kept, and a delivery that failed is held, too."""
    await desk.users(3)
    await store.last_position()
    made = await create(store, desk, cursor=0)
    holds = [kept("acme-0001", 1), kept("acme-0002", 2, due=T1), kept("acme-0003", 3), Held("x", 1, T0, 3, T1, "500")]
    state = {"trip": [1.0, "User", 5, 6], "given": {"User": {"7": 3}}}
    await store.settle(made.key, Settlement(3, holds=holds, brake_state=state))
    return await again(store, made)


async def test_active_resources_and_memberships_are_counted_by_chunks(store: SqlStore, desk: Desk):
    ids = await desk.users(5)
    await desk.put(ids[1], user("gone", active=False))
    await desk.put(ids[2], user("here", active=True))
    directory = desk.directory.key
    seen, last, active = await store.count_active(directory, "User", 0, 3)
    assert (seen, active) == (3, 2)
    assert (await store.count_active(directory, "User", last, 3))[::2] == (2, 2)
    assert await store.count_active(directory, "Group", 0, 3) == (0, 0, 0)
    await desk.group("staff", *ids[:4])
    await desk.group("others", *ids[:1])
    assert (await store.count_memberships(directory, "Group", 0, 10))[::2] == (2, 5)
    (first, _) = await store.walk(directory, "Group", 0, 10)
    assert await store.count_members(first.key) == 4


async def test_what_is_kept_is_listed_in_order_with_what_the_change_tells(store: SqlStore, desk: Desk):
    made = await braked(store, desk)
    assert made.brake_state == {"trip": [1.0, "User", 5, 6], "given": {"User": {"7": 3}}}
    found = await store.list_kept_removals(made.key, ALL, 0, 10)
    assert [(one.resource_id, one.position, one.due, one.kind) for one in found] == [
        ("acme-0001", 1, None, "User"),
        ("acme-0002", 2, T1, "User"),
        ("acme-0003", 3, None, "User"),
    ]
    assert '"userName"' in (found[0].document or "")
    assert [one.position for one in await store.list_kept_removals(made.key, ALL, 1, 1)] == [2]
    of_request, of_source = Choice(exchange_id=found[0].exchange_id), Choice(source=found[0].source)
    assert 1 <= await store.count_kept_removals(made.key, of_request) <= 3
    assert await store.count_kept_removals(made.key, of_source) == 3
    assert await store.count_kept_removals(made.key, Choice(source="nobody")) == 0
    assert await store.count_kept_removals(made.key, Choice(frozenset(["acme-0003", "x"]))) == 1
    assert await store.sorts_kept(made.key) == [("User", 3, 2)]


async def test_a_release_makes_some_due_and_begins_the_windows_anew(store: SqlStore, desk: Desk):
    made = await braked(store, desk)
    one = Choice(frozenset(["acme-0001"]))
    assert await store.decide_kept(made.key, one, "released", 9, T1, in_order=False) == 1
    released = replace(kept("acme-0001", 1, due=T1), cause="released", until=9, removes="", removed=0)
    assert released in await store.list_held(made.key)
    assert (await again(store, made)).brake_state == {"trip": [1.0, "User", 5, 6]}
    assert await store.decide_kept(made.key, ALL, "released", 9, T1, in_order=False) == 2
    assert (await again(store, made)).brake_state == {}
    assert await store.list_kept(made.key, "", 10) == []
    assert Held("x", 1, T0, 3, T1, "500") in await store.list_held(made.key)


async def test_a_discard_notes_what_is_kept_until_it_comes_back(store: SqlStore, desk: Desk):
    made = await braked(store, desk)
    assert await store.decide_kept(made.key, ALL, "discarded", 9, T1, in_order=False) == 3
    assert await store.list_kept(made.key, "acme-0001", 1) == [Kept("acme-0002", 2, T1)]
    await store.settle(made.key, Settlement(3, returned=["acme-0002", "nobody"]))
    assert [one.resource_id for one in await store.list_kept(made.key, "", 10)] == ["acme-0001", "acme-0003"]


async def test_where_all_goes_in_order_the_decision_is_a_position(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=0)
    assert await store.decide_kept(made.key, ALL, "released", 9, T1, in_order=True) == 0
    assert await store.decide_kept(made.key, ALL, "discarded", 12, T1, in_order=True) == 0
    assert (await again(store, made)).brake_state == {"released": 9, "discarded": 12}


async def test_thresholds_are_kept_with_the_destination(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=0)
    assert made.brake == {}
    assert (await store.set_brake(made.key, {"count": 7}, T1)).brake == {"count": 7}
    assert ((await again(store, made)).brake, (await again(store, made)).updated) == ({"count": 7}, T1)
    with pytest.raises(Absent):
        await store.set_brake(99, {}, T1)


async def test_leavers_are_found_among_all_changes(store: SqlStore, desk: Desk):
    ids = await desk.users(3)
    await desk.put(ids[0], user("zero", active=True), before={"active": False})
    await desk.put(ids[0], user("zero", active=False), before={"active": True})
    await desk.put(ids[0], user("zero", active=False, title="gone"), before={"title": None})
    await desk.put(ids[0], user("zero", active=True), before={"active": False})
    await desk.put(ids[1], user("one", active=False), before={"active": None})
    await desk.delete(ids[2])
    await store.last_position()
    found = await store.read_leavers(0, 10)
    assert [(one.resource_id, one.operation) for one in found] == [
        (ids[0], "updated"),
        (ids[1], "updated"),
        (ids[2], "deleted"),
    ]
    assert found == [change for change in await store.read_changes(0, 99) if change in found]
    assert [one.position for one in await store.read_leavers(found[0].position, 1)] == [found[1].position]
    assert await store.count_leavers(desk.directory.key, "User", 0) == 3
    assert await store.count_leavers(desk.directory.key, "User", found[0].position) == 2
    assert await store.count_leavers(desk.directory.key, "Group", 0) == 0
