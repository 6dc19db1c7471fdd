"""Looking at a scripted application: its pages, what it hides, ignores and refuses; and what its groups are told as a whole."""

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from scimhub.distribution import braking, control, looking, restating, resync
from scimhub.distribution.delivery import Choice, Destination, Subscription
from scimhub.distribution.drift import Drift, Unreadable
from scimhub.distribution.plans import Plan
from scimhub.distribution.sealing import Key
from tests.destinations.receivers import Received
from tests.destinations.scim_application import TOKEN, Answer, Application, error, once
from tests.destinations.test_scim_app_pumped import Hub, hub_with
from tests.distribution.outside import until

EMPLOYEES = Subscription(filters={"User": 'userType eq "Employee"'})
EIGHT_OF_NINE = "The brake will trip at 8 removals of 9 User: they wait, and the rest is done."
ABLE = {"patch": {"supported": True}, "filter": {"supported": True}}


def silent(phase: str, done: int, total: int) -> None:
    """Nobody looks on."""


async def look(hub: Hub, made: Destination) -> Drift:
    found = await hub.store.find_destination(made.directory, made.name)
    assert found is not None
    return (await looking.look(hub.engine, found, silent))[0]


def categories(drift: Drift) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for one in drift.findings:
        found.setdefault(one.category, set()).add(one.resource_id)
    return found


async def settled(hub: Hub, made: Destination) -> None:
    await hub.caught_up(made)
    await until(lambda: not hub.store.database.read_here(lambda c: c.fetch("SELECT 1 FROM held")), "nothing held")


def _content(answer: Answer) -> dict[str, Any]:
    return answer.body if isinstance(answer.body, dict) else {}


def hiding(name: str) -> Callable[[Received, Answer], Answer]:
    """An application that shows nothing of the attribute, in lists and alone."""

    def change(request: Received, answer: Answer) -> Answer:
        if request.method != "GET":
            return answer
        shown = copy.deepcopy(_content(answer))
        for one in (shown, *shown.get("Resources", ())):
            one.pop(name, None)
        return Answer(answer.status, shown, answer.headers)

    return change


def lists(application: Application) -> list[dict[str, list[str]]]:
    """The queries of the requests that listed users."""
    asked = [urlsplit(one.path) for one in application.requests if one.method == "GET"]
    return [parse_qs(one.query, keep_blank_values=True) for one in asked if one.path == "/scim/Users"]


@pytest.mark.parametrize(
    ("pages_by", "pagination", "asked"),
    [
        ("index", None, [{"startIndex": ["1"]}, {"startIndex": ["4"]}, {"startIndex": ["7"]}]),
        ("cursor", {"cursor": True, "index": False}, [{"cursor": [""]}, {"cursor": ["c3"]}, {"cursor": ["c6"]}]),
    ],
)
async def test_every_page_is_read_by_index_or_by_cursor(
    tmp_path: Path, pages_by: str, pagination: Any, asked: list[dict[str, list[str]]]
):
    ability = ABLE if pagination is None else {**ABLE, "pagination": pagination}
    async with hub_with(tmp_path, Application(ability=ability, pages_by=pages_by)) as hub:
        for number in range(7):
            await hub.place.user(f"u{number}")
        made = await hub.create(overrides={"page_size": 3})
        await settled(hub, made)
        gone = next(iter(hub.application.users))
        del hub.application.users[gone]
        hub.application.requests.clear()
        drift = await look(hub, made)
        assert drift.shown["User"] == 6
        assert {name: len(ids) for name, ids in categories(drift).items()} == {"missing": 1}
        told = [{key: value for key, value in query.items() if key != "count"} for query in lists(hub.application)]
        assert told == asked[:2]


async def test_less_than_it_says_is_no_answer_and_nobody_is_missing_by_it(tmp_path: Path):
    def lies(request: Received, answer: Answer) -> Answer:
        is_list = request.method == "GET" and urlsplit(request.path).path.endswith("/Users")
        return Answer(200, {**_content(answer), "totalResults": 99}) if is_list else answer

    async with hub_with(tmp_path, Application()) as hub:
        await hub.place.user("kim")
        made = await hub.create()
        await settled(hub, made)
        hub.application.after.append(lies)
        with pytest.raises(Unreadable, match="says that it has 99 of User and showed 1"):
            await look(hub, made)
        hub.application.after.clear()
        hub.application.faults.append(once(error(401), "GET", "Users"))
        with pytest.raises(Unreadable, match="401"):
            await look(hub, made)


@pytest.mark.parametrize(
    ("content", "lacks"),
    [
        ({}, "Resources"),
        ({"error": "busy"}, "Resources"),
        ({"Resources": []}, "totalResults"),
        ({"Resources": {}}, "Resources"),
    ],
)
async def test_an_answer_that_is_no_list_is_none_and_nobody_is_missing_by_it(tmp_path: Path, content: Any, lacks: str):
    async with hub_with(tmp_path, Application()) as hub:
        await hub.place.user("kim")
        made = await hub.create()
        await settled(hub, made)
        hub.application.faults.append(once(Answer(200, content), "GET", "Users"))
        with pytest.raises(Unreadable, match=f"answered without {lacks} when it was asked for every User"):
            await look(hub, made)


