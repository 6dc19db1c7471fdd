"""Bodies as JSON objects: what a parser alone would lose silently is refused."""

import pytest

from scimhub.scim import message
from scimhub.scim.errors import ScimError


@pytest.mark.parametrize(
    "raw, value",
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a":"x\\n\\t\\\\ :","b :":{"c":[]}}', {"a": "x\n\t\\ :", "b :": {"c": []}}),
        (b'{"a": "x\\": y", "b": [{"c": true}]}', {"a": 'x": y', "b": [{"c": True}]}),
        ('{"ключ": "значение"}'.encode(), {"ключ": "значение"}),
        (b'{"phone": "01234567890123456789"}', {"phone": "01234567890123456789"}),
        (b'{"n": 9223372036854775807}', {"n": 2**63 - 1}),
        (b'{"n": 1.00000000000000000000}', {"n": 1.0}),
        (b'{"n": 1e10}', {"n": 1e10}),
    ],
)
def test_a_sound_object_comes_through_unchanged(raw: bytes, value: object) -> None:
    assert message.parse_object(raw) == value


@pytest.mark.requirement("H-001", "H-016", "H-017")
@pytest.mark.parametrize(
    "raw, scim_type, wording",
    [
        (b"", "invalidSyntax", "no body"),
        (b"{", "invalidSyntax", "not JSON"),
        (b"[]", "invalidSyntax", "a JSON array"),
        (b'"userName"', "invalidSyntax", "a JSON string"),
        (b"null", "invalidSyntax", "a JSON null"),
        (b"12", "invalidSyntax", "a JSON number"),
        (b"\xef\xbb\xbf{}", "invalidSyntax", "byte order mark"),
        (b'{"a": "\xff\xfe"}', "invalidSyntax", "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "invalidSyntax", "UTF-8"),
        (b'{"a": 1, "a": 2}', "invalidSyntax", "'a' stands twice"),
        (b'{"a" :1, "a":2}', "invalidSyntax", "'a' stands twice"),
        (b'{"a":1,"a"\n:2, "s":"\\":"}', "invalidSyntax", "'a' stands twice"),
        (b'{"a":1,"a":2,"s":"\\":"}', "invalidSyntax", "'a' stands twice"),
        (b'{"a":1,"a":2,"s":"\\u0022:"}', "invalidSyntax", "'a' stands twice"),
        (b'{"a":1,"\\u0061":2}', "invalidSyntax", "'a' stands twice"),
        (b'{"a":1,"a"\t:2,"s":" :"}', "invalidSyntax", "'a' stands twice"),
        (b'{"n\\n":1,"n\\n":2}', "invalidSyntax", "stands twice"),
        (b'{"o": {"b": [], "b": []}}', "invalidSyntax", "'b' stands twice"),
        (b"[" * 100_000, "invalidSyntax", "not JSON"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "invalidSyntax", "nested deeper than 40"),
        (b'{"a":' * 41 + b"1" + b"}" * 41, "invalidSyntax", "nested deeper than 40"),
        (b'{"n":12345678901234567890}', "invalidValue", "64 bits"),
        (b'{"n":0.1234567890123456789}', "invalidValue", "rounded"),
        (b'{"n": 12345678901234567890}', "invalidValue", "64 bits"),
        (b'{"n": 0.1234567890123456789}', "invalidValue", "rounded"),
        (b'{"n": 1E-400}', "invalidValue", "rounded"),
        (b'{"n": ' + b"9" * 5000 + b"}", "invalidSyntax", "not JSON"),
        (b'{"n": NaN}', "invalidSyntax", "not JSON"),
    ],
)
def test_what_would_be_lost_or_misread_is_refused(raw: bytes, scim_type: str, wording: str) -> None:
    with pytest.raises(ScimError) as caught:
        message.parse_object(raw)
    assert (caught.value.status, caught.value.scim_type) == (400, scim_type)
    assert wording in caught.value.detail
