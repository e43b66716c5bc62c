"""Widths that hang on measured times: the file of measurements gives them again, in another store as in the same one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import pytest
from edgewright.device_profiles.loader import known, load
from edgewright.optimizer.compile import CompileResult
from edgewright.optimizer.prune.latency_model import timed_runtimes
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")

HERE = next((name for name in known() if timed_runtimes(load(name))), "")
HALF = "half: prune{amount=0.5,importance=l2,allocation=latency,align=1},fold-bn"

pytestmark = pytest.mark.skipif(not HERE, reason="no profile of this machine's kind")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers whose units can be removed, `wide` and `narrow`, and the one that answers."""
    draw = np.random.default_rng(0)
    shapes = {"wide": (64, 256), "narrow": (256, 64), "head": (64, 4)}
    nodes = [
        helper.make_node("MatMul", ["x", "wide"], ["a"]),
        helper.make_node("Relu", ["a"], ["ra"]),
        helper.make_node("MatMul", ["ra", "narrow"], ["b"]),
        helper.make_node("Relu", ["b"], ["rb"]),
        helper.make_node("MatMul", ["rb", "head"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(draw.normal(0, 0.1, shape).astype(np.float32), name) for name, shape in shapes.items()],
    )
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString())
    return path


def _compile(model: Path, out: Path, store: Path, **options: Any) -> CompileResult:
    draw = np.random.default_rng(1)
    data = {"x": draw.normal(0, 1, (400, 64)).astype(np.float32)}
    return edgewright.compile(
        model, data=data, profiles=HERE, gates="agreement >= 2%", runtimes="onnxruntime", precisions="float32", pipelines=HALF,
        objective="size", search_samples=64, calib_samples=32, out=out, store=store, ledger=out / "ledger.jsonl", **options,
    )  # fmt: skip


def _widths(result: CompileResult) -> list[str]:
    (variant,) = result.report.variants
    assert variant.why == ""
    return [note for step in variant.passes for note in step.notes if note.startswith("pruned most")]


def _with_times(file: Path, edited: Path, slow: str) -> Path:
    """A copy of the measurements in which the time of the layer `slow` alone hangs on its channels."""
    value = json.loads(file.read_bytes())
    layers = {name: figure for name, figure in value["figures"].items() if name.startswith("layer:")}
    assert layers
    for figure in layers.values():
        is_slow = figure["outputs"][-1] == {"wide": 256, "narrow": 64}[slow]
        figure["time_us"] = [[float(made) if is_slow else 1.0 for made in figure["outputs"]] for _ in figure["inputs"]]
    edited.write_text(json.dumps(value), "utf-8")
    return edited


def test_the_measurements_of_a_compile_give_its_bytes_again_and_other_times_give_other_widths(
    model: Path, tmp_path: Path
) -> None:
    first = _compile(model, tmp_path / "first", tmp_path / "store")
    assert first.report.targets[0].chosen == "onnxruntime/float32/half"
    file = tmp_path / "first" / "measurements.json"
    again = _compile(model, tmp_path / "again", tmp_path / "other", measurements=file)
    assert again.artifacts[HERE].read_bytes() == first.artifacts[HERE].read_bytes()
    assert (tmp_path / "again" / "measurements.json").read_bytes() == file.read_bytes()

    found = [
        _widths(
            _compile(
                model,
                tmp_path / slow,
                tmp_path / "store",
                measurements=_with_times(file, tmp_path / f"{slow}.json", slow),
            )
        )
        for slow in ("wide", "narrow")
    ]
    assert found[0] != found[1]


def test_a_pruning_that_is_found_in_the_store_still_tells_its_times(model: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        _compile(model, tmp_path / name, tmp_path / "store")
    first, second = (json.loads((tmp_path / name / "measurements.json").read_bytes()) for name in ("first", "second"))
    assert [name for name in first["figures"] if name.startswith("layer:")]
    assert second == first
