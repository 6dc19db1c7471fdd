"""The two ends of a connection, and its requests as ASGI tells them."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from scimhub.web.exchange import AT_ONCE, Headers, Scope


class Scopes:
    """Makes the scopes of one connection; ``write_whole`` is what they have at AT_ONCE."""

    def __init__(
        self,
        transport: asyncio.BaseTransport,
        app_state: dict[str, Any],
        write_whole: Callable[[Scope, int, Headers, bytes], bool],
    ) -> None:
        self.scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self._app_state = app_state
        self._write_whole = write_whole

    def make(self, method: str, raw_path: bytes, query: bytes, version: str, headers: Headers) -> Scope:
        """The scope of a request whose target has been parted; raises UnicodeDecodeError for a path that is not ASCII."""
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": headers,
            "state": self._app_state.copy(),
            "method": method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            # ASGI leaves this place to servers.
            "extensions": {AT_ONCE: self._write_whole},
        }


def _address(told: object) -> tuple[str, int | None] | None:
    """An end of the connection as ASGI has it: host and port, or the path of a local socket."""
    if isinstance(told, (tuple, list)) and len(told) >= 2:
        return str(told[0]), int(told[1])
    return (told, None) if isinstance(told, str) and told else None
