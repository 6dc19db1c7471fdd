"""What columns mean."""

import pytest

from scimhub.bulkload import mapping
from scimhub.bulkload.mapping import Unmapped
from scimhub.scim.catalog import ENTERPRISE_URN, standard_catalog

USER = standard_catalog().kinds["User"]


def resource(header: list[str], cells: list[str], given: object = None) -> dict[str, object]:
    return mapping.map_columns(header, USER, given).resource_of(cells)


@pytest.mark.parametrize(
    "column, cell, expected",
    [
        ("userName", "ines", {"userName": "ines"}),
        ("USERNAME", "ines", {"userName": "ines"}),
        ("name.givenName", "Inês", {"name": {"givenName": "Inês"}}),
        ('emails[type eq "work"].value', "a@b", {"emails": [{"value": "a@b", "type": "work"}]}),
        ("emails.value", "a@b", {"emails": [{"value": "a@b"}]}),
        ('addresses[type eq "work"].locality', "Ulm", {"addresses": [{"locality": "Ulm", "type": "work"}]}),
        (f"{ENTERPRISE_URN}:department", "Sales", {ENTERPRISE_URN: {"department": "Sales"}}),
        ("department", "Sales", {ENTERPRISE_URN: {"department": "Sales"}}),
        ("manager.userName", "kim", {ENTERPRISE_URN: {"manager": {"userName": "kim"}}}),
        ("manager.externalId", "7", {ENTERPRISE_URN: {"manager": {"externalId": "7"}}}),
        ("active", " No ", {"active": False}),
        ("active", "perhaps", {"active": "perhaps"}),
        ("externalId", "0042", {"externalId": "0042"}),
        ("title", "", {}),
    ],
)
def test_a_column_called_like_a_path_fills_that(column: str, cell: str, expected: dict[str, object]):
    assert resource([column], [cell]) == expected


def test_a_map_says_what_other_columns_mean():
    given = {
        "columns": {
            "Login": "userName",
            "Phones": {"to": "phoneNumbers.value", "separator": "/"},
            "State": {"to": "active", "values": {"aktiv": "true", "inaktiv": "false"}},
            "Shoe": "ignore",
        }
    }
    assert resource(["login", "Phones", "State", "Shoe"], ["ines", "1 / 2", "Inaktiv", "42"], given) == {
        "userName": "ines",
        "phoneNumbers": [{"value": "1"}, {"value": "2"}],
        "active": False,
    }


@pytest.mark.parametrize(
    "header, given, sentence",
    [
        (["userName", "Vorname"], None, "The column 'Vorname' is no attribute of User; perhaps name.givenName is meant."),
        (["userName", "Shoe"], None, "The column 'Shoe' is no attribute of User; write ignore in the map to leave it out."),
        (
            ["userName", "emails"],
            None,
            "The column 'emails' is no attribute of User; perhaps emails[type eq \"work\"].value is meant.",
        ),
        (["userName", "groups"], None, "groups are loaded with their members from NDJSON"),
        (["userName", "Login"], {"columns": {"Login": "userName"}}, "The columns 'userName' and 'Login' mean the same"),
        (["a"], {"columns": {"a": "nothing"}}, "'nothing' is no attribute of User."),
        (["a"], {"columns": {"a": "id"}}, "is read-only"),
        (["a"], {"columns": {"a": "emails"}}, "has parts; name the one that is meant, such as emails.value."),
        (["a"], {"columns": {"a": "userName", "b": "title"}}, "The map speaks of the column 'b', which the file has not."),
        (["a"], {"columns": {"a": {"to": "userName", "valeus": {}}}}, "has the key 'valeus'"),
        (["a"], {"a": "userName"}, "The map has one key, columns"),
        (["a"], {"columns": {"a": "ignore"}}, "No column of the file means anything"),
        (["a"], {"columns": {"a": ["userName"]}}, "must be a path, ignore, or an object"),
    ],
)
def test_what_a_column_means_is_never_guessed(header: list[str], given: object, sentence: str):
    with pytest.raises(Unmapped) as refused:
        mapping.map_columns(header, USER, given)
    assert sentence in str(refused.value)


def test_the_suggested_map_is_yaml_that_names_every_unknown_column():
    with pytest.raises(Unmapped) as refused:
        mapping.map_columns(["userName", 'E-Mail "work"', "Email", "Größe"], USER)
    assert refused.value.suggestion == (
        'columns:\n  "E-Mail \\"work\\"": ignore\n  "Email": \'emails[type eq "work"].value\'\n  "Größe": ignore\n'
    )
