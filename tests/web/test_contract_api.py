"""The contract over HTTP."""

import httpx
import pytest

from scimhub.distribution import contract, contract_channels
from scimhub.web.contract_api import ContractApi

ROOT = "https://hub.example"
API = ContractApi(ROOT, lambda: "r1")


async def request(method: str, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=API), base_url=ROOT) as client:
        return await client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_the_documents_are_served_with_a_tag_and_may_be_kept():
    for path, document in {
        "/contract/events.json": contract_channels.describe(ROOT),
        "/contract/1/user.json": contract.document("user", ROOT),
        "/contract/1/group.json": contract.document("group", ROOT),
        "/contract/1/resource.json": contract.document("resource", ROOT),
    }.items():
        answer = await request("GET", path)
        assert answer.status_code == 200
        assert answer.json() == document
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "public, max-age=3600"
        assert answer.headers["x-request-id"] == "r1"
        assert len(answer.headers["etag"]) == 34


async def test_a_type_that_somebody_added_has_the_generic_document():
    answer = await request("GET", "/contract/1/device.json")
    assert answer.json()["$id"] == f"{ROOT}/contract/1/resource.json"


async def test_head_shows_the_headers_only():
    answer = await request("HEAD", "/contract/1/user.json")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


@pytest.mark.parametrize("wrap", ["{}", "W/{}", '"other", {}', "*"])
async def test_what_the_client_has_already_is_not_sent_again(wrap):
    tag = (await request("GET", "/contract/1/user.json")).headers["etag"]
    answer = await request("GET", "/contract/1/user.json", If_None_Match=wrap.format(tag))
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag


async def test_another_tag_gets_the_document():
    tag = (await request("GET", "/contract/1/group.json")).headers["etag"]
    assert (await request("GET", "/contract/1/user.json", If_None_Match=tag)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/contract/",
        "/contract/2/user.json",
        "/contract/1/user.xml",
        "/contract/1/user",
        "/contract/1/.json",
        "/contract/1/a/b.json",
    ],
)
async def test_what_is_not_there_is_404_and_says_what_there_is(path):
    answer = await request("GET", path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not found",
        "status": 404,
        "detail": f"There is no {path!r} in the contract; there is /contract/events.json, /contract/1/user.json, "
        "/contract/1/group.json, /contract/1/resource.json.",
    }


async def test_only_reading_is_possible():
    answer = await request("POST", "/contract/events.json")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
