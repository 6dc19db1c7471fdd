"""A connection to PostgreSQL for tests that do not wait: the same statements, on an event loop of its own."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from scimhub.sqlstore.postgres import driver
from scimhub.sqlstore.postgres.dialect import POSTGRES
from scimhub.sqlstore.postgres.translation import translate
from tests.servers.postgres import Server, lacks_trigrams


class Blocking:
    """Statements as the store writes them."""

    dialect = POSTGRES

    def __init__(self, runner: asyncio.Runner, raw: Any) -> None:
        self._run = runner.run
        self._raw = raw

    def fetch(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return [tuple(row) for row in self._run(self._raw.fetch(translate(sql), *values))]

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        self._run(self._raw.execute(translate(sql), *values))

    def executemany(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._run(self._raw.executemany(translate(sql), list(rows)))

    def read(self, work: Any) -> Any:
        return self._run(driver.carry_out(work, driver.PostgresConnection(self._raw)))


def has_trigrams(connection: Blocking) -> bool:
    """Whether texts can be searched, from now on."""
    try:
        connection.execute("CREATE EXTENSION pg_trgm")
    except asyncpg.FeatureNotSupportedError:
        lacks_trigrams()
        return False
    return True


@contextmanager
def opened(server: Server, *, migrated: bool = True) -> Iterator[Blocking]:
    """A connection to a new database, with the hub's tables."""
    with asyncio.Runner() as runner:
        url = runner.run(server.create_database())
        raw = runner.run(_connect(url, migrated))
        try:
            yield Blocking(runner, raw)
        finally:
            runner.run(raw.close())
            runner.run(server.drop_database(url))


async def _connect(url: str, migrated: bool) -> Any:
    from scimhub.sqlstore.postgres import migrate

    raw = await asyncpg.connect(url)
    await driver.prepare(raw)
    if migrated:
        await migrate.migrate(raw, now="2026-11-23T10:00:00.000Z", random=bytes, fold_version=1)
    return raw
