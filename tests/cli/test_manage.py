"""The verbs on directories, sources, tokens and schemas, on a database that no hub has open."""

import json
from pathlib import Path

import pytest

from tests.cli.command import Scimhub, column

BADGE = {"id": "urn:example:scim:schemas:Badge", "name": "Badge", "attributes": [{"name": "badgeNumber"}]}


def test_a_directory_its_source_and_a_token_are_made(scimhub: Scimhub):
    made = scimhub("directory", "create", "acme", "--json").json
    assert made["base_url"] == "http://127.0.0.1:8080/scim/acme/v2"
    assert column(scimhub("directory", "list", "--json").json, "name") == ["acme"]
    source = scimhub("source", "create", "okta", "-d", "acme", "--dialect", "strict", "--json").json
    assert (source["name"], source["dialect"]) == ("okta", "strict")
    token = scimhub("token", "create", "-d", "acme", "-s", "okta", "--permission", "read", "--expires", "never", "--json").json
    assert (token["permissions"], token["expires"], token["secret"][:8]) == (["read"], None, "scimhub_")
    (listed,) = scimhub("token", "list", "-d", "acme", "-s", "okta", "--json").json
    assert listed == {key: value for key, value in token.items() if key not in ("secret", "base_url")}
    assert scimhub("token", "revoke", token["id"], "-d", "acme", "-s", "okta", "--json").json["state"] == "revoked"


def test_for_people_there_are_tables_and_the_next_step(scimhub: Scimhub):
    made = scimhub("directory", "create", "acme")
    assert (made.code, made.errors) == (0, "")
    assert "http://127.0.0.1:8080/scim/acme/v2" in made.output
    assert "Next: scimhub source create NAME --directory acme" in made.output
    heading, row = scimhub("directory", "list").output.splitlines()
    assert heading.split() == ["name", "base", "url", "created", "deletion", "requested"]
    assert row.split()[:2] == ["acme", "http://127.0.0.1:8080/scim/acme/v2"]
    assert scimhub("source", "list", "-d", "acme").output == "Directory acme has no source.\n"


