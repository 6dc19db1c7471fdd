"""The rules of a replica, one by one."""

from pathlib import Path
from typing import Any

import pytest

from scimhub.consumer import Event, Replica, Restored, Truncated


def event(verb: str, id: str, version: int, *, position: int = 0, **told: Any) -> Event:
    kind = "Group" if id.startswith("g") else "User"
    resource = None if verb == "deleted" or told.pop("is_part", False) else {"id": id, "n": version}
    name = told.pop("name", f"{id}-{version}-{verb}-{told.get('part', 1)}")
    return Event(
        name, "/d", f"scimhub.{kind.lower()}.{verb}", verb, kind, id, version, position or version, resource=resource, **told
    )


def snapshot(*lines: dict[str, Any], position: int = 100) -> list[dict[str, Any]]:
    members = sum(len(line.get("members", ())) for line in lines)
    count = sum("resource" in line for line in lines)
    return [
        {"snapshot": 1, "cursor": "c0", "position": position, "epoch": "e1"},
        *lines,
        {"end": True, "resources": count, "members": members},
    ]


def line(id: str, version: int, **told: Any) -> dict[str, Any]:
    kind = "Group" if id.startswith("g") else "User"
    return {"resourceType": kind, "id": id, "version": version} | (told or {"resource": {"id": id, "n": version}})


@pytest.fixture
def replica():
    with Replica() as opened:
        yield opened


def test_newer_is_applied_older_is_stale_and_the_same_is_a_duplicate(replica: Replica):
    assert replica.apply(event("created", "u", 1)) == "applied"
    assert replica.apply(event("updated", "u", 3)) == "applied"
    assert replica.apply(event("updated", "u", 2)) == "stale"
    assert replica.apply(event("updated", "u", 3)) == "duplicate"
    held = replica.get("u")
    assert held is not None
    assert (held.type, held.version, held.resource) == ("User", 3, {"id": "u", "n": 3})


def test_a_deletion_is_remembered_and_a_later_creation_revives(replica: Replica):
    replica.apply(event("created", "u", 1))
    assert replica.apply(event("deleted", "u", 3)) == "applied"
    assert replica.apply(event("updated", "u", 2)) == "stale"
    assert replica.get("u") is None
    assert replica.apply(event("created", "u", 4)) == "applied"
    assert replica.get("u") is not None


def test_a_deletion_that_comes_first_keeps_the_resource_away(replica: Replica):
    assert replica.apply(event("deleted", "u", 3)) == "applied"
    assert replica.apply(event("created", "u", 1)) == "stale"
    assert list(replica.resources()) == []


def test_a_member_that_is_not_known_is_parked_until_it_arrives(replica: Replica):
    assert replica.apply(event("created", "g", 1, added=("u", "v"))) == "parked"
    assert replica.parked() == [("g", "u"), ("g", "v")]
    assert replica.members_of("g") == []
    replica.apply(event("created", "u", 1))
    assert replica.members_of("g") == ["u"]
    assert replica.groups_of("u") == ["g"]
    assert replica.parked() == [("g", "v")]
    replica.apply(event("deleted", "u", 2))
    assert replica.members_of("g") == []


def test_a_late_event_still_tells_of_members_that_no_newer_one_named(replica: Replica):
    for id in "uvw":
        replica.apply(event("created", id, 1))
    replica.apply(event("created", "g", 1))
    assert replica.apply(event("member.added", "g", 4, added=("u",))) == "applied"
    assert replica.apply(event("members.changed", "g", 3, added=("v",), removed=("u",))) == "applied"
    assert replica.members_of("g") == ["u", "v"]
    assert replica.apply(event("member.removed", "g", 2, removed=("u", "v"))) == "stale"
    assert replica.members_of("g") == ["u", "v"]


def test_parts_come_in_any_order_and_all_count(replica: Replica):
    for id in "uvw":
        replica.apply(event("created", id, 1))
    assert replica.apply(event("member.added", "g", 5, added=("w",), part=3, parts=3, is_part=True)) == "parked"
    assert replica.apply(event("created", "g", 5, added=("u",), parts=3)) == "applied"
    assert replica.apply(event("member.added", "g", 5, added=("v",), part=2, parts=3, is_part=True)) == "applied"
    assert replica.members_of("g") == ["u", "v", "w"]


def test_overlapping_runs_give_the_final_state(replica: Replica):
    for id in "uv":
        replica.apply(event("created", id, 1))
    replica.apply(event("created", "g", 1))
    replica.apply(event("member.added", "g", 4, added=("u",), removed=(), from_version=2))
    replica.apply(event("members.changed", "g", 6, added=("v",), removed=("u",), from_version=3))
    assert replica.apply(event("member.added", "g", 5, added=("u", "v"), from_version=2, name="late")) == "stale"
    assert replica.members_of("g") == ["v"]


def test_a_group_that_returns_has_the_members_it_returns_with(replica: Replica):
    for id in "uv":
        replica.apply(event("created", id, 1))
    replica.apply(event("created", "g", 1, added=("u", "v")))
    replica.apply(event("deleted", "g", 5))
    replica.apply(event("created", "g", 8, added=("v",), cause="scope"))
    assert replica.apply(event("member.added", "g", 4, added=("u",))) == "stale"
    assert replica.members_of("g") == ["v"]


