"""How the hub proves who it is to a destination: tokens that are shared and renewed, names and passwords, certificates."""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from multidict import CIMultiDict
from yarl import URL

from scimhub.destinations import http_outcomes, kinds, redaction
from scimhub.destinations.client_tls import Unusable
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_authorization import Authorizer, Wish, tls_of
from scimhub.destinations.http_client import FAULTS, HttpClient
from scimhub.destinations.http_outcomes import Failure
from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Retry, Secret
from tests.destinations.receivers import LOOPBACK, Answering, Receiver, receiving, status

T0 = "2026-11-23T20:00:00.000Z"


def secret(text: str = "the-secret") -> Secret:
    return Secret("s", "password", text.encode(), "", T0, None)


class Clock:
    now = 1000.0


@asynccontextmanager
async def authorizer(wish: Wish, *secrets: Secret, clock: Clock | None = None) -> AsyncIterator[Authorizer]:
    moment = clock or Clock()
    opened = Authorizer(wish, secrets, LOOPBACK, lambda: moment.now)
    try:
        yield opened
    finally:
        await opened.close()


def tokens(**told: Any) -> Answering:
    """Gives token-1, token-2, and so on."""

    async def answering(receiver: Receiver, request: Any, reader: Any, writer: Any) -> None:
        body = orjson.dumps({"access_token": f"token-{len(receiver.requests)}", "token_type": "Bearer", **told})
        await status("200 OK", body, "Content-Type: application/json")(receiver, request, reader, writer)

    return answering


def oauth(receiver: Receiver, **more: Any) -> Wish:
    return Wish("oauth", token_url=receiver.url, client_id="the client", **more)


async def test_a_bearer_token_and_a_password_are_sent_as_they_are():
    async with authorizer(Wish("bearer"), secret()) as bearer, authorizer(Wish("basic", username="hub"), secret()) as basic:
        assert await bearer.header() == "Bearer the-secret"
        assert await basic.header() == f"Basic {base64.b64encode(b'hub:the-secret').decode()}"
    async with authorizer(Wish("none")) as nobody:
        assert await nobody.header() is None


async def test_one_token_is_fetched_for_all_and_again_before_it_ends():
    clock = Clock()
    async with receiving(tokens(expires_in=3600)) as server, authorizer(oauth(server), secret(), clock=clock) as client:
        assert set(await asyncio.gather(*(client.header() for _ in range(20)))) == {"Bearer token-1"}
        clock.now += 3539
        assert await client.header() == "Bearer token-1"
        clock.now += 2
        assert set(await asyncio.gather(*(client.header() for _ in range(20)))) == {"Bearer token-2"}
        assert len(server.requests) == 2


async def test_a_client_proves_itself_in_the_header_or_in_the_body():
    async with receiving(tokens()) as server:
        async with authorizer(oauth(server, scope="scim:write", audience="app"), secret("a+b c")) as client:
            await client.header()
        async with authorizer(oauth(server, credentials="body"), secret("a+b c")) as client:
            await client.header()
    first, second = server.requests
    assert base64.b64decode(first.headers["authorization"].removeprefix("Basic ")) == b"the+client:a%2Bb+c"
    form = {"grant_type": ["client_credentials"], "scope": ["scim:write"], "audience": ["app"]}
    assert parse_qs(first.body.decode()) == form
    assert parse_qs(second.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["the client"],
        "client_secret": ["a+b c"],
    }


async def test_a_token_that_was_refused_is_fetched_anew_once():
    async with receiving(tokens(expires_in=3600)) as server, authorizer(oauth(server), secret()) as client:
        refused = await client.header()
        client.forget_token(refused)
        assert await client.header() == "Bearer token-2"
        client.forget_token(refused)  # of others that were under way
        assert await client.header() == "Bearer token-2"


async def test_a_token_that_was_renewed_is_not_shown_by_answers_that_come_late():
    given = iter(("token-1000", "token-2000"))

    async def answering(*some: Any) -> None:
        await status("200 OK", orjson.dumps({"access_token": next(given)}))(*some)

    async with receiving(answering) as server, authorizer(oauth(server), secret()) as client:
        client.forget_token(await client.header())
        await client.header()
        assert redaction.excerpt(b"You sent token-1000, not token-2000.", client.secrets).count("token-") == 0


@pytest.mark.parametrize("wish", [Wish("bearer"), Wish("basic", username="hub"), Wish("oauth", token_url="http://[::1]:1/")])
async def test_a_certificate_that_was_brought_before_the_auth_was_changed_is_told_and_sent_nowhere(wish: Wish):
    async with authorizer(wish, secret("".join(certificate("hub")))) as client:
        with pytest.raises(Failure) as failed:
            await client.header()
    reason = f"The secret is no {wish.type} secret, which is one line; bring the application's: scimhub destination rotate."
    assert failed.value.outcome == Retry(reason, "destination")


@pytest.mark.parametrize(
    "answer, said",
    [
        (status("401 Unauthorized", b'{"client_secret":"the-secret"}'), "the authorisation server answered 401 Unauthorized."),
        (status("200 OK", b"{}"), "The authorisation server answered 200 without an access_token."),
        (status("200 OK", b"[]"), "The authorisation server answered 200 without an access_token."),
        (status("200 OK", b'{"access_token": "a\\nb"}'), "The authorisation server answered 200 without an access_token."),
    ],
)
async def test_a_token_that_cannot_be_fetched_is_the_destinations_fault(answer: Answering, said: str):
    async with receiving(answer) as server, authorizer(oauth(server), secret()) as client:
        for _ in range(2):
            with pytest.raises(Failure) as failed:
                await client.header()
            outcome = failed.value.outcome
            assert isinstance(outcome, Retry)
            assert (outcome.blame, outcome.reason.endswith(said)) == ("destination", True)
            assert "the-secret" not in str(outcome)
        assert len(server.requests) == 2


