"""What resources are now, owed states, backfills and plans; and a group's whole membership in the ledger."""

from dataclasses import replace

from scimhub.distribution import amendments
from scimhub.distribution.backfill import Backfill
from scimhub.distribution.delivery import Held, HeldCause, Subscription
from scimhub.distribution.ledger import Pending, Remote
from scimhub.distribution.plans import Item, Plan
from scimhub.distribution.ports import Settlement
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.harness import T0, T1, T2, Desk


async def destination(store: SqlStore, desk: Desk, name: str = "app") -> int:
    made = await store.create_destination(desk.directory.key, name, "scim_app", {}, Subscription(), 0, T0)
    return made.key


async def test_a_state_is_the_newest_change_with_all_that_the_resource_has(store: SqlStore, desk: Desk):
    kim, lee = (await desk.user("kim")).id, (await desk.user("lee")).id
    staff = (await desk.group("staff", kim, lee)).id
    await desk.edit(staff, remove=(lee,))
    state = await store.read_state(staff)
    newest = (await store.read_changes(0, 100))[-1]
    assert state is not None
    assert (state.id, state.position, state.version, state.exchange_id) == (
        newest.id,
        newest.position,
        newest.version,
        newest.exchange_id,
    )
    assert (state.after, state.members_added, state.members_removed) == (newest.after, (kim,), ())
    await store.purge_changes(newest.position)
    emptied = await store.read_state(staff)
    assert emptied is not None
    assert (emptied.after, emptied.members_added) == (newest.after, (kim,))
    await desk.delete(staff, "Group")
    gone = await store.read_state(staff)
    assert gone is not None
    assert (gone.operation, gone.after, gone.version, gone.members_added) == ("deleted", None, newest.version + 1, ())
    assert await store.read_state("nobody") is None


async def test_versions_and_numbers_of_resources_are_told(store: SqlStore, desk: Desk):
    kim = (await desk.user("kim")).id
    await desk.group("staff", kim)
    assert await store.versions_of(desk.directory.key, [kim, "nobody"]) == {kim: 1}
    assert await store.versions_of(desk.directory.key + 1, [kim]) == {}
    assert dict(await store.count_resources(desk.directory.key)) == {"User": 1, "Group": 1}
    last = await store.last_position()
    changed = await store.changed_resources(desk.directory.key, 0, last, 1)
    assert changed == [(1, kim)]
    assert [position for position, _ in await store.changed_resources(desk.directory.key, 1, last, 10)] == [2]
    assert await store.changed_resources(desk.directory.key + 1, 0, last, 10) == []


