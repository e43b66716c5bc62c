"""What ONNX Runtime does with each node, read from the graph that its own optimiser makes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import onnx_ir

from ...core.errors import StoreError
from ...core.spool import no_scratch
from ...ir.model import Model
from ..contract import OperatorSupport
from ..inputs import first_line
from ..qdq import prepare
from ..tracing import Arithmetic, trace
from .integer_operators import fuse_biased_products
from .lower import refusal
from .run import session_options

_INTEGER = (onnx_ir.DataType.INT8, onnx_ir.DataType.UINT8)
# Integer kernels whose result is float.
_FLOAT_RESULT = frozenset(
    {"QGemm", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger", "MatMulNBits", "DynamicQuantizeMatMul"}
)
_NOT_WRITTEN = "Protobuf serialization failed"  # of ONNX Runtime, when the disk refuses
_BORDER = frozenset({"QuantizeLinear", "DequantizeLinear"})


def supports(model: Model) -> list[OperatorSupport]:
    """One entry a node: values keep their names in the optimised graph, so a name that is gone was fused away."""
    ready = prepare(model)
    fuse_biased_products(ready.graph)  # what ONNX Runtime does not fuse by itself
    try:
        optimised = _optimise(ready)
    except StoreError:
        raise
    except Exception as error:
        if _NOT_WRITTEN in str(error):
            raise no_scratch(OSError(first_line(error))) from error
        return _refused(model, ready, first_line(error))
    made = {value.name: node for node in optimised.graph for value in node.outputs}

    def arithmetic(node: onnx_ir.Node) -> Arithmetic | None:
        kernel = next((made[value.name] for value in node.outputs if value.name in made), None)
        if kernel is None:
            return None
        is_border = kernel.op_type in _BORDER
        if is_border and node.op_type not in _BORDER:
            return "float32"
        return "int8" if not is_border and _is_integer(kernel) else "float32"

    return [_explain(item) for item in trace(model.graph, arithmetic)]


def _optimise(ready: Model) -> Model:
    """The graph after fusion, before layouts that fit one CPU; raises whatever ONNX Runtime raises."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder, ready.on_disk() as given:
        file = Path(folder) / "optimised.onnx"
        options = session_options(1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(file)
        # Nothing is run, so weights need not stand in a kernel's own order too.
        options.add_session_config_entry("session.disable_prepacking", "1")
        # Beside the graph, which alone is read.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        onnxruntime.InferenceSession(str(given), options, providers=["CPUExecutionProvider"])
        return Model.graph_of(file)


def _is_integer(kernel: onnx_ir.Node) -> bool:
    if kernel.op_type in _FLOAT_RESULT or kernel.op_type.startswith("QLinear"):
        return True
    source = kernel.inputs[0] if kernel.inputs else None
    if source is None:
        return False
    maker = source.producer()
    return source.dtype in _INTEGER or (maker is not None and maker.op_type == "QuantizeLinear") or _passes_integers(maker)


def _passes_integers(maker: onnx_ir.Node | None) -> bool:
    """Whether a node whose result has no recorded type makes integers: its type follows from where it comes from."""
    if maker is None or maker.op_type in _FLOAT_RESULT or maker.op_type == "DequantizeLinear":
        return False
    return _is_integer(maker)


def _explain(item: OperatorSupport) -> OperatorSupport:
    if item.runs == "float32" and not item.reason and item.op_type in _BORDER:
        return replace(item, reason="a kernel of its own: nothing beside it fuses with it")
    return item


def _refused(model: Model, ready: Model, reason: str) -> list[OperatorSupport]:
    """The operator that ONNX Runtime names runs not at all; if it names none, none of them does."""
    node_name, op_type, why = refusal(ready) or ("", "", reason)
    entries = []
    for node in model.graph:
        is_named = (bool(node_name) and node.name == node_name) or (bool(op_type) and node.op_type == op_type)
        is_out = is_named or not (node_name or op_type)
        entries.append(OperatorSupport(node.name or "", node.op_type, "no" if is_out else "float32", why if is_out else ""))
    return entries
