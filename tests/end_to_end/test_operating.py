"""What an operator sees: health, metrics, the first start, mistakes in the settings, a second process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.end_to_end.live import ROOT, LiveHub, user, wait_until


def scimhub(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCIMHUB_")}
    environment |= {f"SCIMHUB_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "scimhub", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_health_readiness_and_metrics_need_no_token(live_hub: LiveHub):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert httpx.get(live_hub.url + path).status_code == 200


def test_every_metric_is_documented(live_hub: LiveHub):
    with live_hub.client() as client:
        client.post("/Users", json=user("measured"))
    shown = set(re.findall(r"^# TYPE (scimhub_\w+) ", httpx.get(f"{live_hub.url}/metrics").text, re.MULTILINE))
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")
    assert "scimhub_requests_total" in shown
    assert [name for name in sorted(shown) if name not in page] == []


def test_the_first_start_shows_the_base_url_and_the_token_once(tmp_path: Path):
    hub = LiveHub(tmp_path, {"SCIMHUB_BOOTSTRAP_TOKEN": ""}).start()
    try:
        assert re.search(rf"SCIM base URL: {re.escape(hub.scim_url)}\n", hub.log)
        token = re.search(r"Bearer token: +(\S+)", hub.log)
        assert token is not None
        with hub.client(token[1]) as client:
            assert client.get("/Users").json()["totalResults"] == 0
        hub.stop()
        hub.start()
        assert hub.log.count("Bearer token:") == 1
    finally:
        hub.stop()


def test_the_log_tells_once_that_the_hub_starts_and_stops(tmp_path: Path):
    hub = LiveHub(tmp_path).start()
    hub.stop()
    lines = [re.sub(r"\[\d+\]", "", json.loads(line)["message"]) for line in hub.log.splitlines() if line.startswith("{")]
    assert len(lines) == len(set(lines)), lines
    assert {"Started server process ", "Shutting down", "Finished server process ", "listening"} <= set(lines)


def test_a_start_that_cannot_listen_makes_no_token(live_hub: LiveHub, tmp_path: Path):
    refused = scimhub(tmp_path, "serve", database=str(tmp_path / "new.db"), port=str(live_hub.port))
    assert refused.returncode == 1
    assert f"port {live_hub.port}" in refused.stderr
    assert not (tmp_path / "new.db").exists()


def test_header_fields_that_contradict_each_other_are_refused(live_hub: LiveHub):
    """Of two fields of one name none may win silently: a proxy in front may have read the other one."""
    with live_hub.client() as client:
        made = client.post("/Users", json=user("twice")).json()["id"]
        path, good = f"/Users/{made}", client.headers["authorization"]
        assert client.delete(path, headers=[("If-Match", 'W/"no"'), ("If-Match", "*")]).status_code == 400
        assert client.get(path).status_code == 200
        assert client.get(path, headers=[("Accept", "application/scim+json"), ("Accept", "text/html")]).status_code == 200
        assert client.post("/Users", json=user("coded"), headers={"Content-Encoding": "gzip"}).status_code == 415
    twice = [("Authorization", "Bearer wrong"), ("Authorization", good)]
    assert httpx.get(f"{live_hub.scim_url}{path}", headers=twice).status_code == 401


def test_failed_operations_of_a_bulk_request_are_among_the_errors(live_hub: LiveHub):
    bulk = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "DELETE", "path": "/Users/nobody"}],
    }
    with live_hub.client() as client:
        request_id = client.post("/Bulk", json=bulk).headers["x-request-id"]
    database = str(live_hub.folder / "scimhub.db")

    def details() -> dict[str, str]:
        listed = scimhub(live_hub.folder, "exchanges", "--errors", "--json", database=database)
        return {each["id"]: each["detail"] for each in json.loads(listed.stdout)}

    wait_until(lambda: request_id in details(), "the exchange is recorded")
    assert details()[request_id].startswith("1 of 1 operations failed; the first: There is no User")


def test_a_second_process_on_the_same_database_is_refused(live_hub: LiveHub, tmp_path: Path):
    database = str(live_hub.folder / "scimhub.db")
    second = scimhub(tmp_path, "serve", database=database, port="0")
    assert second.returncode != 0
    assert str(live_hub.process.pid if live_hub.process else "") in second.stderr + second.stdout
    with live_hub.client() as client:
        assert client.get("/Users").status_code == 200


def test_all_mistakes_of_the_settings_are_told_together(tmp_path: Path):
    run = scimhub(tmp_path, "serve", port="seventy", host="0.0.0.0", page_size="0", bootstrap_token="short", nonsense="1")
    assert run.returncode == 2
    for name in ("port", "page_size", "bootstrap_token", "SCIMHUB_NONSENSE", "SCIMHUB_HOST"):
        assert name in run.stderr + run.stdout
    assert "short" not in (run.stderr + run.stdout).replace("shorter", "").replace("shortest", "")


def test_a_backup_of_a_running_hub_can_be_restored(start_hub: Callable[..., LiveHub], tmp_path: Path):
    hub = start_hub()
    with hub.client() as client:
        made = client.post("/Users", json=user("kept")).json()
        backup = scimhub(tmp_path, "backup", str(tmp_path / "copy"), database=str(hub.folder / "scimhub.db"))
        assert backup.returncode == 0, backup.stderr
        client.post("/Users", json=user("later"))
    restored = tmp_path / "restored"
    restored.mkdir()
    restore = scimhub(tmp_path, "restore", str(tmp_path / "copy"), database=str(restored / "scimhub.db"))
    assert restore.returncode == 0, restore.stderr
    second = LiveHub(restored).start()
    try:
        with second.client() as client:
            listed = client.get("/Users").json()
            assert [resource["userName"] for resource in listed["Resources"]] == ["kept"]
            # An ETag from before names nothing of today.
            stale = client.delete(f"/Users/{made['id']}", headers={"if-match": made["meta"]["version"]})
            assert stale.status_code == 412
    finally:
        second.stop()
