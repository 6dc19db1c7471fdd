"""The ``scimhub`` command: the verbs on the hub itself. Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings.

The framework, the server and the drivers are imported inside the verbs that need them: they take half a second to load,
and most verbs only speak to a socket.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from scimhub.cli import connection, manage, output
from scimhub.cli.demo import demo
from scimhub.cli.destination_contents import ledger, preview
from scimhub.cli.destination_making import create, update
from scimhub.cli.destinations import destination_verbs
from scimhub.cli.exchanges import exchange_verbs
from scimhub.cli.exports import export_file
from scimhub.cli.imports import import_file
from scimhub.cli.indexes import index_verbs
from scimhub.cli.refusing import Verbs
from scimhub.cli.resync import backfill, drift, resend, resync_verbs
from scimhub.cli.secrets import secret_verbs
from scimhub.cli.simulate import simulate
from scimhub.cli.trace import trace
from scimhub.directory.errors import Fault

AsJson = manage.AsJson

commands = typer.Typer(
    cls=Verbs,
    help="A SCIM 2.0 identity hub: takes users and groups from identity providers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.add_typer(manage.directory_verbs, name="directory")
commands.add_typer(manage.source_verbs, name="source")
commands.add_typer(manage.token_verbs, name="token")
commands.add_typer(manage.schema_verbs, name="schema")
commands.add_typer(index_verbs, name="index")
commands.add_typer(destination_verbs, name="destination")
destination_verbs.command()(create)
destination_verbs.command()(update)
destination_verbs.command()(ledger)
destination_verbs.command()(preview)
destination_verbs.command()(backfill)
destination_verbs.command()(resend)
destination_verbs.command()(drift)
destination_verbs.add_typer(resync_verbs, name="resync")
commands.add_typer(exchange_verbs, name="exchanges")
commands.add_typer(secret_verbs, name="secrets")
commands.command()(trace)
commands.command()(simulate)
commands.command()(demo)
commands.command("import")(import_file)
commands.command("export")(export_file)


def run() -> None:
    """The entry point of the installed command."""
    commands()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"scimhub {version('scimhub')}")
        raise typer.Exit


@commands.callback()
def read_options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="The settings file; else SCIMHUB_CONFIG, else scimhub.toml.")] = None,
    _: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options before the verb hold for all verbs."""
    context.obj = config


@commands.command()
def serve(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, help="How many processes serve; more than one need PostgreSQL.")] = 1,
) -> None:
    """Start the hub and serve until SIGTERM; SIGHUP renews the certificate, or the processes of several one by one."""
    settings = connection.load_settings(context)
    from scimhub import serving
    from scimhub import workers as processes

    try:
        code = serving.run(settings) if workers == 1 else processes.run(settings, workers)
    except Fault as error:
        raise output.fail([str(error)]) from None
    raise typer.Exit(code)


@commands.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check settings, database, clock, disk and files, and say what to do."""
    from scimhub.cli import diagnosis

    findings = diagnosis.examine(context.obj)
    if as_json:
        output.print_json([finding.render() for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.verdict.ljust(4)}  {finding.subject.ljust(11)}  {finding.sentence}")
    raise typer.Exit(1 if any(finding.verdict == "FAIL" for finding in findings) else 0)


@commands.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The new file; it must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write a consistent copy of the database, also while the hub runs."""
    with output.progress(f"Copying the database to {file}"):
        # An older database is not migrated first: the backup is the way back.
        made = connection.ask(context, "POST", "/backup", json={"file": str(file.absolute())}, writes=False)
    if as_json:
        output.print_json(made)
    else:
        print(f"{made['file']} holds the backup, {made['size']} bytes. Restore it with: scimhub restore {file}")
        print("The keys that open its secrets are not in it; keep a copy of them elsewhere.")


@commands.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that scimhub backup wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Put the present database aside and take its place.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a backup the hub's database; the hub must not run."""
    settings = connection.load_settings(context)
    from scimhub.cli import restoration

    try:
        with output.progress(f"Restoring {file}"):
            done = restoration.restore(file, settings, is_forced=force)
    except Fault as error:
        raise output.fail([str(error)]) from None
    if as_json:
        output.print_json(done.render())
        return
    print(f"{done.database} is restored; its change log begins the epoch {done.log_epoch}.")
    if done.keys:
        print(f"Its secrets are sealed with the keys {', '.join(done.keys)}; the hub needs them: see scimhub secrets status.")
    if done.put_aside is not None:
        print(f"The former database lies in {done.put_aside}.")


@commands.command()
def copy_database(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="The SQLite file; its hub must not run.")],
    target: Annotated[str, typer.Argument(help="The URL of an empty PostgreSQL database.")],
    as_json: AsJson = False,
) -> None:
    """Move a hub from SQLite to PostgreSQL: ids, versions and positions stay."""
    from scimhub.cli import moving, progress

    try:
        with progress.watching(is_silent=as_json) as watch:
            moved = moving.move(source, target, watch)
    except Fault as error:
        raise output.fail([str(error)]) from None
    if as_json:
        output.print_json(moved)
        return
    print(f"{moved['resources']} resources and {moved['changes']} changes are copied; {source} is as it was.")
    if moved["search_indexes_left_out"]:
        print("Search indexes are left out, because the target lacks the extension pg_trgm; see: scimhub index add --help")
    print("Set SCIMHUB_DATABASE to the URL, and start the hub.")
    print("Give it the same keys of secrets: set SCIMHUB_SECRET_KEYS, or SCIMHUB_SECRET_KEYS_FILE to the file with them.")
