"""An import from its first look through the file to the last removal, over any way to the hub.

Chunks go one after the other, and the next one is made while the hub works on the last. Each answer is noted in the journal.
What was acknowledged is never sent again; what was sent and not acknowledged is, and then changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import orjson

from scimhub.bulkload import names
from scimhub.bulkload.entries import Entries
from scimhub.bulkload.journal import Journal
from scimhub.bulkload.plan import MOST_REFUSED, Action, Plan
from scimhub.bulkload.sending import Chunk, Preparation
from scimhub.bulkload.survey import Survey
from scimhub.scim.catalog import Kind

Mode = Literal["create", "upsert", "mirror"]
Query = Sequence[tuple[str, str]]
_REMOVALS = 500
# The database refreshes its statistics after so many records, again whenever their number has tripled, and at the end if
# there were more than a few.
_MANY, _FEW = 10_000, 1000


class Hub(Protocol):
    """The two things that an import asks of the hub. A path is one below that of the directory."""

    async def post(self, path: str, query: Query, body: bytes) -> Mapping[str, object]:
        """The answer to lines of JSON; raises whatever ends the import."""

    async def get(self, path: str, query: Query) -> bytes:
        """Lines of JSON."""


class TooManyRemovals(Exception):
    """A mirror would remove more than is allowed; nothing has been written. The text is one sentence."""

    def __init__(self, removals: int, population: int) -> None:
        super().__init__(
            f"The import would remove {removals} of {population} resources that the file lacks, and nothing was written; "
            f"if the file is right, allow it with --allow-removals {removals}."
        )


class Incomplete(Exception):
    """A mirror needs a file of which every line is understood; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to import. ``allowed`` removals are those that the administrator has agreed to; None leaves it to the brake."""

    source: str
    key: str
    mode: Mode
    absent: str
    is_dry: bool
    keeps_ids: bool
    allowed: int | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A resource that the file lacks."""

    kind: str
    id: str
    key: str


