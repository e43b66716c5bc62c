"""What OpenVINO's CPU plugin does with each node, read from the graph that it executes."""

from __future__ import annotations

from typing import Any

import onnx_ir

from ...core.errors import LoweringError
from ...ir.model import Model
from ..contract import OperatorSupport
from ..inputs import first_line
from ..tracing import Arithmetic, trace
from .lower import convert
from .run import properties

_INTEGER = frozenset({"i8", "u8"})
_NOT_KERNELS = frozenset({"Const", "Input", "Output", "Reorder", "Result", "Parameter"})


def supports(model: Model) -> list[OperatorSupport]:
    """One entry a node; a node that the plugin fused takes the arithmetic of the kernel it became a part of."""
    import openvino

    try:
        converted, _ = convert(model)
        compiled = openvino.Core().compile_model(converted, "CPU", properties(1))
    except LoweringError as error:
        return _refused(model, str(error))
    except Exception as error:
        return _refused(model, f"OpenVINO cannot compile this model: {first_line(error)}.")
    kernels = _kernels(compiled)

    def arithmetic(node: onnx_ir.Node) -> Arithmetic | None:
        # An operator whose result is an output of the model goes by that output's name.
        names = (node.name or "", *(value.name or "" for value in node.outputs))
        return next((kernels[name] for name in names if name in kernels), None)

    return trace(model.graph, arithmetic)


def _kernels(compiled: Any) -> dict[str, Arithmetic]:
    """Arithmetic by the name of each operator that went into a kernel; integer where any kernel of that name is."""
    found: dict[str, Arithmetic] = {}
    for operator in compiled.get_runtime_model().get_ordered_ops():
        info = operator.get_rt_info()
        if info["layerType"].astype(str) in _NOT_KERNELS:
            continue
        runs: Arithmetic = "int8" if info["runtimePrecision"].astype(str).lower() in _INTEGER else "float32"
        for name in info["originalLayersNames"].astype(str).split(","):
            for part in (name, name.rpartition("/")[0]):
                if part and found.get(part) != "int8":
                    found[part] = runs
    return found


def _refused(model: Model, reason: str) -> list[OperatorSupport]:
    entries = []
    named = {node.op_type for node in model.graph if f"operator {node.op_type}" in reason}
    for node in model.graph:
        is_out = node.op_type in named or not named
        entries.append(OperatorSupport(node.name or "", node.op_type, "no" if is_out else "float32", reason if is_out else ""))
    return entries
