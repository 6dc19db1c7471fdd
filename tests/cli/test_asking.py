"""What is asked at a terminal before something goes that cannot be had again."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.cli.command import Scimhub


def at_a_terminal(home: Path, answer: str, *words: str) -> tuple[int, str]:
    """The command with somebody at its terminal who answers so: its exit code, and what it asked and told."""
    ours, its = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "scimhub", *words],
            cwd=home,
            stdin=its,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(its)
    return done.returncode, done.stderr


def test_who_removes_a_source_by_hand_is_told_what_is_lost_and_asked(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    scimhub("source", "create", "okta", "-d", "acme")
    scimhub("token", "create", "-d", "acme", "-s", "okta")
    code, told = at_a_terminal(home, "n", "source", "delete", "okta", "-d", "acme")
    assert (code, told.endswith("Nothing was changed.\n")) == (1, True)
    assert (
        "Whoever uses one of the 1 valid tokens of source okta is refused from then on; its resources stay. Remove it?" in told
    )
    assert scimhub("source", "show", "okta", "-d", "acme").code == 0
    assert at_a_terminal(home, "y", "source", "delete", "okta", "-d", "acme")[0] == 0
    assert scimhub("source", "show", "okta", "-d", "acme").code == 1


def test_who_removes_a_destination_by_hand_is_told_what_is_lost_and_asked(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    scimhub("destination", "create", "payroll", "-d", "acme", "--url", "https://payroll.example.com/")
    code, told = at_a_terminal(home, "n", "destination", "delete", "payroll", "-d", "acme")
    assert code == 1
    assert "Destination payroll goes with its secrets, its ledger and what it is owed: 0 positions of the log" in told
    assert at_a_terminal(home, "", "destination", "delete", "payroll", "-d", "acme", "--yes")[0] == 0
    assert scimhub("destination", "show", "payroll", "-d", "acme").code == 1
