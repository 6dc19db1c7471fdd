"""Judges of the protocol that we did not write: scim2-tester, scim-sanity, scim2-client, schemathesis."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from tests.end_to_end.live import ADMIN_TOKEN, TOKEN, LiveHub

TOOLS = Path(sys.executable).parent


@pytest.fixture
def scim_client(live_hub: LiveHub):
    with httpx2.Client(base_url=live_hub.scim_url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        yield SyncSCIMClient(client)


def test_scim2_tester_finds_no_fault(scim_client: SyncSCIMClient):
    results = check_server(scim_client)
    assert len(results) > 50
    faults = [f"{result.title}: {result.reason}" for result in results if result.status in (Status.ERROR, Status.CRITICAL)]
    assert faults == []


def test_scim_sanity_finds_no_fault(live_hub: LiveHub):
    probe = subprocess.run(
        [TOOLS / "scim-sanity", "probe", live_hub.scim_url, "--token", TOKEN, "--i-accept-side-effects", "--json-output"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert probe.returncode == 0, probe.stdout[-6000:] + probe.stderr[-2000:]


def test_scim2_client_creates_finds_patches_and_deletes(scim_client: SyncSCIMClient):
    scim_client.discover()
    User, Group = scim_client.get_resource_model("User"), scim_client.get_resource_model("Group")  # noqa: N806 - they are classes
    name = f"client-{uuid.uuid4().hex}"
    person = scim_client.create(User(user_name=name, display_name="Before"))
    assert person.meta.location.endswith(f"/Users/{person.id}")
    found = scim_client.query(User, query_parameters={"filter": f'userName eq "{name}"'})
    assert [resource.id for resource in found.resources] == [person.id]
    team = scim_client.create(Group(display_name=name, members=[Group.Members(value=person.id)]))
    assert [group.value for group in scim_client.query(User, person.id).groups] == [team.id]
    person.display_name = "After"
    assert scim_client.replace(person).display_name == "After"
    scim_client.delete(User, person.id)
    assert not scim_client.query(Group, team.id).members


@pytest.mark.parametrize("document, token", [("/scim/default/v2/openapi.json", TOKEN), ("/admin/v1/openapi.json", ADMIN_TOKEN)])
def test_schemathesis_finds_no_fault(start_hub: Callable[..., LiveHub], document: str, token: str, tmp_path: Path):
    hub = start_hub()
    report = tmp_path / "report.json"
    run = subprocess.run(
        [
            TOOLS / "schemathesis",
            "run",
            f"{hub.url}{document}",
            "--header",
            f"Authorization: Bearer {token}",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "15",
            "--max-time",
            "30",
            "--seed",
            "1",
            "--suppress-health-check",
            "all",
            "--continue-on-failure",
            "--report-json-path",
            str(report),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert json.loads(report.read_text("utf-8"))
