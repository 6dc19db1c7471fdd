"""Area 9: versions, errors, /Me, tenancy, authentication, security."""

import re

import pytest

from scimhub import clock, settings
from scimhub.directory import sources
from tests.conformance.hub import MESSAGE, Client, Hub, add, created, group, ok, refused, replace, user

requirement = pytest.mark.requirement


# --------------------------------------------------------------------------- ETag


@requirement("V-001", "V-002", "V-003", "V-004", "C-020")
def test_the_version_moves_with_every_change_and_only_then(hub: Hub):
    answers = [hub.strict.post("/Users", user("a"))]
    path = f"/Users/{created(answers[0])['id']}"
    answers += [hub.strict.put(path, user("a", title="t")), hub.strict.patch(path, replace("title", "u"))]
    tags = [answer.headers["etag"] for answer in answers]
    assert [answer.json()["meta"]["version"] for answer in answers] == tags
    assert len(set(tags)) == 3
    assert all(re.fullmatch(r'W/"[^"]+"', tag) for tag in tags)
    for query in ({}, {"attributes": "userName"}, {"excludedAttributes": "meta"}):
        assert hub.strict.get(path, **query).headers["etag"] == tags[-1]
    # Membership is the group's change, not the member's.
    hub.strict.group("g", path.rpartition("/")[2])
    assert hub.strict.get(path).headers["etag"] == tags[-1]


@requirement("V-005")
def test_what_the_client_has_is_not_sent_again(hub: Hub):
    answer = hub.strict.post("/Users", user("a"))
    path, tag = f"/Users/{created(answer)['id']}", answer.headers["etag"]
    for header in (tag, "*", f'"other", {tag}', tag.removeprefix("W/")):
        same = hub.strict.get(path, {"if-none-match": header})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert hub.strict.get(path, {"if-none-match": 'W/"other"'}).status_code == 200


@requirement("V-006", "V-007", "V-008", "N-005")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_with_an_old_version_changes_nothing(hub: Hub, method):
    person = hub.strict.user("a")
    path, current = f"/Users/{person['id']}", person["meta"]["version"]
    patch = {"schemas": [f"{MESSAGE}:PatchOp"], "Operations": [replace("title", "t")]}
    body = {"PUT": user("a", title="t"), "PATCH": patch, "DELETE": None}[method]
    for stale in ('W/"0"', 'W/"0.1"', '"other", W/"another"'):
        refused(hub.strict.request(method, path, body, {"if-match": stale}), 412)
    refused(hub.strict.request(method, path, body, {"if-match": current.strip('W/"')}), 400, "invalidValue")
    assert hub.strict.read(path) == person
    answer = hub.strict.request(method, path, body, {"if-match": f'W/"other", {current}'})
    assert answer.status_code in (200, 204)
    if method != "DELETE":
        assert hub.strict.request(method, path, body, {"if-match": "*"}).status_code == 200


