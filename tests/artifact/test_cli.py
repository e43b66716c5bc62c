"""inspect, verify and run: in process, and once each as a real process with the real exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from edgewright.calibration.preprocess import Preprocessing
from edgewright.cli.inspect import inspect
from edgewright.cli.run import run
from edgewright.cli.verify import forced_kernels, other_cpu, verify
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.errors import ArtifactError, DataError, EdgewrightError, RuntimeFailure, UsageError
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import RuntimeRecord, TargetRecord
from edgewright.device_profiles.detect import Cpu, host_cpu


@pytest.fixture
def artifact(content: ArtifactContent, tmp_path: Path) -> Path:
    """An artifact for this very CPU and runtime version."""
    here = host_cpu()
    manifest = replace(
        content.manifest,
        target=TargetRecord("here", here.arch, tuple(here.flags), 1),
        runtime=RuntimeRecord("onnxruntime", onnxruntime.__version__),
    )
    path = tmp_path / "tiny.ewa"
    write_artifact(path, replace(content, manifest=manifest))
    return path


def invoke(command: Any, *arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(item) for item in arguments])


def failure(command: Any, *arguments: Any) -> tuple[type[EdgewrightError], str]:
    result = invoke(command, *arguments)
    assert isinstance(result.exception, EdgewrightError), result.output
    assert "\n" not in str(result.exception)
    return type(result.exception), str(result.exception)


def process(*arguments: Any) -> subprocess.CompletedProcess[str]:
    code = "from edgewright.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_verify_runs_the_test_vectors(artifact: Path) -> None:
    result = invoke(verify, artifact)
    assert result.exit_code == 0, result.output
    assert "ok    structure and digests   6 members" in result.output
    assert f"5 samples, onnxruntime {onnxruntime.__version__}, within 1e-06" in result.output
    assert "judged on the target's kernels" in result.output
    assert "this CPU" not in result.output


def test_verify_in_json(artifact: Path) -> None:
    found = json.loads(invoke(verify, artifact, "--json").output)
    assert found["ok"] is True
    assert found["test_vectors"]["samples"] == 5
    assert found["notes"] == ["its gates were judged on the target's kernels"]
    assert json.loads(invoke(verify, artifact, "--json", "--no-run").output)["test_vectors"] is None
    assert "not run (--no-run)" in invoke(verify, artifact, "--no-run").output


def test_verify_finds_damage(artifact: Path) -> None:
    damaged = bytearray(artifact.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    artifact.write_bytes(damaged)
    kind, message = failure(verify, artifact)
    assert kind is ArtifactError
    assert "cannot be trusted" in message
    result = invoke(verify, artifact, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["code"] == "E-ARTIFACT"
    assert json.loads(result.output)["ok"] is False


def test_verify_finds_other_answers(content: ArtifactContent, tmp_path: Path) -> None:
    wrong = {"y": content.test_vectors.outputs["y"] + np.float32(0.01)}
    path = tmp_path / "wrong.ewa"
    write_artifact(path, replace(content, test_vectors=replace(content.test_vectors, outputs=wrong)))
    kind, message = failure(verify, path)
    assert kind is ArtifactError
    assert "does not answer as it did when it was compiled: output 'y' is outside the tolerance in 100.00%" in message
    assert invoke(verify, path, "--no-run").exit_code == 0


def test_verify_says_when_another_cpu_or_version_answers(content: ArtifactContent, tmp_path: Path) -> None:
    arch = "aarch64" if host_cpu().arch != "aarch64" else "x86_64"
    manifest = replace(
        content.manifest,
        target=TargetRecord("other", arch, (), 1),
        runtime=RuntimeRecord("onnxruntime", "0.0.1"),
        measured_on=None,
    )
    path = tmp_path / "other.ewa"
    written = write_artifact(path, replace(content, manifest=manifest))
    result = invoke(verify, path)
    assert result.exit_code == 0, result.output
    assert "its gates were not judged on the target's kernels" in result.output
    assert f"the target 'other' {arch}" in result.output
    assert "judged with onnxruntime '0.0.1'" in result.output
    assert other_cpu(written) is not None
    wrong = {"y": content.test_vectors.outputs["y"] + 1}
    write_artifact(path, replace(content, manifest=manifest, test_vectors=replace(content.test_vectors, outputs=wrong)))
    assert "(this CPU runs" in failure(verify, path)[1]


def test_verify_holds_the_runtime_to_the_target_s_kernels(
    content: ArtifactContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO on a CPU with VNNI can be held to AVX2, as it was when an int8 model for AVX2 was judged there."""
    vnni = Cpu("x86_64", "a test", frozenset({"avx2", "fma", "avx512f", "avx512_vnni", "avx512bw", "avx512vl", "avx512dq"}))
    monkeypatch.setattr("edgewright.device_profiles.host.host_cpu", lambda: vnni)
    monkeypatch.setattr("edgewright.cli.verify.host_cpu", lambda: vnni)
    manifest = replace(content.manifest, runtime=RuntimeRecord("openvino", "1"), precision="int8")
    held = write_artifact(tmp_path / "held.ewa", replace(content, manifest=manifest))
    assert forced_kernels(held) == {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert "was held to the kernels of 'x86-64-avx2' (ONEDNN_MAX_CPU_ISA=AVX2)" in str(other_cpu(held))
    free = write_artifact(tmp_path / "free.ewa", replace(content, manifest=replace(manifest, precision="float32")))
    assert forced_kernels(free) == {}
    assert "this CPU runs x86_64 avx512_vnni kernels" in str(other_cpu(free))


def test_verify_wants_the_model_of_the_manifest(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "renamed.ewa"
    manifest = replace(content.manifest, inputs=(TensorSpec("z", "float32", (1, 4)),))
    vectors = replace(content.test_vectors, inputs={"z": content.test_vectors.inputs["x"]})
    write_artifact(path, replace(content, manifest=manifest, test_vectors=vectors))
    assert "the inputs of the model file are not those that the manifest tells of" in failure(verify, path)[1]
    write_artifact(path, replace(content, files={"model.onnx": b"no model"}))
    assert failure(verify, path)[0] is RuntimeFailure
    unknown = replace(content.manifest, runtime=RuntimeRecord("onnxruntim", "1"))
    write_artifact(path, replace(content, manifest=unknown))
    assert "unknown runtime 'onnxruntim'; did you mean 'onnxruntime'" in failure(verify, path)[1]


def test_inspect_shows_what_matters(artifact: Path) -> None:
    result = invoke(inspect, artifact)
    assert result.exit_code == 0, result.output
    for words in (
        "tiny, from tiny.onnx (onnx, 000000000000)",
        f"onnxruntime {onnxruntime.__version__}, float32",
        "canonicalize,fold-bn",
        "accept 1,000, calib 100, search 200",
        "x float32[1, 4]",
        "p50 0.010 ms",
        "passed    top1 >= -1pt",
        "interval [-0.002, 0.001], margin -0.01, alpha 0.05, n 1,000, needed 300",
        "undecided top1[group] report-only on group=old (report only)",
        "model/model.onnx",
        "x (input: values, missing 1), y (confidence: class 1)",
    ):
        assert words in result.output


def test_inspect_in_json_is_the_manifest(artifact: Path) -> None:
    found = json.loads(invoke(inspect, artifact, "--json").output)
    assert found["manifest"]["name"] == "tiny"
    assert found["measurements"]["cpu"] == "a test"
    assert len(found["digest"]) == len(found["content_digest"]) == 64


def test_inspect_does_not_let_a_name_steer_the_terminal(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "hostile.ewa"
    write_artifact(path, replace(content, manifest=replace(content.manifest, name="\x1b[2J\r\nok")))
    result = invoke(inspect, path)
    assert "\x1b" not in result.output
    assert "\r" not in result.output
    assert "\N{REPLACEMENT CHARACTER}[2J" in result.output.splitlines()[0]


def test_inspect_without_measurements(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "bare.ewa"
    for measurements in ({}, {"latency_ms": {"p50": None}}, {"latency_ms": 3}):
        write_artifact(path, replace(content, measurements=measurements))
        assert "not measured" in invoke(inspect, path).output


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_run_gives_the_model_s_answers(artifact: Path, vectors: TestVectors, tmp_path: Path, ending: str) -> None:
    source, target = tmp_path / f"in{ending}", tmp_path / f"out{ending}"
    x = np.tile(vectors.inputs["x"], (3, 1))
    if ending == ".npy":
        np.save(source, x)
    else:
        np.savez(source, x=x, y=np.arange(15))
    result = invoke(run, artifact, "--input", source, "--output", target)
    assert result.exit_code == 0, result.output
    assert "y float32[15, 3]" in result.output
    made = np.load(target) if ending == ".npy" else np.load(target)["y"]
    np.testing.assert_allclose(made, np.tile(vectors.outputs["y"], (3, 1)), atol=1e-6)
    first = target.read_bytes()
    invoke(run, artifact, "--input", source, "--output", target)
    assert target.read_bytes() == first


def test_run_in_json_tells_outputs_samples_and_seconds(artifact: Path, vectors: TestVectors, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.concatenate([vectors.inputs["x"]] * 2))
    found = json.loads(invoke(run, artifact, "--input", tmp_path / "a.npy", "--output", tmp_path / "o.npz", "--json").output)
    made = np.load(tmp_path / "o.npz")
    assert found["outputs"] == [{"name": n, "dtype": made[n].dtype.name, "shape": list(made[n].shape)} for n in made.files]
    assert found["samples"] == 2 * len(vectors.inputs["x"])
    assert found["seconds"] > 0
    assert found["file"] == str(tmp_path / "o.npz")


def test_run_takes_the_only_array(artifact: Path, vectors: TestVectors, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", anything=vectors.inputs["x"])
    result = invoke(run, artifact, "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    assert result.exit_code == 0, result.output


def _pickle(path: Path) -> None:
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


GOOD = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.npy", lambda path: np.save(path, GOOD[0]), "has shape [4], and the model wants [samples, 4]"),
        ("a.npy", lambda path: np.save(path, GOOD[:, :3]), "has shape [2, 3]"),
        ("a.npy", lambda path: np.save(path, GOOD[:0]), "one at least"),
        ("a.npy", lambda path: np.save(path, np.float32(1)), "has shape []"),
        ("a.npy", lambda path: np.save(path, GOOD.astype(float)), "is float64; convert it to float32"),
        ("a.npy", lambda path: np.save(path, GOOD * np.nan), "NaN or infinite, first in sample 0"),
        ("a.npy", _pickle, "without pickles"),
        ("a.npy", lambda path: path.write_bytes(b""), "cannot read"),
        ("a.npy", lambda path: path.write_bytes(b"noise"), "cannot read"),
        ("a.npz", lambda path: path.write_bytes(b"PK\3\4noise"), "cannot read"),
        ("a.npy", lambda path: path.mkdir(), "Is a directory"),
        ("a.npy", lambda path: None, "No such file"),
        ("a.npz", lambda path: np.savez(path, a=GOOD, b=GOOD), "inputs ['x'] are not among them"),
        ("a.npz", np.savez, "inputs ['x'] are not among them"),
    ],
)
def test_run_refuses_bad_samples(artifact: Path, tmp_path: Path, name: str, write: Any, words: str) -> None:
    write(tmp_path / name)
    kind, message = failure(run, artifact, "--input", tmp_path / name, "--output", tmp_path / "out.npz")
    assert kind is DataError
    assert words in message
    assert not (tmp_path / "out.npz").exists()


def test_run_refuses_a_format_that_it_does_not_write(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GOOD)
    kind, message = failure(run, artifact, "--input", tmp_path / "a.npy", "--output", tmp_path / "out.csv")
    assert kind is UsageError
    assert ".npz or .npy" in message


def test_run_raw_needs_a_declaration(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GOOD)
    kind, message = failure(run, artifact, "--raw", "--input", tmp_path / "a.npy", "--output", tmp_path / "o.npz")
    assert kind is UsageError
    assert "declares no preprocessing" in message


def test_run_raw_prepares_the_samples_as_the_data_set_did(content: ArtifactContent, tmp_path: Path) -> None:
    manifest = replace(content.manifest, preprocessing=Preprocessing.parse("scale=1/255,dtype=float32").to_json())
    path = tmp_path / "scaled.ewa"
    write_artifact(path, replace(content, manifest=manifest))
    raw = np.random.default_rng(3).integers(0, 256, (6, 4), dtype=np.uint8)
    np.save(tmp_path / "raw.npy", raw)
    np.save(tmp_path / "ready.npy", raw.astype(np.float32) * np.float32(1 / 255))
    for name, options in (("raw", ["--raw"]), ("ready", [])):
        result = invoke(run, path, *options, "--input", tmp_path / f"{name}.npy", "--output", tmp_path / f"{name}-out.npy")
        assert result.exit_code == 0, result.exception
    np.testing.assert_array_equal(np.load(tmp_path / "raw-out.npy"), np.load(tmp_path / "ready-out.npy"))
    assert failure(run, path, "--input", tmp_path / "raw.npy", "--output", tmp_path / "o.npz")[0] is DataError


@pytest.mark.parametrize("declared", [{"resize": "much"}, {"scale": []}, [], "scale=2", {"unknown": 1}])
def test_run_raw_refuses_a_declaration_that_it_cannot_read(content: ArtifactContent, tmp_path: Path, declared: Any) -> None:
    path = tmp_path / "odd.ewa"
    write_artifact(path, replace(content, manifest=replace(content.manifest, preprocessing=declared)))
    np.save(tmp_path / "a.npy", GOOD)
    kind, message = failure(run, path, "--raw", "--input", tmp_path / "a.npy", "--output", tmp_path / "o.npz")
    assert kind in (ArtifactError, UsageError)
    assert "preprocessing" in message


def test_run_reports_a_folder_that_cannot_be_written(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GOOD)
    kind, message = failure(run, artifact, "--input", tmp_path / "a.npy", "--output", "/proc/out.npz")
    assert kind.code == "E-STORE"
    assert "cannot write /proc/out.npz" in message


def test_real_processes(artifact: Path, tmp_path: Path) -> None:
    assert process("verify", artifact).returncode == 0
    assert "content digest" in process("inspect", artifact).stdout
    np.save(tmp_path / "a.npy", GOOD)
    done = process("run", artifact, "--input", tmp_path / "a.npy", "--output", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    damaged = bytearray(artifact.read_bytes())
    damaged[100] ^= 4
    artifact.write_bytes(damaged)
    for command in (["verify", artifact], ["inspect", artifact], ["run", artifact, "--input", "a", "--output", "b.npz"]):
        done = process(*command)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("error[E-ARTIFACT]: ")
        assert done.stderr.count("\n") == 1
    assert process("verify", artifact, "--json").returncode == 1
