"""All stories of every provider, told to a real hub, and the hub compared with what it must hold then."""

import pytest

from scimhub.simulate import comparison, people, providers, runner, stories
from scimhub.simulate.comparison import Difference
from scimhub.simulate.steps import Memory
from scimhub.simulate.stories import STORIES

CASES = [(name, "") for name in providers.NAMES] + [("entra", "?aadOptscim062020")]
DEPARTMENT = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"


def told(name, flag="", number=20):
    provider = providers.find(name, flag)
    return provider, people.populate(provider.domain, number)


@pytest.mark.parametrize("name, flag", CASES)
async def test_the_hub_holds_what_the_provider_told_it(name, flag, new_directory):
    served, (provider, population) = new_directory(), told(name, flag)
    async with served.client(provider) as client:
        report = await runner.run(provider, population, STORIES, client, served.url + flag)
        assert await comparison.compare(client, served.url + flag, provider, population, STORIES) == []
    assert report.failures == []
    counts = {of: report.tally(of) for of in ("joined", "moved", "left", "deleted", "groups")}
    assert counts == {
        "joined": 20,
        "moved": 6,
        "left": 4,
        "deleted": 2 if provider.deletes else 0,
        "groups": 2 if provider.groups else 0,
    }


@pytest.mark.parametrize("name", providers.NAMES)
async def test_stories_can_be_told_one_by_one_with_or_without_memory(name, new_directory):
    provider, population = told(name, number=5)
    for memory in (None, Memory(population)):
        served = new_directory()
        async with served.client(provider) as client:
            for place, story in enumerate(STORIES):
                report = await runner.run(provider, population, [story], client, served.url, memory=memory)
                assert report.failures == []
                so_far = STORIES[: place + 1]
                assert await comparison.compare(client, served.url, provider, population, so_far) == []


async def test_an_import_walks_all_pages(new_directory):
    served, (provider, population) = new_directory(), told("okta", number=101)
    async with served.client(provider) as client:
        report = await runner.run(provider, population, ["join"], client, served.url, concurrency=8)
    assert report.failures == []
    # Two constant lists for the connection test; two pages of users and one of groups for the import.
    assert report.answers["GET /Users?startIndex", 200] == 1 + 2
    assert report.answers["GET /Groups?startIndex", 200] == 1 + 1


async def test_every_difference_is_found(new_directory):
    served, (provider, population) = new_directory(), told("entra", number=10)
    async with served.client(provider) as client:
        memory = Memory(population)
        await runner.run(provider, population, ["join"], client, served.url, memory=memory)
        path = f"{served.url}/Users/{memory.users[1]}"
        await client.delete(f"{served.url}/Users/{memory.users[9]}")
        operations = [
            {"op": "replace", "path": "active", "value": False},
            {"op": "replace", "path": DEPARTMENT, "value": "Elsewhere"},
            {"op": "remove", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager"},
        ]
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}
        await client.patch(path, json=body, headers={"content-type": "application/scim+json"})
        await client.delete(f"{served.url}/Groups/{memory.groups[population.groups[0].name]}")
        found = await comparison.compare(client, served.url, provider, population, ["join"])
    changed, gone = population.person(1), population.person(9)
    members = sorted(each.joined.user_name for each in population.careers if population.groups[1].name in each.joined.groups)
    expected = [
        Difference(changed.user_name, "active", True, False),
        Difference(changed.user_name, DEPARTMENT, changed.department, "Elsewhere"),
        Difference(changed.user_name, DEPARTMENT.replace("department", "manager"), memory.users[0], None),
        Difference(gone.user_name, "number of users", 1, 0),
        Difference(population.groups[0].name, "number of groups", 1, 0),
    ]
    if gone.user_name in members:
        left = [name for name in members if name != gone.user_name]
        expected.append(Difference(population.groups[1].name, "members", members, left))
    assert found == expected
    assert str(found[0]) == f"{changed.user_name}: active is False and should be True."


def test_who_leads_joins_first_where_the_manager_is_part_of_the_create():
    provider, population = told("okta", number=30)
    joining = [phase.tasks for phase in stories.phases(provider, ["join"], Memory(population)) if phase.name == "join"]
    wave_of = {task.subject: wave for wave, tasks in enumerate(joining) for task in tasks}
    people_ = [career.joined for career in population.careers]
    assert len(wave_of) == 30
    managed = [person for person in people_ if person.manager is not None]
    assert all(wave_of[person.user_name] > wave_of[people_[person.manager].user_name] for person in managed)


def test_phases_come_in_the_order_of_the_stories_however_they_are_asked_for():
    provider, population = told("entra")
    names = [phase.name for phase in stories.phases(provider, ["leave", "join", "move"], Memory(population))]
    assert names == [
        "connection test",
        "join",
        "references",
        "groups",
        "move",
        "references",
        "groups",
        "leave",
        "delete",
    ]


def test_what_is_expected_after_each_story():
    provider, population = told("entra", number=10)
    joined = comparison.expected(provider, population, ["join"])
    assert [user.user_name for user in joined.users] == [career.joined.user_name for career in population.careers]
    assert joined.absent == ()
    after = comparison.expected(provider, population, STORIES)
    renamed = [
        each.joined.user_name for each in population.careers if each.moved and each.moved.user_name != each.joined.user_name
    ]
    deleted = [(each.moved or each.joined).user_name for each in population.careers if each.departure == "deleted"]
    assert sorted(after.absent) == sorted(renamed + deleted)
    inactive = [user.user_name for user in after.users if user.attributes["active"] is False]
    assert inactive == [(c.moved or c.joined).user_name for c in population.careers if c.departure == "deactivated"]


def test_okta_takes_leavers_out_of_groups_and_jumpcloud_leaves_them_in():
    def members(name):
        provider, population = told(name)
        wanted = comparison.expected(provider, population, STORIES)
        left = {(c.moved or c.joined).user_name for c in population.careers if c.departure != "stays"}
        return bool(left & frozenset().union(*wanted.groups.values()))

    assert (members("okta"), members("jumpcloud")) == (False, True)
