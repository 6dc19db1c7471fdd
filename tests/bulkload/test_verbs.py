"""Import and export by the command line, end to end, on a database that no hub has open."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Scimhub

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ACME = ("-d", "acme", "-s", "hr")


def write(path: Path, *resources: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in resources))
    return str(path)


def user(name: str, /, **attributes: Any) -> dict[str, Any]:
    return {"schemas": [USER], "userName": name, **attributes}


def group(name: str, /, *members: dict[str, str], **attributes: Any) -> dict[str, Any]:
    return {"schemas": [GROUP], "displayName": name, "members": list(members), **attributes}


def exported(scimhub: Scimhub, directory: str = "acme", *words: str) -> list[dict[str, Any]]:
    """What an export holds, members of groups put together."""
    made = scimhub("export", "-d", directory, *words)
    assert made.code == 0, made.errors
    found: list[dict[str, Any]] = []
    for line in made.output.splitlines():
        resource = json.loads(line)
        if "membersOf" in resource:
            assert found[-1]["id"] == resource["membersOf"]
            found[-1]["members"] += resource["members"]
        else:
            found.append(resource)
    return found


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {action: count for action, count in report["counts"].items() if count}


def nameless(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The resources without what differs between two directories: ids become names."""
    names = {each["id"]: each.get("userName") or each.get("displayName") for each in resources}

    def strip(resource: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in resource.items() if name not in ("id", "meta")}
        if "members" in kept:
            kept["members"] = sorted(names[member["value"]] for member in kept["members"])
        if "manager" in kept.get(ENTERPRISE, {}):
            kept[ENTERPRISE] = {**kept[ENTERPRISE], "manager": names[kept[ENTERPRISE]["manager"]["value"]]}
        return kept

    return sorted((strip(each) for each in resources), key=lambda each: str(each.get("userName") or each["displayName"]))


POPULATION = [
    user("ines@example.com", externalId="e1", name={"givenName": "Inês", "familyName": "Okoro"}, title="=1+1"),
    user("kim@example.com", active=False, emails=[{"value": "kim@example.com", "type": "work", "primary": True}]),
    # A manager may stand behind whoever has them.
    user("lou@example.com", **{ENTERPRISE: {"department": "Sales, North", "manager": {"userName": "MAX@example.com"}}}),
    user("max@example.com", **{ENTERPRISE: {"manager": {"externalId": "e1"}}}),
    # A group may stand before its members.
    group("everybody", {"displayName": "sales"}, {"userName": "ines@example.com"}),
    group("sales", {"userName": "lou@example.com"}, {"userName": "Kim@example.com"}, externalId="g1"),
]


def test_users_and_groups_are_created_with_references_resolved(scimhub: Scimhub, home: Path):
    report = scimhub("import", write(home / "all.ndjson", *POPULATION), *ACME, "--json").json
    assert (report["dry_run"], counts(report), report["refused"]) == (False, {"created": 6}, [])
    by_name = {each.get("userName") or each["displayName"]: each for each in exported(scimhub)}
    assert by_name["lou@example.com"][ENTERPRISE]["manager"]["value"] == by_name["max@example.com"]["id"]
    assert by_name["max@example.com"][ENTERPRISE]["manager"]["value"] == by_name["ines@example.com"]["id"]
    assert [member["value"] for member in by_name["everybody"]["members"]] == [
        by_name["ines@example.com"]["id"],
        by_name["sales"]["id"],
    ]
    assert by_name["ines@example.com"]["externalId"] == "e1"


def test_a_second_import_of_the_same_file_changes_nothing(scimhub: Scimhub, home: Path):
    file = write(home / "all.ndjson", *POPULATION)
    scimhub("import", file, *ACME)
    before = exported(scimhub)
    for mode in ("upsert", "create", "mirror"):
        assert counts(scimhub("import", file, *ACME, "--mode", mode, "--json").json) == {"unchanged": 6}
    assert exported(scimhub) == before


def test_an_export_imported_into_an_empty_directory_gives_equal_resources(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *POPULATION), *ACME)
    assert scimhub("export", "-d", "acme", "-o", "out.ndjson").code == 0
    assert counts(scimhub("import", "out.ndjson", "-d", "copy", "-s", "hr", "--json").json) == {"created": 6}
    copied = exported(scimhub, "copy")
    assert nameless(copied) == nameless(exported(scimhub))
    assert {each["id"] for each in copied}.isdisjoint(each["id"] for each in exported(scimhub))


