"""From the IR to OpenVINO's: model.xml and model.bin, with names that do not depend on what the process did before."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...core.errors import LoweringError, StoreError
from ...device_profiles.profile import DeviceProfile
from ...ir.model import Model, constant, initializer
from ..contract import Lowered
from ..inputs import first_line
from ..qdq import join_pairs, prepare
from .compact import compact
from .gathers import flatten_gathers

ENTRY, WEIGHTS = "model.xml", "model.bin"
# How OpenVINO marks what constant folding must leave alone: a float16 weight would become float32, an int4 one int8.
_UNFOLDED = "DisableConstantFolding_0"
_GENERATED = re.compile(r"_\d+$")
_OPERATORS = re.compile(
    r"(?:Not supported ONNX operation|No conversion rule found for operations|unsupported op\w*):? *([\w.,: -]+)", re.I
)


def lower(model: Model, profile: DeviceProfile) -> Lowered:
    """Both files of the IR; QuantizeLinear becomes FakeQuantize with the same scales, float16 initializers stay float16.

    Raises LoweringError naming the operator that OpenVINO has no translation for.
    """
    del profile  # the plugin chooses kernels when it compiles, on the device
    converted, names = convert(model)
    import openvino

    names = _shorten(converted, names)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ENTRY
        openvino.serialize(converted, str(file))
        files = {ENTRY: compact(file.read_bytes()), WEIGHTS: file.with_suffix(".bin").read_bytes()}
    return Lowered(files, ENTRY, names)


def convert(model: Model) -> tuple[Any, dict[str, str]]:
    """OpenVINO's model, inputs and outputs named as in the IR, and the map from its operators to the nodes of the IR."""
    import openvino

    ready = join_pairs(prepare(model))
    _in_float(ready.graph)
    flatten_gathers(ready.graph)
    RemoveUnusedNodesPass()(ready.ir)
    _name_nodes(ready)
    try:
        with ready.on_disk() as file:
            converted = openvino.Core().read_model(str(file))
    except StoreError:
        raise
    except Exception as error:
        raise LoweringError(_refusal(ready, error)) from error
    _name_inputs(converted.inputs, [spec.name for spec in model.inputs])
    _name_outputs(converted.outputs, [spec.name for spec in model.outputs])
    made = {value.name for node in model.graph for value in node.outputs}
    names = _name_operators(converted, [node for node in ready.graph if node.outputs[0].name in made])
    _fold(converted)
    return converted, names


def _in_float(graph: onnx_ir.Graph) -> None:
    """Write int32 biases as the float32 that their kernels add; in OpenVINO's file each is five operators otherwise.

    DQ(@b_int32, s)    becomes    @(b * s)
    """
    for node in list(graph):
        integers = constant(node.inputs[0]) if node.op_type == "DequantizeLinear" and node.domain == "" else None
        scales = constant(node.inputs[1]) if integers is not None and integers.dtype == np.int32 else None
        zeros = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if integers is None or scales is None or integers.ndim > 1 or (zeros is not None and zeros.any()):
            continue
        made = node.outputs[0]
        value = initializer(f"{made.name}/float", np.asarray(integers.astype(np.float32) * scales, np.float32))
        graph.register_initializer(value)
        for user, index in list(made.uses()):
            user.replace_input_with(index, value)


def _fold(converted: Any) -> None:
    """Fold what the frontend leaves of shapes and biases, as openvino.convert_model does; integers, int4 and float16 stay.

    Const{bias} -> Reshape <- Concat <- ShapeOf ...    becomes    Const{bias [1, n, 1, 1]}
    """
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    narrow = (openvino.Type.f16, openvino.Type.i4)
    for operator in converted.get_ops():
        if operator.get_type_name() == "Convert" and operator.get_input_element_type(0) in narrow:
            operator.get_rt_info()[_UNFOLDED] = ""
    apply_moc_transformations(converted, cf=True, smart_reshape=False)


