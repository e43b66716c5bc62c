"""From the IR to the .onnx file that ships; not ONNX Runtime's own optimised form, for that fits one CPU only."""

from __future__ import annotations

import re

import onnx_ir
from onnx_ir.passes.common import DeduplicateInitializersPass, RemoveUnusedNodesPass

from ...core.errors import LoweringError, StoreError
from ...device_profiles.profile import DeviceProfile
from ...ir.model import Model
from ..contract import Lowered
from ..inputs import first_line
from ..naming import shorten
from ..qdq import prepare
from .integer_operators import fuse, fuse_biased_products
from .run import session_options

ENTRY = "model.onnx"
_ABSORBED = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid"})
_NAMED = (
    re.compile(r"implementation for (?P<op>\w+)\(\d+\) node with name '(?P<node>[^']*)'"),
    re.compile(r"node\[(?P<node>[^\]]*)\] \[(?P<op>\w+)\]"),
    re.compile(r"operator \((?P<op>\w+)\) in node \((?P<node>[^)]*)\)"),
    re.compile(r"Node \((?P<node>[^)]*)\) Op \((?P<op>\w+)\)"),
    re.compile(r"name:? ?['(]?(?P<node>[\w./:-]+)[')]? .*?op_?type:? ?['(]?(?P<op>\w+)", re.I),
)


def lower(model: Model, profile: DeviceProfile) -> Lowered:
    """One .onnx file; quantized operators that have none of their own stand between QuantizeLinear and DequantizeLinear.

    Raises LoweringError naming the operator that ONNX Runtime has no kernel for.
    """
    del profile  # the same file serves every CPU; what differs was decided by the scheme
    named = prepare(model)
    known = _name_nodes(named, model)
    DeduplicateInitializersPass()(named.ir)
    fuse_biased_products(named.graph)
    fuse(named.graph)
    RemoveUnusedNodesPass()(named.ir)
    ready, names = shorten(named)
    _strip(ready.ir)
    refused = refusal(ready)
    if refused is not None:
        node, op_type, reason = refusal(named) or refused
        name = f"the operator {op_type} {node!r}" if op_type else "this model"
        raise LoweringError(f"ONNX Runtime cannot run {name}: {reason}.")
    # Kernels in ONNX Runtime's own layout go by the value that they make, an absorbed activation's in a convolution.
    traced = {str(node.name): names[str(_kernel(node).name)] for node in ready.graph}
    return Lowered({ENTRY: ready.to_bytes()}, ENTRY, {name: node for name, node in traced.items() if node in known})


def refusal(model: Model) -> tuple[str, str, str] | None:
    """(node, operator type, reason) that ONNX Runtime gives for not taking the model, or None when it does."""
    import onnxruntime

    options = session_options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        with model.on_disk() as file:
            onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except StoreError:
        raise
    except Exception as error:
        reason = first_line(error)
        for pattern in _NAMED:
            match = pattern.search(reason)
            if match:
                return match["node"], match["op"], reason
        return "", "", reason
    return None


def _name_nodes(ready: Model, model: Model) -> set[str]:
    """Name each node as the node of `model` with the same output, or as itself; the names of those that `model` has."""
    by_output = {value.name: node for node in model.graph for value in node.outputs}
    known = set()
    for node in ready.graph:
        original = by_output.get(node.outputs[0].name)
        node.name = (original.name if original is not None else None) or node.name or f"{node.op_type}:{node.outputs[0].name}"
        if original is not None:
            known.add(node.name)
    return known


def _kernel(node: onnx_ir.Node) -> onnx_ir.Node:
    """The convolution that takes `node` in as its activation, or `node` itself."""
    source = node.inputs[0] if node.inputs else None
    maker = source.producer() if source is not None and len(source.uses()) == 1 else None
    return maker if maker is not None and maker.op_type == "Conv" and node.op_type in _ABSORBED else node


def _strip(model: onnx_ir.Model) -> None:
    """Remove what exporters leave in a file (stack traces, paths, descriptions) and what ONNX Runtime infers (types within)."""
    model.producer_name, model.producer_version = "edgewright", None
    model.doc_string = model.graph.doc_string = None
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.doc_string = None
        value.metadata_props.clear()
    for value in model.graph.initializers.values():
        value.type = value.shape = None
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        node.doc_string = None
        node.metadata_props.clear()
        for value in node.outputs:
            value.doc_string = None
            value.metadata_props.clear()
            if not value.is_graph_output():
                value.type = value.shape = None
