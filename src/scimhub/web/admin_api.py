"""The admin API under ``/admin/v1``: every verb of the CLI has its one implementation here.

Over TCP it asks for the admin token; over the Unix socket of the data directory (``trusted``) the file's mode has asked
already. Refusals are ``application/problem+json`` (RFC 9457) with all mistakes at once.
"""

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from scimhub import clock
from scimhub.directory.errors import Absent, Conflict, Fault, Invalid, KeysUnusable, StoreUnavailable, StoreUnusable
from scimhub.directory.schemas import Catalogs
from scimhub.distribution.engine import Engine
from scimhub.web import (
    admin_brake,
    admin_destinations,
    admin_directories,
    admin_exchanges,
    admin_hub,
    admin_indexes,
    admin_loading,
    admin_resync,
    admin_schemas,
    admin_secrets,
    admin_trace,
)
from scimhub.web.admin_models import Problem
from scimhub.web.administration import Administration, AdminStore, Recordings

PREFIX = "/admin/v1"
_BODY_LIMIT = 1024 * 1024
_PROBLEM_JSON = "application/problem+json"
_REFUSED: dict[str, Any] = {
    "description": "Refused; the body says why.",
    "content": {_PROBLEM_JSON: {"schema": Problem.model_json_schema()}},
}
_UNAVAILABLE = _REFUSED | {"description": "The database, or a key, is not available now; ask again later."}
_STATUS: dict[type[Fault], tuple[int, str]] = {
    Absent: (404, "Not found"),
    Conflict: (409, "Conflict"),
    Invalid: (400, "Invalid"),
    StoreUnavailable: (503, "Database not available"),
    StoreUnusable: (503, "Database not available"),
    KeysUnusable: (503, "Keys not available"),
}
_logger = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]  # ASGI's own types are open dictionaries
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]
_Application = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def build_admin_api(
    *,
    store: AdminStore,
    catalogs: Catalogs,
    exchanges: Recordings,
    engine: Engine,
    base_url: str,
    admin_token: str | None,
    trusted: bool,
    backups: Path | None = None,
    now: Callable[[], str] = clock.now_text,
    new_id: Callable[[], str] = clock.new_id,
    wake_builder: Callable[[], None] = lambda: None,
) -> _Application:
    """The admin API as an ASGI application. ``backups`` is where a backup asked for over TCP is put."""
    api = FastAPI(
        title="scimhub administration",
        version="1",
        description="Everything that an administrator sets and sees of a scimhub. The scimhub command speaks to the same API.",
        openapi_url=f"{PREFIX}/openapi.json",
        # Their pages load scripts from a network outside.
        docs_url=None,
        redoc_url=None,
        # The token is checked before the body is read, by _Door; this line puts it into the description.
        dependencies=[Security(HTTPBearer(auto_error=False, description="SCIMHUB_ADMIN_TOKEN"))],
        responses={"4XX": _REFUSED, "503": _UNAVAILABLE},
        redirect_slashes=False,
    )
    api.state.administration = Administration(
        store, catalogs, exchanges, engine, base_url, trusted, backups, now, new_id, wake_builder
    )
    for part in _PARTS:
        api.include_router(part.routes, prefix=PREFIX)
    api.add_exception_handler(Fault, _refuse_fault)
    api.add_exception_handler(RequestValidationError, _refuse_shape)
    api.add_exception_handler(HTTPException, _refuse_http)
    api.add_exception_handler(Exception, _admit_defect)
    return _Door(api, admin_token, trusted)


# One module for each subject.
_PARTS = (
    *(admin_directories, admin_schemas, admin_indexes, admin_destinations, admin_brake),
    *(admin_resync, admin_exchanges, admin_trace, admin_loading, admin_secrets, admin_hub),
)


