"""``scimhub trace``: one timeline of what was sent, what changed, and where it arrived."""

from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from scimhub.cli import connection, output
from scimhub.cli.connection import path_of
from scimhub.cli.exchanges import body_size, took
from scimhub.cli.manage import AsJson, InDirectory

_LONGEST_VALUE = 100
_LONGEST_BODY = 400
_MOST_MEMBERS = 10
_STYLES = {
    "sent": "bold",
    "changed": "bold cyan",
    "delivered": "green",
    "retry": "yellow",
    "held": "yellow",
    "waiting": "yellow",
    "rejected": "bold red",
    "gone": "bold red",
    "lost": "bold red",
}
# What stands in the second column, and the line beside it; further lines have no word.
_Line = tuple[str, str]


def trace(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="A userName, externalId, e-mail, group, request id, change id or position.")],
    directory: InDirectory = "default",
    last: Annotated[int, typer.Option(min=1, max=1000, help="So many of the last changes of each resource.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show on one timeline what was sent, what it changed, and where it arrived."""
    path = path_of("directories", directory, "trace")
    timeline = connection.ask(context, "GET", path, query={"of": what, "last": str(last)})
    if as_json:
        output.print_json(timeline)
        return
    for subject in timeline["subjects"]:
        gone = ", deleted" if subject["is_deleted"] else ""
        print(f"{subject['resource_type']} {subject['name'] or '(no name)'}, id {subject['id']}{gone}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("time", "what"):
        table.add_column(column, no_wrap=True)
    table.add_column("told", overflow="fold")
    for entry in timeline["entries"]:
        for number, (word, told) in enumerate(_lines(entry, timeline["names"])):
            time = entry["time"] if number == 0 else ""
            table.add_row(Text(time, "dim"), Text(word, _STYLES.get(word, "")), Text(told))
    output.print_lines(table)
    for note in timeline["notes"]:
        print(f"Note: {note}")


def _lines(entry: dict[str, Any], names: dict[str, str]) -> Iterator[_Line]:
    match entry["entry"]:
        case "sent":
            return _of_exchange(entry["exchange"])
        case "changed":
            return _of_change(entry, names)
        case _:
            return _of_arrival(entry)


def _of_exchange(exchange: dict[str, Any]) -> Iterator[_Line]:
    query = f"?{exchange['query']}" if exchange["query"] else ""
    source = exchange["source"] or "somebody"
    # Below the SCIM base URL, which is the same in every line.
    path = exchange["path"].removeprefix(f"/scim/{exchange['directory']}/v2")
    yield "sent", f"{source}: {exchange['method']} {path}{query} → {exchange['status']} in {took(exchange)}"
    yield "", f"request {exchange['id']}"
    body = exchange["request"]
    if body is not None and body["text"] is not None:
        is_short = len(body["text"]) <= _LONGEST_BODY
        yield "", body["text"] if is_short else f"{body['text'][:_LONGEST_BODY]} … ({body_size(body)})"
    if exchange["detail"]:
        yield "refused" if exchange["status"] >= 400 else "", exchange["detail"]
    for word, told in (("rewritten", exchange["rewrites"]), ("dropped", exchange["dropped"])):
        if told:
            yield word, ", ".join(_counted(told))


def _counted(names: list[str]) -> list[str]:
    """Each name once, with how often it was there."""
    return [name if names.count(name) == 1 else f"{name} ({names.count(name)} times)" for name in dict.fromkeys(names)]


def _of_change(entry: dict[str, Any], names: dict[str, str]) -> Iterator[_Line]:
    whom = _named(entry["resource_id"], names)
    by = f" by {entry['source']}" if entry["source"] else ""
    yield (
        "changed",
        f"{entry['resource_type']} {whom} {entry['operation']}{by}: version {entry['version']}, position {entry['position']}",
    )
    yield "", f"change {entry['change_id']}"
    if entry["is_purged"]:
        yield "", "(retention has removed what it was)"
    width = max((len(_short(each["path"])) for each in entry["differences"]), default=0)
    for each in entry["differences"]:
        old, new = (("" if each[side] is None else _value(each[side])) for side in ("old", "new"))
        arrow = f"{old or '–'} → {new or '–'}" if entry["operation"] == "updated" else (new or old)
        yield "", f"{_short(each['path']).ljust(width)}  {arrow}"
    for sign, members in (("+", entry["members_added"]), ("-", entry["members_removed"])):
        for member in members[:_MOST_MEMBERS]:
            yield "", f"{sign} member {_named(member, names)}"
        if len(members) > _MOST_MEMBERS:
            yield "", f"{sign} {len(members) - _MOST_MEMBERS} members more"


def _short(path: str) -> str:
    """Without the URN of an extension, which would fill the line."""
    return path.rpartition(":")[2] if path.startswith("urn:") else path


def _value(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"


def _named(id: str, names: dict[str, str]) -> str:
    return f"{names[id]} ({id})" if id in names else id


def _of_arrival(entry: dict[str, Any]) -> Iterator[_Line]:
    attempt = entry["attempt"]
    told = f"{entry['destination']}: position {entry['position']}"
    if attempt is not None:
        if attempt["first_position"] < entry["position"]:
            told = f"{entry['destination']}: positions {attempt['first_position']} to {entry['position']}"
        status = "" if attempt["status"] is None else f", status {attempt['status']}"
        told += f", attempt {attempt['number']}{status}, {attempt['duration_us'] / 1000:.1f} ms"
    yield entry["outcome"], f"{told}. {entry['detail']}" if entry["detail"] else told
    if entry["next_attempt"]:
        yield "", f"next try at {entry['next_attempt']}"
    if attempt is not None and attempt["excerpt"]:
        yield "", f"it answered: {_value(attempt['excerpt'])}"
