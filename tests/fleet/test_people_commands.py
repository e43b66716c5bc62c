"""The commands that ask a running server: what they do, what they print, what they refuse."""

from __future__ import annotations

import json
import platform

import click
import pytest
from commands import Asked, edgewright
from control.device import Device
from control_plane import Control
from edgewright.cli.main import group
from edgewright.core.canonical import digest
from edgewright.core.errors import EdgewrightError, NetworkError, UsageError
from edgewright.fleet.agent.identity import load_identity
from edgewright.fleet.control.tables import ARTIFACTS
from edgewright.fleet.protocol.report import Report

COMMANDS = ("server", "devices", "drift", "group", "rollout", "people", "audit")
SHA256 = digest(b"an artifact")


@pytest.fixture
def control(tmp_path):
    (tmp_path / "root.json").write_bytes(b"root")
    found = Control(tmp_path / "control", root=tmp_path / "root.json")
    yield found
    found.close()


@pytest.fixture
def asked(control, tmp_path):
    return Asked(control, tmp_path / "me.token")


@pytest.fixture
def device(control, tmp_path):
    """Name of a device that enrolled and runs version 3."""
    found = Device(tmp_path / "device")
    found.enrol(control)
    name = load_identity(found.disk).device
    values = {
        "name": "digits/pi/3.ewa", "model": "digits", "version": 3, "profile": "pi", "is_canary": False, "sha256": SHA256,
        "length": 1, "offer": json.dumps({"arch": platform.machine()}), "first_seen_at": 0.0,
    }  # fmt: skip
    with control.database.transaction() as connection:
        connection.execute(ARTIFACTS.insert().values(**values))
    control.store.take(Report(name, "1-a", 1, "digits", SHA256, None, "Idle", "SUCCESSFUL", "all is well", 0.0))
    return name


def every_command():
    """Names of all commands for people, with the command."""
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in command.commands.items())
        else:
            yield name, command


def test_every_command_has_an_example_and_json():
    found = dict(every_command())
    assert len(found) > 25
    for name, command in found.items():
        assert f"Example: edgewright {name}" in command.help, name
        assert any("--json" in option.opts for option in command.params), name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name


def test_devices_are_listed_shown_called_and_revoked(asked, device):
    assert "version 3" in asked("devices", "list")
    assert asked("devices", "set", device, "site=lab", "room=2") == f"{device}: room=2 site=lab\n"
    assert asked("devices", "set", device, "room=", "note=a = b") == f"{device}: note=a = b site=lab\n"
    assert device in asked("devices", "list", "--where", "site = lab and model.digits = 3")
    assert asked("devices", "list", "--where", "site = roof") == "none\n"
    shown = asked("devices", "show", device)
    assert "all is well" in shown
    assert "lab" in shown
    asked("devices", "assign", device, "digits", "--sha256", SHA256)
    assert SHA256[:12] in asked("devices", "show", device)
    assert "attempt 1" in asked("devices", "assign", device, "digits", "--follow")
    asked("devices", "take-back", device, "digits")
    assert "newest (taken back)" in asked("devices", "show", device)
    asked("devices", "revoke", device)
    assert "revoked" in asked("devices", "list")
    assert json.loads(asked("devices", "show", device, "--json"))["is_revoked"] is True


def test_a_list_is_read_page_by_page(asked, control, monkeypatch):
    from edgewright.fleet.protocol.enrolment import Enrolment

    for number in range(7):
        secret = control.store.make_token(60.0, "test")
        control.store.enrol(Enrolment(secret, number.to_bytes(32, "big"), {}))
    few = [item["device"] for item in json.loads(asked("devices", "list", "--limit", "3", "--json"))["devices"]]
    many = [item["device"] for item in json.loads(asked("devices", "list", "--json"))["devices"]]
    assert few == many[:3]
    assert len(set(many)) == 7
    places = [entry["place"] for entry in json.loads(asked("audit", "--after", "2", "--limit", "5", "--json"))["entries"]]
    assert places == [3, 4, 5, 6, 7]


def test_a_token_of_enrol_names_the_root(asked, control, tmp_path):
    token = asked("devices", "enrol", "--days", "1").strip()
    assert token.endswith("." + digest(b"root"))
    found = Device(tmp_path / "device")
    found.enrol(control, token, roots=(b"root",))
    assert load_identity(found.disk).device in asked("devices", "list")


def test_groups(asked, device):
    asked("devices", "set", device, "site=lab")
    assert asked("group", "set", "beta", "site = lab") == "beta: site = lab\n"
    assert asked("group", "show", "beta") == "beta: site = lab (1 now)\n"
    assert device in asked("devices", "list", "--where", "group = beta")
    assert "beta" in asked("group", "list")
    asked("group", "remove", "beta")
    assert "no group is there" in asked("group", "list")


def test_people_and_the_audit_log(asked, control, tmp_path):
    token = asked("people", "add", "anna", "--role", "operator").strip()
    (tmp_path / "anna.token").write_text(token)
    as_anna = ("--server", control.url, "--token-file", tmp_path / "anna.token")
    edgewright("group", "set", "hers", "", *as_anna)
    with pytest.raises(UsageError, match="needs the role admin, and your token has operator"):
        edgewright("people", "list", *as_anna)
    assert "anna" in asked("people", "list")
    asked("people", "revoke", "anna")
    with pytest.raises(UsageError, match="neither expired nor revoked"):
        edgewright("group", "list", *as_anna)
    log = asked("audit")
    assert "anna" in log
    assert "set-group" in log
    assert token not in log
    assert "hold together" in asked("audit", "--verify")


