"""Which attributes an answer shows: ``attributes``, ``excludedAttributes`` and ``returned`` (RFC 7644 §3.9, RFC 7643 §7).

For each kind the wish becomes a plan once: a tree of what is kept. Without a wish there is no plan and nothing to do,
unless the kind has attributes that are returned on request only.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, cast

from scimhub.scim import errors, paths
from scimhub.scim.catalog import COMMON_ATTRIBUTES, AmbiguousName, Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.schema import Attribute

_BRACKETS = re.compile(r"\[.*\]", re.DOTALL)

# What is kept of an object, by name: None is the whole value, a tree a part of each object in it.
Plan = Mapping[str, "Plan | None"]
_Tree = dict[str, "Plan | None"]


@dataclass(frozen=True, slots=True)
class Projection:
    """What the client wants to see of resources of some kinds."""

    # False as soon as the client named attributes to show or to leave out.
    is_default: bool
    _kinds: Sequence[Kind]
    _plans: Mapping[str, Plan | None]
    _wanted: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def wants(self, name: str) -> bool:
        """Whether an attribute of a base schema such as ``members`` is shown for any of the kinds, so that it must be read."""
        wanted = self._wanted.get(name)
        if wanted is None:
            wanted = self._wanted[name] = self._is_wanted(name)
        return wanted

    def _is_wanted(self, name: str) -> bool:
        plans = (self._plans[kind.name] for kind in self._kinds if kind.base.find(name) is not None)
        return any(plan is None or name in plan for plan in plans)

    def shows_all(self, kind: Kind) -> bool:
        """Whether resources of the kind are shown whole, so that their stored text may go out as it is (DECISIONS 18)."""
        return self._plans[kind.name] is None

    def apply(self, document: Mapping[str, object], kind: Kind) -> Mapping[str, object]:
        """The part of the resource that is shown; the resource itself where that is all."""
        plan = self._plans[kind.name]
        return document if plan is None else _part(document, plan)


def parse(
    attributes: str | Sequence[str] | None,
    excluded: str | Sequence[str] | None,
    kinds: Sequence[Kind],
    *,
    lenient: bool = True,
    supplied: Collection[str] = (),
) -> Projection:
    """The projection that these parameters, comma-separated texts or lists of names, ask for.

    ``supplied`` has the keys of attributes that the client sent in this request: of those the ones returned on request
    are shown too (RFC 7643 §7). Unknown names are ignored. Raises ScimError invalidValue when both parameters are there,
    or when a short name is ambiguous.
    """
    shown, hidden = _names(attributes), _names(excluded)
    if shown and hidden:
        raise errors.invalid_value("attributes and excludedAttributes are both given; send only one of them (RFC 7644 §3.9).")
    mode: _Mode = "only" if shown else "without"
    extra = frozenset(supplied)
    plans = {kind.name: _plan(kind, mode, shown or hidden, lenient, extra & _on_request(kind)) for kind in kinds}
    return Projection(not (shown or hidden), kinds, plans)


@lru_cache(maxsize=256)
def default(kind: Kind) -> Projection:
    """The projection of who asks for nothing: what is returned always or by default."""
    return parse(None, None, [kind])


def _names(parameter: str | Sequence[str] | None) -> tuple[str, ...]:
    if parameter is None:
        return ()
    text = parameter if isinstance(parameter, str) else ",".join(parameter)
    return tuple(name.strip() for name in text.split(",") if name.strip())


def supplied_in(body: object, kind: Kind, *, lenient: bool) -> frozenset[str]:
    """The keys of those attributes, returned on request only, that a resource or a PatchOp in a request names.

    What a client has sent it may see in the answer (RFC 7643 §7).
    """
    wanted = _on_request(kind)
    if not wanted or not isinstance(body, Mapping):
        return frozenset()
    named: set[str] = set()
    operations = next((value for key, value in body.items() if key.lower() == "operations"), None)
    if not isinstance(operations, list):
        _collect(body, "", kind, lenient, named)
        return wanted & named
    for operation in operations:
        if isinstance(operation, Mapping):
            path, value = operation.get("path"), operation.get("value")
            # A filter in brackets chooses elements; the attribute stays the same.
            target = _BRACKETS.sub("", path) if isinstance(path, str) else ""
            named |= {key for key in (_written_key(target, kind, lenient),) if key is not None}
            _collect(value, target, kind, lenient, named)
    return wanted & named


def _collect(value: object, prefix: str, kind: Kind, lenient: bool, named: set[str]) -> None:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, Mapping):
            continue
        for name, inner in item.items():
            joint = "" if not prefix else ":" if kind.extension_urn(prefix) else "."
            path = f"{prefix}{joint}{name}"
            key = _written_key(path, kind, lenient)
            if key is not None:
                named.add(key)
                _collect(inner, path, kind, lenient, named)


# --------------------------------------------------------------------------- from names to a plan

_Mode = Literal["only", "without"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """``names`` are keys in canonical writing, of an extension its URN."""

    mode: _Mode
    names: frozenset[str]
    supplied: frozenset[str]

    def keeps(self, attribute: Attribute, key: str, extension: str | None) -> bool:
        """Whether the attribute is shown, as far as its own characteristics and the names decide."""
        if attribute.returned == "always":
            return True
        is_named = key in self.names
        is_inside = extension in self.names
        if self.mode == "only":
            return is_named or (is_inside and attribute.returned == "default")
        return not is_named and not is_inside and (attribute.returned == "default" or key in self.supplied)

    def keeps_part(self, sub: Attribute, key: str, is_kept: bool) -> bool:
        """Whether a sub-attribute is shown; ``is_kept`` tells whether its attribute is."""
        if sub.returned == "always":
            return True
        if self.mode == "only" and key in self.names:
            return True
        is_default = sub.returned == "default" or key in self.supplied
        return is_kept and is_default and (self.mode == "only" or key not in self.names)


@lru_cache(maxsize=1024)
def _plan(kind: Kind, mode: _Mode, names: tuple[str, ...], lenient: bool, supplied: frozenset[str]) -> Plan | None:
    known = frozenset(key for key in (_key(name, kind, lenient) for name in names) if key is not None)
    rule = _Rule(mode, known, supplied)
    plan = _of_attributes((*COMMON_ATTRIBUTES, *kind.base.attributes), rule, None)
    for urn, schema in kind.extensions.items():
        inner = _of_attributes(schema.attributes, rule, urn)
        if inner:
            plan[urn] = None if _is_whole(schema.attributes, inner) else inner
    is_everything = _is_whole((*COMMON_ATTRIBUTES, *kind.base.attributes), plan) and all(
        urn in plan and plan[urn] is None for urn in kind.extensions
    )
    return None if is_everything else plan


def _key(name: str, kind: Kind, lenient: bool) -> str | None:
    """The name in canonical writing, None when the kind does not know it."""
    try:
        target = kind.resolve(paths.parse_attribute(name), short_names=lenient)
    except AmbiguousName as error:
        raise errors.invalid_value(str(error)) from error
    except ScimError:
        # Spec X-007: what is no attribute is ignored, whatever is wrong with it.
        return None
    return target.key if target is not None else None


def _written_key(name: str, kind: Kind, lenient: bool) -> str | None:
    """As ``_key``, of a name in what is written: who reads that refuses an ambiguous one in its place."""
    try:
        return _key(name, kind, lenient)
    except ScimError:
        return None


def _of_attributes(attributes: Sequence[Attribute], rule: _Rule, extension: str | None) -> _Tree:
    plan: _Tree = {}
    for attribute in attributes:
        if attribute.returned == "never":
            continue
        key = attribute.name if extension is None else f"{extension}:{attribute.name}"
        is_kept = rule.keeps(attribute, key, extension)
        if not attribute.is_complex:
            if is_kept:
                plan[attribute.name] = None
            continue
        visible = [sub for sub in attribute.sub_attributes if sub.returned != "never"]
        parts: _Tree = {sub.name: None for sub in visible if rule.keeps_part(sub, f"{key}.{sub.name}", is_kept)}
        if parts:
            plan[attribute.name] = None if len(parts) == len(visible) else parts
    return plan


def _is_whole(attributes: Sequence[Attribute], plan: Plan) -> bool:
    # What is never returned is not in a document to begin with.
    return all(
        attribute.name in plan and plan[attribute.name] is None for attribute in attributes if attribute.returned != "never"
    )


@lru_cache(maxsize=256)
def _on_request(kind: Kind) -> frozenset[str]:
    """The keys of what is returned on request only."""
    found = set()
    for urn, schema in ((None, kind.base), *kind.extensions.items()):
        for attribute in schema.attributes:
            key = attribute.name if urn is None else f"{urn}:{attribute.name}"
            found |= {key} if attribute.returned == "request" else set()
            found |= {f"{key}.{sub.name}" for sub in attribute.sub_attributes if sub.returned == "request"}
    return frozenset(found)


# --------------------------------------------------------------------------- from a plan to an answer


def _part(holder: Mapping[str, object], plan: Plan) -> dict[str, object]:
    shown: dict[str, object] = {}
    for name, value in holder.items():
        if name not in plan:
            continue
        inner = plan[name]
        part = value if inner is None else _part_of_value(value, inner)
        # An object of which nothing is shown would say that there is something (RFC 7643 §2.5).
        if inner is None or part:
            shown[name] = part
    return shown


def _part_of_value(value: object, plan: Plan) -> object:
    if isinstance(value, list):
        return [part for part in (_part_of_value(element, plan) for element in value) if part]
    # A plan with parts belongs to a complex attribute or an extension, whose value is an object.
    return _part(cast(Mapping[str, object], value), plan)
