"""The ledger of what destinations were given: claims, waiting members, and what becomes of both when somebody is gone."""

from dataclasses import replace

from scimhub.distribution.delivery import Subscription
from scimhub.distribution.ledger import Pending, Remote
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.harness import T0, T1, T2, Desk


async def destination(store: SqlStore, desk: Desk, name: str = "app") -> int:
    made = await store.create_destination(desk.directory.key, name, "scim_app", {}, Subscription(), 0, T0)
    return made.key


def remote(id: str = "k", remote_id: str | None = "r1", **more: object) -> Remote:
    return replace(Remote(id, "User", "present", 1, T0, remote_id), **more)  # type: ignore[arg-type]


async def test_what_was_written_is_read_again(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    assert await store.find_remote(app, "k") is None
    whole = Remote("k", "User", "left", 7, T0, "r1", 'W/"1"', {"title": "abc"}, "boss", T2)
    assert await store.save_remote(app, whole)
    assert await store.find_remote(app, "k") == whole
    assert await store.find_claim(app, "User", "r1") == whole
    assert await store.find_claim(app, "Group", "r1") is None
    assert [one.resource_id for one in await store.list_awaiting(app, "boss")] == ["k"]
    assert await store.save_remote(app, remote(version=8))
    assert await store.find_remote(app, "k") == remote(version=8)


async def test_a_remote_id_belongs_to_one_resource_of_a_destination(store: SqlStore, desk: Desk):
    app, other = await destination(store, desk), await destination(store, desk, "other")
    assert await store.save_remote(app, remote())
    assert not await store.save_remote(app, remote("l"))
    assert await store.find_remote(app, "l") is None
    assert await store.save_remote(other, remote("l"))
    assert await store.save_remote(app, remote("l"), releases="k")
    released = await store.find_remote(app, "k")
    assert released is not None
    assert (released.remote_id, released.state) == (None, "gone")


async def test_several_are_written_in_one_step_and_the_first_has_a_remote_id(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    assert await store.save_remote(app, remote("z", "taken"))
    several = [
        remote("a", "r-a", written={"title": "x"}),
        remote("b", "taken"),
        remote("c", None, state="creating"),
        remote("d", "r-a"),
        remote("z", "taken", version=2),
        remote("g", "r-a", resource_type="Group"),
    ]
    assert await store.save_remotes(app, several) == [True, False, True, False, True, True]
    found = [await store.find_remote(app, one.resource_id) for one in several]
    assert found == [several[0], None, several[2], None, several[4], several[5]]
    assert await store.save_remotes(app, []) == []
    # Whoever is gone has given up what another one has in the same step.
    moving = [remote("a", None, state="gone"), remote("d", "r-a")]
    assert await store.save_remotes(app, moving) == [True, True]
    assert await store.find_claim(app, "User", "r-a") == moving[1]
    await store.delete_destination(app)
    assert await store.save_remotes(app, several) == [True] * 6
    assert await store.find_remote(app, "a") is None


async def test_entries_are_listed_in_pages_with_what_waits(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    for id in ("a", "b", "c"):
        await store.save_remote(app, remote(id, f"r-{id}"))
    await store.note_members(app, "b", ["a", "c", "x"], [])
    await store.confirm_members(app, "b", ["a"], [])
    first = await store.list_remotes(app, "", 2)
    assert [(one.remote.resource_id, one.waiting) for one in first] == [("a", 0), ("b", 2)]
    assert [one.remote.resource_id for one in await store.list_remotes(app, "b", 2)] == ["c"]


async def test_a_deletion_is_due_when_its_time_has_come(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    await store.save_remote(app, remote("a", "r-a", delete_at=T1))
    await store.save_remote(app, remote("b", "r-b"))
    assert await store.list_due(app, T0, 10) == []
    assert [one.resource_id for one in await store.list_due(app, T1, 10)] == ["a"]


async def test_memberships_go_from_waiting_to_written_to_leaving(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    await store.save_remote(app, remote("a", "r-a"))
    await store.note_members(app, "g", ["a", "b"], [])
    assert await store.list_pending(app, "g", "waiting") == [Pending("a", "r-a", "User"), Pending("b", None, None)]
    assert await store.list_pending(app, "g", "waiting", "b") == [Pending("b", None, None)]
    assert await store.list_groups_of(app, "b", "waiting") == ["g"]
    await store.confirm_members(app, "g", ["a"], [])
    await store.note_members(app, "g", ["a"], [])  # once more: it is written already
    assert await store.list_pending(app, "g", "written") == [Pending("a", "r-a", "User")]
    await store.note_members(app, "g", [], ["a", "never"])
    assert [one.member_id for one in await store.list_pending(app, "g", "leaving")] == ["a"]
    await store.note_members(app, "g", ["a"], [])  # back before it was taken out
    await store.confirm_members(app, "g", [], ["a"])  # too late: it is no longer leaving
    assert [one.member_id for one in await store.list_pending(app, "g", "waiting")] == ["a", "b"]


async def test_who_is_gone_waits_for_its_groups_again(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    for group in ("g", "h"):
        await store.note_members(app, group, ["a", "b"], [])
        await store.confirm_members(app, group, ["a", "b"], [])
    await store.forget_memberships(app, "a")
    assert await store.list_groups_of(app, "a", "waiting") == ["g", "h"]
    await store.note_members(app, "g", [], ["b"])
    await store.forget_members(app, "g", for_good=False)
    assert [one.member_id for one in await store.list_pending(app, "g", "waiting")] == ["a"]
    assert await store.list_pending(app, "g", "leaving") == []
    await store.forget_members(app, "h", for_good=True)
    assert await store.list_groups_of(app, "a", "waiting") == ["g"]


async def test_a_destination_that_is_deleted_takes_its_ledger_along(store: SqlStore, desk: Desk):
    app = await destination(store, desk)
    await store.save_remote(app, remote())
    await store.note_members(app, "g", ["k"], [])
    await store.delete_destination(app)
    assert await store.find_remote(app, "k") is None
    assert await store.list_pending(app, "g", "waiting") == []
    # What was under way when it went is written nowhere.
    assert await store.save_remote(app, remote())
    await store.note_members(app, "g", ["k"], [])
    assert await store.find_remote(app, "k") is None
