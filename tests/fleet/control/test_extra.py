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
BROUGHT_BY = {"nacl": "pynacl", "starlette": "fastapi", "markupsafe": "jinja2", "pydantic": "fastapi"}
# What the control plane imports of other rooms that imports other packages: the signed repository, and requests to it.
ROOMS = ("fleet/http.py", "fleet/deadline.py", "fleet/trust/client.py", "fleet/trust/source.py", "fleet/trust/origin.py")


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
    commands = [ROOT / "cli" / f"{name}.py" for name in ("server", "devices", "group", "rollout", "people", "audit", "remote")]
    files = [*(ROOT / "fleet" / "control").rglob("*.py"), *commands, *(ROOT / room for room in ROOMS)]
    needed = {name for path in files for name in imported(path)} - sys.stdlib_module_names
    assert {"fastapi", "tuf"} <= needed
    assert {BROUGHT_BY.get(name, name) for name in needed} <= installed
