"""Group commit: shared transactions without shared fate, and nothing acknowledged that is not on disk."""

import asyncio
import threading
from collections.abc import Callable

import apsw
import pytest

from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.intents import Applied, Create, UniqueConflict
from scimhub.sqlstore.store import SqlStore
from tests.servers.running import PATIENCE
from tests.store_contract.harness import Desk, user


def insert(name: str):
    return lambda connection: connection.execute("INSERT INTO hub (name, value) VALUES (?, '')", (name,))


def names(store: SqlStore) -> set[str]:
    rows = store.database.read_here(lambda connection: connection.execute("SELECT name FROM hub").fetchall())
    return {row[0] for row in rows} - {"log_epoch", "cursor_secret", "fold_version"}


def block(store: SqlStore) -> tuple[threading.Event, "asyncio.Task[None]"]:
    """Hold the writer's thread up until the event is set, so that all that is submitted meanwhile makes one batch."""
    go = threading.Event()

    def wait(_: apsw.Connection) -> None:
        go.wait(10)

    return go, asyncio.create_task(store.database.write(wait, manner="alone"))


async def batch(store: SqlStore, *works) -> list[object]:
    """The results, or the errors, of works that the writer found waiting together."""
    go, blocked = block(store)
    tasks = [asyncio.create_task(store.database.write(work)) for work in works]
    await asyncio.sleep(0)
    go.set()
    await blocked
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_batch_is_one_transaction(store: SqlStore):
    commits: list[None] = []
    go, blocked = block(store)
    await asyncio.sleep(0)
    hook = asyncio.create_task(
        store.database.write_bare(lambda connection: connection.set_commit_hook(lambda: bool(commits.append(None))))
    )
    tasks = [asyncio.create_task(store.database.write(insert(f"n{number}"))) for number in range(100)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(blocked, hook, *tasks)
    assert len(commits) == 1
    assert len(names(store)) == 100


async def test_what_one_turn_of_the_loop_submits_is_one_transaction(store: SqlStore):
    commits: list[None] = []
    await store.database.write_bare(lambda connection: connection.set_commit_hook(lambda: bool(commits.append(None))))

    async def look_and_write(number: int) -> None:
        # Each look lets the other threads run; the writer's must find nothing to begin with.
        for _ in range(20):
            names(store)
        await store.database.write(insert(f"n{number}"))

    await asyncio.gather(*map(look_and_write, range(20)))
    assert len(commits) == 1
    assert len(names(store)) == 20


async def write_each_turn(store: SqlStore, count: int) -> list["asyncio.Task[None]"]:
    """Submit one write in each of so many turns of the loop."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(store.database.write(insert(f"n{number}"))))
        await asyncio.sleep(0)
        # Each look lets the other threads run; the writer's must find nothing to begin with.
        for _ in range(200):
            names(store)
    return tasks


async def test_what_turns_in_a_row_submit_is_one_transaction(store: SqlStore):
    commits: list[None] = []
    await store.database.write_bare(lambda connection: connection.set_commit_hook(lambda: bool(commits.append(None))))
    await asyncio.gather(*await write_each_turn(store, 20))
    assert len(commits) == 1
    assert len(names(store)) == 20


async def test_nothing_waits_for_a_loop_that_never_stops_to_submit(store: SqlStore):
    tasks = await write_each_turn(store, 64)
    async with asyncio.timeout(PATIENCE):
        while not tasks[0].done():
            tasks += await write_each_turn(store, 1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_unit_that_fails_after_writing_leaves_its_neighbours_alone(store: SqlStore):
    def write_and_fail(connection: apsw.Connection) -> None:
        insert("half")(connection)
        raise ValueError("changed my mind")

    def write_and_refuse(connection: apsw.Connection) -> UniqueConflict:
        insert("refused")(connection)
        return UniqueConflict("userName", "x")

    results = await batch(store, insert("a"), write_and_fail, insert("b"), write_and_refuse, insert("a"), insert("c"))
    assert results[0] is results[2] is results[5] is None
    assert isinstance(results[1], ValueError)
    assert results[3] == UniqueConflict("userName", "x")
    assert isinstance(results[4], apsw.ConstraintError)
    assert names(store) == {"a", "b", "c"}


async def test_a_fault_of_the_disk_is_no_fate_of_the_innocent(store: SqlStore):
    def fail(connection: apsw.Connection) -> None:
        insert("lost")(connection)
        raise apsw.IOError("disk I/O error")

    results = await batch(store, insert("a"), fail, insert("b"))
    assert results[0] is results[2] is None
    assert isinstance(results[1], StoreUnavailable)
    assert names(store) == {"a", "b"}


async def test_a_transaction_that_sqlite_ends_by_itself_is_run_again(store: SqlStore):
    def end(connection: apsw.Connection) -> None:
        connection.execute("ROLLBACK")
        raise ValueError("the transaction is gone")

    results = await batch(store, insert("a"), end, insert("b"))
    assert results[0] is results[2] is None
    assert isinstance(results[1], ValueError)
    assert names(store) == {"a", "b"}


async def test_whatever_a_unit_raises_the_thread_lives_on_and_who_waits_hears_of_it(store: SqlStore):
    def leave(connection: apsw.Connection) -> None:
        insert("half")(connection)
        raise SystemExit(3)

    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match=r"The writer failed: SystemExit\(3\)"):
            await store.database.write(leave)
        await store.database.write(insert("whole"))
        await store.check_alive()
        results = await batch(store, insert("a"), leave, insert("b"))
    assert results[0] is results[2] is None
    assert isinstance(results[1], StoreUnavailable)
    assert names(store) == {"whole", "a", "b"}


async def test_a_defect_in_noting_a_commit_is_told_to_its_own_waiter_alone(store: SqlStore):
    noted: list[str] = []
    go, blocked = block(store)
    await asyncio.sleep(0)
    notes: list[Callable[[str], None]] = [noted.append, lambda _: noted.index("never"), noted.append]
    tasks = [
        asyncio.create_task(store.database.write(lambda _, name=name: name, committed=note))
        for name, note in zip("abc", notes, strict=True)
    ]
    await asyncio.sleep(0)
    go.set()
    await blocked
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert (results[0], type(results[1]), results[2], noted) == ("a", ValueError, "c", ["a", "c"])


async def test_a_waiter_that_gave_up_breaks_nothing(store: SqlStore):
    go, blocked = block(store)
    tasks = [asyncio.create_task(store.database.write(insert(name))) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    go.set()
    await blocked
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] is results[2] is None
    assert isinstance(results[1], asyncio.CancelledError)
    # What was submitted is written, though nobody waits any longer.
    assert names(store) == {"a", "b", "c"}


async def test_what_is_noted_after_the_commit_is_noted_without_a_waiter(store: SqlStore):
    noted: list[str] = []
    go, blocked = block(store)
    task = asyncio.create_task(store.database.write(lambda _: "done", committed=noted.append))
    await asyncio.sleep(0)
    task.cancel()
    go.set()
    await blocked
    await store.check_alive()
    assert noted == ["done"]


async def test_closing_finishes_what_waits(store: SqlStore, tmp_path):
    go, blocked = block(store)
    tasks = [asyncio.create_task(store.database.write(insert(name))) for name in "abc"]
    await asyncio.sleep(0)
    go.set()
    await asyncio.to_thread(store.database.close_here)
    assert await asyncio.gather(blocked, *tasks) == [None, None, None, None]
    with pytest.raises(StoreUnavailable):
        await store.database.write(insert("d"))
    with pytest.raises(StoreUnavailable):
        await store.check_alive()
    assert not (tmp_path / "hub.db-wal").exists()
    connection = apsw.Connection(str(tmp_path / "hub.db"))
    assert connection.execute("SELECT count(*) FROM hub WHERE length(name) = 1").fetchall() == [(3,)]
    connection.close()


async def test_closing_in_the_same_turn_finishes_what_was_submitted_in_it(store: SqlStore):
    tasks = [asyncio.create_task(store.database.write(insert(name))) for name in "abc"]
    await asyncio.sleep(0)
    store.database.close_here()
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*tasks) == [None, None, None]


async def test_waiters_in_two_event_loops_are_answered_in_their_own(store: SqlStore):
    async def write_there() -> str:
        return await store.database.write(lambda _: threading.current_thread().name)

    there = asyncio.to_thread(asyncio.run, write_there())
    here = store.database.write(lambda _: threading.current_thread().name)
    assert await asyncio.gather(there, here) == ["scimhub-writer", "scimhub-writer"]


# --------------------------------------------------------------------------- a full disk


async def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_there(desk: Desk, store: SqlStore):
    def limit(extra: int):
        def set_limit(connection: apsw.Connection) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchall()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + extra}").close()

        return set_limit

    await desk.user("first")
    await store.database.write(limit(20))
    large, small = "x" * 60_000, "x" * 10
    creates = [
        Create(desk.actor, "User", f"id{number}", user(f"user{number}", title=large if number % 2 else small))
        for number in range(20)
    ]
    outcomes = await asyncio.gather(*(store.submit(create) for create in creates), return_exceptions=True)
    acknowledged = {create.id for create, outcome in zip(creates, outcomes, strict=True) if isinstance(outcome, Applied)}
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Applied)]
    assert {create.id for create in creates[::2]} <= acknowledged
    assert refused
    assert all(isinstance(outcome, StoreUnavailable) and "full" in str(outcome) for outcome in refused)
    there = {create.id for create in creates if await desk.find(create.id) is not None}
    assert there == acknowledged
    assert [change.position for change in await desk.changes()] == list(range(1, len(acknowledged) + 2))
    assert await store.count_resources(desk.directory.key) == {"User": len(acknowledged) + 1}
    await store.database.write(limit(10_000))
    assert isinstance(await store.submit(creates[1]), Applied)


# --------------------------------------------------------------------------- checkpoints


async def test_the_log_does_not_grow_without_end_under_steady_writing(desk: Desk, store: SqlStore):
    large = "x" * 100_000
    shrunk = False
    # Ten rounds suffice; on a busy machine the log is emptied some rounds later.
    for start in range(0, 1000, 20):
        numbers = range(start, start + 20)
        await asyncio.gather(*(desk.user(f"user{n}", content=user(f"user{n}", title=large)) for n in numbers))
        wal = store.database.path.with_name(store.database.path.name + "-wal").stat().st_size
        shrunk = start >= 180 and wal < 30 * 2**20
        if shrunk:
            break
    assert shrunk
    assert (await store.check()).size > 40 * 2**20