def test_ids_are_kept_when_asked(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *POPULATION), *ACME)
    scimhub("export", "-d", "acme", "-o", "out.ndjson")
    before = exported(scimhub)
    scimhub("directory", "delete", "acme")
    scimhub("directory", "delete", "acme", "--confirm", "acme")
    report = scimhub("import", "out.ndjson", "-d", "copy", "-s", "hr", "--keep-ids", "--json").json
    assert counts(report) == {"created": 6}
    assert [each["id"] for each in exported(scimhub, "copy")] != []
    assert {each["id"]: each.get("members") for each in exported(scimhub, "copy")} == {
        each["id"]: each.get("members") for each in before
    }


def test_an_id_that_is_taken_is_refused_in_a_sentence(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", user("ines@example.com")), *ACME)
    (ines,) = exported(scimhub)
    file = write(home / "again.ndjson", {**ines, "userName": "other@example.com"}, user("x@example.com", id="not-an-id"))
    refused = scimhub("import", file, *ACME, "--keep-ids", "--json")
    assert [each["detail"] for each in json.loads(refused.output)["refused"]] == [
        f"Another User has the id {ines['id']}.",
        "The id 'not-an-id' cannot be kept: it has not the form of a UUID in lower case.",
    ]
    elsewhere = scimhub("import", write(home / "e.ndjson", ines), "-d", "copy", "-s", "hr", "--keep-ids", "--json")
    assert [each["status"] for each in json.loads(elsewhere.output)["refused"]] == [409]


def test_a_file_of_another_system_keeps_its_own_ids_apart(scimhub: Scimhub, home: Path):
    file = write(
        home / "other.ndjson",
        group("team", {"value": "u-2"}, {"value": "u-1"}, id="g-1"),
        user("a@example.com", id="u-1", **{ENTERPRISE: {"manager": {"value": "u-2"}}}),
        user("b@example.com", id="u-2"),
    )
    assert counts(scimhub("import", file, *ACME, "--json").json) == {"created": 3}
    assert nameless(exported(scimhub)) == [
        user("a@example.com", active=True, **{ENTERPRISE: {"manager": "b@example.com"}}) | {"schemas": [USER, ENTERPRISE]},
        user("b@example.com", active=True),
        {"schemas": [GROUP], "displayName": "team", "members": ["a@example.com", "b@example.com"]},
    ]
    assert counts(scimhub("import", file, *ACME, "--json").json) == {"unchanged": 3}


CSV = """\ufeffuserName;name.givenName;emails[type eq "work"].value;department;active\r
ines@example.com;Inês;ines@example.com;"Sales;\r
North";TRUE\r
kim@example.com;;kim@work.example;;no\r
"""


def test_a_table_as_excel_writes_it_is_understood(scimhub: Scimhub, home: Path):
    (home / "people.csv").write_text(CSV, "utf-8", newline="")
    assert counts(scimhub("import", "people.csv", *ACME, "--json").json) == {"created": 2}
    ines, kim = exported(scimhub)
    assert (ines["name"], ines["active"], ines[ENTERPRISE]) == ({"givenName": "Inês"}, True, {"department": "Sales;\r\nNorth"})
    assert ("name" in kim, kim["active"], kim["emails"]) == (False, False, [{"value": "kim@work.example", "type": "work"}])


def test_a_table_changes_only_the_places_that_it_has_columns_for(scimhub: Scimhub, home: Path):
    whole = user(
        "ines@example.com",
        title="Clerk",
        name={"givenName": "Ines", "familyName": "Okoro"},
        emails=[{"value": "old@example.com", "type": "work"}, {"value": "home@example.com", "type": "home"}],
        externalId="e1",
    )
    scimhub("import", write(home / "all.ndjson", whole), *ACME)
    (home / "people.csv").write_text(
        'userName,name.givenName,"emails[type eq ""work""].value",title\nINES@example.com,Inês,new@example.com,\n'
    )
    report = scimhub("import", "people.csv", *ACME, "--json").json
    assert (counts(report), report["attributes"]) == (
        {"updated": 1},
        {"name.givenName": 1, "emails": 1, "title": 1, "userName": 1},
    )
    (ines,) = exported(scimhub)
    assert ines["name"] == {"givenName": "Inês", "familyName": "Okoro"}
    assert ines["emails"] == [{"value": "new@example.com", "type": "work"}, {"value": "home@example.com", "type": "home"}]
    assert ("title" in ines, ines["externalId"]) == (False, "e1")


def test_a_table_exported_and_imported_gives_the_same_table(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *POPULATION[:4]), *ACME)
    table = scimhub("export", "-d", "acme", "--format", "csv").output
    (home / "out.csv").write_text(table, newline="")
    assert counts(scimhub("import", "out.csv", "-d", "copy", "-s", "hr", "--json").json) == {"created": 4}
    assert scimhub("export", "-d", "copy", "--format", "csv").output == table
    assert "'=1+1" in scimhub("export", "-d", "acme", "--format", "csv", "--guard-formulas").output


