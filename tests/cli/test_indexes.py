"""The verbs on search indexes, on a database that no hub has open: the command itself builds the index then."""

import pytest

from tests.cli.command import Scimhub


@pytest.fixture
def acme(scimhub: Scimhub) -> Scimhub:
    scimhub("directory", "create", "acme")
    return scimhub


def test_an_index_is_added_shown_and_removed(acme: Scimhub):
    made = acme("index", "add", "emails", "-d", "acme", "--json").json
    assert (made["attribute"], made["type"], made["state"], made["done"]) == ("emails.value", "User", "ready", 0)
    assert made["operators"] == ["co", "ew"]
    assert acme("index", "list", "-d", "acme", "--json").json == [made]
    assert acme("index", "show", "emails.value", "-d", "acme", "--json").json == made
    assert acme("index", "remove", "emails.value", "-d", "acme", "--json").json["state"] == "removing"
    assert acme("index", "list", "-d", "acme").output == "Directory acme has no search index.\n"


def test_for_people_there_are_sentences_and_tables(acme: Scimhub):
    assert acme("index", "add", "title", "-d", "acme").output == (
        "title of User is indexed, 0 resources; filters use it from now on.\n"
    )
    heading, row = acme("index", "list", "-d", "acme").output.splitlines()
    assert heading.split() == ["attribute", "type", "state", "operators", "done", "total", "created"]
    assert row.split()[:7] == ["title", "User", "ready", "co,", "ew,", "sw,", "eq"]
    assert "state      ready" in acme("index", "show", "title", "-d", "acme").output
    assert acme("index", "remove", "title", "-d", "acme").output == "title of User has no search index any more.\n"


@pytest.mark.parametrize(
    "words, problem",
    [
        (("add", "title", "-d", "nowhere"), "There is no directory"),
        (("add", "shoeSize", "-d", "acme"), "shoeSize is no attribute of User"),
        (("add", "title", "-d", "acme", "--type", "Robot"), "There is no resource type 'Robot'; there are User, Group."),
        (("show", "title", "-d", "acme"), "title of User in directory acme has no search index."),
        (("remove", "title", "-d", "acme"), "title of User in directory acme has no search index."),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(acme: Scimhub, words: tuple[str, ...], problem: str):
    refused = acme("index", *words)
    assert refused.code == 1
    assert problem in refused.errors
