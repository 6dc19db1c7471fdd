"""Filters: what parses, what it means, and that nothing hostile gets further than a refusal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimhub.scim import filters
from scimhub.scim.catalog import ENTERPRISE_URN, USER_URN, standard_catalog
from scimhub.scim.errors import ScimError
from scimhub.scim.expressions import All, Any, Bracket, Negation, Test
from scimhub.scim.filters import And, Comparison, Elements, Not, Nothing, Or, Present
from scimhub.scim.notes import Notes

USER = standard_catalog().kinds["User"]
GROUP = standard_catalog().kinds["Group"]


def bind(text, kind=USER, *, lenient=False, **more):
    return filters.bind(filters.parse(text), kind, lenient=lenient, **more)


def written(expression):
    """The tree with every pair of terms in parentheses."""
    match expression:
        case Test(path, "pr"):
            return f"{path.text} pr"
        case Test(path, operator, value):
            return f"{path.text} {operator} {value!r}"
        case Bracket(path, inner, test):
            return f"{path.text}[{written(inner)}]" + ("." + written(test) if test else "")
        case All(terms):
            return "(" + " and ".join(map(written, terms)) + ")"
        case Any(terms):
            return "(" + " or ".join(map(written, terms)) + ")"
        case Negation(term):
            return f"not {written(term)}"


def shown(condition):
    """The condition in short, targets by their key."""
    match condition:
        case Comparison(target, operator, operand):
            return f"{target.key} {operator} {operand!r}"
        case Present(target):
            return f"{target.key} pr"
        case And(terms):
            return "(" + " and ".join(map(shown, terms)) + ")"
        case Or(terms):
            return "(" + " or ".join(map(shown, terms)) + ")"
        case Not(term):
            return f"not {shown(term)}"
        case Elements(target, inner):
            return f"{target.key}[{shown(inner)}]"
        case Nothing():
            return "nothing"


def refusal(call):
    with pytest.raises(ScimError) as caught:
        call()
    assert caught.value.status in (400, 403)
    assert "\n" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    "text, tree",
    [
        ('userName eq "a"', "userName eq 'a'"),
        ('USERNAME Eq "a" AND active eQ true', "(USERNAME eq 'a' and active eq True)"),
        ("a pr or b pr and c pr", "(a pr or (b pr and c pr))"),
        ("a pr and b pr or c pr", "((a pr and b pr) or c pr)"),
        ("(a pr or b pr) and c pr", "((a pr or b pr) and c pr)"),
        ("not (a pr) and b pr", "(not a pr and b pr)"),
        ("not(a pr)", "not a pr"),
        ("NOT  ( a pr )", "not a pr"),
        ('title pr and userType eq "E"', "(title pr and userType eq 'E')"),
        ("a pr and b pr and c pr", "(a pr and b pr and c pr)"),
        ("  a   pr  ", "a pr"),
        ('a eq"x"', "a eq 'x'"),
        (r'a eq "x\"y\\z\u00e9\n"', "a eq 'x\"y\\\\zé\\n'"),
        (r'a eq "\ud83d\udea2"', "a eq '🚢'"),
        ("a eq -1.5e3 or a eq 0 or a eq 12", "(a eq -1500.0 or a eq 0 or a eq 12)"),
        ("a eq null and b ne false", "(a eq None and b ne False)"),
        ('emails[type eq "work" and not (value co "x")]', "emails[(type eq 'work' and not value co 'x')]"),
        ('emails[type eq "work"].value eq "x"', "emails[type eq 'work'].value eq 'x'"),
        ('a eq "or (b pr)]"', "a eq 'or (b pr)]'"),
        (f'{ENTERPRISE_URN}:manager.value eq "u2"', f"{ENTERPRISE_URN}:manager.value eq 'u2'"),
        ('$ref eq "x"', "$ref eq 'x'"),
        ('or eq "x"', "or eq 'x'"),
    ],
)
def test_a_filter_is_read_as_the_grammar_says(text, tree):
    assert written(filters.parse(text)) == tree


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "The filter is empty"),
        ("   ", "The filter is empty"),
        ("xx", "At character 3 of the filter there is nothing more after xx; an operator must follow: eq, ne"),
        ('userName regex "a"', "At character 10 of the filter there is 'regex' after userName; an operator must follow"),
        ("meta.resourceType eq User", "At character 22 of the filter there is 'User' where a value should stand"),
        ("active eq True", "there is 'True' where a value should stand: a string in double quotes, a number, true, false"),
        ("userName eq 'a'", "where a value should stand"),
        ("not title pr", "At character 5 of the filter there is 'title' after not; write not (…)"),
        ("title pr and", "At character 13 of the filter there is nothing more where the name of an attribute"),
        ("title pr title pr", "there is 'title' where the filter should end or go on with and, or"),
        ("(title pr", "there is nothing more where ) should close"),
        ("title pr)", "there is ')' where the filter should end"),
        ("emails[type pr", "there is nothing more where ] should close"),
        ('emails[type pr] eq "x"', "there is 'eq' where the filter should end"),
        ("emails[]", "there is ']' where the name of an attribute should stand"),
        ("a[b eq 1 and c[d eq 2]]", "brackets inside brackets"),
        ("a[b[c pr].d pr]", "brackets inside brackets"),
        ("title\tpr", "At character 6 of the filter"),
        ("title\u00a0pr", "At character 6 of the filter"),
        ('title eq "a\tb"', "where a value should stand"),
        ('title eq "a', "where a value should stand"),
        (r'title eq "\x"', "has an escape that JSON does not know"),
        (r'title eq "a\u0000b"', "U+0000"),
        (r'title eq "\ud800"', "half of a surrogate pair"),
        ('title eq "a\x00b"', "U+0000"),
        ("title eq \ud800", "half of a surrogate pair"),
        ("title eq 01", "where a value should stand"),
        ("title eq 1.", "where a value should stand"),
        ("title eq .5", "where a value should stand"),
        ("title eq +1", "where a value should stand"),
        ("title eq 0x10", "where a value should stand"),
        ("title eq " + "9" * 5000, "where a value should stand"),
        ("title eq NaN", "where a value should stand"),
        ("a..b pr", "is not an attribute path"),
        ("a.b.c pr", "is not an attribute path"),
        ("9x pr", "where the name of an attribute should stand"),
        ("naïve pr", "is not an attribute path"),
        ("urn:{x}:y regex 1", "after urn:{x}:y; an operator must follow"),
        ('"title" pr', "where the name of an attribute should stand"),
        ("title eq 1 eq 2", "there is 'eq' where the filter should end"),
        ("[title pr]", "where the name of an attribute should stand"),
        ("title pr; drop table", "is not"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_place_and_the_remedy(text, said):
    error = refusal(lambda: filters.parse(text))
    assert (error.status, error.scim_type) == (400, "invalidFilter")
    if said != "is not":
        assert said in error.detail


@pytest.mark.parametrize(
    "text, said",
    [
        ("(" * 10_000, "nested more than 32 deep"),
        ("not (" * 300 + "a pr" + ")" * 300, "nested more than 32 deep"),
        ("a pr or (" * 40 + "a pr" + ")" * 40, "nested more than 32 deep"),
        ("x" * 10_001, "The filter has 10001 characters; at most 10000 are read."),
        (" or ".join(["a pr"] * 1001), "more than 1000 terms"),
    ],
    ids=lambda text: text[:20],
)
def test_the_limits_are_stated_when_they_are_met(text, said):
    assert said in refusal(lambda: filters.parse(text)).detail


def test_what_is_just_within_the_limits_is_read():
    assert len(filters.parse(" or ".join(['id eq "q"'] * 500)).terms) == 500
    assert len(filters.parse(" or ".join(["a pr"] * 1000)).terms) == 1000
    assert written(filters.parse("(" * 32 + "a pr" + ")" * 32)) == "a pr"


def scim_type_of(call):
    """The keyword of the refusal, None when there is none."""
    try:
        call()
    except ScimError as error:
        return error.scim_type
    return None


_NAMES = ["userName", "emails.value", f"{USER_URN}:userName", "$ref", "a.$ref", "not", "NOT"]
_NAMES += ["a..b", "a:b", "a-", "é", "1a", ""]
_OPERATORS = ["eq", "EQ", "sw", "pr", "xx", "and", "eqx", ""]
_STRINGS = ['"kim"', '""', '"a b"', '"é"', r'"a\\b"', r'"a\"b"', '"\t"', '"\x7f"', '"\ud800"', '"a" x', "true", ""]
_STRINGS += ['"' + "x" * 301 + '"']


@pytest.mark.parametrize("gap", [" ", "  ", ""])
@pytest.mark.parametrize("literal", _STRINGS)
@pytest.mark.parametrize("operator", _OPERATORS)
@pytest.mark.parametrize("name", _NAMES)
def test_a_look_up_means_the_same_alone_and_in_parentheses(name, operator, literal, gap):
    alone = f"{gap}{name} {operator}{gap}{literal}{gap}"

    def read(text):
        try:
            return written(filters.parse(text))
        except ScimError as error:
            return error.scim_type

    # In parentheses it is read by the general parser.
    assert read(alone) == read(f"({alone})")


@settings(max_examples=300)
@given(st.text() | st.text(alphabet='ab.[]()"\\ \x00eqnotrpd:-1u$', max_size=60))
def test_any_text_is_a_filter_or_a_refusal(text):
    assert scim_type_of(lambda: filters.parse(text)) in (None, "invalidFilter")
    assert scim_type_of(lambda: filters.parse_value_path(text)) in (None, "invalidFilter", "invalidPath")


WORDS = [
    "userName",
    "emails",
    "active",
    "not",
    "and",
    "or",
    "eq",
    "pr",
    "co",
    "(",
    ")",
    "[",
    "]",
    '"a"',
    "true",
    "1",
    ".value",
    "null",
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), st.booleans())
def test_any_row_of_tokens_is_a_condition_or_a_refusal(text, lenient):
    assert scim_type_of(lambda: bind(text, lenient=lenient)) in (None, "invalidFilter")


@pytest.mark.parametrize("unit", ['"', '"\\', "a.", "[", '"a" ', "urn:", "-", "(a[", "not("])
def test_ten_thousand_characters_of_anything_are_refused(unit):
    text = (unit * 10_000)[:10_000]
    assert scim_type_of(lambda: filters.parse(text)) == "invalidFilter"
    assert scim_type_of(lambda: filters.parse_value_path(text)) in ("invalidFilter", "invalidPath")


# --------------------------------------------------------------------------- paths of PATCH


@pytest.mark.parametrize(
    "text, path, filter, sub",
    [
        ("userName", "userName", None, None),
        ("name.givenName", "name.givenName", None, None),
        (f"{USER_URN}:name.givenName", f"{USER_URN}:name.givenName", None, None),
        (ENTERPRISE_URN, ENTERPRISE_URN, None, None),
        ('emails[type eq "work"]', "emails", "type eq 'work'", None),
        ('emails[type eq "work"].value', "emails", "type eq 'work'", "value"),
        ('members[value eq"2819c223"]', "members", "value eq '2819c223'", None),
        ('addresses[type eq "work" and (primary eq true)].$ref', "addresses", "(type eq 'work' and primary eq True)", "$ref"),
        (f'{USER_URN}:emails[type eq "]"].value', f"{USER_URN}:emails", "type eq ']'", "value"),
        (r'emails[value eq "a\"]"]', "emails", "value eq 'a\"]'", None),
    ],
)
def test_a_patch_path_is_attribute_filter_and_sub_attribute(text, path, filter, sub):
    found = filters.parse_value_path(text)
    assert found.path.text == path
    assert (None if found.filter is None else written(found.filter)) == filter
    assert found.sub == sub


@pytest.mark.parametrize(
    "text, scim_type",
    [
        *[
            (text, "invalidPath")
            for text in ("", "emails[", "emails]", "a..b", "a.b.c", "[type pr]", "emails[type pr]value", " emails")
        ],
        *[
            (text, "invalidPath")
            for text in ("emails[type pr].a.b", "emails[type pr].", "emails.value[type pr]", "emails[type pr]]", "x" * 1001)
        ],
        *[
            (text, "invalidFilter")
            for text in ('emails[type xx "work"]', "emails[]", "emails[type eq work]", "emails[type[value pr]]")
        ],
        *[(text, "invalidFilter") for text in ("emails[type]", 'emails[type eq "a\x00"]', "emails[" + "(" * 100 + "]")],
    ],
)
def test_broken_brackets_are_a_bad_path_and_a_broken_filter_is_a_bad_filter(text, scim_type):
    assert refusal(lambda: filters.parse_value_path(text)).scim_type == scim_type


# --------------------------------------------------------------------------- meaning


@pytest.mark.parametrize(
    "text, meaning",
    [
        ('username eq "KIM"', "userName eq 'kim'"),
        ('externalId eq "AbC"', "externalId eq 'AbC'"),
        ('id eq "AbC"', "id eq 'AbC'"),
        (f'{USER_URN}:userName sw "J"', "userName sw 'j'"),
        (f'{USER_URN.upper()}:userName sw "J"', "userName sw 'j'"),
        (f'{ENTERPRISE_URN}:employeeNumber eq "1"', f"{ENTERPRISE_URN}:employeeNumber eq '1'"),
        (f'{ENTERPRISE_URN.upper()}:MANAGER.VALUE eq "u2"', f"{ENTERPRISE_URN}:manager.value eq 'u2'"),
        ('emails co "Example.com"', "emails.value co 'example.com'"),
        ("emails pr", "emails pr"),
        ("name pr", "name pr"),
        (f"{ENTERPRISE_URN} pr", f"{ENTERPRISE_URN} pr"),
        ("title eq null", "not title pr"),
        ("title ne null", "title pr"),
        ("emails eq null", "not emails pr"),
        ('meta.lastModified ge "2026-01-31T10:00:00+02:00"', "meta.lastModified ge '2026-01-31T08:00:00.000000000Z'"),
        ('schemas eq "x"', "schemas eq 'x'"),
        ('profileUrl eq "HTTPS://X"', "profileUrl eq 'HTTPS://X'"),
        ('emails[type eq "Work" and value co "@X"]', "emails[(emails.type eq 'work' and emails.value co '@x')]"),
        ('emails[type eq "work"].value eq "x"', "emails[(emails.type eq 'work' and emails.value eq 'x')]"),
        ('emails[type eq "work"].display eq null', "emails[(emails.type eq 'work' and not emails.display pr)]"),
        ('name[familyName eq "Lee"]', "name[name.familyName eq 'lee']"),
        ('schemas[value eq "x"]', "schemas[schemas eq 'x']"),
        ('schemas.value eq "x"', "schemas eq 'x'"),
        ('x509Certificates eq "QQ=="', "x509Certificates.value eq 'QQ=='"),
        ('groups eq "g1"', "groups.value eq 'g1'"),
    ],
)
def test_names_and_literals_are_bound_to_the_schema(text, meaning):
    assert shown(bind(text)) == meaning
    assert shown(bind(text, lenient=True)) == meaning


@pytest.mark.parametrize(
    "text, kind, meaning",
    [
        ('employeeNumber eq "1"', USER, f"{ENTERPRISE_URN}:employeeNumber eq '1'"),
        ('manager eq "u2"', USER, f"{ENTERPRISE_URN}:manager.value eq 'u2'"),
        ('roles[primary eq "True"]', USER, "roles[roles.primary eq True]"),
        ('active eq "FALSE"', USER, "active eq False"),
    ],
)
def test_what_providers_mean_is_understood_in_lenient_only(text, kind, meaning):
    assert shown(bind(text, kind, lenient=True)) == meaning
    assert refusal(lambda: bind(text, kind)).scim_type == "invalidFilter"


def test_members_without_a_sub_attribute_means_their_value():
    assert shown(bind('members eq "u1"', GROUP, lenient=True)) == "members.value eq 'u1'"


def test_a_string_read_as_a_boolean_is_noted_each_time():
    for _ in range(2):
        notes = Notes()
        bind('active eq "True" and roles[primary eq "false"]', lenient=True, notes=notes)
        assert notes.rewrites == ["string-boolean", "string-boolean"]


@pytest.mark.parametrize(
    "text, said",
    [
        ('favouriteTide eq "spring"', "favouriteTide is no attribute of User"),
        ('urn:x:y:z eq "1"', "urn:x:y:z is no attribute of User"),
        ('name eq "x"', "name is complex; compare one of its sub-attributes, such as name.formatted"),
        ('addresses eq "x"', "addresses is complex"),
        ('userName.x eq "x"', "userName.x is no attribute"),
        ("active gt false", "active is boolean, which has no order; use eq or ne instead of gt."),
        ('x509Certificates lt "A"', "x509Certificates is binary, which has no order"),
        ('active co "t"', "active is of type boolean; co looks into strings only."),
        ('meta.created sw "2026"', "meta.created is of type dateTime; sw looks into strings only."),
        ('active eq "yes"', "The value to compare active with is the string 'yes'; it must be true or false."),
        ("active eq 1", "The value to compare active with is the number 1"),
        ("userName eq 1", "The value to compare userName with is the number 1; it must be a string."),
        ("userName co true", "The value to compare userName with is true"),
        ('meta.created gt "2026"', "it must be a date with a time such as"),
        ("userName gt null", "userName gt null compares with nothing"),
        ('userName[value eq "x"]', "userName has no elements"),
        ('emails.value[type eq "x"]', "emails.value has no elements"),
        ("emails[foo pr]", "foo is no sub-attribute of emails"),
        ("emails[emails.type pr]", "emails.type is no sub-attribute of emails"),
        ("emails[type pr].foo pr", "foo is no sub-attribute of emails"),
        (f'{ENTERPRISE_URN} eq "x"', "is a whole schema extension"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(text, said):
    for lenient in (False, True):
        error = refusal(lambda lenient=lenient: bind(text, lenient=lenient))
        assert (error.status, error.scim_type) == (400, "invalidFilter")
        assert said in error.detail


@pytest.mark.parametrize(
    "text", ['password eq "x"', "password pr", f'userName pr and {USER_URN}:PASSWORD sw "S"', "not (password pr)"]
)
def test_a_password_cannot_be_asked_about(text):
    error = refusal(lambda: bind(text))
    assert (error.status, error.scim_type) == (403, "sensitive")


@pytest.mark.parametrize(
    "text, meaning",
    [
        ("foo pr", "nothing"),
        ('foo eq "x"', "nothing"),
        ('foo ne "x"', "not nothing"),
        ("foo eq null", "not nothing"),
        ("foo ne null", "nothing"),
        ("foo[bar pr]", "nothing"),
        ("userName pr", "nothing"),
        ('displayName sw "Smith"', "displayName sw 'smith'"),
    ],
)
def test_in_a_search_over_several_kinds_an_unknown_attribute_has_no_value(text, meaning):
    assert shown(bind(text, GROUP, unknown="absent")) == meaning


def test_numbers_and_booleans_that_python_calls_equal_stay_apart():
    assert shown(bind("active eq true")) == "active eq True"
    assert refusal(lambda: bind("active eq 1")).scim_type == "invalidFilter"
    assert refusal(lambda: bind("active eq 1.0")).scim_type == "invalidFilter"


def test_the_filter_of_a_patch_path_is_bound_to_one_attribute():
    emails = USER.resolve(filters.parse_value_path("emails").path, short_names=False)
    found = filters.parse_value_path('emails[type eq "Work" or primary eq "true"]')
    assert shown(filters.bind_inside(found.filter, emails, lenient=True)) == "(emails.type eq 'work' or emails.primary eq True)"
    user_name = USER.resolve(filters.parse_value_path("userName").path, short_names=False)
    assert refusal(lambda: filters.bind_inside(found.filter, user_name, lenient=True)).scim_type == "invalidFilter"
