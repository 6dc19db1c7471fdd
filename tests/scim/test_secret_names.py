"""Which names promise a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import secret_names


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "userPassword",
        "PASSWD",
        "pass_code",
        "clientSecret",
        "access-token",
        "apiKey",
        "api_key",
        "API-Key",
        "x_apikey",
    ],
)
def test_names_of_secrets(name: str):
    assert secret_names.promises_secret(name)


@pytest.mark.parametrize(
    "name", ["userName", "passport", "compass", "secretary", "tokens", "keyboard", "api", "key", "secretQuestion"]
)
def test_names_that_are_none(name: str):
    assert not secret_names.promises_secret(name)


_PIECES = ["pass", "word", "_", "-", "api", "key", "to", "ken", "token", "Sec", "ret", "x"]


@given(st.lists(st.sampled_from(_PIECES), max_size=6).map("".join))
def test_a_quick_look_misses_none(name: str):
    assert not secret_names.promises_secret(name) or any(marker in name.lower() for marker in secret_names.MARKERS)


@pytest.mark.parametrize(
    "path, value, holds",
    [
        ("badge", {"number": [1, {"colour": "red"}]}, False),
        ("badge", [[{"PIN": 1, "password": None}]], True),
        ("urn:example:2.0:Vendor:apiKey", 1, True),
        ("vendor.token", 1, True),
        ("colour", "password", False),
    ],
)
def test_a_path_or_a_value_in_which_one_stands(path: str, value: object, holds: bool):
    assert secret_names.stand_in(path, value) is holds
