"""Members as sets: only differences are written, and only differences are told."""

import asyncio
import json

from scimhub.directory.intents import (
    Applied,
    Create,
    MemberEdit,
    MembersMissing,
    NotFound,
    Unchanged,
    UniqueConflict,
    Update,
)
from scimhub.directory.records import GroupView
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T1, Desk, applied, group, user


async def test_a_group_is_created_with_its_members(desk: Desk):
    users = await desk.users(3)
    staff = await desk.group("Staff", *users)
    assert await desk.members(staff.id) == users
    change = (await desk.changes())[-1]
    assert (change.operation, change.members_added, change.members_removed) == ("created", tuple(users), ())


async def test_an_edit_tells_only_what_it_changed(desk: Desk):
    a, b, c, d = await desk.users(4)
    staff = await desk.group("Staff", a, b)
    outcome = applied(await desk.at(T1).edit(staff.id, add=(b, c, c), remove=(a, d)))
    assert (outcome.resource.version, outcome.resource.last_modified) == (2, T1)
    assert outcome.resource.document == group("Staff").document
    assert await desk.members(staff.id) == [b, c]
    change = (await desk.changes())[-1]
    assert (change.operation, change.version, change.before) == ("updated", 2, {})
    assert (change.members_added, change.members_removed) == ((c,), (a,))


async def test_an_edit_that_changes_nobody_writes_nothing(desk: Desk):
    a, b = await desk.users(2)
    staff = await desk.group("Staff", a)
    position = await desk.store.last_position()
    for edit in (
        MemberEdit(add=(a,)),
        MemberEdit(remove=(b,)),
        MemberEdit(remove=("nobody",)),
        MemberEdit(add=(a,), exact=True),
        MemberEdit(add=(a,), remove=(a,)),
        MemberEdit(),
    ):
        outcome = await desk.at(T1).store.submit(Update(desk.actor, "Group", staff.id, members=edit))
        assert outcome == Unchanged(staff), edit
    assert await desk.store.last_position() == position


async def test_an_exact_edit_is_told_as_a_difference(desk: Desk):
    a, b, c, d = await desk.users(4)
    staff = await desk.group("Staff", a, b, c)
    await desk.edit(staff.id, add=(b, d), exact=True)
    assert await desk.members(staff.id) == [b, d]
    change = (await desk.changes())[-1]
    assert (change.members_added, change.members_removed) == ((d,), (a, c))
    await desk.edit(staff.id, exact=True)
    assert await desk.members(staff.id) == []
    assert (await desk.changes())[-1].members_removed == (b, d)


async def test_unknown_members_are_named_and_nobody_is_added(desk: Desk):
    (a,) = await desk.users(1)
    staff = await desk.group("Staff")
    unknown = tuple(f"nobody-{number:02}" for number in range(12))
    outcome = await desk.edit(staff.id, add=(a, *unknown))
    assert isinstance(outcome, MembersMissing)
    assert outcome.ids == unknown[:10]
    assert await desk.edit(staff.id, add=(a, "x"), exact=True) == MembersMissing(("x",))
    created = await desk.store.submit(Create(desk.actor, "Group", "g", group("G"), members=("x", a)))
    assert created == MembersMissing(("x",))
    assert await desk.members(staff.id) == []
    assert await desk.find("g", "Group") is None


async def test_a_resource_of_another_directory_is_no_member(desk: Desk, store):
    other = await open_desk(store, "other")
    foreign = await other.user("kim")
    staff = await desk.group("Staff")
    assert await desk.edit(staff.id, add=(foreign.id,)) == MembersMissing((foreign.id,))


async def test_an_edit_of_a_missing_group_is_told(desk: Desk):
    assert await desk.edit("nobody", add=("x",)) == NotFound()


