"""The verbs on directories, sources, tokens and schemas. Each is one request to the admin API."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scimhub.cli import connection, output
from scimhub.cli.asking import Yes, confirm_removal
from scimhub.cli.connection import path_of

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
InDirectory = Annotated[str, typer.Option("--directory", "-d", help="The directory's name.")]
OfSource = Annotated[str, typer.Option("--source", "-s", help="The source's name.")]

directory_verbs = typer.Typer(help="Isolated sets of users and groups.", no_args_is_help=True)
source_verbs = typer.Typer(help="Connections that write to a directory.", no_args_is_help=True)
token_verbs = typer.Typer(help="Bearer tokens of a source.", no_args_is_help=True)
schema_verbs = typer.Typer(help="Schemas and resource types of a directory.", no_args_is_help=True)


# --------------------------------------------------------------------------- directories


@directory_verbs.command("create")
def create_directory(context: typer.Context, name: str, as_json: AsJson = False) -> None:
    """Create a directory."""
    made = connection.ask(context, "POST", "/directories", json={"name": name}, creates=True)
    _print_one(made, as_json)
    if not as_json:
        print(f"Next: scimhub source create NAME --directory {name}")


@directory_verbs.command("list")
def list_directories(context: typer.Context, as_json: AsJson = False) -> None:
    """List the directories."""
    found = connection.ask(context, "GET", "/directories")
    _print_list(found, as_json, ("name", "base_url", "created", "deletion_requested"), "There is no directory.")


@directory_verbs.command("show")
def show_directory(context: typer.Context, name: str, as_json: AsJson = False) -> None:
    """Show a directory and how many resources it holds."""
    _print_one(connection.ask(context, "GET", path_of("directories", name)), as_json)


@directory_verbs.command("delete")
def delete_directory(
    context: typer.Context,
    name: str,
    confirm: Annotated[str | None, typer.Option(help="The directory's name again: removes everything.")] = None,
    as_json: AsJson = False,
) -> None:
    """Delete a directory: first without, then with --confirm NAME. The exit code is 0 only when it is gone."""
    query = None if confirm is None else {"confirm": confirm}
    requested = connection.ask(context, "DELETE", path_of("directories", name), query=query)
    if requested is None:
        output.print_done(f"Directory {name} is removed with everything in it.", {"deleted": name}, as_json)
        return
    _print_one(requested, as_json)
    sentence = f"Nothing is removed yet. To remove all of it: scimhub directory delete {name} --confirm {name}"
    # As of a removal that somebody is asked about and does not want: what is still there is not done.
    raise output.fail([sentence], is_answered=True)


# --------------------------------------------------------------------------- sources


@source_verbs.command("create")
def create_source(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    dialect: Annotated[str, typer.Option(help="lenient or strict.")] = "lenient",
    returning: Annotated[str, typer.Option(help="What becomes of people who return: new or external_id.")] = "new",
    as_json: AsJson = False,
) -> None:
    """Create a source."""
    wish = {"name": name, "dialect": dialect, "returning": returning}
    _print_one(connection.ask(context, "POST", path_of("directories", directory, "sources"), json=wish), as_json)
    if not as_json:
        print(f"Next: scimhub token create --directory {directory} --source {name}")


@source_verbs.command("list")
def list_sources(context: typer.Context, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """List a directory's sources."""
    found = connection.ask(context, "GET", path_of("directories", directory, "sources"))
    empty = f"Directory {directory} has no source."
    _print_list(found, as_json, ("name", "directory", "dialect", "returning", "created"), empty)


