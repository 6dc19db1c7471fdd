"""What distribution needs of a store: destinations, where they stand, what is held, and the log as it reads it."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from scimhub.directory.errors import Absent, Conflict
from scimhub.distribution.delivery import Destination, Held, Replay, Secret, Subscription
from scimhub.distribution.ports import Settlement
from scimhub.sqlstore import changes
from scimhub.sqlstore.store import SqlStore
from tests.keys import keep_secret
from tests.servers.running import PATIENCE
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T0, T1, T2, Desk, user

WISH = Subscription(("user.*",), {"User": "active eq true"}, ("userName",))
Again = Callable[..., SqlStore]


async def create(
    store: SqlStore, desk: Desk, name: str = "payroll", *, wish: Subscription = WISH, cursor: int | None = None
) -> Destination:
    return await store.create_destination(
        desk.directory.key, name, "webhook", {"url": "https://a.example", "timeout": 5}, wish, cursor, T0
    )


async def again(store: SqlStore, destination: Destination) -> Destination:
    found = await store.find_destination(destination.directory, destination.name)
    assert found is not None
    return found


def held(resource: str = "r1", position: int = 3, *, next_attempt: str | None = T1, error: str = "500") -> Held:
    return Held(resource, position, T0, 2, next_attempt, error)


# --------------------------------------------------------------------------- destinations


async def test_a_destination_is_kept_as_it_was_made(store: SqlStore, desk: Desk, open_it: Again):
    made = await create(store, desk, cursor=0)
    assert made == Destination(
        key=made.key,
        id=made.id,
        directory=desk.directory.key,
        directory_name="acme",
        name="payroll",
        kind="webhook",
        configuration={"url": "https://a.example", "timeout": 5},
        subscription=WISH,
        subscription_version=1,
        state="active",
        reason="",
        cursor=0,
        ahead=frozenset(),
        replay=None,
        created=T0,
        updated=T0,
    )
    assert await again(await open_it(), made) == made


async def test_a_new_destination_begins_behind_the_newest_change(store: SqlStore, desk: Desk):
    assert (await create(store, desk, "first")).cursor == 0
    await desk.users(3)
    assert (await create(store, desk, "second")).cursor == 3
    assert (await create(store, desk, "third", cursor=2)).cursor == 2


async def test_a_name_is_one_destinations_of_its_directory(store: SqlStore, desk: Desk):
    made = await create(store, desk)
    with pytest.raises(Conflict, match="Directory acme has a destination payroll already"):
        await create(store, desk)
    other = await open_desk(store, "other")
    twin = await create(store, other)
    assert twin.id != made.id
    assert await store.list_destinations() == [made, twin]
    assert await store.list_destinations(desk.directory.key) == [made]
    assert await store.find_destination(desk.directory.key, "nobody") is None


async def test_what_is_not_there_is_absent(store: SqlStore, desk: Desk):
    for wish in (
        store.create_destination(99, "payroll", "webhook", {}, WISH, None, T0),
        store.update_destination(99, {}, WISH, T0),
        store.set_state(99, "paused", "", T0),
        store.move_cursor(99, 0, None),
        store.replay_held(99, Replay("p1", 8, "r1"), held()),
        store.delete_destination(99),
        keep_secret(store, 99, "hmac", b"x", "x", T0),
        store.change_held(99, held()),
        store.release_held(99, "r1"),
    ):
        with pytest.raises(Absent):
            await wish
    await store.settle(99, Settlement(5, holds=[held()]))  # who is gone stands nowhere
    assert await store.list_held(99) == []


SAME = [
    Subscription(("user.*",), {"User": "active eq true"}, ("userName",)),
    Subscription(("user.*",), dict(WISH.filters), ("userName",)),
]
DIFFERENT = [
    replace(WISH, types=("user.created",)),
    replace(WISH, filters={}),
    replace(WISH, attributes=("userName", "title")),
    Subscription(),
]


@pytest.mark.parametrize("wish, version", [*((wish, 1) for wish in SAME), *((wish, 2) for wish in DIFFERENT)])
async def test_the_version_of_a_subscription_grows_when_it_differs(
    store: SqlStore, desk: Desk, wish: Subscription, version: int
):
    made = await create(store, desk)
    changed = await store.update_destination(made.key, {"url": "https://b.example"}, wish, T1)
    assert (changed.subscription_version, changed.subscription, changed.updated) == (version, wish, T1)
    assert changed.configuration == {"url": "https://b.example"}


async def test_the_order_of_filters_makes_no_difference(store: SqlStore, desk: Desk):
    made = await create(store, desk, wish=Subscription(filters={"User": "id pr", "Group": "id pr"}))
    turned = Subscription(filters={"Group": "id pr", "User": "id pr"})
    assert (await store.update_destination(made.key, {}, turned, T1)).subscription_version == 1


async def test_a_state_has_a_reason(store: SqlStore, desk: Desk):
    made = await create(store, desk)
    paused = await store.set_state(made.key, "paused", "moving house", T1)
    assert paused == replace(made, state="paused", reason="moving house", updated=T1)
    assert await again(store, made) == paused


# --------------------------------------------------------------------------- secrets


async def test_secrets_are_listed_the_newest_first_and_end_one_by_one(store: SqlStore, desk: Desk):
    made = await create(store, desk)
    first = await keep_secret(store, made.key, "hmac", b"first", "irst", T0)
    second = await keep_secret(store, made.key, "hmac", b"second", "cond", T1)
    third = await keep_secret(store, made.key, "ed25519", b"third", "hird", T1)
    assert await store.list_secrets(made.key) == [third, second, first]
    assert first == Secret(first.id, "hmac", b"first", "irst", T0, None)
    await store.expire_secrets(made.key, "hmac", second.id, T2)
    assert [one.expires for one in await store.list_secrets(made.key)] == [None, None, T2]
    # What ends earlier is not given a longer life.
    fourth = await keep_secret(store, made.key, "hmac", b"fourth", "urth", T2)
    await store.expire_secrets(made.key, "hmac", fourth.id, "2026-12-31T00:00:00.000Z")
    ends = {one.id: one.expires for one in await store.list_secrets(made.key)}
    assert (ends[first.id], ends[second.id], ends[third.id]) == (T2, "2026-12-31T00:00:00.000Z", None)
    await store.delete_expired_secrets(T1)
    assert len(await store.list_secrets(made.key)) == 4
    await store.delete_expired_secrets(T2)
    assert [one.id for one in await store.list_secrets(made.key)] == [fourth.id, third.id, second.id]


async def test_secrets_of_another_destination_are_left_alone(store: SqlStore, desk: Desk):
    first, second = await create(store, desk, "first"), await create(store, desk, "second")
    kept = await keep_secret(store, second.key, "hmac", b"same", "same", T0)
    newest = await keep_secret(store, first.key, "hmac", b"same", "same", T0)
    await store.expire_secrets(first.key, "hmac", newest.id, T1)
    assert await store.list_secrets(second.key) == [kept]


async def test_a_token_opens_one_feed_until_it_ends(store: SqlStore, desk: Desk):
    first, second = await create(store, desk, "first"), await create(store, desk, "second")
    old = await keep_secret(store, first.key, "token", b"digest-1", "st-1", T0)
    await keep_secret(store, first.key, "hmac", b"digest-9", "st-9", T0)
    with pytest.raises(Conflict, match="Another destination has the same secret"):
        await keep_secret(store, second.key, "token", b"digest-1", "st-1", T0)
    assert await store.find_destination_by_token(b"digest-1", T0) == first
    assert await store.find_destination_by_token(b"digest-9", T0) is None
    assert await store.find_destination_by_token(b"other", T0) is None
    await store.expire_secrets(first.key, "token", "another", T1)
    assert await store.find_destination_by_token(old.value, T0) == first
    assert await store.find_destination_by_token(old.value, T1) is None
    await store.set_state(first.key, "paused", "", T1)
    found = await store.find_destination_by_token(b"digest-1", T0)
    assert found is not None
    assert found.state == "paused"


# --------------------------------------------------------------------------- where it stands


async def test_cursor_ahead_holds_and_releases_are_settled_at_once(store: SqlStore, desk: Desk, open_it: Again):
    made = await create(store, desk, cursor=0)
    await store.settle(made.key, Settlement(2, frozenset({9, 4}), [held("r1", 1), held("r2", 2, next_attempt=None)]))
    store = await open_it()
    stood = await again(store, made)
    assert (stood.cursor, stood.ahead) == (2, frozenset({4, 9}))
    assert await store.list_held(made.key) == [held("r1", 1), held("r2", 2, next_attempt=None)]
    changed = replace(held("r2", 7), attempts=9, error="503", cause="brake", until=12, removes="User", removed=1)
    await store.settle(made.key, Settlement(10, holds=[changed], releases=["r1", "nobody"]))
    assert ((await again(store, made)).ahead, await store.list_held(made.key)) == (frozenset(), [changed])


async def test_settling_changes_neither_the_state_nor_when_it_was_changed(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=0)
    await store.settle(made.key, Settlement(2))
    assert await again(store, made) == replace(made, cursor=2)


async def test_a_replay_runs_until_it_is_over(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=8)
    assert (await store.move_cursor(made.key, 1, Replay("p1", 8))).replay == Replay("p1", 8)
    await store.settle(made.key, Settlement(5))
    assert (await again(store, made)).replay == Replay("p1", 8)
    await store.settle(made.key, Settlement(8, replay_is_over=True))
    assert (await again(store, made)).replay is None


async def test_a_replay_of_one_resource_is_what_is_owed_of_it(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=8)
    begun = await store.replay_held(made.key, Replay("p1", 8, "r1"), held("r1", 3))
    assert (begun.replay, begun.cursor) == (Replay("p1", 8, "r1"), 8)
    assert await store.list_held(made.key) == [held("r1", 3)]
    await store.settle(made.key, Settlement(8, replay_is_over=True))
    assert (await again(store, made)).replay is None
    assert (await store.move_cursor(made.key, 1, Replay("p2", 8))).replay == Replay("p2", 8)


async def test_a_cursor_is_acknowledged_forward_and_on_top_of_what_it_was(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=8)
    assert await store.acknowledge(made.key, 8, 12)
    assert not await store.acknowledge(made.key, 8, 10)
    assert await store.acknowledge(made.key, 8, 13)
    await store.move_cursor(made.key, 2, None)
    assert not await store.acknowledge(made.key, 13, 20)
    assert (await again(store, made)).cursor == 2


async def test_moving_the_cursor_forgets_what_the_way_meets_again(store: SqlStore, desk: Desk):
    made = await create(store, desk, cursor=0)
    holds = [held("before", 3), held("at", 4), held("behind", 5)]
    await store.settle(made.key, Settlement(9, frozenset({12}), holds))
    moved = await store.move_cursor(made.key, 4, None)
    assert (moved.cursor, moved.ahead, moved.replay) == (4, frozenset(), None)
    assert [one.resource_id for one in await store.list_held(made.key)] == ["before", "at"]


async def test_what_is_held_is_changed_and_released_by_hand(store: SqlStore, desk: Desk):
    made, other = await create(store, desk, "first", cursor=0), await create(store, desk, "second", cursor=0)
    for one in (made, other):
        await store.settle(one.key, Settlement(9, holds=[held("r1", 5), held("r2", 3)]))
    assert [one.resource_id for one in await store.list_held(made.key)] == ["r2", "r1"]
    changed = replace(held("r1", 7), attempts=0, next_attempt=None, error="")
    await store.change_held(made.key, changed)
    await store.release_held(made.key, "r2")
    assert await store.list_held(made.key) == [changed]
    for wish in (store.change_held(made.key, held("r2")), store.release_held(made.key, "r2")):
        with pytest.raises(Absent, match="Nothing is held for resource 'r2'"):
            await wish
    assert len(await store.list_held(other.key)) == 2


async def test_a_destination_goes_with_all_that_belongs_to_it(store: SqlStore, desk: Desk):
    made, other = await create(store, desk, "first"), await create(store, desk, "second")
    for one in (made, other):
        await keep_secret(store, one.key, "token", one.name.encode(), "", T0)
        await store.settle(one.key, Settlement(1, holds=[held()]))
    await store.delete_destination(made.key)
    assert await store.find_destination(made.directory, made.name) is None
    assert await store.find_destination_by_token(b"first", T0) is None
    assert (await store.list_held(made.key), await store.list_secrets(made.key)) == ([], [])
    assert (len(await store.list_held(other.key)), len(await store.list_secrets(other.key))) == (1, 1)
    assert (await create(store, desk, "first")).key != made.key


async def test_a_directory_takes_its_destinations_along(store: SqlStore, desk: Desk):
    other = await open_desk(store, "other")
    made, kept = await create(store, desk), await create(store, other)
    await keep_secret(store, made.key, "token", b"digest", "gest", T0)
    await store.settle(made.key, Settlement(1, holds=[held()]))
    await store.request_directory_deletion(desk.directory.key, T1)
    await store.delete_directory(desk.directory.key)
    assert await store.list_destinations() == [kept]
    assert await store.find_destination_by_token(b"digest", T0) is None
    assert await store.list_held(made.key) == []


# --------------------------------------------------------------------------- the log


async def test_the_history_of_one_resource_is_read_by_range(store: SqlStore, desk: Desk):
    await desk.user("kim")
    await desk.user("sam")
    for number in range(4):
        await desk.put("acme-0001", user("kim", displayName=f"Kim {number}"))
        await desk.put("acme-0002", user("sam", displayName=f"Sam {number}"))

    async def positions(first: int, last: int, limit: int = 100) -> list[int]:
        await store.last_position()
        return [one.position for one in await store.read_changes_of("acme-0001", first, last, limit)]

    assert await positions(0, 99) == [1, 3, 5, 7, 9]
    assert await positions(3, 7) == [3, 5, 7]
    assert await positions(4, 6) == [5]
    assert await positions(2, 99, limit=2) == [3, 5]
    assert await positions(8, 3) == []
    assert await store.read_changes_of("nobody", 0, 99, 100) == []
    assert (await store.read_changes_of("acme-0001", 3, 3, 1))[0] == (await store.read_changes(2, 1))[0]


def at(minute: int) -> str:
    return f"2026-11-23T10:{minute:02}:00.000Z"


async def test_a_time_is_found_by_halving_a_minute_early_and_never_late(store: SqlStore, desk: Desk):
    assert await store.position_at(at(30)) == 0
    for minute in range(40):
        await desk.at(at(minute)).user(f"user{minute}")
    for minute in range(60):
        found = await store.position_at(at(minute))
        # The change at position p was committed in minute p - 1.
        assert found == max(0, min(minute - 1, 40))
    assert await store.position_at("1970-01-01T00:00:00.000Z") == 0
    assert await store.position_at("2999-01-01T00:00:00.000Z") == 40


async def test_neighbours_whose_times_are_in_disorder_are_never_missed(store: SqlStore, desk: Desk):
    """A change's time is that of its request, which may have waited behind a later one."""
    times = [at(10), "2026-11-23T10:10:50.000Z", "2026-11-23T10:10:05.000Z", "2026-11-23T10:11:00.000Z", at(11), at(15)]
    for number, time in enumerate(times):
        await desk.at(time).user(f"user{number}")
    for wanted in (*times, at(12), at(30)):
        first = next((number for number, time in enumerate(times) if time >= wanted), len(times))
        assert await store.position_at(wanted) <= first


