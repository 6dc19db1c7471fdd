"""The servers that the hub is compared with: one that only answers, and one that does not even read.

*hello* is a raw ASGI application under uvicorn: what HTTP in Python costs before any work. *bare* answers
each arriving piece of data with prepared bytes; it shows how fast the load generator can be.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, cast

import uvicorn
import uvloop

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@lru_cache(maxsize=64)
def _body(path: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    body = b"x" * int(path[1:] or 0)
    return body, [(b"content-type", b"application/scim+json"), (b"content-length", str(len(body)).encode())]


async def hello(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    """200 with as many bytes as the path says: ``/1800``."""
    body, headers = _body(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Bare(asyncio.Protocol):
    _answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without inheriting from it

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)


async def _serve_bare(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", port)
    await server.serve_forever()


def main(name: str, port: int) -> None:
    if name == "bare":
        uvloop.run(_serve_bare(port))
    else:
        uvicorn.run(
            hello,
            host="127.0.0.1",
            port=port,
            loop="uvloop",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_level="error",
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
