"""Does this destination want this change, and as what? Answered from the change alone.

The filter is asked of the resource before and after the change: who begins to satisfy it enters the destination's scope
and is told as created, who ceases to satisfy it leaves and is told as deleted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import orjson

from scimhub.directory.errors import Invalid
from scimhub.directory.records import Change
from scimhub.distribution import activation, conditions, mapping, visibility
from scimhub.distribution.delivery import Subscription
from scimhub.distribution.mapping import Mapped
from scimhub.scim import projection, resource
from scimhub.scim.catalog import Catalog, Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.filters import Condition
from scimhub.scim.projection import Projection

# What a type may say of a resource, in order: where several are true of one change, the first that is wanted names it.
VERBS = ("created", "deleted", "deactivated", "activated", "updated", "member.added", "member.removed")
# The verb of an event that tells of members added and of members removed.
MEMBERS_CHANGED = "members.changed"
# The verb of an event that tells what a resource is now; nobody subscribes to it, it comes when it is owed.
STATE = "state"
_EVERYTHING = frozenset(VERBS)
_OF_UPDATES = tuple(verb for verb in VERBS if verb not in ("created", "deleted"))
# Who wants one of these of a resource type is told its resources' states.
_TELL_STATE = frozenset(("created", "updated"))
# What an update means depends on these alone in the document, and not on them unless it changes them.
_DECIDING = activation.ATTRIBUTES | {"active"}

# What decides nothing need not be looked at.
_NOTHING: Mapping[str, object] = {}

Cause = Literal["write", "scope", "state"]


class Notice(NamedTuple):
    """What a destination is told of a change.

    ``changed`` are the paths it may see, ``members`` says whether those of the change belong to it. ``cause`` is scope
    when the resource itself was neither created nor deleted, and state when nothing happened: the change is then the
    newest one, with all members as added, and ``ask`` is the id of the wish for it.
    """

    change: Change
    kind: Kind
    verb: str
    cause: Cause
    changed: tuple[str, ...] = ()
    members: bool = False
    # Whether it takes the resource away from the destination, or brings it back, under whatever name it is told: that it
    # goes from the scope, and that a user is deactivated, count as much as a deletion.
    takes: bool = False
    returns: bool = False
    ask: str = ""

    @property
    def type(self) -> str:
        """Such as ``user.created``."""
        return f"{self.kind.name.lower()}.{self.verb}"

    @property
    def brings_members(self) -> bool:
        """Whether a group enters the scope, whose members no change tells; the caller reads those of the moment."""
        return self.members and self.verb == "created" and self.cause == "scope"

    @property
    def is_run(self) -> bool:
        """Whether it tells of members only, so that it may travel together with others of its kind (DECISIONS 10)."""
        return self.members and self.verb not in ("created", "updated", STATE)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is wanted of one kind, understood in the directory's catalog."""

    kind: Kind
    verbs: frozenset[str]
    condition: Condition | None
    projection: Projection
    # The paths of the allow-list, None when there is none.
    visible: tuple[str, ...] | None
    mapped: Mapped | None
    # Whether it depends on any value of a resource what is told, and not just on a few names at its top; whether the resource
    # is shown as it is.
    looks_inside: bool
    shows_all: bool


@dataclass(frozen=True, slots=True)
class Interest:
    """A subscription understood in one catalog; ``bind`` makes it."""

    wishes: Mapping[str, _Wish]

    def assess(self, change: Change) -> Notice | None:
        """What the destination is told of the change, or None when it is none of its business."""
        wish = self.wishes.get(change.kind)
        if wish is None:
            return None
        if wish.looks_inside:
            before, after = images(change, wish.kind)
        elif not _decides_nothing(change, wish.kind):
            before, after = _outlines(change)
        elif change.operation == "created":
            # To read the document would cost most of all.
            return _of_passage(wish, change, is_in=True)
        else:
            return _of_update(wish, change, _NOTHING, _NOTHING)
        if (after is not None and activation.rule_met(after, wish.kind)) or (
            before is not None and activation.rule_met(before, wish.kind)
        ):
            return None
        was_in, is_in = _holds(wish, change, before), _holds(wish, change, after)
        if before is not None and after is not None and was_in and is_in:
            return _of_update(wish, change, before, after)
        return None if was_in == is_in else _of_passage(wish, change, is_in=is_in)

    def state_of(self, change: Change, ask: str, *, cause: Cause = "state") -> Notice | None:
        """What the destination is told of the resource's state, or None when it is told nothing of its kind.

        Who is deleted or out of the scope is told as deleted. ``cause`` is another one where something happened.
        """
        wish = self.wishes.get(change.kind)
        if wish is None:
            return None
        after, image = change.after, None
        # To read the document costs most of all.
        if after is not None and (wish.condition is not None or activation.may_be_met(after, wish.kind)):
            image = orjson.loads(after)
        if after is not None and (image is None or self.contains(change.kind, change.resource_id, image)):
            if not wish.verbs & _TELL_STATE:
                return None
            members = wish.kind.has_members and visibility.shows("members", wish.visible)
            return Notice(change, wish.kind, STATE, cause, members=members, returns=True, ask=ask)
        if "deleted" not in wish.verbs or (image is not None and activation.rule_met(image, wish.kind)):
            return None
        return Notice(change, wish.kind, "deleted", cause, takes=True, ask=ask)

    def tells_states(self, kind: str) -> bool:
        """Whether the destination is told what resources of the kind are."""
        wish = self.wishes.get(kind)
        return wish is not None and bool(wish.verbs & _TELL_STATE)

    def contains(self, kind: str, id: str, document: Mapping[str, object]) -> bool:
        """Whether the stored resource is in the destination's scope."""
        wish = self.wishes.get(kind)
        if wish is None or activation.rule_met(document, wish.kind):
            return False
        return wish.condition is None or conditions.holds(wish.condition, wish.kind, id, document)

    def wants_all(self, kind: str) -> bool:
        """Whether the destination wants every resource of the kind."""
        return self.wishes[kind].condition is None

    def projection(self, kind: Kind) -> Projection:
        """What the destination may see of a resource of the kind, which it wants."""
        return self.wishes[kind.name].projection

    def shown(self, kind: Kind, resource: str) -> str:
        """The text of a resource of the kind, as the destination may see it."""
        wish = self.wishes[kind.name]
        if wish.shows_all:
            return resource
        shown = wish.projection.apply(orjson.loads(resource), kind)
        return orjson.dumps(shown if wish.mapped is None else wish.mapped.apply(shown)).decode()


