"""What only Apache Kafka itself shows: compaction, and limits of a topic that hold for whole batches."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scimhub.destinations import kinds
from scimhub.distribution.delivery import Delivered
from tests.destinations.broker import HERE, opened
from tests.destinations.broker_kafka import ApacheKafkaBroker
from tests.destinations.broker_list import open_broker
from tests.destinations.receivers import message
from tests.distribution.outside import open_outside

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafkaBroker]:
    with open_broker("kafka-apache", tmp_path_factory.mktemp("kafka")) as opened:
        assert isinstance(opened, ApacheKafkaBroker)
        yield opened


async def test_small_events_are_not_refused_for_the_batch_in_which_they_travel(broker: ApacheKafkaBroker):
    await broker.create("batches", largest=2000)
    some = [message(f"e{number}", partitionkey=f"k{number}") for number in range(100)]
    async with opened("kafka", broker.configuration("batches")) as sender:
        assert set(await asyncio.gather(*map(sender.send, some))) == {Delivered()}
    assert len(await broker.received("batches")) == 100


async def test_a_compacted_topic_keeps_the_last_state_and_forgets_who_was_deleted(broker: ApacheKafkaBroker, tmp_path: Path):
    policy = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "100", "delete.retention.ms": "0"}
    await broker.create("compacted", **policy)
    wish = {**broker.configuration("compacted"), "format": "binary", "compacted": True}
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0)) as hub:
        await hub.destination(kind="kafka", **wish)
        stays, goes = await hub.place.user("stays"), await hub.place.user("goes")
        for step in range(5):
            await hub.place.set(stays, title=f"t{step}")
        await hub.place.delete("User", goes)
        await hub.caught_up()
        # The segment that is written to is never compacted; each record after a while begins another one.
        end, number = time.monotonic() + 60, 0
        while True:
            arrived = [one for one in await broker.received("compacted") if one.key in (stays, goes)]
            if [one.key for one in arrived] == [stays]:
                break
            assert time.monotonic() < end, [(one.key, one.attributes["type"]) for one in arrived]
            number += 1
            await hub.place.user(f"other-{number}")
            await hub.caught_up()
    assert arrived[0].data["resource"]["title"] == "t4"
