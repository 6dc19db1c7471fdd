"""A real server process for the tests, and a small SCIM client to speak to it."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.servers.running import PATIENCE

ROOT = Path(__file__).parents[2]
TOKEN = "bootstrap-token-of-the-tests"
ADMIN_TOKEN = "admin-token-of-the-tests-too"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
# Without TLS: else each client loads the certificates of all authorities, which takes 23 ms.
_PLAIN: dict[str, Any] = {"timeout": PATIENCE, "verify": False}


def wait_until(condition: Callable[[], bool], what: str, limit: float = PATIENCE) -> None:
    """Return as soon as the condition holds; AssertionError after ``limit`` seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {limit} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class LiveHub:
    """One hub on its own directory of files. ``start`` after ``kill`` goes on with the same database.

    ``words`` follow ``scimhub serve``.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    words: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def scim_url(self) -> str:
        return f"{self.url}/scim/default/v2"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def start(self) -> "LiveHub":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCIMHUB_")}
        environment |= {
            "SCIMHUB_DATABASE": str(self.folder / "scimhub.db"),
            "SCIMHUB_PORT": str(self.port),
            "SCIMHUB_BOOTSTRAP_TOKEN": TOKEN,
            "SCIMHUB_ADMIN_TOKEN": ADMIN_TOKEN,
            **self.settings,
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scimhub", "serve", *self.words],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._is_ready, "the hub's start")
        except BaseException:
            self.kill()
            raise
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the hub ended with {self.process.returncode}:\n{self.log[-4000:]}"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            with contextlib.closing(connection):
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def accepts_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would: no time for anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Stop in the proper way; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def client(self, token: str = TOKEN, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.scim_url, headers=scim_headers(token), **(_PLAIN | options))  # type: ignore[arg-type]

    def async_client(self, connections: int, token: str = TOKEN) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.AsyncClient(base_url=self.scim_url, headers=scim_headers(token), limits=limits, **_PLAIN)


def scim_headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "content-type": "application/scim+json", "accept": "application/scim+json"}


def user(name: str, **attributes: object) -> dict[str, object]:
    return {"schemas": [USER], "userName": name, **attributes}


def group(name: str, *members: str) -> dict[str, object]:
    return {"schemas": [GROUP], "displayName": name, "members": [{"value": member} for member in members]}


def patch(*operations: Mapping[str, object]) -> dict[str, object]:
    return {"schemas": [PATCH_OP], "Operations": list(operations)}
