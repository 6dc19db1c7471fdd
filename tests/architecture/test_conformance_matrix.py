"""Every MUST of areas 1 to 9 has a test or a permitted reason, and docs/conformance.md says what the tests say."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.ci
def test_the_matrix_is_complete_and_up_to_date():
    # In a process of its own: it collects the whole suite, whichever part of it is being run here.
    check = subprocess.run([sys.executable, "-m", "tests.conformance", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
