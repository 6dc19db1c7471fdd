"""What an operator sees: health, metrics, the first start, mistakes in the settings, a second process."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.end_to_end.live import ROOT, LiveHub, user


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