@requirement("V-009")
def test_of_many_writes_with_one_version_exactly_one_succeeds(hub: Hub):
    person = hub.strict.user("a")
    headers = {"if-match": person["meta"]["version"]}

    def patch(title: str) -> dict[str, object]:
        return {"schemas": [f"{MESSAGE}:PatchOp"], "Operations": [replace("title", title)]}

    answers = hub.strict.together(*[("PATCH", f"/Users/{person['id']}", patch(str(number)), headers) for number in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


@requirement("V-010")
def test_a_put_only_if_there_is_nothing_fails(hub: Hub):
    person = hub.strict.user("a")
    refused(hub.strict.put(f"/Users/{person['id']}", user("a", title="t"), {"if-none-match": "*"}), 412)
    assert hub.strict.read(f"/Users/{person['id']}") == person


# --------------------------------------------------------------------------- errors


@requirement("N-004")
@pytest.mark.parametrize("path", ["/Users/' OR 1=1", "/Nothing", "/Users?filter=%00", "/Users?filter=userName eq"])
def test_details_are_for_people_and_hold_no_secret(hub: Hub, path):
    detail = hub.strict.get(path).json()["detail"]
    assert hub.strict.token not in detail
    assert not re.search(r"Traceback|sqlite|SELECT |File \"|0x[0-9a-f]{6}", detail)
    assert detail.endswith((".", "!"))


@requirement("N-006", "ME-1", "ME-4", "ME-5", "M-001")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_me_is_not_supported_and_says_so(hub: Hub, method):
    refused(hub.strict.request(method, "/Me", {} if method != "GET" else None), 501)
    assert hub.strict.read("/Users")["totalResults"] == 0


# --------------------------------------------------------------------------- tenancy


@requirement("T-001", "T-002", "AU-01")
def test_a_token_opens_its_own_directory_only(hub: Hub):
    person = hub.strict.user("a")
    stranger = Client(hub.loop, hub.opened.application, hub.directory.name, hub.elsewhere.token)
    nowhere = Client(hub.loop, hub.opened.application, "no-such-directory", hub.elsewhere.token)
    for method, path in (
        ("GET", f"/Users/{person['id']}"),
        ("GET", "/Users"),
        ("DELETE", f"/Users/{person['id']}"),
        ("GET", "/Users/none"),
    ):
        there = stranger.request(method, path)
        details = {refused(answer, 403) for answer in (there, nowhere.request(method, path))}
        assert len(details) == 1, "whether the directory exists cannot be told"
    refused(hub.elsewhere.get(f"/Users/{person['id']}"), 404)


@requirement("T-003", "T-004", "SEC-5")
def test_directories_do_not_know_each_other(hub: Hub):
    mine, theirs = hub.strict.user("a", externalId="x"), hub.elsewhere.user("a", externalId="x")
    team = hub.elsewhere.group("g", theirs["id"])
    path = f"/Users/{theirs['id']}"
    for answer in (
        hub.strict.get(path),
        hub.strict.put(path, user("b")),
        hub.strict.patch(path, replace("title", "t")),
        hub.strict.delete(path),
        hub.strict.get(f"/Groups/{team['id']}"),
    ):
        refused(answer, 404)
    refused(hub.strict.post("/Groups", group("g", theirs["id"])), 400, "invalidValue")
    for listed in (hub.strict.read("/"), hub.strict.read("/Users", filter='externalId eq "x"'), ok(hub.strict.search())):
        assert [each["id"] for each in listed["Resources"]] == [mine["id"]]
    assert hub.strict.read("/", filter=f'id eq "{theirs["id"]}"')["totalResults"] == 0
    assert hub.elsewhere.read(path) == theirs | {"groups": hub.elsewhere.read(path)["groups"]}
    refused(hub.strict.put(f"/Users/{mine['id']}", user("a"), {"if-match": 'W/"0.7"'}), 412)


@requirement("T-004", "D-019")
def test_schemas_belong_to_a_directory(hub: Hub):
    urn = "urn:example:scim:schemas:extension:badge:2.0:User"
    hub.add_schema({"id": urn, "name": "Badge", "attributes": [{"name": "number"}], "extends": ["User"]})
    document = user("a", **{urn: {"number": "7"}}) | {"schemas": [*user("a")["schemas"], urn]}
    created(hub.strict.post("/Users", document))
    refused(hub.elsewhere.post("/Users", document), 400, "invalidValue")
    assert urn not in hub.elsewhere.get("/Schemas").text


@requirement("T-005", "C-019")
def test_locations_lie_below_the_callers_base_url(hub: Hub):
    person = hub.strict.user("a")
    hub.strict.group("g", person["id"])
    urls = re.findall(r'"(?:location|\$ref)":\s*"([^"]+)"', hub.strict.get("/").text)
    assert len(urls) >= 4
    assert all(url.startswith(f"{hub.strict.base}/") for url in urls)


# --------------------------------------------------------------------------- authentication


@requirement("AU-02", "AU-03", "AU-06", "N-005")
@pytest.mark.parametrize("path", ["/Users", "/Users/none", "/Nothing", "/Me"])
def test_without_a_token_nothing_is_answered(hub: Hub, path):
    answer = hub.anonymous.get(path)
    refused(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer realm=")
    assert "error" not in answer.headers["www-authenticate"]


@requirement("AU-07", "AU-02")
@pytest.mark.parametrize("token", ["wrong-token-wrong-token", "", "a b", "ü"])
def test_a_wrong_token_is_invalid(hub: Hub, token):
    answer = hub.anonymous.get("/Users", {"authorization": f"Bearer {token}".encode()})
    refused(answer, 401)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    refused(hub.anonymous.get("/Users", {"authorization": "Basic YTpi"}), 401)


@requirement("AU-03", "AU-09", "IDP-14")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_name_of_the_scheme_has_no_case(hub: Hub, scheme):
    assert hub.anonymous.get("/Users", {"authorization": f"{scheme} {hub.strict.token}"}).status_code == 200


@requirement("AU-04", "AU-05")
def test_a_token_in_the_url_is_refused(hub: Hub):
    for client in (hub.anonymous, hub.strict):
        answer = client.get("/Users", access_token=str(hub.strict.token))
        refused(answer, 400)
        assert 'error="invalid_request"' in answer.headers["www-authenticate"]


@requirement("AU-05")
def test_a_token_in_the_body_is_no_token(hub: Hub):
    form = f"access_token={hub.strict.token}".encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    refused(hub.anonymous.post("/Users", form, headers), 401)
    assert hub.strict.post("/Users", form, headers).status_code in (400, 415)


@requirement("AU-07", "AU-08")
def test_expired_and_revoked_tokens_are_refused_and_rotation_overlaps(hub: Hub):
    store, now = hub.opened.store, clock.now_text()
    source = hub.loop.run(sources.create_source(store, hub.directory, "rotating", "strict", "new", now))
    past = "2020-01-01T00:00:00.000Z"
    _, expired = hub.loop.run(sources.create_token(store, source, ["read"], "1h", past))
    first, one = hub.loop.run(sources.create_token(store, source, ["read"], None, now))
    _, two = hub.loop.run(sources.create_token(store, source, ["read"], "90d", now))
    assert first.expires is not None, "a token lives for a limited time unless told otherwise"
    assert len({one, two}) == 2
    assert min(len(one), len(two)) > 40
    hub.loop.run(store.revoke_token(source.key, first.id, now))
    by_secret = {
        secret: Client(hub.loop, hub.opened.application, hub.directory.name, secret).get("/Users")
        for secret in (expired, one, two)
    }
    assert [answer.status_code for answer in by_secret.values()] == [401, 401, 200]
    for secret in (expired, one):
        assert 'error="invalid_token"' in by_secret[secret].headers["www-authenticate"]


@requirement("AU-07", "AU-18", "N-005")
def test_a_token_that_may_only_read_cannot_write(hub: Hub):
    person = hub.strict.user("a")
    reader = hub.client("strict", permissions=["read"])
    path = f"/Users/{person['id']}"
    for answer in (
        reader.post("/Users", user("b")),
        reader.put(path, user("a", title="t")),
        reader.patch(path, replace("title", "t")),
        reader.delete(path),
        reader.bulk(),
    ):
        refused(answer, 403)
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert reader.read(path) == person
    assert ok(reader.search())["totalResults"] == 1
    refused(hub.client("strict", permissions=["write"]).get(path), 403)


@requirement("AU-10", "SEC-4", "U-009", "A-026")
def test_no_file_of_the_hub_holds_a_token_or_a_password(hub_with, tmp_path):
    hub = hub_with()
    password = "correct-horse-battery-staple"
    person = created(hub.strict.post("/Users", user("a", password=password)))
    hub.strict.patch(f"/Users/{person['id']}", replace("password", password), add("title", "t"))
    hub.strict.put(f"/Users/{person['id']}", user("a", password=password, title="u"))
    hub.strict.patch(f"/Users/{person['id']}", replace("foo", password))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        assert password.encode() not in content, path.name
        assert str(hub.strict.token).encode() not in content, path.name


# --------------------------------------------------------------------------- security


@requirement("SEC-1")
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_plain_http_is_refused_off_loopback(host):
    with pytest.raises(settings.SettingsError, match="SCIMHUB_HOST"):
        settings.load(environ={"SCIMHUB_HOST": host})
    assert settings.load(environ={"SCIMHUB_HOST": host, "SCIMHUB_TRUSTED_PROXIES": "192.0.2.0/24"}).host == host


INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE resources; --",
    '" or "" eq "',
    "{{7*7}}",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "\u202e",
    "%s%n",
    "\\",
]


@requirement("SEC-6", "F-038")
@pytest.mark.parametrize("text", INJECTIONS)
def test_values_are_only_values(hub: Hub, text):
    hub.strict.user("other")
    person = hub.strict.user(text, displayName=text, externalId=text)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    for attribute in ("userName", "displayName", "externalId"):
        assert hub.strict.found(f'{attribute} eq "{quoted}"') == {text}
    assert hub.strict.read(f"/Users/{person['id']}")["displayName"] == text
    assert hub.strict.read("/Users")["totalResults"] == 2


@requirement("SEC-6", "N-004")
@pytest.mark.parametrize(
    "body", [b'{"userName": "a\\u0000b"}', b'{"userName": "\xff"}', b'{"userName": "\\ud800"}', b'{"userName": 1e999}']
)
def test_hostile_bytes_are_refused_without_damage(hub: Hub, body):
    answer = hub.lenient.post("/Users", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["scimType"] in ("invalidSyntax", "invalidValue")
    assert hub.lenient.read("/Users")["totalResults"] == 0
