"""The verb ``import``: users and groups from a file."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import orjson
import typer

from scimhub import clock
from scimhub.bulkload import catalogs, entries, journal, mapping, reading, survey
from scimhub.bulkload.entries import Entries
from scimhub.bulkload.importing import Import, Incomplete, Mode, Options, Query, TooManyRemovals
from scimhub.bulkload.journal import Journal, Unresumable
from scimhub.bulkload.mapping import Unmapped
from scimhub.bulkload.plan import ACTIONS, Plan
from scimhub.bulkload.reading import Format, Table, Unreadable
from scimhub.cli import connection, output
from scimhub.cli.connection import Refused, Way, path_of
from scimhub.cli.manage import AsJson, InDirectory, OfSource
from scimhub.cli.progress import Watch, watching
from scimhub.directory.errors import Fault
from scimhub.scim.catalog import Catalog
from scimhub.settings import Settings

# What a shell gives for a program that Ctrl-C ended.
INTERRUPTED = 130
_MOST_SHOWN = 20
_Key = Literal["userName", "externalId"]
_Absent = Literal["deactivate", "delete"]
_FAULTS = (Unreadable, Unmapped, Unresumable, TooManyRemovals, Incomplete, Refused, Fault)
_WOULD = {"created": "create", "updated": "update", "unchanged": "leave", "removed": "remove", "refused": "refuse"}


def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A CSV file of users, or lines of JSON with SCIM resources.")],
    directory: InDirectory = "default",
    source: OfSource = "default",
    map_file: Annotated[Path | None, typer.Option("--map", help="A YAML file that says what columns mean.")] = None,
    key: Annotated[_Key, typer.Option(help="By what a record is found.")] = "userName",
    mode: Annotated[Mode, typer.Option(help="What may be done; mirror also removes what the file lacks.")] = "upsert",
    absent: Annotated[_Absent, typer.Option(help="What a mirror does with what the file lacks.")] = "deactivate",
    allowed: Annotated[int | None, typer.Option("--allow-removals", min=0, help="Let a mirror remove up to so many.")] = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    plan_out: Annotated[Path | None, typer.Option(help="Also write the plan, or what was done, to this file as JSON.")] = None,
    keeps_ids: Annotated[bool, typer.Option("--keep-ids", help="Give new resources the ids that the file has.")] = False,
    kind: Annotated[str, typer.Option("--type", help="The resource type of rows, and of records that do not say it.")] = "User",
    format: Annotated[Format | None, typer.Option(help="What the file is; else its name tells.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="What parts the cells; else the header tells.")] = None,
    resumes: Annotated[bool, typer.Option("--resume", help="Go on with an import that was broken off.")] = False,
    restarts: Annotated[bool, typer.Option("--restart", help="Forget an import that was broken off, and begin anew.")] = False,
    journal_file: Annotated[
        Path | None, typer.Option("--journal", help="Where to note how far it is; else FILE.import.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load users and groups from a file: create, update, and with --mode mirror remove."""
    options = Options(source, key, mode, absent, is_dry, keeps_ids, allowed)
    opening = _Opening(file, format, kind, map_file, delimiter)
    begin = _Begin(journal_file or journal.path_beside(file), resumes, restarts, is_dry)
    plan = _watched(
        partial(_import, connection.load_settings(context), directory, opening, options, begin), begin, is_silent=as_json
    )
    _report(plan, is_dry, plan_out, as_json)
    raise typer.Exit(output.REFUSED if plan.counts["refused"] else 0)


def _watched(run: Callable[[Watch], Coroutine[Any, Any, Plan]], begin: "_Begin", *, is_silent: bool) -> Plan:
    """The plan, with progress shown meanwhile; whatever ends the import early ends the program with a sentence."""
    try:
        with watching(is_silent=is_silent) as watch:
            return asyncio.run(run(watch))
    except KeyboardInterrupt:
        raise output.fail(["The import was interrupted.", *begin.next_step()], INTERRUPTED) from None
    except _FAULTS as error:
        raise _failed(error, begin) from None


