"""Requests as the routes see them."""

from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim.errors import ScimError
from scimhub.web.exchange import read_request


async def receive() -> dict[str, object]:
    raise AssertionError


def query(text: str) -> list[tuple[str, str]]:
    scope = {"method": "GET", "path": "/", "headers": [], "scheme": "http", "query_string": text.encode()}
    return list(read_request(scope, receive).query())


@pytest.mark.parametrize(
    "raw, path",
    [
        ("/scim/acme/v2/Users/7c", "/scim/acme/v2/Users/7c"),
        ("/scim/acme/v2/Users/%37c%20", "/scim/acme/v2/Users/7c "),
        ("/scim/acme/v2/Users/%2F", "/scim/acme/v2/Users/%2F"),
        ("/scim/acme/v2/Users%2f7c%20", "/scim/acme/v2/Users%2f7c "),
        ("/scim/acme/v2/Users/%252F", "/scim/acme/v2/Users/%2F"),
    ],
)
def test_an_escaped_slash_divides_no_path(raw: str, path: str):
    scope = {"method": "GET", "path": unquote(raw), "headers": [], "scheme": "http", "query_string": b""}
    assert read_request({**scope, "raw_path": raw.encode()}, receive).path == path
    # Servers that do not tell it leave no choice.
    assert read_request(scope, receive).path == unquote(raw)


@pytest.mark.parametrize(
    "text, pairs",
    [
        ("", []),
        ("filter=userName%20eq%20%22kim%22", [("filter", 'userName eq "kim"')]),
        ("filter=a+eq+1%2B1", [("filter", "a eq 1+1")]),
        ("&&count&cursor=&x=1=2&", [("count", ""), ("cursor", ""), ("x", "1=2")]),
        ("%C3%A9=%e2%82%ac", [("é", "€")]),
        ("a=100%&b=%zz", [("a", "100%"), ("b", "%zz")]),
        ("&".join(["a"] * 100), [("a", "")] * 100),
    ],
)
def test_a_query_is_read_to_pairs(text: str, pairs: list[tuple[str, str]]):
    assert query(text) == pairs


@pytest.mark.parametrize("text", ["a=%ff", "%ff=a", "a=%ed%a0%80", "&".join(["a"] * 101), "a=é"])
def test_a_query_of_other_bytes_or_too_many_parameters_is_refused(text: str):
    with pytest.raises(ScimError) as refused:
        query(text)
    assert refused.value.scim_type == "invalidValue"


@given(st.text(st.sampled_from("ab&=+%20cC3A9;45"), max_size=30))
def test_a_query_is_read_as_the_standard_library_reads_it(text: str):
    try:
        expected = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        with pytest.raises(ScimError):
            query(text)
    else:
        assert query(text) == expected
