"""The network between a simulated provider and a real server: it records what passes, and fails as networks and servers do."""

from collections.abc import Callable
from typing import Literal

import httpx

# "lost": the server never sees the request; "unheard": it does what is asked, and its answer is lost.
Trouble = Literal["lost", "unheard"] | int


class Wire(httpx.AsyncBaseTransport):
    """``trouble`` says for the number of a request, from 1, and the request, what goes wrong with it."""

    def __init__(self, trouble: Callable[[int, httpx.Request], Trouble | None] = lambda number, request: None, **headers: str):
        self.requests: list[httpx.Request] = []
        self._trouble = trouble
        self._headers = headers
        # Loading the certificates of the world takes longer than a story.
        self._inner = httpx.AsyncHTTPTransport(verify=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        trouble = self._trouble(len(self.requests), request)
        if trouble == "lost":
            raise httpx.ConnectError("connection refused", request=request)
        if isinstance(trouble, int):
            headers = {name.replace("_", "-"): value for name, value in self._headers.items()}
            return httpx.Response(trouble, json={"detail": "Come back later."}, headers=headers)
        response = await self._inner.handle_async_request(request)
        if trouble == "unheard":
            await response.aread()
            raise httpx.ReadError("connection reset", request=request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Naps:
    """Waits that are noted instead of slept."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