def bind(subscription: Subscription, catalog: Catalog) -> Interest:
    """The subscription understood in the catalog; raises Invalid with every mistake."""
    problems: list[str] = []
    verbs = _verbs(subscription.types, catalog, problems)
    conditions = dict(_conditions(subscription.filters, catalog, problems))
    visible = visibility.bind(subscription.attributes, catalog, problems)
    mapped = mapping.bind(subscription.mapping, catalog, problems)
    if problems:
        raise Invalid(problems)
    names = list(subscription.attributes) or None
    wishes = {}
    for kind in catalog.kinds.values():
        if wanted := verbs[kind.name]:
            condition, seen_as, shown = conditions.get(kind.name), mapped.get(kind.name), projection.parse(names, None, [kind])
            looks_inside, shows_all = bool(condition or seen_as), seen_as is None and shown.shows_all(kind)
            wishes[kind.name] = _Wish(kind, wanted, condition, shown, visible, seen_as, looks_inside, shows_all)
    return Interest(wishes)


# --------------------------------------------------------------------------- one change


def images(change: Change, kind: Kind) -> tuple[Mapping[str, object] | None, Mapping[str, object] | None]:
    """The resource's document before and after the change; None where there was or is none."""
    after = None if change.after is None else orjson.loads(change.after)
    if change.operation == "created":
        return None, after
    if after is None:
        return change.before, None
    return _rebuilt(after, change.before, kind), after


def _decides_nothing(change: Change, kind: Kind) -> bool:
    """Whether nothing in the document decides what is told, where nothing is asked of what is inside."""
    _, _, _, _, _, _, _, _, _, _, after, before, _, _, _ = change
    return after is not None and _DECIDING.isdisjoint(before) and not activation.may_be_met(after, kind)


def _outlines(change: Change) -> tuple[Mapping[str, object] | None, Mapping[str, object] | None]:
    """As ``images``, where nothing is asked of what is inside.

    The former state has its simple values at the top only; to build the whole takes ten times as long.
    """
    if change.after is None:
        return change.before, None
    after = orjson.loads(change.after)
    return (None if change.operation == "created" else {**after, **change.before}), after


def _rebuilt(after: Mapping[str, object], before: Mapping[str, object], kind: Kind) -> Mapping[str, object]:
    """The former document: the old values put back at their paths; see ``scim.diff.changed_paths``."""
    if not before:
        return after
    image = dict(after)
    touched: set[str] = set()
    for path, value in before.items():
        holder, name = image, path
        if path.startswith("urn:"):
            urn, _, name = path.rpartition(":")
            touched.add(urn)
            holder = _object_in(image, urn)
        top, _, part = name.partition(".")
        if part:
            touched.add(top)
            holder, top = _object_in(holder, top), part
        if value is None:
            holder.pop(top, None)
        else:
            holder[top] = value
    for name in touched:
        found = image.get(name)
        if isinstance(found, dict):
            image[name] = _without_empty(found)
            if not image[name]:
                del image[name]
    return resource.with_schemas(image, kind)


def _without_empty(document: Mapping[str, object]) -> dict[str, object]:
    """The object without the objects of which nothing is left: what had no value was not there."""
    parts = {name: _without_empty(value) if isinstance(value, dict) else value for name, value in document.items()}
    return {name: value for name, value in parts.items() if value != {}}


