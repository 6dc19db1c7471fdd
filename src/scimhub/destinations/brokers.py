"""The kinds that are brokers: what they have in common as kinds, and the only list of them.

Their client libraries are optional: each is imported when a destination of its kind is opened, and asked for when one is
made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, Final

from scimhub.destinations import broker_configuration
from scimhub.destinations.aws_configuration import SnsKeys, SqsKeys
from scimhub.destinations.broker_configuration import Keys
from scimhub.destinations.brought_secret import BroughtSecret
from scimhub.destinations.egress import Policy
from scimhub.destinations.kafka_configuration import KafkaKeys
from scimhub.destinations.nats_configuration import NatsKeys
from scimhub.destinations.rabbitmq_configuration import RabbitKeys
from scimhub.destinations.redis_configuration import RedisKeys
from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Destination, Purpose, Secret
from scimhub.distribution.ports import DestinationKind, Sender
from scimhub.distribution.unable import Unable

# With these the hub brings nothing of its own to show who it is.
_WITHOUT_SECRET: Final = frozenset(("none", "environment"))
_LONGEST_SECRET: Final = 10_000

# Takes the destination's id, the configuration, the secret's text (empty when there is none) and the policy.
Open = Callable[[str, Any, str, Policy], Sender]


@dataclass(frozen=True, slots=True)
class Broker(BroughtSecret):
    """A kind that sends to a broker; its secret, if its authentication has one, is brought by the administrator.

    ``module`` is what the client library is imported as, ``extra`` what has to be installed for it.
    """

    name: str
    keys: type[Keys]
    module: str
    extra: str
    open_sender: Open
    policy: Policy
    # Who reads a log expects every change in it (DECISIONS 10).
    joins_runs: bool = False

    def check(self, configuration: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration with defaults filled in; raises Invalid with every mistake, a missing library among them."""
        missing = [self._missing()] if find_spec(self.module) is None else []
        try:
            checked = broker_configuration.check(self.keys, configuration, self.policy)
        except Invalid as error:
            raise Invalid(missing + list(error.problems)) from error
        if missing:
            raise Invalid(missing)
        return checked

    def purpose(self, configuration: Mapping[str, object]) -> Purpose | None:
        """The password of its authentication, if that has one."""
        defaults = {one.name: one.default for one in fields(self.keys)}
        wish = configuration.get("authentication", defaults["authentication"])
        return None if wish in _WITHOUT_SECRET else "password"

    def parse_secret(self, text: str, configuration: Mapping[str, object]) -> tuple[Purpose, bytes]:
        """The password, key or credentials that somebody brought, in any characters; raises Invalid, which never holds it."""
        if not 1 <= len(text) <= _LONGEST_SECRET or "\x00" in text:
            raise Invalid([f"The secret has {len(text)} characters; it must have 1 to {_LONGEST_SECRET}, none of them zero."])
        if problems := list(self.keys.secret_problems(configuration, text)):
            raise Invalid(problems)
        return "password", text.encode()

    def open(self, destination: Destination, secrets: Sequence[Secret]) -> Sender:
        """Ready to send with the newest secret; connects when the first message comes."""
        password = next((secret.value.decode() for secret in secrets if secret.purpose == "password"), "")
        if not password and self.purpose(destination.configuration) is not None:
            return Unable(f"Its secret is missing; run: scimhub destination rotate {destination.name} --secret-file FILE.")
        try:
            configuration = broker_configuration.read(self.keys, destination.configuration)
            return self.open_sender(destination.id, configuration, password, self.policy)
        except ImportError:
            return Unable(self._missing())

    def _missing(self) -> str:
        return f"The kind {self.name} needs a library that is not installed; run: pip install 'scimhub[{self.extra}]'."


def kinds(policy: Policy) -> Sequence[DestinationKind]:
    """All of them; ``policy`` says which addresses may be reached."""
    return (
        Broker("kafka", KafkaKeys, "confluent_kafka", "kafka", _open_kafka, policy),
        Broker("nats", NatsKeys, "nats", "nats", _open_nats, policy),
        Broker("rabbitmq", RabbitKeys, "aio_pika", "rabbitmq", _open_rabbitmq, policy),
        Broker("redis_streams", RedisKeys, "redis", "redis", _open_redis, policy),
        Broker("sns", SnsKeys, "aiobotocore", "aws", _open_sns, policy),
        Broker("sqs", SqsKeys, "aiobotocore", "aws", _open_sqs, policy),
    )


def _open_kafka(id: str, keys: KafkaKeys, password: str, policy: Policy) -> Sender:
    from scimhub.destinations.kafka import KafkaSender

    return KafkaSender(id, keys, password, policy)


def _open_nats(id: str, keys: NatsKeys, password: str, policy: Policy) -> Sender:
    from scimhub.destinations.nats import NatsSender

    return NatsSender(id, keys, password, policy)


def _open_rabbitmq(_: str, keys: RabbitKeys, password: str, policy: Policy) -> Sender:
    from scimhub.destinations.rabbitmq import RabbitSender

    return RabbitSender(keys, password, policy)


def _open_redis(_: str, keys: RedisKeys, password: str, policy: Policy) -> Sender:
    from scimhub.destinations.redis_streams import RedisSender

    return RedisSender(keys, password, policy)


def _open_sns(id: str, keys: SnsKeys, secret_key: str, policy: Policy) -> Sender:
    from scimhub.destinations import aws

    return aws.AwsSender(aws.SNS, id, keys, secret_key, policy)


def _open_sqs(id: str, keys: SqsKeys, secret_key: str, policy: Policy) -> Sender:
    from scimhub.destinations import aws

    return aws.AwsSender(aws.SQS, id, keys, secret_key, policy)
