"""Devices that enrol at a real control plane over HTTP, for the first time and anew."""

from __future__ import annotations

import pytest
from control.device import REPOSITORY, ROOT, Device, Roots, token_of
from control_plane import Control
from edgewright.core.canonical import digest
from edgewright.core.errors import AgentError, NetworkError, ProtocolError, VerificationError
from edgewright.fleet.agent import assembly
from edgewright.fleet.agent.assembly import Setup
from edgewright.fleet.agent.enrol import enrol, first_root
from edgewright.fleet.agent.identity import NEXT_KEY, load_identity, load_key
from edgewright.fleet.http import Answer
from edgewright.fleet.protocol.assignment import Assignment
from edgewright.fleet.protocol.enrolment import Enrolled


def test_a_device_enrols_and_trusts_the_root_of_its_token(control, device):
    identity = device.enrol(control)
    assert identity == load_identity(device.disk)
    assert identity.repository == REPOSITORY
    assert first_root(device.disk) == ROOT
    (known,) = control.store.devices()
    assert known["device"] == identity.device
    assert known["facts"]["arch"]
    assert (device.folder / "key.pem").stat().st_mode & 0o077 == 0


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_token(control, device):
    token = token_of(control)
    with pytest.raises(VerificationError, match=r"no root\.json"):
        device.enrol(control, token, roots=())  # the server has enrolled it; the device got no root
    assert load_identity(device.disk) is None
    assert device.enrol(control, token).device == control.store.devices()[0]["device"]
    assert len(control.store.devices()) == 1


def test_a_root_that_is_newer_than_the_token_does_not_hide_the_tokens(control, device):
    device.enrol(control, token_of(control, b"second"), roots=(ROOT, b"second", b"third"))
    assert first_root(device.disk) == b"second"


def test_another_root_than_the_tokens_is_not_trusted(control, device):
    with pytest.raises(VerificationError, match="has no root"):
        device.enrol(control, roots=(b"of a thief",))
    assert load_identity(device.disk) is None


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda control, token: "x" * 30 + token[token.index(".") :], "the token is unknown"),
        (lambda control, token: "short", "the token is not whole"),
        (lambda control, token: setattr(control.clock, "ahead_s", 3600.0) or token, "the token is expired"),
    ],
)
def test_a_token_that_is_none_enrols_nobody(control, device, spoil, sentence):
    with pytest.raises(ProtocolError, match=sentence):
        device.enrol(control, spoil(control, token_of(control)))
    assert control.store.devices() == []


def test_a_token_is_good_once(control, device, tmp_path):
    token = token_of(control)
    device.enrol(control, token)
    with pytest.raises(ProtocolError, match="used by another device"):
        Device(tmp_path / "other").enrol(control, token)


def test_a_server_that_is_not_there_is_one_sentence(device):
    with pytest.raises(NetworkError, match="cannot be reached"):
        enrol(device.disk, device.http, "http://127.0.0.1:1", f"{'x' * 32}.{digest(ROOT)}")


def test_damaged_records_are_told(device):
    device.disk.write("key.pem", b"no key")
    device.disk.write("identity.json", b"{}")
    with pytest.raises(AgentError, match="is no Ed25519"):
        load_key(device.disk)
    with pytest.raises(AgentError, match="damaged"):
        load_identity(device.disk)


def setup(device, control, **given):
    return Setup(device.folder, **{"server": control.url, "repository": str(device.folder), **given})


def enrolled_as(device, control, monkeypatch, roots=(ROOT,), **given):
    """The identity that an agent with these options has."""
    monkeypatch.setattr("edgewright.fleet.agent.enrol._origin", lambda http, repository, origin_of: Roots(*roots))
    return assembly._identity(setup(device, control, **given), device.disk, device.http)


