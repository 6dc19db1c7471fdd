"""What a destination sees of a resource in the place of the resource itself: for each target path a rule.

A mapping is an object with a key for each resource type that it maps, each with ``set``, target paths and their rules, and
``keep``, which says whether all else stays as it is. It is applied to what the allow-list leaves, so that it can rename and
join and never reveal. Changes of members travel as always.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scimhub.distribution import conditions, rules
from scimhub.distribution.rules import Parser, Rule
from scimhub.scim import diff, expressions, filters, matching, normal
from scimhub.scim.catalog import AmbiguousName, Catalog, Kind, Target
from scimhub.scim.errors import ScimError
from scimhub.scim.filters import Condition
from scimhub.scim.schema import Attribute

Json = dict[str, Any]
# What every event has as it is, and a mapping cannot form.
_ALWAYS: Final = ("id", "schemas")
_NOT_SET: Final = frozenset(("id", "schemas", "meta", "members", "groups"))
# What the images of a change do not have.
_NOT_READ: Final = frozenset(("meta", "members", "groups", "schemas"))
_KEYS: Final = ("keep", "set")


@dataclass(frozen=True, slots=True)
class Mapped:
    """The mapping of one resource type, understood."""

    kind: Kind
    keeps: bool
    targets: tuple[tuple[tuple[str, ...], Rule[Mapping[str, object]]], ...]

    def apply(self, document: Mapping[str, object]) -> Json:
        """What is seen in the place of the document, which is left as it is."""
        seen = _copied(document) if self.keeps else {name: document[name] for name in _ALWAYS if name in document}
        for names, rule in self.targets:
            _put(seen, names, rules.value_of(rule, document))
        return seen

    def differences(self, before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
        """The paths at which what is seen of the two documents differs."""
        old, new = diff.flat_values(self.apply(before)), diff.flat_values(self.apply(after))
        return tuple(path for path in {**new, **old} if old.get(path) != new.get(path))


def bind(written: Mapping[str, object], catalog: Catalog, problems: list[str]) -> Mapping[str, Mapped]:
    """The mapping of each resource type by its name; every mistake is added to ``problems``."""
    by_name = {name.lower(): kind for name, kind in catalog.kinds.items()}
    bound = {}
    for name, content in written.items():
        kind = by_name.get(str(name).lower())
        if kind is None:
            problems.append(f"The mapping for {str(name)[:80]!r} names no resource type; there are {', '.join(catalog.kinds)}.")
        elif not isinstance(content, Mapping) or not set(content) <= set(_KEYS):
            problems.append(f"The mapping for {kind.name} must be an object with set, paths and rules, and maybe keep.")
        else:
            bound[kind.name] = _of_kind(content, kind, problems)
    return bound


def _of_kind(content: Mapping[str, object], kind: Kind, problems: list[str]) -> Mapped:
    keeps, written = content.get("keep", False), content.get("set", {})
    if not isinstance(keeps, bool):
        problems.append(f"The keep of the mapping for {kind.name} must be true or false.")
    if not isinstance(written, Mapping):
        problems.append(f"The set of the mapping for {kind.name} must be an object of paths and rules.")
        written = {}
    parser = Parser(_Vocabulary(kind), problems)
    targets = []
    for path, rule in written.items():
        where = f"The mapping for {kind.name}, {str(path)[:100]}:"
        try:
            names = _target(str(path))
        except ValueError as error:
            problems.append(f"{where} {error}")
            names = ()
        targets.append((names, parser.rule(rule, where)))
    _check_overlaps([names for names, _ in targets if names], kind, problems)
    return Mapped(kind, keeps is True, tuple(targets))


def _target(path: str) -> tuple[str, ...]:
    names = rules.parse_target(path)
    if names[0] in _NOT_SET:
        raise ValueError(f"{names[0]} is the hub's own and cannot be set.")
    return names


def _check_overlaps(targets: list[tuple[str, ...]], kind: Kind, problems: list[str]) -> None:
    for names in targets:
        inner = next((other for other in targets if len(other) > len(names) and other[: len(names)] == names), None)
        if inner is not None:
            whole, part = ".".join(names), ".".join(inner)
            problems.append(f"The mapping for {kind.name} sets {whole} and {part}, which is a part of it; set one of the two.")


# --------------------------------------------------------------------------- paths and filters of one resource type


class _Vocabulary:
    """Paths as SCIM writes them: ``emails.value`` reads all values, ``emails[type eq "work"].value`` the first that fits."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def path(self, text: str) -> Callable[[Mapping[str, object]], object]:
        try:
            written = expressions.parse_value_path(text)
            target = self._kind.resolve(written.path, short_names=True)
        except AmbiguousName as error:
            raise ValueError(str(error)) from error
        except ScimError as error:
            raise ValueError(error.detail) from error
        if target is None or target.leaf is None:
            raise ValueError(f"{text[:100]!r} is no attribute of {self._kind.name}.")
        top = target.attribute
        if (
            top is None
            or (target.extension is None and top.name in _NOT_READ)
            or "never" in (top.returned, target.leaf.returned)
        ):
            raise ValueError(f"{text[:100]!r} is not told by changes.")
        if written.filter is None:
            return _reader(target)
        return self._choosing(written, target, text)

    def _choosing(self, written: filters.ValuePath, target: Target, text: str) -> Callable[[Mapping[str, object]], object]:
        attribute = target.attribute
        sub = None if written.sub is None or attribute is None else attribute.find(written.sub)
        if attribute is None or written.filter is None or (written.sub is not None and sub is None):
            raise ValueError(f"{text[:100]!r} ends in what is no sub-attribute.")
        try:
            condition = filters.bind_inside(written.filter, target, lenient=True)
        except ScimError as error:
            raise ValueError(error.detail) from error
        return _chooser(Target(target.extension, attribute), condition, None if sub is None else sub.name)

    def condition(self, text: str) -> Callable[[Mapping[str, object]], bool]:
        kind = self._kind
        try:
            bound = conditions.bind(text, kind)
        except ScimError as error:
            raise ValueError(error.detail) from error
        if outside := conditions.untold(bound):
            raise ValueError(f"It asks for {outside}, which a change does not tell.")
        return lambda document: conditions.holds(bound, kind, str(document.get("id", "")), document)


