"""`Model`: the one form between ingest and lowering, ONNX held by onnx-ir."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..core.errors import ModelError
from ..core.executor import TensorSpec
from . import serde
from .weightless import map_weights

MADE_BY = "edgewright.made_by"


class Model:
    """An ONNX graph with what the compiler asks of it. Passes never change a model: they `clone` it first."""

    def __init__(self, graph: onnx_ir.Model) -> None:
        """Hold `graph` (not copied)."""
        self.ir = graph

    @staticmethod
    def load(path: str | Path) -> Model:
        """Model of an .onnx file; raises ModelError."""
        file = Path(path)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read the model {file}: {error.strerror or error}; check the path.") from error
        return Model(serde.parse(data, str(file), file.parent))

    @staticmethod
    def graph_of(path: Path) -> Model:
        """Model of an .onnx file that was just written, whose weights lie beside it and are not read; raises ModelError."""
        return Model(serde.graph_of(path))

    def with_mapped_weights(self) -> Model:
        """A copy whose weights, where they are large, lie in a temporary file; raises StoreError."""
        copy = self.clone()
        map_weights(copy.ir)
        return copy

    @staticmethod
    def from_bytes(data: bytes, where: str = "the model") -> Model:
        """Model of ONNX bytes; raises ModelError."""
        return Model(serde.parse(data, where))

    def to_bytes(self) -> bytes:
        """Deterministic ONNX bytes: equal models give equal bytes."""
        return serde.serialize(self.ir)

    def on_disk(self) -> AbstractContextManager[Path]:
        """A file of the model for as long as the block lasts, for libraries that read one; raises StoreError."""
        return serde.on_disk(self.ir)

    def digest(self) -> str:
        """SHA-256 over the graph and each weight: equal models have equal digests. No second copy of the weights is made."""
        return serde.digest(self.ir)

    def clone(self) -> Model:
        """A copy that shares no node or value with this one (weights are shared: they are never changed in place)."""
        return Model(self.ir.clone())

    @property
    def graph(self) -> onnx_ir.Graph:
        """The main graph."""
        return self.ir.graph

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs that are not initializers; free sizes are None."""
        weights = self.graph.initializers
        return tuple(spec(value) for value in self.graph.inputs if value.name not in weights)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        return tuple(spec(value) for value in self.graph.outputs)

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """Every initializer as an array, by name."""
        return {
            name: value.const_value.numpy() for name, value in self.graph.initializers.items() if value.const_value is not None
        }

    def __str__(self) -> str:
        """The graph as ONNX text, weights left out."""
        return text(self)


def spec(value: onnx_ir.Value) -> TensorSpec:
    """`TensorSpec` of a graph value; raises ModelError when its rank or type is unknown."""
    if value.shape is None or value.dtype is None:
        raise ModelError(f"the shape or type of {value.name!r} is unknown; export the model with shapes.")
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(str(value.name), value.dtype.numpy().name, shape)


def constant(value: onnx_ir.Value | None) -> NDArray[Any] | None:
    """The array of an initializer or of a Constant node's output, else None."""
    if value is None:
        return None
    found = onnx_ir.convenience.get_const_tensor(value)
    return None if found is None else found.numpy()


def initializer(name: str, array: NDArray[Any]) -> onnx_ir.Value:
    """A value that holds `array` under `name`, to be registered with `graph.register_initializer`."""
    # Not ascontiguousarray: that makes a vector of a scalar, and ONNX Runtime fuses no Add whose scale is a vector.
    tensor = onnx_ir.tensor(np.asarray(array, order="C"), name=name)
    return onnx_ir.Value(name=name, shape=onnx_ir.Shape(array.shape), type=onnx_ir.TensorType(tensor.dtype), const_value=tensor)


def text(model: Model) -> str:
    """Readable listing: a line a node, `out = Op{attributes}(inputs)  # type[shape]`, weights by shape."""
    lines = [f"inputs: {', '.join(_typed(value) for value in model.graph.inputs)}"]
    for node in model.graph:
        attributes = ", ".join(f"{name}={_attribute(value)}" for name, value in sorted(node.attributes.items()))
        given = ", ".join("_" if value is None else _reference(value) for value in node.inputs)
        made = ", ".join(_typed(value) for value in node.outputs)
        stamp = node.metadata_props.get(MADE_BY)
        lines.append(f"{made} = {node.op_type}{{{attributes}}}({given})" + (f"  # {stamp}" if stamp else ""))
    lines.append(f"outputs: {', '.join(str(value.name) for value in model.graph.outputs)}")
    return "\n".join(lines)


def _typed(value: onnx_ir.Value) -> str:
    kind = value.dtype.name.lower() if value.dtype is not None else "?"
    shape = "x".join(str(size) for size in value.shape) if value.shape is not None else "?"
    return f"{value.name}:{kind}[{shape}]"


def _reference(value: onnx_ir.Value) -> str:
    if value.const_value is not None and value.is_initializer():
        return f"@{_typed(value)}"
    return str(value.name)


def _attribute(attribute: onnx_ir.Attr) -> str:
    value = attribute.value
    return "tensor" if isinstance(value, onnx_ir.TensorProtocol) else str(value)