class _Door:
    """Lets in who may administer, and no body over the limit."""

    def __init__(self, api: _Application, token: str | None, trusted: bool) -> None:
        self._api = api
        self._token = None if token is None else token.encode()
        self._trusted = trusted

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return await self._api(scope, receive, send)
        refusal = None if self._trusted or _is_description(scope) else self._check(dict(scope["headers"]))
        if refusal is not None:
            return await refusal(scope, receive, send)
        is_load = scope["path"].endswith(admin_loading.PATHS)
        limit = admin_loading.BODY_LIMIT if is_load else _BODY_LIMIT
        body = await _read_body(receive, limit)
        if body is None:
            too_large = _problem(413, "Too large", f"The body is larger than the limit of {limit} bytes.")
            return await too_large(scope, receive, send)
        if not is_load and (reason := _unkeepable(body)) is not None:
            detail = f"The body holds what cannot be kept: {reason}."
            return await _problem(400, "Invalid", detail, [detail])(scope, receive, send)
        return await self._api(scope, _replay(body, receive), send)

    def _check(self, headers: dict[bytes, bytes]) -> JSONResponse | None:
        if self._token is None:
            detail = (
                "The admin API is closed over TCP: set SCIMHUB_ADMIN_TOKEN (20 characters or more) and start the hub again."
            )
            return _problem(403, "Closed", detail)
        scheme, _, secret = headers.get(b"authorization", b"").strip().partition(b" ")
        # compare_digest takes as long for a nearly right token as for a wrong one.
        if scheme.lower() == b"bearer" and hmac.compare_digest(secret.strip(), self._token):
            return None
        refusal = _problem(401, "Not let in", "Send Authorization: Bearer with the value of SCIMHUB_ADMIN_TOKEN.")
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="scimhub administration"'
        return refusal


def _is_description(scope: _Scope) -> bool:
    return bool(scope["path"] == f"{PREFIX}/openapi.json")


async def _read_body(receive: _Receive, limit: int) -> bytes | None:
    """The whole body, None when it is over the limit or the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _unkeepable(body: bytes) -> str | None:
    """Why JSON that can be read cannot be written again: half of a surrogate pair, too large a number, too deep, no number.

    What is no JSON at all is left to those who read it.
    """
    try:
        orjson.dumps(json.loads(body, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return None
    except TypeError as error:
        return str(error)
    return None


def _refuse_constant(name: str) -> object:
    raise TypeError(f"{name} is no number of JSON")


def _replay(body: bytes, receive: _Receive) -> _Receive:
    messages: list[_Scope] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> _Scope:
        return messages.pop() if messages else await receive()

    return replay


# --------------------------------------------------------------------------- refusals


def _problem(status: int, title: str, detail: str, problems: list[str] | None = None) -> JSONResponse:
    problem = Problem(title=title, status=status, detail=detail, problems=problems or [])
    return JSONResponse(problem.model_dump(), status, media_type=_PROBLEM_JSON)


async def _refuse_fault(_: Request, error: Exception) -> JSONResponse:
    kind = next((kind for kind in _STATUS if isinstance(error, kind)), None)
    if kind is None:
        raise error
    status, title = _STATUS[kind]
    problems = error.problems if isinstance(error, Invalid) else [str(error)]
    return _problem(status, title, str(error), problems)


async def _refuse_shape(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - FastAPI calls it for nothing else
    problems = [_shape_sentence(part) for part in error.errors()]
    return _problem(400, "Invalid", " ".join(problems), problems)


def _shape_sentence(part: dict[str, Any]) -> str:
    place, *path = [str(step) for step in part["loc"]]
    if part["type"] == "json_invalid":
        return "The body is not JSON."
    if place == "body" and not path and part["type"] != "missing":
        return "The body must be a JSON object, sent as application/json."
    where = ".".join(path) or place
    if part["type"] == "extra_forbidden":
        return f"{where} means nothing here."
    if part["type"] == "missing":
        return f"{where} is missing." if path else "The body is missing."
    message: str = part["msg"]
    return f"{where}: {message[0].lower()}{message[1:]}."


async def _refuse_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it for nothing else
    details = {404: "There is nothing at this path; see /admin/v1/openapi.json.", 405: "This path does not know the method."}
    refusal = _problem(error.status_code, "Refused", details.get(error.status_code, str(error.detail)))
    refusal.headers.update(error.headers or {})
    return refusal


async def _admit_defect(request: Request, error: Exception) -> JSONResponse:
    _logger.error("admin request failed", extra={"path": request.url.path}, exc_info=error)
    return _problem(500, "Defect", "The hub made a mistake; its log says more.")
