"""The brokers of the contract suite by kind, each opened from what this machine has."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.destinations.broker import Broker
from tests.destinations.broker_aws import SnsBroker, SqsBroker
from tests.destinations.broker_kafka import ApacheKafkaBroker, ExactlyOnceKafkaBroker, MockKafkaBroker
from tests.destinations.broker_nats import NatsBroker
from tests.destinations.broker_rabbitmq import RabbitBroker
from tests.destinations.broker_redis import RedisBroker
from tests.servers import running
from tests.servers.running import Missing

B = TypeVar("B", bound=Broker)

_MAKERS: dict[str, Callable[[Path], Broker]] = {
    "kafka": MockKafkaBroker,
    "kafka-apache": ApacheKafkaBroker,
    "kafka-exactly-once": ExactlyOnceKafkaBroker,
    "nats": NatsBroker,
    "rabbitmq": RabbitBroker,
    "redis_streams": RedisBroker,
    "sns": SnsBroker,
    "sns-fifo": partial(SnsBroker, is_fifo=True),
    "sqs": SqsBroker,
    "sqs-fifo": partial(SqsBroker, is_fifo=True),
}
# Three come from elsewhere than from wheels; two differ little from the other two of AWS.
_IN_CI = ("kafka-apache", "kafka-exactly-once", "rabbitmq", "sns-fifo", "sqs")
NAMES = tuple(_MAKERS)
BROKERS = [pytest.param(name, marks=pytest.mark.ci) if name in _IN_CI else name for name in NAMES]


def open_broker(kind: str, folder: Path) -> AbstractContextManager[Broker]:
    """The broker of that kind, started; see ``started``."""
    return started(kind, _MAKERS[kind], folder)


@contextmanager
def started(name: str, make: Callable[[Path], B], folder: Path) -> Iterator[B]:
    """The broker, started; the test is left out, by that name, when it cannot be had, unless nothing may be."""
    try:
        broker = make(folder)
    except Missing as missing:
        if running.IS_REQUIRED:
            raise
        running.left_out[name] = str(missing)
        pytest.skip(str(missing))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
