"""``scimhub secrets``: the keys with which the secrets of destinations are sealed in the database."""

import os
from collections.abc import Sequence
from typing import Any

import typer

from scimhub import clock
from scimhub.cli import connection, output, progress
from scimhub.cli.manage import AsJson
from scimhub.distribution import sealing

secret_verbs = typer.Typer(help="The keys with which secrets of destinations are sealed.", no_args_is_help=True)


@secret_verbs.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how many secrets are sealed under which key, and which keys are missing."""
    found = connection.ask(context, "GET", "/secrets")
    if as_json:
        output.print_json(found)
    else:
        _print(found)
    raise typer.Exit(1 if any(key["unreadable"] for key in found["items"]) else 0)


@secret_verbs.command("new-key")
def new_key() -> None:
    """Print a new key, to be put in front of those of secret_keys or secret_keys_file; nothing else is done."""
    print(sealing.write_key(sealing.new_key(clock.now_text()[:10], os.urandom)))


@secret_verbs.command()
def rotate(context: typer.Context, as_json: AsJson = False) -> None:
    """Seal all secrets under a new key, while the hub runs; what was broken off is finished by calling it again.

    Where the hub keeps the keys itself it adds one. Where they are given to it, the first of them is taken.
    """
    found = connection.ask(context, "GET", "/secrets")
    if not found["newest"] or all(key["secrets"] == key["unreadable"] for key in _older(found)):
        # Those whose key is lost can never be sealed anew, and must not keep the others under the key that they have.
        found = connection.ask(context, "POST", "/secrets/key")
    total, done, after = _left(found), 0, ""
    with progress.watching(is_silent=as_json) as watch:
        while after is not None:
            step = connection.ask(context, "POST", "/secrets/reseal", query={"after": after})
            done, after = done + step["resealed"], step["after"]
            watch("secrets", done, total)
    found = connection.ask(context, "GET", "/secrets")
    if as_json:
        output.print_json({"resealed": done, **found})
    else:
        print(f"{done} of {total} secrets are sealed anew, under the key {found['newest']}.")
        _print(found)
        _tell_unused(found)
    raise typer.Exit(1 if _left(found) else 0)


def _left(found: dict[str, Any]) -> int:
    """How many are not under the newest key."""
    return sum(key["secrets"] for key in _older(found))


def _older(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [key for key in found["items"] if key["key_id"] != found["newest"]]


def _print(found: dict[str, Any]) -> None:
    rows = [
        [key["key_id"] or "(not sealed)", str(key["secrets"]), _state(key, found["newest"]), str(key["unreadable"] or "-")]
        for key in found["items"]
    ]
    output.print_table(["KEY", "SECRETS", "STATE", "UNREADABLE"], rows, "There is no key.")


def _state(key: dict[str, Any], newest: str) -> str:
    if key["key_id"] == newest:
        return "newest"
    if key["key_id"] is None:
        return "to be sealed at the next start"
    return "known" if key["is_known"] else "MISSING"


def _tell_unused(found: dict[str, Any]) -> None:
    unused: Sequence[str] = [key["key_id"] for key in _older(found) if not key["secrets"] and key["is_known"]]
    if unused:
        print(f"Nothing in the database is under {', '.join(unused)} any more; backups made before still need it.")
