"""The recorded dialects of real identity providers, replayed against a live hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.live import ROOT, TOKEN, LiveHub

VECTORS = Path(os.environ.get("SCIMHUB_VECTORS") or ROOT.parent / "shared" / "vectors")


@pytest.mark.skipif(
    not (VECTORS / "run.py").exists(), reason=f"no vectors in {VECTORS}; name their folder with SCIMHUB_VECTORS"
)
@pytest.mark.requirement(
    "IDP-01",
    "IDP-02",
    "IDP-03",
    "IDP-04",
    "IDP-05",
    "IDP-06",
    "IDP-07",
    "IDP-08",
    "IDP-09",
    "IDP-10",
    "IDP-11",
    "IDP-12",
    "IDP-13",
    "IDP-16",
)
def test_what_real_identity_providers_send_is_understood(live_hub: LiveHub):
    replay = subprocess.run(
        [sys.executable, str(VECTORS / "run.py"), "--base-url", live_hub.scim_url, "--token", TOKEN, "--quiet"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert replay.returncode == 0, replay.stdout[-8000:] + replay.stderr[-2000:]
    assert replay.stdout.rstrip().endswith(" 0 failed")
