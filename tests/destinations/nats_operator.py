"""A NATS server whose users show credentials: the JWTs of an operator, its accounts and their users, made here."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys
from nats.aio.client import RawCredentials

from tests.destinations.broker_nats import NatsBroker

_LIMITS = ("subs", "data", "payload")
_ACCOUNT_LIMITS = (*_LIMITS, "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer")


class Operator:
    """``broker`` is its server, which is to be started; the consumer of the tests shows credentials too."""

    def __init__(self, folder: Path) -> None:
        self._operator, self._account = _key(nkeys.PREFIX_BYTE_OPERATOR), _key(nkeys.PREFIX_BYTE_ACCOUNT)
        system = _key(nkeys.PREFIX_BYTE_ACCOUNT)
        self.broker = NatsBroker(folder)
        unlimited = {**dict.fromkeys(_ACCOUNT_LIMITS, -1), "wildcards": True}
        # JetStream is for no system account.
        accounts = {self._account: unlimited, system: {**unlimited, **dict.fromkeys(_ACCOUNT_LIMITS[-4:], 0)}}
        preloaded = ", ".join(
            f"{_id(key)}: {_token(self._operator, key, 'account', {'limits': limits})}" for key, limits in accounts.items()
        )
        (folder / "conf").write_text(
            f"operator: {_token(self._operator, self._operator, 'operator', {})}\nsystem_account: {_id(system)}\n"
            f"resolver: MEMORY\nresolver_preload: {{ {preloaded} }}\n"
        )

    def credentials(self, seconds: int | None = None) -> str:
        """The text of a new user's ``.creds`` file; they end after so many seconds, or never."""
        user = _key(nkeys.PREFIX_BYTE_USER)
        ends = {} if seconds is None else {"exp": int(time.time()) + seconds}
        token = _token(self._account, user, "user", {"pub": {}, "sub": {}, **dict.fromkeys(_LIMITS, -1)}, **ends)
        return (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )

    async def create(self, place: str) -> None:
        async with await self.broker.connect(user_credentials=RawCredentials(self.credentials())) as client:
            await client.jetstream().add_stream(name=place, subjects=[f"{place}.>"])


def _key(prefix: int) -> Any:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


def _id(key: Any) -> str:
    return str(key.public_key.decode())


def _token(issuer: Any, subject: Any, type: str, content: dict[str, Any], **more: Any) -> str:
    """A JWT as NATS has it, which names the key that signed it."""
    nats = {"type": type, "version": 2, **content}
    claims = {"iat": int(time.time()), "iss": _id(issuer), "name": type, "sub": _id(subject), "nats": nats, **more}
    claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
    signed = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(claims)}"
    return f"{signed}.{_encode(issuer.sign(signed.encode()))}"


def _part(content: dict[str, Any]) -> str:
    return _encode(json.dumps(content).encode())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
