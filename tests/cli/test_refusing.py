"""With ``--json`` every verb prints one JSON document, also when it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from scimhub.cli.main import commands
from tests.cli.command import Scimhub
from tests.end_to_end.live import LiveHub


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Each verb that knows ``--json``, with something for each argument that it must have."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from verbs(below, (*words, name))
    elif any("--json" in parameter.opts for parameter in command.params):
        needed = [parameter for parameter in command.params if parameter.required]
        options = [word for one in needed for word in ([one.opts[0], "x"] if one.opts[0].startswith("-") else ["x"])]
        yield (*words, *options)


VERBS = list(verbs(get_command(commands)))
# What does its work, or tells what it found, where nothing is there.
_WITHOUT_DATABASE = {"doctor", "directory create", "demo"}


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_verb_that_is_called_wrongly_prints_its_problems_as_json(scimhub: Scimhub, words: tuple[str, ...]):
    refused = scimhub(*words, "--json", "--no-such-option")
    assert (refused.code, refused.errors != "") == (2, True)
    assert json.loads(refused.output) == {"problems": ["No such option: --no-such-option"]}


@pytest.mark.parametrize(
    "words", [words for words in VERBS if " ".join(words).removesuffix(" x") not in _WITHOUT_DATABASE], ids=" ".join
)
def test_a_verb_that_refuses_prints_as_json_what_it_says(scimhub: Scimhub, words: tuple[str, ...]):
    refused = scimhub(*words, "--json")
    problems = json.loads(refused.output)["problems"]
    assert (refused.code != 0, "".join(f"{problem}\n" for problem in problems)) == (True, refused.errors)
    assert scimhub(*words).output == ""


def test_wrong_settings_are_told_as_json(scimhub: Scimhub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_PORT", "x")
    refused = scimhub("directory", "list", "--json")
    assert (refused.code, json.loads(refused.output)) == (
        2,
        {"problems": ["port is 'x' (SCIMHUB_PORT); it must be a whole number from 0 to 65535."]},
    )


def test_a_verb_that_has_answered_adds_no_second_document(scimhub: Scimhub, hub: LiveHub):
    made = scimhub("destination", "create", "payroll", "--url", "http://127.0.0.1:9/events", "--json")
    assert made.code == 0
    refused = scimhub("destination", "check", "payroll", "--json")
    assert (refused.code, json.loads(refused.output)["outcome"] != "delivered", refused.errors != "") == (1, True, True)


def test_an_import_whose_plan_cannot_be_written_has_told_what_it_did(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    scimhub("source", "create", "hr", "--directory", "acme")
    (home / "people.csv").write_text("userName\nkim\n")
    words = ("import", "people.csv", "--directory", "acme", "--source", "hr", "--plan-out", "nowhere/plan.json")
    told = scimhub(*words)
    assert (told.code, "1 created" in told.output) == (1, True)
    assert told.errors == "The plan cannot be written to nowhere/plan.json: No such file or directory.\n"
    again = scimhub(*words, "--json")
    assert (again.code, json.loads(again.output)["counts"]["unchanged"]) == (1, 1)
