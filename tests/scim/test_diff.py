"""What differs between two states of a document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import diff
from scimhub.scim.catalog import ENTERPRISE_URN
from tests.scim.samples import USER, enterprise, stored, user


@pytest.mark.parametrize(
    "before, after, changed",
    [
        (user(), user(), {}),
        (user(title="a"), user(title="b"), {"title": "a"}),
        (user(), user(title="b"), {"title": None}),
        (user(title="a"), user(), {"title": "a"}),
        (user(name={"givenName": "K", "familyName": "P"}), user(name={"familyName": "P", "givenName": "K"}), {}),
        (
            user(name={"givenName": "K", "familyName": "P"}),
            user(name={"givenName": "L", "familyName": "P"}),
            {"name.givenName": "K"},
        ),
        (user(name={"givenName": "K"}), user(), {"name.givenName": "K"}),
        (user(), user(name={"givenName": "K", "familyName": "P"}), {"name.familyName": None, "name.givenName": None}),
        (
            user(emails=[{"value": "a"}, {"value": "b"}]),
            user(emails=[{"value": "b"}, {"value": "a"}]),
            {"emails": [{"value": "a"}, {"value": "b"}]},
        ),
        (user(emails=[{"value": "a", "type": "w"}]), user(emails=[{"type": "w", "value": "a"}]), {}),
        (user(active=True), user(active=False), {"active": True}),
        (
            user(**enterprise(department="D", manager={"value": "u2"})),
            user(),
            {f"{ENTERPRISE_URN}:department": "D", f"{ENTERPRISE_URN}:manager.value": "u2"},
        ),
        (
            user(**enterprise(department="D", manager={"value": "u2"})),
            user(**enterprise(manager={"value": "u2", "$ref": "x"}, division="V", department="D")),
            {f"{ENTERPRISE_URN}:division": None, f"{ENTERPRISE_URN}:manager.$ref": None},
        ),
    ],
)
def test_each_path_that_differs_is_given_with_its_value_before(
    before: dict[str, object], after: dict[str, object], changed: dict[str, object]
):
    assert diff.changed_paths(stored(before), stored(after), USER) == changed


TEXT = st.sampled_from(["a", "b"])
DOCUMENTS = st.fixed_dictionaries(
    {"userName": TEXT},
    optional={
        "title": TEXT,
        "name": st.dictionaries(st.sampled_from(["givenName", "familyName"]), TEXT, min_size=1),
        "emails": st.lists(st.fixed_dictionaries({"value": TEXT}), min_size=1, max_size=2),
        ENTERPRISE_URN: st.fixed_dictionaries(
            {"department": TEXT}, optional={"manager": st.fixed_dictionaries({"value": TEXT})}
        ),
    },
)


@given(DOCUMENTS, DOCUMENTS)
def test_the_values_before_rebuild_the_state_before(before: dict[str, object], after: dict[str, object]):
    changed = diff.changed_paths(before, after, USER)
    rebuilt = put_back(after, changed)
    assert rebuilt == before
    assert (changed == {}) == (before == after)


def put_back(document: dict[str, object], changed: dict[str, object]) -> dict[str, object]:
    rebuilt = {name: dict(value) if isinstance(value, dict) else value for name, value in document.items()}
    rebuilt[ENTERPRISE_URN] = {
        name: dict(value) if isinstance(value, dict) else value for name, value in rebuilt.get(ENTERPRISE_URN, {}).items()
    }
    for path, value in changed.items():
        holder = rebuilt[ENTERPRISE_URN] if path.startswith(ENTERPRISE_URN) else rebuilt
        *steps, last = path.removeprefix(f"{ENTERPRISE_URN}:").split(".")
        for step in steps:
            holder = holder.setdefault(step, {})
        if value is None:
            holder.pop(last)
        else:
            holder[last] = value
    for holder in (rebuilt[ENTERPRISE_URN], rebuilt):
        for name in [name for name, value in holder.items() if value == {}]:
            del holder[name]
    return rebuilt
