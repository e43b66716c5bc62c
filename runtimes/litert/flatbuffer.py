"""Writing a TFLite file: tensors, operators and buffers collected in order, packed on the schema that ai-edge-litert ships."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ...core.canonical import digest
from ...core.mapping import forget_pages
from ...core.spool import Spool
from .sharing import SharedTable, SharingBuilder

_IDENTIFIER = b"TFL3"
_TABLES_BYTES = 1 << 25  # room for all but constants; what is not written takes no memory
_LARGE_BYTES = 1 << 16  # of a constant that waits in a file, not in memory
_ALIGNMENT = 16  # of every buffer: kernels read weights with vector loads
_LEAST_VERSION = {schema.BuiltinOperator.BROADCAST_TO: 2}  # the first version that interpreters have; 1 for all others
_TYPES = {
    "int4": schema.TensorType.INT4,
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
}


@dataclass(frozen=True)
class Quant:
    """Real value = scale * (integer - zero), per tensor (one scale) or along `axis`."""

    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int = 0

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantization."""
        return self.scales[0]

    @property
    def zero(self) -> int:
        """The zero point of a per-tensor quantization."""
        return self.zeros[0]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file: its index, shape, numpy type name and, where its numbers are integers that stand for reals, how."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    quant: Quant | None = None
    is_constant: bool = False


@dataclass(frozen=True)
class _Waiting:
    """Bytes of a large constant, in a file until they are packed."""

    spool: Spool
    place: int
    nbytes: int


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes start at a multiple of 16 in the file, as the schema's force_align asks."""

    data: Any

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
        """Write the buffer; gives its place in the builder."""
        if self.data is None:
            return super().Pack(builder)
        size = self.data.nbytes
        builder.StartVector(1, size, _ALIGNMENT)
        builder.head -= size
        with memoryview(builder.Bytes) as written:
            target = written[builder.head : builder.head + size]
            if isinstance(self.data, _Waiting):
                self.data.spool.read_into(self.data.place, target)
            else:
                target[:] = self.data.data
            target.release()
        self.data = None  # it is in the file now, and its memory is free for what follows
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


