"""The pages about webhooks and events: what they show was run, and what they list exists."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scimhub.consumer import NoMatchingSignature
from scimhub.destinations import (
    http_api_configuration,
    http_api_lists,
    http_api_operations,
    scim_app_configuration,
    scim_profile,
    templates,
    webhook_configuration,
    webhook_signing,
)
from scimhub.destinations.egress import Policy
from scimhub.distribution import contract, contract_examples, mapping, rules
from scimhub.distribution.retry import DELAYS
from scimhub.scim.catalog import standard_catalog
from scimhub.settings import Settings
from tests.destinations.receivers import message, receiving, secret, sending

DOCS = Path(__file__).parents[2] / "docs"
WEBHOOKS = (DOCS / "webhooks.md").read_text("utf-8")
EVENTS = (DOCS / "events.md").read_text("utf-8")
NEEDS_OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
SHELL = re.findall(r"```sh\n(.*?)```", WEBHOOKS, re.DOTALL)


def test_the_examples_are_those_of_the_contract():
    shown = re.findall(r"<!-- example: (.+?) -->\n\n```json\n(.*?)```", EVENTS, re.DOTALL)
    made = {f"{one.name}: {one.summary}": contract_examples.render(one.message) for one in contract_examples.examples()}
    assert len(shown) == EVENTS.count("```json") == 4
    for name, text in shown:
        assert json.loads(text) == made[name]


def test_every_field_of_an_event_is_described():
    document = contract.document("group", "https://hub.example")
    fields = {*document["properties"], *document["$defs"]["event"]["properties"]} - {"specversion", "datacontenttype", "data"}
    assert {field for field in fields if f"`{field}`" not in EVENTS} == set()


def test_every_key_of_the_configuration_is_described():
    table = WEBHOOKS.partition("## Configuration")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(webhook_configuration.Configuration.__slots__)


def test_the_settings_that_are_named_exist():
    named = set(re.findall(r"SCIMHUB_(\w+)", WEBHOOKS))
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    assert len(named) == 6


def test_the_delays_are_those_of_the_schedule():
    assert DELAYS == (1, 5, 30, 2 * 60, 10 * 60, 30 * 60, 3600)
    assert "1 s, 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, then hourly for three days" in WEBHOOKS


@pytest.mark.parametrize("format", ["structured", "binary"])
async def test_the_python_verifies_what_the_hub_sends(format):
    page: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", WEBHOOKS, re.DOTALL)[0], page)
    receive, (_, value) = page["receive"], webhook_signing.parse(str(page["SECRET"]))
    made = next(contract_examples.examples()).message
    async with receiving() as receiver, sending(receiver.url, secret(b"n" * 32), secret(value), format=format) as sender:
        await sender.send(made)
    (request,) = receiver.requests
    event = receive(request.headers, request.body)
    assert (event.id, event.verb) == (made.attributes["id"], "created")
    with pytest.raises(NoMatchingSignature):
        receive(request.headers, request.body + b" ")


async def received(purpose, value):
    async with receiving() as receiver, sending(receiver.url, secret(value, purpose), signature=purpose) as sender:
        await sender.send(message())
    return receiver.requests[0]


def run(script, folder, request, **variables):
    (folder / "body").write_bytes(request.body)
    variables["WEBHOOK_ID"] = request.headers["webhook-id"]
    variables["WEBHOOK_TIMESTAMP"] = request.headers["webhook-timestamp"]
    return subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin", **variables}, capture_output=True, text=True
    )


@NEEDS_OPENSSL
async def test_the_shell_makes_the_signature_that_the_hub_sends(tmp_path):
    value = bytes(range(100, 132))
    request = await received("hmac", value)
    done = run(SHELL[0], tmp_path, request, SECRET=webhook_signing.text("hmac", value))
    assert done.stdout.strip() == request.headers["webhook-signature"].removeprefix("v1,")


@NEEDS_OPENSSL
async def test_the_shell_verifies_with_the_public_key(tmp_path):
    request = await received("ed25519", bytes(range(32)))
    signature = request.headers["webhook-signature"].removeprefix("v1a,")
    key = webhook_signing.public_text(bytes(range(32)))
    assert run(SHELL[1], tmp_path, request, PUBLIC_KEY=key, SIGNATURE=signature).returncode == 0
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    wrong = "whpk_" + base64.b64encode(other).decode()
    assert run(SHELL[1], tmp_path, request, PUBLIC_KEY=wrong, SIGNATURE=signature).returncode != 0


# --------------------------------------------------------------------------- applications, APIs and mappings

APPLICATIONS, API, MAPPING = ((DOCS / f"{name}.md").read_text("utf-8") for name in ("scim-applications", "http-api", "mapping"))


def yaml_in(page: str) -> dict[str, object]:
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    read = yaml.safe_load(text)
    assert isinstance(read, dict)
    return read


def test_every_profile_is_described_with_its_own_address():
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| `?([^|`]+?)`? \|", APPLICATIONS.partition("## Profiles")[2], re.MULTILINE))
    assert rows == {name: scim_profile.load(name).base_url or "any" for name in scim_profile.names()}


def test_every_key_of_an_application_and_of_an_api_is_described():
    table = APPLICATIONS.partition("## Configuration")[2].partition("\n## ")[0]
    assert {key for key in scim_app_configuration._DEFAULTS if f"`{key}`" not in table} == set()
    assert {key for key in scim_profile.OVERRIDABLE if f"`{key}`" not in APPLICATIONS} == set()
    operations = {*http_api_operations.KEYS, *http_api_lists.KEYS, *http_api_lists._PAGING, "first"}
    keys = {*http_api_configuration._DEFAULTS, *operations, *http_api_configuration.VERBS, "list", *templates.NAMES}
    assert {key for key in keys if f"`{key}`" not in API and key != "resource"} == set()


def test_the_example_of_an_api_can_be_used():
    http_api_configuration.check(yaml_in(API), Policy())


def test_the_example_of_a_mapping_forms_what_it_says():
    problems: list[str] = []
    bound = mapping.bind(yaml_in(MAPPING), standard_catalog(), problems)
    assert problems == []
    urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    kim = {
        "userName": "kr",
        "name": {"givenName": "Kim", "familyName": "Reyes"},
        "emails": [{"value": "kim@example.com", "primary": True}],
        "userType": "Employee",
        "nickName": "K",
        "active": True,
        urn: {"department": "IT"},
    }
    assert bound["User"].apply(kim) == {
        "userName": "kim@example.com",
        "name": {"givenName": "Kim", "familyName": "Reyes"},
        "displayName": "Kim Reyes",
        "title": "Employee",
        "emails": [{"value": "kim@example.com", "primary": True}],
        "userType": "FTE",
        "active": True,
        urn: {"department": "IT", "costCenter": "4711"},
    }


def test_every_rule_is_described():
    assert {key for key in rules._KEYS if f"{key}:" not in MAPPING} == set()
