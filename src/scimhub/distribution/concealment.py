"""The parts of a configuration that nobody is shown: the values of headers, since many of them are credentials.

They are taken out before a configuration is written down, and put in again when its destination is opened. Where one was
stands ``CONCEALED``; whoever writes a configuration back with it keeps what was there. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import orjson

CONCEALED: Final = "(concealed)"
_HEADERS: Final = "headers"
_OPERATIONS: Final = "operations"
_CONSTANT: Final = "constant"

Path = tuple[str, ...]


def conceal(configuration: Mapping[str, object], kept: Mapping[Path, str]) -> tuple[dict[str, object], dict[Path, str]]:
    """The configuration with ``CONCEALED`` in the place of what is taken out, and that; ``kept`` is what was there before.

    A place that says ``CONCEALED`` and of which nothing was kept stays as it is written.
    """
    taken: dict[Path, str] = {}
    shown = dict(configuration)
    for path, value in places(configuration):
        found = kept.get(path, value) if value == CONCEALED else value
        if found != CONCEALED:
            taken[path] = found
            shown = _with(shown, path, CONCEALED)
    return shown, taken


def reveal(configuration: Mapping[str, object], taken: Mapping[Path, str]) -> dict[str, object]:
    """The configuration as it was before ``conceal``."""
    shown = dict(configuration)
    for path, value in taken.items():
        shown = _with(shown, path, value)
    return shown


def places(configuration: Mapping[str, object]) -> Iterator[tuple[Path, str]]:
    """Where something may have to be concealed, and what is there: each header's text, and of an operation's its constants."""
    for name, value in _mapping(configuration.get(_HEADERS)):
        if isinstance(value, str):
            yield (_HEADERS, name), value
    for operation, content in _mapping(configuration.get(_OPERATIONS)):
        for name, rule in _mapping(content.get(_HEADERS) if isinstance(content, Mapping) else None):
            for path, text in _constants(rule):
                yield (_OPERATIONS, operation, _HEADERS, name, *path), text


def write(taken: Mapping[Path, str]) -> bytes:
    """What was taken out, as bytes that can be sealed."""
    return orjson.dumps([[list(path), text] for path, text in sorted(taken.items())])


def read(written: bytes) -> dict[Path, str]:
    """What ``write`` wrote."""
    return {tuple(path): text for path, text in orjson.loads(written)}


def _constants(rule: object) -> Iterator[tuple[Path, str]]:
    """The constant texts within a rule; ``mapping`` the module says what rules there are."""
    if isinstance(rule, Mapping):
        for key, value in rule.items():
            if key == _CONSTANT and isinstance(value, str):
                yield (key,), value
            else:
                yield from (((str(key), *path), text) for path, text in _constants(value))
    elif isinstance(rule, list):
        for number, part in enumerate(rule):
            yield from (((str(number), *path), text) for path, text in _constants(part))


def _mapping(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), each) for key, each in value.items())


def _with(whole: Mapping[str, object], path: Path, value: str) -> dict[str, object]:
    """A copy with another value at the path, if there is such a place."""
    changed = _changed(whole, path, value)
    assert isinstance(changed, dict)  # noqa: S101 - a mapping stays one
    return changed


def _changed(part: object, path: Path, value: str) -> object:
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(part, Mapping):
        return {key: _changed(each, rest, value) if key == first else each for key, each in part.items()}
    if isinstance(part, list):
        return [_changed(each, rest, value) if str(number) == first else each for number, each in enumerate(part)]
    return part
