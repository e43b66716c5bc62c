"""`edgewright repo` and `edgewright publish` as a user has them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "fleet"))
from tiny_artifact import write_tiny

Edge = Callable[..., Any]
VARIABLE = "EDGEWRIGHT_KEY_PASSPHRASE"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two commands, and no passphrase from outside."""
    commands = importlib.import_module("edgewright.cli.main")._COMMANDS
    monkeypatch.setitem(commands, "repo", ("repo", "Make and tend a signed repository."))
    monkeypatch.setitem(commands, "publish", ("publish", "Publish artifacts to a signed repository."))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def made(edge: Edge, tmp_path: Path) -> Path:
    """A repository with two root keys; its keys lie beside it."""
    assert edge("repo", "init", "repo", "--root-keys", 2).code == 0
    return tmp_path / "repo"


def answer(found: Any) -> Any:
    assert (found.code, found.err) == (0, ""), found
    return json.loads(found.out)


def test_from_nothing_to_published_in_two_commands(edge: Edge, tmp_path: Path) -> None:
    first = edge("repo", "init", "repo/")
    assert first.code == 0
    assert "1.root.json: what devices are given" in first.out
    assert "not encrypted" in first.out
    assert (tmp_path / "repo.keys" / "offline").is_dir()
    write_tiny(tmp_path / "one.ewa", 1.0)
    assert edge("publish", "one.ewa", "--repo", "repo/").out.startswith("new   tiny/x86-64-avx2/1.ewa  ")
    write_tiny(tmp_path / "two.ewa", 2.0)
    second = edge("publish", "two.ewa", "--repo", "repo/")
    assert "new   tiny/x86-64-avx2/2.ewa" in second.out
    assert "patch from" in second.out
    assert edge("publish", "two.ewa", "--repo", "repo/").out.startswith("there tiny/x86-64-avx2/2.ewa")


def test_every_command_answers_in_json(edge: Edge, made: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "one.ewa", 1.0)
    (published,) = answer(edge("publish", "one.ewa", "--repo", made, "--json", "--version", 4, "--model", "other"))["published"]
    assert (published["name"], published["is_new"], published["role"]) == ("other/x86-64-avx2/4.ewa", True, "targets")
    (canary,) = answer(edge("publish", "one.ewa", "--repo", made, "--json", "--canary"))["published"]
    assert (canary["name"], canary["role"]) == ("canary/tiny/x86-64-avx2/1.ewa", "canary")
    rotated = answer(edge("repo", "rotate", made, "timestamp", "--json"))
    assert len(rotated["made"]) == len(rotated["revoked"]) == 1
    assert answer(edge("repo", "rotate", made, "root", "--keep", "--threshold", 2, "--json"))["made"] == []
    assert answer(edge("repo", "refresh", made, "--json"))["expire_soon"] == {}
    state = answer(edge("repo", "status", made, "--json"))
    roles = {role["role"]: role for role in state["roles"]}
    assert (roles["root"]["threshold"], len(roles["root"]["keys"]), roles["root"]["version"]) == (2, 2, 3)
    assert [key["keyid"] for key in roles["timestamp"]["keys"]] == rotated["keys"]
    assert {item["name"] for item in state["artifacts"]} == {published["name"], canary["name"]}
    assert (state["damaged"], state["is_cut"]) == ([], False)
    assert published["name"] in answer(edge("repo", "withdraw", made, published["name"], "--json"))["withdrawn"]
    files = answer(edge("repo", "init", "other", "--json", "--days", "timestamp=2"))
    assert len(files["keys"]["root"]) == 1
    status = answer(edge("repo", "status", "other", "--json"))
    assert 1.9 < next(role["days_left"] for role in status["roles"] if role["role"] == "timestamp") <= 2


def test_the_listing_of_a_repository(edge: Edge, made: Path, tmp_path: Path) -> None:
    assert "nothing is published yet" in edge("repo", "status", made).out
    write_tiny(tmp_path / "one.ewa", 1.0)
    edge("publish", "one.ewa", "--repo", made)
    listing = edge("repo", "status", made).out
    assert "tiny/x86-64-avx2/1.ewa  onnxruntime float32" in listing
    assert listing.count("(here)") == 6
    next(made.rglob("*.1.ewa")).unlink()
    assert "damaged    tiny/x86-64-avx2/1.ewa" in edge("repo", "status", made).out


