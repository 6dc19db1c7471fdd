"""A hub of its own: a process on a free port of this machine, with its files in one folder; asked over HTTP and by the CLI."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

_START = 30.0
_STOP = 20.0
_LOOK_EVERY = 0.05
_LINES_OF_LOG = 12


class HubFailed(Exception):
    """The hub did not start, or did not do what was asked; says what it answered."""


class Hub:
    """Started by ``start``, ended by ``stop``; ``folder`` keeps its database and its log."""

    def __init__(self, folder: Path) -> None:
        self.admin_token = f"demo-{secrets.token_urlsafe(24)}"
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.database = folder / "scimhub.db"
        self._folder = folder
        self._log = folder / "hub.log"
        self._process: subprocess.Popen[bytes] | None = None
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        self._client = httpx.AsyncClient(base_url=f"{self.url}/admin/v1", headers=headers, timeout=30, trust_env=False)

    async def start(self) -> None:
        """Returns when the hub is ready; raises HubFailed with the end of its log."""
        process = self._process = self._launch()
        end = time.monotonic() + _START
        while not await self._is_ready():
            if process.poll() is not None or time.monotonic() > end:
                raise HubFailed(f"The hub did not start. The end of its log:\n{self._last_lines()}")
            await asyncio.sleep(_LOOK_EVERY)

    async def stop(self) -> None:
        """End the process, properly if it lets itself."""
        await self._client.aclose()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def ask(self, method: str, *path: str, json: object = None) -> Any:
        """The admin API's answer to a request; raises HubFailed with its sentence."""
        target = "/" + "/".join(quote(part, safe="") for part in path)
        try:
            answer = await self._client.request(method, target, json=json)
        except httpx.HTTPError as error:
            raise HubFailed(f"The hub did not answer {method} {target}: {error}\n{self._last_lines()}") from error
        if not answer.is_success:
            raise HubFailed(f"The hub answered {method} {target} with {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None

    async def trace(self, what: str, directory: str) -> list[str]:
        """The lines that ``scimhub trace`` prints; raises HubFailed with what it says instead."""
        words = (sys.executable, "-m", "scimhub", "trace", what, "--directory", directory)
        traced = await asyncio.create_subprocess_exec(
            *words, cwd=self._folder, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            told, said = await traced.communicate()
        finally:
            with suppress(ProcessLookupError):
                traced.kill()
        if traced.returncode != 0:
            raise HubFailed(f"scimhub trace {what} ended with {traced.returncode}: {said.decode('utf-8', 'replace').strip()}")
        return [line.rstrip() for line in told.decode().splitlines()]

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "scimhub", "serve"],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C on the terminal is for us alone: the hub is ended when nobody speaks to it any more.
                start_new_session=True,
            )

    def _environment(self) -> Mapping[str, str]:
        # Settings for another hub must not reach this one.
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("SCIMHUB_")}
        return inherited | {
            "PYTHONUTF8": "1",
            "SCIMHUB_DATABASE": str(self.database),
            "SCIMHUB_PORT": self.url.rpartition(":")[2],
            "SCIMHUB_ADMIN_TOKEN": self.admin_token,
            # Known, so that no other is made and printed into the log.
            "SCIMHUB_BOOTSTRAP_TOKEN": secrets.token_urlsafe(24),
            "SCIMHUB_EGRESS_LOOPBACK": "true",
            "SCIMHUB_LOG_FORMAT": "text",
        }

    async def _is_ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-_LINES_OF_LOG:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
