"""Previews on real resources: what is seen, who would enter, leave or change, and that nothing is written."""

from dataclasses import replace
from pathlib import Path

import pytest

from scimhub import clock
from scimhub.directory import sources
from scimhub.directory.errors import Invalid
from scimhub.distribution import control, restating
from scimhub.distribution.delivery import Subscription
from scimhub.distribution.preview import preview
from tests.distribution.outside import Hub, open_outside, until

NOW = Subscription(filters={"User": 'userType eq "Employee"'})


async def staff(hub: Hub) -> dict[str, str]:
    kinds = {"kim": "Employee", "lee": "Employee", "max": "Guest", "ann": "Robot"}
    return {name: await hub.place.user(name, userType=kind, title="clerk") for name, kind in kinds.items()}


async def test_a_change_of_filter_and_mapping_tells_who_enters_leaves_and_changes(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = await staff(hub)
        await hub.place.set(ids["lee"], title="boss")
        made = await hub.destination(after=0, wish=NOW)
        proposed = Subscription(
            filters={"User": 'title eq "clerk" and userType ne "Robot"'},
            mapping={"User": {"keep": True, "set": {"displayName": "userName"}}},
        )
        found = await preview(hub.store, hub.engine.place, made, proposed, samples=5)
        assert found.looked_at == 4
        assert found.counts == {"User": {"enters": 1, "leaves": 1, "changes": 1, "stays": 0}}
        by_fate = {sample.fate: sample for sample in found.samples}
        assert {fate: sample.resource_id for fate, sample in by_fate.items()} == {
            "enters": ids["max"],
            "leaves": ids["lee"],
            "changes": ids["kim"],
        }
        changed = by_fate["changes"]
        assert changed.now is not None
        assert changed.then is not None
        assert (changed.now.get("displayName"), changed.then["displayName"]) == (None, "kim")
        assert (by_fate["enters"].now, by_fate["leaves"].then) == (None, None)
        assert await hub.again() == made  # nothing was saved


@pytest.mark.parametrize(
    "wish",
    [
        Subscription(),
        Subscription(attributes=("userName", "displayName", "externalId")),
        Subscription(mapping={"User": {"keep": True, "set": {"login": "userName", "ref": "externalId"}}}),
        Subscription(mapping={"User": {"set": {"deep.login": {"join": ["userName", "id"], "with": "/"}}}}),
    ],
)
async def test_what_is_sent_is_what_was_previewed(tmp_path: Path, wish: Subscription):
    async with open_outside(tmp_path) as hub:
        kim = await hub.place.user("ｋｉｍ ü😀", externalId="hr-1", active=True, title="x" * 1000)
        staff = await hub.place.group("staff", kim)
        await hub.place.set(kim, title="boss")
        # Another source writes as well, and knows her by another id.
        other = await sources.create_source(hub.store, hub.place.directory, "hr", "lenient", "external_id", clock.now_text())
        await replace(hub.place, source=other).set(kim, nickName="Kim", externalId="hr-2")
        made = await hub.destination(after=0, wish=wish)
        await hub.caught_up()
        previewed = {
            sample.resource_id: sample.then
            for sample in (await preview(hub.store, hub.engine.place, made, wish, samples=5)).samples
        }
        sent = {one.data["id"]: one.data["resource"] for one in hub.outside.delivered()}
        assert sent == previewed
        hub.outside.arrivals.clear()
        await restating.resend(hub.engine, await hub.again(), [kim, staff])
        await until(lambda: len(hub.outside.delivered()) == 2, "the states")
        assert {one.data["id"]: one.data["resource"] for one in hub.outside.delivered()} == previewed


async def test_without_a_proposal_it_shows_what_is_seen(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = await staff(hub)
        made = await hub.destination(after=0, wish=NOW)
        found = await preview(hub.store, hub.engine.place, made, NOW, samples=1)
        assert found.counts == {"User": {"enters": 0, "leaves": 0, "changes": 0, "stays": 2}}
        assert [sample.resource_id for sample in found.samples] == [ids["kim"]]


async def test_one_resource_alone(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        ids = await staff(hub)
        made = await hub.destination(after=0, wish=NOW)
        found = await preview(hub.store, hub.engine.place, made, Subscription(), samples=5, resource_id=ids["ann"])
        assert [(sample.resource_id, sample.fate) for sample in found.samples] == [(ids["ann"], "enters")]


async def test_a_proposal_with_mistakes_is_refused(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0)
        wrong = Subscription(filters={"User": "active eq"}, mapping={"User": {"set": {"a": "shoeSize"}}})
        with pytest.raises(Invalid) as refused:
            await preview(hub.store, hub.engine.place, made, wrong, samples=5)
        assert len(refused.value.problems) == 2


async def test_an_allow_list_is_refused_that_names_what_is_never_returned_where_it_is_new(tmp_path: Path):
    wrong, right = Subscription(attributes=("title", "password")), Subscription(attributes=("title", "userName"))
    sentence = "The attribute 'password' of the allow-list is never returned, and no event has it; leave it out."
    async with open_outside(tmp_path) as hub:
        made = await hub.destination(after=0, wish=right)
        for attempt in (
            lambda: hub.destination(name="other", wish=wrong),
            lambda: control.update(hub.engine, made, None, wrong),
            lambda: preview(hub.store, hub.engine.place, made, wrong, samples=1),
        ):
            with pytest.raises(Invalid) as refused:
                await attempt()
            assert list(refused.value.problems) == [sentence]
        # One that was taken before goes on, and can be changed otherwise.
        await hub.store.update_destination(made.key, {}, wrong, clock.now_text(), None)
        known = await hub.again()
        assert (await control.update(hub.engine, known, None, replace(wrong, style="state"))).subscription.style == "state"
        await hub.place.user("kim", title="clerk")
        await hub.caught_up()
        (arrival,) = hub.outside.delivered()
        assert arrival.data["resource"]["title"] == "clerk"
