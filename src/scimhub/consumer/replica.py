"""A copy of one directory, as far as a destination is told of it, in a SQLite file of the standard library.

Events may come twice, late, or mixed with those of other resources. Two rules make the copy right all the same:

- A resource is what the event with the highest version says. A deletion is remembered with its version, so that what
  comes late brings nobody back; a creation with a higher version does.
- A *state* tells what is there without anything having happened, so that it holds at its version, too: it takes the place of
  what was told of that version before, such as after a change of what this copy may see.
- Each member of a group is what the event with the highest version *that names it* says. What members a creation, a
  deletion or the snapshot leaves behind is settled once: the group's ``floor`` is the version up to which events tell
  nothing new of its members.

The state, the ids of the events applied and the feed's cursor change in one transaction.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

from .event import Event

# applied: it changed the copy; duplicate: this event was applied before; stale: the copy is newer; parked: it changed the
# copy, and names members (or belongs to a group) that have not arrived.
Outcome = Literal["applied", "duplicate", "stale", "parked"]

_SHAPE = 1
_TABLES = """
CREATE TABLE resources (
    id       TEXT PRIMARY KEY,
    type     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    floor    INTEGER NOT NULL,
    -- NULL: it is deleted, or only members of it have arrived.
    resource TEXT
) WITHOUT ROWID;
CREATE TABLE members (
    group_id  TEXT NOT NULL,
    member_id TEXT NOT NULL,
    version   INTEGER NOT NULL,
    is_member INTEGER NOT NULL,
    PRIMARY KEY (group_id, member_id)
) WITHOUT ROWID;
CREATE INDEX members_by_member ON members (member_id, group_id);
CREATE TABLE applied (number INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL UNIQUE);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Truncated(Exception):
    """A snapshot that is not whole: it was cut off, or is none. Nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Held:
    """One resource of the copy; ``resource`` is its SCIM representation without members and groups."""

    type: str
    id: str
    version: int
    resource: Mapping[str, Any]


class Restored(Exception):
    """The hub was restored from a backup: what the copy holds belongs to another history. Begin anew from a snapshot."""


class Replica:
    """The copy. Use one in one thread; several processes may read the file. ``close`` it, or use it in ``with``."""

    def __init__(self, path: str | PathLike[str] = ":memory:", *, remembered: int = 100_000) -> None:
        """Opens or makes the file. ``remembered`` is of how many events the ids are kept to tell duplicates."""
        self._remembered = remembered
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        shape = self._one("PRAGMA user_version")[0]
        if shape == 0:
            with self._transaction():
                for statement in _TABLES.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_SHAPE}")
        elif shape != _SHAPE:
            self._connection.close()
            raise ValueError(f"The file is a replica of shape {shape}, this program writes shape {_SHAPE}; begin a new file.")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ----------------------------------------------------------------- taking

    def apply(self, event: Event, cursor: str | None = None) -> Outcome:
        """Take one event, and note the feed's cursor with it; see ``Outcome``. Raises Restored."""
        return self.apply_all([event], cursor)[0]

    def apply_all(self, events: Iterable[Event], cursor: str | None = None) -> list[Outcome]:
        """Take several events and the feed's cursor in one transaction: all of them or, when it fails, none."""
        with self._transaction():
            outcomes = [self._take(event) for event in events]
            if cursor is not None:
                self._note("cursor", cursor)
            newest = self._one("SELECT coalesce(max(number), 0) FROM applied")[0]
            self._connection.execute("DELETE FROM applied WHERE number <= ?", (newest - self._remembered,))
        return outcomes

    def replace(self, lines: Iterable[Mapping[str, Any]]) -> int:
        """Put a snapshot in the place of all that is held, in one transaction; how many resources it has.

        ``lines`` are the objects of its lines in order. Raises Truncated unless it is whole; then nothing has changed.
        """
        with self._transaction():
            for table in ("resources", "members", "applied", "notes"):
                self._connection.execute(f"DELETE FROM {table}")
            source = iter(lines)
            head = next(source, {})
            if head.get("snapshot") != 1:
                raise Truncated("The snapshot does not begin with its first line.")
            try:
                self._note("cursor", str(head["cursor"]))
                self._note("position", str(int(head["position"])))
                self._note("epoch", str(head["epoch"]))
                return self._load(source)
            except (KeyError, TypeError) as error:
                raise Truncated(f"A line of the snapshot is not as it must be: {error!r}.") from error

    def _load(self, lines: Iterator[Mapping[str, Any]]) -> int:
        resources = members = 0
        for line in lines:
            if line.get("end"):
                if (line["resources"], line["members"]) != (resources, members):
                    raise Truncated("The snapshot's last line counts other resources or members than came.")
                return resources
            version = line["version"]
            if "members" in line:
                members += len(line["members"])
                self._set_members(line["id"], version, line["members"], True)
            else:
                resources += 1
                # Somebody deleted and revived while the walk ran is met twice; the later state holds.
                self._connection.execute("DELETE FROM members WHERE group_id = ? AND version < ?", (line["id"], version))
                values = (line["id"], line["resourceType"], version, version, _text(line["resource"]))
                self._connection.execute(_PUT_NEWER, values)
        raise Truncated("The snapshot ended before its last line.")

    def _check_epoch(self, event: Event) -> None:
        known = self._read_note("epoch")
        if known is None and event.epoch:
            self._note("epoch", event.epoch)
        elif event.epoch and event.epoch != known:
            raise Restored(f"The event belongs to the log's epoch {event.epoch}, the copy to {known}; begin from a snapshot.")

    def _take(self, event: Event) -> Outcome:
        self._check_epoch(event)
        is_state = event.cause == "state"
        if not event.tells_of_resource or (event.position <= self.position and not is_state):
            # What the snapshot was taken after is in it, deletions too.
            return "stale"
        name = f"{event.source} {event.id}"
        if not self._connection.execute("INSERT OR IGNORE INTO applied (event) VALUES (?)", (name,)).rowcount:
            return "duplicate"
        before = self._connection.total_changes
        id, version = event.resource_id, event.version
        if event.verb == "deleted":
            self._put(event, None)
            self._raise_floor(id, version)
        else:
            if event.resource is not None:
                self._put(event, event.resource)
            if event.verb == "created" or event.is_whole:
                # It tells all members, in all its parts; what was known from before counts no more.
                self._raise_floor(id, version - 1)
            self._take_members(event)
        if self._connection.total_changes == before:
            return "stale"
        return "parked" if self._waits(id, version) else "applied"

    def _put(self, event: Event, resource: Mapping[str, Any] | None) -> None:
        written = None if resource is None else _text(resource)
        # A state's version is raised by nothing: what is there of the same version gives way to it, and of a later one stays.
        put = _PUT_STATE if event.cause == "state" else _PUT_NEWER
        self._connection.execute(put, (event.resource_id, event.resource_type, event.version, 0, written))

    def _raise_floor(self, id: str, version: int) -> None:
        self._connection.execute("UPDATE resources SET floor = ? WHERE id = ? AND floor < ?", (version, id, version))
        self._connection.execute("DELETE FROM members WHERE group_id = ? AND version <= ?", (id, version))

    def _take_members(self, event: Event) -> None:
        row = self._one("SELECT floor FROM resources WHERE id = ?", (event.resource_id,))
        if row is not None and (event.version < row[0] if event.is_whole else event.version <= row[0]):
            return
        self._set_members(event.resource_id, event.version, event.added, True)
        self._set_members(event.resource_id, event.version, event.removed, False)

    def _set_members(self, group: str, version: int, ids: Iterable[str], is_member: bool) -> None:
        self._connection.executemany(_SET_MEMBER, ((group, id, version, is_member) for id in ids))

    def _waits(self, id: str, version: int) -> bool:
        """Whether something that this version tells has no effect yet."""
        return self._one(_WAITS, (id, version)) is not None

    # ----------------------------------------------------------------- showing

    @property
    def cursor(self) -> str | None:
        """Where to go on in the feed; None before the first snapshot."""
        return self._read_note("cursor")

    @property
    def position(self) -> int:
        """The position that the snapshot was taken behind; 0 without one."""
        return int(self._read_note("position") or 0)

    def get(self, id: str) -> Held | None:
        """The resource, or None when it is unknown or deleted."""
        row = self._one("SELECT type, id, version, resource FROM resources WHERE id = ? AND resource IS NOT NULL", (id,))
        return None if row is None else _held(row)

    def resources(self, type: str | None = None) -> Iterator[Held]:
        """All resources, or those of one type such as ``User``, in order of id."""
        sql = "SELECT type, id, version, resource FROM resources WHERE resource IS NOT NULL AND ? IN ('', type) ORDER BY id"
        return map(_held, self._connection.execute(sql, (type or "",)))

    def members_of(self, group: str) -> list[str]:
        """The ids of the group's direct members that are known here, in order."""
        return [row[1] for row in self._connection.execute(f"{_MEMBERS} AND m.group_id = ? ORDER BY 2", (group,))]

    def groups_of(self, member: str) -> list[str]:
        """The ids of the groups that the resource is a direct member of, in order."""
        return [row[0] for row in self._connection.execute(f"{_MEMBERS} AND m.member_id = ? ORDER BY 1", (member,))]

    def parked(self) -> list[tuple[str, str]]:
        """Pairs of a group's and a member's id of which one has not arrived; they take effect when it does."""
        return [(group, member) for group, member in self._connection.execute(_PARKED)]

    def digest(self) -> str:
        """Equal for two copies that hold the same: SHA-256, in hexadecimal, of lines in the order of their ids.

        For each resource ``<id> <version>``, and below each of its known members `` <member's id>``; each line ends with LF.
        """
        sums = hashlib.sha256()
        for id, version in self._connection.execute("SELECT id, version FROM resources WHERE resource IS NOT NULL ORDER BY id"):
            sums.update(f"{id} {version}\n".encode())
            for member in self.members_of(id):
                sums.update(f" {member}\n".encode())
        return sums.hexdigest()

    # ----------------------------------------------------------------- SQLite

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _one(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        return self._connection.execute(sql, values).fetchone()

    def _read_note(self, name: str) -> str | None:
        row = self._one("SELECT value FROM notes WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def _note(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", (name, value))


_PUT_NEWER = """
INSERT INTO resources (id, type, version, floor, resource) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET type = excluded.type, version = excluded.version, floor = max(floor, excluded.floor), resource = excluded.resource
WHERE excluded.version > version"""
_PUT_STATE = _PUT_NEWER.replace("excluded.version > version", "excluded.version >= version")
_SET_MEMBER = """
INSERT INTO members (group_id, member_id, version, is_member) VALUES (?, ?, ?, ?)
ON CONFLICT (group_id, member_id) DO UPDATE SET version = excluded.version, is_member = excluded.is_member
WHERE excluded.version > version"""
_MEMBERS = """
SELECT m.group_id, m.member_id FROM members AS m
JOIN resources AS g ON g.id = m.group_id AND g.resource IS NOT NULL
JOIN resources AS r ON r.id = m.member_id AND r.resource IS NOT NULL
WHERE m.is_member"""
_PARKED = """
SELECT m.group_id, m.member_id FROM members AS m
LEFT JOIN resources AS g ON g.id = m.group_id
LEFT JOIN resources AS r ON r.id = m.member_id
WHERE m.is_member AND (g.resource IS NULL OR r.resource IS NULL)
ORDER BY 1, 2"""
_WAITS = """
SELECT 1 FROM members AS m
LEFT JOIN resources AS g ON g.id = m.group_id
LEFT JOIN resources AS r ON r.id = m.member_id
WHERE m.group_id = ? AND m.version = ? AND m.is_member AND (g.resource IS NULL OR r.resource IS NULL)
LIMIT 1"""


def _held(row: tuple[str, str, int, str]) -> Held:
    return Held(row[0], row[1], row[2], json.loads(row[3]))


def _text(resource: Mapping[str, Any]) -> str:
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