async def test_members_and_content_together_are_one_change(desk: Desk):
    (a,) = await desk.users(1)
    staff = await desk.group("Staff")
    edit = Update(
        desk.actor,
        "Group",
        staff.id,
        expected_version=1,
        content=group("Crew"),
        before={"displayName": "Staff"},
        members=MemberEdit(add=(a,)),
    )
    assert applied(await desk.store.submit(edit)).resource.version == 2
    change = (await desk.changes())[-1]
    assert (change.position, change.before, change.members_added) == (3, {"displayName": "Staff"}, (a,))
    assert change.after == group("Crew").document


async def test_members_are_shown_with_place_type_and_name(desk: Desk):
    named = await desk.user("kim", content=user("kim", displayName='Kim "K" Ä'))
    nameless = await desk.user("sam")
    inner = await desk.group("Inner")
    outer = await desk.group("Outer", inner.id, nameless.id, named.id)
    shown = await desk.store.members_json(outer.key, {"User": "https://hub/Users/", "Group": "https://hub/Groups/"})
    assert shown is not None
    assert json.loads(shown) == [
        {"value": named.id, "$ref": f"https://hub/Users/{named.id}", "type": "User", "display": 'Kim "K" Ä'},
        {"value": nameless.id, "$ref": f"https://hub/Users/{nameless.id}", "type": "User"},
        {"value": inner.id, "$ref": f"https://hub/Groups/{inner.id}", "type": "Group", "display": "Inner"},
    ]
    assert await desk.store.members_json(inner.key, {}) is None


async def test_groups_of_groups_are_shown_as_indirect(desk: Desk):
    kim = await desk.user("kim")
    sam = await desk.user("sam")
    team = await desk.group("Team", kim.id)
    unit = await desk.group("Unit", team.id)
    firm = await desk.group("Firm", unit.id, kim.id)
    groups = await desk.store.groups_of([kim.key, sam.key, team.key])
    assert groups == {
        kim.key: [
            GroupView(team.id, "Group", "Team", direct=True),
            GroupView(firm.id, "Group", "Firm", direct=True),
            GroupView(unit.id, "Group", "Unit", direct=False),
        ],
        team.key: [
            GroupView(unit.id, "Group", "Unit", direct=True),
            GroupView(firm.id, "Group", "Firm", direct=False),
        ],
    }
    assert await desk.store.groups_of([]) == {}


async def test_who_asks_at_once_gets_its_own_groups(desk: Desk):
    users = [await desk.user(f"u{number}") for number in range(6)]
    teams = [await desk.group(f"T{number}", *(each.id for each in users[number:])) for number in range(5)]
    await desk.group("Nest", teams[0].id)
    answers = await asyncio.gather(*(desk.store.groups_of([each.key]) for each in users))
    told = [[view.display for view in answer[each.key]] for each, answer in zip(users, answers, strict=True)]
    assert told == [[*(f"T{other}" for other in range(5) if other <= number), "Nest"] for number in range(6)]


async def test_groups_that_contain_each_other_end_the_search(desk: Desk):
    kim = await desk.user("kim")
    a = await desk.group("A", kim.id)
    b = await desk.group("B", a.id)
    assert isinstance(await desk.edit(a.id, add=(b.id,)), Applied)
    assert isinstance(await desk.edit(a.id, add=(a.id,)), Applied)
    groups = await desk.store.groups_of([kim.key])
    assert [(view.id, view.direct) for view in groups[kim.key]] == [(a.id, True), (b.id, False)]


async def test_a_deleted_user_leaves_all_groups_in_one_exchange(desk: Desk):
    a, b = await desk.users(2)
    first = await desk.group("First", a, b)
    second = await desk.group("Second", a)
    await desk.group("Third", first.id)
    before = await desk.store.last_position()
    await desk.at(T1).delete(a)
    assert await desk.members(first.id) == [b]
    assert (await desk.get(second.id, "Group")).version == 2
    assert (await desk.get(second.id, "Group")).last_modified == T1
    told = [
        (change.operation, change.resource_id, change.version, change.members_removed, change.exchange_id)
        for change in await desk.changes(before)
    ]
    assert told == [
        ("deleted", a, 2, (), "exchange-acme"),
        ("updated", first.id, 2, (a,), "exchange-acme"),
        ("updated", second.id, 2, (a,), "exchange-acme"),
    ]