async def test_what_it_never_shows_is_ignored_and_what_only_one_lacks_is_different(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        ids = [await hub.place.user(f"u{n}", nickName=f"nick{n}", title=f"title{n}") for n in range(3)]
        made = await hub.create()
        await settled(hub, made)
        hub.application.after.append(hiding("nickName"))
        first = next(one for one in hub.application.users.values() if one["userName"] == "u0")
        del first["title"]
        drift = await look(hub, made)
        assert drift.ignored == {"User": {"nickName": 3}}
        (different,) = drift.findings
        assert (different.category, different.resource_id, dict(different.values)) == (
            "different",
            ids[0],
            {"title": ("title0", None)},
        )


async def test_members_that_an_application_hides_are_not_compared(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        kim = await hub.place.user("kim")
        await hub.place.group("staff", kim)
        made = await hub.create()
        await settled(hub, made)
        hub.application.after.append(hiding("members"))
        drift = await look(hub, made)
        assert (drift.is_none, drift.limits) == (True, ["No Group there shows any member: whether it has them cannot be told."])
        hub.application.requests.clear()
        hidden = await hub.engine.given.store.update_destination(
            made.key, {**made.configuration, "overrides": {"shows_members": False}}, made.subscription, "now"
        )
        assert (await look(hub, hidden)).limits == ["It shows groups without members: those are not compared."]


async def test_what_is_on_its_way_or_cannot_be_written_is_told_apart(tmp_path: Path):
    def refuses(request: Received, body: Any) -> Answer | None:
        return error(400, "invalidValue") if body is not None and body.get("userName") == "bad" else None

    async with hub_with(tmp_path, Application(faults=[refuses])) as hub:
        bad = await hub.place.user("bad")
        await hub.place.user("kim", displayName="Kim")
        made = await hub.create()
        await until(lambda: hub.store.database.read_here(lambda c: c.fetch("SELECT 1 FROM held")), "a held one")
        assert categories(await look(hub, made)) == {"waiting": {bad}}


async def filled_elsewhere(hub: Hub, **configuration: Any) -> Destination:
    """A destination that begins behind all that is there already."""
    made = await control.create(
        hub.engine,
        hub.place.directory,
        "app",
        "scim_app",
        {"base_url": hub.application.url, **configuration},
        Subscription(),
        secret=TOKEN,
    )
    await settled(hub, made.destination)
    return made.destination


async def test_who_is_there_already_is_adopted_by_its_id_and_two_of_ours_are_never_one_of_theirs(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        kim = await hub.place.user("kim", title="boss")
        teams = [await hub.place.group("staff") for _ in range(2)]
        hub.application.users["7"] = {"id": "7", "userName": "KIM", "title": "clerk"}
        hub.application.groups["8"] = {"id": "8", "displayName": "staff"}
        made = await filled_elsewhere(hub)
        drift = await look(hub, made)
        assert categories(drift) == {"adoptable": {kim}, "conflict": set(teams)}
        assert {one.reason.partition(",")[0] for one in drift.findings if one.category == "conflict"} == {
            "Several of ours have the displayName of the one that is there"
        }
        plan = await resync.make(hub.engine, made, removes_extra=False, watch=silent)
        assert (plan.counts["adopt"], plan.counts["add"], plan.requests) == ({"User": 1}, {}, 1)
        hub.application.requests.clear()
        await resync.apply(hub.engine, made, plan.id)
        await until(lambda: hub.application.users["7"].get("title") == "boss", "the adoption")
        await settled(hub, made)
        assert hub.application.writes() == ["PATCH Users"]
        assert "adoptable" not in categories(await look(hub, made))


async def test_a_list_of_nobody_is_told_to_be_doubted_before_a_plan_makes_them_all_again(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        for number in range(3):
            await hub.place.user(f"u{number}", title="clerk")
        made = await hub.create()
        await settled(hub, made)
        for one in hub.application.users.values():
            one["title"] = "x"
        (said,) = (await look(hub, made)).limits
        assert said.startswith("It shows another title than ours in each of 3 User:")
        hub.application.users.clear()
        plan = await resync.make(hub.engine, made, removes_extra=False, watch=silent)
        assert plan.counts["add"] == {"User": 3}
        (said,) = plan.limits
        assert said.startswith("Of 3 User that it was given it lacks 3. If they cannot be gone,")


async def test_who_left_the_scope_unseen_is_left_over_and_removed_by_the_plan(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        kim = await hub.place.user("kim", userType="Guest")
        lee = await hub.place.user("lee", userType="Employee")
        made = await hub.create(on_delete="delete")
        await settled(hub, made)
        changed = await control.update(hub.engine, made, None, EMPLOYEES)
        assert categories(await look(hub, changed)) == {"leftover": {kim}}
        plan = await resync.make(hub.engine, changed, removes_extra=False, watch=silent)
        assert (plan.counts["remove"], plan.verdict) == ({"User": 1}, "The brake lets 1 removal leave.")
        await resync.apply(hub.engine, changed, plan.id)
        await until(lambda: len(hub.application.users) == 1, "the removal")
        await settled(hub, changed)
        assert {one["externalId"] for one in hub.application.users.values()} == {lee}


async def narrowed(hub: Hub, made: Destination) -> tuple[Destination, Plan]:
    """The destination, from now on for employees only, and the plan that makes it so there."""
    changed = await control.update(hub.engine, made, None, EMPLOYEES)
    return changed, await resync.make(hub.engine, changed, removes_extra=False, watch=silent)


async def test_the_verdict_says_that_the_brake_will_trip(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        for number in range(8):
            await hub.place.user(f"u{number}", userType="Guest")
        await hub.place.user("lee", userType="Employee")
        made = await hub.create()
        await settled(hub, made)
        changed, plan = await narrowed(hub, made)
        assert plan.verdict.startswith(EIGHT_OF_NINE)
        await resync.apply(hub.engine, changed, plan.id)
        pump = hub.engine.find_pump(made.key)
        assert pump is not None
        await until(lambda: pump.brake_held >= 3 or hub.engine.find_pump(made.key).brake_held >= 3, "what waits")  # type: ignore[union-attr]
        assert sum(one.get("active") is False for one in hub.application.users.values()) < 5
        # What an administrator releases is told as it is then, although no change in the log says that it goes.
        await braking.decide(hub.engine, changed, Choice(), discards=False)
        await until(
            lambda: sum(one.get("active") is False for one in hub.application.users.values()) == 8, "the release of all of them"
        )


async def test_the_verdict_measures_removals_against_those_who_are_active(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        for number in range(8):
            await hub.place.user(f"u{number}", userType="Guest")
            await hub.place.user(f"gone{number}", userType="Employee", active=False)
            await hub.place.user(f"left{number}", userType="Employee", active=False)
        await hub.place.user("lee", userType="Employee")
        made = await hub.create()
        await settled(hub, made)
        _, plan = await narrowed(hub, made)
        assert plan.verdict.startswith(EIGHT_OF_NINE)


async def test_who_was_to_be_deactivated_and_is_kept_is_no_drift_to_be_mended(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(10)]
        made = await hub.create()
        await settled(hub, made)
        for id in ids[:8]:
            await hub.place.set(id, active=False)
        await until(lambda: hub.engine.find_pump(made.key).brake_held >= 4, "what waits")  # type: ignore[union-attr]
        found = await hub.store.find_destination(made.directory, made.name)
        assert found is not None
        count = await braking.decide(hub.engine, found, Choice(), discards=True)
        await settled(hub, made)
        drift = await look(hub, made)
        assert {name: len(some) for name, some in categories(drift).items()} == {"kept": count}
        plan = await resync.make(hub.engine, found, removes_extra=False, watch=silent)
        assert plan.items == 0


async def test_a_destination_whose_key_is_missing_cannot_be_read(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        made = await hub.create()
        await settled(hub, made)
        assert categories(await look(hub, made)) == {}
        hub.engine.given.keyring._look_up = lambda: [Key("another", bytes(32))]
        hub.engine.given.keyring.renew()
        with pytest.raises(Unreadable, match="which this hub does not have"):
            await look(hub, made)


async def test_a_group_is_told_as_a_whole_and_loses_whom_it_should_not_have(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(4)]
        staff = await hub.place.group("staff", *ids[:3])
        made = await hub.create()
        await settled(hub, made)
        (group,) = hub.application.groups.values()
        group["members"] = []
        # The ledger takes part: it believes in a member that the group does not have here.
        await hub.store.note_members(made.key, staff, [ids[3]], [])
        await hub.store.confirm_members(made.key, staff, [ids[3]], [])
        hub.application.requests.clear()
        await restating.resend(hub.engine, made, [staff])
        await settled(hub, made)
        assert hub.application.members("staff") == {"u0", "u1", "u2"}
        assert hub.application.writes() == ["PATCH Groups", "PATCH Groups", "PATCH Groups"]
        # Again, with nothing to mend: it is written all the same, for that was asked.
        hub.application.requests.clear()
        await restating.resend(hub.engine, made, [ids[0]])
        await settled(hub, made)
        assert hub.application.writes() == ["PATCH Users"]


async def test_a_backfill_writes_nothing_that_is_there(tmp_path: Path):
    async with hub_with(tmp_path, Application()) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(4)]
        await hub.place.group("staff", *ids)
        made = await hub.create()
        await settled(hub, made)
        hub.application.requests.clear()
        await restating.begin(hub.engine, made)

        async def is_done() -> bool:
            found = await restating.progress(hub.engine, made)
            return found is not None and found.backfill.is_over

        for _ in range(500):
            if await is_done():
                break
            await asyncio.sleep(0.01)
        assert await is_done()
        assert hub.application.writes() == []
