"""SQS and SNS as moto imitates them, in a process of its own; a topic's consumer is a queue that subscribes to it."""

import atexit
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import httpx

from tests.destinations.broker import Arrived, Json, of_structured
from tests.servers.proxy import Proxy
from tests.servers.running import Program, free_port

ACCOUNT = "123456789012"
REGION = "eu-central-1"


@cache
def moto() -> Program:
    """The one server for all tests of the run; each uses names of its own."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="moto-"))

    def is_ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=2, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    program = Program(command, port, folder, {"MOTO_ACCOUNT_ID": ACCOUNT}, is_ready)
    program.start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(program.kill)
    return program


@cache
def _client(service: str, port: int) -> Any:
    access = {"aws_access_key_id": "t", "aws_secret_access_key": "t", "region_name": REGION}
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", **access)


class SqsBroker:
    kind = "sqs"
    formats = ("structured",)
    # Not moto itself is killed, which would forget everything, but the way to it.
    is_durable = True
    names_a_missing_place = True
    least_limit: int | None = 2000
    secret = "a-secret-key-of-the-tests"
    # Moto lets everybody in.
    secured = None

    def __init__(self, folder: Path, *, is_fifo: bool = False) -> None:
        self.server = moto()
        self.way = Proxy(self.server.port)
        self.start, self.stop, self.kill = self.way.start, self.way.kill, self.way.kill
        self.freeze, self.thaw = self.way.freeze, self.way.thaw
        self.drops_repetitions = is_fifo
        self._suffix = ".fifo" if is_fifo else ""
        self._taken: dict[str, list[Arrived]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.way.port}"

    def queue_url(self, place: str) -> str:
        return f"{self.url}/{ACCOUNT}/{place}{self._suffix}"

    def configuration(self, place: str) -> Json:
        return {"queue_url": self.queue_url(place), **self._access()}

    async def create(self, place: str, *, largest: int | None = None) -> None:
        attributes = {"MaximumMessageSize": str(largest)} if largest is not None else {}
        attributes |= {"FifoQueue": "true"} if self._suffix else {}
        self.client("sqs").create_queue(QueueName=place + self._suffix, Attributes=attributes)

    async def remove(self, place: str) -> None:
        self.client("sqs").delete_queue(QueueUrl=self.queue_url(place))
        self._taken.pop(place, None)

    async def received(self, place: str) -> list[Arrived]:
        """All that ever was in the place; what is taken out of it is kept here."""
        taken, client, queue = self._taken.setdefault(place, []), self.client("sqs"), self.queue_url(place)
        wish = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "AttributeNames": ["All"]}
        while messages := client.receive_message(QueueUrl=queue, **wish).get("Messages"):
            for message in messages:
                taken.append(read(message))
                client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return list(taken)

    def client(self, service: str) -> Any:
        """The AWS library that blocks; it speaks to moto past the way that can be cut."""
        return _client(service, self.server.port)

    def _access(self) -> Json:
        access = {"region": REGION, "endpoint_url": self.url, "authentication": "key", "access_key_id": "test"}
        return {**access, "timeout": 5}


class SnsBroker(SqsBroker):
    kind = "sns"
    # Moto has topics with the usual limit only.
    least_limit: int | None = 262_144

    def topic_arn(self, place: str) -> str:
        return f"arn:aws:sns:{REGION}:{ACCOUNT}:{place}{self._suffix}"

    def configuration(self, place: str) -> Json:
        return {"topic_arn": self.topic_arn(place), **self._access()}

    async def create(self, place: str, *, largest: int | None = None) -> None:
        await super().create(place)
        attributes = {"FifoTopic": "true"} if self._suffix else {}
        client = self.client("sns")
        topic = client.create_topic(Name=place + self._suffix, Attributes=attributes)["TopicArn"]
        assert topic == self.topic_arn(place)
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{place}{self._suffix}"
        client.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})

    async def remove(self, place: str) -> None:
        await super().remove(place)
        self.client("sns").delete_topic(TopicArn=self.topic_arn(place))


def read(message: Json) -> Arrived:
    attributes, data = of_structured(message["Body"].encode())
    shown = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    assert shown == {f"ce_{name}": attributes[name] for name in ("id", "type", "source", "subject")}
    more = message.get("Attributes", {})
    return Arrived(more.get("MessageGroupId", attributes["subject"]), attributes, data, more)
