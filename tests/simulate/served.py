"""Where a simulated provider is pointed at, and how a test speaks to it."""

from dataclasses import dataclass

import httpx

from scimhub.simulate import runner
from scimhub.simulate.provider import Provider
from tests.simulate.wire import Wire


@dataclass(frozen=True)
class Served:
    url: str
    token: str

    def client(self, provider: Provider, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
        return runner.open_client(provider, self.token, transport or Wire())