async def test_the_change_of_a_delete_has_the_whole_document(store: SqlStore, desk: Desk):
    await desk.user("Kim", content=user("Kim", displayName="Kim Lee"))
    await desk.delete("acme-0001")
    assert await store.last_position() == 2
    (change,) = await store.read_changes(1, 10)
    assert (change.operation, change.after) == ("deleted", None)
    assert change.before == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "Kim",
        "displayName": "Kim Lee",
    }


async def test_members_are_those_of_the_moment(store: SqlStore, desk: Desk):
    users = await desk.users(3)
    inner = await desk.group("inner")
    group = await desk.group("staff", users[0], inner.id)
    assert sorted(await store.members_of(group.id)) == sorted([users[0], inner.id])
    await desk.edit(group.id, add=(users[1], users[2]), remove=(inner.id,))
    assert sorted(await store.members_of(group.id)) == users
    await desk.delete(users[1])
    assert sorted(await store.members_of(group.id)) == [users[0], users[2]]
    await desk.delete(group.id, "Group")
    assert await store.members_of(group.id) == []
    assert await store.members_of("nobody") == []


# --------------------------------------------------------------------------- retention


async def test_purging_blanks_what_is_said_of_a_person_and_keeps_the_rest(store: SqlStore, desk: Desk, open_it: Again):
    users = await desk.users(2)
    group = await desk.group("staff", users[0])
    await desk.link(users[0], "e1")
    await desk.delete(users[1])
    before = await desk.changes()
    assert await store.purged_position() == 0
    await store.purge_changes(4)
    store = await open_it()
    assert await store.purged_position() == 4
    blank = {"after": None, "before": {}, "external_id": None, "members_added": (), "members_removed": ()}
    expected = [change._replace(**blank) if change.position <= 4 else change for change in before]
    assert await store.read_changes(0, 100) == expected
    assert [one.position for one in await store.read_changes_of(group.id, 1, 9, 9)] == [3]
    assert (await store.last_position(), await store.position_at(T2)) == (5, 5)
    await store.purge_changes(5)
    assert (await store.read_changes(4, 1))[0] == before[4]._replace(**blank)


