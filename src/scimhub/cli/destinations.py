"""The verbs on destinations. Each is one request to the admin API, but ``replay --wait``, which looks on."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scimhub.cli import connection, files, output
from scimhub.cli.asking import Yes, confirm_overruling, confirm_removal
from scimhub.cli.brake import brake_verbs
from scimhub.cli.connection import path_of
from scimhub.cli.manage import AsJson, InDirectory

destination_verbs = typer.Typer(help="Where changes are sent.", no_args_is_help=True)
held_verbs = typer.Typer(help="Deliveries that wait because they failed.", no_args_is_help=True)
destination_verbs.add_typer(held_verbs, name="held")
destination_verbs.add_typer(brake_verbs, name="brake")

Types = Annotated[
    list[str] | None, typer.Option("--type", help="A type such as user.created or group.*; repeat it. Without it all.")
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="A SCIM filter for users, or KIND=FILTER for another resource type; repeat it."),
]
Attributes = Annotated[
    list[str] | None, typer.Option("--attribute", help="An attribute that the destination may see; repeat it. Without it all.")
]
Mapping = Annotated[
    Path | None,
    typer.Option("--mapping", help="A file with the mapping, JSON or YAML; {} in it is none. Preview it before."),
]
Secret = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        help="A file with the secret to use: one of your own, or what the destination gave out; - is standard input.",
    ),
]
_KIND_AND_FILTER = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)
_LOOK_EVERY = 0.3


def _path(directory: str, *rest: str) -> str:
    return path_of("directories", directory, "destinations", *rest)


# --------------------------------------------------------------------------- removing, and secrets


@destination_verbs.command("delete")
def delete(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a destination, its secrets and what it is owed."""
    path = _path(directory, name)

    def find_loss() -> str:
        owed = connection.ask(context, "GET", path)["status"]
        return (
            f"Destination {name} goes with its secrets, its ledger and what it is owed: {owed['lag']:,} positions of the log, "
            f"{owed['held']:,} resources held, {owed['brake_held']:,} removals that the brake keeps."
        )

    confirm_removal(find_loss, yes=yes)
    connection.ask(context, "DELETE", path)
    output.print_done(f"Destination {name} is removed.", {"deleted": name}, as_json)


@destination_verbs.command("rotate")
def rotate(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    overlap: Annotated[float, typer.Option(help="How many hours the former secrets still hold.")] = 24.0,
    secret_file: Secret = None,
    as_json: AsJson = False,
) -> None:
    """Make a new secret, or bring one; messages are signed with the former ones too until the overlap ends."""
    wish = {"overlap_hours": overlap, "secret": files.read_secret(secret_file)}
    made = connection.ask(context, "POST", _path(directory, name, "secret"), json=wish)
    if as_json:
        output.print_json(made)
        return
    if not made["secret"]:
        print("The secret that you brought is in use.")
        return
    output.print_facts({"secret": made["secret"]})
    print(f"The secret is shown this once. The former one holds for {overlap:g} hours more.")


# --------------------------------------------------------------------------- looking


