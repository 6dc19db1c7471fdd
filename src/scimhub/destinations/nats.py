"""The kind ``nats``: each event is published to JetStream and counts as delivered once a stream has stored it.

JetStream drops a repetition by ``Nats-Msg-Id`` within the stream's own window. Plain NATS would lose without a word what
no stream takes; here that is a failure of the destination.
"""

import asyncio
import re
import time
from typing import Final
from urllib.parse import ParseResult, quote

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, RawCredentials, Srv
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, Error, MaxPayloadError, NoServersError, SecureConnWantedError
from nats.js.errors import APIError, NoStreamResponseError

from scimhub.destinations import broker_configuration, broker_connection, cloudevents_http, dialling, nats_credentials
from scimhub.destinations.broker_connection import Connection, Lost
from scimhub.destinations.egress import Policy
from scimhub.destinations.nats_configuration import PORT, NatsKeys
from scimhub.destinations.nats_credentials import NoCredentials
from scimhub.distribution.delivery import Delivered, Message, Outcome, Retry
from scimhub.distribution.envelope import TYPE_PREFIX

# JetStream's codes (server/errors.json): message size exceeds maximum allowed.
_TOO_LARGE: Final = 10054
# What it says beside its answers, of a subject; it is remembered of so many at once.
_DENIED: Final = re.compile(r'publish to "([^"]*)"', re.IGNORECASE)
_MOST_NOTED: Final = 1000


class _Transport(TcpTransport):
    """The library's, which connects to addresses that the policy permits, whoever named the host."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # so is the library here
        self._policy = policy

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        async with asyncio.timeout(connect_timeout):
            server = (uri.hostname or "", uri.port or PORT)
            streams = await dialling.open_streams(self._policy, server, limit=buffer_size)
        # Where the library keeps the plain connection that TLS is made of, and the one that it speaks over.
        self._bare_io_reader, self._bare_io_writer = self._io_reader, self._io_writer = streams


class _Client(Client):
    """The library's, which never sends who we are over a connection without TLS that was to have it.

    The library itself makes TLS only if the server asks for it: whoever stands between could ask for none. Servers that a
    server names in its greeting (``connect_urls``) are judged like those that are configured, should it ever try one.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.is_secured = False
        self._policy = policy

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = time.monotonic()
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]  # so is the library here
        self._transport = _Transport(self._policy)
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])

    def _connect_command(self) -> bytes:
        if self.is_secured and not self._server_info.get("tls_required"):
            raise SecureConnWantedError
        return super()._connect_command()