@dataclass(slots=True)
class Import:
    """One run. ``watch`` is told the phase, how many records are done, and how many there are."""

    entries: Entries
    kinds: dict[str, Kind]
    survey: Survey
    options: Options
    journal: Journal
    hub: Hub
    watch: Callable[[str, int, int], None]
    # How many records had been settled when the database was last told to see how much there is.
    analyzed: int = 0

    @property
    def plan(self) -> Plan:
        return self.journal.plan

    async def run(self) -> Plan:
        """Do it, or in a dry run find out what would be done; raises TooManyRemovals, Incomplete, Unreadable."""
        missing: list[Missing] = []
        if self.options.mode == "mirror":
            missing = [each async for each in self._missing()]
        preparation = Preparation(self.survey, self.kinds, self.journal.job, self.options.keeps_ids)
        chunks = preparation.chunks(self.entries, skipped=self.journal.acknowledged)
        await self._send(chunks, self.journal.deferred, is_first=True)
        await self._send_deferred(preparation)
        await self._remove(missing)
        await self._analyze(_FEW)
        return self.plan

    # ----------------------------------------------------------------- records

    async def _send(self, chunks: Iterator[Chunk], deferred: list[int] | None, *, is_first: bool = False) -> None:
        """Send the chunks; the lines of records that wait for others are put off into ``deferred``, if it is there."""
        chunk = await asyncio.to_thread(next, chunks, None)
        while chunk is not None:
            sending = asyncio.create_task(self._ask(chunk))
            try:
                following, answer = await asyncio.gather(asyncio.to_thread(next, chunks, None), sending)
            except BaseException:
                sending.cancel()
                raise
            self._note(chunk, answer, deferred)
            self.journal.acknowledged += chunk.entries if is_first else 0
            self._save()
            await self._analyze(max(_MANY, 2 * self.analyzed))
            self.watch("loading", self.plan.total, self.survey.count)
            chunk = following

    async def _ask(self, chunk: Chunk) -> Sequence[Mapping[str, object]]:
        if not chunk.records:
            return ()
        query = [*self._query(chunk.kind), ("file", self.entries.path.name), ("lines", chunk.lines)]
        answer = await self.hub.post("imports", query, chunk.body)
        return cast(Sequence[Mapping[str, object]], answer["items"])  # as the API's description says

    async def _analyze(self, least: int) -> None:
        """Have the database see how much there is, if that many records or more were settled since it last did."""
        if self.options.is_dry or self.plan.total - self.analyzed < least:
            return
        self.analyzed = self.plan.total
        await self.hub.post("imports/statistics", (), b"")

    def _query(self, kind: str) -> list[tuple[str, str]]:
        options = self.options
        query = [
            ("source", options.source),
            ("type", kind),
            ("key", options.key),
            ("mode", "create" if options.mode == "create" else "upsert"),
            ("absent", options.absent),
            ("job", self.journal.job),
        ]
        query += [("dry_run", "true")] if options.is_dry else []
        query += [("keep_ids", "true")] if options.keeps_ids else []
        if self.entries.columns is not None:
            query += [("slot", slot.text) for slot in self.entries.columns.slots]
        return query

    def _note(self, chunk: Chunk, results: Sequence[Mapping[str, object]], deferred: list[int] | None) -> None:
        for line, name, problem in chunk.refused:
            self.plan.refuse(line, name, 0, problem)
        for record, result in zip(chunk.records, results, strict=True):
            if result["action"] != "refused":
                paths = cast(Sequence[str], result["paths"])
                self.plan.add(cast(Action, result["action"]), record.line, record.name, cast(str | None, result["id"]), paths)
            elif record.waits and deferred is not None:
                deferred.append(record.line)
            else:
                self.plan.refuse(record.line, record.name, cast(int, result["status"]), str(result["detail"]))
                if record.is_awaited and result["id"] is None and len(self.plan.unmet) < MOST_REFUSED:
                    self.plan.unmet.append(record.name)

    def _save(self) -> None:
        if not self.options.is_dry:
            self.journal.save()

    async def _send_deferred(self, preparation: Preparation) -> None:
        """Send what was put off, again and again as long as something gets through; what never does is refused."""
        while self.journal.deferred:
            lines = frozenset(self.journal.deferred)
            again: list[int] = []
            await self._send(preparation.chunks(self.entries, only=lines), again)
            if len(again) == len(lines):
                await self._send(preparation.chunks(self.entries, only=lines), None)
                again = []
            self.journal.deferred = again
            self._save()

    # ----------------------------------------------------------------- removals

    async def _missing(self) -> AsyncIterator[Missing]:
        """What the directory holds and the file lacks; raises TooManyRemovals before anything is removed."""
        if self.survey.unreadable:
            lines = ", ".join(str(line) for line in self.survey.unreadable[:10])
            raise Incomplete(f"A mirror removes what the file lacks, so every line must be understood; these are not: {lines}.")
        if not self.survey.count and self.entries.columns is None:
            raise Incomplete("The file is empty; a mirror of it would remove everything, and which kinds it does not say.")
        found: list[Missing] = []
        population = 0
        kinds = list(self.survey.kinds) if self.entries.columns is None else [self.entries.columns.kind.name]
        for kind in (self.kinds[name] for name in kinds):
            if self.options.absent == "deactivate" and kind.base.find("active") is None:
                continue  # a group cannot be deactivated, and stays
            async for key, id in self._keys(kind):
                population += 1
                if key is not None and names.Name(kind.name, *key).digest not in self.survey.present:
                    found.append(Missing(kind.name, id, key[1]))
        if self._is_alarming(len(found), population):
            raise TooManyRemovals(len(found), population)
        for each in found:
            yield each

    def _is_alarming(self, removals: int, population: int) -> bool:
        """Whether it takes the administrator's word, by the same measure as the brake of a destination (DECISIONS 27)."""
        if self.options.allowed is not None:
            return removals > self.options.allowed
        return (removals >= 50 and removals * 10 >= population) or (removals >= 5 and removals * 2 >= population)

    async def _keys(self, kind: Kind) -> AsyncIterator[tuple[tuple[str, str] | None, str]]:
        """The key and the id of each resource of the kind that a removal would reach."""
        key = (
            self.options.key
            if kind.base.find(self.options.key) is not None or self.options.key == "externalId"
            else "displayName"
        )
        after: str | None = ""
        seen = 0
        while after is not None:
            query = [("source", self.options.source), ("type", kind.name), ("attributes", key), ("attributes", "active")]
            answer = await self.hub.get("export", [*query, ("after", after)] if after else query)
            *lines, last = answer.splitlines()
            for line in lines:
                resource = orjson.loads(line)
                is_out = self.options.absent == "deactivate" and resource.get("active") is False
                name = names.name_of(kind, key, resource.get(key))
                yield (None if is_out or name is None else (name.attribute, name.value)), resource["id"]
            seen += len(lines)
            self.watch("comparing", seen, 0)
            after = orjson.loads(last)["next"]

    async def _remove(self, missing: Sequence[Missing]) -> None:
        for first in range(0, len(missing), _REMOVALS):
            chosen = missing[first : first + _REMOVALS]
            for kind in dict.fromkeys(each.kind for each in chosen):
                await self._remove_of(kind, [each for each in chosen if each.kind == kind])
            self.watch("removing", min(first + _REMOVALS, len(missing)), len(missing))

    async def _remove_of(self, kind: str, missing: Sequence[Missing]) -> None:
        body = b"\n".join(orjson.dumps({"id": each.id, "key": each.key}) for each in missing)
        query = [*self._query(kind), ("file", self.entries.path.name)]
        answer = await self.hub.post("imports/removals", query, body)
        for each, result in zip(missing, cast(Sequence[Mapping[str, object]], answer["items"]), strict=True):
            if result["action"] == "removed":
                self.plan.add("removed", 0, each.key, each.id)
            elif result["action"] == "refused":
                self.plan.refuse(0, each.key, cast(int, result["status"]), str(result["detail"]))
        self._save()
