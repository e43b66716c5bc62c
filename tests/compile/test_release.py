"""What decides a release: looks, the best float, timings that hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgewright
import pytest
from edgewright.core.errors import DataError, RuntimeFailure
from edgewright.core.store import StepStore
from edgewright.device_profiles.detect import detect
from edgewright.device_profiles.loader import to_toml
from edgewright.optimizer import release, trial
from edgewright.optimizer.compile import CompileResult
from edgewright.optimizer.measure import Measurements
from edgewright.runtimes.onnxruntime.runtime import RUNTIME

REMOTE = "arm64-linux"


def _compile(digits: tuple[Path, Path], folder: Path, **options: Any) -> CompileResult:
    """Compile into `folder`; the step store is one for all, beside the digits, unless a test is about what it holds."""
    shutil.copy(digits[1], folder / "data.npz")
    fixed = {"profiles": [REMOTE], "gates": ["top1 >= -3pt"], "search_samples": 128, "calib_samples": 64}
    options = fixed | {"store": digits[0].parent / "store"} | options
    return edgewright.compile(digits[0], data=folder / "data.npz", out=folder / "out", **options)


def _failing(original: Any, precisions: tuple[str, ...]) -> Any:
    def judged(kit: Any, candidate: Any, accept: Any, alpha: float) -> Any:
        verdicts = original(kit, candidate, accept, alpha)
        if candidate.precision in precisions:
            return [replace(item, status="undecided", why="held back by the test.") for item in verdicts]
        return verdicts

    return judged


def test_the_float_is_looked_at_whatever_failed_before(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "_judged", _failing(release._judged, ("int8", "float16")))
    result = _compile(digits, tmp_path)
    target = result.report.targets[0]
    assert result.exit_code == 0
    assert target.winner is not None
    assert target.winner.precision == "float32"
    looked = [item for item in target.candidates if item.split == "accept"]
    assert len(looked) == 4
    assert sum("held back by the test" in item.why for item in looked) == 3
    assert all(item.verdict == "undecided" for item in looked if item is not target.winner)
    page = result.page_path.read_text("utf-8")
    assert "held back by the test" in page


def test_a_timing_that_fails_leaves_the_candidate_unmeasured(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **options: Any) -> Any:
        raise RuntimeFailure("the clock broke")

    monkeypatch.setattr(trial, "measure", fails)
    profile = tmp_path / "here.toml"
    profile.write_text(to_toml(detect()), "utf-8")
    options = {"precisions": ("float32",), "runtimes": ("onnxruntime",), "store": tmp_path / "store"}
    result = _compile(digits, tmp_path, profiles=[str(profile)], **options)
    candidate = result.report.targets[0].candidates[0]
    assert result.exit_code == 0
    assert candidate.latency_ms is None
    assert "the clock broke" in candidate.missing["latency_ms"]


def test_two_gates_on_one_metric_are_both_told(digits: tuple[Path, Path], tmp_path: Path) -> None:
    gates = ["top1 >= -3pt", "top1 >= 50%"]
    result = _compile(digits, tmp_path, gates=gates, precisions=("float32",), runtimes=("onnxruntime",))
    assert set(result.report.targets[0].candidates[0].metrics) == {"top1", "top1 >= 50%"}


def test_timings_are_kept_by_version_of_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def measure() -> Any:
        made.append(1)
        return 7

    for version in ("1", "1", "2"):
        monkeypatch.setattr(type(RUNTIME), "version", lambda self, version=version: version)
        Measurements(StepStore(tmp_path), None).get("ram", ("a" * 64,), 1, measure, ("onnxruntime",))
    assert len(made) == 2


def test_a_disturbed_figure_is_measured_again(tmp_path: Path) -> None:
    disturbed = iter([True, True, False])
    figures = Measurements(StepStore(tmp_path), None)
    value = figures.get("ratio", ("a", "b"), 1, lambda: {"is_disturbed": next(disturbed)}, ("onnxruntime",))
    assert value == {"is_disturbed": False}


def test_timings_of_another_processor_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "measurements.json"
    figures = Measurements(StepStore(tmp_path / "store"), None)
    figures.get("ram", ("a",), 1, lambda: 5, ("onnxruntime",))
    file.write_bytes(figures.to_bytes())
    again = Measurements(StepStore(tmp_path / "other"), file)
    assert again.get("ram", ("a",), 1, lambda: pytest.fail("measured anew"), ("onnxruntime",)) == 5
    value = json.loads(file.read_bytes())
    value["cpu"]["model"] = "Cortex-A72"
    file.write_text(json.dumps(value), "utf-8")
    with pytest.raises(DataError, match="Cortex-A72"):
        Measurements(StepStore(tmp_path / "other"), file)
