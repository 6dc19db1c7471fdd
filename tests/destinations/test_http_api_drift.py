"""Looking at a custom API and mending it: pages, what it drops, whom it lacks or has beyond ours, and broken lists."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimhub.destinations import http_api_listing, kinds
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Conflict, Invalid
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import braking, control, looking, resync
from scimhub.distribution.delivery import Choice, Destination, Subscription
from scimhub.distribution.drift import Drift, Finding, Unreadable
from scimhub.distribution.engine import Engine
from scimhub.sqlstore.store import SqlStore
from tests.assembly import build_engine
from tests.consumer.hub import Place, open_sqlite
from tests.destinations.receivers import Received, receiving
from tests.destinations.registry import TOKEN, Json, Registry, operations
from tests.distribution.outside import Noted, until
from tests.servers.running import PATIENCE

EMPLOYEES = Subscription(filters={"User": 'userType eq "Employee"'})


def silent(phase: str, done: int, total: int) -> None:
    """Nobody looks on."""


@dataclass
class Stage:
    """A hub with a registry as its one destination."""

    store: SqlStore
    place: Place
    engine: Engine
    registry: Registry

    async def create(self, wish: Subscription | None = None, *, after: int | None = 0, **changed: Any) -> Destination:
        configuration = {"base_url": self.registry.url, "operations": operations(self.registry.pages_by), **changed}
        made = await control.create(
            self.engine,
            self.place.directory,
            "crm",
            "http_api",
            configuration,
            wish or Subscription(),
            after=after,
            secret=TOKEN,
        )
        await self.settled(made.destination)
        return made.destination

    async def settled(self, made: Destination) -> None:
        head = await self.store.last_position()
        pump = self.engine.find_pump(made.key)
        assert pump is not None
        await until(lambda: pump.cursor >= head and not pump.in_flight, f"the registry at {head}")
        await until(lambda: not self.store.database.read_here(lambda c: c.fetch("SELECT 1 FROM held")), "nothing held")

    async def look(self, made: Destination) -> Drift:
        found = await self.store.find_destination(made.directory, made.name)
        assert found is not None
        return (await looking.look(self.engine, found, silent))[0]

    async def plan(self, made: Destination, *, removes_extra: bool = False) -> Any:
        return await resync.make(self.engine, made, removes_extra=removes_extra, watch=silent)

    async def apply(self, made: Destination, plan: Any) -> None:
        await resync.apply(self.engine, made, plan.id)
        async with asyncio.timeout(PATIENCE):
            while (found := await self.store.find_backfill(made.key)) is None or not found.is_over:
                await asyncio.sleep(0.01)
        await self.settled(made)


@asynccontextmanager
async def stage_with(folder: Path, registry: Registry) -> AsyncIterator[Stage]:
    store = open_sqlite(folder)
    engine = build_engine(store, Noted(), Catalogs(store))
    try:
        async with receiving(registry.answering) as receiver:
            registry.url = f"http://127.0.0.1:{receiver.port}/api"
            await engine.start()
            try:
                yield Stage(store, await Place.open(store), engine, registry)
            finally:
                await engine.close()
    finally:
        await store.close()


def by_category(drift: Drift) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in drift.findings:
        found.setdefault(one.category, []).append(one)
    return found


# --------------------------------------------------------------------------- looked at


@pytest.mark.parametrize(
    ("pages_by", "asked"),
    [
        ("", ["/people?sort=id"]),
        ("next", ["/people?sort=id", "/people?after=3", "/people?after=6"]),
        ("cursor", ["/people?sort=id", "/people?sort=id&after=3", "/people?sort=id&after=6"]),
        ("page", ["/people?sort=id&page=1", "/people?sort=id&page=2", "/people?sort=id&page=3"]),
        ("offset", ["/people?sort=id&skip=0", "/people?sort=id&skip=3", "/people?sort=id&skip=6"]),
    ],
)
async def test_every_page_is_read_in_each_way_of_paging(tmp_path: Path, pages_by: str, asked: list[str]):
    async with stage_with(tmp_path, Registry(pages_by)) as stage:
        for number in range(8):
            await stage.place.user(f"u{number}")
        made = await stage.create()
        del stage.registry.people["101"]
        stage.registry.requests.clear()
        drift = await stage.look(made)
        assert (drift.shown, drift.ours) == ({"User": 7, "Group": 0}, {"User": 8, "Group": 0})
        assert {name: len(some) for name, some in by_category(drift).items()} == {"missing": 1}
        assert [one.removeprefix("GET ") for one in stage.registry.asked("GET") if "people" in one] == asked
        assert "idempotency-key" not in stage.registry.requests[0].headers


async def test_pages_may_be_counted_from_nought_and_keep_the_rate(tmp_path: Path):
    async with stage_with(tmp_path, Registry("page", first_page=0)) as stage:
        for number in range(8):
            await stage.place.user(f"u{number}")
        listing = {**operations("page")["user.list"], "paging": {"page": "page", "first": 0}}
        made = await stage.create(operations={**operations("page"), "user.list": listing, "group.list": listing}, rate=20)
        stage.registry.requests.clear()
        begun = time.monotonic()
        drift = await stage.look(made)
        # Each page but the first one waits for its turn.
        assert time.monotonic() - begun > 0.04 * (len(stage.registry.requests) - 1)
        assert drift.shown["User"] == 8
        assert [one.removeprefix("GET ") for one in stage.registry.asked("GET")][:3] == [
            "/people?sort=id&page=0",
            "/people?sort=id&page=1",
            "/people?sort=id&page=2",
        ]


async def test_people_and_teams_may_have_the_same_ids(tmp_path: Path):
    async with stage_with(tmp_path, Registry(ids=itertools.cycle((1, 2, 1)))) as stage:
        ids = [await stage.place.user("kim"), await stage.place.user("lee")]
        staff = await stage.place.group("staff", ids[1])
        made = await stage.create()
        assert (set(stage.registry.people), set(stage.registry.teams)) == ({"1", "2"}, {"1"})
        stage.registry.teams["1"]["members"] = [1]
        (found,) = (await stage.look(made)).findings
        assert (found.resource_id, found.lacking, found.beyond) == (staff, [ids[1]], [ids[0]])
        await stage.apply(made, await stage.plan(made))
        assert stage.registry.members("staff") == {"lee"}


async def test_who_is_there_twice_is_a_conflict_and_nobody_is_removed_for_it(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        kim = await stage.place.user("kim")
        made = await stage.create()
        stage.registry.people["50"] = {**stage.registry.person("kim"), "id": 50}
        (found,) = (await stage.look(made)).findings
        assert (found.category, found.resource_id, found.remote_id) == ("conflict", kim, "50")
        plan = await stage.plan(made, removes_extra=True)
        assert (plan.counts["conflict"], plan.samples[0].reason) == (
            {"User": 1},
            "It is there twice, also as 50; one must go.",
        )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"url": "/people/{resource.title}"}, "The url needs resource.title, which has no value here that can stand in a URL."),
        ({"headers": {"X-Who": "resource.nickName"}}, "The value of the header X-Who cannot be sent: it is no line of "),
        ({}, "The body has 1,0"),
    ],
)
async def test_whose_request_cannot_be_written_is_a_conflict_and_no_part_of_a_plan(tmp_path: Path, changed: Json, reason: str):
    async with stage_with(tmp_path, Registry()) as stage:
        kim = await stage.place.user("kim", nickName="two\nlines" if "headers" in changed else "x" * 1000)
        written = operations()
        written["user.created"] |= changed
        made = await stage.create(after=None, operations=written, largest_message=1000)
        (found,) = (await stage.look(made)).findings
        assert (found.category, found.resource_id) == ("conflict", kim)
        assert found.reason.startswith(reason)
        plan = await stage.plan(made)
        assert (plan.counts["conflict"], plan.counts["add"]) == ({"User": 1}, {})


async def test_without_a_total_pages_end_with_one_that_is_empty(tmp_path: Path):
    async with stage_with(tmp_path, Registry("page")) as stage:
        for number in range(6):
            await stage.place.user(f"u{number}")
        written = operations("page")
        listing = {key: value for key, value in written["user.list"].items() if key != "total"}
        made = await stage.create(operations={**written, "user.list": listing})
        stage.registry.requests.clear()
        drift = await stage.look(made)
        assert (drift.is_none, drift.shown["User"]) == (True, 6)
        assert len([one for one in stage.registry.asked("GET") if "people" in one]) == 3
        assert "Whether all of user was shown cannot be told: the operation user.list has no path total." in drift.limits


async def test_what_was_tampered_with_is_named_exactly_and_mended(tmp_path: Path):
    async with stage_with(tmp_path, Registry("cursor")) as stage:
        registry, place = stage.registry, stage.place
        ids = [await place.user(f"u{n}", title=f"title {n}") for n in range(7)]
        staff = await place.group("staff", *ids[:4])
        made = await stage.create()
        assert (await stage.look(made)).is_none
        theirs = {one["key"]: one["id"] for one in registry.people.values()}

        # One is deleted, a member of the team; one is changed; one leaves the team, one comes, and so does a stranger.
        del registry.people[str(theirs[ids[1]])]
        registry.person("u5")["title"] = "canary"
        team = next(iter(registry.teams.values()))
        team["members"] = [theirs[ids[0]], theirs[ids[3]], theirs[ids[6]], 900]
        registry.people["900"] = {"id": 900, "login": "stranger", "members": []}

        drift = await stage.look(made)
        found = by_category(drift)
        assert set(found) == {"missing", "different", "members", "extra"}
        ((missing,), (different,), (members,), (extra,)) = (found[one] for one in ("missing", "different", "members", "extra"))
        assert (missing.resource_id, missing.was_there) == (ids[1], True)
        assert (different.resource_id, dict(different.values)) == (ids[5], {"title": ("title 5", "canary")})
        assert (members.resource_id, set(members.lacking), members.beyond) == (staff, {ids[1], ids[2]}, [ids[6]])
        assert members.strangers == 1
        assert (extra.remote_id, extra.was_ours) == ("900", False)
        assert drift.limits == ["Of user it is compared: login, title, nick, state.", "Of group it is compared: name."]

        plan = await stage.plan(made, removes_extra=True)
        assert plan.counts == {"add": {"User": 1}, "adopt": {}, "change": {"Group": 1, "User": 1}, "remove": {}, "conflict": {}}
        registry.requests.clear()
        await stage.apply(made, plan)
        asked = registry.asked()
        assert asked.count("POST /people") == 1
        assert f"PUT /people/{theirs[ids[5]]}" in asked
        assert f"DELETE /teams/{team['id']}/members/{theirs[ids[6]]}" in asked
        assert not any("900" in one for one in asked)
        assert registry.members("staff") == {"u0", "u1", "u2", "u3", "stranger"}
        assert registry.person("u5")["title"] == "title 5"
        after = await stage.look(made)
        assert (after.is_none, set(by_category(after))) == (True, {"extra"})
        # Nothing of that is told again by the next plan, nor owed any more.
        assert await stage.store.list_pending(made.key, staff, "leaving") == []
        assert (await stage.plan(made)).items == 0


async def test_what_it_drops_is_ignored_and_what_is_no_value_here_differs_from_one_there(tmp_path: Path):
    async with stage_with(tmp_path, Registry(drops=frozenset({"nick"}))) as stage:
        ids = [await stage.place.user(f"u{n}", nickName=f"n{n}", **({"title": "boss"} if n else {})) for n in range(3)]
        made = await stage.create()
        assert (await stage.look(made)).ignored == {"User": {"nick": 3}}
        stage.registry.person("u0")["title"] = "canary"
        del stage.registry.person("u1")["title"]
        drift = await stage.look(made)
        assert {one.resource_id: dict(one.values) for one in drift.findings} == {
            ids[0]: {"title": (None, "canary")},
            ids[1]: {"title": ("boss", None)},
        }
        assert drift.ignored == {"User": {"nick": 3}}


async def test_without_an_operation_that_lists_nothing_can_be_asked(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        some = {name: one for name, one in operations().items() if not name.endswith(".list")}
        made = await stage.create(operations=some)
        with pytest.raises(Conflict, match="crm cannot be asked what it has: its configuration has no operation that lists"):
            await stage.look(made)
        changed = {**made.configuration, "operations": {**some, "user.list": operations()["user.list"]}}
        await control.update(stage.engine, made, changed, None)
        drift = await stage.look(made)
        assert set(drift.shown) == {"User"}
        assert "Of group nothing can be looked at: the configuration has no operation group.list." in drift.limits


# --------------------------------------------------------------------------- broken lists


def elsewhere(request: Received, answer: Json) -> None:
    answer["links"]["next"] = "http://127.0.0.1:1/people?after=3"


def named(request: Received, answer: Json) -> None:
    host = request.headers["host"]
    answer["links"]["next"] = f"http://kim:secret@{host}/api/people?after=3"


def named_only(request: Received, answer: Json) -> None:
    answer["links"]["next"] = f"http://kim@{request.headers['host']}/api/people?after=3"


def circle(request: Received, answer: Json) -> None:
    answer["links"]["next"] = "/api/people?after=3"


def endless(request: Received, answer: Json) -> None:
    answer["links"]["next"] = f"{request.path}x"


def nameless(request: Received, answer: Json) -> None:
    answer["data"]["items"][-1].pop("id")


def without_total(request: Received, answer: Json) -> None:
    del answer["meta"]["total"]


def more(request: Received, answer: Json) -> None:
    answer["meta"]["total"] = 99


def odd_link(request: Received, answer: Json) -> None:
    answer["links"]["next"] = {"href": "/people"}


BROKEN: list[tuple[str, str, Any, str]] = [
    ("next", "500 Oops", None, "The receiver answered 500 Internal Server Error."),
    ("next", "401 Unauthorized", None, "The receiver answered 401 Unauthorized; check its credentials"),
    ("next", "404 Not Found", None, "The API answered 404 Not Found to user.list."),
    ("next", "302 Found", None, "redirects are not followed"),
    ("next", "200 OK", lambda request, answer: b"<html>", "The answer to user.list is no JSON"),
    ("next", "200 OK", lambda request, answer: b"null", "The answer to user.list is no JSON"),
    ("next", "200 OK", lambda request, answer: {"error": "busy"}, "The answer to user.list has no list at data.items."),
    ("next", "200 OK", lambda request, answer: {"data": {"items": {}}}, "has no list at data.items."),
    ("next", "200 OK", nameless, "The answer to user.list has an item without an id at id."),
    ("next", "200 OK", without_total, "The answer to user.list has no number at meta.total."),
    ("next", "200 OK", more, "The answer to user.list says that there are 99 and showed 4; look again later."),
    ("next", "200 OK", elsewhere, "The answer to user.list leads to another origin, or nowhere;"),
    ("next", "200 OK", named, "The answer to user.list leads to another origin, or nowhere;"),
    ("next", "200 OK", named_only, "The answer to user.list leads to another origin, or nowhere;"),
    ("next", "200 OK", circle, "The answer to user.list goes round in a circle"),
    ("next", "200 OK", endless, "The answer to user.list has no end: after 6 pages there is another one."),
    ("next", "200 OK", odd_link, "The answer to user.list has at links.next no text."),
]


@pytest.mark.parametrize(("pages_by", "line", "change", "said"), BROKEN, ids=[one[3][-60:] for one in BROKEN])
async def test_a_broken_list_ends_the_look_with_a_sentence_and_nobody_is_missing_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages_by: str, line: str, change: Any, said: str
):
    monkeypatch.setattr(http_api_listing, "_MOST_PAGES", 5)
    async with stage_with(tmp_path, Registry(pages_by)) as stage:
        for number in range(4):
            await stage.place.user(f"u{number}")
        made = await stage.create()
        stage.registry.status = line
        stage.registry.changes += [change] if change else []
        with pytest.raises(Unreadable) as refused:
            await stage.look(made)
        assert said in str(refused.value)
        with pytest.raises(Unreadable):
            await stage.plan(made)
        assert await stage.store.list_plans(made.key) == []


async def test_a_page_that_is_the_same_whatever_is_asked_for_is_no_list(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        await stage.place.user("kim")
        listing = {key: value for key, value in operations("page")["user.list"].items() if key != "total"}
        made = await stage.create(operations={**operations(), "user.list": listing})
        with pytest.raises(Unreadable, match="is the same again with another page: give total, or no paging"):
            await stage.look(made)


async def test_an_answer_without_an_end_is_not_read_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_api_listing, "LONGEST_PAGE", 100)
    async with stage_with(tmp_path, Registry()) as stage:
        await stage.place.user("kim", title="b" * 100)
        made = await stage.create()
        with pytest.raises(Unreadable, match="is no JSON, or longer than"):
            await stage.look(made)


async def test_an_empty_list_says_that_it_is_to_be_doubted(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        for number in range(3):
            await stage.place.user(f"u{number}")
        made = await stage.create()
        stage.registry.changes.append(lambda request, answer: {"data": {"items": []}, "meta": {"total": 0}})
        plan = await stage.plan(made)
        assert plan.counts["add"] == {"User": 3}
        assert plan.limits[-1].startswith("Of 3 User that it was given it lacks 3. If they cannot be gone,")


# --------------------------------------------------------------------------- mended


async def test_who_is_there_already_is_adopted_and_the_ledger_has_the_id(tmp_path: Path):
    match = {"path": "login", "equals": "resource.userName"}
    async with stage_with(tmp_path, Registry()) as stage:
        kim, lee = await stage.place.user("kim", title="boss"), await stage.place.user("lee")
        staff = await stage.place.group("staff", kim)
        stage.registry.people["7"] = {"id": 7, "login": "KIM", "title": "clerk", "members": []}
        # Known by our own id, which was once written there.
        stage.registry.people["8"] = {"id": 8, "login": "old", "key": lee, "members": []}
        stage.registry.teams["9"] = {"id": 9, "name": "Staff", "members": []}
        made = await stage.create(after=None, operations=operations(match=match))
        drift = await stage.look(made)
        assert {one.resource_id: (one.category, one.remote_id) for one in drift.findings} == {
            kim: ("adoptable", "7"),
            lee: ("adoptable", "8"),
            staff: ("adoptable", "9"),
        }
        plan = await stage.plan(made)
        assert plan.counts["adopt"] == {"User": 2, "Group": 1}
        await stage.apply(made, plan)
        assert [one for one in stage.registry.asked() if one.startswith("POST")] == []
        ledger = {one.remote.resource_id: one.remote.remote_id for one in await stage.store.list_remotes(made.key, "", 10)}
        assert ledger == {kim: "7", lee: "8", staff: "9"}
        assert (stage.registry.person("kim")["title"], stage.registry.members("staff")) == ("boss", {"kim"})
        assert by_category(await stage.look(made)) == {}


async def test_nobody_is_matched_by_what_the_configuration_does_not_name(tmp_path: Path):
    listing = {key: value for key, value in operations()["user.list"].items() if key != "our_id"}
    async with stage_with(tmp_path, Registry()) as stage:
        kim = await stage.place.user("kim")
        stage.registry.people["7"] = {"id": 7, "login": "kim", "key": kim, "members": []}
        made = await stage.create(after=None, operations={**operations(), "user.list": listing})
        found = by_category(await stage.look(made))
        assert {name: [one.was_ours for one in some] for name, some in found.items()} == {"missing": [False], "extra": [False]}


async def test_who_was_ours_goes_only_when_the_plan_says_so_and_there_is_a_request_for_it(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        kim = await stage.place.user("kim")
        await stage.place.user("lee")
        made = await stage.create()
        await stage.place.delete("User", kim)
        await until(lambda: len(stage.registry.people) == 1, "the deletion")
        await stage.settled(made)
        stage.registry.people["50"] = {"id": 50, "login": "kim", "key": kim, "members": []}
        ((extra,),) = by_category(await stage.look(made)).values()
        assert (extra.category, extra.was_ours, extra.remote_id) == ("extra", True, "50")
        assert (await stage.plan(made)).items == 0
        unable = {name: one for name, one in operations().items() if name != "user.deleted"}
        less = await control.update(stage.engine, made, {**made.configuration, "operations": unable}, None)
        plan = await stage.plan(less, removes_extra=True)
        assert (plan.counts["remove"], plan.counts["conflict"]) == ({}, {"User": 1})
        assert plan.samples[0].reason == "The configuration has no operation user.deleted."
        again = await control.update(stage.engine, less, made.configuration, None)
        plan = await stage.plan(again, removes_extra=True)
        assert (plan.counts["remove"], plan.verdict) == ({"User": 1}, "The brake lets 1 removal leave.")
        stage.registry.requests.clear()
        await stage.apply(again, plan)
        assert stage.registry.asked() == ["DELETE /people/50"]


async def test_removals_of_a_plan_meet_the_brake(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        for number in range(8):
            await stage.place.user(f"u{number}", userType="Guest")
        await stage.place.user("lee", userType="Employee")
        made = await stage.create()
        changed = await control.update(stage.engine, made, None, EMPLOYEES)
        assert {name: len(some) for name, some in by_category(await stage.look(changed)).items()} == {"leftover": 8}
        plan = await stage.plan(changed)
        assert plan.verdict.startswith("The brake will trip at 8 removals of 9 User")
        await resync.apply(stage.engine, changed, plan.id)
        await until(lambda: stage.engine.find_pump(made.key).brake_held >= 3, "what waits")  # type: ignore[union-attr]
        assert len(stage.registry.people) > 4
        await braking.decide(stage.engine, changed, Choice(), discards=False)
        await until(lambda: len(stage.registry.people) == 1, "the release of all of them")


async def test_whom_the_api_activated_again_meets_the_brake_whatever_says_so_there(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        for number in range(12):
            await stage.place.user(f"u{number}", active=False)
        made = await stage.create()
        assert {one["state"] for one in stage.registry.people.values()} == {"locked"}
        stage.registry.person("u0")["title"] = "x"
        for one in list(stage.registry.people.values())[1:]:
            one["state"] = "open"
        plan = await stage.plan(made)
        assert plan.counts["change"] == {"User": 12}
        # The one whose title is another is deactivated already.
        assert "will trip at 11 removals of 11 User" in plan.verdict
        await resync.apply(stage.engine, made, plan.id)
        await until(lambda: stage.engine.find_pump(made.key).brake_held >= 3, "what waits")  # type: ignore[union-attr]
        assert sum(one["state"] == "open" for one in stage.registry.people.values()) > 5
        await braking.decide(stage.engine, made, Choice(), discards=False)
        await until(lambda: {one["state"] for one in stage.registry.people.values()} == {"locked"}, "all of them")


async def test_a_plan_that_the_world_has_left_behind_is_not_applied(tmp_path: Path):
    async with stage_with(tmp_path, Registry()) as stage:
        ids = [await stage.place.user(f"u{number}", title="clerk") for number in range(10)]
        made = await stage.create()
        for one in stage.registry.people.values():
            one["title"] = "x"
        plan = await stage.plan(made)
        assert any(said.startswith("It shows another title than ours in each of 10 User") for said in plan.limits)
        await stage.place.set(ids[0], title="boss")
        await stage.settled(made)
        with pytest.raises(Conflict, match="1 of the 10 resources in the plan have changed since"):
            await resync.apply(stage.engine, made, plan.id)
        assert sum(one["title"] == "x" for one in stage.registry.people.values()) == 9


# --------------------------------------------------------------------------- the configuration


def mistakes(**changed: Any) -> list[str]:
    written = orjson.loads(orjson.dumps(operations()))
    written["user.list"] = {key: value for key, value in {**written["user.list"], **changed}.items() if value is not ...}
    kind = kinds(Policy(), lambda: 0.0, object())["http_api"]  # type: ignore[arg-type]  # nothing is looked up
    with pytest.raises(Invalid) as refused:
        kind.check({"base_url": "https://api.example", "operations": written})
    return refused.value.problems


MISTAKES: list[tuple[Json, str]] = [
    ({"method": "PUT"}, "The operation user.list needs a method, one of GET, POST."),
    ({"url": "/people/{id}"}, "The operation user.list 'id' is nothing that a list has, which tells of no event;"),
    (
        {"headers": {"X-A": "version"}},
        "The operation user.list, header X-A: names a path that cannot be used: 'version' is nothing",
    ),
    ({"capture": "id"}, "The operation user.list has no key 'capture';"),
    ({"id": ...}, "The operation user.list needs id, the path in an item of the API's id of it."),
    ({"id": "a b"}, "The operation user.list, id: 'a b' is no path"),
    ({"items": 5}, "The operation user.list, items: '' is no path"),
    ({"match": "login"}, "The operation user.list has a match that is no object with path, in an item, and equals,"),
    ({"match": {"path": "login", "equals": "cause"}}, "The operation user.list, match names cause, which belongs to"),
    ({"compare": ["login"]}, "The operation user.list has a compare that is no object of at most 100 paths"),
    (
        {"compare": {"login": "userName"}},
        "The operation user.list, compare login: names a path that cannot be used: 'userName'",
    ),
    ({"compare": {"a b": "id"}}, "The operation user.list, compare: 'a b' is no path"),
    ({"compare": {"x": "delivery_id"}}, "The operation user.list, compare x: names delivery_id, which belongs to an event;"),
    (
        {"paging": "page"},
        "The operation user.list has a paging that is no object with exactly one of next, cursor, page, offset.",
    ),
    ({"paging": {"page": "p", "offset": "o"}}, "The operation user.list has a paging that is no object with exactly one of"),
    ({"paging": {"page": ""}}, "The operation user.list, paging needs with page the name of a parameter of the query."),
    ({"paging": {"page": "p", "first": 7}}, "The operation user.list, paging has a first page that is neither 0 nor 1."),
    ({"paging": {"page": "p", "size": 7}}, "The operation user.list, paging has no key 'size';"),
    ({"paging": {"cursor": "c"}}, "The operation user.list, paging needs path beside cursor,"),
    ({"paging": {"next": "a b"}}, "The operation user.list, paging, next: 'a b' is no path"),
]


@pytest.mark.parametrize("changed, said", MISTAKES, ids=[said[24:84] for _, said in MISTAKES])
def test_every_mistake_of_a_list_is_one_sentence(changed: Json, said: str):
    assert [problem[: len(said)] for problem in mistakes(**changed)] == [said]


def test_all_mistakes_of_a_list_are_told_together():
    found = mistakes(method="PUT", id=..., paging={}, compare={"login": "nothing", "x": 5})
    assert len(found) == 5


def test_a_list_that_could_tell_nobody_apart_is_refused():
    listing = {key: value for key, value in operations()["user.list"].items() if key != "our_id"}
    kind = kinds(Policy(), lambda: 0.0, object())["http_api"]  # type: ignore[arg-type]
    wish = {"user.created": {"method": "PUT", "url": "/people/{id}"}, "user.list": listing}
    with pytest.raises(Invalid) as refused:
        kind.check({"base_url": "https://api.example", "operations": wish})
    assert refused.value.problems == [
        "The operation user.list could not tell who is ours: give it our_id or match, or let the operation that creates "
        "capture the id."
    ]
