"""QuantizeLinear and DequantizeLinear around the operators of a small model, by LiteRT's scheme and the ranges of one run."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from edgewright.runtimes.litert.scheme import OPERATORS
from litert.build import Arrays, expected, node
from onnx import numpy_helper

_CHANNELS = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}


def wrap(
    model: onnx.ModelProto, inputs: Arrays, *, kinds: Collection[str] = tuple(OPERATORS), unsigned: bool = False
) -> onnx.ModelProto:
    """`model` with every node of `kinds` wrapped; `unsigned` asks for uint8 integers."""
    return _Wrapper(model, inputs, kinds, unsigned).run()


class _Wrapper:
    def __init__(self, model: onnx.ModelProto, inputs: Arrays, kinds: Collection[str], unsigned: bool) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.kinds, self.offset = kinds, 128 if unsigned else 0
        self.dtype = np.uint8 if unsigned else np.int8
        self.constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
        self.values = {**inputs, **self.constants, **_all_values(model, inputs)}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for entry in model.graph.node:
            for name in entry.input:
                self.readers.setdefault(name, []).append(entry)
        self.group = {name: name for name in self.values}
        self.fixed: dict[str, tuple[float, int]] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.written: dict[str, str] = {}

    def run(self) -> onnx.ModelProto:
        chosen = [entry for entry in self.model.graph.node if entry.op_type in self.kinds]
        absorbed = {id(follower) for entry in chosen if (follower := self.follower(entry)) is not None}
        chosen = [entry for entry in chosen if id(entry) not in absorbed]
        for entry in chosen:
            self.join(entry)
        taken = {id(entry) for entry in chosen}
        made_by_kernel = {name for entry in chosen for name in self.result(entry)}
        outputs = {value.name for value in self.model.graph.output}
        for entry in self.model.graph.node:
            if id(entry) in taken:
                self.wrap_inputs(entry)
            else:
                for index, name in enumerate(entry.input):
                    entry.input[index] = self.written.get(name, name)
            for index, name in enumerate(entry.output):
                if name in made_by_kernel and name in outputs:
                    entry.output[index] = f"{name}/float"
            self.nodes.append(entry)
            for name in list(entry.output):
                plain = name.removesuffix("/float")
                if plain in made_by_kernel:
                    self.around(name, plain, plain if plain in outputs else f"{plain}/read")
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        del self.model.graph.value_info[:]
        return onnx.shape_inference.infer_shapes(self.model, strict_mode=True, data_prop=True)

    def follower(self, entry: onnx.NodeProto) -> onnx.NodeProto | None:
        rule = OPERATORS[entry.op_type]
        readers = self.readers.get(entry.output[0], [])
        if rule.same_scale or rule.fixed_output or len(readers) != 1 or readers[0].op_type not in ("Relu", "Clip"):
            return None
        return next(own for own in self.model.graph.node if own.output[0] == readers[0].output[0])

    def result(self, entry: onnx.NodeProto) -> list[str]:
        follower = self.follower(entry)
        return list(entry.output if follower is None else follower.output)

    def data(self, entry: onnx.NodeProto) -> list[str]:
        count = {"Concat": len(entry.input), "Add": 2, "Sub": 2, "Mul": 2, "MatMul": 2}.get(entry.op_type, 1)
        weight = entry.input[1] if OPERATORS[entry.op_type].weights is not None and entry.input[1] in self.constants else None
        return [name for name in entry.input[:count] if name != weight]

    def join(self, entry: onnx.NodeProto) -> None:
        rule = OPERATORS[entry.op_type]
        if rule.fixed_output is not None:
            self.fixed.update(dict.fromkeys(self.result(entry), rule.fixed_output))
        if rule.same_scale:
            names = {self.group[name] for name in (*self.data(entry), *self.result(entry))}
            root = sorted(names)[0]
            self.group = {name: root if group in names else group for name, group in self.group.items()}

    def affine(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        members = [other for other, group in self.group.items() if group == self.group[name]]
        demanded = [self.fixed[other] for other in members if other in self.fixed]
        if demanded:
            scale, zero = demanded[0]
        else:
            low = min(0.0, *(float(self.values[other].min()) for other in members))
            high = max(1e-3, *(float(self.values[other].max()) for other in members))
            scale = (high - low) / 255
            zero = int(np.clip(round(-128 - low / scale), -128, 127))
        return np.array(scale, np.float32), np.array(zero + self.offset, self.dtype)

    def constant(self, name: str, array: np.ndarray) -> str:
        if name not in self.constants:
            self.constants[name] = array
            self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def around(self, source: str, name: str, target: str) -> str:
        if name not in self.written:
            scale, zero = self.affine(name)
            parameters = [self.constant(f"{name}/scale", scale), self.constant(f"{name}/zero", zero)]
            self.nodes.append(node("QuantizeLinear", [source, *parameters], [f"{name}/integers"]))
            self.nodes.append(node("DequantizeLinear", [f"{name}/integers", *parameters], [target]))
            self.written[name] = target
        return self.written[name]

    def wrap_inputs(self, entry: onnx.NodeProto) -> None:
        names = self.data(entry)
        first = entry.input[0]
        for index, name in enumerate(entry.input):
            if name in names:
                entry.input[index] = self.around(name, name, f"{name}/read")
        rule = OPERATORS[entry.op_type]
        if rule.weights is not None and entry.input[1] in self.constants:
            scales = self.weights(entry)
            if len(entry.input) > 2 and entry.input[2]:
                given, _ = self.affine(first)
                bias = self.constants[entry.input[2]]
                scale = np.broadcast_to(given * scales, bias.shape).astype(np.float32)
                integers = self.constant(f"{entry.input[2]}/integers", np.rint(bias / scale).astype(np.int32))
                name = self.constant(f"{entry.input[2]}/scale", np.array(scale))
                self.nodes.append(node("DequantizeLinear", [integers, name], [f"{entry.input[2]}/read"], axis=0))
                entry.input[2] = f"{entry.input[2]}/read"

    def weights(self, entry: onnx.NodeProto) -> np.ndarray:
        name, array = entry.input[1], self.constants[entry.input[1]]
        turned = any(attribute.name == "transB" and attribute.i for attribute in entry.attribute)
        axis = _CHANNELS.get(entry.op_type, 0 if turned else 1) % array.ndim
        groups = next((attribute.i for attribute in entry.attribute if attribute.name == "group"), 1)
        if entry.op_type == "ConvTranspose" and groups > 1:
            scales = np.array(np.abs(array).max() / 127, np.float32)
        else:
            scales = (np.abs(array).max(tuple(other for other in range(array.ndim) if other != axis)) / 127).astype(np.float32)
        wide = scales.reshape([-1 if place == axis else 1 for place in range(array.ndim)]) if scales.ndim else scales
        integers = (np.clip(np.rint(array / wide), -127, 127) + self.offset).astype(self.dtype)
        parts = [self.constant(f"{name}/integers", integers), self.constant(f"{name}/scale", scales)]
        parts.append(self.constant(f"{name}/zero", np.full(scales.shape, self.offset, self.dtype)))
        attributes = {"axis": axis} if scales.ndim else {}
        self.nodes.append(node("DequantizeLinear", parts, [f"{name}/read"], **attributes))
        entry.input[1] = f"{name}/read"
        return scales


def _all_values(model: onnx.ModelProto, inputs: Arrays) -> dict[str, np.ndarray]:
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for entry in model.graph.node for name in entry.output)
    return expected(whole, inputs)
