"""What is kept of an exchange: secrets never, personal values by setting, and bodies up to their limit."""

from typing import Any

import orjson
import pytest

from scimhub.exchanges.records import Body, Received
from scimhub.exchanges.redaction import keeps_all, redact, show_headers
from scimhub.scim.catalog import STANDARD_TYPES, Catalog, build_catalog, standard_schemas
from scimhub.scim.schema import ResourceType, SchemaExtension, parse_schema
from scimhub.sqlstore import exchange_rows

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ID = "01a20aea-3e8f-7400-9fb6-aed10134fe05"


def received(body: object = None, **given: Any) -> Received:
    request = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    answer = orjson.dumps(given.pop("answer", {}))
    known: dict[str, Any] = {
        "id": "r1",
        "time": "2026-11-23T20:41:35.123Z",
        "directory": "acme",
        "source": "okta",
        "method": "POST",
        "path": "/scim/acme/v2/Users",
        "status": 201,
        "duration_us": 1,
        "resource_kind": "User",
        "request": request,
        "request_size": len(request),
        "answer": answer,
        "answer_size": len(answer),
    }
    return Received(**known | given)


def kept(body: object, content: str = "full", limit: int = 16384, **given: Any) -> Any:
    text = redact(received(body, **given), content, limit).request.text
    return None if text is None else orjson.loads(text)


# --------------------------------------------------------------------------- secrets

HIDDEN = "[redacted]"
SECRETS: list[tuple[object, object]] = [
    ({"userName": "a", "password": "pw"}, {"userName": "a", "password": HIDDEN}),
    ({"PassWord": ["pw", {"value": "pw"}]}, {"PassWord": HIDDEN}),
    ({f"{USER}:password": "pw"}, {f"{USER}:password": HIDDEN}),
    ({USER: {"password": 7}}, {USER: {"password": HIDDEN}}),
    ({"password": None}, {"password": None}),
    ({"accessToken": "x", "client_secret": "x"}, {"accessToken": HIDDEN, "client_secret": HIDDEN}),
    ({"secretary": "Ines"}, {"secretary": "Ines"}),
    (
        {"Operations": [{"op": "replace", "path": "password", "value": "pw"}]},
        {"Operations": [{"op": "replace", "path": "password", "value": HIDDEN}]},
    ),
    (
        {"operations": [{"value": {"value": "pw"}, "Path": f"{USER}:Password"}]},
        {"operations": [{"value": HIDDEN, "Path": f"{USER}:Password"}]},
    ),
    (
        {"Operations": [{"op": "add", "value": {"password": "pw", "title": "Boss"}}]},
        {"Operations": [{"op": "add", "value": {"password": HIDDEN, "title": "Boss"}}]},
    ),
    (
        {"Operations": [{"op": "remove", "path": 'emails[password eq "pw"]'}]},
        {"Operations": [{"op": "remove", "path": f"emails[password {HIDDEN}"}]},
    ),
    (
        {"Operations": [{"method": "POST", "path": "/Users", "data": {"password": "pw", "title": "x"}}]},
        {"Operations": [{"method": "POST", "path": "/Users", "data": {"password": HIDDEN, "title": "x"}}]},
    ),
    ({"displayName": "scimhub_abcdefghijklmnopqrstuvwx"}, {"displayName": HIDDEN}),
]


