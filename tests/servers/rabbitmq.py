"""RabbitMQ as the operating system's package brings it: a private node on ports of its own, with its own epmd."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.servers.running import Missing, Program, free_port

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_CONTROL = _PROGRAM.with_name("rabbitmqctl")
_CONFIGURATION = """
loopback_users = none
max_message_size = 100000
"""


def open_rabbitmq(folder: Path) -> Program:
    """A broker that is not started; raises Missing."""
    if not _PROGRAM.exists():
        raise Missing("RabbitMQ: it is not installed; with Debian: apt-get install rabbitmq-server")
    if os.geteuid() != 0:
        raise Missing("RabbitMQ: its package wants to be started by root")
    port, distribution, epmd = free_port(), free_port(), free_port()
    (folder / "plugins").write_text("[].")
    (folder / "rabbitmq.conf").write_text(_CONFIGURATION)
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    environment = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"x{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "m"),
        "RABBITMQ_LOG_BASE": str(folder / "l"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 2:2 {loopback}",
    }

    def is_ready() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False

    return Program([str(_PROGRAM)], port, folder, environment, is_ready)


def control(program: Program, *command: str) -> None:
    """Have the node's administrator do it, as with rabbitmqctl."""
    environment = {**os.environ, **program.environment}
    subprocess.run(
        [str(_CONTROL), "-n", program.environment["RABBITMQ_NODENAME"], *command],
        cwd=program.folder,
        env=environment,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


def stop_names(program: Program) -> None:
    """End the node's epmd, which outlives it."""
    wanted = f"ERL_EPMD_PORT={program.environment['ERL_EPMD_PORT']}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = (folder / "comm").read_text() == "epmd\n" and wanted in (folder / "environ").read_bytes()
        except OSError:
            continue
        if is_ours:
            os.kill(int(folder.name), signal.SIGKILL)
