"""The verb on the command line."""

import json

import pytest
import typer
from typer.testing import CliRunner

from scimhub.cli.simulate import simulate

commands = typer.Typer()
commands.command()(simulate)


def call(served, *words):
    return CliRunner().invoke(commands, [*words, "--base-url", served.url, "--token", served.token])


def test_a_run_ends_with_a_summary(new_directory):
    served = new_directory()
    result = call(served, "google", "--people", "5", "--compare")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split() == ["request", "count", "statuses", "p50", "p99"]
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "GET /Users/{id}",
        "GET /Users?filter",
        "PATCH /Users/{id}",
        "POST /Users",
    ]
    assert lines[5] == "5 joined, 2 moved, 1 left, 0 deleted, 0 groups"
    assert lines[6].startswith("16 requests in ")
    assert lines[6].endswith(" s, 0 retries, 0 failures")
    assert lines[7] == "The server holds what it should."


def test_json_is_for_machines(new_directory):
    result = call(new_directory(), "entra", "--people", "4", "--story", "join", "--groups", "3", "--seed", "5", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert {key: report[key] for key in ("provider", "joined", "moved", "groups", "failures", "differences")} == {
        "provider": "entra",
        "joined": 4,
        "moved": 0,
        "groups": 3,
        "failures": [],
        "differences": None,
    }


def test_failures_are_told_with_the_servers_words_and_the_exit_code_is_1(new_directory):
    served = new_directory()
    result = CliRunner().invoke(commands, ["okta", "--base-url", served.url, "--token", "wrong", "--compare"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith(
        "Failed: connection test of connection: GET /Users?startIndex answered 401: The bearer token is not known"
    )


def test_the_second_run_of_a_seed_meets_the_people_of_the_first(new_directory):
    served = new_directory()
    assert call(served, "onelogin", "--people", "6", "--story", "join").exit_code == 0
    again = call(served, "onelogin", "--people", "6", "--story", "join", "--compare")
    assert again.exit_code == 0
    assert "POST /Users" not in again.stdout


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "localhost:8080/scim", "http://[", "http://x:y/"])
def test_a_base_url_without_a_server_fails_the_connection_test(url):
    result = CliRunner().invoke(commands, ["okta", "--base-url", url, "--token", "wörd"])
    assert result.exit_code == 1
    assert "Failed: connection test of connection: GET /Users?startIndex answered nothing: No answer: " in result.stdout


WRONG = [
    (["workday"], "There is no provider workday; there are okta, entra, google, onelogin, jumpcloud.\n"),
    (["okta", "--story", "join,quit"], "There is no story quit; there are join, move, leave.\n"),
    (["okta", "--story", ""], "There is no story without a name; there are join, move, leave.\n"),
]


@pytest.mark.parametrize("words, sentence", WRONG)
def test_wrong_words_are_refused_with_exit_code_2(words, sentence):
    result = CliRunner().invoke(commands, words)
    assert (result.exit_code, result.stderr) == (2, sentence)
