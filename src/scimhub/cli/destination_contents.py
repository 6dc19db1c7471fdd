"""What a destination has and what it would see: its ledger of remote ids, and a preview of its mapping and filters."""

from typing import Annotated, Any

import typer

from scimhub.cli import connection, output
from scimhub.cli.connection import path_of
from scimhub.cli.manage import AsJson, InDirectory

_PAGE = 1000


def ledger(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    state: Annotated[str | None, typer.Option(help="Only creating, present, left or gone.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what the destination was given: our id, its id, the state, and what is still owed."""
    items = [item for item in _entries(context, directory, name) if state in (None, item["state"])]
    if as_json:
        output.print_json({"items": items})
        return
    columns = ("resource", "type", "remote id", "state", "version", "updated", "owed")
    rows = [
        [
            item["resource_id"],
            item["resource_type"],
            item["remote_id"] or "-",
            item["state"] + (f", deleted {item['delete_at']}" if item["delete_at"] else ""),
            str(item["version"]),
            item["updated"],
            _owed(item),
        ]
        for item in items
    ]
    output.print_table(columns, rows, f"Destination {name} was given nothing that fits.")


def _entries(context: typer.Context, directory: str, name: str) -> list[dict[str, Any]]:
    path, items, after = path_of("directories", directory, "destinations", name, "ledger"), [], ""
    while True:
        page = connection.ask(context, "GET", path, query={"after": after, "limit": str(_PAGE)})
        items += page["items"]
        after = page["next"]
        if not after:
            return items


def _owed(item: dict[str, Any]) -> str:
    parts = [f"{item['waiting']} members"] if item["waiting"] else []
    parts += [f"the id of {item['awaits']}"] if item["awaits"] else []
    return ", ".join(parts) or "-"
