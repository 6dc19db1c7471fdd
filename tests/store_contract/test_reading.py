"""Lists: pages, order, totals, and what is refused."""

import json

import pytest

from scimhub.directory.ports import After, Page, Selection
from scimhub.directory.records import StoredResource
from scimhub.scim import filters, paths
from scimhub.scim.catalog import Kind, Target, standard_catalog
from scimhub.scim.errors import ScimError
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import Desk, user

KINDS = standard_catalog().kinds
USER, GROUP = KINDS["User"], KINDS["Group"]


def condition(text: str, kind: Kind = USER) -> filters.Condition:
    return filters.bind(filters.parse(text), kind, lenient=True, unknown="absent")


def target(text: str, kind: Kind = USER) -> Target:
    found = kind.resolve(paths.parse_attribute(text), short_names=False)
    assert found is not None
    return found


def of_users(desk: Desk, filter: str | None = None, sort: str | None = None, **options: object) -> Selection:
    conditions = {USER: None if filter is None else condition(filter)}
    sorting = None if sort is None else {USER: target(sort)}
    return Selection(desk.directory.key, desk.source.key, conditions, sorting, **options)


def names(page: Page) -> list[str]:
    return [stored.id for stored in page.resources]


async def test_a_list_is_in_order_of_creation_with_its_total(desk: Desk):
    ids = await desk.users(5)
    page = await desk.store.select(of_users(desk, limit=2))
    assert (names(page), page.total) == (ids[:2], 5)
    assert page.more == After((await desk.get(ids[1])).key)
    rest = await desk.store.select(of_users(desk, limit=3, after=page.more))
    assert (names(rest), rest.total, rest.more) == (ids[2:], 5, None)


async def test_pages_by_offset(desk: Desk):
    ids = await desk.users(5)
    page = await desk.store.select(of_users(desk, offset=3, limit=10))
    assert (names(page), page.total, page.more) == (ids[3:], 5, None)
    beyond = await desk.store.select(of_users(desk, offset=9, limit=10))
    assert (names(beyond), beyond.total, beyond.more) == ([], 5, None)


async def test_without_a_page_there_is_still_a_total(desk: Desk):
    await desk.users(3)
    assert await desk.store.select(of_users(desk, limit=0)) == Page([], 3, None)
    assert await desk.store.select(of_users(desk, 'userName co "user"', limit=0)) == Page([], 3, None)


@pytest.mark.parametrize(
    "filter, expected",
    [
        ('userName eq "USER001"', ["acme-0002"]),
        ('userName sw "user00"', ["acme-0001", "acme-0002", "acme-0003"]),
        ('userName co "2"', ["acme-0003"]),
        ('id eq "acme-0003"', ["acme-0003"]),
        ('userName eq "nobody"', []),
        ('userName eq "user001" or userName eq "user002"', ["acme-0002", "acme-0003"]),
        ('userName sw "user" and not (userName eq "user001")', ["acme-0001", "acme-0003"]),
    ],
)
async def test_a_filtered_list_has_what_matches(desk: Desk, filter: str, expected: list[str]):
    await desk.users(3)
    page = await desk.store.select(of_users(desk, filter))
    assert (names(page), page.total, page.more) == (expected, len(expected), None)


async def test_a_filtered_list_is_counted_beyond_the_page(desk: Desk):
    ids = await desk.users(5)
    first = await desk.store.select(of_users(desk, 'userName sw "user"', limit=2))
    assert (names(first), first.total) == (ids[:2], 5)
    rest = await desk.store.select(of_users(desk, 'userName sw "user"', limit=2, after=first.more))
    assert (names(rest), rest.total) == (ids[2:4], 5)


async def test_an_index_follows_every_update(desk: Desk):
    kim = await desk.user("kim", content=user("kim", emails=[{"value": "A@x.com"}, {"value": "a@x.com"}]))
    assert names(await desk.store.select(of_users(desk, 'emails.value eq "a@x.com"'))) == [kim.id]
    await desk.put(kim.id, user("kim", emails=[{"value": "b@x.com"}]))
    assert names(await desk.store.select(of_users(desk, 'emails.value eq "a@x.com"'))) == []
    assert names(await desk.store.select(of_users(desk, 'emails.value eq "b@x.com"'))) == [kim.id]
    await desk.delete(kim.id)
    assert names(await desk.store.select(of_users(desk, 'emails.value eq "b@x.com"'))) == []


async def test_externalid_is_that_of_the_source_that_asks(desk: Desk):
    kim = await desk.user("kim", external_id="e1")
    page = await desk.store.select(of_users(desk, 'externalId eq "e1"'))
    assert [(stored.id, stored.external_id) for stored in page.resources] == [(kim.id, "e1")]
    other = of_users(desk, 'externalId eq "e1"')._replace(source=desk.source.key + 1)
    assert names(await desk.store.select(other)) == []


async def titled(desk: Desk) -> dict[str | None, str]:
    """Users with and without the attribute to sort by, in no order; the ids by title."""
    titles: list[str | None] = ["cook", None, "baker", "cook", "waiter"]
    ids: dict[str | None, str] = {}
    for number, title in enumerate(titles):
        content = user(f"user{number}", **({} if title is None else {"title": title}))
        ids[title] = (await desk.user(f"user{number}", content=content)).id
    return ids


