"""Models with several outputs: gates judge the first, and no other may go astray unseen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.cli.gate import gate as gate_command
from edgewright.core.artifact_read import open_artifact
from edgewright.optimizer.exam import OUTPUT_GATE, Exam, is_inside, prepare_exam
from edgewright.optimizer.gates.text import parse_gates
from edgewright.optimizer.gates.verdict import overall
from onnx import TensorProto, helper

N = 400
RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(N, 5)).astype(np.float32)
BOX = RANDOM.normal(size=(N, 4)).astype(np.float32)
LABELS = SCORES.argmax(axis=1)


def exam(gates: tuple[str, ...] = ("top1 >= -3pt",), **others: np.ndarray) -> tuple[Exam, Any]:
    data = open_dataset({"x": SCORES, "y": LABELS})
    reference = {"scores": SCORES, **(others or {"box": BOX})}
    read = parse_gates(gates)
    return prepare_exam(Split("accept", data, tuple(range(N))), reference, "scores", read), read


def broken(value: float) -> np.ndarray:
    copy = BOX.copy()
    copy[7, 2] = value
    return copy


def test_an_output_that_no_gate_names_is_bound_by_one_of_its_own() -> None:
    made, gates = exam()
    verdicts = made.judge(gates, {"scores": SCORES, "box": BOX + np.float32(0.01)}, alpha=0.04, measured_on="target")
    assert overall(verdicts) == "passed"
    assert [(item.gate, item.slice, item.measured_on) for item in verdicts] == [
        ("top1 >= -3pt", None, "target"),
        (OUTPUT_GATE, "output=box", "target"),
    ]
    far = made.judge(gates, {"scores": SCORES, "box": -BOX})
    assert [item.status for item in far] == ["passed", "failed"]
    assert not is_inside(far)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (broken(np.nan), "output 'box' holds NaN or infinity on 1 of 400 samples"),
        (broken(np.inf), "output 'box' holds NaN or infinity on 1 of 400 samples"),
        (BOX[:, :3], "output 'box' has shape [400, 3], the reference's [400, 4]"),
        (BOX.astype(str), "output 'box' has type"),
        (None, "has no output 'box'"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_any_output_that_cannot_be_compared_fails_by_name(box: np.ndarray | None, words: str, first: bool) -> None:
    data = open_dataset({"x": SCORES, "y": LABELS})
    gates = parse_gates(["cosine >= 0.9"])
    reference = {"scores": SCORES, "box": BOX}
    made = prepare_exam(Split("accept", data, tuple(range(N))), reference, "box" if first else "scores", gates)
    outputs = {"scores": SCORES} if box is None else {"scores": SCORES, "box": box}
    verdicts = made.judge(gates, outputs)
    assert overall(verdicts) == "failed"
    (bad,) = (item for item in verdicts if item.status == "failed")
    assert words in bad.why
    assert bad.slice == (None if first else "output=box")


def test_a_reference_that_is_not_finite_decides_nothing() -> None:
    made, gates = exam(box=broken(np.nan))
    verdicts = made.judge(gates, {"scores": SCORES, "box": BOX})
    assert [item.status for item in verdicts] == ["passed", "undecided"]
    assert "the reference's output holds NaN" in verdicts[1].why


def test_no_other_output_makes_a_release_of_report_only_gates() -> None:
    made, gates = exam(("top1 report-only",))
    verdicts = made.judge(gates, {"scores": SCORES, "box": BOX})
    assert [item.status for item in verdicts] == ["reported", "reported"]
    assert overall(verdicts) == "undecided"


def test_an_output_that_is_always_zero_may_stay_zero() -> None:
    made, gates = exam(loss=np.zeros((N, 1), np.float32))
    assert overall(made.judge(gates, {"scores": SCORES, "loss": np.zeros((N, 1), np.float32)})) == "passed"
    assert overall(made.judge(gates, {"scores": SCORES, "loss": np.ones((N, 1), np.float32)})) == "failed"


def two_outputs(path: Path, scale: float) -> Path:
    """`scores` = x, `other` = log(x * x * scale): not a number below a scale of 0."""
    nodes = [
        helper.make_node("Identity", ["x"], ["scores"]),
        helper.make_node("Mul", ["x", "x"], ["s"]),
        helper.make_node("Mul", ["s", "scale"], ["m"]),
        helper.make_node("Log", ["m"], ["other"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 5]) for name in ("x", "scores", "other")]
    constant = onnx.numpy_helper.from_array(np.array([scale], np.float32), "scale")
    graph = helper.make_graph(nodes, "two", values[:1], values[1:], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize(("scale", "code"), [(1.0, 0), (-1.0, 2)])
def test_the_gate_command_judges_every_output(tmp_path: Path, scale: float, code: int) -> None:
    np.savez(tmp_path / "data.npz", x=SCORES, y=LABELS)
    models = [str(two_outputs(tmp_path / f"{index}.onnx", value)) for index, value in enumerate((1.0, scale))]
    command = [*models, "--data", str(tmp_path / "data.npz"), "--gate", "top1 >= -3pt", "--json"]
    result = CliRunner().invoke(gate_command, command, standalone_mode=False)
    assert result.return_value == code, result.output
    verdicts = json.loads(result.stdout)["verdicts"]
    assert verdicts[1]["slice"] == "output=other"
    assert code == 0 or "output 'other' holds NaN" in verdicts[1]["why"]


def test_the_manifest_tells_of_every_output(digits: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(digits[0])
    model.graph.output.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 24, 4, 4]))
    onnx.save(model, tmp_path / "two.onnx")
    shutil.copy(digits[1], tmp_path / "data.npz")
    result = edgewright.compile(
        tmp_path / "two.onnx", data=tmp_path / "data.npz", profiles=["arm64-linux"], gates=["top1 >= -3pt"],
        precisions=("float16",), runtimes=("onnxruntime",), out=tmp_path / "out", store=tmp_path / "store",
    )  # fmt: skip
    assert result.exit_code == 0, result.report.targets[0].why
    gates = open_artifact(result.artifacts["arm64-linux"]).manifest.gates
    assert [(gate.gate, gate.slice) for gate in gates] == [("top1 >= -3pt", None), (OUTPUT_GATE, "output=p")]
