from __future__ import annotations

import numpy as np
from edgewright.ir.model import MADE_BY, Model
from edgewright.ir.rewrites.strip import Strip


def test_nothing_of_the_exporter_stays(build):
    model = build([("Relu", ["x"], ["a"], {}), ("Add", ["a", "w"], ["y"], {})], {"w": np.ones(3)}, {"x": [1, 3]}, ["y"])
    clean = Strip().run(model).model.to_bytes()
    trace = "/home/ada/net.py"
    model.ir.doc_string = model.graph.doc_string = model.graph.name = trace
    model.ir.metadata_props["path"] = trace
    model.graph.metadata_props["path"] = trace
    model.ir.producer_name, model.ir.producer_version = "exporter", "1.2"
    for node in model.graph:
        node.doc_string = node.metadata_props["stack_trace"] = trace
        node.outputs[0].doc_string = node.outputs[0].metadata_props["where"] = trace
    model.graph.inputs[0].metadata_props["where"] = trace
    model.graph.initializers["w"].metadata_props["where"] = trace
    read = Model.from_bytes(model.to_bytes())
    assert trace.encode() in read.to_bytes()
    result = Strip().run(read)
    assert result.changed
    assert trace.encode() not in result.model.to_bytes()
    assert result.model.to_bytes() == clean
    assert not Strip().run(result.model).changed


def test_the_stamps_of_passes_stay(build):
    model = build([("Relu", ["x"], ["y"], {})], {}, {"x": [1, 3]}, ["y"])
    node = next(iter(model.graph))
    node.metadata_props.update({MADE_BY: "fold-bn", "other": "1"})
    assert dict(next(iter(Strip().run(model).model.graph)).metadata_props) == {MADE_BY: "fold-bn"}
    assert node.metadata_props["other"] == "1"
