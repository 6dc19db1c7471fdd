"""Every profile is sound, names the source of each fact, and works against an application that keeps its limits."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from scimhub.destinations import kinds, scim_profile
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Delivered
from scimhub.scim import paths
from scimhub.scim.catalog import standard_catalog
from tests.destinations.receivers import Received
from tests.destinations.scim_application import Answer, error, on_stage

FOLDER = Path(scim_profile.__file__).parent / "profiles"
NAMES = scim_profile.names()
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
RICH = {
    "userName": "kim@example.com",
    "displayName": "Kim Reyes",
    "name": {"givenName": "Kim", "familyName": "Reyes"},
    "emails": [
        {"value": "home@example.com", "type": "home", "display": "at home"},
        {"value": "kim@example.com", "type": "work", "primary": True, "display": "at work"},
    ],
    "phoneNumbers": [{"value": "1"}, {"value": "2"}],
    "photos": [{"value": "https://example.com/k.png"}],
    "roles": [{"value": "user"}],
    "active": True,
    ENTERPRISE: {"department": "IT"},
}


def test_the_profiles_that_were_promised_are_there():
    assert (
        *("generic", "atlassian", "aws_identity_center", "databricks", "github", "google_cloud_identity"),
        *("salesforce", "slack", "snowflake", "zoom"),
    ) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_sound_and_each_fact_names_its_source(name: str):
    written = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    profile = scim_profile.parse(written)
    assert profile.name == name
    assert set(written["sources"]) == set(written) - {"name", "title", "notes", "sources"}
    assert all(written["sources"].values())


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_names_attributes_that_there_are(name: str):
    profile = scim_profile.load(name)
    for of_type, kind in ((profile.user, "User"), (profile.group, "Group")):
        for path in (*(of_type.attributes or ()), *of_type.single, *of_type.required, *(of_type.lookups or ())):
            assert standard_catalog().kinds[kind].resolve(paths.parse_attribute(path), short_names=False), path


@pytest.mark.parametrize(
    "change, said",
    [
        ({"name": ""}, "A profile needs name."),
        ({"colour": "red"}, "A profile has no key 'colour'"),
        ({"user": []}, "The user of a profile must be an object."),
        ({"user": {"update": "post"}}, "The user.update must be patch, put or null."),
        ({"user": {"required": "userName"}}, "The user.required must be a list of paths."),
        ({"user": {"verb": 1}}, "The user of a profile has no key 'verb'"),
        ({"members_per_patch": 0}, "The members_per_patch must be a whole number from 1 to 10000."),
        ({"member_removal": "all"}, "The member_removal must be filter or value."),
        ({"per_minute": 0}, "The per_minute must be a number above 0, or null."),
        ({"etag": "yes"}, "The etag must be true or false."),
        ({"page_size": 7, "sources": {}}, "The fact page_size names no source."),
    ],
)
def test_every_mistake_in_a_profile_is_told(change: dict[str, Any], said: str):
    sources = dict.fromkeys(("page_size", *change), "a page")
    with pytest.raises(Invalid) as refused:
        scim_profile.parse({"name": "x", "title": "X", "sources": sources, **change})
    assert [problem[: len(said)] for problem in refused.value.problems] == [said]


def top_of(path: str) -> str:
    """The top-level attribute of the path, or the URN of an extension."""
    if path.startswith("urn:"):
        return path if path.endswith(":User") else path.rpartition(":")[0]
    return path.partition(".")[0].partition("[")[0]


def keeps_limits(name: str) -> Any:
    """An application that refuses whatever its own profile says that it does not take."""
    profile = scim_profile.load(name)

    def fault(request: Received, body: Any) -> Answer | None:
        if body is None:
            return None
        is_group = "/Groups" in request.path
        of_type = profile.group if is_group else profile.user
        operations = body.get("Operations", [])
        members = [one for op in operations if op["path"].startswith("members") for one in op.get("value") or [op]]
        if request.method == "PUT" or len(operations) > profile.operations_per_patch:
            return error(400, "invalidSyntax")
        if len(members) > profile.members_per_patch or "members" in body:
            return error(400, "tooMany")
        written = {**body, **{op["path"]: op.get("value") for op in operations}}
        if any(len(written.get(path) or ()) > 1 for path in of_type.single):
            return error(400, "invalidValue")
        allowed = {top_of(path) for path in of_type.attributes or ()} | {"schemas", "members", "Operations"}
        if of_type.attributes is not None and not {top_of(path) for path in written} <= allowed:
            return error(400, "invalidPath")
        return None

    return fault


@pytest.mark.parametrize("name", NAMES)
async def test_an_application_that_keeps_its_limits_takes_all_that_is_sent(tmp_path: Path, name: str):
    started = time.monotonic()
    async with on_stage(tmp_path, profile=name, overrides={"per_minute": None}) as stage:
        stage.application.faults.append(keeps_limits(name))
        assert await stage.send("user.created", "k", 1, **RICH) == Delivered()
        assert await stage.send("user.created", "l", 1, **{**RICH, "userName": "l@example.com"}) == Delivered()
        assert await stage.send("user.updated", "k", 2, **{**RICH, "displayName": "Dr Kim"}) == Delivered()
        assert await stage.send("group.created", "g", 1, displayName="staff", added=("k", "l")) == Delivered()
        assert await stage.send("group.member.removed", "g", 2, displayName="staff", removed=("k", "l")) == Delivered()
        assert await stage.send("user.deleted", "k", 3) == Delivered()
        there = next(one for one in stage.application.users.values() if one["externalId"] == "k")
        assert (there["displayName"], there["active"], stage.application.members("staff")) == ("Dr Kim", False, set())
        checked = await stage.send("test", "t")
        assert isinstance(checked, Delivered)
        assert set(scim_profile.load(name).notes) <= set(checked.notes)
    assert time.monotonic() - started < 30


async def test_of_several_values_the_primary_goes_out_and_only_what_is_listed(tmp_path: Path):
    async with on_stage(tmp_path, profile="aws_identity_center") as stage:
        await stage.send("user.created", "k", 1, **RICH)
        (body,) = stage.application.bodies("POST")
        assert body["emails"] == [{"value": "kim@example.com", "type": "work", "primary": True}]
        assert body["phoneNumbers"] == [{"value": "1"}]
        assert "photos" not in body


async def test_members_are_removed_by_value_where_the_profile_says_so(tmp_path: Path):
    async with on_stage(tmp_path, overrides={"member_removal": "value"}) as stage:
        for id in ("a", "b"):
            await stage.send("user.created", id, 1, userName=id)
        await stage.send("group.created", "g", 1, displayName="staff", added=("a", "b"))
        await stage.send("group.member.removed", "g", 2, displayName="staff", removed=("a", "b"))
        assert stage.application.members("staff") == set()
        assert [op["path"] for op in stage.application.bodies("PATCH")[-1]["Operations"]] == ["members"]


def problems(**configuration: Any) -> list[str]:
    kind = kinds(Policy(), lambda: 0.0, object())["scim_app"]  # type: ignore[arg-type]  # nothing is looked up
    with pytest.raises(Invalid) as refused:
        kind.check({"base_url": "https://app.example/scim", **configuration})
    return refused.value.problems


@pytest.mark.parametrize(
    "configuration, said",
    [
        ({"base_url": None}, "A SCIM application needs base_url"),
        ({"base_url": "https://app.example/scim?tenant=1"}, "The base_url has a query"),
        ({"base_url": "http://127.0.0.1/"}, "The host of the base_url cannot be used: "),
        ({"profile": "slck"}, "There is no profile 'slck'; there are generic, "),
        ({"overrides": {"page_sizes": 1}}, "The overrides of a profile has no key 'page_sizes'; did you mean page_size?"),
        ({"overrides": {"burst": -1}}, "The burst must be a whole number from 1 to 10000."),
        ({"overrides": 3}, "The overrides must be an object"),
        ({"match": {"Badge": "x"}}, "The match must be an object"),
        ({"match": {"User": "user name"}}, "The match of User must name an attribute, such as userName."),
        ({"on_delete": "forget"}, "The on_delete is 'forget'; it must be deactivate or delete or deactivate_then_delete."),
        ({"delete_after_days": 0}, "The delete_after_days is 0; it must be a whole number of days from 1 to 3650."),
        ({"auth": "bearer"}, "The auth must be an object whose type is one of none, bearer, basic, oauth, mtls"),
        ({"auth": {"type": "bearer", "token": "x"}}, "The auth holds token; a secret is given apart"),
        ({"auth": {"type": "basic", "username": "a:b"}}, "The username of the auth has a colon, which nobody"),
        ({"auth": {"type": "basic"}}, "The auth basic needs username, a text."),
        ({"auth": {"type": "oauth", "client_id": "c"}}, "The auth needs token_url, where tokens are fetched"),
        ({"auth": {"type": "oauth", "client_id": "c", "token_url": "http://127.1/"}}, "The host of the token_url cannot be"),
        ({"baseurl": "x"}, "The configuration of a SCIM application has no key 'baseurl'; did you mean base_url?"),
    ],
)
def test_every_mistake_of_a_configuration_is_told(configuration: dict[str, Any], said: str):
    assert [problem[: len(said)] for problem in problems(**configuration)] == [said]


def test_a_secret_is_brought_and_never_made_or_shown():
    kind = kinds(Policy(), lambda: 0.0, object())["scim_app"]  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        kind.make_secret("password", lambda length: b"x" * length)
    for text in ("", "two\nlines", "ümlaut", "x" * 70_000):
        with pytest.raises(Invalid):
            kind.parse_secret(text, {})
    assert kind.parse_secret("a token", {}) == ("password", b"a token")
    assert [kind.purpose(wish) for wish in ({}, {"auth": {"type": "basic"}}, {"auth": "bearer"})] == ["password"] * 3
    assert kind.purpose({"auth": {"type": "none"}}) is None
