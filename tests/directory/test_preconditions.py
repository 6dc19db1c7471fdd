"""If-Match and If-None-Match against weak entity tags."""

import pytest

from scimhub.directory import preconditions
from scimhub.directory.preconditions import Precondition
from scimhub.scim.errors import ScimError


@pytest.mark.requirement("V-007", "V-008")
@pytest.mark.parametrize(
    "header, versions",
    [
        ('W/"e1.5"', {5}),
        ('"e1.5"', {5}),
        ('W/"e1.5", "e1.7"', {5, 7}),
        ('W/"e0.5"', set()),
        ('"something"', set()),
        ("*", None),
        (', "e1.5",, "e1.7" , ', {5, 7}),
    ],
)
def test_if_match_names_versions_of_this_epoch(header: str, versions: set[int] | None) -> None:
    expected = Precondition(None if versions is None else frozenset(versions))
    assert preconditions.parse_if_match(header, "e1") == expected


def test_no_header_is_no_precondition() -> None:
    assert preconditions.parse_if_match(None, "e1") is None


@pytest.mark.parametrize("header", ["5", "W/5", ",", '"unclosed', 'W/"a" W/"b"'])
def test_what_is_no_entity_tag_is_refused(header: str) -> None:
    with pytest.raises(ScimError) as caught:
        preconditions.parse_if_match(header, "e1")
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")


@pytest.mark.parametrize(
    "header, held_back",
    [('W/"e1.5"', True), ('"e1.5"', True), ("*", True), ('W/"e1.4"', False), ('"x", W/"e1.5"', True), ("", False)],
)
def test_if_none_match_holds_back_what_the_client_has(header: str, held_back: bool) -> None:
    assert preconditions.none_match(header, 'W/"e1.5"') is held_back
