"""How one value is formed from others, as data: a small language without code, whose every rule ends.

A rule is a text, which is a path, or an object with one of the keys ``path``, ``constant``, ``join``, ``first_of``,
``lookup``, ``when``, ``object`` and ``list``. What a path or a condition means is told by a ``Vocabulary``, so that the
same language serves typed resources and any other JSON.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar, assert_never

S = TypeVar("S")
SourceT = TypeVar("SourceT", contravariant=True)

MAX_DEPTH: Final = 12
MAX_RULES: Final = 500
MAX_TABLE: Final = 2000
MAX_TEXT: Final = 10_000
# Of a target path.
_SEGMENT: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,99}")
_MAX_SEGMENTS: Final = 8


class Vocabulary(Protocol[SourceT]):
    """What paths and conditions mean. Both raise ValueError with a sentence."""

    def path(self, text: str) -> Callable[[SourceT], object]:
        """What reads the value at the path, None where there is none."""

    def condition(self, text: str) -> Callable[[SourceT], bool]:
        """What says whether the filter holds."""


@dataclass(frozen=True, slots=True)
class Path(Generic[S]):
    """The value at a path."""

    read: Callable[[S], object]


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same; None stands for no value."""

    value: object


@dataclass(frozen=True, slots=True)
class Join(Generic[S]):
    """Texts joined; parts without a value are left out, and without any but constants there is none."""

    parts: tuple["Rule[S]", ...]
    between: str


@dataclass(frozen=True, slots=True)
class FirstOf(Generic[S]):
    """The first that has a value."""

    rules: tuple["Rule[S]", ...]


@dataclass(frozen=True, slots=True)
class Lookup(Generic[S]):
    """What a table has for the value's text."""

    key: "Rule[S]"
    table: Mapping[str, object]
    otherwise: "Rule[S]"


@dataclass(frozen=True, slots=True)
class When(Generic[S]):
    """One of two, by a condition."""

    holds: Callable[[S], bool]
    then: "Rule[S]"
    otherwise: "Rule[S]"


@dataclass(frozen=True, slots=True)
class Object(Generic[S]):
    """A JSON object of the parts that have a value; without any there is none."""

    parts: Mapping[str, "Rule[S]"]


@dataclass(frozen=True, slots=True)
class Several(Generic[S]):
    """A JSON array of the rules that have a value; without any there is none."""

    rules: tuple["Rule[S]", ...]


Rule = Path[S] | Constant | Join[S] | FirstOf[S] | Lookup[S] | When[S] | Object[S] | Several[S]
NOTHING: Final = Constant(None)

# --------------------------------------------------------------------------- evaluating


def value_of(rule: Rule[S], source: S) -> object:
    """The value that the rule forms of the source; None stands for no value."""
    match rule:
        case Path(read):
            return read(source)
        case Constant(value):
            return value
        case Join():
            return _joined(rule, source)
        case FirstOf(choices):
            return next((found for one in choices if not is_empty(found := value_of(one, source))), None)
        case Lookup(key, table, otherwise):
            text = text_of(value_of(key, source))
            return table[text] if text is not None and text in table else value_of(otherwise, source)
        case When(holds, then, otherwise):
            return value_of(then if holds(source) else otherwise, source)
        case Object(parts):
            found = {name: value_of(part, source) for name, part in parts.items()}
            return {name: value for name, value in found.items() if not is_empty(value)} or None
        case Several(choices):
            return [found for one in choices if not is_empty(found := value_of(one, source))] or None
        case _:
            assert_never(rule)


def is_empty(value: object) -> bool:
    """Whether that is no value; false and 0 are some."""
    return value is None or value == "" or value == [] or value == {}


def text_of(value: object) -> str | None:
    """The text of a simple value, of several the first's; None when it has none."""
    if isinstance(value, list):
        return text_of(value[0]) if value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _joined(rule: Join[S], source: S) -> str | None:
    texts = [(part, text_of(value_of(part, source))) for part in rule.parts]
    if not any(text and not isinstance(part, Constant) for part, text in texts):
        return None
    return rule.between.join(text for _, text in texts if text)[:MAX_TEXT]


# --------------------------------------------------------------------------- reading