async def test_positions_go_on_behind_what_was_purged(store: SqlStore, desk: Desk):
    await desk.users(3)
    await store.purge_changes(await store.last_position())
    await desk.user("kim")
    assert await store.last_position() == 4
    assert [(one.position, one.after is None) for one in await store.read_changes(0, 9)] == [
        (1, True),
        (2, True),
        (3, True),
        (4, False),
    ]


# --------------------------------------------------------------------------- being told of commits


async def test_each_commit_is_told_until_it_is_ended(store: SqlStore, desk: Desk):
    seen: list[int] = []
    wakes: list[None] = []
    loop = asyncio.get_running_loop()

    def wake() -> None:
        wakes.append(None)
        # What was committed is there for a reader already.
        asyncio.run_coroutine_threadsafe(look(), loop)

    async def look() -> None:
        seen.append(await store.last_position())

    end = store.on_commit(wake)
    end_another = store.on_commit(lambda: None)
    for expected, name in enumerate(("kim", "sam"), 1):
        await desk.user(name)
        async with asyncio.timeout(PATIENCE):
            while expected not in seen:
                await asyncio.sleep(0)
    end()
    told = len(wakes)
    await desk.user("ann")
    assert len(wakes) == told
    end_another()
    end()  # ending twice does nothing more


async def test_what_was_refused_is_not_told(store: SqlStore, desk: Desk):
    await desk.user("kim")
    before = await store.last_position()
    await desk.try_user("kim")
    assert await store.last_position() == before


def test_no_statement_names_all_columns():
    texts = [text for text in vars(changes).values() if isinstance(text, str)]
    assert not any(re.search(r"SELECT \*", text) for text in texts)
