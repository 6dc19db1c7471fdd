"""Create, update and delete: one intent, one outcome, one change."""

import json

import pytest

from scimhub.directory.intents import (
    Applied,
    Compute,
    Create,
    ExternalId,
    NotFound,
    Unchanged,
    UniqueConflict,
    Update,
    VersionConflict,
)
from scimhub.directory.records import Change, StoredResource
from scimhub.scim import errors
from scimhub.scim.errors import ScimError
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T0, T1, T2, Desk, applied, user


async def test_a_created_resource_is_found_as_it_was_sent(desk: Desk):
    outcome = applied(await desk.try_user("Kim", external_id="e1"))
    expected = StoredResource(outcome.resource.key, "acme-0001", "User", 1, T0, T0, user("Kim").document, "e1", in_groups=False)
    assert outcome.resource == expected
    assert not outcome.revived
    assert await desk.find("acme-0001") == expected


async def test_a_creation_is_one_change_with_the_whole_document(desk: Desk):
    outcome = applied(await desk.try_user("Kim", external_id="e1"))
    assert await desk.changes() == [
        Change(
            position=1,
            id=outcome.change_id,
            operation="created",
            directory=desk.directory.key,
            kind="User",
            resource_id="acme-0001",
            version=1,
            source=desk.source.key,
            exchange_id="exchange-acme",
            time=T0,
            after=user("Kim").document,
            before={},
            external_id="e1",
            members_added=(),
            members_removed=(),
        )
    ]


async def test_what_is_not_there_is_not_found(desk: Desk):
    await desk.user("kim")
    assert await desk.find("acme-0009") is None
    assert await desk.find("acme-0001", "Group") is None
    assert await desk.put("acme-0009", user("x")) == NotFound()
    assert await desk.delete("acme-0009") == NotFound()
    assert await desk.delete("acme-0001", "Group") == NotFound()
    assert len(await desk.changes()) == 1


async def test_an_update_gives_the_next_version_and_keeps_what_was(desk: Desk):
    await desk.user("kim")
    outcome = applied(await desk.at(T1).put("acme-0001", user("sam"), expected_version=1, before={"userName": "kim"}))
    assert (outcome.resource.version, outcome.resource.created, outcome.resource.last_modified) == (2, T0, T1)
    assert await desk.find("acme-0001") == outcome.resource
    change = (await desk.changes())[1]
    assert (change.position, change.operation, change.version, change.before) == (2, "updated", 2, {"userName": "kim"})
    assert change.after == user("sam").document


async def test_time_never_runs_backwards_for_a_resource(desk: Desk):
    await desk.at(T2).user("kim")
    outcome = applied(await desk.at(T1).put("acme-0001", user("sam")))
    assert outcome.resource.last_modified == T2
    assert (await desk.changes())[1].time == T2


async def test_an_update_that_differs_in_nothing_writes_nothing(desk: Desk):
    stored = await desk.user("kim", external_id="e1")
    outcome = await desk.at(T1).put(stored.id, user("kim"), external_id=ExternalId("e1"), before={"x": 1})
    assert outcome == Unchanged(stored)
    assert await desk.find(stored.id) == stored
    assert len(await desk.changes()) == 1


async def test_a_lost_race_is_told_with_the_version_that_is_there(desk: Desk):
    await desk.user("kim")
    await desk.put("acme-0001", user("sam"))
    assert await desk.put("acme-0001", user("ann"), expected_version=1) == VersionConflict(2)
    assert await desk.delete("acme-0001", expected_version=1) == VersionConflict(2)
    assert (await desk.get("acme-0001")).document == user("sam").document


async def test_a_name_is_unique_until_it_is_given_up(desk: Desk):
    await desk.user("Kim")
    assert await desk.try_user("KIM") == UniqueConflict("userName", "acme-0001")
    await desk.put("acme-0001", user("sam"))
    kim = await desk.user("kim")
    assert await desk.put("acme-0001", user("kim")) == UniqueConflict("userName", kim.id)
    assert applied(await desk.put("acme-0001", user("SAM"))).resource.version == 3
    await desk.delete(kim.id)
    assert applied(await desk.try_user("kim")).resource.id == "acme-0004"


async def test_a_refused_write_leaves_nothing_behind(desk: Desk):
    await desk.user("kim")
    await desk.user("sam")
    refused = user("kim", displayName="New", emails=[{"value": "new@example.com"}])
    assert isinstance(await desk.put("acme-0002", refused, external_id=ExternalId("e9")), UniqueConflict)
    assert isinstance(await desk.try_user("kim", external_id="e9", unmapped='{"x":1}'), UniqueConflict)
    assert (await desk.get("acme-0002")).external_id is None
    assert await desk.store.count_resources(desk.directory.key) == {"User": 2}
    assert await desk.store.unmapped(desk.directory.key, "User", 0, 10) == []
    assert await desk.store.last_position() == 2