class Writer:
    """Collects one subgraph; equal calls in equal order give equal bytes."""

    def __init__(self) -> None:
        empty = AlignedBuffer()
        self._buffers: list[Any] = [empty]
        self._buffer_of: dict[str, int] = {}
        self._spool = Spool()
        self._constants: dict[tuple[Any, ...], Tensor] = {}
        self._tensors: list[Any] = []
        self._names: set[str] = set()
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}

    def tensor(self, name: str, shape: Sequence[int], dtype: str, quant: Quant | None = None) -> Tensor:
        """A tensor that an operator or the caller fills; the name is made unique by a counter."""
        return self._add(name, tuple(shape), dtype, quant, 0)

    def constant(self, name: str, array: NDArray[Any], quant: Quant | None = None) -> Tensor:
        """A tensor that holds `array`; equal constants are stored once."""
        contiguous = np.ascontiguousarray(array).reshape(array.shape)
        return self._stored(name, contiguous.tobytes(), contiguous.shape, contiguous.dtype.name, quant)

    def packed(self, name: str, array: NDArray[Any], quant: Quant | None = None) -> Tensor:
        """A tensor of int4 that holds the int8 `array`, all in [-8, 7]: two to a byte, the first in the lower half."""
        flat = np.resize(array.reshape(-1), array.size + array.size % 2).astype(np.uint8) & 15
        return self._stored(name, (flat[0::2] | flat[1::2] << 4).tobytes(), array.shape, "int4", quant)

    def _stored(self, name: str, data: bytes, shape: tuple[int, ...], dtype: str, quant: Quant | None) -> Tensor:
        found = digest(data)
        key = (found, shape, dtype, quant)
        if key not in self._constants:
            if found not in self._buffer_of:
                buffer = AlignedBuffer()
                if len(data) < _LARGE_BYTES:
                    buffer.data = np.frombuffer(data, np.uint8)
                else:
                    buffer.data = _Waiting(self._spool, self._spool.add(data), len(data))
                self._buffer_of[found] = len(self._buffers)
                self._buffers.append(buffer)
            self._constants[key] = self._add(name, shape, dtype, quant, self._buffer_of[found])
        return self._constants[key]

    def _add(self, name: str, shape: tuple[int, ...], dtype: str, quant: Quant | None, buffer: int) -> Tensor:
        entry = schema.TensorT()
        entry.name = self._unique(name)
        entry.shape = np.asarray(shape, np.int32)
        entry.type = _TYPES[dtype]
        entry.buffer = buffer
        entry.hasRank = not shape  # only of a scalar does the shape not tell it
        if quant is not None:
            entry.quantization = SharedTable(_parameters(quant))
        self._tensors.append(entry)
        return Tensor(len(self._tensors) - 1, shape, dtype, quant, buffer != 0)

    def _unique(self, name: str) -> str:
        found, count = name, 1
        while found in self._names:
            found, count = f"{name};{count}", count + 1
        self._names.add(found)
        return found

    def name_of(self, tensor: Tensor) -> str:
        """The name of a tensor in the file."""
        return str(self._tensors[tensor.index].name)

    def rename(self, tensor: Tensor, name: str, kept: Collection[int] = ()) -> str | None:
        """Give `tensor` exactly the name `name`; whoever has it, but for indices `kept`, gets another, which is returned."""
        displaced = None
        for index, entry in enumerate(self._tensors):
            if entry.name == name and index != tensor.index and index not in kept:
                entry.name = displaced = self._unique(f"{name};inner")
        self._names.add(name)
        self._tensors[tensor.index].name = name
        return displaced

    def unname(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Take the names of all tensors but inputs and outputs; from all names before to what tensors of the file go by now.

        What has no name goes by its number in the file, "#7".
        """
        place = self._places(inputs, outputs, self._needed(outputs))
        ports = {tensor.index for tensor in (*inputs.values(), *outputs.values())}
        known = {}
        for index, new in place.items():
            entry = self._tensors[index]
            known[str(entry.name)] = str(entry.name) if index in ports else number(new)
            if index not in ports:
                entry.name = None
        return known

    def operator(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        options: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Append the built-in operator `kind` ("CONV_2D") with `options` ("Conv2DOptions") set from `fields`."""
        code = getattr(schema.BuiltinOperator, kind)
        entry = schema.OperatorT()
        entry.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        entry.inputs = np.asarray([-1 if tensor is None else tensor.index for tensor in inputs], np.int32)
        entry.outputs = np.asarray([tensor.index for tensor in outputs], np.int32)
        if options is not None:
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            table = getattr(schema, f"{options}T")()
            for name, value in (fields or {}).items():
                if not hasattr(table, name):
                    raise AttributeError(f"{options} has no field {name!r}")
                setattr(table, name, value)
            entry.builtinOptions = SharedTable(table)
        self._operators.append(entry)

    def finish(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> bytes:
        """The file's bytes, with one subgraph and one signature that carries the given names.

        Operators that no output needs are left out, and with them their tensors, buffers and codes.
        """
        operators = self._needed(outputs)
        place = self._places(inputs, outputs, operators)
        tensors = [copy(self._tensors[index]) for index in place]
        buffers = _numbered([0, *(entry.buffer for entry in tensors)])
        codes = _numbered([entry.opcodeIndex for entry in operators])
        for entry in tensors:
            entry.buffer = buffers[entry.buffer]
        graph = schema.SubGraphT()
        graph.name = "main"
        graph.tensors = tensors
        graph.operators = [_placed(entry, place, codes) for entry in operators]
        graph.inputs = np.asarray([place[tensor.index] for tensor in inputs.values()], np.int32)
        graph.outputs = np.asarray([place[tensor.index] for tensor in outputs.values()], np.int32)
        known = list(self._codes)
        model = schema.ModelT()
        model.version = 3
        model.description = "edgewright"
        model.operatorCodes = [_code(known[index]) for index in codes]
        model.subgraphs = [graph]
        model.buffers = [self._buffers[index] for index in buffers]
        model.signatureDefs = [_signature(inputs, outputs, place)]
        # From here on nothing is added, and each buffer is given up as soon as it is packed.
        self._buffers, self._buffer_of, self._constants = [], {}, {}
        forget_pages()
        known = sum(buffer.data.nbytes + _ALIGNMENT for buffer in model.buffers if buffer.data is not None)
        builder = SharingBuilder(known + known // 4 + _TABLES_BYTES)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return builder.taken()

    def _places(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], operators: Sequence[Any]) -> dict[int, int]:
        """Number in the file of each tensor that is stored, in its order."""
        order = sorted(
            {tensor.index for tensor in (*inputs.values(), *outputs.values())}
            | {int(index) for entry in operators for index in (*entry.inputs, *entry.outputs) if index >= 0}
        )
        return {index: new for new, index in enumerate(order)}

    def _needed(self, outputs: Mapping[str, Tensor]) -> list[Any]:
        wanted = {tensor.index for tensor in outputs.values()}
        kept = []
        for entry in reversed(self._operators):
            if not wanted.isdisjoint(map(int, entry.outputs)):
                kept.append(entry)
                wanted.update(map(int, entry.inputs))
        return kept[::-1]


def number(index: int) -> str:
    """What the tensor `index` of a file goes by where it has no name."""
    return f"#{index}"


def _numbered(items: Sequence[int]) -> dict[int, int]:
    """New number of each item, in order of first appearance."""
    return {item: index for index, item in enumerate(dict.fromkeys(items))}


def _parameters(quant: Quant) -> Any:
    entry = schema.QuantizationParametersT()
    entry.scale = np.asarray(quant.scales, np.float32)
    entry.zeroPoint = np.asarray(quant.zeros, np.int64)
    entry.quantizedDimension = quant.axis
    return entry


def _placed(entry: Any, place: Mapping[int, int], codes: Mapping[int, int]) -> Any:
    moved = copy(entry)
    moved.opcodeIndex = codes[entry.opcodeIndex]
    moved.inputs = np.asarray([place[int(index)] if index >= 0 else -1 for index in entry.inputs], np.int32)
    moved.outputs = np.asarray([place[int(index)] for index in entry.outputs], np.int32)
    return moved


def _code(code: int) -> Any:
    entry = schema.OperatorCodeT()
    entry.builtinCode = code
    entry.deprecatedBuiltinCode = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    entry.version = _LEAST_VERSION.get(code, 1)
    return entry


def _signature(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], place: Mapping[int, int]) -> Any:
    entry = schema.SignatureDefT()
    entry.signatureKey = "serving_default"
    entry.subgraphIndex = 0
    entry.inputs = [_tensor_map(name, place[tensor.index]) for name, tensor in inputs.items()]
    entry.outputs = [_tensor_map(name, place[tensor.index]) for name, tensor in outputs.items()]
    return entry


def _tensor_map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = index
    return entry
