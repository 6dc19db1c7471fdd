"""The connection of a batch of intents: what they look at is fetched beforehand, and what they write goes out together.

An intent looks before it writes, a few rows by key each time. For a whole batch that is one question for each kind of look;
and statements whose result nobody asks for wait until somebody looks again, or the batch ends. So a batch of thirty writes
takes as many ways to the server as one write does.

Intents that touch the same resource or the same unique value must see each other's writes: they are taken apart into waves.
"""

from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scimhub.directory.intents import Amendment, Create, Intent, MemberEdit, Update
from scimhub.directory.records import StoredResource
from scimhub.sqlstore import memberships, rows
from scimhub.sqlstore.batches import Unit
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.execution import CarryOut
from scimhub.sqlstore.postgres import together
from scimhub.sqlstore.postgres.driver import PostgresConnection
from scimhub.sqlstore.postgres.together import Values

_KEYS = "SELECT nextval('resource_keys') FROM generate_series(1, $1)"
_ADD = """
INSERT INTO memberships (group_key, member)
SELECT w.group_key, r.key FROM unnest($1::bigint[], $2::text[]) AS w(group_key, id)
JOIN resources AS r ON r.id = w.id AND r.directory = $3
ON CONFLICT DO NOTHING
RETURNING group_key, (SELECT id FROM resources WHERE key = member)"""
_REMOVE = """
DELETE FROM memberships AS m
USING unnest($1::bigint[], $2::text[]) AS w(group_key, id), resources AS r
WHERE r.id = w.id AND m.group_key = w.group_key AND m.member = r.key
RETURNING m.group_key, r.id"""


class BufferedConnection(PostgresConnection):
    """See the module; ``foresee`` must be awaited before a wave is run, ``flush`` asked for behind it."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        # The answers to each question, in the order in which it will be asked.
        self._foreseen: defaultdict[tuple[str, Values], deque[list[Row]]] = defaultdict(deque)
        self._keys: deque[int] = deque()
        self._waiting: dict[str, list[Values]] = {}

    # ------------------------------------------------------------------ within a unit of work

    def fetch(self, sql: str, values: Values = (), /) -> list[Row]:
        foreseen = self._foreseen.get((sql, values))
        if foreseen:
            return foreseen.popleft()
        self.flush()
        return super().fetch(sql, values)

    def run(self, sql: str, values: Values = (), /) -> int:
        self.flush()
        return super().run(sql, values)

    def execute(self, sql: str, values: Values = (), /) -> None:
        self._waiting.setdefault(sql, []).append(values)
        self.written += 1

    def executemany(self, sql: str, rows: Iterable[tuple[SqlValue, ...]], /) -> None:
        some = list(rows)
        if some:
            self._waiting.setdefault(sql, []).extend(some)
            self.written += len(some)

    def new_key(self) -> int:
        return self._keys.popleft() if self._keys else super().new_key()

    def flush(self) -> None:
        """Have what waits carried out, statement by statement in the order of their first use."""
        waiting, self._waiting = self._waiting, {}
        for sql, several in waiting.items():
            self._ask(together.execute_each(self.raw, sql, several))

    # ------------------------------------------------------------------ before a wave

    async def foresee(self, intents: Sequence[Intent]) -> None:
        """Fetch what carrying the intents out will look at, in a few questions."""
        self._foreseen.clear()
        creates = sum(isinstance(intent, Create) for intent in intents)
        if creates:
            self._keys.extend(row[0] for row in await self.raw.fetch(_KEYS, creates))
        updates = [intent for intent in intents if isinstance(intent, Update)]
        amendments = [intent.content for intent in updates if isinstance(intent.content, Amendment)]
        await self._fetch(rows.VERSION, [(amendment.base.key,) for amendment in amendments])
        others = [intent for intent in updates if not isinstance(intent.content, Amendment)]
        found = await self._fetch(rows.FIND, map(_find_values, others))
        stored = {values: StoredResource._make(some[0]) for values, some in found.items() if some}
        keys = {intent.id: (stored[_find_values(intent)].key,) for intent in others if _is_rewritten(intent, stored)}
        present = await self._fetch(rows.VALUES_OF, keys.values())
        own = {id: {(path, value) for path, value, is_unique in present[key] if is_unique} for id, key in keys.items()}
        own |= {amendment.base.id: set(amendment.former.unique) for amendment in amendments}
        await self._fetch(rows.HOLDER, [values for each in intents for values in _holder_values(each, own.get(each.id, ()))])
        missing = await self._fetch(memberships.MISSING, [values for intent in intents for values in _missing_values(intent)])
        await self._edit_members([intent for intent in updates if _edits_members(intent)], stored, missing)

    async def _fetch(self, sql: str, several: Iterable[Values]) -> dict[Values, list[Row]]:
        wanted = list(dict.fromkeys(several))
        answers = await together.fetch_each(self.raw, sql, wanted) if wanted else []
        found = dict(zip(wanted, answers, strict=True))
        self._foreseen.update({(sql, values): deque([answer]) for values, answer in found.items()})
        return found

    async def _edit_members(
        self, edits: Sequence[Update], stored: dict[Values, StoredResource], missing: dict[Values, list[Row]]
    ) -> None:
        """Carry out the edits that nothing can stop any more; each will find what its own statements would have found.

        No two of a wave name the same member of a group, so that their order does not matter; but each gives the group
        its next version, which the one behind it must find.
        """
        sure = [
            edit
            for edit in edits
            if _find_values(edit) in stored and not any(missing[values] for values in _missing_values(edit))
        ]
        pairs = [(stored[_find_values(edit)].key, edit.members) for edit in sure if edit.members is not None]
        directory = edits[0].actor.directory if edits else 0
        removed = await self._changed(_REMOVE, [(key, id) for key, edit in pairs for id in memberships.removed_by(edit)])
        added = await self._changed(_ADD, [(key, id) for key, edit in pairs for id in edit.add], directory)
        now: dict[str, tuple[int, str]] = {}
        # What a group is to one source and to another are two questions, and each is asked anew.
        asked: set[Values] = set()
        for edit in edits:
            values = _find_values(edit)
            if values not in stored or edit.members is None:
                continue
            group = stored[values]
            version, modified = now.get(edit.id, (group.version, group.last_modified))
            here = self._foreseen[rows.FIND, values]
            if values not in asked:
                here.clear()
                asked.add(values)
            here.append([group._replace(version=version, last_modified=modified)])
            now[edit.id] = version, modified
            if any(missing[values] for values in _missing_values(edit)):
                continue
            came = [(id,) for id in dict.fromkeys(edit.members.add) if (group.key, id) in added]
            went = [(id,) for id in memberships.removed_by(edit.members) if (group.key, id) in removed]
            self._foreseen[memberships.ADD, memberships.add_values(group.key, directory, edit.members.add)].append(came)
            self._foreseen[memberships.REMOVE, memberships.remove_values(group.key, edit.members)].append(went)
            if came or went:
                now[edit.id] = version + 1, max(edit.actor.now, modified)

    async def _changed(self, sql: str, pairs: Sequence[tuple[int, str]], *more: int) -> set[tuple[int, str]]:
        if not pairs:
            return set()
        rows = await self.raw.fetch(sql, [key for key, _ in pairs], [id for _, id in pairs], *more)
        self.written += len(rows)
        return {(key, id) for key, id in rows}


def waves(batch: Sequence[Unit]) -> Iterator[list[Unit]]:
    """The batch in parts; in each nothing depends on another's writes."""
    wave: list[Unit] = []
    alone: set[object] = set()
    shared: set[object] = set()
    for unit in batch:
        touch = _touch(unit)
        if touch is None:
            if wave:
                yield wave
            yield [unit]
            wave, alone, shared = [], set(), set()
            continue
        if touch.alone & (alone | shared) or touch.shared & alone:
            yield wave
            wave, alone, shared = [], set(), set()
        wave.append(unit)
        alone |= touch.alone
        shared |= touch.shared
    if wave:
        yield wave