@source_verbs.command("show")
def show_source(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Show a source."""
    _print_one(connection.ask(context, "GET", path_of("directories", directory, "sources", name)), as_json)


@source_verbs.command("update")
def update_source(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    dialect: Annotated[str | None, typer.Option(help="lenient or strict.")] = None,
    returning: Annotated[str | None, typer.Option(help="new or external_id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a source another dialect or another rule for returning people."""
    wish = {"dialect": dialect, "returning": returning}
    _print_one(connection.ask(context, "PATCH", path_of("directories", directory, "sources", name), json=wish), as_json)


@source_verbs.command("delete")
def delete_source(
    context: typer.Context,
    name: str,
    directory: InDirectory = "default",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a source and revoke its tokens; its resources stay."""
    path = path_of("directories", directory, "sources", name)

    def find_loss() -> str:
        tokens = connection.ask(context, "GET", f"{path}/tokens")["items"]
        valid = sum(token["state"] == "valid" for token in tokens)
        return f"Whoever uses one of the {valid} valid tokens of source {name} is refused from then on; its resources stay."

    confirm_removal(find_loss, yes=yes)
    connection.ask(context, "DELETE", path)
    output.print_done(f"Source {name} is removed and its tokens are revoked; its resources stay.", {"deleted": name}, as_json)


# --------------------------------------------------------------------------- tokens


@token_verbs.command("create")
def create_token(
    context: typer.Context,
    directory: InDirectory = "default",
    source: OfSource = "default",
    permission: Annotated[list[str] | None, typer.Option(help="read or write; both unless said.")] = None,
    expires: Annotated[str, typer.Option(help="never, 90d, 1y, or a date such as 2027-01-31.")] = "1y",
    as_json: AsJson = False,
) -> None:
    """Create a token and show its secret, this once."""
    wish = {"permissions": permission or ["read", "write"], "expires": expires}
    made = connection.ask(context, "POST", path_of("directories", directory, "sources", source, "tokens"), json=wish)
    if as_json:
        output.print_json(made)
        return
    # Plain lines: a table could break the secret in two.
    print(f"SCIM base URL: {made['base_url']}")
    print(f"Bearer token:  {made['secret']}")
    expiry = f"expires {made['expires']}" if made["expires"] else "does not expire"
    print(f"The token {made['id']} {expiry}. It is shown this once.")


@token_verbs.command("list")
def list_tokens(
    context: typer.Context, directory: InDirectory = "default", source: OfSource = "default", as_json: AsJson = False
) -> None:
    """List a source's tokens, without their secrets."""
    found = connection.ask(context, "GET", path_of("directories", directory, "sources", source, "tokens"))
    columns = ("id", "hint", "permissions", "state", "created", "expires", "last_used")
    _print_list(found, as_json, columns, f"Source {source} has no token.")


@token_verbs.command("revoke")
def revoke_token(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="The token's id, as token list shows it.")],
    directory: InDirectory = "default",
    source: OfSource = "default",
    as_json: AsJson = False,
) -> None:
    """Revoke a token; it is refused from the next second on."""
    path = path_of("directories", directory, "sources", source, "tokens", token)
    _print_one(connection.ask(context, "DELETE", path), as_json)


# --------------------------------------------------------------------------- schemas


@schema_verbs.command("add")
def add_schema(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A JSON or YAML file; - reads standard input.")],
    directory: InDirectory = "default",
    as_json: AsJson = False,
) -> None:
    """Add or replace a schema, or a bundle of schemas and resource types."""
    document = _read_document(file)
    with output.progress("Adding the schema"):
        report = connection.ask(context, "POST", path_of("directories", directory, "schemas"), json=document)
    _print_report(report, as_json)


@schema_verbs.command("list")
def list_schemas(context: typer.Context, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """List a directory's schemas and resource types."""
    found = connection.ask(context, "GET", path_of("directories", directory, "schemas"))
    _print_list(found, as_json, ("id", "name", "kind", "origin", "types", "attributes"), "There is no schema.")


@schema_verbs.command("show")
def show_schema(context: typer.Context, name: str, directory: InDirectory = "default", _: AsJson = False) -> None:
    """Print one definition as JSON: a schema by URN, a resource type by name."""
    output.print_json(connection.ask(context, "GET", path_of("directories", directory, "schemas", name)))


@schema_verbs.command("remove")
def remove_schema(context: typer.Context, name: str, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """Remove an added schema by URN, or an added resource type by name, unless data depends on it."""
    with output.progress("Looking for resources that use it"):
        report = connection.ask(context, "DELETE", path_of("directories", directory, "schemas", name))
    _print_report(report, as_json)


def _print_report(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(report)
        return
    _print_one({name: value for name, value in report.items() if name != "warnings"}, as_json)
    for sentence in report["warnings"]:
        print(sentence)


def _read_document(file: Path) -> object:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise output.fail([f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."]) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if file.suffix == ".json":
            place = f"line {error.lineno}, column {error.colno}"
            raise output.fail([f"{file} is not JSON: {error.msg} at {place}."]) from None
    import yaml  # seldom needed, and slow to load

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise output.fail([f"{file} is neither JSON nor YAML: {' '.join(str(error).split())}."]) from None


# --------------------------------------------------------------------------- printing


def _print_one(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(answer)
    else:
        output.print_facts({key.replace("_", " "): value for key, value in answer.items()})


def _print_list(answer: dict[str, Any], as_json: bool, columns: tuple[str, ...], when_empty: str) -> None:
    if as_json:
        output.print_json(answer["items"])
        return
    rows = [[output.shown(item[column]) for column in columns] for item in answer["items"]]
    output.print_table([column.replace("_", " ") for column in columns], rows, when_empty)
