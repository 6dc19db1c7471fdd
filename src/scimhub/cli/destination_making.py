"""The verbs that make a destination and change it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scimhub.cli import connection, files, output
from scimhub.cli.asking import Yes, confirm
from scimhub.cli.connection import path_of
from scimhub.cli.destinations import (
    Attributes,
    Filters,
    Mapping,
    Secret,
    Types,
    facts_of,
    print_destination,
    subscription_of,
)
from scimhub.cli.manage import AsJson, InDirectory
from scimhub.cli.resync import Wait, wait_for

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
Kind = Annotated[
    str,
    typer.Option(
        help="What it is: webhook, feed, http_api, scim_app, kafka, nats, rabbitmq, redis_streams, sns or sqs; "
        "see docs/destinations.md."
    ),
]
Brake = Annotated[
    list[str] | None,
    typer.Option(
        "--brake", help="A threshold of its brake as KEY=VALUE, such as count=200; repeat it. Or: off. See docs/brake.md."
    ),
]
Style = Annotated[
    str | None,
    typer.Option(help="event: every change is told; state: who changed is told as it is then. See docs/resync.md."),
]
Backfill = Annotated[bool, typer.Option("--backfill", help="Tell it everybody in its scope, beside what changes from now on.")]
Paused = Annotated[
    bool, typer.Option("--paused", help="Send it nothing before it is resumed, so that you can preview and check it.")
]
# Of the options of a subscription, those whose change is told to nobody by itself.
_SCOPE = ("types", "filters", "attributes", "mapping")
_PREVIEWED = ("filters", "attributes", "mapping")


def _path(directory: str, *rest: str) -> str:
    return path_of("directories", directory, "destinations", *rest)


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
    style: Style = None,
    brake: Brake = None,
    after: Annotated[int | None, typer.Option(help="Begin behind this position; 0 is the beginning of the log.")] = None,
    backfill: Backfill = False,
    paused: Paused = False,
    secret_file: Secret = None,
    as_json: AsJson = False,
) -> None:
    """Create a destination. If the hub makes a secret for it, that is printed this once."""
    wish = {
        "name": name,
        "kind": kind,
        "configuration": _configuration(configuration, url, options),
        "subscription": _with_style(subscription_of(types, filters, attributes, mapping), style),
        "brake": _read_pairs("--brake", [text if text != "off" else "enabled=false" for text in brake or []]) or None,
        "after": after,
        "backfill": backfill,
        "paused": paused,
        "secret": files.read_secret(secret_file),
    }
    made = connection.ask(context, "POST", _path(directory), json=wish)
    if as_json:
        output.print_json(made)
        return
    output.print_facts(facts_of(made["destination"]))
    print(_made(made, name, directory, kind, backfill=backfill))


def _made(made: dict[str, Any], name: str, directory: str, kind: str, *, backfill: bool) -> str:
    place = f"{name} --directory {directory}"
    told = f"secret  {made['secret']}\nThe secret is shown this once. " if made["secret"] else ""
    if backfill:
        return f"{told}Everybody in its scope is told now: scimhub destination backfill {place} --status"
    if kind == "feed":
        return f"{told}Next: GET /feed/v1/{directory}/events with it as bearer token, or /snapshot first (docs/feed.md)"
    return f"{told}Next: scimhub destination check {place}"


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
    style: Style = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Tell the destination who enters, leaves or changes by another subscription.")
    ] = False,
    wait: Wait = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Change a destination. Each option that is given replaces what was there; --type '*' wants all types again.

    If another subscription makes somebody enter, leave or change, that is shown before, and asked for.
    """
    current = connection.ask(context, "GET", _path(directory, name))
    written = {**current["configuration"], **_configuration(configuration, url, options)}
    given = _with_style(subscription_of(types, filters, attributes, mapping), style)
    changed = {key: value for key, value in given.items() if value or (key == "mapping" and mapping is not None)}
    subscription = {**current["subscription"], **changed}
    wish = {"configuration": written, "subscription": subscription, "apply": apply}
    is_other = any(subscription[key] != current["subscription"][key] for key in _PREVIEWED)
    counts = _fates(context, directory, name, changed) if is_other else {}
    if counts:
        _ask(counts, name, apply=apply, yes=yes)
    shown = connection.ask(context, "PATCH", _path(directory, name), json=wish)
    if apply and counts and wait:
        wait_for(context, directory, name, as_json)
        return
    print_destination(shown, as_json)
    if changed.keys() & set(_SCOPE) and not as_json:
        print(_what_next(name, directory, apply=apply))


def _fates(context: typer.Context, directory: str, name: str, changed: dict[str, object]) -> dict[str, dict[str, int]]:
    """By resource type how many would enter, leave and change; empty when nobody would."""
    wish: dict[str, object] = {key: changed[key] for key in _PREVIEWED if key in changed}
    with output.progress("looking at all resources"):
        found = connection.ask(context, "POST", _path(directory, name, "preview"), json=wish | {"samples": 0})
    fates = ("enters", "leaves", "changes")
    counts = {kind: {fate: of_kind[fate] for fate in fates} for kind, of_kind in found["counts"].items()}
    return {kind: of_kind for kind, of_kind in counts.items() if any(of_kind.values())}


def _ask(counts: dict[str, dict[str, int]], name: str, *, apply: bool, yes: bool) -> None:
    told = "; ".join(
        f"{kind}: {', '.join(f'{count:,} {fate if count == 1 else fate[:-1]}' for fate, count in of_kind.items())}"
        for kind, of_kind in counts.items()
    )
    then = "They are told so now." if apply else "Only what changes from now on is told; --apply tells the rest, too."
    confirm(f"By the new subscription of {name}, {told}. {then} Change it?", yes=yes)


def _what_next(name: str, directory: str, *, apply: bool) -> str:
    place = f"{name} --directory {directory}"
    if apply:
        return f"Who enters, leaves or changes is told now: scimhub destination backfill {place} --status"
    return (
        "The subscription holds for changes from now on; who enters, leaves or changes by it is told when something about "
        f"them changes. To tell everybody who is in its scope: scimhub destination backfill {place}"
    )


def _with_style(subscription: dict[str, object], style: str | None) -> dict[str, object]:
    return subscription if style is None else {**subscription, "style": style}


def _configuration(file: Path | None, url: str | None, options: list[str] | None) -> dict[str, object]:
    configuration: dict[str, object] = {} if file is None else files.read_object(file, "configuration")
    configuration |= {} if url is None else {"url": url}
    return configuration | _read_pairs("--set", options or [])


def _read_pairs(option: str, texts: Sequence[str]) -> dict[str, object]:
    """What an option says that is given as KEY=VALUE again and again; a value is JSON, and a text needs no quotes."""
    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise output.fail([f"{option} {text!r} has no value; write KEY=VALUE."], output.WRONG_SETTINGS)
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
