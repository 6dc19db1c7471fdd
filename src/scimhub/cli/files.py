"""Files that verbs are given: objects in JSON or YAML, and secrets. A hyphen is standard input."""

import json
import sys
from pathlib import Path

import yaml

from scimhub.cli import output


def read_object(path: Path, what: str) -> dict[str, object]:
    """The object in the file; ``what`` names it where it cannot be read."""
    try:
        read = yaml.safe_load(_text(path))  # JSON is a part of YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise output.fail([f"The {what} cannot be read from {path}: {error}."], output.WRONG_SETTINGS) from None
    if not isinstance(read, dict):
        raise output.fail([f"The {what} in {path} is no object; write keys and values as JSON or YAML."], output.WRONG_SETTINGS)
    # YAML knows dates and keys that JSON does not; as texts they can be sent.
    shown: dict[str, object] = json.loads(json.dumps({str(key): value for key, value in read.items()}, default=str))
    return shown


def read_secret(path: Path | None) -> str | None:
    """The secret's text: never on the command line, where every user of the machine could read it."""
    if path is None:
        return None
    try:
        return _text(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise output.fail([f"The secret cannot be read from {path}: {error}."], output.WRONG_SETTINGS) from None


def _text(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
