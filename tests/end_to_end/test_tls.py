"""TLS as a hub serves it: a certificate that is renewed while it runs, and clients that do not do their part."""

import os
import signal
import socket
import sqlite3
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub import certificates
from tests.destinations.certificates import make_certificates
from tests.end_to_end.live import TOKEN, LiveHub, scim_headers, wait_until


class TlsHub(LiveHub):
    """A hub whose certificate lies in its folder."""

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-4000:]
        return '"listening"' in self.log and self.get_ready().is_success

    def get_ready(self) -> httpx.Response:
        return httpx.get(f"https://127.0.0.1:{self.port}/readyz", verify=trusting(self))

    def serial(self) -> bytes:
        """Tells the certificate that is served now from others."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as wrapped:
                return wrapped.getpeercert(binary_form=True) or b""

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)


def trusting(hub: LiveHub) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(hub.folder / "authority.pem"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TlsHub]:
    _, certificate, key = make_certificates(tmp_path)
    settings = {"SCIMHUB_TLS_CERTIFICATE": str(certificate), "SCIMHUB_TLS_KEY": str(key)}
    started = TlsHub(tmp_path, settings)
    started.start()
    yield started
    started.stop()


def renew(hub: TlsHub, folder: Path) -> None:
    """Put another pair in the place of that which is served, each file at once, as ACME clients do."""
    folder.mkdir()
    for made in make_certificates(folder):
        os.replace(made, hub.folder / made.name)


def test_a_renewed_certificate_is_served_after_sighup_and_open_connections_go_on(hub: TlsHub, tmp_path: Path):
    former = hub.serial()
    with httpx.Client(base_url=f"https://127.0.0.1:{hub.port}", headers=scim_headers(TOKEN), verify=trusting(hub)) as client:
        assert client.get("/scim/default/v2/Users").status_code == 200
        renew(hub, tmp_path / "new")
        hub.signal(signal.SIGHUP)
        wait_until(lambda: hub.serial() != former, "the renewal")
        assert client.get("/scim/default/v2/Users").status_code == 200
    assert hub.get_ready().status_code == 200
    assert "certificate renewed" in hub.log


def test_a_pair_that_cannot_be_served_with_is_told_and_the_former_goes_on(hub: TlsHub, tmp_path: Path):
    former = hub.serial()
    (tmp_path / "other").mkdir()
    os.replace(make_certificates(tmp_path / "other")[1], hub.folder / "certificate.pem")
    hub.signal(signal.SIGHUP)
    wait_until(lambda: "the renewed certificate is not served with" in hub.log, "the refusal")
    hub.signal(signal.SIGHUP)
    assert hub.serial() == former
    renew(hub, tmp_path / "new")
    hub.signal(signal.SIGHUP)
    wait_until(lambda: hub.serial() != former, "the renewal")
    assert hub.log.count("the renewed certificate is not served with") == 1


def test_a_pair_that_changes_while_it_is_taken_is_taken_with_the_next_look(tmp_path: Path):
    _, certificate, key = make_certificates(tmp_path)
    away = tmp_path / "away"

    class Context(ssl.SSLContext):
        """Of which the key goes for a moment, just when it is to be read."""

        def load_cert_chain(self, *files: Any) -> None:
            if key.exists() and not away.exists():
                os.link(key, away)
                key.unlink()
            super().load_cert_chain(*files)
            loaded.append(files)

    loaded: list[object] = []
    renewal = certificates.Renewal(Context(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    make_certificates(tmp_path)
    renewal.look()
    os.link(away, key)
    renewal.look()
    assert loaded == [(certificate, key)]


def test_a_client_that_never_finishes_its_handshake_holds_up_neither_others_nor_the_end(hub: TlsHub):
    silent = [socket.create_connection(("127.0.0.1", hub.port)) for _ in range(50)]
    for one in silent[:25]:
        one.sendall(b"\x16\x03\x01\x02\x00\x01")
    try:
        assert hub.get_ready().status_code == 200
        begun = time.monotonic()
        assert hub.stop() == 0
        assert time.monotonic() - begun < 8
    finally:
        for one in silent:
            one.close()


def test_who_is_still_sending_over_tls_comes_to_read_the_answer(hub: TlsHub):
    lines = ("POST /scim/default/v2/Users HTTP/1.1", "Host: hub", f"Authorization: Bearer {TOKEN}", "Connection: close")
    head = "\r\n".join([*lines, "Content-Type: application/json", "Content-Length: 900000000", "", ""]).encode()
    with (
        socket.create_connection(("127.0.0.1", hub.port), timeout=10) as plain,
        trusting(hub).wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        wrapped.sendall(head)
        for _ in range(100):
            wrapped.sendall(b"x" * 50_000)
        told = wrapped.recv(65536)
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in told.lower()


def test_sighup_does_not_end_a_hub_without_tls(tmp_path: Path):
    started = LiveHub(tmp_path).start()
    try:
        assert started.process is not None
        started.process.send_signal(signal.SIGHUP)
        with started.client() as client:
            assert client.get("/Users").status_code == 200
        assert started.process.poll() is None
    finally:
        assert started.stop() == 0


def test_sighup_does_not_end_a_hub_that_waits_for_its_database(tmp_path: Path):
    started = LiveHub(tmp_path).start()
    assert started.stop() == 0
    former, database = started.process, tmp_path / "scimhub.db"
    with ThreadPoolExecutor(1) as beside, closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        beginning = beside.submit(started.start)
        wait_until(lambda: started.process is not former and started.process is not None, "the second process")
        assert started.process is not None
        opened = Path("/proc", str(started.process.pid), "fd")
        wait_until(lambda: database in [link.resolve() for link in opened.iterdir()], "the look at the database")
        started.process.send_signal(signal.SIGHUP)
        holder.close()
        beginning.result()
    assert started.stop() == 0
