"""The verb ``export``: a directory as a file that an import takes in again."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from scimhub.bulkload import exporting
from scimhub.bulkload.exporting import TableWriter, WrongColumns
from scimhub.bulkload.importing import Query
from scimhub.bulkload.reading import Format
from scimhub.cli import connection, output
from scimhub.cli.connection import Refused
from scimhub.cli.imports import INTERRUPTED, HubWay
from scimhub.cli.manage import InDirectory
from scimhub.cli.progress import Watch, watching
from scimhub.directory.errors import Fault
from scimhub.settings import Settings


def export_file(
    context: typer.Context,
    directory: InDirectory = "default",
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="Whose externalIds; else those of whoever wrote last.")
    ] = None,
    kinds: Annotated[list[str] | None, typer.Option("--type", help="Only this resource type; repeat it.")] = None,
    filter: Annotated[str | None, typer.Option(help="A SCIM filter.")] = None,
    format: Annotated[Format, typer.Option(help="Everything, or chosen columns of one type.")] = "ndjson",
    columns: Annotated[list[str] | None, typer.Option("--columns", help="A path such as name.givenName; repeat it.")] = None,
    is_guarded: Annotated[
        bool, typer.Option("--guard-formulas", help="Put ' before cells that a spreadsheet would take for formulas.")
    ] = False,
    to: Annotated[Path | None, typer.Option("--output", "-o", help="The new file; else standard output.")] = None,
) -> None:
    """Write users and groups to a file, which an import takes in again."""
    settings = connection.load_settings(context)
    chosen = kinds or (["User"] if format == "csv" else [])
    if format == "csv" and len(chosen) > 1:
        raise output.fail(["A table holds one resource type; give --type once."], output.WRONG_SETTINGS)
    query = [("type", name) for name in chosen]
    query += [("source", source)] if source is not None else []
    query += [("filter", filter)] if filter is not None else []
    try:
        with _target(to) as target, watching(is_silent=False) as watch:
            table = (columns or [], is_guarded) if format == "csv" else None
            asyncio.run(_export(settings, directory, query, table, target, watch))
    except KeyboardInterrupt:
        raise output.fail(["The export was interrupted; nothing of it is kept."], INTERRUPTED) from None
    except WrongColumns as error:
        raise output.fail(error.problems, output.WRONG_SETTINGS) from None
    except Refused as error:
        raise output.fail(error.problems) from None
    except Fault as error:
        raise output.fail([str(error)]) from None
    except OSError as error:
        raise output.fail([f"{to or 'Standard output'} cannot be written: {error.strerror}; nothing of it is kept."]) from None


async def _export(
    settings: Settings, directory: str, query: Query, table: tuple[list[str], bool] | None, target: BinaryIO, watch: Watch
) -> None:
    async with connection.open_way(settings, writes=False) as way:
        hub = HubWay(way, directory)
        writer = None if table is None else await _open_table(hub, query, *table)
        if writer is not None:
            target.write(writer.header().encode())
        async for lines in exporting.pages(hub, query, lambda seen: watch("exporting", seen, 0)):
            if writer is None:
                target.writelines(line + b"\n" for line in lines)
            else:
                target.writelines(writer.row(line).encode() for line in lines)


async def _open_table(hub: HubWay, query: Query, columns: list[str], is_guarded: bool) -> TableWriter:
    catalog = await hub.catalog()
    name = dict(query)["type"]
    kind = next((kind for kind in catalog.kinds.values() if kind.name.lower() == name.lower()), None)
    if kind is None:
        raise WrongColumns([f"There is no resource type {name!r}; there are {', '.join(catalog.kinds)}."])
    return TableWriter(exporting.choose_columns(columns, kind), is_guarded)


@contextmanager
def _target(path: Path | None) -> Iterator[BinaryIO]:
    """The file, which is there only when it is whole; or standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    beside = path.with_name(f"{path.name}.new")
    try:
        # Who is in it is nobody else's business.
        with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
