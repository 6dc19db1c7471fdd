"""The verbs on a destination's brake: show, list, release, discard, set."""

import sys
from typing import Annotated, Any

import typer

from scimhub.cli import connection, output
from scimhub.cli.connection import path_of
from scimhub.cli.manage import AsJson, InDirectory

brake_verbs = typer.Typer(help="What keeps a burst of removals from a destination.", no_args_is_help=True)

Resources = Annotated[list[str] | None, typer.Argument(help="Ids of resources whose removal is held.")]
Exchange = Annotated[str | None, typer.Option("--exchange", help="Those that this request asked for, by the exchange's id.")]
Source = Annotated[str | None, typer.Option(help="Those that this source asked for.")]
Everything = Annotated[bool, typer.Option("--all", help="All that is held.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_SAMPLES = 5
_COLUMNS = ("type", "resource", "name", "removal", "source", "asked for", "waits until")


def _path(directory: str, name: str, *rest: str) -> str:
    return path_of("directories", directory, "destinations", name, "brake", *rest)


@brake_verbs.command("show")
def show(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Show whether the brake has tripped, what it holds, and its thresholds."""
    found = connection.ask(context, "GET", _path(directory, name))
    if as_json:
        output.print_json(found)
        return
    _print(found)
    if found["waiting"]:
        print(
            f"Look: scimhub destination brake list {name} --directory {directory}. Then release, which sends them, or discard, "
            "by which the destination keeps what it has."
        )


@brake_verbs.command("list")
def list_removals(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    exchange: Exchange = None,
    source: Source = None,
    limit: Annotated[int, typer.Option(help="The most that are listed.", min=1, max=1000)] = 100,
    kept: Annotated[bool, typer.Option("--kept", help="Instead: what the destination keeps after a discard.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the removals that are held: who would go."""
    query = {"limit": str(limit)}
    query |= {} if exchange is None else {"exchange_id": exchange}
    query |= {} if source is None else {"source": source}
    path = _path(directory, name, "kept") if kept else _path(directory, name, "removals")
    found = connection.ask(context, "GET", path, query={"limit": str(limit)} if kept else query)
    if as_json:
        output.print_json(found)
    elif kept:
        rows = [[item["resource_id"], str(item["position"]), item["time"]] for item in found["items"]]
        output.print_table(("resource", "position", "discarded"), rows, f"Destination {name} keeps nothing that was removed.")
    else:
        _print_removals(found["items"], f"The brake of destination {name} holds nothing.")
    if not as_json and found["next"] is not None:
        print(f"There are more than {limit}.")


@brake_verbs.command("release")
def release(
    context: typer.Context,
    name: str,
    resources: Resources = None,
    directory: InDirectory = "default",
    exchange: Exchange = None,
    source: Source = None,
    everything: Everything = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send removals that are held: these, those of one request or source, or all. The counting begins anew."""
    wish = _wish(resources, exchange, source, everything)
    _decide(context, _path(directory, name, "release"), wish, ("leaves", "leave"), f"destination {name}", yes, as_json)


@brake_verbs.command("discard")
def discard(
    context: typer.Context,
    name: str,
    resources: Resources = None,
    directory: InDirectory = "default",
    exchange: Exchange = None,
    source: Source = None,
    everything: Everything = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give removals up: the destination keeps these resources, until they come back or are removed again."""
    wish = _wish(resources, exchange, source, everything)
    _decide(context, _path(directory, name, "discard"), wish, ("stays at", "stay at"), f"destination {name}", yes, as_json)


@brake_verbs.command("set")
def set_thresholds(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether it brakes at all.")] = None,
    count: Annotated[int | None, typer.Option(help="It trips at so many removals …")] = None,
    percent: Annotated[float | None, typer.Option(help="… that are so much of all the destination has.")] = None,
    small_count: Annotated[int | None, typer.Option(help="And at so many …")] = None,
    small_percent: Annotated[float | None, typer.Option(help="… that are so much.")] = None,
    settle_seconds: Annotated[float | None, typer.Option(help="How long each further removal of a burst waits.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set thresholds, or switch the brake off; what is not given stays."""
    current = connection.ask(context, "GET", _path(directory, name))["thresholds"]
    given = {
        "enabled": enabled,
        "count": count,
        "percent": percent,
        "small_count": small_count,
        "small_percent": small_percent,
        "settle_seconds": settle_seconds,
    }
    wish = {**current, **{key: value for key, value in given.items() if value is not None}}
    found = connection.ask(context, "PUT", _path(directory, name), json=wish)
    if as_json:
        output.print_json(found)
        return
    _print(found)
    if not found["thresholds"]["enabled"] and found["waiting"]:
        print("What is held stays held: release or discard it.")


# --------------------------------------------------------------------------- within


def _wish(resources: list[str] | None, exchange: str | None, source: str | None, everything: bool) -> dict[str, Any]:
    return {"resource_ids": resources or None, "exchange_id": exchange, "source": source, "all": everything}


def _decide(
    context: typer.Context, path: str, wish: dict[str, Any], fates: tuple[str, str], destination: str, yes: bool, as_json: bool
) -> None:
    plan = connection.ask(context, "POST", path, json={**wish, "dry_run": True, "samples": _SAMPLES})
    if not as_json and plan["count"]:
        _print_removals(plan["samples"], "")
        if plan["count"] > len(plan["samples"]):
            print(f"… and {plan['count'] - len(plan['samples'])} more")
    what = output.counted(plan["count"], "resource")
    if plan["count"] and not yes:
        if not sys.stdin.isatty():
            raise output.fail([f"{what} would {fates[1]} {destination}; say --yes to have it done."])
        typer.confirm(f"{what} {fates[plan['count'] != 1]} {destination}. Go on?", abort=True, err=True)
    with output.progress("deciding"):
        done = connection.ask(context, "POST", path, json={**wish, "samples": 0})
    count = done["count"]
    # An empty choice is decided, too: it ends a brake that has tripped and holds nothing, as where all goes in order.
    output.print_done(f"{output.counted(count, 'resource')} {fates[count != 1]} {destination}.", done, as_json)


def _print(found: dict[str, Any]) -> None:
    limits, trip = found["thresholds"], found["tripped"]
    state = "on" if limits["enabled"] else "OFF: nothing is held"
    if trip is not None:
        of_what = f"{trip['count']} removals ({trip['sort']}) of {trip['population']}"
        state = f"TRIPPED at {trip['time']}: {of_what}; removals of every sort wait"
    facts: dict[str, object] = {
        "brake": state,
        "waiting": f"{found['waiting']} for an administrator, {found['settling']} for the rest of their burst",
    }
    if found["waiting"] or found["settling"]:
        facts["behind them"] = "later changes of the same resources, also members that a group gains"
    facts |= {
        "trips at": f"{limits['count']} removals that are {limits['percent']:g} % of all, or {limits['small_count']} that are "
        f"{limits['small_percent']:g} %, within 10 minutes or 24 hours",
        "settles": f"{limits['settle_seconds']:g} s",
    }
    for sort in found["sorts"]:
        facts[sort["name"]] = (
            f"{sort['held']} held; let go {sort['last_10_minutes']} in 10 minutes, {sort['last_24_hours']} in 24 hours"
        )
    output.print_facts(facts)


def _removal(item: dict[str, Any]) -> str:
    if item["removes"] == "members":
        return output.counted(item["count"], "membership")
    return "deleted" if item["operation"] == "deleted" else "deactivated, or out of scope"


def _print_removals(items: list[dict[str, Any]], when_empty: str) -> None:
    rows = [
        [
            item["resource_type"],
            item["resource_id"],
            item["name"] or "-",
            _removal(item),
            item["source"] or "-",
            item["time"],
            item["due"] or "an administrator decides",
        ]
        for item in items
    ]
    output.print_table(_COLUMNS, rows, when_empty)
