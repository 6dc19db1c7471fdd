"""What the documents have people type: each verb and each option is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from scimhub.cli.main import commands

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
# A line of its own, behind a prompt, variables or the path of the command; or within a sentence.
_ON_A_LINE = re.compile(r"^ {4,}(?:\$ )?(?:\S+=\S+ )*(?:\.venv/bin/)?scimhub (.+)$", re.MULTILINE)
_WITHIN = re.compile(r"`scimhub ([^`]+)`")


def shown(document: Path) -> Iterator[list[str]]:
    """The words behind ``scimhub`` wherever the document shows the command."""
    text = document.read_text("utf-8").replace("\\\n", " ")
    for line in [*_ON_A_LINE.findall(text), *_WITHIN.findall(text)]:
        yield shlex.split(re.sub(r"\s#.*$", "", line))


def unknown(words: list[str]) -> list[str]:
    """Those of the words that the command would refuse as no verb and no option."""
    verb: Any = get_command(commands)
    while words and words[0] in getattr(verb, "commands", {}):
        verb, words = verb.commands[words[0]], words[1:]
    options = {"--help", *(option for one in verb.params for option in (*one.opts, *one.secondary_opts))}
    wrong = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    is_verb_missing = hasattr(verb, "commands") and bool(words) and not words[0].startswith("-")
    return words[:1] if is_verb_missing else wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_document_shows_is_there(document: Path):
    assert [(words, wrong) for words in shown(document) if (wrong := unknown(words))] == []


def test_what_is_not_there_is_noticed():
    assert unknown(["held", "list"]) == ["held"]
    assert unknown(["destination", "list", "--lag"]) == ["--lag"]
    assert unknown(["exchanges", "--errors"]) == []