async def test_nobody_listens_where_tokens_are():
    wish = Wish("oauth", token_url="http://127.0.0.1:1/token", client_id="c")
    async with authorizer(wish, secret()) as client:
        with pytest.raises(Failure) as failed:
            await client.header()
        assert "No token could be fetched. No connection" in str(failed.value.outcome)


async def test_a_lifetime_that_is_not_told_is_five_minutes():
    clock = Clock()
    async with receiving(tokens()) as server, authorizer(oauth(server), secret(), clock=clock) as client:
        await client.header()
        clock.now += 280
        assert await client.header() == "Bearer token-2"


def certificate(name: str) -> tuple[str, str]:
    """A certificate that signed itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return built.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


async def test_a_certificate_proves_who_we_are(tmp_path: Path):
    theirs, ours = certificate("server"), certificate("hub")
    (tmp_path / "server.pem").write_text("".join(theirs))
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(tmp_path / "server.pem")
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.load_verify_locations(cadata=ours[0])

    def trusting(*secrets: Secret) -> Any:
        def find() -> ssl.SSLContext:
            context = Authorizer(Wish("mtls"), secrets, LOOPBACK, lambda: 0.0).tls() or ssl.create_default_context()
            context.load_verify_locations(cadata=theirs[0])
            return context

        return find

    async with receiving(tls=server_tls) as server:
        with_it = HttpClient(LOOPBACK, 1, 5, trusting(secret("".join(ours))))
        without = HttpClient(LOOPBACK, 1, 5, trusting())
        assert (await with_it.ask("GET", URL(server.url), CIMultiDict())).status == 204
        with pytest.raises(FAULTS):
            await without.ask("GET", URL(server.url), CIMultiDict())
        await with_it.close()
        await without.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_is_refused_is_told_as_such_and_is_the_destinations_fault(
    version: ssl.TLSVersion, tmp_path: Path
):
    """With TLS 1.3 the handshake is over for the client before the server has looked at its certificate."""
    theirs = certificate("server")
    (tmp_path / "server.pem").write_text("".join(theirs))
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(tmp_path / "server.pem")
    server_tls.verify_mode, server_tls.minimum_version, server_tls.maximum_version = ssl.CERT_REQUIRED, version, version
    server_tls.load_verify_locations(cadata=certificate("another")[0])

    def refuse(listening: socket.socket) -> None:
        # Asyncio's own server ends the connection without the alert that others send.
        with listening.accept()[0] as plain:
            with contextlib.suppress(ssl.SSLError):
                server_tls.wrap_socket(plain.dup(), server_side=True).close()
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass

    def find() -> ssl.SSLContext | None:
        shown = tls_of("".join(certificate("hub")))
        shown.load_verify_locations(cadata=theirs[0])
        return shown

    with socket.create_server(("127.0.0.1", 0)) as listening:
        client, refusing = HttpClient(LOOPBACK, 1, 5, find), asyncio.create_task(asyncio.to_thread(refuse, listening))
        with pytest.raises(FAULTS) as failed:
            await client.ask("GET", URL(f"https://127.0.0.1:{listening.getsockname()[1]}/"), CIMultiDict())
        await client.close()
        await refusing
    outcome = http_outcomes.of_failure(failed.value, "127.0.0.1", 5)
    assert outcome == Retry(
        "127.0.0.1 refuses the hub's certificate, or wants one (tlsv1 alert unknown ca); with the auth mtls "
        "bring one that it knows and that has not ended: scimhub destination rotate.",
        "destination",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file is the only way to the library")
def test_a_private_key_is_not_written_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    before = os.listdir("/proc/self/fd")
    assert tls_of("".join(certificate("hub"))).get_ca_certs() is not None
    with pytest.raises(Unusable):
        tls_of("nothing")
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("kind", ["http_api", "scim_app"])
def test_a_certificate_that_does_not_go_with_its_key_is_refused_when_it_is_brought(kind: str):
    technology = kinds(Policy(), lambda: 0.0, object())[kind]  # type: ignore[arg-type]
    ours, other = certificate("hub"), certificate("another")
    locked = load_pem_private_key(ours[1].encode(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    wrong = {
        "nothing": "The secret is no PEM text with a certificate and its unencrypted private key.",
        "-----BEGIN": "The secret is no PEM text with a certificate and its unencrypted private key.",
        ours[0]: "The secret is no PEM text with a certificate and its unencrypted private key.",
        ours[0] + locked.decode(): "The secret is no PEM text with a certificate and its unencrypted private key.",
        ours[0] + other[1]: (
            "The secret has a private key that does not belong to the first certificate; put the hub's own certificate first, "
            "those that signed it behind it."
        ),
    }
    for text, said in wrong.items():
        with pytest.raises(Invalid) as refused:
            technology.parse_secret(text, {"auth": {"type": "mtls"}})
        assert refused.value.problems == [said]
    assert technology.parse_secret("".join(ours), {"auth": {"type": "mtls"}}) == ("password", "".join(ours).encode())
    # In a header it would be no secret but a mistake.
    with pytest.raises(Invalid, match="one line"):
        technology.parse_secret("".join(ours), {"auth": {"type": "bearer"}})
