"""An update that says what differs: it leaves the same rows as one that says all."""

import json
from functools import partial
from typing import Any

import pytest

from scimhub.directory import resources
from scimhub.directory.intents import Applied, Compute, Content, NotFound, Unchanged, UniqueConflict, Update, VersionConflict
from scimhub.directory.ports import Selection
from scimhub.directory.records import StoredResource
from scimhub.scim import filters, matching, resource
from scimhub.scim.catalog import ENTERPRISE_URN, standard_catalog
from scimhub.scim.filters import Condition
from scimhub.sqlstore import rows
from scimhub.sqlstore.connection import Connection
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.harness import USER_URN, Desk, applied

USER = standard_catalog().kinds["User"]

Json = dict[str, Any]


def document(**attributes: object) -> Json:
    return {"schemas": [USER_URN], "userName": "Kim", **attributes}


def content(**attributes: object) -> Content:
    return resources.content_of(document(**attributes), USER)


def amending(desk: Desk, stored: StoredResource, **attributes: object) -> Update:
    amendment = resources.amendment_of(stored, json.loads(stored.document), document(**attributes), USER)
    return Update(desk.actor, "User", stored.id, stored.version, amendment)


def condition(filter: str) -> Condition:
    return filters.bind(filters.parse(filter), USER, lenient=True, unknown="error")


async def found(desk: Desk, filter: str) -> list[str]:
    page = await desk.store.select(Selection(desk.directory.key, desk.source.key, {USER: condition(filter)}))
    return [stored.id for stored in page.resources]


STATES: list[Json] = [
    {},
    {"title": "Cook", "displayName": "Kim K", "active": True},
    {"displayName": "Kim P", "active": False, "emails": [{"value": "K@x.example", "type": "work", "primary": True}]},
    {"name": {"givenName": "Kim", "familyName": "P"}, "emails": [{"value": "k@x.example"}, {"value": "p@x.example"}]},
    {"name": {"familyName": "Q"}, ENTERPRISE_URN: {"department": "Deck", "employeeNumber": "7", "manager": {"value": "u2"}}},
    {ENTERPRISE_URN: {"employeeNumber": "8", "manager": {"$ref": "/Users/u3"}}},
    {"userName": "SAM", "name": {"givenName": "Sam"}},
]


FILTERS = (
    'title eq "cook"',
    "title pr",
    'name.givenName eq "kim"',
    "name.familyName pr",
    'emails[type eq "work"].value eq "k@x.example"',
    "active eq false",
    f"{ENTERPRISE_URN}:department pr",
    f'{ENTERPRISE_URN}:manager.value eq "u2"',
)


@pytest.mark.parametrize("before", STATES)
async def test_whatever_differs_the_rows_are_those_of_the_new_document(desk: Desk, before: Json):
    stored = await desk.user("kim", content=content(**before))
    for after in STATES:
        outcome = await desk.store.submit(amending(desk, stored, **after))
        assert isinstance(outcome, Applied | Unchanged)
        stored = outcome.resource
        whole = resource.normal_form(document(**after), USER)
        assert isinstance(desk.store, SqlStore)
        values = await desk.store.database.read(partial(rows.values_of, key=stored.key))
        assert set(values.unique) == set(resource.unique_rows(whole, USER))
        assert set(values.indexed) == set(resource.index_rows(whole, USER))
        for filter in FILTERS:
            expected = [stored.id] if matching.matches(condition(filter), whole) else []
            assert await found(desk, filter) == expected, (filter, after)


async def test_an_amendment_holds_for_the_state_it_was_computed_from_only(desk: Desk):
    kim = await desk.user("kim", content=content())
    late = amending(desk, kim, title="Cook")
    assert applied(await desk.store.submit(amending(desk, kim, title="Baker"))).resource.version == 2
    assert await desk.store.submit(late) == VersionConflict(2)
    assert await desk.store.submit(late._replace(expected_version=None)) == VersionConflict(2)
    assert await found(desk, 'title eq "baker"') == [kim.id]
    await desk.delete(kim.id)
    assert await desk.store.submit(late) == NotFound()


async def test_an_amendment_may_be_decided_inside_the_writer(desk: Desk):
    kim = await desk.user("kim", content=content(title="Cook"))

    def promote(stored: StoredResource | None) -> Update:
        assert stored is not None
        return amending(desk, stored, title="Baker")

    outcome = applied(await desk.store.submit(Compute(desk.actor, "User", kim.id, promote)))
    assert (outcome.resource.version, outcome.resource.document) == (2, content(title="Baker").document)
    assert await found(desk, "title pr") == await found(desk, 'title eq "baker"') == [kim.id]


async def test_an_amendment_claims_and_gives_up_unique_values(desk: Desk):
    kim = await desk.user("kim", content=content())
    sam = await desk.user("sam")
    assert await desk.store.submit(amending(desk, kim, userName="SAM", title="x")) == UniqueConflict("userName", sam.id)
    assert await found(desk, "title pr") == []
    assert isinstance(await desk.store.submit(amending(desk, kim, userName="Pat")), Applied)
    assert applied(await desk.try_user("KIM")).resource.version == 1
    assert await desk.try_user("PAT") == UniqueConflict("userName", kim.id)


async def test_what_another_has_is_not_given_up_by_who_only_says_so(desk: Desk):
    """While a job rewrites rows by a new schema, two resources may have a value that from now on is unique."""
    kim, sam = await desk.user("kim"), await desk.user("sam")
    amendment = resources.amendment_of(kim, {"userName": "sam"}, {"userName": "pat"}, USER)
    assert isinstance(await desk.store.submit(Update(desk.actor, "User", kim.id, 1, amendment)), Applied)
    assert await desk.try_user("sam") == UniqueConflict("userName", sam.id)


async def test_a_value_that_a_resource_has_already_may_be_claimed_anew(desk: Desk):
    kim = await desk.user("kim")
    amendment = resources.amendment_of(kim, {"userName": "pat"}, {"userName": "KIM"}, USER)
    assert isinstance(await desk.store.submit(Update(desk.actor, "User", kim.id, 1, amendment)), Applied)
    assert await desk.try_user("kim") == UniqueConflict("userName", kim.id)


async def test_the_database_itself_refuses_a_unique_value_of_another(desk: Desk):
    """As a last line behind the look for conflicts, which is what tells of it."""
    kim, sam = await desk.user("kim"), await desk.user("sam")
    assert isinstance(desk.store, SqlStore)

    def claim(connection: Connection) -> None:
        rows.claim_unique(connection, desk.directory.key, "User", sam.key, [("userName", "sam"), ("userName", "kim")])

    with pytest.raises(Exception, match=r"(?i)not.?null"):
        await desk.store.database.write(claim, desk.directory.key)
    assert await desk.try_user("kim") == UniqueConflict("userName", kim.id)