def test_a_creation_tells_all_members_even_to_who_was_not_told_of_the_end_before(replica: Replica):
    for id in "uv":
        replica.apply(event("created", id, 1))
    replica.apply(event("created", "g", 1, added=("u",)))
    replica.apply(event("created", "g", 8, added=("v",), cause="scope"))
    assert replica.members_of("g") == ["v"]


def test_a_snapshot_replaces_everything_and_settles_what_lies_before_it(replica: Replica):
    replica.apply(event("created", "old", 1))
    assert replica.replace(snapshot(line("u", 3), line("v", 1), line("g", 7), line("g", 7, members=["u"]))) == 3
    assert (replica.cursor, replica.position) == ("c0", 100)
    assert [held.id for held in replica.resources()] == ["g", "u", "v"]
    assert [held.id for held in replica.resources("User")] == ["u", "v"]
    # Before the snapshot's position: whoever is not in it is gone. Behind it: versions decide.
    assert replica.apply(event("created", "old", 1, position=99)) == "stale"
    assert replica.apply(event("member.added", "g", 7, position=101, added=("v",))) == "stale"
    assert replica.apply(event("member.added", "g", 8, position=102, added=("v",))) == "applied"
    assert replica.members_of("g") == ["u", "v"]


def test_somebody_met_twice_by_a_walk_is_what_was_met_later(replica: Replica):
    lines = snapshot(line("u", 1), line("g", 2), line("g", 2, members=["u"]), line("g", 5), line("u", 4))
    replica.replace(lines)
    held = [(held.id, held.version) for held in replica.resources()]
    assert (held, replica.members_of("g")) == ([("g", 5), ("u", 4)], [])


@pytest.mark.parametrize(
    "lines",
    [
        [],
        snapshot(line("u", 1))[1:],
        snapshot(line("u", 1))[:-1],
        snapshot(line("u", 1))[:1] + snapshot(line("u", 1))[2:],
        [*snapshot(line("u", 1))[:-1], {"end": True, "resources": 1, "members": 3}],
        [*snapshot(line("u", 1))[:-1], {"error": "x"}, snapshot(line("u", 1))[-1]],
        [{"snapshot": 1, "position": 1}, *snapshot()[1:]],
    ],
)
def test_a_snapshot_that_is_not_whole_changes_nothing(replica: Replica, lines: list[Any]):
    replica.replace(snapshot(line("old", 1)))
    before = replica.digest()
    with pytest.raises(Truncated):
        replica.replace(lines)
    assert (replica.digest(), replica.cursor) == (before, "c0")


def test_state_and_cursor_are_one_transaction_and_survive_a_restart(tmp_path: Path):
    path = tmp_path / "replica.db"
    with Replica(path) as replica:
        assert replica.apply_all([event("created", "u", 1), event("created", "g", 1, added=("u",))], "c1") == ["applied"] * 2

        def broken():
            yield event("updated", "u", 2)
            raise RuntimeError("the network")

        with pytest.raises(RuntimeError):
            replica.apply_all(broken(), "c2")
        digest = replica.digest()
    with Replica(path) as again:
        assert (again.cursor, again.digest(), again.members_of("g")) == ("c1", digest, ["u"])
        assert again.apply(event("updated", "u", 2), "c2") == "applied"
        assert again.cursor == "c2"
        assert again.digest() != digest


def test_only_so_many_ids_are_remembered_and_forgetting_changes_nothing():
    with Replica(remembered=2) as replica:
        for version in (1, 2, 3):
            replica.apply(event("updated", "u", version))
        assert replica.apply(event("updated", "u", 3)) == "duplicate"
        assert replica.apply(event("updated", "u", 1)) == "stale"


def test_a_file_of_another_shape_is_refused(tmp_path: Path):
    import sqlite3

    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(ValueError, match="shape 9"):
        Replica(tmp_path / "other.db")


def test_equal_copies_have_equal_digests_whatever_the_order():
    events = [event("created", "u", 1), event("created", "g", 1, added=("u",)), event("updated", "u", 2)]
    with Replica() as one, Replica() as other:
        one.apply_all(events)
        other.apply_all(reversed(events))
        assert one.digest() == other.digest()


def test_an_event_of_another_history_is_refused_until_a_snapshot_of_it_was_taken(replica: Replica):
    assert replica.apply(event("created", "u", 5, epoch="e0")) == "applied"
    with pytest.raises(Restored, match="epoch e1, the copy to e0"):
        replica.apply(event("updated", "u", 3, position=200, epoch="e1"))
    held = replica.get("u")
    assert held is not None
    assert held.version == 5
    replica.replace(snapshot(line("u", 2)))
    assert replica.apply(event("updated", "u", 3, position=200, epoch="e1")) == "applied"
    with pytest.raises(Restored):
        replica.apply(event("updated", "u", 6, position=201, epoch="e0"))
