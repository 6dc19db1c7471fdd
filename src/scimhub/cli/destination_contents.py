"""What a destination has and what it would see: its ledger of remote ids, and a preview of its mapping and filters."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from scimhub.cli import connection, output
from scimhub.cli.connection import path_of
from scimhub.cli.destinations import Attributes, Filters, Mapping, subscription_of
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


def preview(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    mapping: Mapping = None,
    filters: Filters = None,
    attributes: Attributes = None,
    resource: Annotated[str | None, typer.Option(help="Look at the resource with this id only.")] = None,
    samples: Annotated[int, typer.Option(help="So many samples of each fate.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show what a destination sees of real resources, and who would enter, leave or change by what is given here."""
    given = subscription_of(None, filters, attributes, mapping)
    wish: dict[str, object] = {key: given[key] for key in ("filters", "attributes") if given[key]}
    wish |= {"mapping": given["mapping"]} if mapping is not None else {}
    wish |= {"resource_id": resource, "samples": samples}
    path = path_of("directories", directory, "destinations", name, "preview")
    with output.progress("looking at all resources"):
        found = connection.ask(context, "POST", path, json=wish)
    if as_json:
        output.print_json(found)
        return
    columns = ("type", "enters", "leaves", "changes", "stays")
    rows = [[kind, *(str(counts[fate]) for fate in columns[1:])] for kind, counts in found["counts"].items()]
    output.print_table(columns, rows, "Nobody is seen, now or then.")
    for sample in found["samples"]:
        print(f"\n{sample['resource_type']} {sample['resource_id']} {sample['fate']}")
        for line in _lines(sample):
            print(f"  {line}")


def _lines(sample: dict[str, Any]) -> Iterator[str]:
    now, then = sample["now"] or {}, sample["then"] or {}
    if sample["fate"] != "changes":
        yield from json.dumps(then or now, indent=2, ensure_ascii=False).splitlines()
        return
    for key in {**now, **then}:
        if now.get(key) != then.get(key):
            yield f"{key}: {_shown(now.get(key))} → {_shown(then.get(key))}"


def _shown(value: object) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


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
