"""Writes beside changes of schemas: what is written has the rows by which the directory's own catalog looks it up."""

import asyncio
from typing import Any

import orjson
import pytest

from scimhub import clock
from scimhub.directory import resources, schemas
from scimhub.directory.errors import Conflict
from scimhub.directory.intents import Applied, CatalogConflict, Compute, MemberEdit, NotFound, Update
from scimhub.directory.ports import Selection
from scimhub.directory.resources import Caller, Written
from scimhub.directory.schemas import Catalogs
from scimhub.scim import filters
from scimhub.scim.catalog import Kind
from scimhub.scim.dialects import LENIENT
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from tests.store_contract.harness import T0, USER_URN, Desk, user

BADGE = "urn:example:Badge"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PLAIN = {"id": BADGE, "name": "Badge", "attributes": [{"name": "number"}]}
LOOKED_UP = {**PLAIN, "attributes": [{"name": "number", "indexed": True}]}
UNIQUE = {**PLAIN, "attributes": [{"name": "number", "uniqueness": "server"}]}


def caller(desk: Desk) -> Caller:
    return Caller(desk.directory, desk.source, LENIENT, "exchange", T0, Catalogs(desk.store))


async def kind_now(desk: Desk) -> Kind:
    return (await schemas.load_catalog(desk.store, desk.directory.key)).kinds["User"]


async def define(desk: Desk, document: object) -> schemas.Report:
    return await schemas.add_schema(desk.store, desk.directory, document, T0, clock.new_id)


def body(name: str, number: str) -> dict[str, Any]:
    return {"schemas": [USER_URN, BADGE], "userName": name, BADGE: {"number": number}}


async def create(desk: Desk, kind: Kind, name: str, number: str) -> Written:
    return await resources.create(desk.store, caller(desk), kind, body(name, number), Notes(), clock.new_id)


async def found(desk: Desk, filter: str) -> list[str]:
    kind = await kind_now(desk)
    condition = filters.bind(filters.parse(filter), kind, lenient=True, unknown="error")
    page = await desk.store.select(Selection(desk.directory.key, desk.source.key, {kind: condition}))
    return [orjson.loads(each.document)["userName"] for each in page.resources]


async def test_an_intent_that_was_computed_by_another_catalog_is_refused_alone(desk: Desk):
    kim, staff = await desk.user("kim"), await desk.group("Staff")
    assert await desk.store.save_additions(desk.directory.key, {}) == 2
    add = Update(desk.actor, "Group", staff.id, members=MemberEdit(add=(kim.id,)), catalog_version=1)
    outcomes = await asyncio.gather(
        desk.try_user("old", catalog_version=1),
        desk.try_user("new", catalog_version=2),
        desk.try_user("either"),
        desk.put(kim.id, user("kim2"), expected_version=1, catalog_version=1),
        desk.store.submit(add),
        desk.store.submit(Compute(desk.actor, "User", kim.id, lambda _: NotFound(), catalog_version=1)),
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, Applied)]
    assert [one.resource.document for one in made] == [user("new").document, user("either").document]
    assert [outcome for outcome in outcomes if not isinstance(outcome, Applied)] == [CatalogConflict(2)] * 4
    assert (await desk.get(kim.id)).version == 1
    assert await desk.members(staff.id) == []
    assert len(await desk.changes()) == 4


async def test_what_is_computed_by_a_catalog_that_was_is_computed_again(desk: Desk):
    await define(desk, PLAIN)
    was = await kind_now(desk)
    put, patched = await create(desk, was, "put", "1"), await create(desk, was, "patched", "2")
    await define(desk, LOOKED_UP)
    await create(desk, was, "new", "B-3")
    await resources.replace(desk.store, caller(desk), was, put.resource.id, body("put", "B-4"), Notes(), None)
    change = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": f"{BADGE}:number", "value": "B-5"}]}
    await resources.modify(desk.store, caller(desk), was, patched.resource.id, change, Notes(), None)
    for name, number in (("new", "b-3"), ("put", "b-4"), ("patched", "b-5")):
        assert await found(desk, f'{BADGE}:number eq "{number}"') == [name]