@pytest.mark.parametrize("body, expected", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_is_struck_out_and_the_rest_stays(body: object, expected: object):
    assert kept(body, method="PATCH") == expected


def test_a_name_written_with_escapes_is_recognised():
    assert kept(b'{"p\\u0061ssword":"pw"}') == {"password": HIDDEN}
    lines = b'"x":"' + b"\\n" * 9 + b'"'
    assert kept(b"{" + lines + b',"p\\u0061ssword":"pw"}') == {"x": "\n" * 9, "password": HIDDEN}


def with_a_pin() -> Catalog:
    pin = {"name": "pin", "type": "string", "returned": "never", "mutability": "writeOnly"}
    schema = parse_schema({"id": "urn:example:Door", "name": "Door", "attributes": [pin]})
    user, group = STANDARD_TYPES
    kind = ResourceType(user.name, user.endpoint, "", user.schema, (SchemaExtension(schema.id, False),))
    return build_catalog(2, [*standard_schemas(), schema], [kind, group])


def test_what_a_schema_never_returns_is_a_secret():
    catalog = with_a_pin()
    body = {"userName": "a", "urn:example:Door": {"pin": "4711"}}
    assert kept(body, catalog=catalog)["urn:example:Door"] == {"pin": HIDDEN}
    assert kept(body)["urn:example:Door"] == {"pin": "4711"}


@pytest.mark.parametrize("content", ["full", "masked", "none"])
def test_a_detail_and_an_answer_do_not_quote_a_secret(content: str):
    secret = "correct horse battery staple"
    detail = f"The value {secret[:20]!r}… is wrong."
    exchange = redact(
        received({"password": secret}, status=400, detail=detail, answer={"schemas": [], "detail": detail}), content
    )
    assert "correct" not in repr(exchange)


def test_a_query_loses_its_secrets_and_its_filters_on_secrets():
    query = b"filter=password%20eq%20%22pw%22&access_token=abc&attributes=userName&filter=userName%20eq%20%22ada%22"
    exchange = redact(received(query=query))
    assert exchange.query == f'filter=password {HIDDEN}&access_token={HIDDEN}&attributes=userName&filter=userName eq "ada"'


def test_of_headers_only_known_ones_are_kept():
    headers = {b"authorization": b"Bearer abc", b"cookie": b"a=b", b"user-agent": b"Okta", b"if-match": b'W/"1.2"'}
    assert show_headers(headers) == (("user-agent", "Okta"), ("if-match", 'W/"1.2"'))


# --------------------------------------------------------------------------- bodies that are long, or no JSON


def test_a_body_is_kept_as_it_was_sent():
    raw = b'{"userName" : "ada",\n "active":"True"}'
    assert redact(received(raw)).request == Body(raw.decode(), len(raw))


def test_a_long_body_is_cut_and_says_so():
    body = {"displayName": "g", "members": [{"value": str(number)} for number in range(100)]}
    cut = redact(received(body, method="PUT"), body_limit=300).request
    assert (cut.size, cut.is_cut, len(cut.text or "")) == (len(orjson.dumps(body)), True, 300)


def test_a_cut_body_with_a_secret_is_redacted_as_a_whole_one():
    body = {"password": "pw", "members": [{"value": str(number)} for number in range(100)]}
    found = kept(body, limit=100)
    assert found["password"] == HIDDEN
    assert found["members"][:2] == [{"value": "0"}, {"value": "1"}]


def test_the_value_of_an_operation_that_is_torn_before_its_path_is_hidden():
    body = {"Operations": [{"op": "replace", "value": "pw-canary", "note": "x" * 500, "path": "password"}]}
    assert kept(body, limit=200, method="PATCH") == {"Operations": [{"op": "replace", "value": HIDDEN}]}


BROKEN: list[tuple[bytes, object]] = [
    (b'{"userName":"ada","active":tru', {"userName": "ada"}),
    (b'{"userName":"ada","password":"pw"', {"userName": "ada", "password": HIDDEN}),
    (b'{"userName":"ada" "password":"pw"}', {"userName": "ada"}),
    (b'{"password" "pw"}', {}),
    (b"password=pw&userName=ada", None),
    ('{"password":"pw"}'.encode("utf-16"), None),
    (b"\xff\xfe", None),
    (b"[" * 2000, None),
]


@pytest.mark.parametrize("raw, expected", BROKEN, ids=range(len(BROKEN)))
def test_of_a_body_that_is_no_json_only_its_beginning_is_kept(raw: bytes, expected: object):
    assert kept(raw, status=400) == expected


# --------------------------------------------------------------------------- masked

MASKED: list[tuple[object, object]] = [
    ({"schemas": [USER], "userName": "ada", "active": True}, {"schemas": [USER], "userName": "***", "active": True}),
    (
        {"emails": [{"value": "a@x", "type": "work", "primary": "True"}]},
        {"emails": [{"value": "***", "type": "work", "primary": "True"}]},
    ),
    ({"emails": [{"type": "her private one"}]}, {"emails": [{"type": "***"}]}),
    ({"members": [{"value": ID, "display": "Ada"}]}, {"members": [{"value": ID, "display": "***"}]}),
    ({"externalId": ID, "count": 7, "a": None}, {"externalId": "***", "count": "***", "a": None}),
    ({"ada@example.com": 1}, {"***": "***"}),
    (
        {"Operations": [{"op": "Replace", "path": 'emails[type eq "work"].value', "value": "a@x"}]},
        {"Operations": [{"op": "Replace", "path": "emails[type eq ***].value", "value": "***"}]},
    ),
    (
        {"Operations": [{"op": "remove", "path": f'members[value eq "{ID}"]'}]},
        {"Operations": [{"op": "remove", "path": f'members[value eq "{ID}"]'}]},
    ),
    (
        {"Operations": [{"method": "PUT", "path": f"/Users/{ID}", "bulkId": "ada", "data": {"title": "x"}}]},
        {"Operations": [{"method": "PUT", "path": f"/Users/{ID}", "bulkId": "***", "data": {"title": "***"}}]},
    ),
    ({"meta": {"location": f"https://ada.example/scim/Users/{ID}"}}, {"meta": {"location": f"***/Users/{ID}"}}),
]


@pytest.mark.parametrize("body, expected", MASKED, ids=range(len(MASKED)))
def test_masking_keeps_the_structure_and_no_value(body: object, expected: object):
    assert kept(body, "masked") == expected


@pytest.mark.parametrize(
    "query, expected",
    [
        (b"filter=userName%20eq%20%22ada%22%20and%20active%20eq%20true", "filter=userName eq *** and active eq ***"),
        (b"filter=ada@example.com", "filter=***"),
        (b"filter=emails%5Bvalue%20co%20%22@x%22%5D", "filter=emails[value co ***]"),
        (b"attributes=userName,a%20b&sortBy=name.familyName&ada@x=1", "attributes=userName,***&sortBy=name.familyName&***=***"),
    ],
)
def test_masking_takes_the_operands_of_a_query(query: bytes, expected: str):
    assert redact(received(query=query), "masked").query == expected


def test_masking_takes_the_path_and_what_the_detail_quotes():
    exchange = redact(
        received({"userName": "ada lovelace"}, path="/scim/acme/v2/Users/ada", detail="It's 'ada' and \"x\", not lovelace."),
        "masked",
    )
    assert (exchange.path, exchange.detail) == ("/scim/acme/v2/Users/***", "It's ***, not ***.")


def test_none_keeps_sizes_only():
    exchange = redact(received({"userName": "ada"}, query=b"a=b", headers=(("user-agent", "Okta"),), answer={"id": ID}), "none")
    assert (exchange.query, exchange.headers) == ("", {})
    assert (exchange.request, exchange.answer) == (Body(None, 18), Body(None, 45))


# --------------------------------------------------------------------------- rows that are made without redacting

AS_THEY_CAME = {
    "create": received({"userName": "Æda"}, resource_id=ID, change_ids=["c1"], headers=(("user-agent", "Okta"),)),
    "answer without its document": received({"userName": "ada"}, answer={"id": ID}, answer_size=900, lacks_document=True),
    "answer without a body": received({"Operations": []}, method="PATCH", status=204)._replace(answer=b"", answer_size=0),
    "no body at all": received(method="DELETE", status=204)._replace(answer=b"", answer_size=0),
    "rewritten": received({"userName": "ada"}, rewrites=["string-boolean"], dropped=["favouriteColour"]),
}
LOOKED_INTO = {
    "failed": received({"userName": "ada"}, status=400, detail="It is taken."),
    "with a query": received({"userName": "ada"}, query=b"attributes=userName"),
    "with a password": received({"userName": "ada", "passWord": "x"}),
    "with a path to a password": received({"Operations": [{"op": "add", "path": "password", "value": "x"}]}, method="PATCH"),
    "with an escaped name": received(rb'{"pass\u0077ord":"x"}'),
    "with a token of ours": received({"title": "scimhub_" + "x" * 43}),
    "with a token in the answer": received({"userName": "ada"}, answer={"title": "scimhub_" + "x" * 43}),
    "with a token in the path": received({"userName": "ada"}, path="/scim/acme/v2/Users/scimhub_" + "x" * 43),
    "too long": received({"userName": "a" * 20_000}),
}


@pytest.mark.parametrize("name", AS_THEY_CAME)
def test_the_row_of_what_is_kept_as_it_came_is_that_of_its_redaction(name: str):
    assert keeps_all([AS_THEY_CAME[name]]) == [True]
    assert exchange_rows.values_as_received(AS_THEY_CAME[name]) == exchange_rows.values_of(redact(AS_THEY_CAME[name]))


@pytest.mark.parametrize("name", LOOKED_INTO)
def test_what_may_hold_something_to_hide_is_not_kept_as_it_came(name: str):
    assert keeps_all([LOOKED_INTO[name]]) == [False]


def test_what_has_to_be_looked_into_is_found_among_others():
    several = [exchange for each in LOOKED_INTO.values() for exchange in (*AS_THEY_CAME.values(), each)]
    assert keeps_all(several) == [exchange in AS_THEY_CAME.values() for exchange in several]
    with_pin = received({"pin": "4711"}, catalog=with_a_pin())
    assert keeps_all([received({"pin": "4711"}), with_pin]) == [True, False]
    assert keeps_all([]) == []
    assert keeps_all(list(AS_THEY_CAME.values())) == [True] * len(AS_THEY_CAME)