def test_columns_that_mean_nothing_are_refused_with_a_map_that_would_do(scimhub: Scimhub, home: Path):
    (home / "people.csv").write_text("Login,Vorname,Status,Shoe size,Groups\nines,Inês,on,42,a\n")
    refused = scimhub("import", "people.csv", *ACME)
    assert (refused.code, refused.output) == (1, "")
    assert "The column 'Login' is no attribute of User; perhaps userName is meant." in refused.errors
    suggestion = refused.errors[refused.errors.index("columns:") :]
    (home / "map.yaml").write_text(suggestion)
    assert 'Shoe size": ignore' in suggestion
    wrong = scimhub("import", "people.csv", *ACME, "--map", "map.yaml", "--json")
    assert "active" in json.loads(wrong.output)["refused"][0]["detail"]
    (home / "map.yaml").write_text(suggestion.replace("'active'", "{to: active, values: {on: true, off: false}}"))
    assert counts(scimhub("import", "people.csv", *ACME, "--map", "map.yaml", "--json").json) == {"created": 1}
    (ines,) = exported(scimhub)
    assert (ines["userName"], ines["active"], ines["name"]) == ("ines", True, {"givenName": "Inês"})


def test_a_refused_record_names_its_line_and_lets_the_others_go_on(scimhub: Scimhub, home: Path):
    (home / "people.ndjson").write_text(
        json.dumps(user("a@example.com"))
        + "\n\nnot json\n"
        + "\n".join(
            json.dumps(each)
            for each in (
                user("A@example.com"),
                {"schemas": [USER], "displayName": "nobody"},
                user("b@example.com", active="perhaps"),
                user("c@example.com", title="x\0y"),
                user("d@example.com", **{ENTERPRISE: {"manager": {"userName": "stranger@example.com"}}}),
                group("g", {"value": "01890000-0000-7000-8000-000000000000"}),
                {"schemas": ["urn:example:none"], "userName": "e"},
                user("z@example.com"),
            )
        )
    )
    ran = scimhub("import", "people.ndjson", *ACME, "--json")
    report = json.loads(ran.output)
    assert (ran.code, counts(report)) == (1, {"created": 2, "refused": 8})
    refused = {each["line"]: each["detail"] for each in report["refused"]}
    assert sorted(refused) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert refused[3].startswith("The line is not JSON")
    assert refused[4] == "An earlier line has the same userName 'a@example.com'; one of the two must go."
    assert "no userName" in refused[5]
    assert "active" in refused[6]
    assert "U+0000" in refused[7]
    assert refused[8] == "manager: no resource of this directory has the userName 'stranger@example.com'; load it first."
    assert refused[9].startswith("members: no resource of this directory has the id")
    dry = json.loads(scimhub("import", "people.ndjson", "-d", "copy", "-s", "hr", "--dry-run", "--json").output)
    assert [(each["line"], each["detail"]) for each in dry["refused"]] == list(refused.items())


def test_managers_that_were_refused_are_named_in_the_end(scimhub: Scimhub, home: Path):
    report = {ENTERPRISE: {"manager": {"userName": "max"}}}
    file = write(home / "a.ndjson", user("ines", **report), user("max", active="perhaps"))
    assert "are named as managers (max)" in scimhub("import", file, *ACME).output
    write(home / "a.ndjson", user("ines", **report), user("max"))
    assert counts(scimhub("import", file, *ACME, "--json").json) == {"created": 1, "updated": 1}
    ines, max = exported(scimhub)
    assert ines[ENTERPRISE]["manager"]["value"] == max["id"]


