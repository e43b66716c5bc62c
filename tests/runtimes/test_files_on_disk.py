"""A runtime is given bytes or the places of files: the answers are the same, and a child gives its file up when told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgewright.core.errors import RuntimeFailure
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.contract import Lowered
from edgewright.runtimes.remote import RemoteExecutor
from onnx import TensorProto, helper, numpy_helper

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(1, 24)


def lowered(runtime: str) -> Lowered:
    matrix = np.random.default_rng(0).standard_normal((24, 8), dtype=np.float32)
    values = [
        helper.make_tensor_value_info(*given) for given in (("x", TensorProto.FLOAT, [1, 24]), ("y", TensorProto.FLOAT, [1, 8]))
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")],
        "g",
        values[:1],
        values[1:],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return registry.get(runtime).lower(Model.from_bytes(model.SerializeToString()), load("x86-64-avx2"))


def on_disk(files: Lowered, folder: Path) -> dict[str, Path]:
    """Under names of their own, as the step store has them."""
    places = {}
    for index, (name, data) in enumerate(files.files.items()):
        places[name] = folder / f"file-{index}"
        assert isinstance(data, bytes)
        places[name].write_bytes(data)
    return places


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_files_on_disk_answer_as_their_bytes_do(runtime: str, tmp_path: Path) -> None:
    found = lowered(runtime)
    answers = []
    for files in (found.files, on_disk(found, tmp_path)):
        executor = registry.get(runtime).load(files, found.entry, 1)
        answers.append(executor.run({"x": X})["y"])
        executor.close()
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_a_file_that_is_missing_is_told_of(runtime: str, tmp_path: Path) -> None:
    found = lowered(runtime)
    places = {name: tmp_path / "gone" / name for name in found.files}
    with pytest.raises(RuntimeFailure):
        registry.get(runtime).load(places, found.entry, 1)


def test_a_child_loads_again_after_it_gave_a_file_up(tmp_path: Path) -> None:
    found = lowered("onnxruntime")
    with RemoteExecutor("onnxruntime", 1) as child:
        child.load(on_disk(found, tmp_path), found.entry)
        first = child.run({"x": X})["y"]
        child.unload()
        again = child.load(found.files, found.entry).run({"x": X})["y"]
    np.testing.assert_array_equal(first, again)
