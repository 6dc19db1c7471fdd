"""Copies made while the hub writes, and what becomes of them."""

import asyncio
import stat
from pathlib import Path

import apsw
import pytest

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore.sqlite import backup
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.conftest import open_sqlite
from tests.store_contract.harness import Desk, user


def other_random(length: int) -> bytes:
    return b"\xab" * length


async def test_a_backup_is_consistent_while_others_write(desk: Desk, store: SqlStore, tmp_path: Path):
    for number in range(60):
        await desk.user(f"old{number}", content=user(f"old{number}", title="x" * 50_000))
    writing = True

    async def write() -> int:
        number = 0
        while writing:
            await desk.user(f"new{number}")
            number += 1
        return number

    writer = asyncio.create_task(write())
    steps: list[tuple[int, int]] = []
    await store.back_up(tmp_path / "copy.db", lambda copied, pages: steps.append((copied, pages)))
    writing = False
    assert await writer > 0
    assert len(steps) > 2
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert not (tmp_path / "copy.db.partial").exists()
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counts = copy.execute("SELECT (SELECT count(*) FROM resources), (SELECT max(position) FROM changes)").fetchall()[0]
    assert counts[0] == counts[1] >= 60
    copy.close()


async def test_a_restored_database_is_another_history_of_the_same_resources(desk: Desk, store: SqlStore, tmp_path: Path):
    await desk.user("kim", external_id="e1")
    await store.back_up(tmp_path / "copy.db")
    await desk.user("later")
    folder = tmp_path / "restored"
    folder.mkdir()
    filled = backup.restore(tmp_path / "copy.db", folder / "hub.db", other_random)
    restored = open_sqlite(folder)
    try:
        assert (restored.log_epoch, filled.keys) == (filled.log_epoch, ()) == ("abababab", ())
        assert restored.log_epoch != store.log_epoch
        assert restored.cursor_secret != store.cursor_secret
        found = await restored.find(desk.directory.key, "User", "acme-0001", desk.source.key)
        assert found == await desk.get("acme-0001")
        assert await restored.last_position() == 1
    finally:
        await restored.close()
    # A backup may lie where nothing can be written.
    assert [path.name for path in folder.iterdir() if "partial" in path.name or path.name.endswith(("-wal", "-shm"))] == []


async def test_nothing_is_overwritten(store: SqlStore, tmp_path: Path):
    await store.back_up(tmp_path / "copy.db")
    with pytest.raises(StoreUnusable, match=r"copy\.db exists already"):
        await store.back_up(tmp_path / "copy.db")
    with pytest.raises(StoreUnusable, match=r"hub\.db exists already"):
        backup.restore(tmp_path / "copy.db", tmp_path / "hub.db", other_random)
    with pytest.raises(StoreUnusable, match="no backup"):
        backup.restore(tmp_path / "nothing.db", tmp_path / "new.db", other_random)


async def test_what_is_no_backup_is_not_restored(tmp_path: Path):
    wrong = tmp_path / "songs.db"
    connection = apsw.Connection(str(wrong))
    connection.execute("CREATE TABLE songs (title)")
    connection.close()
    with pytest.raises(StoreUnusable, match="not a hub's"):
        backup.restore(wrong, tmp_path / "new.db", other_random)
    wrong.write_bytes(b"torn" * 5000)
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        backup.restore(wrong, tmp_path / "new.db", other_random)
    assert {path.name for path in tmp_path.iterdir()} == {"songs.db"}


async def test_health_shows_sizes_and_no_problems(desk: Desk, store: SqlStore):
    await desk.user("kim")
    health = await store.check()
    assert health.problems == ()
    assert health.size >= 4096
    assert health.wal_size > 0
    assert health.free_disk > 0
