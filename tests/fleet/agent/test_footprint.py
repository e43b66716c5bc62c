"""The updater stays small: it loads no library of numbers, no runtime and no database, not even while it updates."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from edgewright.cli.main import group
from tiny_artifact import write_tiny

FOREIGN = {
    "numpy",
    "onnx",
    "onnxruntime",
    "onnx_ir",
    "openvino",
    "ai_edge_litert",
    "torch",
    "pandas",
    "scipy",
    "sqlalchemy",
    "fastapi",
}
COMPILER = ("edgewright.optimizer", "edgewright.ir", "edgewright.calibration", "edgewright.stats", "edgewright.cpp_bindings")
# What was imported, and what is mapped: a library that was imported and taken out of sys.modules is still there.
TELL = """
import json, sys
from pathlib import Path
from edgewright.cli.main import group
group.main(sys.argv[1:], standalone_mode=False)
print(json.dumps({"modules": sorted(sys.modules), "maps": Path("/proc/self/maps").read_text()}))
"""


def edgewright(*arguments: object) -> None:
    result = CliRunner().invoke(group, [str(item) for item in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture
def repository(tmp_path):
    edgewright("repo", "init", tmp_path / "repo")
    for number in range(2):
        edgewright("publish", write_tiny(tmp_path / f"{number}.ewa", float(number)), "--repo", tmp_path / "repo")
    return tmp_path / "repo"


def test_an_updater_that_installs_and_serves_loads_no_compiler_library(tmp_path, repository):
    arguments = ["agent", "--once", "--json", "--trial", "0", "--data", tmp_path / "device", "--model", "tiny"]
    arguments += ["--repo", repository, "--root", repository / "metadata" / "1.root.json"]
    child = [sys.executable, "-c", TELL, *map(str, arguments)]
    done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=tmp_path)
    ran, told = (json.loads(line) for line in done.stdout.splitlines())
    assert [row["version"] for row in ran["models"]] == [2]
    assert not {name.partition(".")[0] for name in told["modules"]} & FOREIGN
    assert not [name for name in told["modules"] if name.startswith(COMPILER)]
    assert "edgewright.fleet.trust.source" in told["modules"]
    assert not [name for name in FOREIGN if f"/site-packages/{name}/" in told["maps"]]
