"""Names that promise a secret, such as ``password`` or ``apiKey``: what stands under one is kept only where a schema has it."""

import re
from collections.abc import Mapping

_NAMES = re.compile(r"pass[_-]*(?:word|wd|phrase|code)|(?:secret|token|api[_-]?key)[_-]*$", re.IGNORECASE)
# One of these stands in each text in lower case that has such a name.
MARKERS = ("pass", "secret", "token", "apikey", "api_key", "api-key")
_WORD = re.compile(r"[\w$-]+")


def promises_secret(name: str) -> bool:
    """Whether the name, of one attribute and without a URN, is that of a secret."""
    return _NAMES.search(name) is not None


def stand_in(path: str, value: object) -> bool:
    """Whether a name in the attribute path, or in what the JSON value at it holds, is that of a secret."""
    return any(map(promises_secret, _WORD.findall(path))) or _hold_secret(value)


def _hold_secret(value: object) -> bool:
    # A message is nested no deeper than its parser allows (``message``).
    if isinstance(value, Mapping):
        return any(promises_secret(name) or _hold_secret(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(_hold_secret, value))