@dataclass(frozen=True, slots=True)
class _Opening:
    """What the command line says of the file."""

    file: Path
    format: Format | None
    type: str
    map_file: Path | None
    delimiter: str | None

    def open(self, catalog: Catalog) -> Entries:
        """The file's entries; raises Unreadable, Unmapped."""
        kind = next((kind for name, kind in catalog.kinds.items() if name.lower() == self.type.lower()), None)
        if kind is None:
            raise Unreadable(f"The directory has no resource type {self.type!r}; there are {', '.join(catalog.kinds)}.")
        if (self.format or reading.format_of(self.file)) == "ndjson":
            if self.map_file is not None:
                raise Unreadable("A map is for the columns of a CSV file; lines of JSON are whole resources.")
            return entries.DocumentEntries(self.file, catalog, kind)
        table = Table(self.file, self.delimiter)
        return entries.TableEntries(self.file, table, mapping.map_columns(table.header, kind, self.map()))

    def map(self) -> object:
        """The map file's content, None without one."""
        if self.map_file is None:
            return None
        import yaml  # seldom needed, and slow to load

        try:
            # All words stay what they are: to YAML itself, on and no would be true and false.
            return yaml.load(self.map_file.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 - it makes nothing but texts
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise Unreadable(f"The map {self.map_file} cannot be read: {' '.join(str(error).split())}.") from error


@dataclass(frozen=True, slots=True)
class _Begin:
    """Whether to begin or to go on, and where it is noted how far the import is."""

    journal: Path
    resumes: bool
    restarts: bool
    is_dry: bool

    def open(self, digest: str, terms: dict[str, object]) -> Journal:
        """The journal to begin or to go on with; raises Unresumable."""
        if self.resumes and not self.is_dry:
            return journal.load(self.journal, digest, terms)
        if not self.is_dry and not self.restarts and self.journal.exists():
            raise Unresumable(
                f"An import was broken off (see {self.journal}); go on with --resume, or begin anew with --restart."
            )
        return Journal(self.journal, clock.new_id(), digest, terms)

    def next_step(self) -> list[str]:
        """How to go on after a fault."""
        if self.is_dry or not self.journal.exists():
            return []
        return ["What was acknowledged is on disk. Go on with the same command and --resume."]


async def _import(settings: Settings, directory: str, opening: _Opening, options: Options, begin: _Begin, watch: Watch) -> Plan:
    async with connection.open_way(settings) as way:
        hub = HubWay(way, directory)
        await hub.json(("sources", options.source))
        catalog = await hub.catalog()
        entries = opening.open(catalog)
        kinds = dict(catalog.kinds)
        look = partial(survey.look_through, entries, kinds, options.key, keeps_ids=options.keeps_ids)
        found = await asyncio.to_thread(look, watch=lambda count: watch("reading", count, 0))
        digest = await asyncio.to_thread(survey.digest_of, entries.path)
        terms: dict[str, object] = {
            "directory": directory,
            "source": options.source,
            "key": options.key,
            "mode": options.mode,
            "absent": options.absent,
            "keep_ids": options.keeps_ids,
            "slots": [] if entries.columns is None else [slot.text for slot in entries.columns.slots],
        }
        run = Import(entries, kinds, found, options, begin.open(digest, terms), hub, watch)
        plan = await run.run()
        if not options.is_dry:
            run.journal.remove()
        return plan


@dataclass(frozen=True, slots=True)
class HubWay:
    """The admin API of one directory, for ``bulkload``."""

    way: Way
    directory: str

    async def post(self, path: str, query: Query, body: bytes) -> Mapping[str, object]:
        """See ``importing.Hub``."""
        answer: Mapping[str, object] = orjson.loads(await self.way.ask("POST", self._path(*path.split("/")), query, body))
        return answer

    async def get(self, path: str, query: Query) -> bytes:
        """See ``importing.Hub``."""
        return await self.way.ask("GET", self._path(path), query)

    async def json(self, parts: tuple[str, ...]) -> Any:
        """The answer to a plain request for what lies below the directory."""
        return orjson.loads(await self.way.ask("GET", self._path(*parts)))

    async def catalog(self) -> Catalog:
        """What the directory offers."""
        listed = await self.json(("schemas",))
        return await catalogs.fetch(listed["items"], lambda name: self.json(("schemas", name)))

    def _path(self, *parts: str) -> str:
        return path_of("directories", self.directory, *parts)


# --------------------------------------------------------------------------- what is said in the end


def _failed(error: Exception, begin: _Begin) -> typer.Exit:
    if isinstance(error, Unmapped):
        problems = error.problems
        if error.suggestion:
            problems = [*problems, "A map that would do, to be looked at and given with --map:", error.suggestion]
        return output.fail(problems)
    problems = error.problems if isinstance(error, Refused) else [str(error)]
    return output.fail([*problems, *(begin.next_step() if isinstance(error, Refused | Fault) else [])])


def _report(plan: Plan, is_dry: bool, plan_out: Path | None, as_json: bool) -> None:
    rendered = {"dry_run": is_dry, **plan.render()}
    if as_json:
        output.print_json(rendered)
    else:
        _print(plan, is_dry)
    # What was done is told whatever becomes of the file.
    if plan_out is not None:
        try:
            plan_out.write_bytes(orjson.dumps(rendered, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            problem = f"The plan cannot be written to {plan_out}: {error.strerror}."
            raise output.fail([problem], is_answered=True) from None


def _print(plan: Plan, is_dry: bool) -> None:
    print(_sentence(plan, is_dry))
    if plan.attributes:
        changed = ", ".join(f"{name} {count:,}" for name, count in plan.attributes.most_common())
        print(f"Updated attributes: {changed}")
    _print_samples(plan, _WOULD.__getitem__ if is_dry else str)
    for each in plan.refused[:_MOST_SHOWN]:
        print(f"Line {each.line}{f' ({each.name})' if each.name else ''}: {each.detail}")
    if plan.counts["refused"] > _MOST_SHOWN:
        print(f"… and {plan.counts['refused'] - _MOST_SHOWN:,} more refused; --json or --plan-out tell of them.")
    if plan.unmet:
        named = ", ".join(plan.unmet[:5]) + (", …" if len(plan.unmet) > 5 else "")
        print(f"Of the refused, {len(plan.unmet):,} are named as managers ({named}): whoever names them has nobody until")
        print("they are loaded. Mend their lines, and import the file again.")


def _sentence(plan: Plan, is_dry: bool) -> str:
    if is_dry:
        return (
            "The import would "
            + ", ".join(f"{_WOULD[action]} {plan.counts[action]:,}" for action in ACTIONS)
            + ". Nothing is written."
        )
    return ", ".join(f"{plan.counts[action]:,} {action}" for action in ACTIONS) + "."


def _print_samples(plan: Plan, word: Callable[[str], str]) -> None:
    rows = [
        [
            word(action),
            str(item["line"] or "-"),
            str(item["name"]),
            ", ".join(cast(list[str], item["attributes"])),
        ]
        for action in ("created", "updated", "removed")
        for item in plan.samples.get(action, [])
    ]
    if rows:
        output.print_table(("for example", "line", "name", "attributes"), rows, "")
