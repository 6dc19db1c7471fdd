"""What is done with a server of one size: it is filled, started anew, read through, and put under load."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import asyncpg

from bench import pages, requests, rounds, scenarios, seed, servers
from bench.arguments import ROOT, Options
from bench.load import Traffic
from bench.results import PEER, SQLITE, Figure, Row
from bench.rounds import CLIENTS, Loader, Round
from bench.seed import Filling
from bench.servers import Place, Server
from tests.servers import postgres as postgresql

# Of scim2-server a filter on a value of several reads everything, and a request each is needed to fill it.
PEER_USERS = 1_000
_SLOW_AT_PEER = ("emails.value eq", "list 100")
# The page in the middle is asked for so many times.
TIMES = 30
_PAGE, _DEEP_PAGE = 200, 100
IMPORT, COPY, FILL_PEER, FIRST, WALK, WALK_CPU, MEMORY, BY_INDEX, BY_CURSOR = (
    "import",
    "copy-database",
    "fill by one request each",
    "first 200 after start",
    f"walk in pages of {_PAGE}",
    "hub's CPU for each user of the walk",
    "resident memory after the walk",
    f"page of {_DEEP_PAGE} in the middle, by startIndex",
    f"page of {_DEEP_PAGE} in the middle, by cursor",
)
PATCHED_BY_PEER = 204


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs."""

    loader: Loader
    hello: Server
    options: Options


def measure_hubs(bench: Bench, cluster: postgresql.Server | None, users: int) -> Iterator[Row | Figure]:
    """Everything about hubs that hold so many users: one is filled, and each database's begins as a copy of it."""
    options = bench.options
    # Groups of every size only where there are most users.
    groups = options.members if users == max(options.users) else ()
    with _folder() as folder:
        filled = Place(folder)
        with servers.hub(filled):
            filling = seed.fill_hub(filled, users, _strangers(options) if groups else 0, groups)
        yield Figure(SQLITE, IMPORT, users, filling.size / filling.seconds, "resources/s")
        for database in options.databases:
            yield from _measure_copy(bench, cluster, database, filled, filling)


def _measure_copy(
    bench: Bench, cluster: postgresql.Server | None, database: str, filled: Place, filling: Filling
) -> Iterator[Row | Figure]:
    with _place_of(database, cluster) as place:
        yield from _copy(database, filled, place, filling)
        yield from _measure_hub(bench, database, place, filling)


def _copy(database: str, filled: Place, place: Place, filling: Filling) -> Iterator[Figure]:
    took = seed.copy(filled, place)
    if place.url is not None:
        yield Figure(database, COPY, len(filling.people.ids), filling.size / took, "resources/s")
        # As the server's own autovacuum does within a minute.
        asyncio.run(_vacuum(place.url))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as name:
        yield Path(name)


@contextmanager
def _place_of(database: str, cluster: postgresql.Server | None) -> Iterator[Place]:
    """An empty place for a hub on that database, gone at the end; PostgreSQL's is in the cluster."""
    with _folder() as folder:
        if database == SQLITE:
            yield Place(folder)
            return
        assert cluster is not None
        assert cluster.running is not None
        url = asyncio.run(cluster.create_database())
        try:
            yield Place(folder, url, cluster.running.pid)
        finally:
            asyncio.run(cluster.drop_database(url))


def _measure_hub(bench: Bench, database: str, place: Place, filling: Filling) -> Iterator[Row | Figure]:
    users = len(filling.people.ids)
    start = perf_counter()
    with servers.hub(place, f"{requests.ROOT}/Users/{filling.people.ids[0]}") as hub:
        yield Figure(database, FIRST, users, perf_counter() - start, "s")
        if bench.options.wants("walk"):
            yield from _measure_pages(bench, database, hub, users)
        # Groups before users, since the scenario that creates users makes more of them.
        yield from _measure_members(bench, database, hub, filling)
        yield from _measure_users(bench, database, hub, filling)