def intents_of(wave: Sequence[Unit]) -> list[Intent]:
    """The intents that can be looked ahead for; none of a unit that goes alone."""
    return [unit.work.intent for unit in wave if isinstance(unit.work, CarryOut) and _touch(unit) is not None]


class _Touch(NamedTuple):
    """What a unit touches: what no other may touch in the same wave, and what others like it may."""

    alone: set[object]
    shared: set[object]


def _touch(unit: Unit) -> _Touch | None:
    """None when it cannot be told beforehand."""
    intent = unit.work.intent if isinstance(unit.work, CarryOut) else None
    match intent:
        case Create(revive=False, content=content):
            return _Touch({intent.id, *((intent.kind, *pair) for pair in content.unique)}, set())
        case Update(members=MemberEdit(add, remove)) if _edits_members(intent):
            return _Touch({(intent.id, member) for member in (*add, *remove)}, {intent.id})
        case Update(content=content, members=members) if members is None or not members.exact:
            unique = () if content is None else content.unique
            return _Touch({intent.id, *((intent.kind, *pair) for pair in unique)}, set())
        case _:
            return None


def _edits_members(intent: Update) -> bool:
    """Whether the intent only adds and removes members, whatever state the group is in."""
    return (
        intent.members is not None
        and not intent.members.exact
        and intent.content is None
        and intent.external_id is None
        and intent.expected_version is None
        and intent.unmapped is None
        and not intent.unmapped_exact
    )


def _find_values(intent: Update) -> Values:
    return (intent.actor.source, intent.id, intent.actor.directory, intent.kind)


def _is_rewritten(intent: Update, stored: Mapping[Values, StoredResource]) -> bool:
    return intent.content is not None and _find_values(intent) in stored


def _holder_values(intent: Intent, own: Container[tuple[str, str]]) -> list[Values]:
    """What is asked about the values that the intent gives its resource, but for those that are its own already."""
    content = intent.content if isinstance(intent, Create | Update) else None
    unique = () if content is None else content.unique
    return [(intent.actor.directory, intent.kind, *pair) for pair in unique if pair not in own]


def _missing_values(intent: Intent) -> list[Values]:
    ids: tuple[str, ...] = ()
    if isinstance(intent, Create):
        ids = intent.members
    elif isinstance(intent, Update) and intent.members is not None:
        ids = intent.members.add
    return [memberships.missing_values(intent.actor.directory, ids)] if ids else []
