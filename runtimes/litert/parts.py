"""A .tflite file taken apart: each operator in a file of its own, as profiling and verification want it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from .flatbuffer import AlignedBuffer, Quant, number

_KINDS = {code: name for name, code in sorted(vars(schema.BuiltinOperator).items(), reverse=True) if not name.startswith("_")}
_DTYPES = {
    schema.TensorType.INT4: "int4",
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT64: "int64",
    schema.TensorType.BOOL: "bool",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT8: "int8",
}


@dataclass(frozen=True)
class PartTensor:
    """A tensor of the whole file: its index there, and its numbers where it is a constant (int4 as int8)."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    quant: Quant | None
    array: NDArray[Any] | None


@dataclass(frozen=True)
class Part:
    """One operator: its kind, tensors and options in the whole file, and `data`, a file that holds it alone.

    `free` are the indices that the file alone takes as inputs, in its order: those that are neither constant nor widened from
    a constant. It makes all `outputs`.
    """

    kind: str
    inputs: tuple[PartTensor | None, ...]
    outputs: tuple[PartTensor, ...]
    options: dict[str, Any]
    free: tuple[int, ...]
    data: bytes

    @property
    def name(self) -> str:
        """The operator goes by the name of its first output."""
        return self.outputs[0].name


def take_apart(data: bytes) -> list[Part]:
    """The operators of a file in its order.

    Operators that widen constants (DEQUANTIZE of weights) go with their readers, as in the whole file, where they run once.
    """
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    tensors = [_tensor(model, index) for index in range(len(graph.tensors))]
    widened = _widened_constants(model, tensors)
    found = []
    for entry in graph.operators:
        if int(entry.outputs[0]) in widened:
            continue
        needed = [widened[int(index)] for index in entry.inputs if int(index) in widened]
        free, alone = _alone(model, tensors, [*needed, entry])
        found.append(
            Part(
                kind_of(model, entry),
                tuple(tensors[int(index)] if index >= 0 else None for index in entry.inputs),
                tuple(tensors[int(index)] for index in entry.outputs),
                dict(vars(entry.builtinOptions)) if entry.builtinOptions is not None else {},
                free,
                alone,
            )
        )
    return found


def kind_of(model: Any, entry: Any) -> str:
    """Name of an operator's kind ("CONV_2D")."""
    code = model.operatorCodes[entry.opcodeIndex]
    return str(_KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)])


def _tensor(model: Any, index: int) -> PartTensor:
    entry = model.subgraphs[0].tensors[index]
    shape = tuple(map(int, entry.shape)) if entry.shape is not None else ()
    dtype = _DTYPES[entry.type]
    stored = model.buffers[entry.buffer].data
    array = None if stored is None else _numbers(np.asarray(stored, np.uint8), dtype, shape)
    given, quant = entry.quantization, None
    if given is not None and given.scale is not None:
        quant = Quant(tuple(map(float, given.scale)), tuple(map(int, given.zeroPoint)), int(given.quantizedDimension))
    name = entry.name.decode() if isinstance(entry.name, bytes) else entry.name
    return PartTensor(index, name or number(index), dtype, shape, quant, array)


def _numbers(stored: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if dtype != "int4":
        return np.frombuffer(stored.tobytes(), dtype).reshape(shape)
    halves = np.stack([stored & 15, stored >> 4], axis=1).reshape(-1)[: int(np.prod(shape))].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(shape)


def _widened_constants(model: Any, tensors: list[PartTensor]) -> dict[int, Any]:
    """DEQUANTIZE operator by output tensor, of those that read a constant."""
    return {
        int(entry.outputs[0]): entry
        for entry in model.subgraphs[0].operators
        if kind_of(model, entry) == "DEQUANTIZE" and tensors[int(entry.inputs[0])].array is not None
    }


def _alone(model: Any, tensors: list[PartTensor], operators: list[Any]) -> tuple[tuple[int, ...], bytes]:
    made = {int(index) for entry in operators for index in entry.outputs}
    read = dict.fromkeys(int(index) for entry in operators for index in entry.inputs if index >= 0)
    order = [*read, *sorted(made - set(read))]
    place = {index: new for new, index in enumerate(order)}
    part = schema.SubGraphT()
    part.tensors, buffers = [], [schema.BufferT()]
    for index in order:
        entry = copy(model.subgraphs[0].tensors[index])
        stored, entry.buffer = model.buffers[entry.buffer], 0
        entry.name = tensors[index].name
        if stored.data is not None:
            entry.buffer = len(buffers)
            buffer = AlignedBuffer()
            buffer.data = np.asarray(stored.data, np.uint8)
            buffers.append(buffer)
        part.tensors.append(entry)
    part.operators = []
    for operator in operators:
        moved = copy(operator)
        moved.inputs = np.asarray([place.get(int(index), -1) for index in operator.inputs], np.int32)
        moved.outputs = np.asarray([place[int(index)] for index in operator.outputs], np.int32)
        part.operators.append(moved)
    free = tuple(index for index in read if index not in made and tensors[index].array is None)
    part.inputs = np.asarray([place[index] for index in free], np.int32)
    part.outputs = np.asarray([place[int(index)] for index in operators[-1].outputs], np.int32)
    whole = schema.ModelT()
    whole.version = 3
    whole.operatorCodes = model.operatorCodes
    whole.subgraphs = [part]
    whole.buffers = buffers
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")
    return free, bytes(builder.Output())
