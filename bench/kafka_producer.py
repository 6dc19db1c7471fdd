"""A bare producer for the benchmark: what a cluster takes of records like the hub's, from one that does nothing else.

``python -m bench.kafka_producer SERVERS TOPIC RECORDS ROUNDS`` prints a JSON list of records a second, one for each round. A
Java broker that has just begun compiles itself while it works: its first rounds are slow, and make the later ones quick.
"""

import json
import sys
import time

from confluent_kafka import KafkaError, Message, Producer

from bench import requests
from bench.load import pin
from bench.servers import SERVER_CORE
from scimhub.destinations import kafka_production
from scimhub.destinations.kafka_configuration import KafkaKeys

# As many resources, headers and bytes as the hub's own records of a drain have.
_KEYS = 2000
_HEADERS: list[tuple[str, str | bytes | None]] = [(f"ce_attribute{number}", "a value of twenty-four.") for number in range(12)]
_SECONDS = 60.0


def _produce(producer: Producer, topic: str, records: int) -> float:
    """Append so many records; how many a second."""
    value = json.dumps({"resource": requests.user("somebody"), "before": {"title": "Field Engineer"}}).encode()
    failed: list[KafkaError] = []

    def note(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    start = time.perf_counter()
    for number in range(records):
        producer.produce(topic, value, f"resource {number % _KEYS}".encode(), headers=_HEADERS, on_delivery=note)
        if number % 64 == 0:
            producer.poll(0)
    left = producer.flush(_SECONDS)
    if failed or left:
        raise RuntimeError(f"{left + len(failed)} of {records} records did not arrive: {failed[:1]}")
    return records / (time.perf_counter() - start)


if __name__ == "__main__":
    servers, topic, records, rounds = sys.argv[1:]
    pin(SERVER_CORE)
    keys = KafkaKeys(servers=servers, topic=topic, tls=False)
    producer = Producer(kafka_production.options(keys, "", 1_000_000, servers))
    print(json.dumps([_produce(producer, topic, int(records)) for _ in range(int(rounds))]))
