"""What a device is set up with fits the command line: the unit, the container's file, the page that tells how to install."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edgewright.cli.agent import agent

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "docs" / "fleet"
UNIT = FLEET / "systemd" / "edgewright-agent.service"
CONTAINER = (FLEET / "Containerfile").read_text("utf-8")
PAGE = (FLEET / "install.md").read_text("utf-8")
OPTIONS = {name for item in agent.params for name in item.opts}


def service() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text("utf-8"))
    return dict(parser["Service"])


def check_options(words: list[str]) -> None:
    """Each is one of `edgewright agent`, and what needs a value has one."""
    used = [word for word in words if word.startswith("--")]
    assert used
    assert set(used) <= OPTIONS
    agent.make_context("agent", [*words, "--data", "somewhere"]).close()


def test_the_unit_starts_the_agent_with_options_that_it_has() -> None:
    unit = service()
    program, command, *words = shlex.split(unit["ExecStart"])
    assert (Path(program).name, command) == ("edgewright", "agent")
    check_options([word for word in words if not word.startswith("$")])
    assert words[words.index("--data") + 1] == f"/var/lib/{unit['StateDirectory']}" == unit["WorkingDirectory"]
    variable = next(word for word in words if word.startswith("$")).lstrip("$")
    told = re.search(rf"'{variable}=\"(.*)\"' *$", PAGE, re.MULTILINE)
    assert told is not None
    check_options(shlex.split(told[1]))


def test_unit_and_container_keep_the_runtime_from_telling_its_maker() -> None:
    assert service()["Environment"] == "ORT_DISABLE_TELEMETRY=1"
    assert "\nENV ORT_DISABLE_TELEMETRY=1\n" in CONTAINER


def test_the_unit_lets_a_worker_die_alone() -> None:
    unit = service()
    assert (unit["OOMPolicy"], unit["KillMode"], unit["Restart"]) == ("continue", "mixed", "always")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace(shlex.split(service()["ExecStart"])[0], sys.executable), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_starts_the_agent_in_its_volume() -> None:
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", CONTAINER, re.MULTILINE)
    assert entry is not None
    _, command, *words = json.loads(entry[1])
    assert command == "agent"
    check_options(words)
    assert f"VOLUME {words[words.index('--data') + 1]}\n" in CONTAINER
    assert re.search(r"^USER (?!0|root)\S+$", CONTAINER, re.MULTILINE)


def test_container_and_page_install_extras_that_the_package_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    runtime = re.search(r"^ARG RUNTIME=(\w+)$", CONTAINER, re.MULTILINE)
    assert runtime is not None
    for text in (CONTAINER.replace("${RUNTIME}", runtime[1]), PAGE):
        (extras,) = re.findall(r"edgewright-.*\.whl\)?\[([\w,]+)\]", text)
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("row", re.findall(r"^\| [^|]+ \| `(--.*)` \|$", PAGE, re.MULTILINE))
def test_the_page_names_options_that_the_agent_has(row: str) -> None:
    check_options(shlex.split(row))


def test_the_page_starts_a_container_with_options_that_the_agent_has() -> None:
    (words,) = re.findall(r"^ .* edgewright-agent (--.*)$", PAGE, re.MULTILINE)
    check_options(shlex.split(words))