async def test_a_state_is_owed_in_the_place_of_a_failure_and_not_of_what_the_brake_keeps(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    failed = Held("a", 3, T0, 5, None, "500")
    braked = Held("b", 4, T0, 0, None, "", "brake", None, "User", 1)
    parked = Held("c", 9, T0, 0, None, "", "leaver", 8)
    await store.settle(app, Settlement(10, holds=[failed, braked, parked]))
    await store.owe_states(app, ["a", "b", "c", "d"], "ask", T1)
    held = {one.resource_id: one for one in await store.list_held(app)}
    assert held["a"] == Held("a", 3, T0, 0, T1, "", "state", ask="ask")
    assert held["b"] == braked
    assert held["c"] == Held("c", 9, T0, 0, T1, "", "state", ask="ask")
    assert held["d"] == Held("d", 11, T1, 0, T1, "", "state", ask="ask")
    await store.owe_states(app + 1, ["a"], "ask", T1)


async def test_what_the_brake_keeps_stays_kept_when_it_is_told_as_a_state(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    causes: tuple[HeldCause, ...] = ("brake", "released", "discarded", "failure")
    holds = [Held(cause, 3, T0, 0, None, "", cause, None, "User", 1) for cause in causes]
    await store.settle(app, Settlement(9, holds=holds))
    await store.owe_states_of_kept(app, "ask")
    expected = [replace(one, ask="" if one.cause == "failure" else "ask") for one in holds]
    assert {one.resource_id: one for one in await store.list_held(app)} == {one.resource_id: one for one in expected}


async def test_a_backfill_is_kept_and_goes_with_its_destination(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    assert await store.find_backfill(app) is None
    begun = Backfill("b1", "directory", "running", T0, T0, total=10)
    await store.save_backfill(app, begun)
    further = replace(begun, kind="User", after="17", looked_at=7, told=5, updated=T1, until=3, plan="p", reason="because")
    await store.save_backfill(app, further)
    assert await store.find_backfill(app) == further
    await store.delete_destination(app)
    await store.save_backfill(app, further)
    assert await store.find_backfill(app) is None


async def test_plans_are_kept_until_a_later_one_finds_them_expired(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    items = [
        Item("b", "User", "change", 3, paths=("title",)),
        Item("a", "Group", "change", 1, members_lacking=("x",), members_beyond=("y",)),
        Item("c", "User", "remove", 0, "it was ours", remote_id="r"),
    ]
    first = Plan("p1", T0, T1, 5, 1, "d", 3, {"change": {"User": 1}}, items[:1], removes_extra=True, verdict="it lets go")
    await store.save_plan(app, first, items)
    assert await store.find_plan(app, "p1") == first
    assert await store.find_plan(app + 1, "p1") is None
    assert list(await store.list_items("p1", "", 2)) == [items[1], items[0]]
    assert list(await store.list_items("p1", "b", 2)) == [items[2]]
    second = replace(first, id="p2", created=T2, expires=T2, samples=[])
    await store.save_plan(app, second, [])
    assert list(await store.list_plans(app)) == [second]
    assert await store.list_items("p1", "", 9) == []


async def members(store: SqlStore, app: int) -> dict[str, list[str]]:
    states = ("waiting", "written", "leaving")
    return {state: [one.member_id for one in await store.list_pending(app, "g", state)] for state in states}


async def test_who_is_not_in_the_whole_of_a_group_leaves_it_when_all_parts_are_told(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    await store.note_members(app, "g", ["a", "b", "c"], [])
    await store.confirm_members(app, "g", ["a", "b"], [])
    await store.note_whole(app, "g", ["b"], "s1", is_last=False)
    assert await members(store, app) == {"waiting": ["c"], "written": ["a", "b"], "leaving": []}
    await store.note_whole(app, "g", ["d"], "s1", is_last=True)
    assert await members(store, app) == {"waiting": ["d"], "written": ["b"], "leaving": ["a", "c"]}
    # The same once more, and another state in which somebody is back.
    await store.note_whole(app, "g", ["b", "d"], "s1", is_last=True)
    await store.note_whole(app, "g", ["a", "b"], "s2", is_last=True)
    assert await members(store, app) == {"waiting": ["a"], "written": ["b"], "leaving": ["c", "d"]}
    await store.note_whole(app, "g", [], "s3", is_last=True)
    assert await members(store, app) == {"waiting": [], "written": [], "leaving": ["a", "b", "c", "d"]}


async def test_the_ledger_is_corrected_by_what_was_seen(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    written = Remote("g", "Group", "present", 4, T0, "r", 'W/"1"', {"displayName": "1", "externalId": "2"})
    await store.save_remote(app, written)
    await store.note_members(app, "g", ["a", "b"], [])
    await store.confirm_members(app, "g", ["a", "b"], [])
    seen = amendments.Amendment("g", "Group", paths=["displayName"], lacking=["a"], beyond=["z"])
    await amendments.amend(store, app, seen, T0)
    assert await store.find_remote(app, "g") == replace(written, etag=None, written={"externalId": "2"})
    assert await members(store, app) == {"waiting": ["a"], "written": ["b"], "leaving": ["z"]}
    await amendments.amend(store, app, amendments.everything_of("g", "Group"), T0)
    assert (await members(store, app))["waiting"] == ["a", "b"]
    await amendments.amend(store, app, amendments.Amendment("g", "Group", is_missing=True), T0)
    assert await store.find_remote(app, "g") == replace(written, state="gone", remote_id=None, etag=None, written={})
    await amendments.amend(store, app, amendments.Amendment("g", "Group", remote_id="found"), T0)
    found = await store.find_remote(app, "g")
    assert found is not None
    assert (found.state, found.remote_id) == ("present", "found")
    assert await store.list_pending(app, "g", "waiting") == [Pending("a", None, None), Pending("b", None, None)]
    await amendments.amend(store, app, amendments.everything_of("nobody", "User"), T0)
    assert await store.find_remote(app, "nobody") is None


async def test_who_is_found_there_is_known_from_then_on(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    await amendments.amend(store, app, amendments.Amendment("new", "User", remote_id="n"), T1)
    assert await store.find_remote(app, "new") == Remote("new", "User", "present", 0, T1, "n")
    await store.save_remote(app, Remote("moved", "User", "present", 3, T0, "old", None, {"title": "1"}))
    await amendments.amend(store, app, amendments.Amendment("moved", "User", is_missing=True, remote_id="m"), T1)
    assert await store.find_remote(app, "moved") == Remote("moved", "User", "present", 3, T0, "m")
