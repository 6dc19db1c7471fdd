"""The second look through a file: records as the hub takes them, in chunks of one kind.

What a record says of others by name is completed: who comes with the same file and is not there yet is marked so, and gets
an id that those who refer to it know already.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import orjson

from scimhub.bulkload import names
from scimhub.bulkload.entries import Entries, Entry
from scimhub.bulkload.names import Name, Reference
from scimhub.bulkload.survey import Survey
from scimhub.scim.catalog import Kind

# A chunk is closed at so many records or bytes, whichever comes first; one large group is a chunk by itself.
MOST_RECORDS = 500
MOST_BYTES = 512 * 1024


@dataclass(slots=True)
class Outgoing:
    """A record of a chunk: what is sent, and what a person calls it.

    ``waits`` tells that it names members of the same file, ``is_awaited`` that others name it as their manager.
    """

    line: int
    name: str
    sent: bytes
    waits: bool = False
    is_awaited: bool = False


@dataclass(slots=True)
class Chunk:
    """What goes to the hub at once: records of one kind, and those that are refused without asking it.

    ``entries`` of the file are settled when it is acknowledged.
    """

    kind: str
    records: list[Outgoing] = field(default_factory=list)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    entries: int = 0
    size: int = 0

    @property
    def body(self) -> bytes:
        return b"\n".join(record.sent for record in self.records)

    @property
    def lines(self) -> str:
        """The first and the last line, for the trace."""
        return f"{self.records[0].line}-{self.records[-1].line}" if self.records else ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What it takes to make records of entries."""

    survey: Survey
    kinds: dict[str, Kind]
    job: str
    keeps_ids: bool

    def chunks(self, entries: Entries, *, skipped: int = 0, only: Collection[int] | None = None) -> Iterator[Chunk]:
        """The chunks of the file behind the first ``skipped`` entries, or of those that begin on certain lines."""
        chunk = Chunk("")
        for number, entry in enumerate(entries.read()):
            if number < skipped or (only is not None and entry.line not in only):
                continue
            kind = chunk.kind if entry.kind is None else entry.kind.name
            outgoing = self._refusal(entry) or self._outgoing(entry)
            size = len(outgoing.sent) if isinstance(outgoing, Outgoing) else 0
            is_full = chunk.entries >= MOST_RECORDS or chunk.size + size > MOST_BYTES
            if chunk.entries and (is_full or (chunk.kind and kind != chunk.kind)):
                yield chunk
                chunk = Chunk("")
            chunk.kind = chunk.kind or kind
            chunk.entries += 1
            if isinstance(outgoing, Outgoing):
                chunk.records.append(outgoing)
                chunk.size += size
            else:
                chunk.refused.append(outgoing)
        if chunk.entries:
            yield chunk

    def _refusal(self, entry: Entry) -> tuple[int, str, str] | None:
        """Line, name and sentence of what is wrong whatever the hub holds."""
        if entry.problem:
            return entry.line, "", entry.problem
        double = self.survey.doubles.get(entry.line)
        return None if double is None else (entry.line, display_of(entry), double)

    def _outgoing(self, entry: Entry) -> Outgoing:
        resource = entry.resource
        manager, waits = names.manager_of(resource), False
        if manager is not None:
            self._complete(manager)
        for member in names.members_of(resource):
            waits = self._complete(member) or waits
        sent: dict[str, object] = {"line": entry.line, "resource": resource}
        id = self._id_of(entry)
        if id is not None:
            sent["id"] = id
        return Outgoing(entry.line, display_of(entry), orjson.dumps(sent), waits, id is not None and not self.keeps_ids)

    def _id_of(self, entry: Entry) -> str | None:
        if self.keeps_ids:
            return entry.id
        if entry.kind is None or not self.survey.awaited:
            return None
        own = names.own_names(entry.kind, entry.resource)
        awaited = next((name for name in own if name.digest in self.survey.awaited), None)
        return None if awaited is None else names.derived_id(self.job, awaited)

    def _complete(self, reference: Reference) -> bool:
        """Say of the reference what the file knows; whether it means somebody who may have to come first."""
        said = reference.said
        if reference.attribute is None:
            digest = Name("", "id", reference.value).digest
            if self.keeps_ids:
                if digest in self.survey.present:
                    said["coming"] = True
                return digest in self.survey.present
            if digest not in self.survey.ids:
                return False
            name, text = self.survey.ids[digest]
            said |= {name.attribute: text, "type": name.kind}
            return self._announce(said, name)
        meant = next((name for name in reference.names(self.kinds) if name.digest in self.survey.present), None)
        return meant is not None and self._announce(said, meant)

    def _announce(self, said: dict[str, object], name: Name) -> bool:
        if not self.keeps_ids or "value" not in said:
            said["value"] = names.derived_id(self.job, name)
        said["coming"] = True
        return True


def display_of(entry: Entry) -> str:
    """What a person calls the record."""
    for attribute in names.REFERENCE_NAMES:
        found = names.value_in(entry.resource, attribute)
        if isinstance(found, str) and found:
            return found
    return ""
