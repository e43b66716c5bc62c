"""`edgewright serve`: what a person sees who starts it, asks it, stops it, or asks for what cannot be."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edgewright.cli import main
from edgewright.fleet.serve.client import Client


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """(one that answers as it should, one that does not)."""
    helpers = str(Path(__file__).parents[1] / "fleet")
    sys.path.append(helpers)
    from tiny_artifact import write_tiny

    folder = tmp_path_factory.mktemp("served")
    yield write_tiny(folder / "good.ewa", 1.0), write_tiny(folder / "wrong.ewa", 1.0, wrong=True)
    sys.path.remove(helpers)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main.main(["serve", *arguments])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(artifacts: tuple[Path, Path], number: signal.Signals) -> None:
    command = [sys.executable, "-m", "edgewright.cli.main", "serve", str(artifacts[0]), "--port", "0", "--json", "--name", "m"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["model"] == "m"
    with Client(told["port"], "m") as client:
        assert client.infer({"x": np.zeros((1, 4), np.float32)})["y"].tolist() == [[1, 1, 1]]
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert not Path(f"/proc/{told['pid']}").exists()


def test_one_that_answers_otherwise_is_not_served(
    artifacts: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = refused(capsys, str(artifacts[1]), "--port", "0")
    assert said.startswith("error[E-RUNTIME]")
    assert "outside the tolerance" in said


def test_requests_that_cannot_be(artifacts: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = str(artifacts[0])
    assert "--socket PATH or --port N" in refused(capsys, good)
    assert "--socket PATH or --port N" in refused(capsys, good, "--port", "0", "--socket", "x")
    assert "batch is fixed" in refused(capsys, good, "--port", "0", "--batch", "4")
    assert "E-ARTIFACT" in refused(capsys, str(tmp_path / "missing.ewa"), "--port", "0")
    assert "cannot listen at" in refused(capsys, good, "--socket", str(tmp_path / "no" / "such.sock"))
    assert "shorter" in refused(capsys, good, "--socket", "/tmp/" + "x" * 120)
    assert "E-PROTOCOL" in refused(capsys, good, "--port", "0", "--name", "../m")
