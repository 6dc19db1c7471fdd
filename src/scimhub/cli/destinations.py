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
Url = Annotated[str | None, typer.Option(help="Where a webhook's events are posted.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another part of the configuration as KEY=VALUE, such as timeout=5; repeat it."),
]
Configuration = Annotated[
    Path | None,
    typer.Option(
        "--configuration", help="A file with the configuration, JSON or YAML; - is standard input. --set overrides it."
    ),
]
Secret = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        help="A file with the secret to use: one of your own, or what the destination gave out; - is standard input.",
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        help="What it is: webhook, feed, http_api, scim_app, kafka, nats, rabbitmq, redis_streams, sns or sqs; "
        "see docs/destinations.md."
    ),
]
_KIND_AND_FILTER = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)
_LOOK_EVERY = 0.3


def _path(directory: str, *rest: str) -> str:
    return path_of("directories", directory, "destinations", *rest)


# --------------------------------------------------------------------------- making and changing


@destination_verbs.command("create")
def create(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    kind: Kind = "webhook",
    url: Url = None,
    configuration: Configuration = None,
    options: Options = None,
    types: Types = None,
    filters: Filters = None,
    attributes: Attributes = None,
    mapping: Mapping = None,
    after: Annotated[int | None, typer.Option(help="Begin behind this position; 0 is the beginning of the log.")] = None,
    secret_file: Secret = None,
    as_json: AsJson = False,
) -> None:
    """Create a destination. If the hub makes a secret for it, that is printed this once."""
    wish = {
        "name": name,
        "kind": kind,
        "configuration": _configuration(configuration, url, options),
        "subscription": subscription_of(types, filters, attributes, mapping),
        "after": after,
        "secret": files.read_secret(secret_file),
    }
    made = connection.ask(context, "POST", _path(directory), json=wish)
    if as_json:
        output.print_json(made)
        return
    output.print_facts(_facts(made["destination"]))
    told = ""
    if made["secret"]:
        output.print_facts({"secret": made["secret"]})
        told = "The secret is shown this once. "
    if kind != "feed":
        print(f"{told}Next: scimhub destination check {name} --directory {directory}")


@destination_verbs.command("update")
def update(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    url: Url = None,
    configuration: Configuration = None,
    options: Options = None,
    types: Types = None,
    filters: Filters = None,
    attributes: Attributes = None,
    mapping: Mapping = None,
    as_json: AsJson = False,
) -> None:
    """Change a destination. Each option that is given replaces what was there; --type '*' wants all types again."""
    current = connection.ask(context, "GET", _path(directory, name))
    written = {**current["configuration"], **_configuration(configuration, url, options)}
    given = subscription_of(types, filters, attributes, mapping)
    changed = {key: value for key, value in given.items() if value or (key == "mapping" and mapping is not None)}
    wish = {"configuration": written, "subscription": {**current["subscription"], **changed}}
    shown = connection.ask(context, "PATCH", _path(directory, name), json=wish)
    _print(shown, as_json)
    if not as_json and changed:
        print(
            "The subscription holds for changes from now on; who enters or leaves by it is told when something changes. "
            "scimhub destination preview shows beforehand who that is."
        )


@destination_verbs.command("delete")
def delete(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Remove a destination, its secrets and what it is owed."""
    connection.ask(context, "DELETE", _path(directory, name))
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
            _brake(item["status"]),
            item["reason"] or item["status"]["error"],
        ]
        for item in found["items"]
    ]
    output.print_table(columns, rows, f"Directory {directory} has no destination.")


@destination_verbs.command("show")
def show(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Show a destination."""
    _print(connection.ask(context, "GET", _path(directory, name)), as_json)


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
        raise output.fail([reason])


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
    _print(connection.ask(context, "POST", _path(directory, name, "pause"), json={"reason": reason}), as_json)


@destination_verbs.command("resume")
def resume(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Go on where it stopped."""
    _print(connection.ask(context, "POST", _path(directory, name, "resume")), as_json)


@destination_verbs.command("replay")
def replay(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    after: Annotated[int | None, typer.Option(help="Send once more what lies behind this position.")] = None,
    since: Annotated[str | None, typer.Option(help="Send once more what was committed from this time on.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Look on until it is done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send events once more, marked as a replay; new ones come behind them."""
    wish = {"after": after, "since": since}
    shown = connection.ask(context, "POST", _path(directory, name, "replay"), json=wish)
    if wait and shown["replay"] is not None:
        shown = _look_on(context, _path(directory, name), shown)
    _print(shown, as_json)


def _look_on(context: typer.Context, path: str, begun: dict[str, Any]) -> Any:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    first, last = begun["cursor"], begun["replay_until"]
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("replay", total=last - first)
        while True:
            shown = connection.ask(context, "GET", path)
            reached = shown["status"]["head"] - shown["status"]["lag"]
            progress.update(bar, completed=min(reached, last) - first)
            if reached >= last or shown["state"] != "active":
                return shown
            time.sleep(_LOOK_EVERY)


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


def _configuration(file: Path | None, url: str | None, options: list[str] | None) -> dict[str, object]:
    configuration: dict[str, object] = {} if file is None else files.read_object(file, "configuration")
    configuration |= {} if url is None else {"url": url}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not equals:
            raise output.fail([f"--set {option!r} has no value; write KEY=VALUE."], output.WRONG_SETTINGS)
        try:
            configuration[key] = json.loads(value)
        except ValueError:
            configuration[key] = value  # a text needs no quotes
    return configuration


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


def _facts(shown: dict[str, Any]) -> dict[str, object]:
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
        "cursor": f"{shown['cursor']} of {status['head']}",
        "lag": f"{status['lag']} positions, {status['lag_seconds']:.1f} s",
        "held": status["held"],
        "brake": _brake(status),
        "oldest leaver": f"{status['oldest_leaver_seconds']:.1f} s",
        "since start": f"delivered {status['delivered']}, failed {status['failed']}",
        "last success": status["last_success"] or "-",
        "error": status["error"] or "-",
    }


def _brake(status: dict[str, Any]) -> str:
    if status["brake_is_tripped"]:
        return f"tripped, {status['brake_held']} removals held"
    if not status["brake_is_on"]:
        return "off"
    return f"on, {status['brake_held']} settling" if status["brake_held"] else "on"


def _print(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(shown)
    else:
        output.print_facts(_facts(shown))
