"""Values by type: what is right, what is refused, and the normal form by which values are compared."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimhub.scim import values
from scimhub.scim.errors import ScimError
from scimhub.scim.schema import Attribute


def attribute(type, **characteristics):
    return Attribute("x", type, **characteristics)


@pytest.mark.parametrize(
    "text, folded",
    [
        ("Kim.Lee@Example.COM", "kim.lee@example.com"),
        ("ÄÖÜ", "äöü"),
        ("A\u0308", "ä"),
        ("\u212bngstrom", "ångstrom"),
        ("ＫＩＭ＠ｅｘａｍｐｌｅ．ｃｏｍ", "kim@example.com"),
        ("ｶﾞ", "ガ"),
        ("a\u3000b", "a b"),
        ("ΟΔΟΣ", "οδος"),
        ("İ", "i̇"),
        # Neither German sharp s nor ligatures become other letters: that would make two people one.
        ("Straße", "straße"),
        ("ﬁne", "ﬁne"),
        ("\U00010400", "\U00010428"),
        ("", ""),
    ],
)
def test_folding_ignores_case_width_and_composition_only(text, folded):
    assert values.fold(text) == folded


@given(st.text())
def test_folding_never_fails_and_twice_is_once(text):
    once = values.fold(text)
    assert values.fold(once) == once


def test_no_other_character_has_a_width():
    wide = {
        code for code in range(sys.maxunicode + 1) if unicodedata.decomposition(chr(code)).startswith(("<wide>", "<narrow>"))
    }
    assert {code for code in wide if values.fold(chr(code)) == chr(code)} == set()
    assert all(code == 0x3000 or 0xFF00 <= code < 0xFFF0 for code in wide)


@pytest.mark.parametrize(
    "text, instant",
    [
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000000000Z"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00.000000000Z"),
        ("2026-01-31T00:30:00-08:30", "2026-01-31T09:00:00.000000000Z"),
        ("2024-01-01T10:00:00.5+02:00", "2024-01-01T08:00:00.500000000Z"),
        ("2026-01-31T08:00:00.1234567891Z", "2026-01-31T08:00:00.123456789Z"),
        ("2026-01-31T08:00:00", "2026-01-31T08:00:00.000000000Z"),
        ("2026-12-31T24:00:00Z", "2027-01-01T00:00:00.000000000Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000000000Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_an_instant_has_one_text_of_fixed_width(text, instant):
    assert values.instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-01", "10:00:00Z", "2024-01-01 10:00:00Z", "2024-01-01T10:00Z", "20240101T100000Z", "2024-02-30T10:00:00Z"),
        *(
            "2024-01-01T25:00:00Z",
            "2024-01-01T24:00:01Z",
            "2024-01-01T10:00:60Z",
            "2024-01-01T10:00:00.Z",
            "2024-01-01T10:00:00z",
        ),
        *("2024-01-01T10:00:00+15:00", "2024-01-01T10:00:00+0200", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
        *("9999-12-31T24:00:00Z", "٢٠٢٤-01-01T10:00:00Z", "2024-01-01T10:00:00Z\n", "", "now"),
    ],
)
def test_what_lacks_a_date_or_a_time_is_no_instant(text):
    assert values.instant(text) is None


RIGHT = [
    *[("string", value) for value in ("", "x", "🚢", "true", "a\u0301")],
    *[("boolean", value) for value in (True, False)],
    *[("integer", value) for value in (0, -1, values.MAX_INTEGER, values.MIN_INTEGER)],
    *[("decimal", value) for value in (0, 1.25, -1e300, 2**64)],
    *[("dateTime", value) for value in ("2024-01-01T10:00:00.5+02:00", "2024-01-01T10:00:00")],
    *[("binary", value) for value in ("", "QQ==", "QQ", "QUI=", "QUI", "QUJD", "+/+/")],
    *[("reference", value) for value in ("https://x.example/a", "../Users/u1", "Users/u1", "")],
]
WRONG = [
    *[("string", value) for value in (None, 1, True, [], {}, "a\x00b", "\ud800")],
    *[("boolean", value) for value in ("yes", "true", "True", 0, 1, None)],
    *[("integer", value) for value in (1.5, 1.0, 1e3, "1", True, 2**63, -(2**63) - 1)],
    *[("decimal", value) for value in ("1.5", True, float("inf"), float("nan"), 10**400)],
    *[("dateTime", value) for value in ("2024-01-01", 1704103200, "")],
    *[("binary", value) for value in ("!!", "Q", "QQ=", "QQ===", "Q Q=", "Q-_Q", 1)],
    *[("reference", value) for value in (1, {}, "a\x00b")],
    ("complex", "x"),
]


@pytest.mark.parametrize("type, value", RIGHT)
def test_a_value_of_its_type_passes(type, value):
    values.check(attribute(type), value, "x")


@pytest.mark.parametrize("type, value", WRONG)
def test_a_value_of_another_type_is_refused_by_name(type, value):
    with pytest.raises(ScimError) as caught:
        values.check(attribute(type), value, "emails.value")
    assert caught.value.scim_type == "invalidValue"
    assert caught.value.detail.startswith("The value of emails.value ")
    assert caught.value.detail.endswith(".")


def test_a_long_value_is_not_repeated_in_the_detail():
    with pytest.raises(ScimError) as caught:
        values.check(attribute("boolean"), "x" * 100_000, "active")
    assert caught.value.detail == f"The value of active is the string '{'x' * 40}'…; it must be true or false."


@pytest.mark.parametrize(
    "shape, value, normal",
    [
        (attribute("string"), "KIM", "kim"),
        (attribute("string", case_exact=True), "KIM", "KIM"),
        (attribute("reference"), "HTTPS://X.example/A", "HTTPS://X.example/A"),
        (attribute("binary"), "QQ==", "QQ=="),
        (attribute("boolean"), False, False),
        (attribute("integer"), 7, 7),
        (attribute("decimal"), 1.5, 1.5),
        (attribute("decimal"), 2**64, 2.0**64),
        (attribute("dateTime"), "2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00.000000000Z"),
    ],
)
def test_the_normal_form_keeps_what_the_type_compares(shape, value, normal):
    found = values.normal(shape, value)
    assert (found, type(found)) == (normal, type(normal))


def test_a_literal_of_another_type_is_a_mistake_in_the_filter():
    with pytest.raises(ScimError) as caught:
        values.operand(attribute("integer"), "5", "size")
    assert caught.value.scim_type == "invalidFilter"
    assert caught.value.detail == (
        "The value to compare size with is the string '5'; it must be a whole number without fraction or exponent."
    )


def test_a_binary_may_be_compared_with_any_text():
    assert values.operand(attribute("binary"), "!!", "x") == "!!"