class Parser(Generic[S]):
    """Reads rules, counting them; every mistake is added to ``problems`` with the place where it is."""

    def __init__(self, vocabulary: Vocabulary[S], problems: list[str]) -> None:
        self._vocabulary = vocabulary
        self._problems = problems
        self._count = 0

    def rule(self, written: object, where: str, depth: int = 0) -> Rule[S]:
        """The rule; ``NOTHING`` in the place of one that has a mistake."""
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_RULES:
            if self._count <= MAX_RULES + 1:
                self._problem(where, f"nests deeper than {MAX_DEPTH}, or there are more than {MAX_RULES} rules")
            return NOTHING
        if isinstance(written, str):
            return self._path(written, where)
        if not isinstance(written, Mapping):
            self._problem(where, f"is {_shown(written)}; a rule is a path, or an object with one of {', '.join(_KEYS)}")
            return NOTHING
        kind = [key for key in written if key in _KEYS]
        if len(kind) != 1:
            self._problem(where, f"must have exactly one of {', '.join(_KEYS)}")
            return NOTHING
        also = _KEYS[kind[0]]
        for key in written:
            if key != kind[0] and key not in also:
                beside = f"only {', '.join(also)} may stand" if also else "nothing may stand"
                self._problem(where, f"has {str(key)[:40]!r}; {beside} beside {kind[0]}")
        return self._of_kind(kind[0], written, where, depth + 1)

    def _of_kind(self, kind: str, written: Mapping[str, Any], where: str, depth: int) -> Rule[S]:
        content = written[kind]
        match kind:
            case "path":
                return self._path(content, where)
            case "constant":
                return self._constant(content, where)
            case "join":
                between = written.get("with", "")
                if not isinstance(between, str) or len(between) > 100:
                    self._problem(where, "has a with that is no short text")
                    between = ""
                return Join(self._several(content, where, depth), between)
            case "first_of":
                return FirstOf(self._several(content, where, depth))
            case "list":
                return Several(self._several(content, where, depth))
            case "object":
                return self._object(content, where, depth)
            case "lookup":
                return self._lookup(written, where, depth)
            case _:
                return self._when(written, where, depth)

    def _path(self, text: object, where: str) -> Rule[S]:
        try:
            return Path(self._vocabulary.path(_text(text, "path")))
        except ValueError as error:
            self._problem(where, f"names a path that cannot be used: {error}", "")
            return NOTHING

    def _constant(self, value: object, where: str) -> Rule[S]:
        if len(str(value)) > MAX_TEXT:
            self._problem(where, f"has a constant of more than {MAX_TEXT} characters")
        return Constant(value)

    def _several(self, content: object, where: str, depth: int) -> tuple[Rule[S], ...]:
        if not isinstance(content, Sequence) or isinstance(content, str) or not content:
            self._problem(where, "needs a list of rules")
            return ()
        return tuple(self.rule(one, f"{where} [{number}]", depth) for number, one in enumerate(content, 1))

    def _object(self, content: object, where: str, depth: int) -> Rule[S]:
        if not isinstance(content, Mapping) or not content:
            self._problem(where, "needs an object of names and rules")
            return NOTHING
        return Object({str(name): self.rule(one, f"{where} {name}", depth) for name, one in content.items()})

    def _lookup(self, written: Mapping[str, Any], where: str, depth: int) -> Rule[S]:
        table = written.get("table")
        if not isinstance(table, Mapping) or not 0 < len(table) <= MAX_TABLE:
            self._problem(where, f"needs a table, an object with 1 to {MAX_TABLE} entries")
            table = {}
        key = self.rule(written["lookup"], f"{where} lookup", depth)
        return Lookup(
            key, {text_of(name) or "": value for name, value in table.items()}, self._otherwise(written, where, depth)
        )

    def _when(self, written: Mapping[str, Any], where: str, depth: int) -> Rule[S]:
        def never(_: S) -> bool:
            return False

        holds: Callable[[S], bool] = never
        try:
            holds = self._vocabulary.condition(_text(written["when"], "filter"))
        except ValueError as error:
            self._problem(where, f"has a condition that cannot be used: {error}", "")
        if "then" not in written:
            self._problem(where, "needs then, the rule for when the condition holds")
        then = self.rule(written.get("then", {"constant": None}), f"{where} then", depth)
        return When(holds, then, self._otherwise(written, where, depth))

    def _otherwise(self, written: Mapping[str, Any], where: str, depth: int) -> Rule[S]:
        return self.rule(written["otherwise"], f"{where} otherwise", depth) if "otherwise" in written else NOTHING

    def _problem(self, where: str, what: str, end: str = ".") -> None:
        self._problems.append(f"{where} {what}{end}")


# The key of each rule, and what may stand beside it.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "path": (),
    "constant": (),
    "join": ("with",),
    "first_of": (),
    "lookup": ("table", "otherwise"),
    "when": ("then", "otherwise"),
    "object": (),
    "list": (),
}


def parse_target(text: str) -> tuple[str, ...]:
    """The names that lead to a target: ``name.givenName``, or with a URN in front; raises ValueError with a sentence."""
    urn, colon, rest = text.rpartition(":") if text.lower().startswith("urn:") else ("", "", text)
    names = rest.split(".")
    # The version of a URN ends in 2.0, and its attribute begins behind the last colon.
    if len(names) > _MAX_SEGMENTS or not all(_SEGMENT.fullmatch(name) for name in names):
        raise ValueError(f"{text[:100]!r} is no path to write to; write names with dots between them, such as name.givenName.")
    return (urn, *names) if colon else tuple(names)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{_shown(value)} is no {what}.")
    return value


def _shown(value: object) -> str:
    return repr(value)[:80]
