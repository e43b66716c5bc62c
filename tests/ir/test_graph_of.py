"""A graph alone is read without the weights beside it, and a file that holds none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright.core.errors import ModelError
from edgewright.ir.model import Model
from onnx import TensorProto, helper, numpy_helper


def test_weights_beside_a_graph_are_not_read(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], "g", ends[:1], ends[1:], [weights])
    file = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph), file, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").unlink()
    assert [node.name for node in Model.graph_of(file).graph] == ["product"]


@pytest.mark.parametrize("data", [b"", b"not a model", None])
def test_what_holds_no_graph_is_refused(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "model.onnx"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read as an ONNX model"):
        Model.graph_of(file)