def _shorten(converted: Any, names: dict[str, str]) -> dict[str, str]:
    """Give every operator but inputs and results a number for a name, and no name to tensors within; the map, renamed."""
    from openvino._offline_transformations import apply_fused_names_cleanup

    apply_fused_names_cleanup(converted)
    ports = {port.get_node().get_friendly_name() for port in (*converted.inputs, *converted.outputs)}
    kept = {port.get_node().input_value(0).get_tensor().get_any_name() for port in converted.outputs}
    short: dict[str, str] = {}
    number = 0
    for operator in converted.get_ordered_ops():
        old = operator.get_friendly_name()
        if operator.get_type_name() in ("Parameter", "Result"):
            short |= {old: names[old]} if old in names else {}
            continue
        while str(number) in ports:
            number += 1
        operator.set_friendly_name(str(number))
        if old in names:
            short[str(number)] = names[old]
        number += 1
        for port in operator.outputs():
            if not kept & set(port.get_names()):
                port.get_tensor().set_names(set())
    return short


def _name_nodes(ready: Model) -> None:
    for index, node in enumerate(ready.graph):
        if not node.name:
            node.name = f"{node.op_type}:{index}"


def _name_inputs(ports: list[Any], names: list[str]) -> None:
    if len(ports) != len(names):
        raise LoweringError(
            f"OpenVINO kept {len(ports)} of the {len(names)} inputs {', '.join(names)}; remove the unused ones."
        )
    for port, name in zip(ports, names, strict=True):
        port.get_tensor().set_names({name})


def _name_outputs(ports: list[Any], names: list[str]) -> None:
    """Name the tensor that each result reads: the file keeps that one's names."""
    if len(ports) != len(names):
        raise LoweringError(f"OpenVINO kept {len(ports)} of the {len(names)} outputs {', '.join(names)}; remove the others.")
    sources = [port.get_node().input_value(0) for port in ports]
    for source, port, name in zip(sources, ports, names, strict=True):
        source.get_tensor().set_names({name})
        port.get_tensor().set_names({name})
    for source, name in zip(sources, names, strict=True):
        if set(source.get_names()) != {name}:
            raise LoweringError(
                f"the output {name!r} is the same tensor as another output, which OpenVINO cannot name; remove it."
            )


def _name_operators(converted: Any, known: Sequence[onnx_ir.Node]) -> dict[str, str]:
    """Replace names with a counter of the process in them; the map from names to the `known` nodes, those of the IR."""
    nodes = {str(node.name) for node in known}
    values = {value.name: str(node.name) for node in known for value in node.outputs}
    debug_map = {}
    counts: dict[str, int] = {}
    for operator in converted.get_ordered_ops():
        name, kind = operator.get_friendly_name(), operator.get_type_name()
        base = name.split("/sink_port")[0]
        origin = next((node for node in (base, values.get(base), name.rpartition("/")[0]) if node in nodes), None)
        if origin is None and kind not in ("Parameter", "Result") and (_GENERATED.search(name) or not name):
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{kind}.{counts[kind]}"
            operator.set_friendly_name(name)
        if origin is not None:
            debug_map[name] = origin
    return debug_map


def _refusal(ready: Model, error: Exception) -> str:
    """The sentence for a model that OpenVINO does not read: it names the operators if the message does."""
    lines = [line.strip() for line in str(error).splitlines()]
    present = {node.op_type for node in ready.graph}
    for line in lines:
        found = _OPERATORS.search(line)
        if found:
            return f"OpenVINO cannot express the operator {found[1].strip(' .:-')}; choose another runtime or replace it."
    for line in lines:
        named = sorted(kind for kind in present if re.search(rf"\b{kind}\b", line))
        if named:
            return f"OpenVINO cannot express the operator {named[0]}: {line.rstrip('.')[:300]}."
    return f"OpenVINO cannot express this model: {first_line(error)}."