def measure_peer(bench: Bench) -> Iterator[Row | Figure]:
    """The other product, with few users."""
    users = min(PEER_USERS, max(bench.options.users))
    groups = tuple(size for size in bench.options.members if size <= users)
    with servers.peer() as server:
        filling = seed.fill_peer(server, users, 200, groups)
        yield Figure(PEER, FILL_PEER, users, filling.size / filling.seconds, "resources/s")
        if bench.options.wants("walk"):
            yield Figure(PEER, MEMORY.replace(" after the walk", ""), users, server.memory_bytes() / 1e6, "MB")
        yield from _measure_members(bench, PEER, server, filling)
        yield from _measure_users(bench, PEER, server, filling)


def _strangers(options: Options) -> int:
    """So many can be added to a group in one run, and more cannot."""
    return int(8_000 * options.seconds) + 64


async def _vacuum(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


def _measure_pages(bench: Bench, server: str, hub: Server, users: int) -> Iterator[Figure]:
    loader = bench.loader
    cpu = hub.cpu_seconds()
    walked = loader.call(pages.walk, hub.port, _PAGE)
    yield Figure(server, WALK, users, walked.users / walked.seconds, "users/s")
    yield Figure(server, WALK_CPU, users, (hub.cpu_seconds() - cpu) / walked.users * 1e6, "µs")
    yield Figure(server, MEMORY, users, hub.memory_bytes() / 1e6, "MB")
    by_index = loader.call(pages.time_page, hub.port, f"count={_DEEP_PAGE}&startIndex={users // 2}", TIMES)
    yield Figure(server, BY_INDEX, users, by_index * 1e3, "ms")
    middle = loader.call(pages.walk, hub.port, _DEEP_PAGE, max(users // 2, 1)).cursor
    if middle is not None:
        by_cursor = loader.call(pages.time_page, hub.port, f"count={_DEEP_PAGE}&cursor={middle}", TIMES)
        yield Figure(server, BY_CURSOR, users, by_cursor * 1e3, "ms")


def _measure_users(bench: Bench, server: str, hub: Server, filling: Filling) -> Iterator[Row]:
    options, users = bench.options, len(filling.people.ids)
    for scenario in scenarios.of_users(filling.people, PATCHED_BY_PEER if server == PEER else 200):
        if options.wants(scenario.name):
            clients = 1 if server == PEER and scenario.name in _SLOW_AT_PEER else CLIENTS
            made = rounds.measure(bench.loader, hub, bench.hello, scenario, options.rounds, options.seconds, clients)
            yield rounds.summarise(server, scenario.name, users, made, clients=clients)


def _measure_members(bench: Bench, server: str, hub: Server, filling: Filling) -> Iterator[Row]:
    """Adding and removing members in turn, so that a group keeps its size; with all clients, and with one."""
    if not bench.options.wants("member add") and not bench.options.wants("member remove"):
        return
    for size in filling.groups:
        for clients in (1,) if server == PEER else (CLIENTS, 1):
            added, removed = _add_and_remove(bench, hub, filling.groups[size], filling.strangers.ids, clients)
            for name, made in (("member add", added), ("member remove", removed)):
                yield rounds.summarise(server, name, len(filling.people.ids), made, size, clients)


def _add_and_remove(
    bench: Bench, hub: Server, group: str, strangers: Sequence[str], clients: int
) -> tuple[list[Round], list[Round]]:
    seconds = bench.options.seconds

    def once(traffic: Traffic) -> Round:
        return rounds.measure_once(bench.loader, hub, bench.hello, traffic, seconds, clients=clients)

    added, removed = [], []
    for number in range(bench.options.rounds):
        first = number * len(strangers) // bench.options.rounds
        some = [*strangers[first:], *strangers[:first]]
        added.append(once(scenarios.member_add(group, some, seconds)))
        present = some[: added[-1].hub.measured.answered]
        removed.append(once(scenarios.member_remove(group, present)))
    return added, removed