def _reader(target: Target) -> Callable[[Mapping[str, object]], object]:
    attribute, sub = target.attribute, target.sub
    if attribute is None:  # pragma: no cover - refused before
        return lambda _: None

    def read(document: Mapping[str, object]) -> object:
        value = _value(document, target.extension, attribute)
        if sub is None or value is None:
            return value
        if isinstance(value, list):
            return [one[sub.name] for one in value if isinstance(one, Mapping) and sub.name in one] or None
        return value.get(sub.name) if isinstance(value, Mapping) else None

    return read


def _chooser(target: Target, condition: Condition, sub: str | None) -> Callable[[Mapping[str, object]], object]:
    attribute = target.attribute
    if attribute is None:  # pragma: no cover - refused before
        return lambda _: None
    normalize = normal.of_element(attribute)

    def choose(document: Mapping[str, object]) -> object:
        value = _value(document, target.extension, attribute)
        for one in value if isinstance(value, list) else [value]:
            if matching.element_matches(condition, attribute, normalize(one)):
                return one if sub is None else one.get(sub) if isinstance(one, Mapping) else None
        return None

    return choose


def _value(document: Mapping[str, object], extension: str | None, attribute: Attribute) -> object:
    holder = document if extension is None else document.get(extension)
    return holder.get(attribute.name) if isinstance(holder, Mapping) else None


# --------------------------------------------------------------------------- writing


def _copied(document: Mapping[str, object]) -> Json:
    """The document, whose objects may be changed without changing it."""
    return {name: _copied(value) if isinstance(value, Mapping) else value for name, value in document.items()}


def _put(seen: Json, names: tuple[str, ...], value: object) -> None:
    """Set the value there, or leave nothing there; objects that become empty go."""
    name, rest = names[0], names[1:]
    if not rest:
        if rules.is_empty(value):
            seen.pop(name, None)
        else:
            seen[name] = value
        return
    holder = seen.get(name)
    inner = holder if isinstance(holder, dict) else {}
    _put(inner, rest, value)
    if inner:
        seen[name] = inner
    else:
        seen.pop(name, None)
