"""The main job as stories: released, failed, undecided; reproducible, resumable, and with nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import edgewright
import jsonschema
import numpy as np
import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.device_profiles.host import measured_on
from edgewright.device_profiles.loader import known, load
from edgewright.fleet.protocol.measures import measures
from edgewright.optimizer.compile import CompileResult
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import run_all

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "report.schema.json"
REMOTE = "arm64-linux"  # never this machine's own kind on x86, so nothing is timed


def _compile(digits: tuple[Path, Path], folder: Path, **options: Any) -> CompileResult:
    """Compile into `folder`; the step store is one for all, beside the digits, unless a test is about what it holds."""
    model, data = digits
    fixed = {"profiles": [REMOTE], "gates": ["top1 >= -3pt"], "search_samples": 128, "calib_samples": 64}
    options = fixed | {"store": model.parent / "store"} | options
    local = folder / data.name
    if not local.exists():
        shutil.copy(data, local)
    return edgewright.compile(model, data=local, out=folder / "out", **options)


@pytest.fixture(scope="module")
def released(digits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[CompileResult, Path]:
    folder = tmp_path_factory.mktemp("released")
    return _compile(digits, folder, gates=["top1 >= -3pt", "top1[half] report-only"]), folder


def test_what_passes_is_released_and_can_be_run(released: tuple[CompileResult, Path], digits: tuple[Path, Path]) -> None:
    result, _ = released
    assert result.exit_code == 0
    artifact = open_artifact(result.artifacts[REMOTE])
    assert artifact.manifest.precision == "int8"
    assert repr(result) == f"CompileResult({REMOTE}: int8 in {artifact.manifest.runtime.name})"
    assert artifact.manifest.measured_on == "reference"
    assert {gate.status for gate in artifact.manifest.gates if not gate.report_only} == {"passed"}
    assert artifact.manifest.ledger["look"] == 1
    data = np.load(digits[1])
    executor = registry.get(artifact.manifest.runtime.name).load(artifact.files, artifact.manifest.entry, 1)
    scores = run_all(executor, {"x": data["x"][:300]})["scores"]
    executor.close()
    assert float(np.mean(scores.argmax(axis=1) == data["y"][:300])) > 0.85


def test_bins_are_of_the_shipped_file_s_own_answers(released: tuple[CompileResult, Path]) -> None:
    manifest = open_artifact(released[0].artifacts[REMOTE]).manifest
    found = {item.name: item for item in measures(manifest.histograms)}
    samples = manifest.data.splits["search"]
    kinds = {"input", "missing", "output", "confidence", "prediction"}
    assert {item.kind for item in found.values()} == kinds
    for name in ("confidence", "prediction"):
        assert sum(found[name].counts) == samples
    right = sum(found["confidence"].correct or ())
    assert 0.85 * samples < right < samples
    by_class = [item for item in found.values() if item.of_class is not None]
    assert [sum(item.counts) for item in by_class] == list(found["prediction"].counts[1:-1])
    assert sum(sum(item.correct or ()) for item in by_class) == right


def test_the_report_fits_its_schema_and_says_what_was_tried(released: tuple[CompileResult, Path]) -> None:
    result, folder = released
    value = json.loads(result.report_path.read_text("utf-8"))
    jsonschema.validate(value, json.loads(SCHEMA.read_text("utf-8")))
    target = value["targets"][0]
    assert target["released"]
    assert target["latency_ms"] is None
    assert {(item["runtime"], item["precision"]) for item in target["candidates"]} >= {
        (runtime, precision) for runtime in ("onnxruntime", "litert") for precision in ("float32", "float16", "int8")
    }
    assert "<html" in (folder / "out" / "report.html").read_text("utf-8")
    model = open_artifact(result.artifacts[REMOTE]).files
    assert target["compressed_bytes"] == sum(len(zlib.compress(data, 9)) for data in model.values())
    assert all(0 < item["compressed_bytes"] < item["size_bytes"] for item in target["candidates"])
    assert target["size_bytes"] < 0.5 * next(c["size_bytes"] for c in target["candidates"] if c["precision"] == "float32")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_times_by_operator_go_by_the_model_s_own_names(runtime: str, digits: tuple[Path, Path], tmp_path: Path) -> None:
    timed = [name for name in known() if measured_on(load(name), runtime, "latency", "float32") == "target"]
    if not timed:
        pytest.skip("this machine is of no profile that times can be taken for")
    options = {"precisions": ("float32",), "runtimes": (runtime,), "store": tmp_path / "store"}
    result = _compile(digits, tmp_path, profiles=timed[:1], **options)
    (candidate,) = result.report.targets[0].candidates
    assert {"conv", "head"} <= {operator.name for operator in candidate.operators}


def test_a_hopeless_gate_fails_and_releases_nothing(digits: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    old = tmp_path / "out" / f"digits-{REMOTE}.ewa"
    old.write_bytes(b"of an earlier compile")
    result = _compile(digits, tmp_path, gates=["top1 >= +20pt"])
    assert result.exit_code in (2, 3)
    assert not result.artifacts
    assert not old.exists()
    assert old.with_name(f"{old.name}.previous").read_bytes() == b"of an earlier compile"
    assert not result.report.targets[0].released
    assert any("not even float32 holds 'top1 >= +20pt'" in line for line in result.report.targets[0].help)


def test_what_would_help_names_the_layers_the_margin_and_the_calibration(digits: tuple[Path, Path], tmp_path: Path) -> None:
    result = _compile(digits, tmp_path, gates=["cosine >= 0.99999999"], precisions=("int8",), runtimes=("onnxruntime",))
    assert result.exit_code in (2, 3)
    told = result.report.targets[0].help
    assert any("onnxruntime/int8 came nearest" in line and "wider by" in line for line in told), told
    assert any("int8 harms most" in line and "relative error" in line for line in told), told
    assert any("more calibration samples" in line and "calib has 64" in line for line in told), told


def test_too_few_samples_are_undecided_and_say_how_many_would_do(digits: tuple[Path, Path], tmp_path: Path) -> None:
    data = np.load(digits[1])
    small = tmp_path / "data.npz"
    np.savez(small, x=data["x"][:150], y=data["y"][:150])
    result = _compile(digits, tmp_path, gates=["top1 >= -1pt"])
    assert result.exit_code == 3
    target = result.report.targets[0]
    assert target.verdict == "undecided"
    assert any("samples" in line for line in target.help)


def test_same_input_and_seed_give_the_same_bytes(
    released: tuple[CompileResult, Path], digits: tuple[Path, Path], tmp_path: Path
) -> None:
    first, folder = released
    again = _compile(
        digits,
        tmp_path,
        gates=["top1 >= -3pt", "top1[half] report-only"],
        measurements=folder / "out" / "measurements.json",
        store=tmp_path / "store",
    )
    assert again.artifacts[REMOTE].read_bytes() == first.artifacts[REMOTE].read_bytes()


def test_a_second_compile_is_no_new_look_but_another_candidate_is(digits: tuple[Path, Path], tmp_path: Path) -> None:
    for _ in range(2):
        _compile(digits, tmp_path, precisions=("float32",), runtimes=("onnxruntime",))
    ledger = tmp_path / "data.npz.ledger.jsonl"
    assert len(ledger.read_text("utf-8").splitlines()) == 1
    _compile(digits, tmp_path, precisions=("float16",), runtimes=("onnxruntime",))
    looks = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    assert [look["look"] for look in looks] == [1, 2]


def test_shuffled_or_cut_otherwise_the_data_are_the_same_data(digits: tuple[Path, Path], tmp_path: Path) -> None:
    _compile(digits, tmp_path, precisions=("float32",), runtimes=("onnxruntime",))
    with np.load(tmp_path / "data.npz") as archive:
        order = np.random.default_rng(0).permutation(len(archive["x"]))
        shuffled = {name: archive[name][order] for name in archive.files}
    np.savez_compressed(tmp_path / "data.npz", **shuffled)
    _compile(digits, tmp_path, precisions=("float32",), runtimes=("onnxruntime",), search_samples=100)
    _compile(digits, tmp_path, precisions=("float16",), runtimes=("onnxruntime",), gates=["top1 >= -4pt"])
    looks = [json.loads(line) for line in (tmp_path / "data.npz.ledger.jsonl").read_text("utf-8").splitlines()]
    assert [look["look"] for look in looks] == [1, 2]
    assert len({look["data"] for look in looks}) == 1


def test_a_sliced_gate_gets_samples_for_its_smallest_slice(digits: tuple[Path, Path], tmp_path: Path) -> None:
    options = {"precisions": ("float32",), "runtimes": ("onnxruntime",), "search_samples": 64, "calib_samples": 32}
    whole = _compile(digits, tmp_path, gates=["top1 >= -3pt"], **options)
    sliced = _compile(digits, tmp_path, gates=["top1[half] >= -3pt"], **options)
    assert sliced.report.data.splits["accept"] >= 1.9 * whole.report.data.splits["accept"]


def test_without_gates_one_is_chosen_and_told(digits: tuple[Path, Path], tmp_path: Path) -> None:
    result = _compile(digits, tmp_path, gates=(), precisions=("float32",), runtimes=("onnxruntime",))
    assert result.report.gates == ("top1 >= -1pt",)
    assert any("chosen by default" in note for note in result.report.notes)


def test_splits_may_have_files_of_their_own(digits: tuple[Path, Path], tmp_path: Path) -> None:
    data = np.load(digits[1])
    np.savez(tmp_path / "accept.npz", x=data["x"][:600], y=data["y"][:600])
    np.savez(tmp_path / "data.npz", x=data["x"][600:], y=data["y"][600:])
    result = _compile(digits, tmp_path, accept=tmp_path / "accept.npz", precisions=("float16",), runtimes=("litert",))
    assert result.report.data.splits["accept"] == len(np.unique(data["x"][:600], axis=0))
    assert result.exit_code == 0


def test_a_killed_compile_goes_on_to_the_same_artifact(
    released: tuple[CompileResult, Path], digits: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = digits
    shutil.copy(data, tmp_path / "data.npz")
    command = [
        sys.executable, "-m", "edgewright.cli.main", "compile", str(model), "--data", "data.npz", "--profile", REMOTE,
        "--gate", "top1 >= -3pt", "--gate", "top1[half] report-only", "--search-samples", "128", "--calib-samples", "64",
        "--out", "out", "--store", "store",
    ]  # fmt: skip
    for seconds in (2.0, 3.5):
        child = subprocess.Popen(
            command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        left = {path.name for path in (tmp_path / "out").glob("*")} if (tmp_path / "out").exists() else set()
        assert not {name for name in left if not name.startswith(".") and name.endswith(".part")}
        for name in left:
            if name.endswith(".ewa"):
                open_artifact(tmp_path / "out" / name)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name = f"digits-{REMOTE}.ewa"
    assert (tmp_path / "out" / name).read_bytes() == released[0].artifacts[REMOTE].read_bytes()


def test_ctrl_c_is_one_sentence_and_leaves_no_artifact(digits: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = digits
    command = [
        sys.executable, "-m", "edgewright.cli.main", "compile", str(model), "--data", str(data), "--profile", REMOTE,
        "--out", "out", "--store", "store",
    ]  # fmt: skip
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("store/*/*")) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "out").glob("*.ewa"))