def test_a_refresh_tells_which_offline_roles_expire_soon(edge: Edge) -> None:
    edge("repo", "init", "repo", "--days", "targets=20")
    assert "targets expires on" in edge("repo", "refresh", "repo").out
    assert set(answer(edge("repo", "refresh", "repo", "--json"))["expire_soon"]) == {"targets"}


def test_a_passphrase_comes_from_the_environment(edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge("repo", "init", "repo", "--encrypt").refused("E-USAGE", "new offline keys", VARIABLE)
    monkeypatch.setenv(VARIABLE, "")
    edge("repo", "init", "repo", "--encrypt").refused("E-USAGE", "empty")
    monkeypatch.setenv(VARIABLE, "correct horse")
    assert edge("repo", "init", "repo", "--encrypt").code == 0
    write_tiny(tmp_path / "one.ewa", 1.0)
    monkeypatch.setenv(VARIABLE, "wrong")
    edge("publish", "one.ewa", "--repo", "repo").refused("E-USAGE", "does not open the key", "targets-")
    monkeypatch.delenv(VARIABLE)
    edge("publish", "one.ewa", "--repo", "repo").refused("E-USAGE", "targets-", VARIABLE)
    monkeypatch.setenv(VARIABLE, "correct horse")
    assert edge("publish", "one.ewa", "--repo", "repo").code == 0


def test_refusals(edge: Edge, made: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "one.ewa", 1.0)
    (tmp_path / "bad.ewa").write_bytes(b"PK")
    edge("publish", "one.ewa", "--repo", "https://example.org/repo").refused("E-USAGE", "is an address", "in a folder")
    edge("publish", "one.ewa", "--repo", "nowhere").refused("E-USAGE", "no repository", "repo init")
    edge("publish", "bad.ewa", "--repo", made).refused("E-ARTIFACT", "bad.ewa")
    edge("publish", "one.ewa").refused("E-USAGE", "--repo")
    edge("publish", "--repo", made).refused("E-USAGE", "ARTIFACTS")
    edge("publish", "one.ewa", "--repo", made, "--version", 0).refused("E-USAGE", "--version")
    edge("publish", "one.ewa", "--repo", made, "--model", "two words").refused("E-PROTOCOL", "two words")
    edge("publish", "one.ewa", "--repo", made, "--keys", "empty").refused("E-USAGE", "targets-", "--keys")
    edge("publish", "one.ewa", "--repo", made, "--keys", made / "keys").refused("E-USAGE", "would be published")
    edge("repo", "init", made).refused("E-USAGE", "not empty")
    edge("repo", "init", "new", "--root-keys", 2, "--root-threshold", 3).refused("E-USAGE", "3 of 2 keys")
    edge("repo", "init", "new", "--days", "rot=3").refused("E-USAGE", "did you mean 'root'")
    edge("repo", "init", "new", "--days", "root=soon").refused("E-USAGE", "root=365")
    edge("repo", "rotate", made, "timestmp").refused("E-USAGE", "did you mean 'timestamp'")
    edge("repo", "rotate", made, "root", "--keep", "--revoke", "a").refused("E-USAGE", "exclude each other")
    edge("repo", "refresh", made, "--role", "target").refused("E-USAGE", "did you mean 'targets'")
    edge("repo", "withdraw", made, "tiny/x/1.ewa").refused("E-USAGE", "none is published")
    edge("repo", "status", "nowhere").refused("E-USAGE", "no repository")
    (made / "metadata" / "timestamp.json").write_bytes(b"{}")
    edge("repo", "status", made).refused("E-VERIFY", "timestamp", "restore")


@pytest.mark.parametrize("command", ["publish", "repo init", "repo rotate", "repo refresh", "repo status", "repo withdraw"])
def test_help_has_an_example(edge: Edge, command: str) -> None:
    assert f"Example: edgewright {command} " in edge(*command.split(), "--help").out
