"""scim2-server from PyPI, the nearest product in Python, under uvicorn: ``python -m bench.peer PORT``.

It keeps everything in memory, checks no token, and records neither changes nor exchanges.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from scim2_models import EnterpriseUser, Filter, Group, Patch, ResourceType, ServiceProviderConfig, User
from scim2_models.provider import ScimProvider
from scim2_server.applications.asgi import ASGIApplication
from scim2_server.memory import AsyncInMemoryStorage

from bench.requests import ROOT

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def _application() -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Users with the enterprise extension, and groups, below the same path as the hub's."""
    provider = ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=[ResourceType.from_resource(User[EnterpriseUser]), ResourceType.from_resource(Group)],
        config=ServiceProviderConfig(patch=Patch(supported=True), filter=Filter(supported=True, max_results=1000)),
    )
    inner = ASGIApplication(AsyncInMemoryStorage(), provider)

    async def below_root(scope: Message, receive: Receive, send: Send) -> None:
        begun: Message = {}

        async def send_with_length(message: Message) -> None:
            # It gives no content-length, which the load generator reads; its answers are one piece.
            if message["type"] == "http.response.start":
                begun.update(message)
                return
            length = str(len(message.get("body", b""))).encode()
            await send({**begun, "headers": [*begun["headers"], (b"content-length", length)]})
            await send(message)

        await inner({**scope, "path": scope["path"].removeprefix(ROOT)}, receive, send_with_length)

    return below_root


if __name__ == "__main__":
    uvicorn.run(
        _application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        # While it is at one request, others wait longer than the usual five seconds.
        timeout_keep_alive=120,
        log_level="error",
    )
