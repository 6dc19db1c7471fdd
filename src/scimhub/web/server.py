"""The hub's whole HTTP surface as one ASGI application: SCIM, administration, health, metrics."""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from scimhub.directory.errors import StoreUnavailable
from scimhub.telemetry import CONTENT_TYPE, Metrics
from scimhub.web.exchange import Answer, Channel, Receive, Request, Scope, Send, problem

_logger = logging.getLogger(__name__)
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
# What answers a request without a scope.
Serve = Callable[[Request, Channel], Awaitable[None]]
SCIM_PREFIX = "/scim/"


class ScimApplication(Protocol):
    """The SCIM endpoints, as an ASGI application and without ASGI."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def serve(self, request: Request, channel: Channel) -> None: ...


class Server:
    """Sends each request to the part that answers it. ``is_ready`` turns false when the hub stops."""

    def __init__(
        self,
        scim: ScimApplication,
        admin: Application,
        feed: Application,
        contract: Application,
        metrics: Metrics,
        check: Callable[[], Awaitable[None]],
        new_id: Callable[[], str],
    ) -> None:
        self._scim = scim
        self._admin = admin
        self._feed = feed
        self._contract = contract
        self._metrics = metrics
        self._check = check
        self._new_id = new_id
        self.is_ready = True
        # What a connection of ours may give the requests below SCIM_PREFIX to, in the place of a scope to the whole.
        self.serve_scim: Serve = scim.serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        if scope["type"] != "http":
            return None
        path: str = scope["path"]
        if path.startswith(SCIM_PREFIX):
            return await self._scim(scope, receive, send)
        if path.startswith("/admin/"):
            return await self._admin(scope, receive, send)
        if path.startswith("/feed/"):
            return await self._feed(scope, receive, send)
        if path.startswith("/contract/"):
            return await self._contract(scope, receive, send)
        answer = await self._small(path) if scope["method"] in ("GET", "HEAD") else _not_allowed()
        return await answer.send(scope, send, self._new_id())

    async def _small(self, path: str) -> Answer:
        match path:
            case "/healthz":
                return Answer(200, b"ok\n", content_type=b"text/plain")
            case "/readyz":
                return await self._readiness()
            case "/metrics":
                return Answer(200, self._metrics.render(), content_type=CONTENT_TYPE.encode())
            case _:
                return problem(404, "Not found", "There is nothing here; SCIM is served under /scim/{directory}/v2.")

    async def _readiness(self) -> Answer:
        if not self.is_ready:
            return problem(503, "Not ready", "The hub is stopping.")
        try:
            await self._check()
        except StoreUnavailable as fault:
            _logger.warning("not ready", extra={"reason": str(fault)})
            return problem(503, "Not ready", f"{fault} scimhub doctor says more.")
        except Exception:
            _logger.exception("the database does not answer")
            return problem(503, "Not ready", "The database does not answer; scimhub doctor says more.")
        return Answer(200, b"ready\n", content_type=b"text/plain")


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan protocol; what the hub opens and closes is ``app``'s."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _not_allowed() -> Answer:
    answer = problem(405, "Method not allowed", "Only GET and HEAD are possible here.")
    answer.headers.append((b"allow", b"GET, HEAD"))
    return answer
