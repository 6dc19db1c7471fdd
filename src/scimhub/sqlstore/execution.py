"""Carries out one intent inside the writer's transaction: checks its preconditions, writes the rows and the one change.

All that may refuse comes before the first write, so that the writer has nothing to undo when an intent is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import orjson

from scimhub.directory.intents import (
    Actor,
    Amendment,
    Applied,
    Compute,
    Content,
    Create,
    Delete,
    ExternalId,
    Intent,
    MembersMissing,
    NotFound,
    Outcome,
    Unchanged,
    Update,
    Values,
    VersionConflict,
)
from scimhub.directory.records import Operation, StoredResource
from scimhub.sqlstore import changes, counters, memberships, rows, tombstones
from scimhub.sqlstore.connection import Connection
from scimhub.sqlstore.memberships import NO_DELTA, Delta

# An intent that touches more member rows than this gets a transaction of its own, so that its neighbours do not wait.
MANY_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class Rules:
    """What writing needs from outside: where ids of changes come from, and how long tombstones are kept."""

    new_id: Callable[[], str]
    tombstone_days: int


# Not frozen, since each write makes one.
@dataclass(slots=True)
class CarryOut:
    """The unit of work that carries the intent out; a database may look into it, to make ready for many at once."""

    intent: Intent
    rules: Rules

    def __call__(self, connection: Connection) -> Outcome:
        return carry_out(connection, self.intent, self.rules)


def carry_out(connection: Connection, intent: Intent, rules: Rules) -> Outcome:
    """Do what the intent says, or nothing; the outcome tells which."""
    match intent:
        case Create():
            return _create(connection, intent, rules)
        case Update():
            return _update(connection, intent, rules)
        case Delete():
            return _delete(connection, intent, rules)
        case Compute(actor, kind, id, decide):
            decision = decide(rows.find(connection, actor.directory, kind, id, actor.source))
            if isinstance(decision, Update | Delete):
                return carry_out(connection, decision, rules)
            return decision
        case _ as never:
            assert_never(never)


def names_many(intent: Intent) -> bool:
    """Whether the intent itself says that it should not share its transaction."""
    match intent:
        case Create(members=members):
            return len(members) > MANY_MEMBERS
        case Update(members=edit) if edit is not None:
            return len(edit.add) + len(edit.remove) > MANY_MEMBERS
        case _:
            return False


def may_touch_many(intent: Intent) -> bool:
    """Whether it depends on what is stored how many rows the intent touches."""
    return isinstance(intent, Delete) or (isinstance(intent, Update) and intent.members is not None and intent.members.exact)


def touches_many(connection: Connection, intent: Intent) -> bool:
    """Whether the resource has so many members, or is in so many groups, that the intent should not share its transaction."""
    stored = rows.find(connection, intent.actor.directory, intent.kind, intent.id, intent.actor.source)
    return stored is not None and memberships.is_many(connection, stored.key, MANY_MEMBERS)


# --------------------------------------------------------------------------- create


def _create(connection: Connection, intent: Create, rules: Rules) -> Outcome:
    actor = intent.actor
    missing = memberships.missing(connection, actor.directory, intent.members)
    if missing:
        return MembersMissing(missing)
    inactive = former = None
    if intent.revive and intent.external_id:
        inactive = rows.find_inactive(connection, actor, intent.kind, intent.external_id)
        former = tombstones.find_revivable(connection, actor, intent.kind, intent.external_id)
    key = None if inactive is None else inactive.key
    conflicts = rows.conflicts(connection, actor.directory, intent.kind, key, intent.content.unique)
    if conflicts:
        return conflicts[0]
    if inactive is not None:
        return _revive_inactive(connection, intent, inactive, rules)
    return _insert(connection, intent, former or tombstones.Revivable(intent.id, 0, actor.now), rules)


def _insert(connection: Connection, intent: Create, former: tombstones.Revivable, rules: Rules) -> Applied:
    """Store the resource under the id of ``former``, which is a tombstone's or, at version 0, a new one."""
    actor, kind, content = intent.actor, intent.kind, intent.content
    version, revived = former.version + 1, former.version > 0
    key = rows.insert(connection, actor, kind, former.id, content, version, former.created, actor.now)
    rows.claim_unique(connection, actor.directory, kind, key, content.unique)
    rows.index(connection, actor.directory, kind, key, content.indexed)
    if revived:
        tombstones.open_for(connection, former.id, key)
    if intent.external_id is not None:
        rows.link(connection, actor.directory, actor.source, key, intent.external_id)
    if intent.unmapped is not None:
        rows.keep_unmapped(connection, actor, kind, key, intent.unmapped, exact=True)
    delta = Delta(memberships.add(connection, actor.directory, key, intent.members))
    counters.add(connection, actor.directory, kind, 1, key)
    stored = StoredResource(
        key, former.id, kind, version, former.created, actor.now, content.document, intent.external_id, in_groups=False
    )
    return _record(connection, actor, stored, rules, "created", delta=delta, revived=revived)