@destination_verbs.command("list")
def list_all(context: typer.Context, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """List a directory's destinations with their lag."""
    found = connection.ask(context, "GET", _path(directory))
    if as_json:
        output.print_json(found)
        return
    columns = ("name", "kind", "state", "lag", "lag seconds", "held", "brake", "error")
    rows = [
        [
            item["name"],
            item["kind"],
            item["state"],
            str(item["status"]["lag"]),
            f"{item['status']['lag_seconds']:.1f}",
            str(item["status"]["held"]),
            _brake(item),
            item["reason"] or item["status"]["error"] or _held(item["status"]),
        ]
        for item in found["items"]
    ]
    output.print_table(columns, rows, f"Directory {directory} has no destination.")


@destination_verbs.command("show")
def show(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Show a destination."""
    print_destination(connection.ask(context, "GET", _path(directory, name)), as_json)


@destination_verbs.command("check")
def check(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Send a test event now and tell what came of it."""
    result = connection.ask(context, "POST", _path(directory, name, "check"))
    if as_json:
        output.print_json(result)
    elif result["outcome"] == "delivered":
        print(f"The test event arrived: {result['status'] or 'confirmed'}.")
        for note in result["notes"]:
            print(f"Note: {note}")
    if result["outcome"] != "delivered":
        reason = result["reason"] + (f" It answered: {result['excerpt']}" if result["excerpt"] else "")
        raise output.fail([reason], is_answered=True)


# --------------------------------------------------------------------------- stopping and going on


@destination_verbs.command("pause")
def pause(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    reason: Annotated[str, typer.Option(help="Shown to who asks why nothing arrives.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send nothing until it is resumed."""
    print_destination(connection.ask(context, "POST", _path(directory, name, "pause"), json={"reason": reason}), as_json)


@destination_verbs.command("resume")
def resume(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Go on where it stopped."""
    print_destination(connection.ask(context, "POST", _path(directory, name, "resume")), as_json)


@destination_verbs.command("replay")
def replay(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    after: Annotated[int | None, typer.Option(help="Send once more what lies behind this position.")] = None,
    since: Annotated[str | None, typer.Option(help="Send once more what was committed from this time on.")] = None,
    resource: Annotated[
        str | None, typer.Option(help="Only the events of this person or group: an id, userName or displayName.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Look on until it is done.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send events once more, marked as a replay; new ones come behind them, or, with --resource, beside them.

    If it repeats removals that were discarded, it says so and asks.
    """
    wish = {"after": after, "since": since, "resource": resource}
    would = connection.ask(context, "POST", _path(directory, name, "replay"), json={**wish, "dry_run": True})
    confirm_overruling(would["overrules"], name, is_named=resource is not None, yes=yes)
    shown = connection.ask(context, "POST", _path(directory, name, "replay"), json=wish)
    obstacle = ""
    if wait and shown["replay"] is not None:
        shown, obstacle = _look_on(context, _path(directory, name), shown)
    print_destination(shown, as_json)
    if obstacle:
        raise output.fail([obstacle], is_answered=True)


def _look_on(context: typer.Context, path: str, begun: dict[str, Any]) -> tuple[Any, str]:
    """The destination when the replay is over or cannot go on, and then why."""
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    first, last = begun["cursor"], begun["replay_until"]
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("replay", total=last - first)
        while True:
            shown = connection.ask(context, "GET", path)
            reached = shown["status"]["head"] - shown["status"]["lag"]
            progress.update(bar, completed=min(reached, last) - first)
            obstacle = shown["status"]["waits_for"]
            if shown["replay"] not in (begun["replay"], None):
                place = f"{shown['name']} --directory {shown['directory']}"
                return shown, f"Another replay has taken its place; look at that one: scimhub destination show {place}"
            if shown["replay"] is None or obstacle:
                return shown, obstacle
            # Of one resource the cursor tells nothing.
            if begun["replay_resource"] is None and reached >= last:
                return shown, ""
            if begun["replay_resource"] is not None and (obstacle := _held_of(context, path, shown)):
                return shown, obstacle
            time.sleep(_LOOK_EVERY)


def _held_of(context: typer.Context, path: str, shown: dict[str, Any]) -> str:
    """Where a person must look before the replay of the one resource goes on; empty when nobody must."""
    resource, place = shown["replay_resource"], f"{shown['name']} --directory {shown['directory']}"
    if shown["status"]["held"]:
        found = connection.ask(context, "GET", f"{path}/held")
        if any(item["resource_id"] == resource for item in found["items"]):
            return f"It is held: scimhub destination held list {place}"
    after: int | None = 0 if shown["status"]["brake_held"] else None
    while after is not None:
        found = connection.ask(context, "GET", f"{path}/brake/removals", query={"after": str(after), "limit": "1000"})
        if any(item["resource_id"] == resource and item["due"] is None for item in found["items"]):
            return f"The brake keeps its removal: scimhub destination brake show {place}"
        after = found["next"]
    return ""


# --------------------------------------------------------------------------- what is held


@held_verbs.command("list")
def list_held(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """List the resources whose delivery waits."""
    found = connection.ask(context, "GET", _path(directory, name, "held"))
    if as_json:
        output.print_json(found)
        return
    columns = ("resource", "since", "events", "attempts", "next attempt", "error")
    rows = [
        [
            item["resource_id"],
            item["since"],
            f"{item['events']}{'+' if item['events_are_more'] else ''}",
            str(item["attempts"]),
            item["next_attempt"] or "waits for a person",
            item["error"],
        ]
        for item in found["items"]
    ]
    output.print_table(columns, rows, f"Nothing is held for destination {name}.")


@held_verbs.command("retry")
def retry(
    context: typer.Context,
    name: str,
    resource: Annotated[str | None, typer.Argument(help="The resource's id; without it all that is held.")] = None,
    directory: InDirectory = "default",
    as_json: AsJson = False,
) -> None:
    """Try held deliveries now."""
    done = connection.ask(context, "POST", _path(directory, name, "held", "retry"), json={"resource_id": resource})
    count = done["retried"]
    output.print_done(f"{count} {'resource is' if count == 1 else 'resources are'} tried again now.", done, as_json)
    if count and not as_json:
        print_obstacle(context, directory, name)


@held_verbs.command("skip")
def skip(
    context: typer.Context,
    name: str,
    resource: Annotated[str, typer.Argument(help="The resource's id.")],
    directory: InDirectory = "default",
    everything: Annotated[bool, typer.Option("--all", help="All that is held of it, not only the first event.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give up a resource's first held event, or all of them; the destination then lacks them."""
    wish = {"resource_id": resource, "everything": everything}
    connection.ask(context, "POST", _path(directory, name, "held", "skip"), json=wish)
    what = "All held events are" if everything else "The first held event is"
    output.print_done(
        f"{what} given up; the destination {name} lacks it.", {"skipped": resource, "everything": everything}, as_json
    )


# --------------------------------------------------------------------------- reading options, printing answers


def subscription_of(
    types: list[str] | None, filters: list[str] | None, attributes: list[str] | None, mapping: Path | None
) -> dict[str, object]:
    """What the options say of a subscription; empty where they say nothing."""
    by_kind = {}
    for text in filters or []:
        match = _KIND_AND_FILTER.fullmatch(text)
        kind, condition = ("User", text) if match is None else (match[1], match[2])
        by_kind[kind] = condition
    rules = {} if mapping is None else files.read_object(mapping, "mapping")
    return {"types": types or [], "filters": by_kind, "attributes": attributes or [], "mapping": rules}


def facts_of(shown: dict[str, Any]) -> dict[str, object]:
    wish, status = shown["subscription"], shown["status"]
    return {
        "name": shown["name"],
        "directory": shown["directory"],
        "kind": shown["kind"],
        "state": shown["state"] + (f": {shown['reason']}" if shown["reason"] else ""),
        "configuration": json.dumps(shown["configuration"]),
        "types": wish["types"] or "all",
        "filters": json.dumps(wish["filters"]) if wish["filters"] else "none",
        "attributes": wish["attributes"] or "all",
        "mapping": json.dumps(wish["mapping"]) if wish["mapping"] else "none",
        "style": wish["style"],
        "cursor": f"{shown['cursor']} of {status['head']}",
        "lag": f"{status['lag']} positions, {status['lag_seconds']:.1f} s",
        "held": _held(status) or 0,
        "brake": _brake(shown),
        "oldest leaver": f"{status['oldest_leaver_seconds']:.1f} s",
        "on their way": f"{status['in_flight']} of at most {status['concurrency']} messages",
        "since start": f"delivered {status['delivered']}, failed {status['failed']}",
        "last success": status["last_success"] or "-",
        "error": status["error"] or "-",
        **({"waits": status["waits_for"]} if status["waits_for"] else {}),
    }


def print_obstacle(context: typer.Context, directory: str, name: str) -> None:
    """What keeps the destination from being sent what it is owed now; nothing where nothing does."""
    obstacle = connection.ask(context, "GET", _path(directory, name))["status"]["waits_for"]
    if obstacle:
        print(obstacle)


def _held(status: dict[str, Any]) -> str:
    """How many resources are held, and why the last one; empty when nothing is."""
    return f"{status['held']} held; the newest: {status['held_error'] or 'is tried again now'}" if status["held"] else ""


def _brake(shown: dict[str, Any]) -> str:
    status = shown["status"]
    if shown["kind"] == "feed":
        return "-"
    if status["brake_is_tripped"]:
        return f"tripped, {status['brake_held']} removals held"
    if not status["brake_is_on"]:
        return "off"
    return f"on, {status['brake_held']} settling" if status["brake_held"] else "on"


def print_destination(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(shown)
    else:
        output.print_facts(facts_of(shown))