@pytest.mark.parametrize(
    "descending, expected",
    # Spec S-005: without the attribute last when ascending, first when descending.
    [(False, ["0003", "0001", "0004", "0005", "0002"]), (True, ["0002", "0005", "0001", "0004", "0003"])],
)
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_a_sorted_walk_meets_everyone_once(desk: Desk, descending: bool, expected: list[str], limit: int):
    await titled(desk)
    walked: list[str] = []
    selection = of_users(desk, sort="title", descending=descending, limit=limit)
    while True:
        page = await desk.store.select(selection)
        assert page.total == 5
        walked += names(page)
        if page.more is None:
            break
        selection = selection._replace(after=page.more)
    assert walked == [f"acme-{number}" for number in expected]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_a_walk_sorted_by_an_index_meets_everyone_once(desk: Desk, descending: bool, limit: int):
    names = ["kim", "Ada", "\uffff", "zoe", "\U00010000", "10", "9", "b", "B2", "é"]
    for name in names:
        await desk.user(name)
    same = [await desk.group(name) for name in ("x", "b", "x", "a", "x")]
    by_name = of_users(desk, sort="userName", descending=descending, limit=limit)
    assert await walked(desk, by_name) == sorted((name.lower() for name in names), reverse=descending)
    by_display = Selection(
        desk.directory.key, 1, {GROUP: None}, {GROUP: target("displayName", GROUP)}, descending=descending, limit=limit
    )
    # Of equal ones the older comes first, whichever way it is sorted.
    expected = ["a", "b", "x", "x", "x"]
    assert await walked(desk, by_display) == sorted(expected, reverse=descending)
    page = await desk.store.select(by_display._replace(limit=100))
    assert [one.id for one in page.resources if one.id in {same[0].id, same[2].id, same[4].id}] == [
        *(same[0].id, same[2].id, same[4].id)
    ]
    offset = await desk.store.select(by_name._replace(offset=2, limit=2))
    in_order = sorted((name.lower() for name in names), reverse=descending)
    assert ([shown_name(one) for one in offset.resources], offset.total) == (in_order[2:4], 10)


async def walked(desk: Desk, selection: Selection) -> list[str]:
    """The names of all, page by page."""
    found: list[str] = []
    while True:
        page = await desk.store.select(selection)
        found += [shown_name(one) for one in page.resources]
        if page.more is None:
            return found
        selection = selection._replace(after=page.more)


def shown_name(stored: StoredResource) -> str:
    document = json.loads(stored.document)
    return str(document.get("userName") or document["displayName"]).lower()


async def test_a_sorted_list_may_be_paged_by_offset_and_filtered(desk: Desk):
    await titled(desk)
    page = await desk.store.select(of_users(desk, "title pr", sort="title", offset=1, limit=2))
    assert (names(page), page.total) == (["acme-0001", "acme-0004"], 4)
    assert page.more is not None
    assert page.more.value == "cook"


async def test_several_kinds_are_one_list(desk: Desk):
    kim = await desk.user("kim", content=user("kim", displayName="Kim"))
    staff = await desk.group("Staff")
    sam = await desk.user("sam", content=user("sam", displayName="Zoe"))
    every = Selection(desk.directory.key, desk.source.key, {USER: None, GROUP: None}, limit=2)
    page = await desk.store.select(every)
    assert (names(page), page.total) == ([kim.id, staff.id], 3)
    assert names(await desk.store.select(every._replace(after=page.more))) == [sam.id]
    text = 'displayName sw "s" or userName eq "kim"'
    some = every._replace(conditions={kind: condition(text, kind) for kind in KINDS.values()}, limit=10)
    assert names(await desk.store.select(some)) == [kim.id, staff.id]
    by_name = every._replace(sort={kind: target("displayName", kind) for kind in KINDS.values()}, limit=10)
    assert names(await desk.store.select(by_name)) == [kim.id, staff.id, sam.id]
    by_title = every._replace(sort={USER: target("title")}, limit=10)
    assert names(await desk.store.select(by_title)) == [kim.id, staff.id, sam.id]


async def test_a_list_shows_nothing_of_another_directory(desk: Desk, store):
    other = await open_desk(store, "other")
    await other.users(3)
    (kim,) = await desk.users(1)
    assert names(await store.select(of_users(desk))) == [kim]
    assert names(await store.select(of_users(desk, 'userName sw "user"'))) == [kim]


async def test_a_scan_of_too_many_is_refused(open_it):
    desk = await open_desk(await open_it(scan_limit=3), "acme")
    await desk.users(4)
    for selection in (of_users(desk, 'userName co "x"'), of_users(desk, "title pr"), of_users(desk, sort="title")):
        with pytest.raises(ScimError, match="all 4 resources of User, and at most 3") as refusal:
            await desk.store.select(selection)
        assert refusal.value.scim_type == "tooMany"
    assert (await desk.store.select(of_users(desk, 'userName eq "user001"'))).total == 1
    assert (await desk.store.select(of_users(desk, 'userName eq "user001"', sort="title"))).total == 1
    assert (await desk.store.select(of_users(desk, limit=2))).total == 4


async def test_totals_stay_exact_over_many_writes(desk: Desk):
    for number in range(300):
        await desk.user("kim")
        if number < 299:
            await desk.delete(f"acme-{number + 1:04}")
    assert await desk.store.count_resources(desk.directory.key) == {"User": 1}
    assert (await desk.store.select(of_users(desk))).total == 1