def test_a_preview_does_nothing(asked, device):
    told = asked("rollout", "create", "digits", "--version", "3", "--canary", "1", "--preview")
    assert "it runs the version already" in told
    assert device in told
    assert asked("rollout", "list") == "no rollout was made\n"
    told = asked("rollout", "create", "digits", "--version", "9", "--canary", "1", "--preview")
    assert "version 9 of 'digits' is not signed yet" in told


def test_a_rollout_is_made_looked_at_and_ended(asked, device):
    told = asked("rollout", "create", "digits", "--version", "3", "--canary", "1", "--then", "50%", "--guard", "errors <= +1pt")
    assert told.startswith("rollout 1: digits version 3")
    assert "note: " in told
    found = json.loads(asked("rollout", "status", "1", "--json"))
    assert [(stage["count"], stage["share"]) for stage in found["plan"]["stages"]] == [(1, 1.0), (None, 0.5), (None, 1.0)]
    assert found["plan"]["guards"] == ["errors <= +1pt"]
    assert "digits 3" in asked("rollout", "list")
    with pytest.raises(UsageError, match="rollout"):
        asked("rollout", "create", "digits", "--version", "3", "--canary", "5%")
    assert "paused" in asked("rollout", "pause", "1")
    assert "resumed" in asked("rollout", "resume", "1")
    assert "aborted" in asked("rollout", "abort", "1")
    assert "aborted" in asked("rollout", "status", "1", "--watch", code=2)
    with pytest.raises(UsageError, match="aborted"):
        asked("rollout", "promote", "1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("devices", "show", "nobody"), "no device is called 'nobody'"),
        (("devices", "set", "nobody", "a=1"), "no device is called 'nobody'"),
        (("devices", "revoke", "nobody"), "no device is called 'nobody'"),
        (("devices", "assign", "nobody", "m", "--follow"), "no device is called 'nobody'"),
        (("devices", "assign", "nobody", "m"), "say what shall run"),
        (("devices", "assign", "nobody", "m", "--sha256", "12"), "is no SHA-256"),
        (("devices", "take-back", "nobody", "m"), "no device is called 'nobody'"),
        (("devices", "list", "--where", "site ="), "cannot be read at character 7"),
        (("group", "show", "none"), "no group is called 'none'"),
        (("group", "remove", "none"), "no group is called 'none'"),
        (("group", "set", "a", "group = b"), "asks for no other group"),
        (("people", "revoke", "nobody"), "nobody is called 'nobody'"),
        (("rollout", "status", "9"), "no rollout has the number 9"),
        (("rollout", "abort", "9"), "no rollout has the number 9"),
        (("rollout", "create", "m", "--version", "1", "--canary", "0%"), "cannot be read"),
        (("rollout", "create", "m", "--version", "1", "--canary", "5%", "--then", "5%"), "reaches nobody"),
        (("rollout", "create", "m", "--version", "1", "--canary", "5%", "--allowed", "3"), "is no share"),
        (("rollout", "create", "m", "--version", "1", "--canary", "5%", "--observe", "3"), "is no time"),
        (("rollout", "create", "m", "--version", "1", "--canary", "5%", "--guard", "errors"), "the guard 'errors'"),
        (("rollout", "create", "m", "--version", "1", "--canary", "5%", "--window", "never"), "the maintenance window"),
        (("rollout", "create", "m", "--version", "1", "--canary", "5% of site", "--to", ""), "cannot be read at character"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(asked, arguments, sentence):
    with pytest.raises(EdgewrightError, match=sentence) as found:
        asked(*arguments)
    assert "\n" not in str(found.value)


def test_a_device_that_is_there_refuses_what_is_no_attribute(asked, device):
    with pytest.raises(UsageError, match="formed by the server itself"):
        asked("devices", "set", device, "group=beta")
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        asked("devices", "set", device, "beta")


@pytest.mark.parametrize(
    ("server", "token", "error", "sentence"),
    [
        (None, "ew_x", UsageError, "say which server to ask"),
        ("http://127.0.0.1:1", None, UsageError, "a token is needed"),
        ("http://127.0.0.1:1", "two words", UsageError, "the token is none"),
        ("http://127.0.0.1:1", "ew_x", NetworkError, "cannot be asked"),
        ("http://control.example.org", "ew_x", UsageError, "in the clear"),
        ("ftp://127.0.0.1", "ew_x", UsageError, "is no web address"),
        ("http://[", "ew_x", UsageError, "is no web address"),
    ],
)
def test_a_server_that_cannot_be_asked_is_one_sentence_without_the_token(server, token, error, sentence):
    given = {"EDGEWRIGHT_SERVER": server, "EDGEWRIGHT_TOKEN": token}
    with pytest.raises(error, match=sentence) as found:
        edgewright("devices", "list", **given)
    assert token is None or token not in str(found.value)


def test_another_server_than_this_is_one_sentence(control):
    given = {"EDGEWRIGHT_SERVER": f"{control.url}/v1", "EDGEWRIGHT_TOKEN": "ew_x"}
    with pytest.raises(NetworkError, match="answers with 404"):
        edgewright("devices", "list", **given)
    with pytest.raises(UsageError, match="cannot read the token"):
        edgewright("devices", "list", "--token-file", "none.token", **given)
    with pytest.raises(UsageError, match="neither expired nor revoked"):
        edgewright("devices", "list", **{**given, "EDGEWRIGHT_SERVER": control.url})
