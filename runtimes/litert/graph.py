"""The state of one lowering: which tensor of the file holds which value of the model, in which layout and arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...core.errors import LoweringError
from ...ir.model import constant as stored
from ..contract import OperatorSupport
from . import layout
from .constants import Constant, dequantized
from .flatbuffer import Quant, Tensor, Writer
from .layout import Perm

SUPPORTED_TYPES = ("float32", "int32", "int64", "bool", "int8", "uint8")


@dataclass(frozen=True)
class Bound:
    """Where a value lives. A value whose tensor is int8 is meant dequantized: whoever needs floats asks for them.

    `merged`: the tensor holds the value before a reshape that merged its last axes, whose data lie in another order than the
    model's; `merged` lists, for each element of the last axis in the file's order, its place in the model's.
    """

    tensor: Tensor
    perm: Perm
    merged: NDArray[Any] | None = None


class Lowering:
    """Shared by all emitters of one lowering."""

    def __init__(self, graph: onnx_ir.Graph) -> None:
        self.graph = graph
        self.writer = Writer()
        self.done: set[int] = set()
        self.support: dict[int, OperatorSupport] = {}
        self.origin: dict[str, str] = {}
        self.transposed_from: dict[int, tuple[Tensor, Perm]] = {}
        self._bound: dict[int, Bound] = {}
        self._constants: dict[int, Constant | None] = {}
        self._copies: dict[tuple[Any, ...], Tensor] = {}
        self._node: onnx_ir.Node | None = None

    # What the model says

    def enter(self, node: onnx_ir.Node) -> None:
        """Operators written from now on come from `node`."""
        self._node = node

    def fail(self, node: onnx_ir.Node, reason: str) -> LoweringError:
        """The error that `node` cannot be expressed."""
        return LoweringError(f"LiteRT cannot express {node.op_type} at node {label(node)!r}: {reason}.")

    def shape(self, value: onnx_ir.Value) -> tuple[int, ...]:
        """Static shape of a value; raises LoweringError."""
        known = self._constants.get(id(value))
        if known is not None:
            return tuple(known.array.shape)
        if value.shape is None or not all(isinstance(size, int) for size in value.shape):
            raise LoweringError(f"the shape of {value.name!r} is not fixed; fix the batch and every free size before lowering.")
        return tuple(int(size) for size in value.shape if isinstance(size, int))

    def dtype(self, value: onnx_ir.Value) -> str:
        """numpy name of a value's type; raises LoweringError where LiteRT has none for it."""
        found = value.dtype.numpy().name if value.dtype is not None else "unknown"
        if found not in SUPPORTED_TYPES:
            raise LoweringError(
                f"the tensor {value.name!r} is of type {found}, which LiteRT does not take; cast it to float32."
            )
        return str(found)

    def constant(self, value: onnx_ir.Value | None) -> Constant | None:
        """The constant behind `value`, looking through DequantizeLinear, QuantizeLinear, Identity and a Cast of float16."""
        if value is None:
            return None
        if id(value) not in self._constants:
            self._constants[id(value)] = self._find_constant(value)
        return self._constants[id(value)]

    def _find_constant(self, value: onnx_ir.Value) -> Constant | None:
        array = stored(value)
        if array is not None and not value.is_graph_input():
            return Constant(str(value.name), array)
        node = value.producer()
        if node is None or node.domain not in ("", "ai.onnx") or not node.inputs:
            return None
        source = self.constant(node.inputs[0])
        if source is None:
            return None
        if node.op_type == "Identity":
            return source
        if node.op_type == "Cast" and source.array.dtype == np.float16 and value.dtype == onnx_ir.DataType.FLOAT:
            return Constant(source.name, source.array, widened=True)
        if node.op_type == "QuantizeLinear":
            return _quantized(source, *self._scale(node), node.attributes.get_int("axis", 1))
        if node.op_type == "DequantizeLinear" and source.array.dtype.name in ("int4", "int8", "uint8", "int32"):
            if node.attributes.get_int("block_size", 0):
                raise self.fail(node, "blocks of scales have no kernel")
            return dequantized(source.name, source.array, *self._scale(node), node.attributes.get_int("axis", 1))
        return None

    def set_constant(self, value: onnx_ir.Value, constant: Constant) -> None:
        """Make `value` known as a constant."""
        self._constants[id(value)] = constant

    def array(self, value: onnx_ir.Value | None) -> NDArray[Any] | None:
        """The plain numbers of a constant, else None."""
        found = self.constant(value)
        return None if found is None else found.real

    def _scale(self, node: onnx_ir.Node) -> tuple[NDArray[Any], NDArray[Any] | None]:
        scale = self.array(node.inputs[1])
        given = len(node.inputs) > 2 and node.inputs[2] is not None
        zero = self.array(node.inputs[2]) if given else None
        if scale is None or (given and zero is None):
            raise self.fail(node, "its scale or zero point is not constant")
        return scale, zero

    def activation_quant(self, node: onnx_ir.Node) -> Quant:
        """Quant of an activation's QuantizeLinear or DequantizeLinear, as int8; raises LoweringError."""
        scale, zero = self._scale(node)
        if scale.size != 1:
            raise self.fail(node, "an activation has one scale per channel; quantize it per tensor")
        integers = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
        kind = integers.dtype.numpy().name if integers is not None and integers.dtype is not None else "unknown"
        kind = zero.dtype.name if zero is not None else kind
        if kind not in ("int8", "uint8"):
            raise self.fail(node, f"activations of type {kind} have no kernels; quantize to int8")
        point = int(zero.reshape(-1)[0]) if zero is not None else 0
        return Quant((float(scale.reshape(-1)[0]),), (point - 128 if kind == "uint8" else point,))

    # Where values live

    def bind(self, value: onnx_ir.Value, tensor: Tensor, perm: Perm, merged: NDArray[Any] | None = None) -> None:
        """`value` is held by `tensor` in layout `perm`."""
        self._bound[id(value)] = Bound(tensor, perm, merged)

    def alias(self, value: onnx_ir.Value, other: onnx_ir.Value) -> None:
        """`value` is held where `other` is."""
        self._bound[id(value)] = self.bound(other)

    def bound(self, value: onnx_ir.Value) -> Bound:
        """Where `value` lives; a constant is put into the file in the model's layout."""
        if id(value) not in self._bound:
            constant = self.constant(value)
            if constant is None:
                raise LoweringError(f"the tensor {value.name!r} is read before it is made; canonicalize the model first.")
            return Bound(self.put(constant), layout.identity(constant.array.ndim))
        return self._bound[id(value)]

    def perm(self, value: onnx_ir.Value) -> Perm:
        """Layout in which `value` lives."""
        return self.bound(value).perm

    def quant(self, value: onnx_ir.Value | None) -> Quant | None:
        """Per-tensor Quant of a value that lives in int8, else None."""
        if value is None:
            return None
        constant = self.constant(value)
        if constant is not None:
            return constant.quant if constant.is_int8 and constant.quant and len(constant.quant.scales) == 1 else None
        tensor = self.bound(value).tensor
        return tensor.quant if tensor.dtype == "int8" else None

    def put(self, constant: Constant, *, takes_int4: bool = False) -> Tensor:
        """A constant's tensor, as stored; integers that no kernel widens are written as float32, int4 as int8 but for
        readers that take it."""
        if takes_int4 and constant.is_int4:
            return self.writer.packed(constant.name, constant.array, constant.quant)
        if constant.quant is not None and constant.array.dtype != np.int8:
            return self.writer.constant(constant.name, constant.real)
        return self.writer.constant(constant.name, constant.array, constant.quant)

    def put_real(self, constant: Constant) -> Tensor:
        """A constant's tensor in float32, widened from what is stored when the file is loaded."""
        return self.widened(self.put(constant))

    def numbers(self, name: str, array: Any, dtype: str = "int32") -> Tensor:
        """A tensor of plain numbers that an operator takes as an argument."""
        return self.writer.constant(name, np.asarray(array, dtype))

    def raw(self, value: onnx_ir.Value, perm: Perm | None = None) -> Tensor:
        """The tensor of `value` in layout `perm` (default: the model's), int8 where it lives in int8."""
        constant = self.constant(value) if id(value) not in self._bound else None
        if constant is not None:
            return self.put(constant if perm is None else constant.transposed(perm))
        bound = self._bound[id(value)] if id(value) in self._bound else self.bound(value)
        wanted = perm if perm is not None else layout.identity(len(bound.perm))
        if bound.merged is not None:
            order = np.argsort(bound.merged)
            return self.gathered(bound.tensor, order)
        return self.transposed(bound.tensor, layout.change(bound.perm, wanted))

    def real(self, value: onnx_ir.Value, perm: Perm | None = None) -> Tensor:
        """The tensor of `value` in layout `perm`, in float32 where the value stands for reals."""
        return self.widened(self.raw(value, perm))

    # Copies in another layout or arithmetic, made once

    def widened(self, tensor: Tensor) -> Tensor:
        """`tensor` in float32: integers that stand for reals and float16 pass a DEQUANTIZE."""
        if tensor.dtype != "float16" and tensor.quant is None:
            return tensor
        return self._once(("widen", tensor.index), tensor, "DEQUANTIZE", [tensor], tensor.shape, "float32", None)

    def requantized(self, tensor: Tensor, quant: Quant) -> Tensor:
        """`tensor` with its reals rounded to the integers of `quant`."""
        if tensor.quant == quant and tensor.dtype == "int8":
            return tensor
        return self._once(("quantize", tensor.index, quant), tensor, "QUANTIZE", [tensor], tensor.shape, "int8", quant)

    def transposed(self, tensor: Tensor, perm: Perm) -> Tensor:
        """`tensor` with its axes permuted; a RESHAPE where no element moves."""
        if perm == layout.identity(len(perm)):
            return tensor
        shape = layout.apply(tensor.shape, perm)
        if layout.moves_nothing(tensor.shape, perm):
            return self.reshaped(tensor, shape)
        order = self.numbers("perm", perm)
        key = ("transpose", tensor.index, perm)
        made = self._once(key, tensor, "TRANSPOSE", [tensor, order], shape, tensor.dtype, tensor.quant)
        self.transposed_from[made.index] = (tensor, perm)
        return made

    def reshaped(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """`tensor` in another shape."""
        if tuple(shape) == tensor.shape:
            return tensor
        sizes = self.numbers("shape", shape)
        key = ("reshape", tensor.index, tuple(shape))
        options = ("ReshapeOptions", {"newShape": np.asarray(shape, np.int32)})
        return self._once(key, tensor, "RESHAPE", [tensor, sizes], tuple(shape), tensor.dtype, tensor.quant, options)

    def gathered(self, tensor: Tensor, order: NDArray[Any]) -> Tensor:
        """`tensor` with the elements of its last axis in another order."""
        indices = self.numbers("order", order)
        key = ("gather", tensor.index, indices.index)
        options = ("GatherOptions", {"axis": len(tensor.shape) - 1})
        return self._once(key, tensor, "GATHER", [tensor, indices], tensor.shape, tensor.dtype, tensor.quant, options)

    def _once(
        self,
        key: tuple[Any, ...],
        like: Tensor,
        kind: str,
        inputs: list[Tensor],
        shape: tuple[int, ...],
        dtype: str,
        quant: Quant | None,
        options: tuple[str, Mapping[str, Any]] | None = None,
    ) -> Tensor:
        if key not in self._copies:
            name = f"{self.writer.name_of(like)}/{kind.lower()}"
            self._copies[key] = self.emit(kind, inputs, shape, dtype, name=name, quant=quant, options=options)
        return self._copies[key]

    # Writing

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        name: str | None = None,
        quant: Quant | None = None,
        options: tuple[str, Mapping[str, Any]] | None = None,
    ) -> Tensor:
        """Append an operator with one output, and give that."""
        made = self.writer.tensor(name or self._name(), shape, dtype, quant)
        self.emit_into(kind, inputs, [made], options)
        return made

    def emit_into(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        options: tuple[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Append an operator that fills `outputs`."""
        self.writer.operator(kind, inputs, outputs, *(options or (None, None)))
        if self._node is not None:
            self.origin[self.writer.name_of(outputs[0])] = label(self._node)

    def rename(self, tensor: Tensor, name: str, inputs: Collection[int]) -> None:
        """Give `tensor` the name of a graph output; an input of the same name keeps it."""
        before = self.writer.name_of(tensor)
        displaced = self.writer.rename(tensor, name, inputs)
        if displaced is not None and name in self.origin:
            self.origin[displaced] = self.origin.pop(name)
        if before in self.origin:
            self.origin[name] = self.origin.pop(before)

    def _name(self) -> str:
        return str(self._node.outputs[0].name) if self._node is not None else "made"

    def record(self, node: onnx_ir.Node, runs: Literal["int8", "float32", "no"], reason: str = "") -> None:
        """What becomes of `node`."""
        self.support[id(node)] = OperatorSupport(label(node), node.op_type, runs, reason)


def label(node: onnx_ir.Node) -> str:
    """The node's name, or that of its first output where it has none."""
    return str(node.name or (node.outputs[0].name if node.outputs else node.op_type))


def _quantized(source: Constant, scale: NDArray[Any], zero: NDArray[Any] | None, axis: int) -> Constant | None:
    """QuantizeLinear of a constant, in numbers."""
    array = source.real
    kind = np.dtype(np.uint8) if zero is None else zero.dtype
    if kind.name not in ("int8", "uint8", "int32") or array.dtype != np.float32:
        return None
    shape = [1] * array.ndim
    if scale.size > 1:
        shape[axis] = -1
    point = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    limits = np.iinfo(kind)
    rounded = np.rint(array / scale.reshape(shape)) + point.reshape(shape)
    return Constant(source.name, np.clip(rounded, limits.min, limits.max).astype(kind))
