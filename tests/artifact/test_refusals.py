"""What does not make an artifact is refused in one sentence, and leaves nothing on the disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright.core.artifact import ArtifactContent, TestVectors, told_tolerances
from edgewright.core.artifact_read import open_artifact, read_artifact
from edgewright.core.artifact_write import build_artifact, write_artifact
from edgewright.core.errors import ArtifactError, StoreError
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import GateRecord, HistogramBins, Tolerance, VectorsRecord


def with_vectors(content: ArtifactContent, **changes: Any) -> ArtifactContent:
    return replace(content, test_vectors=replace(content.test_vectors, **changes))


X = np.zeros((5, 4), np.float32)
Y = np.zeros((5, 3), np.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": {"z": X}}, "have inputs"),
        ({"outputs": {}}, "have outputs"),
        ({"inputs": {"x": X[:, :3]}}, "does not fit"),
        ({"inputs": {"x": X[:0]}}, "does not fit"),
        ({"inputs": {"x": X[:2]}}, "does not fit"),
        ({"inputs": {"x": X[0]}}, "does not fit"),
        ({"inputs": {"x": np.float32(0)[None].sum()[...]}}, "does not fit"),
        ({"inputs": {"x": X.astype(np.float64)}}, "is float64"),
        ({"outputs": {"y": np.full_like(Y, np.nan)}}, "not finite"),
        ({"tolerances": {}}, "have tolerances for"),
        ({"tolerances": {"y": Tolerance(0.0, 0.0), "z": Tolerance(0.0, 0.0)}}, "have tolerances for"),
    ],
)
def test_test_vectors_must_fit_the_model(content: ArtifactContent, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        build_artifact(with_vectors(content, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gates": ()}, "no verdict of a binding gate"),
        ({"gates": (GateRecord("top1 report-only", "passed", report_only=True),)}, "no verdict of a binding gate"),
        ({"gates": (GateRecord("top1 >= -1pt", "failed"),)}, "is failed; only what passed"),
        ({"gates": (GateRecord("f1 >= -1pt", "undecided", slice="sex=f"),)}, "on .sex=f. is undecided"),
        ({"entry": "other.onnx"}, "entry file 'other.onnx'"),
        ({"inputs": ()}, "one or more inputs"),
        ({"outputs": (TensorSpec("y", "float32", (1, 3)),) * 2}, "one or more outputs"),
        ({"versions": {"a": 1}}, "'a' is not a string"),
        ({"precision": "int9"}, "unknown precision 'int9'; did you mean 'int8'"),
        ({"measured_on": "here"}, "unknown measured_on"),
        ({"seed": -1}, "'seed' is not a count"),
        ({"seed": True}, "'seed' is not a count"),
        ({"name": None}, "'name' is not a string"),
        ({"ledger": {"p": float("nan")}}, "cannot be written as JSON"),
        ({"ledger": {1, 2}}, "cannot be written as JSON"),
        ({"ledger": {1: 2, "1": 3}}, "canonical|cannot be written"),
        ({"preprocessing": "x" * (5 << 20)}, "bytes, more than"),
    ],
)
def test_the_manifest_must_be_of_a_released_model(content: ArtifactContent, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        read_artifact(build_artifact(replace(content, manifest=replace(content.manifest, **changes))))


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a\\b", ".hidden", "", "a//b", "a/", "é", "x" * 300, "a\0b", "a\n"])
def test_file_names_must_be_plain(content: ArtifactContent, name: str) -> None:
    with pytest.raises(ArtifactError, match="plain relative path"):
        build_artifact(replace(content, files={**content.files, name: b""}))


def test_file_names_must_differ_everywhere(content: ArtifactContent) -> None:
    with pytest.raises(ArtifactError, match="twice"):
        build_artifact(replace(content, files={**content.files, "Model.onnx": b""}))
    with pytest.raises(ArtifactError, match="a file and a folder"):
        build_artifact(replace(content, files={**content.files, "model.onnx/x": b""}))
    with pytest.raises(ArtifactError, match="members"):
        build_artifact(replace(content, files={**content.files, **{f"f{index}": b"" for index in range(1100)}}))


@pytest.mark.parametrize(
    ("edges", "counts", "words"),
    [
        ((0.0,), (0, 0), "two or more"),
        ((0.0, 0.0), (0, 0, 0), "rise"),
        ((0.0, float("inf")), (0, 0, 0), "finite"),
        ((0.0, float("nan")), (0, 0, 0), "rise"),
        ((0.0, 1.0), (0, 0), "one count more"),
        ((0.0, 1.0), (0, -1, 0), "none of them negative"),
    ],
)
def test_bins_must_be_bins(edges: Any, counts: Any, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        HistogramBins("x", "input", edges, counts)


@pytest.mark.parametrize(
    ("kind", "statistic", "correct", "words"),
    [
        ("input", "columns 3", None, "nothing that is counted of input"),
        ("input", "column", None, "nothing that is counted of input"),
        ("input", "column 03", None, "nothing that is counted of input"),
        ("input", "values 3", None, "nothing that is counted of input"),
        ("input", "class 1", None, "nothing that is counted of input"),
        ("prediction", "column 1", None, "nothing that is counted of prediction"),
        ("confidence", "class 1\n", None, "nothing that is counted of confidence"),
        ("confidence", "class 1", (0, 3, 0), "right more often"),
        ("confidence", "class 1", (0, 2), "right more often"),
        ("confidence", "values", (0, -1, 0), "right more often"),
        ("output", "values", (0, 1, 0), "none of confidence"),
    ],
)
def test_what_is_counted_must_be_known_and_right_at_most_as_often(kind: Any, statistic: str, correct: Any, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        HistogramBins("x", kind, (0.0, 1.0), (0, 2, 1), statistic, correct)


def test_numbers_of_records_must_be_finite() -> None:
    with pytest.raises(ArtifactError, match="finite numbers or null"):
        GateRecord("top1 >= -1pt", "passed", measured=float("nan"))
    with pytest.raises(ArtifactError, match="need a sample"):
        VectorsRecord(0, (), "")
    with pytest.raises(ArtifactError, match="finite numbers or null"):
        Tolerance(float("nan"), 0.0)
    with pytest.raises(ArtifactError, match="not negative"):
        Tolerance(0.0, -1.0)
    with pytest.raises(ArtifactError, match="no number"):
        Tolerance("much", 0.0)  # type: ignore[arg-type]
    assert isinstance(GateRecord("a", "passed", measured=np.float32(0.5)).measured, float)


def test_text_is_no_test_vector(content: ArtifactContent) -> None:
    words = np.array([["a"] * 4] * 5)
    specs = (TensorSpec("x", words.dtype.name, (1, 4)),)
    vectors = TestVectors({"x": words}, content.test_vectors.outputs, {"y": Tolerance(0.0, 0.0)}, "")
    with pytest.raises(ArtifactError, match="numbers only"):
        build_artifact(replace(content, manifest=replace(content.manifest, inputs=specs), test_vectors=vectors))


def test_a_mismatch_names_the_worst_output() -> None:
    vectors = TestVectors({"x": X}, {"y": Y, "z": Y + 1}, dict.fromkeys("yz", Tolerance(0.1, 0.1)), "")
    assert vectors.mismatch({"y": Y + np.float32(0.0999), "z": Y + np.float32(1.1999)}) is None
    assert "output 'z' is outside the tolerance in 100.00%" in str(vectors.mismatch({"y": Y + 1, "z": Y + 9}))
    assert "not finite" in str(vectors.mismatch({"y": Y * np.nan, "z": Y + 1}))
    assert "not finite" in str(vectors.mismatch({"y": Y + np.inf, "z": Y + 1}))
    assert "output 'z' is nothing" in str(vectors.mismatch({"y": Y}))
    assert "shape (4, 3)" in str(vectors.mismatch({"y": Y[:4], "z": Y + 1}))
    assert "float64" in str(vectors.mismatch({"y": Y.astype(float), "z": Y + 1}))


def test_each_output_is_held_to_its_own_tolerance(content: ArtifactContent) -> None:
    tolerances = {"small": Tolerance(1e-3, 1e-3), "large": Tolerance(50.0, 0.05)}
    vectors = TestVectors({"x": X}, {"small": Y + 1, "large": Y + 1000}, tolerances, "")
    assert vectors.mismatch({"small": Y + 1, "large": Y + 1040}) is None
    assert "output 'small'" in str(vectors.mismatch({"small": Y, "large": Y + 1000}))
    specs = (TensorSpec("large", "float32", (1, 3)), TensorSpec("small", "float32", (1, 3)))
    manifest = replace(content.manifest, outputs=specs)
    found = read_artifact(build_artifact(replace(content, manifest=manifest, test_vectors=vectors)))
    assert found.manifest.test_vectors is not None
    assert found.manifest.test_vectors.tolerances == (tolerances["large"], tolerances["small"])
    assert found.test_vectors.tolerances == tolerances
    assert told_tolerances(found.manifest) == "50 + 0.05 |expected| for 'large', 0.001 + 0.001 |expected| for 'small'"


def test_there_are_as_many_tolerances_as_outputs(content: ArtifactContent) -> None:
    record = VectorsRecord(5, (Tolerance(0.0, 0.0),) * 2, "")
    with pytest.raises(ArtifactError, match="1 outputs and 2 tolerances"):
        replace(content.manifest, test_vectors=record).check()


def test_integers_far_apart_do_not_wrap() -> None:
    low, high = np.array([[0]], np.uint8), np.array([[255]], np.uint8)
    vectors = TestVectors({"x": low}, {"y": high}, {"y": Tolerance(254.0, 0.0)}, "")
    assert vectors.mismatch({"y": low}) is not None
    assert TestVectors({"x": low}, {"y": high}, {"y": Tolerance(255.0, 0.0)}, "").mismatch({"y": low}) is None


def test_a_missing_file_a_folder_and_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        open_artifact(tmp_path / "none.ewa")
    with pytest.raises(ArtifactError, match=r"not a file|Is a directory"):
        open_artifact(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="not a file"):
        open_artifact(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="not a file"):
        open_artifact(Path("/dev/zero"))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.ewa"
    with path.open("wb") as file:
        file.truncate((2 << 30) + 1)
    with pytest.raises(ArtifactError, match="more than the 2147483648"):
        open_artifact(path)


def test_a_folder_that_cannot_be_written(content: ArtifactContent, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_artifact(tmp_path / "file" / "tiny.ewa", content)
    with pytest.raises(StoreError, match="cannot write /proc/"):
        write_artifact(Path("/proc/tiny.ewa"), content)
    (tmp_path / "folder.ewa").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        write_artifact(tmp_path / "folder.ewa", content)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.ewa"]


def test_a_limit_on_file_size_leaves_the_old_artifact(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "tiny.ewa"
    write_artifact(path, content)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            write_artifact(path, replace(content, measurements={}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing(content: ArtifactContent, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this user cannot mount a small disk")
    try:
        write_artifact(disk / "small.ewa", content)
        with pytest.raises(StoreError, match="No space left on device"):
            write_artifact(disk / "large.ewa", replace(content, files={**content.files, "extra.bin": b"\1" * 100_000}))
        assert [file.name for file in disk.iterdir()] == ["small.ewa"]
        open_artifact(disk / "small.ewa")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_killed_writer_leaves_the_old_artifact_or_the_new(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "tiny.ewa"
    write_artifact(path, content)
    code = (
        "import os, sys; from pathlib import Path; from edgewright.core import files;"
        "os.fsync = lambda handle: os.kill(os.getpid(), 9); files.write_atomic(Path(sys.argv[1]), b'half')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    open_artifact(path)