async def test_positions_have_no_gaps_whatever_was_refused(desk: Desk):
    for number in range(5):
        await desk.user(f"user{number}")
        await desk.try_user("user0")
        await desk.put("acme-0001", user("user0"))
        await desk.put("nobody", user("x"))
    assert [change.position for change in await desk.changes()] == [1, 2, 3, 4, 5]
    assert [change.position for change in await desk.store.read_changes(2, 2)] == [3, 4]
    assert await desk.store.last_position() == 5


async def test_a_decision_inside_the_writer_sees_the_state_of_that_moment(desk: Desk):
    await desk.user("kim")
    seen: list[StoredResource | None] = []

    def rename(stored: StoredResource | None) -> Update:
        seen.append(stored)
        return Update(desk.actor, "User", "acme-0001", content=user("sam"), before={"userName": "kim"})

    outcome = applied(await desk.store.submit(Compute(desk.actor, "User", "acme-0001", rename)))
    assert [stored.version for stored in seen if stored is not None] == [1]
    assert outcome.resource.version == 2
    assert await desk.store.submit(Compute(desk.actor, "User", "nobody", lambda _: NotFound())) == NotFound()


async def test_a_decision_may_refuse_with_a_protocol_error(desk: Desk):
    def refuse(_: StoredResource | None) -> Update:
        raise errors.mutability("The attribute is read-only.")

    with pytest.raises(ScimError, match="read-only"):
        await desk.store.submit(Compute(desk.actor, "User", "acme-0001", refuse))
    assert isinstance(await desk.try_user("kim"), Applied)


# --------------------------------------------------------------------------- deleting


async def test_a_deleted_resource_leaves_a_tombstone_and_frees_its_name(desk: Desk):
    kim = await desk.user("kim", external_id="e1")
    outcome = applied(await desk.at(T1).delete(kim.id))
    assert outcome.resource == kim
    assert await desk.find(kim.id) is None
    assert await desk.store.count_resources(desk.directory.key) == {}
    tombstone = await desk.store.find_tombstone(desk.directory.key, kim.id)
    assert tombstone is not None
    assert (tombstone.kind, tombstone.version, tombstone.created, tombstone.deleted) == ("User", 2, T0, T1)
    assert (tombstone.deleted_by, tombstone.document) == (desk.source.key, kim.document)
    assert tombstone.purge_after == "2026-12-23T11:00:00.000Z"
    change = (await desk.changes())[1]
    assert (change.operation, change.version, change.after, change.external_id) == ("deleted", 2, None, "e1")


async def test_the_same_name_after_a_deletion_is_somebody_new(desk: Desk):
    kim = await desk.user("kim", external_id="e1")
    await desk.delete(kim.id)
    outcome = applied(await desk.try_user("kim", external_id="e1"))
    assert (outcome.resource.id, outcome.resource.version, outcome.revived) == ("acme-0002", 1, False)


# --------------------------------------------------------------------------- returning people


async def test_a_deleted_person_returns_under_the_old_id(desk: Desk):
    kim = await desk.user("kim", external_id="e1")
    staff = await desk.group("Staff", kim.id)
    await desk.delete(kim.id)
    outcome = applied(await desk.at(T2).try_user("kim2", external_id="e1", revive=True))
    back = outcome.resource
    assert (back.id, back.version, back.created, back.last_modified) == (kim.id, 3, T0, T2)
    assert outcome.revived
    change = (await desk.changes())[-1]
    assert (change.operation, change.version) == ("created", 3)
    # DECISIONS 13: memberships do not come back.
    assert await desk.members(staff.id) == []
    assert await desk.store.find_tombstone(desk.directory.key, kim.id) is None
    assert (await desk.get(kim.id)).external_id == "e1"


async def test_all_sources_find_a_returned_person_under_their_own_names(desk: Desk):
    entra = desk.of(await desk.store.create_source(desk.directory.key, "entra", "lenient", "new", T0))
    kim = await desk.user("kim", external_id="e1")
    await entra.link(kim.id, "x1")
    await desk.delete(kim.id)
    await desk.try_user("kim", external_id="e1", revive=True)
    assert (await entra.get(kim.id)).external_id == "x1"


async def test_after_its_window_a_deleted_person_is_somebody_new(desk: Desk):
    kim = await desk.user("kim", external_id="e1")
    await desk.delete(kim.id)
    late = desk.at("2026-12-24T00:00:00.000Z")
    assert applied(await late.try_user("kim", external_id="e1", revive=True)).resource.id != kim.id
    assert await desk.store.purge_tombstones("2026-12-24T00:00:00.000Z") == 1
    assert await desk.store.find_tombstone(desk.directory.key, kim.id) is None


