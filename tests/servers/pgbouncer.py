"""pgbouncer in transaction mode, as the operating system's package brings it, in front of a PostgreSQL of the tests' own.

``SCIMHUB_TEST_PGBOUNCER`` names the program of another version.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from tests.end_to_end.live import wait_until
from tests.servers.postgres import Server
from tests.servers.running import PATIENCE, Missing, free_port

_PROGRAM = Path("/usr/sbin/pgbouncer")
_NOBODY = 65534
# Few connections to the server, so that the transactions of one client come to different ones.
_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 6
max_client_conn = 200
{more}
"""


def program() -> Path:
    """The program; raises Missing."""
    named = Path(os.environ.get("SCIMHUB_TEST_PGBOUNCER") or _PROGRAM)
    if not named.exists():
        raise Missing("pgbouncer: it is not installed; with Debian: apt-get install pgbouncer")
    return named


def version(of: Path) -> tuple[int, ...]:
    """Such as (1, 24, 1)."""
    said = subprocess.run([of, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[1].split("."))


@contextmanager
def pooling(server: Server) -> Iterator[int]:
    """The port on which a pgbouncer leads to the server; raises Missing."""
    runs, port = program(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="scimhub-pgbouncer-"))
    folder.chmod(0o755)
    # Before 1.21 it knows nothing of prepared statements, nor this setting.
    more = "max_prepared_statements = 200" if version(runs) >= (1, 21) else ""
    (folder / "users").write_text(f'"postgres" "{server.password}"\n')
    (folder / "ini").write_text(_CONFIGURATION.format(server=server.port, port=port, folder=folder, more=more))
    user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([runs, folder / "ini"], stdout=log, stderr=log, cwd="/", **user)
    try:
        wait_until(lambda: "process up" in (folder / "log").read_text(), "pgbouncer's start")
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)
        rmtree(folder, ignore_errors=True)
