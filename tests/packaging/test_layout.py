"""The house holds together: one list of rooms, imports that every tool can follow, files that one can read, known names."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import edgewright
import pytest
from edgewright.cli.main import _EXTRAS
from edgewright.device_profiles.loader import validate
from edgewright.runtimes.bench.compare import TOLERANCE
from edgewright.stats.spending import alpha_of_look

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WHEEL = PROJECT["tool"]["scikit-build"]["wheel"]["packages"]
ROOMS = sorted(place for place in WHEEL.values() if "." not in place)
MOST_LINES = 450
LONGER = {
    "tests/rewrites/test_canonicalize.py": "one expected text a rewrite, read beside the rewrite's own",
}


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def test_the_wheel_the_links_and_the_layers_list_the_same_rooms() -> None:
    links = ROOT / ".namespace" / "edgewright"
    if not links.is_dir():
        pytest.skip("the folder of links is for development only and is not here")
    assert {f"edgewright/{path.name}": os.readlink(path).removeprefix("../../") for path in links.iterdir()} == WHEEL
    contract = next(item for item in PROJECT["tool"]["importlinter"]["contracts"] if item["type"] == "layers")
    layers = [name.strip() for layer in contract["layers"] for name in layer.split("|")]
    assert sorted(layers) == [f"edgewright.{room}" for room in ROOMS]


def test_every_room_is_a_package_whose_init_only_says_what_it_is() -> None:
    for file in _files(*ROOMS):
        if file.name == "__init__.py":
            body = ast.parse(file.read_text("utf-8")).body
            assert len(body) == 1, file
            assert isinstance(body[0], ast.Expr), file
        else:
            assert (file.parent / "__init__.py").exists(), f"{file.parent} has no __init__.py"


def test_a_shipped_profile_lies_in_a_file_of_its_name() -> None:
    for file in sorted((ROOT / "device_profiles").glob("*.toml")):
        assert validate(file).name == file.stem, f"{file} names its profile otherwise; `--profile {file.stem}` would lie"


@pytest.mark.parametrize("room", [*ROOMS, "__init__.py"])
def test_imports_within_the_package_are_relative(room: str) -> None:
    found = []
    for file in _files(room) if (ROOT / room).is_dir() else [ROOT / room]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            outside = {"edgewright", "tests", "benchmarks", *ROOMS}
            found += [f"{file.relative_to(ROOT)}:{node.lineno}" for name in names if name.split(".")[0] in outside]
    assert not found


def test_files_stay_short_enough_to_be_read() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines())
        for file in _files(*ROOMS, "tests", "benchmarks", "docs")
    }
    assert {name for name, lines in lengths.items() if lines > MOST_LINES} <= set(LONGER)
    assert all(lengths[name] > MOST_LINES for name in LONGER), "a file is short again; take it off the list"


def test_the_public_names_are_these() -> None:
    assert sorted(edgewright.__all__) == ["Model", "Pipeline", "__version__", "compile"]
    assert edgewright.__version__ == PROJECT["project"]["version"]
    for name in edgewright.__all__:
        assert getattr(edgewright, name) is not None
    with pytest.raises(AttributeError, match="'edgewright' has no attribute 'compil'"):
        _ = edgewright.compil  # type: ignore[attr-defined]


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, edgewright; print(sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(re.findall(r"'(\w+)'", done.stdout)) & {"numpy", "onnx", "onnx_ir", "onnxruntime", "openvino", "torch"}


def test_the_readme_tells_what_the_first_look_spends() -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    first = alpha_of_look(1, 0.05)
    assert f"the first look at the data spends {first:.0%}".replace("%", " %") in text
    assert f"a {1 - first:.0%} bound".replace("%", " %") in text
    assert f"the ratio is at most {TOLERANCE}," in text


@pytest.mark.parametrize(("given", "found"), [(None, "1"), ("0", "0")])
def test_onnxruntime_reports_to_nobody_unless_the_user_says_so(given, found) -> None:
    env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    env |= {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    code = "import os, edgewright; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found


def test_the_version_is_that_of_the_project_and_a_commands_extra_is_one_of_its() -> None:
    assert edgewright.__version__ == PROJECT["project"]["version"]
    assert set(_EXTRAS.values()) <= set(PROJECT["project"]["optional-dependencies"])
