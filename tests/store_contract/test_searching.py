"""Search indexes: built while writes go on, kept by every write, finished after a crash, and taken away safely."""

import asyncio
import json

import asyncpg
import pytest

from scimhub.directory import indexes, schemas
from scimhub.directory.errors import Absent, Conflict, Invalid, StoreUnavailable
from scimhub.directory.ports import Selection
from scimhub.directory.resources import content_of
from scimhub.directory.schemas import Catalogs
from scimhub.scim import filters
from scimhub.scim.catalog import ENTERPRISE_URN, Kind, standard_catalog
from scimhub.sqlstore.store import SqlStore
from tests.servers.postgres import lacks_trigrams
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T0, USER_URN, Desk

USER = standard_catalog().kinds["User"]


@pytest.fixture
async def store(open_it, url) -> SqlStore:
    opened = await open_it(scan_limit=50)
    if isinstance(url, str):
        await with_trigrams(url)
    return opened


async def with_trigrams(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE EXTENSION pg_trgm")
    except asyncpg.FeatureNotSupportedError:
        pytest.skip(lacks_trigrams())
    finally:
        await connection.close()


async def write(desk: Desk, name: str, **attributes: object) -> str:
    document = {"schemas": [USER_URN], "userName": name, **attributes}
    return (await desk.user(name, content=content_of(document, USER))).id


async def add(desk: Desk, attribute: str) -> None:
    catalog = await schemas.load_catalog(desk.store, desk.directory.key)
    await indexes.add_index(desk.store, catalog, desk.directory, "User", attribute, T0)


async def build(desk: Desk) -> None:
    await indexes.finish(desk.store, Catalogs(desk.store))


async def kind_now(desk: Desk) -> Kind:
    return (await Catalogs(desk.store).current(desk.directory.key)).kinds["User"]


async def found(desk: Desk, text: str, kind: Kind | None = None) -> list[str]:
    """The names of those who are found, in order; by the kind as it is now."""
    kind = kind or await kind_now(desk)
    condition = filters.bind(filters.parse(text), kind, lenient=True)
    page = await desk.store.select(Selection(desk.directory.key, desk.source.key, {kind: condition}, limit=2000))
    assert page.total == len(page.resources)
    return sorted(json.loads(resource.document)["userName"] for resource in page.resources)


async def test_what_was_there_before_and_what_comes_later_is_found(desk: Desk):
    await write(desk, "Anna.Karenina")
    await write(desk, "Hannah")
    await add(desk, "userName")
    await write(desk, "Joanna")
    await build(desk)
    await write(desk, "susanna")
    await write(desk, "Bob")
    assert await found(desk, 'userName co "ANNA"') == ["Anna.Karenina", "Hannah", "Joanna", "susanna"]
    assert await found(desk, 'userName ew "anna"') == ["Joanna", "susanna"]
    assert await found(desk, 'userName co ".kar"') == ["Anna.Karenina"]


async def test_the_index_follows_changes_and_deletions(desk: Desk):
    await add(desk, "emails")
    await add(desk, "title")
    await build(desk)
    one = await write(desk, "one", title="Engineer", emails=[{"value": "one@example.com"}, {"value": "uno@example.org"}])
    two = await write(desk, "two", title="Engine Driver")
    assert await found(desk, 'title sw "engine"') == ["one", "two"]
    assert await found(desk, 'title eq "engineer"') == ["one"]
    assert await found(desk, 'emails co "example.org"') == ["one"]
    document = {"schemas": [USER_URN], "userName": "one", "title": "Boss", "emails": [{"value": "one@example.net"}]}
    await desk.put(one, content_of(document, USER), expected_version=1)
    assert await found(desk, 'title sw "engine"') == ["two"]
    assert await found(desk, 'title co "boss"') == ["one"]
    assert await found(desk, 'emails co "example.org" or emails.value ew "example.com"') == []
    assert await found(desk, 'emails co "example.net"') == ["one"]
    await desk.delete(two)
    assert await found(desk, 'title co "engine"') == []


async def test_filters_use_the_index_as_soon_as_it_is_ready_and_no_longer_than_it_is(desk: Desk):
    await asyncio.gather(*(write(desk, f"user{number:02}") for number in range(60)))
    with pytest.raises(Exception, match="at most 50 are"):
        await found(desk, 'userName co "r07"')
    await add(desk, "userName")
    with pytest.raises(Exception, match="at most 50 are"):
        await found(desk, 'userName co "r07"')
    await build(desk)
    kind = await kind_now(desk)
    assert await found(desk, 'userName co "r07"') == ["user07"]
    with pytest.raises(Exception, match="at most 50 are"):
        await found(desk, 'userName co "07"')
    await indexes.remove_index(desk.store, await schemas.load_catalog(desk.store, 1), desk.directory, "user", "username")
    with pytest.raises(Exception, match="at most 50 are"):
        await found(desk, 'userName co "r07"')
    # Who has read the catalog before is still answered.
    assert await found(desk, 'userName co "r07"', kind) == ["user07"]
    await build(desk)
    with pytest.raises(StoreUnavailable, match="was just removed"):
        await found(desk, 'userName co "r07"', kind)
    assert await desk.store.list_indexes(desk.directory.key) == []
    await write(desk, "later")


async def test_it_is_built_while_writes_go_on(desk: Desk):
    ids = await asyncio.gather(*(write(desk, f"before{number:04}") for number in range(1200)))
    await add(desk, "userName")
    later: list[str] = []

    async def go_on() -> None:
        for number, id in enumerate(ids[::100]):
            content = content_of({"schemas": [USER_URN], "userName": f"after{number:04}"}, USER)
            await desk.put(id, content, expected_version=1)
            later.append(f"after{number:04}")
            await desk.delete(ids[number + 1])

    await asyncio.gather(build(desk), go_on())
    assert await found(desk, 'userName co "fter"') == later
    gone = {number + 1 for number in range(12)} | set(range(0, 1200, 100))
    assert await found(desk, 'userName co "before"') == [f"before{n:04}" for n in range(1200) if n not in gone]


async def test_a_build_that_was_broken_off_goes_on_where_it_was(open_it, desk: Desk):
    await asyncio.gather(*(write(desk, f"user{number:04}") for number in range(1100)))
    await add(desk, "userName")
    [index] = await desk.store.list_indexes(desk.directory.key)
    kind = await kind_now(desk)
    target = kind.resolve(filters.parse("userName pr").path, short_names=False)
    once = await desk.store.fill_index(index, kind, target)
    assert (once.state, once.done, once.total) == ("building", 500, 1100)
    again = await open_it(scan_limit=50)
    desk = Desk(again, desk.directory, desk.source, desk.actor, desk.ids)
    await build(desk)
    [index] = await desk.store.list_indexes(desk.directory.key)
    assert (index.state, index.done) == ("ready", 1100)
    assert await found(desk, 'userName ew "r0007"') == ["user0007"]


async def test_two_may_build_the_same_index(desk: Desk):
    await asyncio.gather(*(write(desk, f"user{number:04}") for number in range(1600)))
    await add(desk, "userName")
    await asyncio.gather(build(desk), build(desk))
    [index] = await desk.store.list_indexes(desk.directory.key)
    assert (index.state, index.done) == ("ready", 1600)
    assert len(await found(desk, 'userName co "user"')) == 1600
    assert await found(desk, 'userName ew "r1234"') == ["user1234"]


async def test_directories_do_not_see_each_others_indexes(desk: Desk):
    other = await open_desk(desk.store, "other")
    await write(other, "Joanna")
    await write(desk, "Hannah")
    await add(desk, "userName")
    await build(desk)
    assert await found(desk, 'userName co "anna"') == ["Hannah"]
    assert (await kind_now(other)).searches == {}


async def test_a_directory_goes_with_its_indexes(desk: Desk):
    await write(desk, "Hannah")
    await add(desk, "userName")
    await build(desk)
    await desk.store.request_directory_deletion(desk.directory.key, T0)
    await desk.store.delete_directory(desk.directory.key)
    assert await desk.store.list_indexes(desk.directory.key) == []
    await write(await open_desk(desk.store, "next"), "Hannah")


async def test_an_attribute_has_one_index(desk: Desk):
    await add(desk, "emails")
    with pytest.raises(Conflict, match=r"emails\.value of User has a search index already"):
        await add(desk, "emails.value")


@pytest.mark.parametrize(
    "attribute, problem",
    [
        ("shoeSize", "shoeSize is no attribute of User"),
        ("name", "name is complex; name one of its sub-attributes"),
        ("active", "active is of type boolean; co, sw and ew look into strings only"),
        ("password", "password is never returned"),
        ("externalId", "externalId is kept apart"),
        ("groups", "groups is kept apart"),
        ("meta.location", "meta.location is kept apart"),
        ("a b", "a b"),
    ],
)
async def test_what_cannot_be_searched_is_refused_with_the_reason(desk: Desk, attribute: str, problem: str):
    with pytest.raises(Invalid, match=problem):
        await add(desk, attribute)


async def test_an_index_that_is_not_there_cannot_be_removed(desk: Desk):
    catalog = await schemas.load_catalog(desk.store, desk.directory.key)
    with pytest.raises(Absent, match="has no search index"):
        await indexes.remove_index(desk.store, catalog, desk.directory, "User", "title")


async def test_a_definition_that_would_break_an_index_is_refused(desk: Desk):
    badge = {"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "colour"}, {"name": "floor"}]}
    await schemas.add_schema(desk.store, desk.directory, badge, T0, desk.new_id)
    await add(desk, "urn:example:Badge:colour")
    await build(desk)
    with pytest.raises(Conflict, match=r"index remove urn:example:Badge:colour --type User"):
        await schemas.remove_schema(desk.store, desk.directory, "urn:example:Badge")
    several = {**badge, "attributes": [{"name": "colour", "multiValued": True}]}
    with pytest.raises(Conflict, match="has a search index"):
        await schemas.add_schema(desk.store, desk.directory, several, T0, desk.new_id)
    less = {**badge, "attributes": [{"name": "colour", "caseExact": True}]}
    await schemas.add_schema(desk.store, desk.directory, less, T0, desk.new_id)


async def test_comparing_in_another_way_is_followed(desk: Desk):
    badge = {"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "colour"}]}
    await schemas.add_schema(desk.store, desk.directory, badge, T0, desk.new_id)
    kind = await kind_now(desk)
    document = {"schemas": [USER_URN], "userName": "kim", "urn:example:Badge": {"colour": "DarkRed"}}
    await desk.user("kim", content=content_of(document, kind))
    await add(desk, "colour")
    await build(desk)
    assert await found(desk, 'urn:example:Badge:colour co "kred"') == ["kim"]
    exact = {**badge, "attributes": [{"name": "colour", "caseExact": True}]}
    await schemas.add_schema(desk.store, desk.directory, exact, T0, desk.new_id)
    assert await found(desk, 'urn:example:Badge:colour co "kred"') == []
    assert await found(desk, 'urn:example:Badge:colour co "kRed"') == ["kim"]


async def test_an_extensions_attribute_is_searched(desk: Desk):
    await write(desk, "kim", **{ENTERPRISE_URN: {"department": "Sales and Marketing"}})
    await add(desk, "department")
    await build(desk)
    assert await found(desk, f'{ENTERPRISE_URN}:department co "and mark"') == ["kim"]
    assert await found(desk, 'department sw "sales"') == ["kim"]