def _revive_inactive(connection: Connection, intent: Create, stored: StoredResource, rules: Rules) -> Applied:
    """Give the inactive resource the new content; its memberships are what they are."""
    actor = intent.actor
    delta = Delta(memberships.add(connection, actor.directory, stored.key, intent.members))
    rows.keep_unmapped(connection, actor, intent.kind, stored.key, intent.unmapped, exact=True)
    before = _former_values(stored.document, intent.content.document)
    return _rewrite(connection, actor, stored, rules, intent.content, None, before, delta, revived=True)


def _former_values(before: str, after: str) -> dict[str, object]:
    """The old value of each top-level attribute, and of each one in an extension, that differs; None for none."""
    old, new = _by_path(orjson.loads(before)), _by_path(orjson.loads(after))
    return {path: old.get(path) for path in {**old, **new} if old.get(path) != new.get(path)}


def _by_path(document: Mapping[str, object]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in document.items():
        if name.startswith("urn:") and isinstance(value, dict):
            values.update({f"{name}:{inner}": inner_value for inner, inner_value in value.items()})
        elif name != "schemas":
            values[name] = value
    return values


# --------------------------------------------------------------------------- update


def _update(connection: Connection, intent: Update, rules: Rules) -> Outcome:
    actor, content = intent.actor, intent.content
    stored = _as_expected(connection, intent)
    if not isinstance(stored, StoredResource):
        return stored
    if content is not None and content.document == stored.document:
        content = None
    external_id = intent.external_id
    if external_id is not None and external_id.value == stored.external_id:
        external_id = None
    missing = memberships.missing(connection, actor.directory, intent.members.add if intent.members is not None else ())
    if missing:
        return MembersMissing(missing)
    present = None
    if content is not None:
        present = content.former if isinstance(content, Amendment) else rows.values_of(connection, stored.key)
        others = [pair for pair in content.unique if pair not in present.unique]
        conflicts = rows.conflicts(connection, actor.directory, intent.kind, stored.key, others)
        if conflicts:
            return conflicts[0]
    if intent.unmapped is not None or intent.unmapped_exact:
        rows.keep_unmapped(connection, actor, intent.kind, stored.key, intent.unmapped, exact=intent.unmapped_exact)
    delta = NO_DELTA
    if intent.members is not None:
        delta = memberships.edit(connection, actor.directory, stored.key, intent.members)
    if content is None and external_id is None and not delta:
        return Unchanged(stored)
    before = intent.before if content is not None else {}
    return _rewrite(connection, actor, stored, rules, content, external_id, before, delta, present)


def _as_expected(connection: Connection, intent: Update) -> StoredResource | NotFound | VersionConflict:
    """The resource that the intent was computed from, or why it is not there; what was read need not be read again."""
    actor, content, expected = intent.actor, intent.content, intent.expected_version
    if isinstance(content, Amendment):
        if rows.is_current(connection, content.base):
            return content.base
        expected = content.base.version
    stored = rows.find(connection, actor.directory, intent.kind, intent.id, actor.source)
    if stored is None:
        return NotFound()
    return stored if expected in (None, stored.version) else VersionConflict(stored.version)


def _rewrite(
    connection: Connection,
    actor: Actor,
    stored: StoredResource,
    rules: Rules,
    content: Content | Amendment | None,
    external_id: ExternalId | None,
    before: Mapping[str, object],
    delta: Delta,
    present: Values | None = None,
    *,
    revived: bool = False,
) -> Applied:
    """Write the resource's next version, of which members (``delta``) are already written, and its change.

    ``present`` are the values that its rows have, where they are known already; of an Amendment those that may differ.
    """
    document, linked = stored.document, stored.external_id
    if content is not None:
        document = content.document
        unique, indexed = present or rows.values_of(connection, stored.key)
        rows.replace_unique(connection, actor.directory, stored.kind, stored.key, unique, content.unique)
        rows.replace_index(connection, actor.directory, stored.kind, stored.key, indexed, content.indexed)
    if external_id is not None:
        before = {**before, "externalId": linked}
        linked = external_id.value
        rows.link(connection, actor.directory, actor.source, stored.key, linked)
    version, modified = stored.version + 1, max(actor.now, stored.last_modified)
    rows.rewrite(connection, stored.key, actor.source, version, modified, content)
    now = stored._replace(version=version, last_modified=modified, document=document, external_id=linked)
    return _record(connection, actor, now, rules, "updated", before, delta, revived=revived)


def _record(
    connection: Connection,
    actor: Actor,
    stored: StoredResource,
    rules: Rules,
    operation: Operation,
    before: Mapping[str, object] | None = None,
    delta: Delta = NO_DELTA,
    *,
    revived: bool = False,
) -> Applied:
    change_id = changes.append(
        connection,
        actor,
        rules.new_id(),
        operation,
        stored.kind,
        stored.id,
        stored.version,
        stored.last_modified,
        stored.document,
        stored.external_id,
        orjson.dumps(before).decode() if before else None,
        delta,
    )
    return Applied(stored, change_id, revived)


# --------------------------------------------------------------------------- delete

_GROUPS = f"""
SELECT {rows.COLUMNS}
FROM memberships AS m
JOIN resources AS r ON r.key = m.group_key
WHERE m.member = ?2 AND m.group_key <> ?2
ORDER BY m.group_key"""


def _delete(connection: Connection, intent: Delete, rules: Rules) -> Outcome:
    actor = intent.actor
    stored = rows.find(connection, actor.directory, intent.kind, intent.id, actor.source)
    if stored is None:
        return NotFound()
    if intent.expected_version is not None and intent.expected_version != stored.version:
        return VersionConflict(stored.version)
    groups = [StoredResource._make(row) for row in connection.fetch(_GROUPS, (actor.source, stored.key))]
    # The deletion is a version of its own: whoever compares versions sees that it came after the last state.
    version, deleted = stored.version + 1, max(actor.now, stored.last_modified)
    tombstones.bury(connection, actor, stored, version, deleted, rules.tombstone_days)
    memberships.remove_all(connection, stored.key)
    rows.remove(connection, stored.key)
    counters.add(connection, actor.directory, stored.kind, -1, stored.key)
    change_id = changes.append(
        connection,
        actor,
        rules.new_id(),
        "deleted",
        stored.kind,
        stored.id,
        version,
        deleted,
        None,
        stored.external_id,
        stored.document,
    )
    gone = Delta(removed=(stored.id,))
    for group in groups:
        _rewrite(connection, actor, group, rules, None, None, {}, gone)
    return Applied(stored, change_id)
