"""Custom schemas and resource types of a directory, with real resources under them."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from scimhub import clock
from scimhub.directory import indexes, resources, schemas, sources
from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.directory.ports import Selection
from scimhub.directory.records import Directory, StoredResource
from scimhub.directory.resources import Caller
from scimhub.scim import filters, paths
from scimhub.scim.catalog import ENTERPRISE_URN, USER_URN
from scimhub.scim.dialects import LENIENT
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from scimhub.scim.patch import PATCH_URN
from scimhub.sqlstore.store import SqlStore

NOW = "2026-11-23T20:41:35.123Z"
BADGE = "urn:example:scim:schemas:Badge"
ROBOT = "urn:example:scim:schemas:Robot"

Json = dict[str, Any]


def badge(*attributes: Json, **keys: object) -> Json:
    """A schema Badge with these attributes, or with badgeNumber and colour."""
    default = ({"name": "badgeNumber", "caseExact": True}, {"name": "colour"})
    return {"id": BADGE, "name": "Badge", "attributes": list(attributes or default), **keys}


ROBOTS: Json = {
    "schemas": [
        {"id": ROBOT, "attributes": [{"name": "serial", "required": True, "uniqueness": "server"}, {"name": "model"}]},
    ],
    "resourceTypes": [{"name": "Robot", "schema": ROBOT}],
}


class Home:
    """A directory with one source, and the use-cases on its resources."""

    def __init__(self, store: SqlStore, caller: Caller) -> None:
        self.store = store
        self.caller = caller

    @property
    def directory(self) -> Directory:
        return self.caller.directory

    async def add(self, document: object) -> schemas.Report:
        return await schemas.add_schema(self.store, self.directory, document, NOW, clock.new_id)

    async def remove(self, name: str) -> schemas.Report:
        return await schemas.remove_schema(self.store, self.directory, name)

    async def create(self, body: Mapping[str, object], kind: str = "User") -> StoredResource:
        catalog = await schemas.load_catalog(self.store, self.directory.key)
        urns = [catalog.kinds[kind].base.id, *(urn for urn in body if urn.startswith("urn:"))]
        whole = {"schemas": urns, **body}
        written = await resources.create(self.store, self.caller, catalog.kinds[kind], whole, Notes(), clock.new_id)
        return written.resource

    async def patch(self, created: StoredResource, path: str, value: object) -> StoredResource:
        catalog = await schemas.load_catalog(self.store, self.directory.key)
        body = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": path, "value": value}]}
        kind = catalog.kinds[created.kind]
        return (await resources.modify(self.store, self.caller, kind, created.id, body, Notes(), None)).resource

    async def read(self, created: StoredResource) -> Json:
        catalog = await schemas.load_catalog(self.store, self.directory.key)
        stored = await resources.get(self.store, self.caller, catalog.kinds[created.kind], created.id)
        document: Json = orjson.loads(stored.document)
        return document | {"version": stored.version}

    async def count(self, filter: str, kind: str = "User") -> int:
        catalog = await schemas.load_catalog(self.store, self.directory.key)
        condition = filters.bind(filters.parse(filter), catalog.kinds[kind], lenient=True, unknown="error")
        page = await self.store.select(Selection(self.directory.key, self.caller.source.key, {catalog.kinds[kind]: condition}))
        return page.total


@pytest.fixture
async def home(store: SqlStore) -> Home:
    directory = await sources.create_directory(store, "acme", NOW)
    source = await sources.create_source(store, directory, "okta", "lenient", "new", NOW)
    return Home(store, Caller(directory, source, LENIENT, "exchange", NOW, schemas.Catalogs(store)))


# --------------------------------------------------------------------------- adding


async def test_a_schema_extends_users_unless_it_says_otherwise(home: Home):
    report = await home.add(badge())
    assert (report.schemas, report.resource_types, report.rewritten, report.adopted) == ((BADGE,), (), 0, 0)
    catalog = await schemas.load_catalog(home.store, home.directory.key)
    assert catalog.version == report.catalog_version
    assert BADGE in catalog.kinds["User"].extensions
    assert BADGE not in catalog.kinds["Group"].extensions
    created = await home.create({"userName": "ann", BADGE: {"badgeNumber": "B1", "colour": "Red"}})
    assert (await home.read(created))[BADGE] == {"badgeNumber": "B1", "colour": "Red"}
    assert await home.count(f'{BADGE}:colour eq "red"') == 1
    assert await home.count(f'{BADGE}:badgeNumber eq "b1"') == 0


async def test_a_schema_may_extend_several_types_and_be_required(home: Home):
    await home.add(badge(extends=["Group", "user"], required=True))
    catalog = await schemas.load_catalog(home.store, home.directory.key)
    assert [kind.name for kind in catalog.kinds.values() if BADGE in kind.required_extensions] == ["User", "Group"]


async def test_a_bundle_brings_a_whole_new_type(home: Home):
    report = await home.add(ROBOTS)
    assert (report.schemas, report.resource_types) == ((ROBOT,), ("Robot",))
    catalog = await schemas.load_catalog(home.store, home.directory.key)
    kind = catalog.at_endpoint("/Robots")
    assert kind is not None
    assert kind.base.id == ROBOT
    created = await home.create({"serial": "R2"}, "Robot")
    assert (await home.read(created))["serial"] == "R2"
    assert await home.count('serial eq "r2"', "Robot") == 1


async def test_a_bundle_may_extend_a_standard_type(home: Home):
    await home.add({"schemas": [badge()], "extensions": {"Group": [{"schema": BADGE, "required": False}]}})
    catalog = await schemas.load_catalog(home.store, home.directory.key)
    assert [kind.name for kind in catalog.kinds.values() if BADGE in kind.extensions] == ["Group"]


async def test_what_one_directory_adds_another_does_not_have(home: Home):
    other = await sources.create_directory(home.store, "other", NOW)
    await home.add(badge())
    catalogs = schemas.Catalogs(home.store)
    assert BADGE not in (await catalogs.current(other.key)).schemas
    assert BADGE in (await catalogs.current(home.directory.key)).schemas


async def test_a_remembered_catalog_holds_until_its_version_moves(home: Home):
    catalogs = schemas.Catalogs(home.store)
    before = await catalogs.current(home.directory.key)
    assert await catalogs.current(home.directory.key) is before
    await home.add(badge())
    assert BADGE in (await catalogs.current(home.directory.key)).schemas


WRONG = [
    ([], "The file must hold one object"),
    ({"name": "Badge"}, "The file holds neither a schema (id, attributes) nor a bundle"),
    (badge() | {"id": "badge"}, "The schema's id is 'badge'"),
    (badge() | {"id": USER_URN}, "is a standard one, which cannot be changed"),
    (badge({"name": "a", "multivalued": True}), "perhaps multiValued is meant"),
    (badge({"name": "a", "type": "text"}), "The attribute a has type 'text'"),
    (badge({"name": "a"}, {"name": "A"}), "The attribute A is defined twice."),
    (badge({"name": "a", "mutability": "writeOnly"}), "The attribute a is writeOnly; then returned must be never."),
    (badge({"name": "a", "mutability": "readOnly", "required": True}), "no source could ever give it"),
    (badge({"name": "a", "returned": "never", "indexed": True}), "it can be neither unique nor indexed"),
    (badge({"name": "a", "type": "boolean", "uniqueness": "server"}), "which can be neither unique nor indexed"),
    (badge(extends=["Robot"]), "There is no resource type 'Robot' to extend; there are User, Group."),
    (badge(extends="User"), "must be a list of resource types"),
    (badge(extends=[]), f"The schema {BADGE} belongs to no resource type."),
    (badge(extend=["User"]), "perhaps extends is meant"),
    ({"schemas": [badge()], "resourceTypes": [{"name": "Badge", "schema": "urn:x:y"}]}, "names the schema urn:x:y"),
    ({"schemas": [badge()], "resourceTypes": [{"name": "User", "schema": BADGE}]}, "User is a standard one"),
    ({"schemas": [badge()], "resourceTypes": [{"name": "B", "endpoint": "/Groups", "schema": BADGE}]}, "/Groups is taken"),
    ({"schemas": [badge()], "resourceTypes": [{"name": "B", "endpoint": "/Bulk", "schema": BADGE}]}, "the protocol itself"),
    ({"schemas": [badge(), badge()], "extensions": {"User": [BADGE]}}, f"The schema {BADGE} is defined twice."),
    ({"schemas": badge()}, "schemas must be a list of objects."),
    ({"schemas": [badge()], "extensions": [BADGE]}, "extensions must be an object"),
    (
        badge({"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex"}]}),
        "only simple types may stand there",
    ),
    # Where a slip would silently mean something else.
    (badge(required="yes"), f"The schema {BADGE} has required 'yes'; it must be true or false."),
    (badge(name=3), f"The schema {BADGE} has name 3; it must be a text."),
    (badge({"name": "a", "description": ["b"]}), "The attribute a has description ['b']; it must be a text."),
    (badge({"name": "a", "type": "complex", "multiValued": True, "subAttributes": "b"}), "must be a list of attributes."),
    ({"schemas": [badge()], "extensions": {"User": [{"schema": BADGE, "required": "true"}]}}, "has required 'true'"),
    ({"schemas": [badge()], "extensions": {"User": [{"schema": BADGE, "requred": True}]}}, "perhaps required is meant"),
    (
        {
            "schemas": [badge()],
            "resourceTypes": [{"name": "B", "schema": BADGE, "schemaExtensions": [{"schema": ENTERPRISE_URN, "required": 1}]}],
        },
        "An extension of B has required 1; it must be true or false.",
    ),
    (
        {
            "schemas": [badge()],
            "resourceTypes": [
                {"name": "B", "schema": BADGE, "schemaExtensions": [{"schema": ENTERPRISE_URN, "requird": True}]}
            ],
        },
        "perhaps required is meant",
    ),
    ({"schemas": [badge()], "resourceTypes": [{"name": "B", "id": "C", "schema": BADGE}]}, "has the id 'C'; leave it out"),
    ({"schemas": []}, "The bundle holds nothing"),
    # What nobody could address.
    (badge() | {"id": "urn:example:a,b"}, "urn:example:a,b cannot stand in paths and addresses"),
    (badge() | {"id": "urn:example:a(b)"}, "cannot stand in paths and addresses"),
    (badge() | {"id": "urn:example:a/b"}, "cannot stand in paths and addresses"),
    (badge() | {"id": "urn:example:a:"}, "cannot stand in paths and addresses"),
    (badge() | {"id": "urn:example:\N{KELVIN SIGN}a"}, "cannot stand in paths and addresses"),
    (badge({"name": "a" * 1000}), "has a path of 1031 characters; at most 1000 are read."),
    (badge() | {"id": f"{USER_URN}:userName"}, f"The schema {USER_URN}:userName is called like an attribute of {USER_URN}."),
    (
        {
            "schemas": [badge({"name": "Door"}, extends=["User"]), badge(extends=["User"]) | {"id": f"{BADGE}:door"}],
        },
        f"The schema {BADGE}:door is called like an attribute of {BADGE}.",
    ),
    # What no request could satisfy, or means nothing.
    (
        badge({"name": "a", "type": "complex", "subAttributes": [{"name": "b", "required": True, "returned": "never"}]}),
        "The attribute a.b is required and never returned, hence not kept",
    ),
    (
        badge({"name": "a", "type": "complex", "returned": "never", "subAttributes": [{"name": "b", "indexed": True}]}),
        "The attribute a.b is never returned",
    ),
    (
        {
            "schemas": [badge()],
            "resourceTypes": [{"name": "B", "schema": BADGE, "schemaExtensions": [{"schema": BADGE}]}],
        },
        f"The resource type B extends its own schema {BADGE}.",
    ),
]


@pytest.mark.parametrize("document, sentence", WRONG, ids=[sentence for _, sentence in WRONG])
async def test_a_wrong_definition_is_refused_in_a_sentence_and_changes_nothing(home: Home, document: object, sentence: str):
    before = home.store.catalog_version(home.directory.key)
    with pytest.raises(Invalid) as caught:
        await home.add(document)
    assert sentence in str(caught.value)
    assert home.store.catalog_version(home.directory.key) == before


async def test_references_may_name_types_of_the_same_file_and_schemas_end_in_a_number(home: Home):
    robots = badge({"name": "maker", "type": "reference", "referenceTypes": ["robot", "User", "external"]})
    await home.add(
        {**ROBOTS, "schemas": [*ROBOTS["schemas"], robots | {"id": f"{BADGE}:2"}], "extensions": {"User": [f"{BADGE}:2"]}}
    )
    kind = (await schemas.load_catalog(home.store, home.directory.key)).kinds["User"]
    target = kind.resolve(paths.parse_attribute(f"{BADGE}:2"), short_names=False)
    assert target is not None
    assert target.key == f"{BADGE}:2"


async def test_every_mistake_of_a_definition_is_told(home: Home):
    wrong = badge({"name": "1a"}, {"name": "b", "type": "text"}, {"name": "c", "caseexact": True}, nmae="x")
    with pytest.raises(Invalid) as caught:
        await home.add(wrong)
    assert len(caught.value.problems) == 4


# --------------------------------------------------------------------------- replacing


async def test_a_definition_that_only_adds_is_taken_with_data_there(home: Home):
    await home.add(badge())
    created = await home.create({"userName": "ann", BADGE: {"badgeNumber": "B1"}})
    await home.add(badge({"name": "badgeNumber", "caseExact": True}, {"name": "colour"}, {"name": "size", "type": "integer"}))
    assert (await home.read(created))[BADGE] == {"badgeNumber": "B1"}


COMPLEX = {"name": "seal", "type": "complex", "multiValued": True, "subAttributes": [{"name": "value"}, {"name": "by"}]}
NARROWING = [
    (badge({"name": "colour"}), "badgeNumber cannot be removed: it is used by 2 resources of User."),
    (badge({"name": "badgeNumber", "type": "integer"}, {"name": "colour"}), "type from string to integer: it is used by 2"),
    (badge({"name": "badgeNumber", "multiValued": True}, {"name": "colour"}), "cannot change multiValued: it is used by 2"),
    (
        badge({"name": "badgeNumber"}, {"name": "colour", "required": True}),
        "colour cannot be required: it is missing in 1 resource of User.",
    ),
    (badge({"name": "badgeNumber", "returned": "never"}, {"name": "colour"}), "cannot become returned never"),
    (badge({"name": "BadgeNumber"}, {"name": "colour"}), "cannot be written BadgeNumber from now on"),
    (badge(required=True), f"{BADGE} cannot be required of User: it is missing in 1 resource of User."),
    (badge(extends=["Group"]), f"{BADGE} cannot be taken from User: it is used by 2 resources of User."),
    (
        badge({"name": "badgeNumber", "uniqueness": "server"}, {"name": "colour"}),
        "badgeNumber cannot be unique: 2 resources of User share a value.",
    ),
]


@pytest.mark.parametrize("document, sentence", NARROWING, ids=[sentence[:60] for _, sentence in NARROWING])
async def test_a_definition_that_narrows_is_refused_with_the_count(home: Home, document: Json, sentence: str):
    await home.add(badge())
    await home.create({"userName": "ann", BADGE: {"badgeNumber": "x1", "colour": "red"}})
    await home.create({"userName": "bob", BADGE: {"badgeNumber": "X1"}})
    await home.create({"userName": "cid"})
    before = home.store.catalog_version(home.directory.key)
    with pytest.raises(Conflict) as caught:
        await home.add(document)
    assert sentence in str(caught.value)
    assert home.store.catalog_version(home.directory.key) == before


@pytest.mark.parametrize("document", [document for document, _ in NARROWING], ids=[text[:60] for _, text in NARROWING])
async def test_the_same_definition_is_taken_when_no_resource_stands_in_its_way(home: Home, document: Json):
    await home.add(badge())
    report = await home.add(document)
    assert report.catalog_version > 2


async def test_sub_attributes_narrow_like_attributes(home: Home):
    await home.add(badge(COMPLEX))
    await home.create({"userName": "ann", BADGE: {"seal": [{"value": "a", "by": "bob"}, {"value": "b"}]}})
    with pytest.raises(Conflict, match=r"seal\.by cannot be removed: it is used by 1 resource of User\."):
        await home.add(badge(COMPLEX | {"subAttributes": [{"name": "value"}]}))
    with pytest.raises(Conflict, match=r"seal\.by cannot be required: it is missing in 1 resource of User\."):
        await home.add(badge(COMPLEX | {"subAttributes": [{"name": "value"}, {"name": "by", "required": True}]}))


async def test_a_new_rule_of_comparison_holds_for_what_is_stored_already(home: Home):
    await home.add(badge())
    await home.create({"userName": "ann", BADGE: {"badgeNumber": "Ab"}})
    assert await home.count(f'{BADGE}:badgeNumber eq "ab"') == 0
    report = await home.add(badge({"name": "badgeNumber", "indexed": True}, {"name": "colour"}))
    assert report.rewritten == 1
    assert await home.count(f'{BADGE}:badgeNumber eq "ab"') == 1
    report = await home.add(badge({"name": "badgeNumber", "uniqueness": "server"}, {"name": "colour"}))
    assert report.rewritten == 1
    with pytest.raises(Exception, match="must be unique"):
        await home.create({"userName": "bob", BADGE: {"badgeNumber": "AB"}})


async def test_rewriting_rows_is_no_change_of_the_resource(home: Home):
    await home.add(badge())
    created = await home.create({"userName": "ann", BADGE: {"badgeNumber": "Ab"}})
    position = await home.store.last_position()
    await home.add(badge({"name": "badgeNumber"}, {"name": "colour"}))
    assert (await home.read(created))["version"] == 1
    assert await home.store.last_position() == position


async def test_a_job_that_a_crash_ended_is_finished(home: Home, monkeypatch: pytest.MonkeyPatch):
    await home.add(badge())
    await home.create({"userName": "ann", BADGE: {"badgeNumber": "Ab"}})

    async def crash(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as broken:
        broken.setattr(home.store, "reindex", crash)
        with pytest.raises(OSError, match="power"):
            await home.add(badge({"name": "badgeNumber"}, {"name": "colour"}))
    assert await home.count(f'{BADGE}:badgeNumber eq "ab"') == 0
    assert await schemas.finish_jobs(home.store, home.directory) == 1
    assert await home.count(f'{BADGE}:badgeNumber eq "ab"') == 1
    assert await schemas.finish_jobs(home.store, home.directory) == 0


async def test_a_search_index_that_becomes_ready_meanwhile_does_not_end_the_job(home: Home, monkeypatch: pytest.MonkeyPatch):
    await home.add(badge())
    await home.create({"userName": "ann", BADGE: {"badgeNumber": "Ab"}})
    catalogs = schemas.Catalogs(home.store)
    await indexes.add_index(home.store, await catalogs.current(home.directory.key), home.directory, "User", "title", NOW)
    reindex = home.store.reindex

    async def reindex_beside_the_builder(*given: Any) -> Any:
        await indexes.finish(home.store, catalogs)
        return await reindex(*given)

    monkeypatch.setattr(home.store, "reindex", reindex_beside_the_builder)
    report = await home.add(badge({"name": "badgeNumber"}, {"name": "colour"}))
    assert (report.rewritten, report.catalog_version) == (1, home.store.catalog_version(home.directory.key))
    assert [index.state for index in await home.store.list_indexes(home.directory.key)] == ["ready"]
    assert await schemas.finish_jobs(home.store, home.directory) == 0


async def test_who_changes_a_resource_between_its_reading_and_its_rewriting_has_it_read_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    await home.add(badge())
    created = await home.create({"userName": "ann", BADGE: {"badgeNumber": "Ab"}})
    reindex = home.store.reindex

    async def reindex_behind_another(*given: Any) -> Any:
        monkeypatch.undo()
        await home.patch(created, "title", "Cook")
        return await reindex(*given)

    monkeypatch.setattr(home.store, "reindex", reindex_behind_another)
    await home.add(badge({"name": "badgeNumber"}, {"name": "colour"}))
    assert await home.count('title eq "cook"') == 1
    assert await home.count(f'{BADGE}:badgeNumber eq "ab"') == 1


async def test_a_node_that_starts_meanwhile_may_finish_the_job_as_well(home: Home, monkeypatch: pytest.MonkeyPatch):
    await home.add(badge())
    await home.create({"userName": "ann", BADGE: {"badgeNumber": "Ab"}})
    reindex = home.store.reindex

    async def reindex_beside_another(*given: Any) -> Any:
        monkeypatch.undo()
        assert await schemas.finish_jobs(home.store, home.directory) == 1
        return await reindex(*given)

    monkeypatch.setattr(home.store, "reindex", reindex_beside_another)
    assert (await home.add(badge({"name": "badgeNumber"}, {"name": "colour"}))).rewritten == 1
    assert await home.count(f'{BADGE}:badgeNumber eq "ab"') == 1


# --------------------------------------------------------------------------- names that are no longer clear

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"


async def test_a_name_that_an_extension_has_already_is_told_and_is_refused_without_its_urn_from_then_on(home: Home):
    await home.create({"userName": "ann", "department": "a"})
    report = await home.add(badge({"name": "Department"}, {"name": "colour"}))
    assert report.warnings == (
        f"In User the name department is an attribute of {ENTERPRISE} and of {BADGE}: from now on it needs its URN in front, "
        "and a source that sends it without is refused.",
    )
    with pytest.raises(ScimError, match="its URN in front"):
        await home.create({"userName": "bob", "department": "a"})


async def test_a_name_of_the_core_or_of_all_resources_stays_theirs_and_that_is_told(home: Home):
    report = await home.add(badge({"name": "title"}))
    assert report.warnings == (f"In User the name title alone stays that of {CORE}; the new one is {BADGE}:title.",)


async def test_what_was_unclear_before_is_not_told_again(home: Home):
    await home.add(badge({"name": "department"}))
    assert (await home.add(badge({"name": "department"}, {"name": "colour"}))).warnings == ()
    assert (await home.add(badge({"name": "colour"}))).warnings == ()


# --------------------------------------------------------------------------- adopting


async def test_what_sources_sent_before_is_adopted_as_a_normal_change(home: Home):
    created = await home.create({"userName": "ann", BADGE: {"badgeNumber": "B1"}, "colour": "red"})
    await home.create({"userName": "bob"})
    assert BADGE not in await home.read(created)
    position = await home.store.last_position()
    report = await home.add(badge())
    assert (report.adopted, report.not_adopted) == (1, 0)
    stored = await home.read(created)
    assert stored[BADGE] == {"badgeNumber": "B1", "colour": "red"}
    assert stored["version"] == 2
    (change,) = await home.store.read_changes(position, 10)
    assert (change.operation, change.resource_id, change.source) == ("updated", created.id, home.caller.source.key)
    assert (await home.add(badge())).adopted == 0


@pytest.mark.parametrize(
    "name, value",
    [
        ("apiKey", "s3cr3t"),
        ("db_password", "s3cr3t"),
        ("urn:example:vendor:userPassword", "s3cr3t"),
        ("vendor", {"API-Key": "s3cr3t"}),
        ("logins", [{"site": "a"}, {"more": {"clientSecret": ["s3cr3t"]}}]),
    ],
)
async def test_what_promises_to_be_a_secret_is_not_kept_for_adoption(home: Home, name: str, value: object):
    await home.create({"userName": "ann", name: value, "colour": "red"})
    await home.create({"userName": "bob", name: value})
    assert [kept.document for kept in await home.store.unmapped(home.directory.key, "User", 0, 10)] == ['{"colour":"red"}']


async def test_content_that_does_not_fit_stays_kept(home: Home):
    created = await home.create({"userName": "ann", BADGE: {"badgeNumber": {"odd": True}}})
    report = await home.add(badge())
    assert (report.adopted, report.not_adopted) == (0, 1)
    assert BADGE not in await home.read(created)
    assert [kept.resource_id for kept in await home.store.unmapped(home.directory.key, "User", 0, 10)] == [created.id]


# --------------------------------------------------------------------------- removing and showing


async def test_an_unused_schema_can_be_removed(home: Home):
    await home.add(badge())
    report = await home.remove(BADGE.upper().replace("URN:", "urn:"))
    assert report.schemas == (BADGE,)
    assert BADGE not in (await schemas.load_catalog(home.store, home.directory.key)).schemas


async def test_a_schema_that_a_type_lists_as_its_own_extension_is_not_removed(home: Home):
    desk = {"id": "urn:example:scim:schemas:Desk", "name": "Desk", "attributes": [{"name": "floor"}]}
    kind = {"name": "Desk", "schema": desk["id"], "schemaExtensions": [{"schema": BADGE, "required": False}]}
    await home.add({"schemas": [desk, badge()], "resourceTypes": [kind]})
    with pytest.raises(Conflict, match="cannot be removed: The resource type Desk names the extension"):
        await home.remove(BADGE)


async def test_a_schema_that_data_needs_is_not_removed(home: Home):
    await home.add(badge())
    await home.create({"userName": "ann", BADGE: {"badgeNumber": "B1"}})
    with pytest.raises(Conflict, match="it is used by 1 resource of User"):
        await home.remove(BADGE)


async def test_a_type_goes_with_its_own_schema_and_only_when_it_is_empty(home: Home):
    await home.add(ROBOTS)
    with pytest.raises(Conflict, match="is the schema of the resource type Robot; remove that type instead"):
        await home.remove(ROBOT)
    created = await home.create({"serial": "R2"}, "Robot")
    with pytest.raises(Conflict, match="The resource type Robot cannot be removed: there is 1 resource of it"):
        await home.remove("Robot")
    catalog = await schemas.load_catalog(home.store, home.directory.key)
    await resources.delete(home.store, home.caller, catalog.kinds["Robot"], created.id, None)
    report = await home.remove("robot")
    assert (report.schemas, report.resource_types) == ((ROBOT,), ("Robot",))


@pytest.mark.parametrize("name", [USER_URN, "User", "group"])
async def test_what_is_standard_stays(home: Home, name: str):
    with pytest.raises(Conflict, match="is a standard one, which cannot be removed"):
        await home.remove(name)


async def test_what_is_not_there_cannot_be_removed_or_shown(home: Home):
    with pytest.raises(Absent):
        await home.remove(BADGE)
    with pytest.raises(Absent):
        await schemas.show_schema(home.store, home.directory, BADGE)


async def test_a_definition_is_shown_as_it_was_given(home: Home):
    given = badge(extends=["User"])
    await home.add(given)
    assert await schemas.show_schema(home.store, home.directory, BADGE) == given
    assert (await schemas.show_schema(home.store, home.directory, "user"))["endpoint"] == "/Users"
    assert (await schemas.show_schema(home.store, home.directory, USER_URN))["name"] == "User"


async def test_the_list_tells_what_was_added_and_whom_it_extends(home: Home):
    await home.add(badge())
    await home.add(ROBOTS)
    offered = {each.id: each for each in await schemas.list_schemas(home.store, home.directory)}
    assert (offered[BADGE].types, offered[BADGE].is_standard, offered[BADGE].attributes) == (("User",), False, 2)
    assert (offered["Robot"].name, offered["Robot"].is_type, offered["User"].is_standard) == ("/Robots", True, True)