@pytest.mark.parametrize("profiles", [(), ("raspberry-pi-4b",), ("raspberry-pi-4b", "arm64-linux")])
def test_a_device_tells_what_it_is_called_by(control, device, monkeypatch, profiles):
    attributes = {"site": "lab", "host": "named by hand"}
    enrolled_as(device, control, monkeypatch, token=token_of(control), profiles=profiles, attributes=attributes)
    (known,) = control.store.devices()
    facts = known["facts"]
    assert (facts["site"], facts["host"]) == ("lab", "named by hand")
    assert int(facts["ram_mb"]) > 0
    # Of several profiles none says what the device is.
    assert facts.get("profile") == (profiles[0] if len(profiles) == 1 else None)


@pytest.mark.parametrize("trouble", ["revoked", "damaged identity", "damaged key", "no key"])
def test_a_fresh_token_enrols_a_device_anew(control, enrolled, monkeypatch, trouble):
    first = load_identity(enrolled.disk).device
    if trouble == "revoked":
        control.store.revoke(first, "test")
    else:
        enrolled.disk.write("identity.json" if trouble == "damaged identity" else "key.pem", b"rotten")
    if trouble == "no key":
        enrolled.disk.remove("key.pem")
    identity = enrolled_as(enrolled, control, monkeypatch, token=token_of(control))
    assert identity == load_identity(enrolled.disk)
    assert (identity.device == first) == (trouble == "damaged identity")
    assert enrolled.server.assignment() == Assignment()
    assert enrolled.disk.size(NEXT_KEY) is None


def test_a_token_that_was_used_here_before_is_left_alone(control, device, monkeypatch):
    token = token_of(control)
    before = enrolled_as(device, control, monkeypatch, token=token)
    key = load_key(device.disk).public
    assert enrolled_as(device, control, monkeypatch, token=f" {token}") == before
    control.store.revoke(before.device, "test")
    assert enrolled_as(device, control, monkeypatch, token=token) == before
    assert load_key(device.disk).public == key


def test_a_device_that_cannot_enrol_anew_goes_on_as_what_it_is(control, enrolled, monkeypatch):
    before, key = load_identity(enrolled.disk), load_key(enrolled.disk).public
    for token in ("short", f"{'x' * 30}.{digest(ROOT)}", token_of(control, b"of a thief")):
        assert enrolled_as(enrolled, control, monkeypatch, token=token) == before
    assert enrolled_as(enrolled, control, monkeypatch, token=token_of(control), server="http://127.0.0.1:1") == before
    assert load_key(enrolled.disk).public == key
    assert enrolled.server.assignment() == Assignment()


def test_a_server_of_another_address_moves_a_device_with_a_token_only(control, enrolled, monkeypatch, tmp_path, caplog):
    before = load_identity(enrolled.disk)
    assert enrolled_as(enrolled, control, monkeypatch, server="http://elsewhere") == before
    assert "a fresh --token" in caplog.text
    other = Control(tmp_path / "other", REPOSITORY)
    try:
        enrolled.disk.make_folder("trust/roles")
        for name in ("root.json", "roles/x.json", "time.json"):
            enrolled.disk.write(f"trust/{name}", b"of the repository before")
        token = token_of(other, b"second")
        moved = enrolled_as(enrolled, other, monkeypatch, (ROOT, b"second"), token=token)
        assert (moved.server, moved.device) == (other.url, before.device)
        assert first_root(enrolled.disk) == b"second"
        assert enrolled.disk.names("trust") == ["first-root.json", "roles", "time.json"]
        assert enrolled.disk.names("trust/roles") == []
        assert enrolled.server.assignment() == Assignment()
    finally:
        other.close()


def test_a_server_that_gives_a_device_another_name_is_not_believed(device, monkeypatch):
    answer = Enrolled("somebody-else", REPOSITORY).encode()
    monkeypatch.setattr(device.http, "post", lambda *given, **named: Answer(200, {}, answer))
    with pytest.raises(ProtocolError, match="not by its key"):
        enrol(device.disk, device.http, "http://x", f"{'x' * 32}.{digest(ROOT)}", {REPOSITORY: Roots(ROOT)})
    assert load_identity(device.disk) is None
