"""What differs between the normal forms of two documents, and that it is enough to make one of the other."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import normal
from scimhub.scim.catalog import ENTERPRISE_URN
from tests.scim.samples import USER
from tests.scim.test_diff import DOCUMENTS


def merged(target: object, patch: object) -> object:
    """A JSON merge patch applied as RFC 7396 §2 writes it down."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def put_in_place(target: Mapping[str, object], patch: Mapping[str, object]) -> object:
    """The patch's objects in the place of the target's, and what is null taken out: as PostgreSQL does it."""
    return without_nulls({**target, **patch})


def without_nulls(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(item) for name, item in value.items() if item is not None}


@given(DOCUMENTS, DOCUMENTS)
def test_the_patch_of_what_differs_makes_one_normal_form_of_the_other(before: dict[str, object], after: dict[str, object]):
    patch = normal.merge_patch(*normal.differing(before, after, USER))
    old, new = normal.normal_form(before, USER), normal.normal_form(after, USER)
    assert merged(old, patch) == new
    assert put_in_place(old, patch) == new
    assert (patch == {}) == (before == after)


@given(DOCUMENTS, DOCUMENTS)
def test_rows_that_differ_are_among_those_of_what_differs(before: dict[str, object], after: dict[str, object]):
    old, new = normal.differing(before, after, USER)
    for rows in (normal.index_rows, normal.unique_rows):
        was, is_now = set(rows(normal.normal_form(before, USER), USER)), set(rows(normal.normal_form(after, USER), USER))
        assert (was - set(rows(old, USER))) | set(rows(new, USER)) == is_now


@given(st.sampled_from([{"title": "a"}, {ENTERPRISE_URN: {"department": "D", "division": "V"}}]))
def test_what_has_gone_is_null_in_the_patch(gone: dict[str, object]):
    whole: dict[str, object] = {"userName": "kim", **gone}
    patch = normal.merge_patch(*normal.differing(whole, {"userName": "kim"}, USER))
    assert patch == dict.fromkeys(gone)
