from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner
from edgewright.cli.profiles import profiles
from edgewright.core.errors import ProfileError
from edgewright.device_profiles import loader


def run(*arguments):
    result = CliRunner().invoke(profiles, arguments, env={"COLUMNS": "80"})
    if result.exception is not None:
        raise result.exception
    return result.output


def test_list_fits_a_terminal_and_names_every_profile():
    shown = run("list")
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert all(name in shown for name in loader.known())


def test_without_rich_the_same_is_plain_text(monkeypatch):
    for name in [name for name in sys.modules if name == "rich" or name.startswith("rich.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    shown = run("list")
    assert [line.split()[0] for line in shown.splitlines()] == list(loader.known())
    shown = run("show", "raspberry-pi-5").splitlines()
    assert shown[0].startswith("raspberry-pi-5: Raspberry Pi 5")
    assert any(line.startswith("isa ") and "asimddp" in line for line in shown)


def test_list_as_json():
    assert [item["name"] for item in json.loads(run("list", "--json"))] == list(loader.known())


def test_show_gives_each_fact_with_its_source():
    shown = run("show", "raspberry-pi-5")
    assert "asimddp" in shown
    assert "product brief" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert json.loads(run("show", "raspberry-pi-5", "--json"))["sources"]["cores"]


def test_detect_and_validate(tmp_path):
    file = tmp_path / "here.toml"
    file.write_text(run("detect"))
    assert "is a valid profile" in run("validate", str(file))
    assert json.loads(run("validate", str(file), "--json")) == json.loads(run("detect", "--json"))


def test_a_detected_profile_is_called_after_its_host_or_as_one_says(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "-Büro Pi.local.lan")
    assert json.loads(run("detect", "--json"))["name"] == "B-ro-Pi"
    monkeypatch.setattr("platform.node", lambda: "")
    assert json.loads(run("detect", "--json"))["name"] == "this-machine"
    assert 'name = "shelf-3"' in run("detect", "--name", "shelf-3")
    with pytest.raises(ProfileError, match="name must be letters"):
        run("detect", "--name", "../up")


@pytest.mark.parametrize("arguments", [("show", "nothing"), ("validate", "nothing.toml")])
def test_errors_are_those_of_the_loader(arguments):
    with pytest.raises(ProfileError):
        run(*arguments)


@pytest.mark.parametrize("command", ["list", "show", "validate", "detect"])
def test_every_command_has_an_example(command):
    assert f"Example: edgewright profiles {command}" in run(command, "--help")
