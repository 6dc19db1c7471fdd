"""Connections to one destination: at most so many, to addresses that the policy permits, and honest about having gone stale."""

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from scimhub.destinations import egress
from scimhub.destinations.egress import Lookup, Policy


class StaleConnection(aiohttp.ClientOSError):
    """A connection that had been used before was gone before any byte of an answer came.

    The receiver closed it while it was idle, which nobody can know until something is written: a new one may well work.
    """


class _Connection(ResponseHandler):
    """aiohttp's connection, which tells a stale connection from a broken one."""

    _was_used = False
    _is_stale = False

    def set_response_params(self, **params: Any) -> None:
        """Called for each request, before it is written."""
        self._is_stale = self._was_used
        self._was_used = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._is_stale = False
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if self._is_stale and isinstance(exc, (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            exc = StaleConnection(*exc.args)
        super().set_exception(exc, *cause)


class Connector(aiohttp.TCPConnector):
    """Connections for one destination, to be made within the running loop. ``lookup`` finds the addresses of a name."""

    def __init__(self, policy: Policy, concurrency: int, lookup: Lookup = egress.ask_system) -> None:
        super().__init__(limit=concurrency, limit_per_host=concurrency, **egress.connector_arguments(policy, lookup))
        # aiohttp offers no other way to say what a connection is made of; test_webhook_faults would tell of its end.
        self._factory = partial(_Connection, loop=self._loop)  # type: ignore[assignment]  # partial is invariant