def test_groups_in_a_circle_are_refused_and_the_rest_goes_on(scimhub: Scimhub, home: Path):
    file = write(home / "a.ndjson", group("a", {"displayName": "b"}), group("b", {"displayName": "a"}), group("c"))
    ran = scimhub("import", file, *ACME, "--json")
    assert (ran.code, counts(json.loads(ran.output))) == (1, {"created": 1, "refused": 2})


def test_a_dry_run_writes_nothing_and_says_what_is_done_then(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *POPULATION), *ACME)
    before = exported(scimhub)
    file = write(
        home / "next.ndjson",
        user("ines@example.com", externalId="e1", name={"givenName": "Inês"}),
        user("new@example.com", **{ENTERPRISE: {"manager": {"userName": "newer@example.com"}}}),
        user("newer@example.com", active="perhaps"),
        POPULATION[1],
        group("sales", {"userName": "new@example.com"}, externalId="g1"),
        group("of the new", {"userName": "new@example.com"}, {"displayName": "sales"}),
    )
    mirror = ("import", file, *ACME, "--mode", "mirror", "--absent", "delete", "--json")
    plan = json.loads(scimhub(*mirror, "--dry-run").output)
    assert exported(scimhub) == before
    assert not (home / "next.ndjson.import").exists()
    done = json.loads(scimhub(*mirror).output)

    def comparable(report: dict[str, Any]) -> dict[str, Any]:
        samples = {
            action: [{**item, "id": item["id"] if action != "created" else None} for item in items]
            for action, items in report["samples"].items()
        }
        return {**report, "samples": samples, "dry_run": None}

    assert counts(plan) == {"created": 2, "updated": 2, "unchanged": 1, "removed": 3, "refused": 1}
    assert comparable(plan) == comparable(done)
    assert [each.get("userName") or each["displayName"] for each in exported(scimhub)] == [
        "ines@example.com",
        "kim@example.com",
        "new@example.com",
        "sales",
        "of the new",
    ]


def test_a_mirror_deactivates_unless_it_shall_delete(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *(user(f"u{n}") for n in range(4))), *ACME)
    file = write(home / "less.ndjson", user("u0"))
    assert counts(scimhub("import", file, *ACME, "--mode", "mirror", "--json").json) == {"unchanged": 1, "removed": 3}
    assert [each["active"] for each in exported(scimhub)] == [True, False, False, False]
    assert counts(scimhub("import", file, *ACME, "--mode", "mirror", "--json").json) == {"unchanged": 1}
    again = scimhub("import", file, *ACME, "--mode", "mirror", "--absent", "delete", "--json").json
    assert counts(again) == {"unchanged": 1, "removed": 3}
    assert [each["userName"] for each in exported(scimhub)] == ["u0"]


def test_a_mirror_of_an_empty_file_removes_nobody(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *(user(f"u{n}") for n in range(10))), *ACME)
    (home / "empty.csv").write_text("userName,title\n")
    (home / "empty.ndjson").write_text("")
    refused = scimhub("import", "empty.csv", *ACME, "--mode", "mirror")
    assert (refused.code, "would remove 10 of 10" in refused.errors, "--allow-removals 10" in refused.errors) == (1, True, True)
    assert "The file is empty" in scimhub("import", "empty.ndjson", *ACME, "--mode", "mirror").errors
    assert all(each["active"] for each in exported(scimhub))
    (home / "half.csv").write_text("userName,title\nu0,\nu1,x,y\n")
    assert "these are not: 3" in scimhub("import", "half.csv", *ACME, "--mode", "mirror", "--allow-removals", "9").errors
    allowed = scimhub("import", "empty.csv", *ACME, "--mode", "mirror", "--allow-removals", "10", "--json").json
    assert counts(allowed) == {"removed": 10}


