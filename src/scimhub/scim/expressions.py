"""The filter grammar: a text read to a tree of names, operators and literals (RFC 7644 §3.4.2.2 with its errata).

No schema is known here; ``filters`` finds what the names denote. Hostile text is the rule, not the exception: length,
nesting and number of terms are limited before anything is built.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn, cast, get_args

from scimhub.scim import errors, paths, values
from scimhub.scim.errors import ScimError
from scimhub.scim.paths import AttributePath

MAX_FILTER_LENGTH = 10_000
MAX_DEPTH = 32
MAX_TERMS = 1000

Operator = Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
Literals = str | int | float | bool | None
_OPERATORS: frozenset[str] = frozenset(get_args(Operator))


# Nodes are compared by identity: 1, 1.0 and true are equal in Python, and a cache must keep them apart.


# Not frozen, since each look-up makes one: that would take three times as long.
@dataclass(slots=True, eq=False)
class Test:
    """``path operator value``; the operator ``pr`` has no value."""

    __test__ = False  # The name must not make test runners curious.

    path: AttributePath
    operator: Operator | Literal["pr"]
    value: Literals = None


@dataclass(frozen=True, slots=True, eq=False)
class Bracket:
    """``path[inner]``, or with ``test`` the form ``path[inner].sub operator value`` that Entra sends."""

    path: AttributePath
    inner: "Expression"
    test: Test | None = None


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """Terms joined by ``and``."""

    terms: tuple["Expression", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Any:
    """Terms joined by ``or``."""

    terms: tuple["Expression", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Negation:
    """``not (term)``."""

    term: "Expression"


Expression = Test | Bracket | All | Any | Negation


@dataclass(frozen=True, slots=True)
class ValuePath:
    """A path of PATCH (RFC 7644 §3.5.2). ``sub`` is what follows the brackets; that of ``a.b`` is in ``path.sub``."""

    path: AttributePath
    filter: Expression | None = None
    sub: str | None = None


# --------------------------------------------------------------------------- reading


def parse(text: str) -> Expression:
    """The filter that the text writes; raises ScimError invalidFilter."""
    # Providers ask for one person before each write: such a filter comes once, and needs neither parser nor cache.
    simple = _LOOK_UP.fullmatch(text)
    if simple is not None:
        name, operator, value = simple.groups()
        operator = operator.lower()
        if operator in _OPERATORS and name.lower() != "not":
            return Test(_path(name), cast(Operator, operator), value)
    # Long filters are rare and large as trees: to keep them would let a client fill our memory.
    return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)


_CACHED_LENGTH = 500
# A name, an operator and a string without escapes, all of them so short and plain that no limit can be hit.
_LOOK_UP = re.compile(
    r" *(?P<name>[A-Za-z$][A-Za-z0-9_$.:-]{0,199}) +(?P<operator>[A-Za-z]{2}) *"
    r'"(?P<value>[^"\\\x00-\x1f\ud800-\udfff]{0,300})" *'
)


def _parse(text: str) -> Expression:
    if not text.strip(" "):
        raise errors.invalid_filter('The filter is empty; write for example userName eq "kim".')
    return _Parser(text).whole()


_parse_cached = lru_cache(maxsize=1024)(_parse)


def parse_value_path(text: str) -> ValuePath:
    """The PATCH path that the text writes; raises ScimError invalidPath, or invalidFilter for what is in brackets."""
    start = text.find("[")
    if start < 0:
        return ValuePath(paths.parse_attribute(text))
    path = paths.parse_attribute(text[:start])
    if path.sub is not None:
        raise errors.invalid_path(f"{text[:100]!r} has brackets after a sub-attribute; they belong to the attribute itself.")
    end = _closing_bracket(text, start + 1)
    sub = text[end + 1 :]
    if sub and not re.fullmatch(r"\.(?:[A-Za-z][A-Za-z0-9_$-]*|\$ref)", sub):
        raise errors.invalid_path(f"{text[:100]!r} goes on with {sub[:40]!r} after the bracket; only .subAttribute may follow.")
    return ValuePath(path, _Parser(text[start + 1 : end], inside=True).whole(), sub[1:] or None)


# One pattern for all tokens. The last group takes any other character, so that the tokens cover the whole text.
_TOKEN = re.compile(
    r" *(?:(?P<word>[A-Za-z$][^\s\[\]\"()]*)"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<number>-?[0-9][^\s\[\]\"()]*)"
    r"|(?P<sign>[()\[\]])"
    r"|(?P<sub>\.[^\s\[\]\"()]+)"
    r"|(?P<end>\Z)"
    r"|(?P<wrong>.))",
    re.DOTALL,
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_CONSTANTS = {"true": True, "false": False, "null": None}
# More digits than any 64-bit number has, and fewer than Python refuses to read.
_MAX_DIGITS = 400


def _closing_bracket(text: str, start: int) -> int:
    depth = 1
    for match in _TOKEN.finditer(text, start):
        if match.lastgroup == "sign" and match["sign"] in "[]":
            depth += 1 if match["sign"] == "[" else -1
            if depth == 0:
                return match.end() - 1
    raise errors.invalid_path(f'{text[:100]!r} opens a bracket that is not closed; write for example emails[type eq "work"].')


def _path(text: str) -> AttributePath:
    try:
        return paths.parse_attribute(text)
    except ScimError as error:
        raise errors.invalid_filter(error.detail) from error


class _Parser:
    """Recursive descent over the tokens of one text; MAX_DEPTH bounds the recursion."""

    def __init__(self, text: str, *, inside: bool = False) -> None:
        if len(text) > MAX_FILTER_LENGTH:
            raise errors.invalid_filter(f"The filter has {len(text)} characters; at most {MAX_FILTER_LENGTH} are read.")
        if not values.is_usable(text):
            raise errors.invalid_filter("The filter holds U+0000 or half of a surrogate pair; it must be plain Unicode text.")
        self._tokens = _TOKEN.finditer(text)
        self._inside = inside
        self._terms = 0
        self._advance()

    def whole(self) -> Expression:
        expression = self._any(0)
        if self._kind != "end":
            self._refuse_found("where the filter should end or go on with and, or")
        return expression

    def _advance(self) -> None:
        match = next(self._tokens)
        # One of the groups always takes part.
        self._kind = cast(str, match.lastgroup)
        self._text: str = match[self._kind]
        self._start = match.start(self._kind)

    def _refuse(self, what: str) -> NoReturn:
        raise errors.invalid_filter(f"At character {self._start + 1} of the filter {what}.")

    def _refuse_found(self, what: str) -> NoReturn:
        found = "nothing more" if self._kind == "end" else repr(self._text[:40])
        self._refuse(f"there is {found} {what}")

    def _is_word(self, word: str) -> bool:
        return self._kind == "word" and self._text.lower() == word

    def _take_sign(self, sign: str) -> None:
        if self._kind != "sign" or self._text != sign:
            self._refuse_found(f"where {sign} should close")
        self._advance()

    def _any(self, depth: int) -> Expression:
        terms = [self._all(depth)]
        while self._is_word("or"):
            self._advance()
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else Any(tuple(terms))

    def _all(self, depth: int) -> Expression:
        terms = [self._term(depth)]
        while self._is_word("and"):
            self._advance()
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _term(self, depth: int) -> Expression:
        if self._kind == "sign" and self._text == "(":
            return self._group(depth)
        if self._is_word("not"):
            self._advance()
            if self._kind != "sign" or self._text != "(":
                # RFC 7644 figure 1: without parentheses nobody could tell how far a not reaches.
                self._refuse_found("after not; write not (…)")
            return Negation(self._group(depth))
        return self._test(depth)

    def _group(self, depth: int) -> Expression:
        if depth == MAX_DEPTH:
            self._refuse(f"parentheses are nested more than {MAX_DEPTH} deep; write a flatter filter")
        self._advance()
        expression = self._any(depth + 1)
        self._take_sign(")")
        return expression

    def _test(self, depth: int) -> Expression:
        self._terms += 1
        if self._terms > MAX_TERMS:
            self._refuse(f"the filter has more than {MAX_TERMS} terms; ask in several requests")
        if self._kind != "word":
            self._refuse_found("where the name of an attribute should stand")
        path = _path(self._text)
        self._advance()
        if self._kind == "sign" and self._text == "[":
            return self._bracket(path, depth)
        return self._operation(path)

    def _bracket(self, path: AttributePath, depth: int) -> Expression:
        if self._inside:
            # E4690 and E7322 take this out of the grammar.
            self._refuse("there are brackets inside brackets; write one condition in one pair of brackets")
        self._inside = True
        self._advance()
        inner = self._any(depth)
        self._take_sign("]")
        self._inside = False
        if self._kind != "sub":
            return Bracket(path, inner)
        # Entra and Microsoft's validator send emails[type eq "work"].value eq "x"; vectors/entra-filter-work-email.json
        sub = _path(self._text[1:])
        self._advance()
        return Bracket(path, inner, self._operation(sub))

    def _operation(self, path: AttributePath) -> Test:
        operator = self._text.lower()
        if self._kind == "word" and operator == "pr":
            self._advance()
            return Test(path, "pr")
        if self._kind != "word" or operator not in _OPERATORS:
            self._refuse_found(f"after {path.text[:100]}; an operator must follow: {', '.join(get_args(Operator))} or pr")
        self._advance()
        # The text is one of the operators.
        return Test(path, cast(Operator, operator), self._literal())

    def _literal(self) -> Literals:
        kind, text = self._kind, self._text
        value: Literals = None
        if kind == "string":
            value = self._decoded(text)
        elif kind == "number" and _NUMBER.fullmatch(text) and len(text) <= _MAX_DIGITS:
            value = json.loads(text)
        elif kind == "word" and text in _CONSTANTS:
            value = _CONSTANTS[text]
        else:
            self._refuse_found("where a value should stand: a string in double quotes, a number, true, false or null")
        self._advance()
        return value

    def _decoded(self, text: str) -> str:
        if "\\" not in text:
            return text[1:-1]
        try:
            value = json.loads(text)
        except ValueError:
            self._refuse(f"the string {text[:40]} has an escape that JSON does not know")
        if not values.is_usable(value):
            self._refuse(f"the string {text[:40]} writes U+0000 or half of a surrogate pair; it must be plain Unicode text")
        return str(value)
