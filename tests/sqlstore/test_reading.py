"""The two ways of reading: short on the caller's thread, long on threads of their own."""

import apsw

from scimhub.sqlstore.store import SqlStore


def mapped_bytes(connection: apsw.Connection) -> int:
    [(size,)] = connection.execute("PRAGMA mmap_size").fetchall()
    return int(size)


async def test_long_reads_map_the_file_and_short_ones_do_not(store: SqlStore):
    assert store.database.read(mapped_bytes) == 0
    assert await store.database.read_aside(mapped_bytes) > 0
