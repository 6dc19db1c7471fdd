"""The kit works where nothing but Python is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import scimhub.consumer

FOLDER = Path(scimhub.consumer.__file__).parent

CHECK = """
import sys
sys.path.insert(0, sys.argv[1])
import kit
from kit import Feed, Replica, parse, verify
body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
with Replica() as replica:
    replica.apply(parse({"content-type": "application/cloudevents+json"}, body))
allowed = set(sys.stdlib_module_names) | {"kit", "__main__"}
print(sorted({name.partition(".")[0] for name in sys.modules} - allowed))
"""


def test_the_folder_alone_works_and_imports_the_standard_library_only(tmp_path: Path):
    shutil.copytree(FOLDER, tmp_path / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", CHECK, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
