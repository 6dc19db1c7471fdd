"""Exchanges without personal values: the structure of what was sent stays, each text and number becomes a mask.

Kept are names of attributes, schema URNs, operations, truth values, what RFC 7643 gives as canonical types, ids that have the
form of ours, versions, times and status codes in the places where answers have them. Everything else a person could be
recognised by, however harmless it looks: what is not known to be harmless is masked.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

MASK = "***"
_DEEPEST = 40
_LONGEST_NAME = 120

_NAME = re.compile(r"[A-Za-z$][\w$-]*")
_PATH = re.compile(r"(?:urn:[\w.:%-]+:)?[A-Za-z$][\w$-]*(?:\.[A-Za-z$][\w$-]*)?", re.IGNORECASE)
_URN = re.compile(r"urn:[\w.:%-]+", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_LOCATION = re.compile(rf"[^?#]*(/[A-Za-z]+/{_ID.pattern})", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_VERSION = re.compile(r'(?:W/)?"[\w.-]{1,40}"')
_STATUS = re.compile(r"[1-5]\d\d")
_TYPES = re.compile(
    r"work|home|other|mobile|fax|pager|photo|thumbnail|aim|gtalk|icq|xmpp|msn|skype|qq|yahoo|direct|indirect|user|group"
)
_WORDS = re.compile(r"add|replace|remove|true|false|get|post|put|patch|delete", re.IGNORECASE)
_SCIM_TYPE = re.compile(r"[a-z]+[A-Za-z]{0,20}")
_MESSAGES = re.compile(r"urn:ietf:params:scim:[\w.:-]+", re.IGNORECASE)
# Texts that stay when they have that form, by the lower-case name of what they are the value of.
_KEPT: Mapping[str, re.Pattern[str]] = {
    "schemas": _URN,
    "op": _WORDS,
    "method": _WORDS,
    "active": _WORDS,
    "primary": _WORDS,
    "type": re.compile(_TYPES.pattern, re.IGNORECASE),
    "resourcetype": _NAME,
    "id": _ID,
    "value": _ID,
    "created": _TIME,
    "lastmodified": _TIME,
    "version": _VERSION,
    "status": _STATUS,
    "scimtype": _SCIM_TYPE,
    "sortorder": re.compile("ascending|descending", re.IGNORECASE),
}
_WORD = re.compile(r"[\w@.+-]*\w")
# From so many letters on a part of a word is enough to recognise it.
_TELLING = 4
_OPERATORS = frozenset(("eq", "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le"))
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|[()\[\]]|[^\s()\[\]"]+')


def of_document(value: object, name: str = "", depth: int = 0) -> object:
    """The JSON value with masks; ``name`` is that of the attribute it belongs to."""
    if value is None or isinstance(value, bool):
        return value
    if depth > _DEEPEST:
        return MASK
    if isinstance(value, dict):
        return {of_name(key): of_document(item, key.lower(), depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [of_document(item, name, depth + 1) for item in value]
    return _of_text(str(value), name) if isinstance(value, str) or name == "status" else MASK


def _of_text(text: str, name: str) -> str:
    if name == "path":
        # Of an operation of a PATCH, or of Bulk.
        return of_url_path(text) if text.startswith("/") else of_filter(text, is_path=True)
    if name == "filter":
        return of_filter(text)
    if name in ("location", "$ref"):
        found = _LOCATION.fullmatch(text)
        return MASK if found is None else f"{MASK}{found.group(1)}"
    if name in ("attributes", "excludedattributes", "sortby"):
        return of_names(text)
    kept = _KEPT.get(name)
    return text if kept is not None and kept.fullmatch(text) else MASK


def of_name(name: str) -> str:
    """The name of an attribute, a parameter or a schema; MASK for what cannot be one."""
    is_one = len(name) <= _LONGEST_NAME and (_PATH.fullmatch(name) or _URN.fullmatch(name))
    return name if is_one else MASK


def of_names(text: str) -> str:
    """Names between commas."""
    return ",".join(of_name(name.strip()) for name in text.split(","))


def of_filter(text: str, *, is_path: bool = False) -> str:
    """A filter without what it compares with, or with ``is_path`` an attribute path without what its filter does."""
    tokens = _TOKENS.findall(text)
    shown = []
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else ""
        behind = tokens[number + 1] if number + 1 < len(tokens) else ""
        if token in ("(", ")", "[", "]") or token.lower() in ("and", "or", "not") or (token.lower() in _OPERATORS and before):
            shown.append(token)
        elif behind.lower() in _OPERATORS or behind == "[" or (is_path and number == 0 and not behind):
            shown.append(of_name(token))
        elif before == "]" and token.startswith("."):
            shown.append("." + of_name(token[1:]))
        else:
            operand = token.strip('"')
            shown.append(f'"{operand}"' if _ID.fullmatch(operand) else MASK)
    return re.sub(r"(?<=[(\[]) | (?=[)\]\[.])", "", " ".join(shown))


def of_url_path(path: str, *, names: int = 1) -> str:
    """A path of the URL. The first ``names`` segments may be names; behind them only ids in the form of ours stay."""
    segments = path.split("/")
    return "/".join(segment if _is_known(segment, number <= names) else MASK for number, segment in enumerate(segments))


def _is_known(segment: str, may_be_name: bool) -> bool:
    if may_be_name and re.fullmatch(r"[A-Za-z][\w-]{0,40}", segment):
        return True
    return segment in ("", ".search") or bool(_ID.fullmatch(segment) or _MESSAGES.fullmatch(segment))


def of_id(id: str) -> str:
    """An id that has the form of ours; MASK for what a client put in its place."""
    return id if not id or _ID.fullmatch(id) else MASK


def of_sentence(text: str, sent: Iterable[str]) -> str:
    """A detail without what it quotes, without long numbers and without the words of ``sent``, which were masked elsewhere.

    Everything from the first quotation mark to the last goes.
    """
    first = re.search(r"(?<!\w)['\"]", text)
    if first is not None:
        last = max(text.rfind("'"), text.rfind('"'))
        text = f"{text[: first.start()]}{MASK}{text[last + 1 :] if last > first.start() else ''}"
    words = {word for one in sent for word in _WORD.findall(one.lower())}

    def shown(found: re.Match[str]) -> str:
        word = found.group().lower()
        # A detail may quote the beginning of a word only.
        is_sent = word in words or (len(word) >= _TELLING and any(word in one or one in word for one in words if one[3:]))
        return MASK if is_sent or word[3:].isdigit() else found.group()

    return _WORD.sub(shown, text)


def masked_texts(value: object, name: str = "", depth: int = 0) -> Iterator[str]:
    """The texts and numbers of the JSON value that ``of_document`` masks, wholly or in part."""
    if isinstance(value, dict | list) and depth <= _DEEPEST:
        for key, item in value.items() if isinstance(value, dict) else ((name, item) for item in value):
            yield from masked_texts(item, key.lower(), depth + 1)
    elif isinstance(value, str) and name in ("path", "filter"):
        kept = of_filter(value, is_path=name == "path").split() if not value.startswith("/") else of_url_path(value).split("/")
        yield from (token for token in re.split(r"/" if value.startswith("/") else r"\s+", value) if token not in kept)
    elif isinstance(value, str):
        if _of_text(value, name) != value:
            yield value
    elif value is not None and not isinstance(value, bool):
        yield str(value)
