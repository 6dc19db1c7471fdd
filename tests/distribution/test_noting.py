"""What becomes of several resources is written into the ledger in one step, and each hears what became of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution.delivery import Subscription
from scimhub.distribution.ledger import Remote
from scimhub.distribution.noting import Noting
from scimhub.sqlstore.ledger import Ledgers
from tests.consumer.hub import Place, open_sqlite

T0 = "2026-11-26T20:00:00.000Z"


class Watched(Ledgers):
    """The store's ledger; how many were written in each step."""

    steps: list[int]

    async def save_remotes(self, destination: int, remotes: Sequence[Remote]) -> Sequence[bool]:
        self.steps.append(len(remotes))
        return await super().save_remotes(destination, remotes)


@pytest.fixture
async def place(tmp_path: Path):
    """An empty hub."""
    store = open_sqlite(tmp_path)
    yield await Place.open(store)
    await store.close()


async def watched(place: Place) -> tuple[int, Watched]:
    made = await place.store.create_destination(place.directory.key, "app", "scim_app", {}, Subscription(), 0, T0)
    ledger = Watched(place.store._database)
    ledger.steps = []
    return made.key, ledger


def present(id: str, remote_id: str | None = None) -> Remote:
    return Remote(id, "User", "present", 1, T0, remote_id or f"r-{id}")


async def test_what_comes_together_is_written_in_one_step(place: Place):
    key, ledger = await watched(place)
    noting = Noting(key, ledger, lambda: False)
    assert await asyncio.gather(*(noting.save(present(f"u{number}")) for number in range(9))) == [True] * 9
    assert ledger.steps == [9]
    assert await place.store.find_remote(key, "u8") == present("u8")


async def test_while_there_is_time_more_is_waited_for_and_not_for_long(place: Place):
    key, ledger = await watched(place)
    noting = Noting(key, ledger, lambda: True)
    first = asyncio.create_task(noting.save(present("a")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await asyncio.gather(noting.save(present("b")), first) == [True, True]
    assert ledger.steps == [2]
    # Nobody else comes.
    assert await noting.save(present("c"))
    assert ledger.steps == [2, 1]


async def test_a_remote_id_that_two_of_one_step_have_belongs_to_the_first(place: Place):
    key, ledger = await watched(place)
    noting = Noting(key, ledger, lambda: False)
    saved = await asyncio.gather(*(noting.save(present(id, "r1")) for id in ("a", "b")), noting.save(present("c")))
    assert (saved, ledger.steps) == ([True, False, True], [3])
    assert await place.store.find_remote(key, "b") is None
    assert not await noting.save(present("d", "r1"))


async def test_each_hears_that_the_store_cannot_be_reached(place: Place):
    key, ledger = await watched(place)
    noting = Noting(key, ledger, lambda: False)
    await place.store.close()
    found = await asyncio.gather(*(noting.save(present(id)) for id in "ab"), return_exceptions=True)
    assert [type(one) for one in found] == [StoreUnavailable] * 2
