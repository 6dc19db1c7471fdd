"""A group of 100,000 members, put anew: only the difference is written, and only the difference is told."""

import pytest

from scimhub import clock
from scimhub.directory import resources
from scimhub.directory.resources import Caller
from scimhub.directory.schemas import Catalogs
from scimhub.scim.dialects import LENIENT
from scimhub.scim.notes import Notes
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.harness import T1, Desk

GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
MEMBERS = 100_000
FEW = 5

# As many users as members and a few, all with the document of one that is there.
_FILL = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
INSERT INTO resources (key, id, directory, kind, version, created, last_modified, document, normal)
SELECT 1000000 + i, 'm' || i, directory, kind, version, created, last_modified, document, normal
FROM n JOIN resources ON id = ?2"""
# A moment of the database, as a number; and how many rows were written since, of memberships or of all tables.
_MOMENT = {"sqlite": "SELECT total_changes()", "postgres": "SELECT pg_current_xact_id()::text::bigint"}
_WRITTEN = {
    "sqlite": "SELECT total_changes() - ?",
    "postgres": "SELECT count(*) FROM memberships WHERE xmin::text::bigint >= ?",
}


@pytest.mark.ci  # a group is made and put twice at size
async def test_a_put_of_a_hundred_thousand_members_writes_and_tells_the_difference(desk: Desk, store: SqlStore, database: str):
    template = await desk.user("kim")
    await store.database.write(lambda connection: connection.run(_FILL, (MEMBERS + FEW, template.id)), None)
    await store.analyze()
    catalogs = Catalogs(store)
    kind = (await catalogs.current(desk.directory.key)).kinds["Group"]
    caller = Caller(desk.directory, desk.source, LENIENT, "exchange", T1, catalogs)

    def body(first: int) -> dict[str, object]:
        members = [{"value": f"m{number}"} for number in range(first, first + MEMBERS)]
        # The order is nobody's business.
        return {"schemas": [GROUP], "displayName": "Everybody", "members": members[::-1]}

    async def put(first: int) -> int:
        written = await resources.replace(store, caller, kind, made.id, body(first), Notes(), None)
        return written.resource.version

    made = (await resources.create(store, caller, kind, body(1), Notes(), clock.new_id)).resource
    moment = await number(store, _MOMENT[database])
    assert await put(1 + FEW) == 2
    # With SQLite also the group, its change and what goes with them; far from the 200,000 of all members anew.
    assert FEW <= await number(store, _WRITTEN[database], moment) <= 40
    told = (await desk.changes())[-1]
    assert told.members_added == tuple(sorted(f"m{MEMBERS + number}" for number in range(1, FEW + 1)))
    assert told.members_removed == tuple(sorted(f"m{number}" for number in range(1, FEW + 1)))
    members = await desk.members(made.id)
    assert (len(members), set(members)) == (MEMBERS, {f"m{number}" for number in range(1 + FEW, 1 + FEW + MEMBERS)})
    assert await put(1 + FEW) == 2
    assert (await desk.changes())[-1] == told


async def number(store: SqlStore, sql: str, *values: int) -> int:
    """What the writer's connection answers."""
    return int(await store.database.write(lambda connection: connection.fetch_one(sql, values)[0], None))
