"""Connections to an application over loopback, without the rest of the hub."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from scimhub.web.protocol import Protocol
from scimhub.web.reception import Reception

# A request after which the connection is closed.
LAST = b"GET /last HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def serving(
    application: Any, protocol: Any = None, connections: set[Any] | None = None, **more: Any
) -> AsyncIterator[int]:
    """The port at which the application is served; ``connections`` are those that are open, ``more`` configures uvicorn."""
    protocol = protocol or partial(Protocol, reception=Reception())
    config = uvicorn.Config(application, http=protocol, lifespan="off", log_config=None, **more)
    config.load()
    state = ServerState()
    if connections is not None:
        state.connections = connections
    server = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {"kept": 1}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def answered(port: int, pieces: list[bytes]) -> bytes:
    """All that comes until the connection is closed; each piece is sent when what came before was taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(5):
                await asyncio.sleep(0)
        return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()
