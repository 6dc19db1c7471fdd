"""The verbs on search indexes. The hub builds them; ``add`` and ``remove`` watch it until it is done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from scimhub.cli import connection, output
from scimhub.cli.connection import Refused, Way, path_of
from scimhub.cli.imports import INTERRUPTED
from scimhub.cli.manage import AsJson, InDirectory
from scimhub.cli.progress import Watch, watching
from scimhub.directory.errors import Fault

index_verbs = typer.Typer(help="Search indexes: co, sw and ew on chosen attributes.", no_args_is_help=True)

OfType = Annotated[str, typer.Option("--type", help="The resource type.")]
AttributeName = Annotated[str, typer.Argument(help="The attribute as a filter names it, such as name.familyName or emails.")]
_LOOK_EVERY = 0.2
_COLUMNS = ("attribute", "type", "state", "operators", "done", "total", "created")


@index_verbs.command("add")
def add_index(
    context: typer.Context,
    attribute: AttributeName,
    directory: InDirectory = "default",
    type: OfType = "User",
    as_json: AsJson = False,
) -> None:
    """Let filters look into an attribute without reading every resource; writes go on while it is built."""
    wish = {"attribute": attribute, "type": type}

    async def add(way: Way, watch: Watch) -> dict[str, Any]:
        path = path_of("directories", directory, "indexes")
        index = await _asked(way, "POST", path, json.dumps(wish).encode())
        place = path_of("directories", directory, "indexes", index["type"], index["attribute"])
        while index["state"] == "building":
            watch("indexing", index["done"], index["total"])
            await asyncio.sleep(_LOOK_EVERY)
            index = await _asked(way, "GET", place)
        return index

    index = _carry_out(context, add, as_json, "The hub goes on building it; see: scimhub index list")
    if as_json:
        output.print_json(index)
    else:
        print(f"{index['attribute']} of {index['type']} is indexed, {index['done']} resources; filters use it from now on.")


@index_verbs.command("list")
def list_indexes(context: typer.Context, directory: InDirectory = "default", as_json: AsJson = False) -> None:
    """List a directory's search indexes."""
    found = connection.ask(context, "GET", path_of("directories", directory, "indexes"))
    if as_json:
        output.print_json(found["items"])
        return
    rows = [[output.shown(item[column]) for column in _COLUMNS] for item in found["items"]]
    output.print_table(list(_COLUMNS), rows, f"Directory {directory} has no search index.")


@index_verbs.command("show")
def show_index(
    context: typer.Context,
    attribute: AttributeName,
    directory: InDirectory = "default",
    type: OfType = "User",
    as_json: AsJson = False,
) -> None:
    """Show a search index and how far it is."""
    index = connection.ask(context, "GET", path_of("directories", directory, "indexes", type, attribute))
    if as_json:
        output.print_json(index)
    else:
        output.print_facts(index)


@index_verbs.command("remove")
def remove_index(
    context: typer.Context,
    attribute: AttributeName,
    directory: InDirectory = "default",
    type: OfType = "User",
    as_json: AsJson = False,
) -> None:
    """Remove a search index; the resources stay as they are."""

    async def remove(way: Way, watch: Watch) -> dict[str, Any]:
        place = path_of("directories", directory, "indexes", type, attribute)
        index = await _asked(way, "DELETE", place)
        while await _is_there(way, directory, index):
            watch("removing", 0, 0)
            await asyncio.sleep(_LOOK_EVERY)
        return index

    index = _carry_out(context, remove, as_json, "Filters do without it already; the hub goes on removing it.")
    output.print_done(f"{index['attribute']} of {index['type']} has no search index any more.", index, as_json)


async def _is_there(way: Way, directory: str, index: dict[str, Any]) -> bool:
    found = await _asked(way, "GET", path_of("directories", directory, "indexes"))
    here = (index["type"], index["attribute"], index["created"])
    return any((other["type"], other["attribute"], other["created"]) == here for other in found["items"])


async def _asked(way: Way, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await way.ask(method, path, body=body, media_type="application/json"))
    return answer


def _carry_out(
    context: typer.Context, work: Callable[[Way, Watch], Awaitable[dict[str, Any]]], as_json: bool, when_interrupted: str
) -> dict[str, Any]:
    """What the work returns; ends the program when it is refused or interrupted."""
    settings = connection.load_settings(context)

    async def carry_out(watch: Watch) -> dict[str, Any]:
        async with connection.open_way(settings) as way:
            return await work(way, watch)

    try:
        with watching(is_silent=as_json) as watch:
            return asyncio.run(carry_out(watch))
    except KeyboardInterrupt:
        raise output.fail([when_interrupted], INTERRUPTED) from None
    except Refused as error:
        raise output.fail(error.problems) from None
    except Fault as error:
        raise output.fail([str(error)]) from None
