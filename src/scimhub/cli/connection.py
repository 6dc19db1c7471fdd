"""How a verb reaches the admin API: over the running hub's socket, or by opening the database itself (DECISIONS 22).

Either way it is the same API with the same code behind it, so a verb does not know which.
"""

import asyncio
import contextlib
import logging
import os
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import orjson
import typer

from scimhub import settings as settings_of
from scimhub.cli import output
from scimhub.directory.errors import Fault
from scimhub.settings import Settings, SettingsError

if TYPE_CHECKING:
    from scimhub.app import Hub

_PREFIX = "http://scimhub/admin/v1"
# A job over all resources may take minutes; connecting to a socket may not.
_TIMEOUT = httpx.Timeout(None, connect=2.0)


class NotRunning(Exception):
    """Nobody listens on the socket."""


class Refused(Exception):
    """The admin API, or the way to it, said no; ``problems`` has one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def load_settings(context: typer.Context) -> Settings:
    """The settings that the command line names; ends the program with code 2 when they are wrong."""
    try:
        return settings_of.load(context.obj)
    except SettingsError as error:
        raise output.fail(error.problems, output.WRONG_SETTINGS) from None


def path_of(*parts: str) -> str:
    """A path below the API's prefix, each part escaped."""
    return "/" + "/".join(quote(part, safe=":") for part in parts)


def ask(
    context: typer.Context,
    method: str,
    path: str,
    *,
    json: object = None,
    query: Mapping[str, str] | None = None,
    creates: bool = False,
    writes: bool = True,
) -> Any:
    """The API's JSON answer; ends the program with code 1 and the API's sentences when it refuses.

    ``creates`` lets the verb make the database when there is none yet. Without ``writes``, and with GET in any case, a database
    that this process opens is read only.
    """
    settings = load_settings(context)
    try:
        return asyncio.run(_ask(settings, httpx.Request(method, _PREFIX + path, json=json, params=query), creates, writes))
    except Refused as error:
        raise output.fail(error.problems) from None
    except Fault as error:
        raise output.fail([str(error)]) from None


