"""A consumer of Kafka for the benchmark, asked over HTTP as ``bench.receiver`` is.

``python -m bench.kafka_receiver SERVERS TOPIC PORT`` makes the topic and notes when each of its records came.
"""

import asyncio
import sys
import threading
import time

import uvloop
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import receiver
from bench.load import pin
from bench.servers import LOAD_CORE

_PARTITIONS = 4


def _note(servers: str, topic: str) -> None:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench", "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(_PARTITIONS)])
    while True:
        if receiver.is_held:
            time.sleep(0.05)
            continue
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            id = dict(message.headers() or []).get("ce_id")
            if id is None:  # a bare producer's
                continue
            receiver.arrivals.append((id.decode() if isinstance(id, bytes) else str(id), time.time()))
            receiver.changes += 1


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(receiver.Noting, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    servers, topic, port = sys.argv[1:]
    pin(LOAD_CORE)
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, _PARTITIONS, 1)])[topic].result(20)
    threading.Thread(target=_note, args=(servers, topic), daemon=True).start()
    uvloop.run(_serve(int(port)))
