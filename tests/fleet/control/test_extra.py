"""The extra `server` installs what the control plane imports."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
BROUGHT_BY = {"starlette": "fastapi"}


def imported(path):
    """Top-level names of other packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def test_the_extra_installs_what_the_control_plane_imports():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = {re.match(r"[\w-]+", line)[0] for line in extras["server"]}
    files = [*(ROOT / "fleet" / "control").glob("*.py"), ROOT / "cli" / "control.py"]
    needed = {name for path in files for name in imported(path)} - sys.stdlib_module_names
    assert {"cryptography", "fastapi"} <= needed
    assert {BROUGHT_BY.get(name, name) for name in needed} <= installed
