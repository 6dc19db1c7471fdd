"""The kind ``redis_streams``: each event is an entry of a stream, and by default its position is the entry's id.

Redis takes no id that is not greater than the last: what is sent a second time, because nobody knew whether it had
arrived, is refused by the stream itself.
"""

import socket
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Connection as RedisConnection
from redis.asyncio import Redis, SSLConnection
from redis.asyncio.retry import Retry as NoRetry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scimhub.destinations import broker_configuration, broker_connection, dialling
from scimhub.destinations.broker_connection import Connection, Lost
from scimhub.destinations.egress import Policy
from scimhub.destinations.redis_configuration import PORT, RedisKeys
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry

# Redis 7: of these milliseconds the next id.
_NEXT: Final = "*"
# So many entries that do not count yet are remembered; more are appended again.
_MOST_WRITTEN: Final = 10_000
_IS_BEHIND: Final = "equal or smaller"
# Redis repeats the beginning of a command that it does not know, and with it what is personal.
_PERSONAL: Final = ", with args beginning"


class _Judged(RedisConnection):
    """The library's connection, but to an address that the policy permits. ``policy`` is one more of its arguments."""

    def __init__(self, *, policy: Policy, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._policy = policy
        self._dialled: socket.socket | None = None

    async def _connect(self) -> None:
        self._dialled = await dialling.dial(self._policy, (self.host, self.port))
        try:
            await super()._connect()  # type: ignore[no-untyped-call]  # so is the library here
        except BaseException:
            self._dialled.close()
            raise

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = {**super()._connection_arguments(), "sock": self._dialled}
        host, _ = arguments.pop("host"), arguments.pop("port")
        return {**arguments, "server_hostname": host} if "ssl" in arguments else arguments


class _JudgedTls(_Judged, SSLConnection):
    """The same with TLS."""


class RedisSender:
    """One open destination."""

    def __init__(self, keys: RedisKeys, password: str, policy: Policy) -> None:
        self._keys = keys
        self._password = password
        self._policy = policy
        (self._server,) = broker_configuration.read_servers(keys.server, PORT)
        self._where = broker_configuration.address(self._server)
        self._connection: Connection[Redis] = Connection(self._connect, Redis.aclose, keys.timeout)
        # By delivery id the entries that are in the stream, and not yet where they must be.
        self._written: dict[str, bytes] = {}

    async def send(self, message: Message) -> Outcome:
        """Append it once, and wait until it is where it must be."""
        try:
            return await self._connection.use(lambda client: self._append(client, message))
        except AuthenticationError as error:
            self._connection.lose()
            return Retry(f"{self._where} does not let the hub in: {_said(error)}.", "destination")
        except (RedisConnectionError, RedisTimeoutError) as error:
            # The next message connects anew, where the addresses are judged again.
            self._connection.lose()
            return broker_connection.of_failure(_cause(error), self._where, self._keys.timeout)
        except RedisError as error:
            if isinstance(error, ReadOnlyError):
                # After a failover the connection still leads to the former primary, and the name to the next one.
                self._connection.lose()
            return self._refused(error)
        except (Lost, OSError, TimeoutError) as error:
            return broker_connection.of_failure(error, self._where, self._keys.timeout)

    @staticmethod
    def _refused(error: RedisError) -> Outcome:
        return Retry(f"Redis does not take the event: {_said(error)}.", "destination")

    async def close(self) -> None:
        """End all connections; what is being sent fails."""
        await self._connection.close()

    async def _connect(self) -> Redis:
        keys, (host, port) = self._keys, self._server
        # The library would tell of files that cannot be used as of the server's TLS.
        broker_connection.tls_context(keys)
        client = Redis(
            host=host,
            port=port,
            db=keys.database,
            username=keys.username or None,
            password=self._password or None,
            ssl=keys.tls,
            ssl_ca_certs=keys.ca_file or None,
            ssl_certfile=keys.certificate_file or None,
            ssl_keyfile=keys.key_file or None,
            ssl_password="",
            socket_timeout=keys.timeout,
            socket_connect_timeout=keys.timeout,
            max_connections=keys.concurrency,
            # A repetition is the pump's affair; the library would do it silently, and ten times.
            retry=NoRetry(NoBackoff(), 0),
            client_name="scimhub",
            protocol=2,
        )
        client.connection_pool.connection_class = _JudgedTls if keys.tls else _Judged
        client.connection_pool.connection_kwargs["policy"] = self._policy
        return client

    async def _append(self, client: Redis, message: Message) -> Outcome:
        if (entry := self._written.get(message.delivery_id)) is not None:
            if await client.xrange(self._keys.stream, entry, entry):
                return self._noted(message, entry, await self._wait_again(client))
            del self._written[message.delivery_id]
        id = await self._entry_id(client, message)
        if id is None:
            return Delivered()
        command: list[Any] = ["XADD", self._keys.stream]
        if self._keys.most_entries:
            command += ["MAXLEN", "~", self._keys.most_entries]
        attributes = message.attributes
        fields = {"id": attributes["id"], "type": attributes["type"], "subject": attributes["subject"], "event": message.body}
        command += [id, *(part for field in fields.items() for part in field)]
        try:
            return await self._write(client, command, message)
        except ResponseError as error:
            if _IS_BEHIND not in str(error):
                raise
            return await self._judge_behind(client, message)

    def _noted(self, message: Message, entry: bytes, outcome: Outcome) -> Outcome:
        """The outcome; an entry that does not count yet is not to be appended again."""
        if isinstance(outcome, Delivered):
            self._written.pop(message.delivery_id, None)
        elif self._keys.order == "resource":
            if len(self._written) >= _MOST_WRITTEN:
                del self._written[next(iter(self._written))]
            self._written[message.delivery_id] = entry
        return outcome

    async def _write(self, client: Redis, command: list[Any], message: Message | None = None) -> Outcome:
        """Run the command, which appends the message if there is one, and wait until its effect is where it must be."""
        # On one connection: waiting is for what was written on the same one.
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command(*command)
        if waiting := self._waiting():
            pipeline.execute_command(*waiting)
        # Raised by the library, an error would tell of the whole command, and with it what is personal.
        results: list[Any] = await pipeline.execute(raise_on_error=False)
        failed = next((result for result in results if isinstance(result, RedisError)), None)
        outcome = self._refused(failed) if failed is not None else self._judge_waiting(results[1:])
        if message is not None and not isinstance(results[0], RedisError):
            return self._noted(message, results[0], outcome)
        if failed is not None:
            raise failed
        return outcome

    async def _entry_id(self, client: Redis, message: Message) -> str | None:
        """The id to append under; None when the event is in the stream already."""
        if self._keys.order == "resource":
            return _NEXT
        if "sequence" not in message.attributes:
            # A test event stands between positions, where it keeps none of them from being used.
            last: Any = await client.xrevrange(self._keys.stream, count=1)
            return f"{last[0][0].decode().partition('-')[0]}-{_NEXT}" if last else f"0-{_NEXT}"
        position = int(message.attributes["sequence"])
        if "_" not in message.attributes["id"]:
            return f"{position}-0"
        # A further part of an event with many members: behind its first, or behind a test event that came between.
        return None if await self._has_part(client, message) else f"{position}-{_NEXT}"

    async def _judge_behind(self, client: Redis, message: Message) -> Outcome:
        if await self._is_there(client, message):
            return await self._wait_again(client)
        position = int(message.attributes.get("sequence", "0"))
        return Rejected(
            f"The stream {self._keys.stream} is beyond position {position:,} and does not have this event; "
            "it was trimmed, or others write there: use another stream, or the order resource."
        )

    async def _wait_again(self, client: Redis) -> Outcome:
        """Wait for what was written before, perhaps on another connection: by a write that changes nothing."""
        if not self._waiting():
            return Delivered()
        last: Any = await client.xrevrange(self._keys.stream, count=1)
        return await self._write(client, ["XSETID", self._keys.stream, last[0][0]])

    async def _has_part(self, client: Redis, message: Message) -> bool:
        """Whether this part is there: told by the last entry of its position, since the parts of an event come in order."""
        event, _, part = message.attributes["id"].partition("_")
        position = int(message.attributes["sequence"])
        last: Any = await client.xrevrange(self._keys.stream, position, position, count=1)
        told, _, newest = last[0][1].get(b"id", b"").decode().partition("_") if last else ("", "", "")
        if told == event and part.isdecimal() and (newest or "1").isdecimal():
            return int(newest or 1) >= int(part)
        # Behind a test event, or what others wrote, all have to be looked at.
        return await self._is_there(client, message)

    async def _is_there(self, client: Redis, message: Message) -> bool:
        position = int(message.attributes.get("sequence", "0"))
        found: Any = await client.xrange(self._keys.stream, position, position)
        wanted = message.attributes["id"].encode()
        return any(fields.get(b"id") == wanted for _, fields in found)

    def _waiting(self) -> list[Any]:
        """The command that waits for disk and replicas; empty when nothing has to be waited for."""
        # What is there already is waited for twice.
        keys, milliseconds = self._keys, int(self._keys.timeout * 300)
        if keys.disk:
            return ["WAITAOF", 1, keys.replicas, milliseconds]
        return ["WAIT", keys.replicas, milliseconds] if keys.replicas else []

    def _judge_waiting(self, results: list[Any]) -> Outcome:
        if not results:
            return Delivered()
        (told,) = results
        on_disk, replicas = (told[0], told[1]) if self._keys.disk else (0, told)
        if on_disk < self._keys.disk or replicas < self._keys.replicas:
            return Retry(f"{replicas} of {self._keys.replicas} replicas confirmed in time, the disk {on_disk}.", "destination")
        return Delivered()


def _said(error: RedisError) -> str:
    return str(error).partition(_PERSONAL)[0][:300].rstrip(".")


def _cause(error: RedisError) -> BaseException:
    """What is behind the library's own exception, as far as that can be told."""
    if isinstance(error, RedisTimeoutError):
        return TimeoutError()
    return error.__cause__ or error.__context__ or error