async def test_a_value_that_became_unique_meanwhile_is_refused_when_another_has_it(desk: Desk):
    await define(desk, PLAIN)
    was = await kind_now(desk)
    await create(desk, was, "ann", "B-1")
    await define(desk, UNIQUE)
    with pytest.raises(ScimError, match="must be unique"):
        await create(desk, was, "bob", "b-1")


async def test_notes_are_those_of_the_catalog_that_holds(desk: Desk):
    was = await kind_now(desk)
    await define(desk, PLAIN)
    notes = Notes()
    written = await resources.create(desk.store, caller(desk), was, body("ann", "B-1"), notes, clock.new_id)
    assert (notes.dropped, notes.unmapped) == ([], {})
    assert orjson.loads(written.resource.document)[BADGE] == {"number": "B-1"}


async def test_a_type_that_is_gone_meanwhile_is_told(desk: Desk):
    urn = "urn:example:Robot"
    robots = {
        "schemas": [{"id": urn, "attributes": [{"name": "serial"}]}],
        "resourceTypes": [{"name": "Robot", "schema": urn}],
    }
    await define(desk, robots)
    was = (await schemas.load_catalog(desk.store, desk.directory.key)).kinds["Robot"]
    await schemas.remove_schema(desk.store, desk.directory, "Robot")
    with pytest.raises(ScimError, match="no resource type Robot any more") as refused:
        await resources.create(desk.store, caller(desk), was, {"schemas": [urn], "serial": "R2"}, Notes(), clock.new_id)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("attribute", "late", "sentence"),
    [
        ({"name": "number", "uniqueness": "server"}, {"number": "b-1"}, "cannot be unique: 2 resources of User share a value."),
        ({"name": "number", "required": True}, {"colour": "red"}, "is missing in 1 resource of User."),
        ({"name": "number", "type": "integer"}, {"number": "B-2"}, "is used by 2 resources of User."),
    ],
)
async def test_what_is_written_between_inspection_and_saving_stands_in_the_way_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, attribute: dict[str, object], late: dict[str, object], sentence: str
):
    before = {**PLAIN, "attributes": [{"name": "number"}, {"name": "colour"}]}
    await define(desk, before)
    kind = await kind_now(desk)
    if "type" not in attribute:
        await create(desk, kind, "ann", "B-1")
    save = desk.store.save_additions

    async def write_and_save(directory: int, document: object, expected: int | None = None) -> int:
        monkeypatch.undo()
        whole = {"schemas": [USER_URN, BADGE], "userName": "late", BADGE: late}
        await resources.create(desk.store, caller(desk), kind, whole, Notes(), clock.new_id)
        if "type" in attribute:
            await create(desk, kind, "ann", "B-1")
        return await save(directory, document, expected)

    monkeypatch.setattr(desk.store, "save_additions", write_and_save)
    with pytest.raises(Conflict, match=sentence):
        await define(desk, {**PLAIN, "attributes": [attribute, {"name": "colour"}]})
    assert await schemas.show_schema(desk.store, desk.directory, BADGE) == before
    assert await schemas.finish_jobs(desk.store, desk.directory) == 0
    bob = await create(desk, await kind_now(desk), "bob", "B-1")
    assert bob.change_id is not None
    assert "bob" in await found(desk, f'{BADGE}:number eq "b-1"')


async def test_nothing_that_is_written_beside_a_change_of_schemas_is_missed_by_a_look_up(desk: Desk):
    await define(desk, PLAIN)
    catalogs = Catalogs(desk.store)
    defined = asyncio.Event()

    async def write(writer: int) -> int:
        number = 0
        while not defined.is_set() or number % 10:
            kind = (await catalogs.current(desk.directory.key)).kinds["User"]
            # The turns that a request takes between its catalog and its write.
            for _ in range(number % 7):
                await asyncio.sleep(0)
            await create(desk, kind, f"{writer}-{number}", f"B-{writer}-{number}")
            number += 1
        return number

    async def define_some() -> None:
        try:
            for document in (LOOKED_UP, UNIQUE, PLAIN, LOOKED_UP):
                await define(desk, document)
        finally:
            defined.set()

    *counts, _ = await asyncio.gather(*(write(writer) for writer in range(8)), define_some())
    for writer, count in enumerate(counts):
        for number in range(count):
            assert await found(desk, f'{BADGE}:number eq "b-{writer}-{number}"') == [f"{writer}-{number}"]
