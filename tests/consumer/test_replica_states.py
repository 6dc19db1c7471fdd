"""States in a replica: they hold at their own version too, and tell a group's whole membership."""

from typing import Any

from scimhub.consumer.event import from_json
from scimhub.consumer.replica import Replica

ASKS = iter(range(1000))


def event(verb: str, version: int, id: str = "u", *, cause: str = "write", kind: str = "User", **data: Any) -> Any:
    return from_json(
        {
            "specversion": "1.0",
            "id": f"{id}-{version}-{next(ASKS)}",
            "source": "/directories/acme",
            "type": f"scimhub.{kind.lower()}.{verb}",
            "data": {"resourceType": kind, "id": id, "version": version, "position": 10 * version, "cause": cause, **data},
        }
    )


def state(version: int, id: str = "u", **data: Any) -> Any:
    return event("state", version, id, cause="state", **data)


def shows(title: str) -> dict[str, Any]:
    return {"changed": [], "resource": {"id": "u", "title": title}}


def test_a_state_takes_the_place_of_what_was_told_of_its_version_and_of_no_later_one():
    with Replica() as replica:
        replica.apply(event("created", 3, **shows("first")))
        assert replica.apply(state(3, **shows("mapped otherwise"))) == "applied"
        assert replica.apply(state(2, **shows("older"))) == "stale"
        assert replica.get("u").resource["title"] == "mapped otherwise"  # type: ignore[union-attr]
        assert replica.apply(event("deleted", 3, cause="state")) == "applied"
        assert replica.get("u") is None
        assert replica.apply(state(3, **shows("in scope again"))) == "applied"
        assert replica.apply(event("updated", 3, **shows("late"))) == "stale"
        assert replica.get("u").resource["title"] == "in scope again"  # type: ignore[union-attr]


def test_the_same_state_twice_is_a_duplicate_and_another_one_is_not():
    with Replica() as replica:
        told = state(1, **shows("kim"))
        assert [replica.apply(told), replica.apply(told), replica.apply(state(1, **shows("kim")))] == [
            "applied",
            "duplicate",
            "applied",
        ]


def test_the_whole_membership_is_what_all_parts_name_in_any_order():
    with Replica() as replica:
        for id in ("a", "b", "c", "d"):
            replica.apply(event("created", 1, id, changed=[], resource={"id": id}))
        group = {"kind": "Group", "changed": [], "resource": {"id": "g"}}
        replica.apply(event("created", 1, "g", members={"added": ["a", "b"], "removed": []}, **group))
        second = {"members": {"added": ["d"], "removed": [], "whole": True}, "part": 2, "parts": 2, "kind": "Group"}
        first = {"members": {"added": ["c"], "removed": [], "whole": True}, "part": 1, "parts": 2, **group}
        replica.apply(state(5, "g", **second))
        replica.apply(state(5, "g", **first))
        assert replica.members_of("g") == ["c", "d"]
        replica.apply(event("member.added", 4, "g", kind="Group", members={"added": ["a"], "removed": []}))
        assert replica.members_of("g") == ["c", "d"]
        replica.apply(event("member.added", 6, "g", kind="Group", members={"added": ["a"], "removed": ["c"]}))
        assert replica.members_of("g") == ["a", "d"]


def test_a_group_that_left_the_scope_and_is_back_at_the_same_version_has_its_members():
    with Replica() as replica:
        replica.apply(event("created", 1, "a", changed=[], resource={"id": "a"}))
        group = {"kind": "Group", "changed": [], "resource": {"id": "g"}}
        replica.apply(event("created", 2, "g", members={"added": ["a"], "removed": []}, **group))
        replica.apply(event("deleted", 2, "g", kind="Group", cause="state"))
        assert replica.members_of("g") == []
        replica.apply(state(2, "g", members={"added": ["a"], "removed": [], "whole": True}, **group))
        assert replica.members_of("g") == ["a"]
