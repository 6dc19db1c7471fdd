"""The published contract over HTTP: ``/contract/events.json`` and ``/contract/1/{type}.json``, for everybody.

The documents depend on nothing but this program and the hub's URL, so that they are made once.
"""

import hashlib
from collections.abc import Callable

import orjson

from scimhub.distribution import contract, contract_channels
from scimhub.distribution.envelope import CONTRACT_VERSION
from scimhub.web.exchange import Answer, Receive, Scope, Send, problem

# Short enough that a new version of the program is seen soon.
_CACHE = (b"cache-control", b"public, max-age=3600")
_FOLDER, _SUFFIX = f"/contract/{CONTRACT_VERSION}/", ".json"


class ContractApi:
    """The ASGI application. ``root_url`` is the hub's own, without a slash at its end, as events have it in dataschema."""

    def __init__(self, root_url: str, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._by_path = {contract_channels.PATH: _answer(contract_channels.describe(root_url))}
        for name in contract.standard_names():
            self._by_path[contract.path_of(name)] = _answer(contract.document(name, root_url))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        answer = self._find(scope["path"], _if_none_match(scope)) if method in ("GET", "HEAD") else _not_allowed()
        await answer.send(scope, send, self._new_id())

    def _find(self, path: str, known: bytes) -> Answer:
        found = self._by_path.get(path)
        if (
            found is None
            and path.startswith(_FOLDER)
            and contract.is_type_name(path.removeprefix(_FOLDER).removesuffix(_SUFFIX))
        ):
            # A type that an administrator added; whether a directory has it is nobody's business here.
            found = self._by_path[contract.path_of(contract.GENERIC)] if path.endswith(_SUFFIX) else None
        if found is None:
            there_is = ", ".join(self._by_path)
            return problem(404, "Not found", f"There is no {path[:80]!r} in the contract; there is {there_is}.")
        # RFC 9110 §13.1.2, compared weakly: a tag stands in quotation marks, so that none is a part of another.
        is_known = known.strip() == b"*" or dict(found.headers)[b"etag"] in known
        return Answer(304, headers=found.headers) if is_known else found


def _answer(document: object) -> Answer:
    body = orjson.dumps(document)
    etag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
    return Answer(200, body, [(b"etag", etag), _CACHE], b"application/json")


def _if_none_match(scope: Scope) -> bytes:
    return b", ".join(value for name, value in scope["headers"] if name == b"if-none-match")


def _not_allowed() -> Answer:
    answer = problem(405, "Method not allowed", "Only GET and HEAD are possible here.")
    answer.headers.append((b"allow", b"GET, HEAD"))
    return answer
