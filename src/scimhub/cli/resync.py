"""The verbs on what a destination is told without anything having happened: backfill, resend, drift, resync."""

import json
import time
from typing import Annotated, Any

import typer

from scimhub.cli import connection, output, progress
from scimhub.cli.asking import Yes, confirm_overruling
from scimhub.cli.connection import path_of
from scimhub.cli.destinations import print_obstacle
from scimhub.cli.manage import AsJson, InDirectory

resync_verbs = typer.Typer(help="Bring a destination to what it was to have: plan, then apply.", no_args_is_help=True)

Wait = Annotated[bool, typer.Option("--wait", help="Look on until it is done.")]
Samples = Annotated[int, typer.Option(help="So many samples of each sort.", min=0, max=1000)]
_LOOK_EVERY = 0.3
_MOST_SHOWN = 5


def _path(directory: str, name: str, *rest: str) -> str:
    return path_of("directories", directory, "destinations", name, *rest)


# --------------------------------------------------------------------------- backfill and resend


def backfill(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    status: Annotated[bool, typer.Option("--status", help="Only show how far it is.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Hand out nothing more for now.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was paused.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End it where it is.")] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Tell a destination what everybody in its scope is now, beside what happens meanwhile."""
    if status + pause + resume + cancel > 1:
        raise output.fail(["Give one of --status, --pause, --resume and --cancel."], output.WRONG_SETTINGS)
    path = _path(directory, name, "backfill")
    if status:
        shown = connection.ask(context, "GET", path)
    else:
        verb = "/pause" if pause else "/resume" if resume else "/cancel" if cancel else ""
        shown = connection.ask(context, "POST", path + verb)
    if wait:
        wait_for(context, directory, name, as_json)
    else:
        print_backfill(shown, name, directory, as_json)


def wait_for(context: typer.Context, directory: str, name: str, as_json: bool) -> None:
    """Look on until the backfill is over, and print it; ends the program with code 1 if it is not done, and says why."""
    shown = _look_on(context, directory, name)
    print_backfill({**shown, "waits_for": ""} if not as_json else shown, name, directory, as_json)
    if shown["state"] != "done":
        raise output.fail([shown["waits_for"] or f"It is {shown['state']}{_because(shown)}"], is_answered=True)


def _look_on(context: typer.Context, directory: str, name: str) -> dict[str, Any]:
    """The backfill when it is over or cannot go on; shows meanwhile how far it is, how fast and how long it takes."""
    path = _path(directory, name, "backfill")
    with progress.watching(is_silent=False) as watch:
        while True:
            shown: dict[str, Any] = connection.ask(context, "GET", path)
            under_way = max(0, shown["told"] - shown["arrived"] - shown["failed"])
            watch("telling", max(0, shown["looked_at"] - under_way), shown["total"])
            if shown["state"] != "running" or shown["waits_for"]:
                return shown
            time.sleep(_LOOK_EVERY)


_WHAT = {"directory": "backfill", "log": "backfill", "plan": "resync", "subscription": "new subscription"}


def print_backfill(shown: dict[str, Any], name: str, directory: str, as_json: bool) -> None:
    """How far it is, and what can be done about it."""
    if as_json:
        output.print_json(shown)
        return
    output.print_facts(
        {
            _WHAT[shown["origin"]]: shown["id"],
            "state": shown["state"] + _because(shown),
            "looked at": f"{shown['looked_at']:,} of {shown['total']:,}",
            "told": f"{shown['told']:,}, arrived {shown['arrived']:,}, held {shown['failed']:,}",
            "since": shown["begun"],
        }
    )
    place = f"{name} --directory {directory}"
    if shown["failed"]:
        print(f"Why some are held: scimhub destination held list {place}; removals: scimhub destination brake show {place}")
    if shown["waits_for"]:
        print(shown["waits_for"])
    if shown["state"] == "running":
        print(f"How far it is: scimhub destination backfill {place} --status --wait")


def _because(shown: dict[str, Any]) -> str:
    return f": {shown['reason']}" if shown["reason"] else ""


def resend(
    context: typer.Context,
    name: str,
    resources: Annotated[list[str], typer.Argument(help="Ids, userNames of people or displayNames of groups.")],
    directory: InDirectory = "default",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Tell a destination what a person or a group is now, whatever it was told before.

    If that is a removal that was discarded, it says so and asks.
    """
    would = connection.ask(context, "POST", _path(directory, name, "resend"), json={"resources": resources, "dry_run": True})
    confirm_overruling(would["overrules"], name, is_named=True, yes=yes)
    done = connection.ask(context, "POST", _path(directory, name, "resend"), json={"resources": resources})
    count = len(done["resources"])
    what = "1 resource is" if count == 1 else f"{count} resources are"
    output.print_done(
        f"{what} told again. What became of it: scimhub trace {done['resources'][0]} --directory {directory}", done, as_json
    )
    if not as_json:
        print_obstacle(context, directory, name)


# --------------------------------------------------------------------------- drift


def drift(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    samples: Samples = _MOST_SHOWN,
    values: Annotated[bool, typer.Option("--values", help="Show the values that differ, which are personal.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what a destination shows with what it was to have. The exit code is 1 if it differs."""
    query = {"samples": str(samples), "values": str(values).lower()}
    found = _watched(context, "POST", _path(directory, name, "drift"), query, None, as_json)
    if as_json:
        output.print_json(found)
    else:
        _print_drift(found, name, directory)
    if found["has_drift"]:
        raise typer.Exit(output.REFUSED)


def _watched(
    context: typer.Context, method: str, path: str, query: dict[str, str], wish: object, is_silent: bool
) -> dict[str, Any]:
    """The answer to a question that takes long, with its progress on standard error meanwhile."""
    with progress.watching(is_silent=is_silent) as watch:
        for line in connection.ask_lines(context, method, path, json=wish, query={**query, "progress": "true"}):
            if "progress" in line:
                told = line["progress"]
                watch(told["phase"], told["done"], told["total"])
            elif "problems" in line:
                raise output.fail(line["problems"])
            else:
                found: dict[str, Any] = line["result"]
                return found
    raise output.fail(["The hub's answer broke off."])


_TOLD = {
    "missing": "missing there",
    "adoptable": "there, to be adopted",
    "extra": "there, not ours",
    "different": "different",
    "members": "other members",
    "leftover": "left over",
    "conflict": "conflict",
    "waiting": "on its way",
    "kept": "kept, by a discard",
}


def _print_drift(found: dict[str, Any], name: str, directory: str) -> None:
    columns = ("type", "ours", "there", *_TOLD.values())
    rows = [
        [kind, str(found["ours"].get(kind, 0)), str(found["shown"][kind]), *(str(counts[one]) for one in _TOLD)]
        for kind, counts in found["counts"].items()
    ]
    output.print_table(columns, rows, f"Destination {name} is told of nobody.")
    for finding in found["samples"]:
        ours, there = finding["resource_id"] or "-", finding["remote_id"] or "-"
        print(f"\n{_TOLD[finding['category']]}: {finding['resource_type']} {ours}, there {there}")
        for line in _details(finding):
            print(f"  {line}")
    for kind, paths in found["ignored"].items():
        told = ", ".join(f"{path} ({count:,})" for path, count in paths.items())
        print(f"\nOf {kind} it shows nothing of what it was sent as {told}.")
    for limit in found["limits"]:
        print(f"\nNote: {limit}")
    if found["has_drift"]:
        print(f"\nNext: scimhub destination resync plan {name} --directory {directory}")
    else:
        print("\nIt has what it was to have.")


def _details(finding: dict[str, Any]) -> list[str]:
    lines = [finding["reason"]] if finding["reason"] else []
    if finding["values"] is None:
        lines += [", ".join(finding["paths"])] if finding["paths"] else []
    else:
        lines += [
            f"{path}: ours {json.dumps(ours, ensure_ascii=False)}, there {json.dumps(theirs, ensure_ascii=False)}"
            for path, (ours, theirs) in finding["values"].items()
        ]
    for key, told in (("members_lacking", "lacks"), ("members_beyond", "has beyond ours")):
        some = finding[key]
        if some:
            more = f" and {len(some) - _MOST_SHOWN} more" if len(some) > _MOST_SHOWN else ""
            lines.append(f"{told} {', '.join(some[:_MOST_SHOWN])}{more}")
    if finding["strangers"]:
        lines.append(f"{finding['strangers']} of its members are not ours")
    if finding["was_ours"]:
        lines.append("it was ours once")
    return lines


# --------------------------------------------------------------------------- resync


@resync_verbs.command("plan")
def plan(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    remove_extra: Annotated[
        bool, typer.Option("--remove-extra", help="Also remove what is there beyond our scope and was ours once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find out what would bring the destination to what it was to have; nothing is done."""
    path = _path(directory, name, "resync", "plans")
    found = _watched(context, "POST", path, {}, {"remove_extra": remove_extra}, as_json)
    if as_json:
        output.print_json(found)
        return
    print_plan(found)
    if found["items"]:
        print(f"\nNext: scimhub destination resync apply {name} {found['id']} --directory {directory}")


@resync_verbs.command("show")
def show(context: typer.Context, name: str, plan_id: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Show a plan."""
    found = connection.ask(context, "GET", _path(directory, name, "resync", "plans", plan_id))
    if as_json:
        output.print_json(found)
    else:
        print_plan(found)


@resync_verbs.command("list")
def list_plans(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """List the plans that were made."""
    found = connection.ask(context, "GET", _path(directory, name, "resync", "plans"))
    if as_json:
        output.print_json(found)
        return
    rows = [[one["id"], one["created"], one["expires"], _counts(one)] for one in found["items"]]
    output.print_table(("plan", "created", "expires", "would"), rows, f"There is no plan for destination {name}.")


@resync_verbs.command("apply")
def apply(
    context: typer.Context,
    name: str,
    plan_id: str,
    directory: InDirectory = "default",
    most_moved: Annotated[
        float, typer.Option(help="Stop if more than so many percent of its resources have changed since.")
    ] = 5.0,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Have a plan done. Removals meet the brake; what fails is held and stops nothing."""
    wish = {"plan": plan_id, "most_moved_percent": most_moved}
    shown = connection.ask(context, "POST", _path(directory, name, "resync", "apply"), json=wish)
    if wait:
        wait_for(context, directory, name, as_json)
    else:
        print_backfill(shown, name, directory, as_json)


def print_plan(found: dict[str, Any]) -> None:
    """A plan for a person."""
    seconds = found["seconds"]
    least = "no published limit" if seconds is None else f"at least {seconds:,.0f} s by its rate limits"
    output.print_facts(
        {
            "plan": found["id"],
            "expires": found["expires"],
            "would": _counts(found),
            "requests": f"{found['requests']:,}, {least}",
            "brake": found["verdict"] or "no removal",
        }
    )
    for item in found["samples"]:
        print(f"\n{item['action']} {item['resource_type']} {item['resource_id']}")
        for line in _details({**item, "values": None, "strangers": 0, "was_ours": False}):
            print(f"  {line}")
    for limit in found["limits"]:
        print(f"\nNote: {limit}")


def _counts(found: dict[str, Any]) -> str:
    parts = [f"{action} {count:,} {kind}" for action, of_kind in found["counts"].items() for kind, count in of_kind.items()]
    return ", ".join(parts) or "do nothing: it has what it was to have"
