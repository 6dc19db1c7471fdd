"""Area 3, HTTP: media types, encodings, versions, and what bad requests get."""

import json

import pytest

from scimhub import settings
from tests.conformance.hub import Hub, created, ok, refused, user

requirement = pytest.mark.requirement


@requirement("H-001", "A-019")
def test_bodies_are_utf_8(hub: Hub):
    name = "Jürgen 🦀"
    text = json.dumps(user(name), ensure_ascii=False)
    answer = hub.strict.post("/Users", text.encode("utf-8"))
    assert created(answer)["userName"] == name
    assert name.encode("utf-8") in answer.content
    for encoding in ("utf-16", "utf-8-sig", "latin-1"):
        refused(hub.strict.post("/Users", text.replace("🦀", "ü").encode(encoding)), 400, "invalidSyntax")


@requirement("H-002", "H-003", "IDP-16")
@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/scim+json", "application/json", "text/html, application/scim+json;q=0.5, */*;q=0.1"]
)
def test_accepted_answers_are_scim(hub: Hub, accept):
    answer = hub.strict.get("/Users", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/scim+json"


@requirement("H-003", "IDP-16")
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/scim+json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_both_media_types_are_read(hub: Hub, content_type):
    created(hub.strict.post("/Users", user("a"), {"content-type": content_type}))


@requirement("H-004", "N-001", "N-002")
@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/Nothing", 404),
        ("GET", "/Users/a/b", 404),
        ("DELETE", "/Users", 405),
        ("PUT", "/Bulk", 405),
        ("GET", "/Users/none", 404),
    ],
)
def test_every_error_is_a_scim_error(hub: Hub, method, path, status):
    refused(hub.strict.request(method, path), status)


@requirement("H-004", "M-079")
def test_a_body_over_the_limit_is_refused_with_the_limit(hub_with):
    hub = hub_with(body_limit=2000)
    assert "2000" in refused(hub.strict.post("/Users", user("a", displayName="x" * 3000)), 413)
    person = hub.strict.user("b")
    refused(hub.strict.patch(f"/Users/{person['id']}", {"op": "add", "path": "title", "value": "x" * 3000}), 413)


@requirement("H-005")
@pytest.mark.parametrize("content_type", ["text/xml", "application/x-www-form-urlencoded", "text/plain"])
def test_other_bodies_are_unsupported(hub: Hub, content_type):
    refused(hub.strict.post("/Users", user("a"), {"content-type": content_type}), 415)


@requirement("H-005")
@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml",
        "image/png, text/*",
        "application/json;q=0",
        "application/scim+json; q=0.000, application/json, */*",
        "application/* ;charset=utf-8; Q=0.0, */*",
        "*/*;q=0",
    ],
)
def test_other_answers_are_not_acceptable(hub: Hub, accept):
    refused(hub.strict.get("/Users", {"accept": accept}), 406)


@requirement("H-005")
@pytest.mark.parametrize(
    "accept",
    [
        "text/html, */*;q=0.1",
        "application/json; q=0, application/scim+json;q=0.001",
        "application/json;q=0, */*",
        "APPLICATION/JSON; charset=utf-8",
        "*/*;q=0, application/json",
    ],
)
def test_the_most_precise_range_says_whether_our_answers_are_acceptable(hub: Hub, accept):
    assert hub.strict.get("/Users", {"accept": accept}).status_code == 200


@requirement("H-006", "SEC-7")
@pytest.mark.parametrize(
    "url", ["https://hub.example/scim?x=1", "https://user:secret@hub.example", "https://hub.example/#a", "ftp://hub.example"]
)
def test_the_public_url_is_a_plain_url(url):
    with pytest.raises(settings.SettingsError, match="public_url"):
        settings.load(environ={"SCIMHUB_PUBLIC_URL": url})


@requirement("H-006", "H-007", "IDP-09")
def test_unknown_query_parameters_are_ignored(hub: Hub):
    hub.strict.user("a")
    assert hub.strict.read("/Users", foo="1", aadOptscim062020="")["totalResults"] == 1
    assert ok(hub.strict.get("/Users?aadOptscim062020"))["totalResults"] == 1


@requirement("H-008", "H-009", "N-003")
@pytest.mark.parametrize("version", ["v1", "v3", "v20"])
def test_other_versions_are_refused(hub: Hub, version):
    refused(hub.strict.get(hub.strict.base.replace("/v2", f"/{version}") + "/Users"), 400, "invalidVers")


@requirement("H-010", "W-001", "M-011")
def test_put_and_patch_never_create(hub: Hub):
    refused(hub.strict.put("/Users/new", user("a")), 404)
    refused(hub.strict.patch("/Users/new", {"op": "add", "path": "title", "value": "t"}), 404)
    assert hub.strict.read("/Users")["totalResults"] == 0


@requirement("H-011")
@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("POST", "/Users/u1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("PUT", "/Users", {"GET", "HEAD", "POST"}),
        ("DELETE", "/Users", {"GET", "HEAD", "POST"}),
        ("GET", "/Bulk", {"POST"}),
        ("GET", "/.search", {"POST"}),
        ("GET", "/Users/.search", {"POST"}),
        ("POST", "/", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(hub: Hub, method, path, allowed):
    answer = hub.strict.request(method, path)
    refused(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == allowed


@requirement("H-012")
def test_a_suffix_selects_no_format(hub: Hub):
    refused(hub.strict.get("/Users.scim"), 404)


@requirement("H-014")
@pytest.mark.parametrize("path", ["/Users/", "//Users"])
def test_a_slash_too_many_loses_no_body(hub: Hub, path):
    assert created(hub.strict.post(path, user("a")))["userName"] == "a"


@requirement("H-015")
def test_endpoints_are_matched_as_published(hub: Hub):
    refused(hub.strict.get("/users"), 404)


@requirement("H-016", "H-017", "B-022")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b"null", b"5", b'{"userName": "a", "userName": "b"}', b"[" * 5000, b'{"a":' * 5000]
)
@pytest.mark.parametrize(
    "method, path",
    [("POST", "/Users"), ("PUT", "/Users/{id}"), ("PATCH", "/Users/{id}"), ("POST", "/Bulk"), ("POST", "/.search")],
)
def test_what_is_no_json_object_is_a_syntax_error(hub: Hub, method, path, body):
    person = hub.strict.user("someone")
    refused(hub.strict.request(method, path.format(id=person["id"]), body), 400, "invalidSyntax")
    assert hub.strict.read("/Users")["totalResults"] == 1
