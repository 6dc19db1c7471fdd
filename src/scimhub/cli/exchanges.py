"""``scimhub exchanges``: what sources sent and what they were answered."""

import json
from typing import Annotated, Any

import typer

from scimhub.cli import connection, output
from scimhub.cli.connection import path_of
from scimhub.cli.manage import AsJson

exchange_verbs = typer.Typer(help="The requests of sources and our answers, newest first.")


@exchange_verbs.callback(invoke_without_command=True)
def list_exchanges(
    context: typer.Context,
    directory: Annotated[str | None, typer.Option("--directory", "-d", help="Only of this directory.")] = None,
    source: Annotated[str | None, typer.Option("--source", "-s", help="Only of this source.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only those that failed, wholly or in part.")] = False,
    status: Annotated[int | None, typer.Option(help="Only those answered with this status.")] = None,
    method: Annotated[str | None, typer.Option(help="Only those with this method, such as PATCH.")] = None,
    resource: Annotated[str | None, typer.Option(help="Only about this resource, by id, or this type.")] = None,
    text: Annotated[str | None, typer.Option(help="Only with this text in path, query, detail or bodies.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this time on, such as 2026-11-23T20:41:35Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Only before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the requests of sources and our answers, newest first."""
    if context.invoked_subcommand is not None:
        return
    wanted = {
        "directory": directory,
        "source": source,
        "status": status,
        "errors_only": errors or None,
        "method": method,
        "resource": resource,
        "text": text,
        "since": since,
        "until": until,
        "limit": limit,
    }
    query = {name: str(value) for name, value in wanted.items() if value is not None}
    found = connection.ask(context, "GET", path_of("exchanges"), query=query)
    if as_json:
        output.print_json(found["items"])
        return
    columns = ("time", "source", "method", "path", "status", "took", "rewrites", "dropped", "detail", "request id")
    output.print_table(columns, [_row(each) for each in found["items"]], "No exchange is recorded that fits.")
    if found["searched_to"] is not None:
        print(f"The search stopped at {found['searched_to']}; for earlier ones add --until {found['searched_to']}.")


@exchange_verbs.command("show")
def show_exchange(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The request id, as X-Request-Id or the list gives it.")],
    as_json: AsJson = False,
) -> None:
    """Show one exchange with its headers and bodies."""
    exchange = connection.ask(context, "GET", path_of("exchanges", request_id))
    if as_json:
        output.print_json(exchange)
        return
    facts = {name.replace("_", " "): exchange[name] for name in _FACTS if exchange[name] not in ("", [], {})}
    facts["took"] = took(exchange)
    output.print_facts(facts)
    for name, value in exchange["headers"].items():
        print(f"  {name}: {value}")
    for title, body in (("Request", exchange["request"]), ("Answer", exchange["answer"])):
        if body is not None:
            print(f"\n{title}, {body_size(body)}:\n{pretty(body)}")


_FACTS = (
    *("id", "time", "directory", "source", "method", "path", "query", "status", "rewrites", "dropped", "resource_type"),
    *("resource_id", "change_ids", "detail"),
)


def took(exchange: dict[str, Any]) -> str:
    """How long the answer took, such as ``4.2 ms``."""
    return f"{exchange['duration_us'] / 1000:.1f} ms"


def body_size(body: dict[str, Any]) -> str:
    """How large the body was, and whether all of it is there."""
    cut = ", cut" if body["is_cut"] else ""
    return f"{body['size']} bytes{cut}{', without what the change had' if body.get('lacks_document') else ''}"


def pretty(body: dict[str, Any]) -> str:
    """The body for a person: JSON with indents, or its beginning as it stands."""
    if body["text"] is None:
        return "(not kept)"
    try:
        return json.dumps(json.loads(body["text"]), indent=2, ensure_ascii=False)
    except json.JSONDecodeError:
        return str(body["text"])


def _row(exchange: dict[str, Any]) -> list[str]:
    return [
        exchange["time"],
        f"{exchange['directory']}/{exchange['source']}" if exchange["source"] else "-",
        exchange["method"],
        exchange["path"] + (f"?{exchange['query']}" if exchange["query"] else ""),
        str(exchange["status"]),
        took(exchange),
        ", ".join(exchange["rewrites"]),
        ", ".join(exchange["dropped"]),
        exchange["detail"],
        exchange["id"],
    ]