async def test_a_deleted_group_leaves_its_members_and_its_parents(desk: Desk):
    (a,) = await desk.users(1)
    inner = await desk.group("Inner", a)
    outer = await desk.group("Outer", inner.id)
    await desk.edit(inner.id, add=(inner.id,))
    before = await desk.store.last_position()
    await desk.delete(inner.id, "Group")
    assert [change.resource_id for change in await desk.changes(before)] == [inner.id, outer.id]
    assert await desk.members(outer.id) == []
    assert await desk.store.groups_of([(await desk.get(a)).key]) == {}


# --------------------------------------------------------------------------- many at once


async def test_fifty_additions_at_once_end_with_exactly_the_union(desk: Desk):
    users = await desk.users(50)
    staff = await desk.group("Staff")
    before = await desk.store.last_position()
    outcomes = await asyncio.gather(*(desk.edit(staff.id, add=(id,)) for id in users))
    assert all(isinstance(outcome, Applied) for outcome in outcomes)
    assert await desk.members(staff.id) == users
    changes = await desk.changes(before)
    assert [change.position for change in changes] == list(range(before + 1, before + 51))
    assert sorted(change.version for change in changes) == list(range(2, 52))
    assert sorted(id for change in changes for id in change.members_added) == users


async def test_fifty_creations_of_one_name_give_one_resource(desk: Desk):
    outcomes = await asyncio.gather(*(desk.try_user("kim") for _ in range(50)))
    winners = [outcome.resource.id for outcome in outcomes if isinstance(outcome, Applied)]
    assert len(winners) == 1
    losers = [outcome for outcome in outcomes if not isinstance(outcome, Applied)]
    assert set(losers) == {UniqueConflict("userName", winners[0])}
    assert await desk.store.last_position() == 1


async def test_fifty_additions_and_removals_at_once_keep_version_and_log_together(desk: Desk):
    users = await desk.users(25)
    staff = await desk.group("Staff", *users[:12])
    edits = [desk.edit(staff.id, add=(id,)) for id in users[12:]] + [desk.edit(staff.id, remove=(id,)) for id in users[:12]]
    await asyncio.gather(*edits)
    assert await desk.members(staff.id) == users[12:]
    assert (await desk.get(staff.id, "Group")).version == 26


async def test_a_large_edit_among_small_ones_disturbs_none(desk: Desk):
    users = await asyncio.gather(*(desk.user(f"user{number:04}") for number in range(1200)))
    staff, crew = await desk.group("Staff"), await desk.group("Crew")
    ids = tuple(stored.id for stored in users)
    small = [desk.edit(crew.id, add=(id,)) for id in ids[:20]]
    outcomes = await asyncio.gather(*small[:10], desk.edit(staff.id, add=ids), *small[10:])
    assert all(isinstance(outcome, Applied) for outcome in outcomes)
    assert len(await desk.members(staff.id)) == 1200
    assert len(await desk.members(crew.id)) == 20
    await asyncio.gather(desk.delete(staff.id, "Group"), desk.edit(crew.id, exact=True))
    assert await desk.members(crew.id) == []


async def test_a_resource_knows_whether_it_is_in_groups(desk: Desk):
    [kim] = await desk.users(1)
    assert not (await desk.get(kim)).in_groups
    staff = await desk.group("Staff", kim)
    other = await desk.group("Other", kim)
    assert (await desk.get(kim)).in_groups
    assert not (await desk.get(staff.id, "Group")).in_groups
    written = applied(await desk.put(kim, user("Kim")))
    assert written.resource.in_groups
    await desk.edit(staff.id, remove=(kim,))
    assert (await desk.get(kim)).in_groups
    await desk.delete(other.id, "Group")
    assert not (await desk.get(kim)).in_groups