def ask_lines(
    context: typer.Context, method: str, path: str, *, json: object = None, query: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """The objects of an answer that comes in lines, each as soon as it is there; ends the program as ``ask`` does."""
    settings = load_settings(context)
    try:
        lines = _lines(settings, httpx.Request(method, _PREFIX + path, json=json, params=query))
        with asyncio.Runner() as runner:
            try:
                while (line := runner.run(_next(lines))) is not None:
                    yield orjson.loads(line)
            finally:
                runner.run(lines.aclose())
    except Refused as error:
        raise output.fail(error.problems) from None
    except Fault as error:
        raise output.fail([str(error)]) from None


async def _next(lines: AsyncGenerator[str]) -> str | None:
    return await anext(lines, None)


async def _lines(settings: Settings, request: httpx.Request) -> AsyncGenerator[str]:
    async with open_way(settings) as way:
        async for line in way.ask_lines(request):
            yield line


class Way:
    """A way to the hub for many requests one after the other, by one connection or one opening of the database."""

    def __init__(self, client: httpx.AsyncClient, where: str) -> None:
        self._client = client
        self._where = where

    async def ask(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        media_type: str = "application/x-ndjson",
    ) -> bytes:
        """The API's answer; raises Refused, also when the hub went away."""
        parameters = httpx.QueryParams(list(query))
        headers = {"content-type": media_type} if body else None
        try:
            answer = await self._client.request(method, _PREFIX + path, params=parameters, content=body, headers=headers)
        except httpx.TransportError as error:
            raise Refused([f"The hub did not answer over {self._where}: {error or type(error).__name__}."]) from error
        if answer.is_success:
            return answer.content
        problem = answer.json()
        raise Refused(problem.get("problems") or [problem["detail"]])

    async def ask_lines(self, request: httpx.Request) -> AsyncIterator[str]:
        """The lines of the API's answer; raises Refused, also when the hub went away."""
        try:
            answer = await self._client.send(request, stream=True)
            if not answer.is_success:
                problem = orjson.loads(await answer.aread())
                raise Refused(problem.get("problems") or [problem["detail"]])
            async for line in answer.aiter_lines():
                yield line
        except httpx.TransportError as error:
            raise Refused([f"The hub did not answer over {self._where}: {error or type(error).__name__}."]) from error


@contextlib.asynccontextmanager
async def open_way(settings: Settings, *, writes: bool = True) -> AsyncIterator[Way]:
    """A way to the running hub, or to the database that this process opens for as long; raises Refused, Fault."""
    async with contextlib.AsyncExitStack() as stack:
        transport: httpx.AsyncBaseTransport
        try:
            await ask_running(settings, request_of("GET", "/status"))
            transport = _over(settings.socket_path)
        except NotRunning:
            _check_database(settings)
            hub = await stack.enter_async_context(_open_hub(settings, writes=writes))
            transport = httpx.ASGITransport(hub.local_application, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, timeout=_TIMEOUT, trust_env=False)
        yield Way(await stack.enter_async_context(client), str(settings.socket_path))


async def ask_running(settings: Settings, request: httpx.Request) -> Any:
    """The answer of the running hub; raises NotRunning, Refused."""
    socket = settings.socket_path
    try:
        is_there = socket.exists()
    except PermissionError as error:
        problem = f"This user may not look into {settings.data_directory}; run the command as the user of the hub."
        raise Refused([problem]) from error
    if not is_there:
        raise NotRunning
    async with _over(socket) as transport:
        try:
            return await _send(transport, request)
        except httpx.ConnectError as error:
            if not os.access(socket, os.R_OK | os.W_OK):
                problem = f"The hub's socket {socket} belongs to another user; run the command as that user."
                raise Refused([problem]) from error
            raise NotRunning from error
        except httpx.TransportError as error:
            raise Refused([f"The hub did not answer over {socket}: {error}."]) from error


def _over(socket: Path) -> httpx.AsyncHTTPTransport:
    # TLS is not spoken here; by default the certificates of all authorities are loaded, 23 ms for each verb.
    return httpx.AsyncHTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def ask_database(settings: Settings, request: httpx.Request, *, writes: bool = True) -> Any:
    """The answer of the API over the database that this process opens, for GET to read only; raises Refused, Fault."""
    async with _open_hub(settings, writes=writes and request.method != "GET") as hub:
        return await _send(httpx.ASGITransport(hub.local_application, raise_app_exceptions=False), request)


@contextlib.asynccontextmanager
async def _open_hub(settings: Settings, *, writes: bool) -> AsyncIterator["Hub"]:
    """The hub over the database that this process opens; on standard error it says if it has migrated it."""
    # The framework and the drivers take half a second to load: only for who opens the database.
    from scimhub import app

    with _quiet():
        async with app.open_hub(settings, bootstrap=False, writes=writes) as hub:
            if (before := hub.store.migrated_from) is not None:
                brought = f"{settings.database_shown} was at migration {before}; it is this program's now"
                print(f"{brought}, and an older scimhub refuses it.", file=sys.stderr)
            yield hub


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Of the hub's log only defects are told: of all else the verb tells in sentences."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: record.exc_info is not None)
    logger = logging.getLogger("scimhub")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def request_of(method: str, path: str, query: Mapping[str, str] | None = None) -> httpx.Request:
    """A request to the admin API."""
    return httpx.Request(method, _PREFIX + path, params=query)


async def _ask(settings: Settings, request: httpx.Request, creates: bool, writes: bool) -> Any:
    try:
        return await ask_running(settings, request)
    except NotRunning:
        pass
    if not creates:
        _check_database(settings)
    return await ask_database(settings, request, writes=writes)


def _check_database(settings: Settings) -> None:
    """Raise Refused when there is no database that could be opened."""
    file = settings.database_file
    if file is not None and not file.exists():
        problem = f"There is no database {file}; start the hub with: scimhub serve, or set SCIMHUB_DATABASE."
        raise Refused([problem])


async def _send(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Any:
    async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT, trust_env=False) as client:
        answer = await client.send(request)
        body: Any = answer.json() if answer.content else None
    if answer.is_success:
        return body
    raise Refused(body.get("problems") or [body["detail"]])