def test_a_token_is_printed_on_a_line_of_its_own(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    scimhub("source", "create", "okta", "-d", "acme")
    lines = scimhub("token", "create", "-d", "acme", "-s", "okta").output.splitlines()
    assert lines[0] == "SCIM base URL: http://127.0.0.1:8080/scim/acme/v2"
    assert lines[1].startswith("Bearer token:  scimhub_")
    assert lines[2].endswith("It is shown this once.")


def test_a_refusal_is_sentences_on_standard_error_and_code_1(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    again = scimhub("directory", "create", "acme")
    assert (again.code, again.output) == (1, "")
    assert "acme" in again.errors
    wrong = scimhub("source", "create", "A", "-d", "acme", "--dialect", "none", "--returning", "never")
    assert (wrong.code, len(wrong.errors.splitlines())) == (1, 3)
    absent = scimhub("directory", "show", "none", "--json")
    sentence = "There is no directory 'none'; list those there are with: scimhub directory list."
    assert (absent.code, json.loads(absent.output), absent.errors) == (1, {"problems": [sentence]}, f"{sentence}\n")


def test_wrong_usage_is_code_2(scimhub: Scimhub):
    assert scimhub("directory", "create").code == 2
    assert scimhub("directory", "paint").code == 2


def test_wrong_settings_are_code_2_and_all_told(scimhub: Scimhub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_PORT", "x")
    monkeypatch.setenv("SCIMHUB_PROT", "1")
    wrong = scimhub("directory", "list")
    assert (wrong.code, wrong.output, len(wrong.errors.splitlines())) == (2, "", 2)


def test_the_settings_file_can_be_named(scimhub: Scimhub, home: Path):
    (home / "other.toml").write_text('database = "elsewhere/hub.db"\npublic_url = "https://hub.example"\n')
    made = scimhub("--config", "other.toml", "directory", "create", "acme", "--json").json
    assert made["base_url"] == "https://hub.example/scim/acme/v2"
    assert (home / "elsewhere" / "hub.db").exists()


def test_looking_makes_no_database(scimhub: Scimhub, home: Path):
    looked = scimhub("directory", "list")
    assert looked.code == 1
    assert (
        looked.errors == "There is no database data/scimhub.db; start the hub with: scimhub serve, or set SCIMHUB_DATABASE.\n"
    )
    assert not (home / "data").exists()


def test_a_directory_goes_in_two_steps(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    assert scimhub("directory", "delete", "acme", "--confirm", "acme").code == 1
    first = scimhub("directory", "delete", "acme")
    assert "Nothing is removed yet. To remove all of it: scimhub directory delete acme --confirm acme" in first.errors
    second = scimhub("directory", "delete", "acme", "--confirm", "acme")
    assert second.output == "Directory acme is removed with everything in it.\n"
    assert scimhub("directory", "list", "--json").json == []


def test_a_script_sees_by_the_exit_code_whether_a_directory_is_gone(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    first = scimhub("directory", "delete", "acme", "--json")
    assert (first.code, json.loads(first.output)["deletion_requested"] is None) == (1, False)
    assert scimhub("directory", "show", "acme").code == 0
    assert scimhub("directory", "delete", "acme", "--confirm", "acme", "--json").json == {"deleted": "acme"}


def test_a_source_is_changed_and_removed(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    scimhub("source", "create", "okta", "-d", "acme")
    assert (
        scimhub("source", "update", "okta", "-d", "acme", "--returning", "external_id", "--json").json["returning"]
        == "external_id"
    )
    assert scimhub("source", "show", "okta", "-d", "acme", "--json").json["dialect"] == "lenient"
    scimhub("token", "create", "-d", "acme", "-s", "okta")
    assert scimhub("source", "delete", "okta", "-d", "acme", "--json").json == {"deleted": "okta"}
    assert scimhub("source", "list", "-d", "acme", "--json").json == []


YAML = """
id: urn:example:scim:schemas:Badge
name: Badge
extends: [Group]
attributes:
  - name: badgeNumber
    caseExact: true
"""


@pytest.mark.parametrize("file, text", [("badge.json", json.dumps(BADGE)), ("badge.yaml", YAML), ("badge.yml", YAML)])
def test_a_schema_comes_from_a_json_or_yaml_file(scimhub: Scimhub, home: Path, file: str, text: str):
    (home / file).write_text(text)
    scimhub("directory", "create", "acme")
    report = scimhub("schema", "add", file, "-d", "acme", "--json").json
    assert report["schemas"] == [BADGE["id"]]
    assert str(BADGE["id"]) in column(scimhub("schema", "list", "-d", "acme", "--json").json, "id")
    assert json.loads(scimhub("schema", "show", str(BADGE["id"]), "-d", "acme").output)["name"] == "Badge"
    assert scimhub("schema", "remove", str(BADGE["id"]), "-d", "acme", "--json").json["schemas"] == [BADGE["id"]]


def test_a_schema_comes_from_standard_input(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    assert scimhub("schema", "add", "-", "-d", "acme", "--json", input=YAML).json["schemas"] == [BADGE["id"]]


@pytest.mark.parametrize(
    "file, text, sentence",
    [
        ("a.json", "{", "a.json is not JSON: "),
        ("a.yaml", "a: [", "a.yaml is neither JSON nor YAML: "),
        ("absent.json", None, "absent.json cannot be read: No such file or directory."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(scimhub: Scimhub, home: Path, file: str, text: str | None, sentence: str):
    if text is not None:
        (home / file).write_text(text)
    scimhub("directory", "create", "acme")
    refused = scimhub("schema", "add", file, "-d", "acme")
    assert (refused.code, refused.errors.startswith(sentence)) == (1, True)


def test_a_wrong_schema_is_refused_with_every_mistake(scimhub: Scimhub, home: Path):
    (home / "a.json").write_text(json.dumps({"id": "badge", "attributes": [{"name": "1"}, {"name": "a", "type": "text"}]}))
    scimhub("directory", "create", "acme")
    assert len(scimhub("schema", "add", "a.json", "-d", "acme").errors.splitlines()) == 3