def test_a_mirror_by_external_id_leaves_whom_the_source_does_not_know(scimhub: Scimhub, home: Path):
    scimhub("source", "create", "okta", "-d", "acme")
    scimhub(
        "import",
        write(home / "okta.ndjson", user("o1", externalId="1"), user("o2", externalId="9")),
        "-d",
        "acme",
        "-s",
        "okta",
    )
    scimhub(
        "import",
        write(home / "hr.ndjson", user("h1", externalId="1"), user("h2", externalId="2")),
        *ACME,
        "--key",
        "externalId",
    )
    file = write(home / "next.ndjson", user("renamed", externalId="1"))
    report = scimhub("import", file, *ACME, "--key", "externalId", "--mode", "mirror", "--absent", "delete", "--json").json
    assert counts(report) == {"updated": 1, "removed": 1}
    assert [each["userName"] for each in exported(scimhub)] == ["o1", "o2", "renamed"]


def test_create_refuses_who_is_there_and_differs(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", user("ines", title="Clerk")), *ACME)
    ran = scimhub(
        "import", write(home / "new.ndjson", user("ines", title="Chief"), user("kim")), *ACME, "--mode", "create", "--json"
    )
    report = json.loads(ran.output)
    assert (counts(report), report["refused"][0]["line"]) == ({"created": 1, "refused": 1}, 1)
    assert report["refused"][0]["detail"].endswith("differs in title; upsert updates it.")


def test_an_export_can_be_filtered(scimhub: Scimhub, home: Path):
    scimhub("import", write(home / "all.ndjson", *POPULATION), *ACME)
    found = exported(scimhub, "acme", "--type", "User", "--filter", 'active eq false or name.givenName sw "in"')
    assert [each["userName"] for each in found] == ["ines@example.com", "kim@example.com"]
    refused = scimhub("export", "-d", "acme", "--filter", 'groups.value eq "x"')
    assert (refused.code, "cannot be filtered by members or groups" in refused.errors) == (1, True)
    # No type knows it: an empty file would say that there is nobody.
    refused = scimhub("export", "-d", "acme", "--filter", "bogus eq 1")
    assert (refused.code, "bogus is no attribute of User" in refused.errors) == (1, True)
    assert scimhub("export", "-d", "none").code == 1


def test_wrong_words_are_told(scimhub: Scimhub, home: Path):
    write(home / "all.ndjson", user("ines"))
    assert scimhub("import", "all.ndjson", *ACME, "--mode", "replace").code == 2
    assert scimhub("import", "all.ndjson", *ACME, "--key", "name").code == 2
    assert "has no source 'none'" in scimhub("import", "all.ndjson", "-d", "acme", "-s", "none").errors
    assert "cannot be read" in scimhub("import", "none.csv", *ACME).errors
    (home / "people").write_text("")
    assert "say what it is with --format" in scimhub("import", "people", *ACME).errors
    assert scimhub("export", "-d", "acme", "--format", "csv", "--columns", "shoe").code == 2


def test_a_large_group_is_written_in_parts_and_read_again(scimhub: Scimhub, home: Path):
    people = [user(f"u{n:04}") for n in range(1300)]
    everybody = group("everybody", *({"userName": each["userName"]} for each in people))
    assert counts(scimhub("import", write(home / "a.ndjson", *people, everybody), *ACME, "--json").json) == {"created": 1301}
    assert scimhub("export", "-d", "acme", "-o", "out.ndjson").code == 0
    assert sum("membersOf" in line for line in (home / "out.ndjson").read_text().splitlines()) == 1
    assert counts(scimhub("import", "out.ndjson", *ACME, "--json").json) == {"unchanged": 1301}
    assert counts(scimhub("import", "out.ndjson", "-d", "copy", "-s", "hr", "--json").json) == {"created": 1301}
    assert nameless(exported(scimhub, "copy")) == nameless(exported(scimhub))


@pytest.mark.parametrize("mode", ["create", "upsert"])
def test_the_trace_says_who_loaded_somebody_from_which_file(scimhub: Scimhub, home: Path, mode: str):
    scimhub("import", write(home / "people.ndjson", user("ines"), user("kim", active="no")), *ACME, "--mode", mode)
    trace = scimhub("trace", "ines", "-d", "acme", "--json").json
    sent, changed = trace["entries"]
    assert (changed["operation"], changed["source"]) == ("created", "hr")
    exchange = sent["exchange"]
    assert (exchange["source"], exchange["method"], exchange["status"]) == ("hr", "POST", 200)
    assert "file=people.ndjson" in exchange["query"]
    assert "lines=1-2" in exchange["query"]
    assert exchange["detail"].startswith("1 of 2 records were refused; the first, line 2: ")