class NatsSender:
    """One open destination. A lost connection is not mended behind our back: the next message makes another one."""

    def __init__(self, id: str, keys: NatsKeys, password: str, policy: Policy) -> None:
        self._id = id
        self._keys = keys
        self._password = password
        self._policy = policy
        self._servers = broker_configuration.read_servers(keys.servers, PORT)
        self._where = ", ".join(broker_configuration.address(server) for server in self._servers)
        self._is_structured = keys.format == "structured"
        # What the server or the network last said against us beside its answers, and when in seconds of the loop: by the
        # subject of which it was said, in lower case, or of none.
        self._noted: dict[str, tuple[float, Exception]] = {}
        self._connection: Connection[Client] = Connection(self._connect, Client.close, keys.timeout)

    async def send(self, message: Message) -> Outcome:
        """Publish it once and wait until a stream has it."""
        subject = subject_of(self._keys.subject_template, message)
        body = message.body if self._is_structured else message.data
        headers = self._headers_of(message)
        size = _size(body, headers)
        begun = asyncio.get_running_loop().time()

        async def publish(client: Client) -> Outcome:
            if size > client.max_payload:
                return broker_connection.too_large(size, client.max_payload, "the NATS server (max_payload)")
            try:
                await client.jetstream().publish(
                    subject, body, timeout=self._keys.timeout, stream=self._keys.stream or None, headers=headers
                )
            except APIError as error:
                return await self._refused(client, error, subject, size)
            return Delivered()

        try:
            return await self._connection.use(publish)
        except NoStreamResponseError:
            return Retry(
                f"No stream takes the subject {subject}; create one for it, or change subject_template.", "destination"
            )
        except (Error, Lost, NoCredentials, OSError, TimeoutError) as error:
            if isinstance(error, ConnectionClosedError):
                # It may have closed before it was known as the connection.
                self._connection.lose()
            said = None
            if isinstance(error, NoServersError | TimeoutError):
                said = self._said(subject, begun if isinstance(error, TimeoutError) else 0.0)
            return self._failed(said or error)

    async def close(self) -> None:
        """End the connection; what is being sent fails."""
        await self._connection.close()

    async def _connect(self) -> Client:
        keys, tls = self._keys, broker_connection.tls_context(self._keys)
        client, self._noted = _Client(self._policy), {}
        client.is_secured = keys.tls
        has_file = keys.authentication == "credentials"
        credentials = RawCredentials(nats_credentials.canonical(self._password)) if has_file else None

        async def closed() -> None:
            self._connection.lose()

        try:
            await client.connect(
                [f"nats://{broker_configuration.address(server)}" for server in self._servers],
                name="scimhub",
                tls=tls,
                user=keys.username or None,
                password=self._password if keys.authentication == "password" else None,
                token=self._password if keys.authentication == "token" else None,
                user_credentials=credentials,
                allow_reconnect=False,
                connect_timeout=max(1, int(keys.timeout / 2)),
                closed_cb=closed,
                error_cb=self._note,
                # Each server is tried, at once, and once more; how long to rest then is the breaker's affair.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
            )
        except BaseException:
            await client.close()  # it leaves its socket open
            raise
        return client

    def _headers_of(self, message: Message) -> dict[str, str]:
        headers = {"Nats-Msg-Id": broker_connection.repetition_id(self._id, message)}
        if self._is_structured:
            headers["Content-Type"] = cloudevents_http.STRUCTURED
        else:
            headers.update((f"ce-{name}", cloudevents_http.encode(value)) for name, value in message.attributes.items())
        return headers

    async def _refused(self, client: Client, error: APIError, subject: str, size: int) -> Outcome:
        said = error.description or f"error {error.err_code}"
        if error.err_code != _TOO_LARGE:
            return Retry(f"JetStream does not store the event: {said}.", "destination", status=error.code)
        context = client.jetstream()
        try:
            name = self._keys.stream or await context.find_stream_name_by_subject(subject)
            limit = (await context.stream_info(name)).config.max_msg_size or 0
        except Error:
            name, limit = "?", 0  # it may not look; the sentence is poorer
        return broker_connection.too_large(size, limit, f"the stream {name} (max_msg_size)")

    async def _note(self, error: Exception) -> None:
        """Called by the library, which would else log each failure."""
        denied = _DENIED.search(str(error))
        subject = denied[1].lower() if denied is not None else ""
        self._noted.pop(subject, None)
        self._noted[subject] = asyncio.get_running_loop().time(), error
        if len(self._noted) > _MOST_NOTED:
            del self._noted[next(iter(self._noted))]

    def _said(self, subject: str, since: float) -> Exception | None:
        """What was said since then of the subject, or of none: where the hub may not publish there is no other answer."""
        for noted in (self._noted.get(subject.lower()), self._noted.get("")):
            if noted is not None and noted[0] >= since:
                return noted[1]
        return None

    def _failed(self, error: BaseException) -> Outcome:
        match error:
            case NoCredentials():
                reason = str(error)
            case SecureConnWantedError():
                reason = f"{self._where} offers no TLS, and nothing was sent; if that is right, set tls to false."
            case Error() if "authorization" in str(error).lower():
                reason = f"{self._where} does not let the hub in; check its authentication, and bring the secret again."
            case MaxPayloadError():
                reason = f"{self._where} ended the connection: an event was larger than its max_payload."
            case Error() if not isinstance(error, TimeoutError):
                reason = f"{self._where} answered: {error}"[:500]
            case _:
                return broker_connection.of_failure(error, self._where, self._keys.timeout)
        return Retry(reason, "destination")


def subject_of(template: str, message: Message) -> str:
    """The subject of the event: the template with each part encoded, so that it stays one token."""
    resource, _, verb = message.attributes["type"].removeprefix(TYPE_PREFIX).partition(".")
    parts = {
        "directory": message.attributes["source"].rpartition("/")[2],
        "resource": resource,
        # A test event has no verb; ``member.added`` would be two tokens.
        "verb": (verb or resource).replace(".", "-"),
        "id": message.attributes["subject"],
    }
    return template.format(**{name: _token(value) for name, value in parts.items()})


def _token(value: str) -> str:
    # quote leaves dots and tildes alone.
    return quote(value, safe="").replace(".", "%2E")


def _size(body: bytes, headers: dict[str, str]) -> int:
    """What counts towards max_payload: the headers too, with their version line and the empty line at their end."""
    return len(body) + 12 + sum(len(name) + len(value) + 4 for name, value in headers.items())