def _object_in(holder: dict[str, object], name: str) -> dict[str, object]:
    found = holder.get(name)
    inner: dict[str, object] = dict(found) if isinstance(found, dict) else {}
    holder[name] = inner
    return inner


def _holds(wish: _Wish, change: Change, image: Mapping[str, object] | None) -> bool:
    if image is None:
        return False
    return wish.condition is None or conditions.holds(wish.condition, wish.kind, change.resource_id, image)


def _of_passage(wish: _Wish, change: Change, *, is_in: bool) -> Notice | None:
    """What is told of a resource that enters the scope, or leaves it."""
    verb = "created" if is_in else "deleted"
    if verb not in wish.verbs:
        return None
    cause: Cause = "write" if change.operation == verb else "scope"
    members = is_in and wish.kind.has_members and visibility.shows("members", wish.visible)
    return Notice(change, wish.kind, verb, cause, (), members, not is_in, is_in)


def _of_update(wish: _Wish, change: Change, before: Mapping[str, object], after: Mapping[str, object]) -> Notice | None:
    visible = wish.visible
    seen = tuple(change.before) if visible is None else tuple(path for path in change.before if visibility.shows(path, visible))
    changed = seen if wish.mapped is None else _mapped_differences(wish, wish.mapped, before, after)
    members = bool(change.members_added or change.members_removed) and visibility.shows("members", visible)
    if not members and "active" not in seen:
        return Notice(change, wish.kind, "updated", "write", changed) if changed and "updated" in wish.verbs else None
    takes = "active" in seen and is_active(before) and not is_active(after)
    returns = "active" in seen and is_active(after) and not is_active(before)
    told = {
        "activated": returns,
        "deactivated": takes,
        # To become active or not is told as that, and not as an update as well.
        "updated": bool(changed) and not (changed == ("active",) and (takes or returns)),
        "member.added": members and bool(change.members_added),
        "member.removed": members and bool(change.members_removed),
    }
    wanted = [verb for verb in _OF_UPDATES if told[verb] and verb in wish.verbs]
    if not wanted:
        return None
    verb = MEMBERS_CHANGED if wanted == ["member.added", "member.removed"] else wanted[0]
    return Notice(change, wish.kind, verb, "write", changed, members=members, takes=takes, returns=returns)


def _mapped_differences(
    wish: _Wish, mapped: Mapped, before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[str, ...]:
    return mapped.differences(wish.projection.apply(before, wish.kind), wish.projection.apply(after, wish.kind))


def is_active(document: Mapping[str, object]) -> bool:
    """Whether the resource is not said to be inactive."""
    # RFC 7643 §4.1.1 leaves open what a user without ``active`` is; identity providers take it for an active one.
    return document.get("active") is not False


def tells_active(document: str | None) -> bool:
    """The same of the text of a stored document; nothing is said by none."""
    return document is None or '"active":false' not in document or is_active(orjson.loads(document))


# --------------------------------------------------------------------------- understanding a subscription


def _verbs(types: tuple[str, ...], catalog: Catalog, problems: list[str]) -> Mapping[str, frozenset[str]]:
    if not types:
        return dict.fromkeys(catalog.kinds, _EVERYTHING)
    wanted: dict[str, set[str]] = {name: set() for name in catalog.kinds}
    by_prefix = {name.lower(): name for name in catalog.kinds}
    for text in types:
        prefix, _, verb = text.lower().partition(".")
        names = list(catalog.kinds) if prefix == "*" else [by_prefix[prefix]] if prefix in by_prefix else []
        verbs = _EVERYTHING if verb in ("*", "") and text != "" else {verb} & _EVERYTHING
        if not names or not verbs:
            kinds = ", ".join(by_prefix)
            problems.append(
                f"The type {text[:80]!r} is none; write one of {kinds}, a dot, and one of {', '.join(VERBS)} or *, "
                "such as user.created or group.*."
            )
        for name in names:
            wanted[name] |= verbs
    return {name: frozenset(verbs) for name, verbs in wanted.items()}


def _conditions(texts: Mapping[str, str], catalog: Catalog, problems: list[str]) -> Iterator[tuple[str, Condition]]:
    by_name = {name.lower(): kind for name, kind in catalog.kinds.items()}
    for name, text in texts.items():
        kind = by_name.get(name.lower())
        if kind is None:
            problems.append(f"The filter for {name[:80]!r} names no resource type; there are {', '.join(catalog.kinds)}.")
            continue
        try:
            condition = conditions.bind(text, kind)
        except ScimError as error:
            problems.append(f"The filter for {kind.name} cannot be used: {error.detail}")
            continue
        if outside := conditions.untold(condition):
            problems.append(
                f"The filter for {kind.name} asks for {outside}, which a change does not tell; "
                "filter by attributes of the resource itself."
            )
            continue
        yield kind.name, condition
