"""The file in which keys are kept: a line ``id:base64`` for each, the newest first; lines that begin with # are remarks."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from scimhub.directory.errors import KeysUnusable
from scimhub.distribution import sealing
from scimhub.distribution.sealing import Key

_HEAD = """\
# The keys with which this hub seals the secrets of its destinations, the newest first.
# Without them those secrets are lost: keep a copy of this file apart from backups of the database.
"""


def read(path: Path) -> list[Key]:
    """The keys of the file; raises KeysUnusable, also when it has none."""
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError:
        raise KeysUnusable(f"The key file {path} is not there; put it back, or name the right one.") from None
    except OSError as error:
        raise KeysUnusable(f"The key file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise KeysUnusable(f"The key file {path} holds no text; it must have a line id:base64 for each key.") from None
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                keys.append(sealing.parse_key(line.strip()))
            except ValueError as error:
                raise KeysUnusable(f"Line {number} of the key file {path} is no key. {error}.") from None
    if not keys:
        raise KeysUnusable(f"The key file {path} has no key; it must have a line id:base64 for each.")
    if len({key.id for key in keys}) < len(keys):
        raise KeysUnusable(f"The key file {path} has two keys with the same id; each must have its own.")
    return keys


def read_if_made(path: Path) -> list[Key]:
    """As ``read``; no keys when the file is not there yet."""
    return read(path) if path.exists() else []


def make(path: Path, key: Key) -> None:
    """A new file with the one key, for its owner alone; another process that was faster is left its own."""
    try:
        fresh = _write_beside(path, [key])
        with suppress(FileExistsError):
            os.link(fresh, path)  # unlike renaming, it takes nobody's place
        fresh.unlink()
        _flush(path.parent)
    except OSError as error:
        raise KeysUnusable(f"The key file {path} cannot be made: {error.strerror}.") from error


def add(path: Path, key: Key) -> None:
    """Put the key in front of the others, if there are any; the file is exchanged as a whole. Raises KeysUnusable."""
    if not path.exists():
        make(path, key)
        return
    keys = [key, *read(path)]
    try:
        _write_beside(path, keys).rename(path)
        _flush(path.parent)
    except OSError as error:
        raise KeysUnusable(f"The key file {path} cannot be written: {error.strerror}.") from error


def _write_beside(path: Path, keys: Sequence[Key]) -> Path:
    """A whole file that only has to be given its name; no reader ever sees a half."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(_HEAD + "".join(f"{sealing.write_key(key)}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        fresh.unlink()
        raise
    return fresh


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
