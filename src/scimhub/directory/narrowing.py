"""What a new definition of a resource type asks of the resources that were stored under the old one.

Pure: two kinds in, checks out. A check that fails for any resource refuses the new definition, with the count; what only
changes comparison (caseExact, uniqueness, indexed) makes the stored rows be rewritten (DECISIONS 18).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scimhub.scim import resource
from scimhub.scim.catalog import Kind
from scimhub.scim.schema import Attribute, Schema

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Check:
    """A demand on every stored resource; ``offends`` says of a document whether it stands in the way."""

    sentence: str
    offends: Callable[[Document], bool]


@dataclass(frozen=True, slots=True)
class Demands:
    """All that the new definition of one kind asks for."""

    kind: Kind
    checks: tuple[Check, ...]
    # Keys of attributes whose values must not occur twice.
    unique: frozenset[str]
    # Whether normal form, index and unique rows must be made anew.
    is_rewritten: bool

    @property
    def looks_at_resources(self) -> bool:
        return bool(self.checks or self.unique)


@dataclass(slots=True)
class Inspection:
    """Counts the resources that stand in the way of the demands."""

    demands: Demands
    _offending: Counter[str] = field(default_factory=Counter)
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def look_at(self, document: Document) -> None:
        """Count one stored document."""
        for check in self.demands.checks:
            if check.offends(document):
                self._offending[check.sentence] += 1
        if self.demands.unique:
            normal = resource.normal_form(document, self.demands.kind)
            for path, value in resource.unique_rows(normal, self.demands.kind):
                if path in self.demands.unique:
                    self._seen[path, value] += 1

    def problems(self) -> list[str]:
        """A sentence with the count for each demand that is not met."""
        name = self.demands.kind.name
        shared: Counter[str] = Counter()
        for (path, _), times in self._seen.items():
            if times > 1:
                shared[path] += times
        problems = [sentence.format(resources=_counted(count, name)) for sentence, count in self._offending.items()]
        return problems + [f"{path} cannot be unique: {_counted(count, name)} share a value." for path, count in shared.items()]


def compare(old: Kind, new: Kind) -> Demands:
    """What the step from the old definition to the new one asks of stored resources; nothing when it only adds."""
    if old.base.id.lower() != new.base.id.lower():
        exists = Check(f"{new.name} cannot get another base schema: there are {{resources}}.", bool)
        return Demands(new, (exists,), frozenset(), False)
    found = _Findings()
    _compare_schemas(old.base, new.base, None, found)
    for urn, extension in old.extensions.items():
        now = new.extension_urn(urn)
        if now != urn:
            found.checks.append(
                Check(f"{urn} cannot be taken from {new.name}: it is used by {{resources}}.", _Path(None, urn).is_used)
            )
        if now is not None:
            _compare_schemas(extension, new.extensions[now], urn, found)
    for urn in new.required_extensions - old.required_extensions:
        sentence = f"{urn} cannot be required of {new.name}: it is missing in {{resources}}."
        found.checks.append(Check(sentence, _Path(None, urn).is_missing))
    return Demands(new, tuple(found.checks), frozenset(found.unique), found.is_rewritten)


@dataclass(slots=True)
class _Findings:
    checks: list[Check] = field(default_factory=list)
    unique: set[str] = field(default_factory=set)
    is_rewritten: bool = False


def _compare_schemas(old: Schema, new: Schema, extension: str | None, found: _Findings) -> None:
    _compare_attributes(old.attributes, new.attributes, _Path(extension), found)
    for attribute in old.attributes:
        now = new.find(attribute.name)
        if now is not None and attribute.is_complex and now.is_complex:
            _compare_attributes(attribute.sub_attributes, now.sub_attributes, _Path(extension, attribute.name), found)


def _compare_attributes(old: Sequence[Attribute], new: Sequence[Attribute], home: "_Path", found: _Findings) -> None:
    now = {attribute.name.lower(): attribute for attribute in new}
    for attribute in old:
        path = home.to(attribute.name)
        renewed = now.pop(attribute.name.lower(), None)
        found.checks += _check_change(path, attribute, renewed)
        if renewed is not None:
            _compare_looking_up(path, attribute, renewed, found)
    found.checks += [_missing(home.to(attribute.name)) for attribute in now.values() if attribute.required]


def _check_change(path: "_Path", old: Attribute, new: Attribute | None) -> Iterator[Check]:
    if new is None:
        yield _used(path, "cannot be removed")
        return
    if old.type != new.type:
        yield _used(path, f"cannot change its type from {old.type} to {new.type}")
    if old.multi_valued != new.multi_valued:
        yield _used(path, "cannot change multiValued")
    if new.returned == "never" and old.returned != "never":
        yield _used(path, "cannot become returned never, since it would not be kept")
    if new.required and not old.required:
        yield _missing(path)
    if old.name != new.name:
        yield _used(path, f"cannot be written {new.name} from now on")


def _compare_looking_up(path: "_Path", old: Attribute, new: Attribute, found: _Findings) -> None:
    compares_otherwise = old.compares_exactly != new.compares_exactly
    was_unique, is_unique = old.uniqueness != "none", new.uniqueness != "none"
    if compares_otherwise or old.indexed != new.indexed or was_unique != is_unique:
        found.is_rewritten = True
    # Values that differed in case only were two values until now.
    if is_unique and (not was_unique or (compares_otherwise and not new.compares_exactly)):
        found.unique.add(path.key)


def _used(path: "_Path", wish: str) -> Check:
    return Check(f"{path.key} {wish}: it is used by {{resources}}.", path.is_used)


def _missing(path: "_Path") -> Check:
    return Check(f"{path.key} cannot be required: it is missing in {{resources}}.", path.is_missing)


@dataclass(frozen=True, slots=True)
class _Path:
    """Where values lie in a document, by names as stored."""

    extension: str | None
    attribute: str = ""
    sub: str | None = None

    def to(self, name: str) -> "_Path":
        """The path one step further."""
        return _Path(self.extension, name) if not self.attribute else _Path(self.extension, self.attribute, name)

    @property
    def key(self) -> str:
        name = self.attribute if self.sub is None else f"{self.attribute}.{self.sub}"
        return name if self.extension is None else f"{self.extension}:{name}"

    def is_used(self, document: Document) -> bool:
        return any(self.sub is None or self.sub in element for element in self._elements(document))

    def is_missing(self, document: Document) -> bool:
        """Whether a required value is absent; what is not there at all lacks nothing inside it."""
        if self.sub is not None:
            return any(self.sub not in element for element in self._elements(document))
        home = self._home(document)
        return home is not None and self.attribute not in home

    def _home(self, document: Document) -> Document | None:
        if self.extension is None:
            return document
        home = document.get(self.extension)
        return home if isinstance(home, dict) else None

    def _elements(self, document: Document) -> list[Document]:
        """The attribute's values; simple ones as objects without sub-attributes."""
        value = (self._home(document) or {}).get(self.attribute)
        values = value if isinstance(value, list) else [] if value is None else [value]
        return [each if isinstance(each, dict) else {} for each in values]


def _counted(count: int, kind: str) -> str:
    return f"1 resource of {kind}" if count == 1 else f"{count} resources of {kind}"