async def test_an_inactive_person_returns_as_the_same_resource(desk: Desk):
    extension = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    left = user("kim", active=False, title="Cook", **{extension: {"department": "Kitchen", "division": "North"}})
    kim = await desk.user("kim", content=left, external_id="e1")
    staff = await desk.group("Staff", kim.id)
    content = user("kim.new", active=True, **{extension: {"department": "Bar", "division": "North"}})
    outcome = applied(await desk.try_user("kim.new", content=content, external_id="e1", revive=True))
    assert (outcome.resource.id, outcome.resource.version, outcome.revived) == (kim.id, 2, True)
    change = (await desk.changes())[-1]
    assert change.operation == "updated"
    assert change.before == {"userName": "kim", "active": False, "title": "Cook", f"{extension}:department": "Kitchen"}
    assert await desk.members(staff.id) == [kim.id]
    assert isinstance(await desk.try_user("kim"), Applied)


@pytest.mark.parametrize(
    "given, options",
    [
        ("an active one", {"external_id": "e1", "revive": True}),
        ("without the setting", {"external_id": "e2"}),
        ("another externalId", {"external_id": "e3", "revive": True}),
        ("without externalId", {"revive": True}),
    ],
)
async def test_nobody_is_revived(desk: Desk, given: str, options: dict[str, object]):
    await desk.user("active", external_id="e1")
    await desk.user("inactive", content=user("inactive", active=False), external_id="e2")
    assert not applied(await desk.try_user("new", **options)).revived


async def test_the_externalid_of_another_source_revives_nobody(desk: Desk):
    await desk.user("kim", content=user("kim", active=False), external_id="e1")
    other = desk.of(await desk.store.create_source(desk.directory.key, "entra", "lenient", "external_id", T0))
    assert not applied(await other.try_user("sam", external_id="e1", revive=True)).revived


async def test_a_returning_person_may_not_take_anothers_name(desk: Desk):
    kim = await desk.user("kim", content=user("kim", active=False), external_id="e1")
    sam = await desk.user("sam")
    assert await desk.try_user("sam", external_id="e1", revive=True) == UniqueConflict("userName", sam.id)
    await desk.delete(kim.id)
    assert await desk.try_user("sam", external_id="e1", revive=True) == UniqueConflict("userName", sam.id)


# --------------------------------------------------------------------------- externalId, unmapped content, isolation


async def test_each_source_has_its_own_externalid(desk: Desk):
    entra = desk.of(await desk.store.create_source(desk.directory.key, "entra", "lenient", "new", T0))
    await desk.user("kim", external_id="e1")
    assert (await entra.get("acme-0001")).external_id is None
    outcome = applied(await entra.link("acme-0001", "x1"))
    assert (outcome.resource.version, outcome.resource.external_id) == (2, "x1")
    assert (await desk.get("acme-0001")).external_id == "e1"
    assert isinstance(await entra.link("acme-0001", "x1"), Unchanged)
    assert applied(await entra.link("acme-0001", None)).resource.external_id is None
    added, removed = (await desk.changes())[1:]
    assert (added.before, added.external_id, added.source) == ({"externalId": None}, "x1", entra.source.key)
    assert (removed.before, removed.external_id) == ({"externalId": "x1"}, None)


async def test_content_and_externalid_together_are_one_change(desk: Desk):
    await desk.user("kim", external_id="e1")
    await desk.put("acme-0001", user("sam"), before={"userName": "kim"}, external_id=ExternalId("e2"))
    changes = await desk.changes()
    assert len(changes) == 2
    assert (changes[1].before, changes[1].external_id) == ({"userName": "kim", "externalId": "e1"}, "e2")


async def test_unmapped_content_is_merged_or_replaced(desk: Desk):
    await desk.user("kim", unmapped='{"shoe":{"size":44},"hat":1}')

    async def kept() -> dict[str, object]:
        found = await desk.store.unmapped(desk.directory.key, "User", 0, 10)
        return json.loads(found[0].document) if found else {}

    assert isinstance(await desk.put("acme-0001", None, unmapped='{"hat":2}'), Unchanged)
    assert await kept() == {"shoe": {"size": 44}, "hat": 2}
    await desk.put("acme-0001", None, unmapped='{"coat":3}', unmapped_exact=True)
    assert await kept() == {"coat": 3}
    await desk.put("acme-0001", None, unmapped_exact=True)
    assert await kept() == {}


async def test_directories_do_not_know_each_other(desk: Desk, store):
    other = await open_desk(store, "other")
    kim = await desk.user("kim", external_id="e1")
    assert await other.find(kim.id) is None
    assert await other.put(kim.id, user("x")) == NotFound()
    assert await other.delete(kim.id) == NotFound()
    assert isinstance(await other.try_user("kim", external_id="e1"), Applied)
    assert await store.find_tombstone(other.directory.key, kim.id) is None
    assert await store.count_resources(desk.directory.key) == {"User": 1}


async def test_a_creation_may_carry_an_id_only_once(desk: Desk):
    await desk.user("kim")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await desk.store.submit(Create(desk.actor, "User", "acme-0001", user("sam")))
    assert await desk.store.last_position() == 1
