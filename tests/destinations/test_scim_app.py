"""A SCIM application as it is kept: made, adopted, changed, deactivated, deleted; members; and every way in which it lies."""

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimhub.destinations.http_authorization import Authorizer
from scimhub.destinations.http_client import HttpClient
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.scim_app_configuration import read
from scimhub.destinations.scim_application import Application as ScimApplication
from scimhub.distribution.delivery import Delivered, Rejected, Retry, Subscription
from tests.destinations.receivers import LOOPBACK, Received, Receiver, receiving, status
from tests.destinations.scim_application import (
    HTML_404,
    TOKEN,
    Answer,
    Application,
    always,
    dropping,
    error,
    on_stage,
    once,
)

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
KIM = {"userName": "kim@example.com", "name": {"givenName": "Kim", "familyName": "Reyes"}, "active": True}


def shown(application: Application, name: str = "kim@example.com") -> dict[str, Any]:
    """The user there, without what the application gave it."""
    found = next(one for one in application.users.values() if one["userName"] == name)
    return {key: value for key, value in found.items() if key not in ("id", "meta", "schemas")}


# --------------------------------------------------------------------------- people


async def test_a_person_is_made_changed_and_deactivated(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        application = stage.application
        assert await stage.send("user.created", "k", 1, **KIM, title="clerk") == Delivered()
        assert shown(application) == {**KIM, "title": "clerk", "externalId": "k"}
        changed = {**KIM, "name": {"givenName": "Kimberly", "familyName": "Reyes"}, ENTERPRISE: {"department": "IT"}}
        assert await stage.send("user.updated", "k", 2, **changed) == Delivered()
        assert shown(application) == {**changed, "externalId": "k"}
        # Only what differs travels.
        assert application.bodies("PATCH")[0]["Operations"] == [
            {"op": "replace", "path": "name.givenName", "value": "Kimberly"},
            {"op": "replace", "path": f"{ENTERPRISE}:department", "value": "IT"},
            {"op": "remove", "path": "title"},
        ]
        assert await stage.send("user.deleted", "k", 3) == Delivered()
        assert shown(application)["active"] is False
        assert (await stage.remote("k")).state == "left"
        assert application.writes() == ["POST Users", "PATCH Users", "PATCH Users"]


async def test_an_event_that_comes_twice_or_late_changes_nothing(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.updated", "k", 3, **KIM, title="boss")
        before = stage.application.writes()
        await stage.reopen()
        assert await stage.send("user.updated", "k", 3, **KIM, title="boss") == Delivered()
        assert await stage.send("user.updated", "k", 2, **KIM, title="clerk") == Delivered()
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered()
        assert await stage.send("user.deleted", "k", 2) == Delivered()
        assert (stage.application.writes(), shown(stage.application)["title"]) == (before, "boss")


async def test_who_was_deleted_is_not_made_again_by_an_older_event(tmp_path: Path):
    async with on_stage(tmp_path, on_delete="delete") as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.deleted", "k", 3)
        await stage.send("user.updated", "k", 2, **KIM)
        assert stage.application.users == {}
        assert stage.application.writes() == ["POST Users", "PATCH Users", "DELETE Users"]  # inactive before deleted


async def test_who_leaves_the_scope_and_comes_back_is_the_same(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.deleted", "k", 2)
        await stage.send("user.created", "k", 3, **KIM)
        assert shown(stage.application)["active"] is True
        assert (len(stage.application.users), (await stage.remote("k")).state) == (1, "present")


async def test_who_is_deleted_later_is_deleted_when_the_days_are_over(tmp_path: Path):
    async with on_stage(tmp_path, on_delete="deactivate_then_delete", delete_after_days=7) as stage:
        for id in ("k", "l"):
            await stage.send("user.created", id, 1, userName=f"{id}@example.com")
            await stage.send("user.deleted", id, 2)
        stage.now += 6 * 86400
        await stage.sender.tend()
        assert len(stage.application.users) == 2
        await stage.send("user.created", "l", 3, userName="l@example.com")  # came back in time
        stage.now += 2 * 86400
        await stage.sender.tend()
        assert [one["userName"] for one in stage.application.users.values()] == ["l@example.com"]
        assert (await stage.remote("k")).state == "gone"


async def test_a_deletion_that_is_due_and_fails_waits(tmp_path: Path):
    async with on_stage(tmp_path, on_delete="deactivate_then_delete", delete_after_days=1) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.deleted", "k", 2)
        stage.now += 2 * 86400
        await stage.send("user.created", "l", 1, userName="l")
        await stage.send("user.deleted", "l", 2)
        stage.now += 2 * 86400
        for answer, left in ((error(500), 2), (error(400), 1)):
            stage.application.faults.append(once(answer, "DELETE"))
            await stage.sender.tend()
            # While the application fails the others wait, too; whom it refuses keeps nobody else.
            assert len(stage.application.users) == left
        await stage.sender.tend()
        assert stage.application.users == {}


async def test_an_update_of_somebody_unknown_makes_them(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert await stage.send("user.updated", "k", 5, **KIM) == Delivered()
        assert shown(stage.application)["userName"] == "kim@example.com"


async def test_deleting_somebody_who_never_came_asks_nothing(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert await stage.send("user.deleted", "k", 2) == Delivered()
        assert stage.application.writes() == []


async def test_a_manager_is_named_by_the_applications_own_id_as_soon_as_it_has_one(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM, **{ENTERPRISE: {"department": "IT", "manager": {"value": "boss"}}})
        assert shown(stage.application)[ENTERPRISE] == {"department": "IT"}
        await stage.send("user.created", "boss", 1, userName="boss@example.com")
        manager = (await stage.remote("boss")).remote_id
        assert shown(stage.application)[ENTERPRISE] == {"department": "IT", "manager": {"value": manager}}
        before = stage.application.writes()
        await stage.send("user.updated", "k", 2, **KIM, **{ENTERPRISE: {"department": "IT", "manager": {"value": "boss"}}})
        assert stage.application.writes() == before


async def test_the_sources_own_external_id_is_sent_on_request(tmp_path: Path):
    async with on_stage(tmp_path, external_id="source") as stage:
        await stage.send("user.created", "k", 1, **KIM, externalId="00u1")
        assert shown(stage.application)["externalId"] == "00u1"


async def test_a_subscription_that_hides_active_says_so_and_sends_none(tmp_path: Path):
    async with on_stage(tmp_path, wish=Subscription(attributes=("userName",))) as stage:
        await stage.send("user.created", "k", 1, userName="kim@example.com")
        assert "active" not in shown(stage.application)
        checked = await stage.send("test", "t")
        assert isinstance(checked, Delivered)
        assert any("does not show the attribute active" in note for note in checked.notes)


async def test_other_resource_types_are_not_sent(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        assert await stage.send("badge.created", "b", 1, number=7) == Delivered()
        assert stage.application.requests == []


# --------------------------------------------------------------------------- who is there already


async def test_who_is_there_already_is_adopted_and_written_whole(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        there = stage.application.add("Users", userName="KIM@example.com", title="old")
        assert await stage.send("user.created", "k", 1, **KIM, title="new") == Delivered()
        assert (await stage.remote("k")).remote_id == there
        assert shown(stage.application)["title"] == "new"


async def test_a_lost_answer_to_a_creation_makes_nobody_twice(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.application.after.append(dropping("POST", "Groups"))
        lost = await stage.send("group.created", "g", 1, displayName="staff")
        assert isinstance(lost, Retry)
        assert (lost.blame, (await stage.remote("g")).state) == ("resource", "creating")
        assert await stage.send("group.created", "g", 1, displayName="staff") == Delivered()
        # Nothing keeps two groups from having one name there: only our own id told that it was made.
        assert len(stage.application.groups) == 1
        assert stage.application.writes() == ["POST Groups", "PATCH Groups"]


async def test_who_was_asked_for_without_an_answer_and_leaves_is_found_and_deactivated(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.application.after.append(dropping("POST", "Users"))
        await stage.send("user.created", "k", 1, **KIM)
        assert await stage.send("user.deleted", "k", 2) == Delivered()
        assert shown(stage.application)["active"] is False


async def test_a_conflict_that_nobody_explains_is_refused_with_a_sentence(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.application.faults.append(always(error(409, "uniqueness"), "POST"))
        refused = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(refused, Rejected)
        assert refused.reason.startswith("The application answered 409 Conflict, and no User of it is found by externalId or")
        assert (await stage.remote("k")).remote_id is None


async def test_an_application_that_ignores_filters_gives_nobody_to_the_wrong_person(tmp_path: Path):
    async with on_stage(tmp_path, Application(ignores_filters=True)) as stage:
        stage.application.add("Users", userName="other@example.com", externalId="x")
        stage.application.faults.append(once(error(409, "uniqueness"), "POST"))
        assert isinstance(await stage.send("user.created", "k", 1, **KIM), Rejected)
        assert "title" not in shown(stage.application, "other@example.com")


async def test_nobody_is_adopted_by_mail_unless_the_match_rule_says_so(tmp_path: Path):
    mails = [{"value": "kim@example.com", "primary": True}]
    for rule, is_adopted in ((None, False), ({"User": "emails.value"}, True)):
        folder = tmp_path / str(is_adopted)
        folder.mkdir()
        async with on_stage(folder, Application(ignores_filters=True), **({"match": rule} if rule else {})) as stage:
            there = stage.application.add("Users", userName="kr", emails=mails)
            stage.application.faults.append(once(error(409, "uniqueness"), "POST"))
            outcome = await stage.send("user.created", "k", 1, **KIM, emails=mails)
            assert isinstance(outcome, Delivered) is is_adopted
            assert ((await stage.remote("k")).remote_id == there) is is_adopted


async def test_two_of_ours_are_never_one_of_theirs(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        refused = await stage.send("user.created", "l", 1, **KIM)
        assert isinstance(refused, Rejected)
        assert refused.reason == (
            "The User that the application has already belongs to our k; two of ours cannot be one of theirs."
        )


async def test_who_comes_back_under_a_new_id_takes_over_what_was_deactivated(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.deleted", "k", 2)
        assert await stage.send("user.created", "l", 1, **KIM) == Delivered()
        assert shown(stage.application) == {**KIM, "externalId": "l"}
        assert ((await stage.remote("k")).remote_id, (await stage.remote("l")).state) == (None, "present")


async def test_an_application_that_finds_whom_it_does_not_have_is_asked_only_once(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.application.add("Users", userName="kim@example.com")
        stage.application.faults.append(always(error(404), "PATCH"))
        refused = await stage.send("user.created", "k", 1, **KIM)
        assert refused == Rejected("The application finds the User, and answers 404 when it is to be changed.", 404)
        assert stage.application.writes() == ["POST Users", "PATCH Users"]


async def test_several_who_match_are_refused(tmp_path: Path):
    async with on_stage(tmp_path, adopt="first") as stage:
        for _ in range(2):
            stage.application.add("Groups", displayName="staff")
        refused = await stage.send("group.created", "g", 1, displayName="staff")
        assert refused == Rejected("2 resources of the application have the same displayName; one of them must go.")


async def test_looking_first_adopts_a_group_that_nothing_conflicts_with(tmp_path: Path):
    async with on_stage(tmp_path, adopt="first") as stage:
        there = stage.application.add("Groups", displayName="staff")
        await stage.send("group.created", "g", 1, displayName="staff")
        assert list(stage.application.groups) == [there]


async def test_adoption_can_be_forbidden(tmp_path: Path):
    async with on_stage(tmp_path, adopt="never") as stage:
        stage.application.add("Users", userName="kim@example.com")
        assert isinstance(await stage.send("user.created", "k", 1, **KIM), Rejected)


async def test_one_id_for_two_of_ours_is_refused(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        id = (await stage.remote("k")).remote_id
        stage.application.faults.append(once(Answer(201, {"id": id}), "POST"))
        refused = await stage.send("user.created", "l", 1, userName="l@example.com")
        assert isinstance(refused, Rejected)
        assert "one id" in refused.reason


async def test_a_creation_whose_answer_has_no_id_is_looked_up(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.application.after.append(lambda request, answer: Answer(201) if request.method == "POST" else answer)
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered()
        assert (await stage.remote("k")).remote_id in stage.application.users


# --------------------------------------------------------------------------- what is gone, and what only seems so


async def test_who_was_removed_there_is_made_again_by_the_next_change(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("group.created", "g", 1, displayName="staff", added=("k",))
        stage.application.users.clear()
        stage.application.groups[next(iter(stage.application.groups))]["members"] = []
        stage.now += 60
        assert await stage.send("user.updated", "k", 2, **KIM, title="boss") == Delivered()
        assert shown(stage.application)["title"] == "boss"
        assert stage.application.members("staff") == {"kim@example.com"}  # with the memberships that were lost


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_404_that_is_no_scim_error_takes_nobody_for_gone(tmp_path: Path, method: str):
    async with on_stage(tmp_path, on_delete="delete") as stage:
        await stage.send("user.created", "k", 1, **KIM)
        known = await stage.remote("k")
        for answer in (HTML_404, Answer(404), Answer(404, b'{"message": "no route"}', media_type="application/json")):
            stage.application.faults[:] = [always(answer, method)]
            if method == "PATCH":
                outcome = await stage.send("user.updated", "k", 2, **KIM, title="boss")
            else:
                outcome = await stage.send("user.deleted", "k", 2)
            assert isinstance(outcome, Retry)
            assert (outcome.blame, outcome.status) == ("destination", 404)
            assert (await stage.remote("k")).remote_id == known.remote_id
        assert "POST Users" not in stage.application.writes()[1:]


async def test_deleting_who_is_gone_already_is_done(tmp_path: Path):
    async with on_stage(tmp_path, on_delete="delete") as stage:
        await stage.send("user.created", "k", 1, **KIM)
        stage.application.users.clear()
        stage.now += 60
        assert await stage.send("user.deleted", "k", 2) == Delivered()
        assert (await stage.remote("k")).state == "gone"


@pytest.mark.parametrize("leaving", ["delete", "deactivate"])
async def test_who_was_written_just_now_is_not_taken_for_gone_where_an_application_lags(tmp_path: Path, leaving: str):
    """A leaver would stay there, active, and nobody would hear of it."""
    async with on_stage(tmp_path, on_delete=leaving) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        stage.application.faults[:] = [always(error(404), "PATCH"), always(error(404), "DELETE")]
        outcome = await stage.send("user.deleted", "k", 2)
        assert isinstance(outcome, Retry)
        assert outcome.blame == "resource"
        stage.application.faults.clear()
        stage.now += 5
        assert await stage.send("user.deleted", "k", 2) == Delivered()
        assert [one["active"] for one in stage.application.users.values()] == ([] if leaving == "delete" else [False])


async def test_an_application_that_shows_what_it_was_sent_shows_no_secret_and_no_header(tmp_path: Path):
    async with on_stage(tmp_path, headers={"X-Key": "plain words"}) as stage:
        stage.application.faults.append(always(Answer(400, f"{TOKEN} and plain words".encode()), "POST"))
        outcome = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(outcome, Rejected)
        assert outcome.excerpt == "[redacted] and [redacted]"


async def test_a_change_of_who_was_made_just_now_makes_nobody_twice_where_an_application_lags(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        stage.application.faults.append(once(error(404), "PATCH"))
        assert isinstance(await stage.send("user.updated", "k", 2, **KIM, title="boss"), Retry)
        assert await stage.send("user.updated", "k", 2, **KIM, title="boss") == Delivered()
        assert len(stage.application.bodies("POST")) == 1


async def test_who_was_made_without_an_id_in_the_answer_is_waited_for_until_a_filter_finds_him(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        application = stage.application
        application.after.append(lambda request, answer: Answer(201) if request.method == "POST" else answer)
        application.faults.append(always(Answer(200, {"totalResults": 0, "Resources": []}), "GET", "Users"))
        for _ in range(4):
            outcome = await stage.send("user.created", "k", 1, **KIM)
            assert isinstance(outcome, Retry)
            stage.now += 10
        application.faults.clear()
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered()
        assert len(application.users) == 1
        application.faults.append(always(error(409), "POST"))
        assert isinstance(await stage.send("user.created", "other", 1, **KIM), Rejected)


async def test_whoever_cannot_be_made_inactive_is_deleted_all_the_same(tmp_path: Path):
    async with on_stage(tmp_path, on_delete="delete") as stage:
        await stage.send("user.created", "k", 1, **KIM)
        stage.application.faults.append(always(error(400, "mutability"), "PATCH"))
        assert await stage.send("user.deleted", "k", 2) == Delivered()
        assert stage.application.users == {}


# --------------------------------------------------------------------------- versions there


async def test_a_change_that_somebody_made_there_is_written_over_once(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        there = next(iter(stage.application.users.values()))
        there["meta"] = {"version": 'W/"other"'}
        assert await stage.send("user.updated", "k", 2, **KIM, title="boss") == Delivered()
        assert shown(stage.application)["title"] == "boss"
        stage.application.faults.append(always(error(412), "PATCH"))
        outcome = await stage.send("user.updated", "k", 3, **KIM, title="chief")
        assert isinstance(outcome, Retry)
        assert (outcome.blame, outcome.status) == ("resource", 412)


async def test_an_application_without_etags_gets_none(tmp_path: Path):
    async with on_stage(tmp_path, Application({"patch": {"supported": True}, "etag": {"supported": False}})) as stage:
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.updated", "k", 2, **KIM, title="boss")
        assert [one.headers.get("if-match") for one in stage.application.requests] == [None] * 3


# --------------------------------------------------------------------------- the application as a whole


@pytest.mark.parametrize("code, after", [(429, 7.0), (503, 7.0)])
async def test_an_overloaded_application_pauses_the_destination_as_long_as_it_asks(tmp_path: Path, code: int, after: float):
    async with on_stage(tmp_path) as stage:
        stage.application.faults.append(always(Answer(code, headers=("Retry-After: 7",)), "POST"))
        outcome = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(outcome, Retry)
        assert (outcome.blame, outcome.after, outcome.status) == ("destination", after, code)


@pytest.mark.parametrize("code", [401, 403])
async def test_credentials_that_are_refused_are_the_destinations_fault(tmp_path: Path, code: int):
    async with on_stage(tmp_path) as stage:
        stage.application.faults.append(always(error(code), "POST"))
        outcome = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(outcome, Retry)
        assert (outcome.blame, outcome.status) == ("destination", code)


async def test_a_token_of_oauth_that_is_refused_is_renewed_once(tmp_path: Path):
    given = iter([b"withdrawn", TOKEN.encode(), b"odd", b"odd"])

    async def tokens(receiver: Receiver, request: Received, reader: Any, writer: Any) -> None:
        body = b'{"access_token":"%b","expires_in":3600}' % next(given)
        await status("200 OK", body, "Content-Type: application/json")(receiver, request, reader, writer)

    async with receiving(tokens) as server:
        auth = {"type": "oauth", "token_url": server.url, "client_id": "hub"}
        async with on_stage(tmp_path, auth=auth) as stage:
            assert await stage.send("user.created", "k", 1, **KIM) == Delivered()
            assert len(server.requests) == 2
            stage.application.faults.append(always(error(401), "PATCH"))
            outcome = await stage.send("user.updated", "k", 2, **KIM, title="boss")
            assert isinstance(outcome, Retry)
            assert (outcome.blame, outcome.status, len(server.requests)) == ("destination", 401, 3)


async def test_a_right_that_a_client_is_given_does_not_wait_for_the_end_of_its_token(tmp_path: Path):
    """What a client may do stands in its token, which may hold for a day."""
    token = orjson.dumps({"access_token": TOKEN, "expires_in": 86_400})
    now, given = 1000.0, []
    async with receiving(status("200 OK", token)) as server:
        auth = {"type": "oauth", "token_url": server.url, "client_id": "hub"}
        async with on_stage(tmp_path, auth=auth) as stage:
            checked, client = read(stage.destination.configuration), HttpClient(LOOPBACK, 1, 5)
            authorizer = Authorizer(checked.auth, stage.secrets, LOOPBACK, lambda: now)
            application = ScimApplication(checked, client, authorizer, lambda: now, lambda: 0.0)
            stage.application.faults.append(always(error(403), "GET"))
            before = len(server.requests)
            for seconds in (0, 59, 1, 1, 1):
                now += seconds
                with pytest.raises(Failure):
                    await application.ask("GET", "/Users")
                given.append(len(server.requests) - before)
            await client.close()
            await authorizer.close()
    assert given == [1, 1, 1, 2, 2]


async def test_no_more_is_asked_than_the_profile_allows(tmp_path: Path):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds, 3))

    async with on_stage(tmp_path, overrides={"per_minute": 60, "burst": 2}) as stage:
        checked = read(stage.destination.configuration)
        client = HttpClient(LOOPBACK, 1, 5)
        authorizer = Authorizer(checked.auth, stage.secrets, LOOPBACK, lambda: 0.0)
        application = ScimApplication(checked, client, authorizer, lambda: 0.0, lambda: 0.0, sleep)
        for _ in range(4):
            await application.ask("GET", "/Users")
        assert waits == [1.0, 2.0]
        await client.close()
        await authorizer.close()


async def test_redirects_are_not_followed(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.application.faults.append(always(Answer(302, headers=(f"Location: {stage.application.url}/Users",)), "POST"))
        outcome = await stage.send("user.created", "k", 1, **KIM)
        assert isinstance(outcome, Retry)
        assert outcome.blame == "destination"


async def test_an_application_that_keeps_only_what_it_likes_is_not_written_again_and_again(tmp_path: Path):
    def forgets(request: Received, answer: Answer) -> Answer:
        for one in stage.application.users.values():
            one.pop("title", None)
            one["userName"] = one["userName"].upper()
        return answer

    async with on_stage(tmp_path) as stage:
        stage.application.after.append(forgets)
        await stage.send("user.created", "k", 1, **KIM, title="boss")
        await stage.send("user.updated", "k", 2, **KIM, title="boss")
        assert stage.application.writes() == ["POST Users"]
        await stage.send("user.updated", "k", 3, **KIM, title="chief")
        assert stage.application.bodies("PATCH")[0]["Operations"] == [{"op": "replace", "path": "title", "value": "chief"}]


async def test_a_check_tells_what_the_application_cannot_do(tmp_path: Path):
    ability = {"patch": {"supported": False}, "filter": {"supported": False}}
    async with on_stage(tmp_path, Application(ability)) as stage:
        checked = await stage.send("test", "t")
        assert checked == Delivered(
            200,
            (
                "It takes no PATCH for users: each change sends the whole user.",
                "It takes no PATCH for groups: each change of members sends the whole group again, from our own ledger.",
                "It offers no filters: who is there already cannot be found, so that a conflict waits for a person.",
            ),
        )


@pytest.mark.parametrize("ability", [None, {"patch": "yes"}])
async def test_a_configuration_that_cannot_be_read_turns_nothing_off_and_is_told(tmp_path: Path, ability: Any):
    async with on_stage(tmp_path, Application(ability)) as stage:
        checked = await stage.send("test", "t")
        assert isinstance(checked, Delivered)
        assert "assumed" in checked.notes[0]
        await stage.send("user.created", "k", 1, **KIM)
        await stage.send("user.updated", "k", 2, **KIM, title="boss")
        assert stage.application.writes() == ["POST Users", "PATCH Users"]


async def test_a_check_with_wrong_credentials_fails(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        stage.secrets.clear()
        await stage.reopen()
        outcome = await stage.send("test", "t")
        assert outcome == Retry(
            "There is no secret that holds; give the application's: scimhub destination rotate.", "destination"
        )
        assert stage.application.requests == []


# --------------------------------------------------------------------------- members


async def people(stage: Any, *ids: str) -> None:
    for id in ids:
        await stage.send("user.created", id, 1, userName=id)


async def test_members_travel_as_differences_in_chunks(tmp_path: Path):
    ids = tuple(f"u{number}" for number in range(7))
    async with on_stage(tmp_path, overrides={"members_per_patch": 3}) as stage:
        await people(stage, *ids)
        await stage.send("group.created", "g", 1, displayName="staff", added=ids)
        assert stage.application.members("staff") == set(ids)
        assert [len(body["Operations"][0]["value"]) for body in stage.application.bodies("PATCH")] == [3, 3, 1]
        await stage.send("group.members.changed", "g", 2, displayName="staff", added=("u0",), removed=ids[1:6])
        assert stage.application.members("staff") == {"u0", "u6"}
        assert [len(body["Operations"]) for body in stage.application.bodies("PATCH")[3:]] == [3, 2]
        listed = [one.path for one in stage.application.requests if one.method == "GET" and "Groups" in one.path]
        assert listed == []  # what the application shows of members is never read


@pytest.mark.parametrize(("removal", "sizes"), [("filter", [2, 2, 1]), ("value", [1])])
async def test_no_patch_of_members_has_more_operations_than_the_application_takes(
    tmp_path: Path, removal: str, sizes: list[int]
):
    ids = tuple(f"u{number}" for number in range(5))
    facts = {"members_per_patch": 50, "operations_per_patch": 2, "member_removal": removal}
    async with on_stage(tmp_path, overrides=facts) as stage:
        await people(stage, *ids)
        await stage.send("group.created", "g", 1, displayName="staff", added=ids)
        await stage.send("group.members.changed", "g", 2, displayName="staff", removed=ids)
        assert [len(body["Operations"]) for body in stage.application.bodies("PATCH")[1:]] == sizes
        assert stage.application.members("staff") == set()


async def test_a_member_who_is_not_there_yet_waits_and_holds_nobody_up(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a")
        assert await stage.send("group.created", "g", 1, displayName="staff", added=("a", "b")) == Delivered()
        assert stage.application.members("staff") == {"a"}
        assert await stage.waiting("g") == {"b"}
        await people(stage, "b")
        assert stage.application.members("staff") == {"a", "b"}
        assert await stage.waiting("g") == set()


async def test_a_member_who_left_the_group_before_coming_is_not_added(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await stage.send("group.created", "g", 1, displayName="staff", added=("b",))
        await stage.send("group.member.removed", "g", 2, displayName="staff", removed=("b",))
        await people(stage, "b")
        assert stage.application.members("staff") == set()


async def test_an_older_change_of_members_does_not_take_a_newer_one_back(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a",))
        await stage.send("group.member.removed", "g", 3, displayName="staff", removed=("a",))
        await stage.send("group.member.added", "g", 2, displayName="staff", added=("a",))
        assert stage.application.members("staff") == set()


async def test_the_parts_of_a_long_event_all_count(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a", "b")
        for added in (("a",), ("b",)):
            await stage.send("group.created", "g", 1, displayName="staff", added=added)
        assert stage.application.members("staff") == {"a", "b"}


async def test_removing_who_is_no_member_is_done(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a", "b", "c")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a", "b", "c"))
        group = next(iter(stage.application.groups.values()))
        group["members"] = [one for one in group["members"] if one["value"] != (group["members"][0]["value"])]
        assert await stage.send("group.member.removed", "g", 2, displayName="staff", removed=("a", "b")) == Delivered()
        assert stage.application.members("staff") == {"c"}


async def test_a_member_whom_the_application_refuses_keeps_nobody_else_out(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a", "b", "c")
        bad = (await stage.remote("b")).remote_id

        def refuses(request: Received, body: Any) -> Answer | None:
            return error(400, "invalidValue") if request.method == "PATCH" and str(bad) in str(body) else None

        stage.application.faults.append(refuses)
        refused = await stage.send("group.created", "g", 1, displayName="staff", added=("a", "b", "c"))
        assert refused == Rejected("The application refuses our b as a member: 400 (invalidValue).", 400)
        assert stage.application.members("staff") == {"a", "c"}


async def test_a_group_that_was_removed_there_is_made_again_with_its_members(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a", "b")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a",))
        stage.application.groups.clear()
        stage.now += 60
        # The name did not change: only the change of members meets the loss.
        first = await stage.send("group.member.added", "g", 2, displayName="staff", added=("b",))
        assert isinstance(first, Retry)
        assert await stage.send("group.member.added", "g", 2, displayName="staff", added=("b",)) == Delivered()
        assert stage.application.members("staff") == {"a", "b"}


async def test_a_group_that_leaves_is_deleted_and_comes_back_with_the_members_of_then(tmp_path: Path):
    async with on_stage(tmp_path) as stage:
        await people(stage, "a", "b")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a",))
        await stage.send("group.deleted", "g", 2)
        assert stage.application.groups == {}
        await stage.send("group.created", "g", 3, displayName="staff", added=("b",))
        assert stage.application.members("staff") == {"b"}


async def test_who_was_deleted_there_waits_for_the_way_back_into_the_groups(tmp_path: Path):
    async with on_stage(tmp_path, on_delete="delete") as stage:
        await people(stage, "a")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a",))
        await stage.send("user.deleted", "a", 2)
        assert await stage.waiting("g") == {"a"}
        await stage.send("user.created", "a", 3, userName="a")
        assert stage.application.members("staff") == {"a"}


async def test_an_application_that_keeps_the_dead_among_the_members_is_told_to_take_them_out(tmp_path: Path):
    async with on_stage(tmp_path, Application(keeps_dead_members=True), on_delete="delete") as stage:
        await people(stage, "a", "b")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a", "b"))
        await stage.send("user.deleted", "a", 2)  # before the group tells so
        assert stage.application.members("staff") == {"b"}
        await stage.send("group.member.removed", "g", 2, displayName="staff", removed=("a",))
        await stage.send("user.created", "a", 3, userName="a")
        assert stage.application.members("staff") == {"b"}


async def test_groups_within_groups(tmp_path: Path):
    for nested in (True, False):
        folder = tmp_path / str(nested)
        folder.mkdir()
        async with on_stage(folder, overrides={"nested_groups": nested}) as stage:
            await stage.send("group.created", "inner", 1, displayName="inner")
            await stage.send("group.created", "outer", 1, displayName="outer", added=("inner",))
            outer = next(one for one in stage.application.groups.values() if one["displayName"] == "outer")
            inner = (await stage.remote("inner")).remote_id
            assert outer.get("members", []) == ([{"value": inner}] if nested else [])


async def test_members_without_patch_come_from_our_own_ledger(tmp_path: Path):
    async with on_stage(tmp_path, Application({"patch": {"supported": False}})) as stage:
        await people(stage, "a", "b", "c")
        await stage.send("group.created", "g", 1, displayName="staff", added=("a", "b"))
        group = next(iter(stage.application.groups.values()))
        group["members"] = []  # as one that hides them
        await stage.send("group.members.changed", "g", 2, displayName="staff", added=("c",), removed=("a",))
        assert stage.application.members("staff") == {"b", "c"}
        await stage.send("group.updated", "g", 3, displayName="crew")
        assert stage.application.members("crew") == {"b", "c"}
        await stage.send("user.updated", "a", 2, userName="a", title="boss")
        assert shown(stage.application, "a")["title"] == "boss"
        await stage.send("user.deleted", "a", 3)
        assert shown(stage.application, "a") == {"userName": "a", "externalId": "a", "title": "boss", "active": False}
        assert "PATCH" not in [one.method for one in stage.application.requests]


async def test_people_and_their_group_at_the_same_time(tmp_path: Path):
    ids = tuple(f"u{number}" for number in range(20))
    async with on_stage(tmp_path) as stage:
        sends = [stage.send("user.created", id, 1, userName=id) for id in ids]
        sends.insert(10, stage.send("group.created", "g", 1, displayName="staff", added=ids))
        assert set(await asyncio.gather(*sends)) == {Delivered()}
        assert stage.application.members("staff") == set(ids)
        assert await stage.waiting("g") == set()


# --------------------------------------------------------------------------- nothing personal


async def test_what_is_said_of_a_failure_holds_nothing_personal(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    canary = {"userName": "canary-user@example.com", "name": {"givenName": "Canary-Given"}, "title": "Canary-Title"}

    def echoes(request: Received, body: Any) -> Answer | None:
        said = orjson.dumps(body).decode() + request.path
        answers = (error(400, "weird-type", f"cannot: {said}"), error(500, detail=f"CANARY-USER@example.com {said}"))
        return answers[len(outcomes) % 2] if "ServiceProviderConfig" not in request.path else None

    async with on_stage(tmp_path) as stage:
        outcomes: list[Any] = []
        await stage.send("user.created", "k", 1, **canary)
        stage.application.faults.append(echoes)
        for version in range(2, 6):
            outcomes.append(await stage.send("user.updated", "k", version, **canary, nickName=f"Canary-Nick{version}"))
            outcomes.append(await stage.send("user.created", f"n{version}", 1, **canary))
        outcomes.append(await stage.send("user.deleted", "k", 9))
        assert {type(outcome) for outcome in outcomes} == {Rejected, Retry}
        assert re.search("canary", f"{outcomes}{caplog.text}", re.IGNORECASE) is None, outcomes
        rows = stage.store.database.read_here(lambda c: c.fetch("SELECT * FROM remote_resources"))
        assert "canary" not in str(rows).lower()


async def test_a_resource_without_what_the_application_requires_is_refused_before_it_is_sent(tmp_path: Path):
    async with on_stage(tmp_path, profile="aws_identity_center") as stage:
        refused = await stage.send("user.created", "k", 1, userName="kim", name={"givenName": "Kim"})
        assert isinstance(refused, Rejected)
        assert refused.reason.startswith("The application requires name.familyName, displayName, which the resource")
        assert stage.application.writes() == []


async def test_what_is_larger_than_the_application_takes_is_refused_without_being_sent(tmp_path: Path):
    async with on_stage(tmp_path, largest_message=400) as stage:
        assert await stage.send("user.created", "k", 1, **KIM) == Delivered()
        outcome = await stage.send("user.created", "m", 1, userName="m@example.com", displayName="M" * 400)
        assert isinstance(outcome, Rejected)
        assert outcome.reason.endswith("bytes; the destination (largest_message) takes at most 400.")
        assert [user["userName"] for user in stage.application.users.values()] == ["kim@example.com"]
