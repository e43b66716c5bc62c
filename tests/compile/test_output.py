"""What a compile leaves behind: all of its files or none of them, and a ledger that is known to be writable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.core.errors import StoreError
from edgewright.device_profiles.loader import load, to_toml
from edgewright.optimizer import compile as module
from edgewright.optimizer import prepare
from edgewright.optimizer.compile import CompileResult
from edgewright.optimizer.recipe import read_recipe

REMOTE = "arm64-linux"


def _compile(digits: tuple[Path, Path], folder: Path, **options: Any) -> CompileResult:
    """Compile into `folder`; the step store is one for all, beside the digits, unless a test is about what it holds."""
    if not (folder / "data.npz").exists():
        shutil.copy(digits[1], folder / "data.npz")
    fixed = {"precisions": ("float32",), "runtimes": ("onnxruntime",), "search_samples": 64, "calib_samples": 32}
    options = {"profiles": [REMOTE], "gates": ["top1 >= -3pt"], "store": digits[0].parent / "store", **fixed} | options
    return edgewright.compile(digits[0], data=folder / "data.npz", out=folder / "out", **options)


def _looks(path: Path) -> list[int]:
    return [json.loads(line)["look"] for line in path.read_text("utf-8").splitlines()]


def test_a_ledger_elsewhere(digits: tuple[Path, Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "new" / "looks.jsonl"
    _compile(digits, tmp_path, ledger=elsewhere)
    assert _looks(elsewhere) == [1]
    assert not list(tmp_path.glob("*.ledger.jsonl"))
    (tmp_path / "edgewright.toml").write_text('model = "m.onnx"\ndata = "d.npz"\nprofiles = ["x"]\nledger = "looks.jsonl"\n')
    assert read_recipe(tmp_path / "edgewright.toml", {}).ledger == tmp_path / "looks.jsonl"


def test_a_ledger_that_cannot_be_written_is_refused_before_any_work(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: Any) -> None:
        raise AssertionError("the data were opened first")

    monkeypatch.setattr(prepare, "open_data", work)
    (tmp_path / "file").write_bytes(b"mine")
    for place in (tmp_path / "file" / "looks.jsonl", Path("/proc/none/looks.jsonl"), tmp_path):
        with pytest.raises(StoreError, match=r"cannot write the ledger .* --ledger"):
            _compile(digits, tmp_path, ledger=place)


def test_another_profile_of_the_same_device_and_a_sample_less_are_no_fresh_start(
    digits: tuple[Path, Path], tmp_path: Path
) -> None:
    _compile(digits, tmp_path)
    (tmp_path / "renamed.toml").write_text(to_toml(load(REMOTE)).replace(f'"{REMOTE}"', '"renamed"'), "utf-8")
    ledger = tmp_path / "data.npz.ledger.jsonl"
    _compile(digits, tmp_path, profiles=[tmp_path / "renamed.toml"])
    assert _looks(ledger) == [1]
    with np.load(tmp_path / "data.npz") as archive:
        arrays = {name: archive[name][1:] for name in archive.files}
    np.savez(tmp_path / "data.npz", **arrays, remark=np.arange(len(arrays["x"])))
    _compile(digits, tmp_path, precisions=("float16",), gates=["top1 >= -4pt"])
    assert 2 in _looks(ledger)
    assert 1 not in _looks(ledger)[1:]


def test_other_gates_are_another_look_and_the_artifact_names_those_it_was_judged_by(
    digits: tuple[Path, Path], tmp_path: Path
) -> None:
    for gate, look in (("top1 >= -3pt", 1), ("top1 >= -4pt", 2), ("top1 >= -3pt", 1)):
        result = _compile(digits, tmp_path, gates=[gate])
        found = open_artifact(result.artifacts[REMOTE]).manifest.ledger
        assert (found["gates"], found["look"]) == ([gate], look)
    _compile(digits, tmp_path, seed=1)
    assert _looks(tmp_path / "data.npz.ledger.jsonl") == [1, 2, 3]


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("report_of", RuntimeError("a mistake")),
        ("write_artifact", StoreError("the disk is full.")),
        ("write_report", KeyboardInterrupt()),
    ],
)
def test_an_interrupted_compile_leaves_the_files_of_the_one_before(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    both = [REMOTE, "raspberry-pi-5"]
    _compile(digits, tmp_path, profiles=both)
    before = _content(tmp_path / "out")
    assert {f"digits-{name}.ewa" for name in both} < set(before)
    calls = []
    original = getattr(module, step)

    def fail(*arguments: Any) -> Any:
        calls.append(step)
        if step == "write_artifact" and len(calls) == 1:
            return original(*arguments)
        raise error

    monkeypatch.setattr(module, step, fail)
    with pytest.raises(type(error)):
        _compile(digits, tmp_path, profiles=both, precisions=("float16",), gates=["top1 >= -4pt"])
    assert _content(tmp_path / "out") == before


def test_an_artifact_that_is_not_released_again_is_set_aside_at_the_end(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compile(digits, tmp_path)
    before = _content(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_report", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            _compile(digits, tmp_path, gates=["top1 >= +20pt"])
    assert _content(tmp_path / "out") == before
    result = _compile(digits, tmp_path, gates=["top1 >= +20pt"])
    assert not result.artifacts
    after = _content(tmp_path / "out")
    name = f"digits-{REMOTE}.ewa"
    assert after[f"{name}.previous"] == before[name]
    assert sorted(after) == sorted([f"{name}.previous", "measurements.json", "report.html", "report.json"])
    assert result.report_path == tmp_path / "out" / "report.json"


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
