"""What a model costs at given widths of its groups, counted without making that model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import onnx_ir

from ...ir.model import Model
from ...ir.statistics import node_macs
from .places import Group

Widths = Mapping[str, int]

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


class CostModel(Protocol):
    """A cost as a function of the groups' widths."""

    def total(self, widths: Widths) -> float:
        """Cost of the whole model."""

    def of_group(self, name: str, widths: Widths) -> float:
        """Cost of all that the width of the group `name` changes."""

    def neighbours(self, name: str) -> frozenset[str]:
        """Groups on whose widths `of_group` depends, itself among them."""


@dataclass(frozen=True)
class Extent:
    """Size of one axis: `fixed` positions and, for each (group, n) of `terms`, n a unit, all dealt out to equal `parts`."""

    fixed: int
    terms: tuple[tuple[str, int], ...] = ()
    parts: int = 1

    def at(self, widths: Widths) -> int:
        """Positions at these widths."""
        return (self.fixed + sum(widths[name] * count for name, count in self.terms)) // self.parts


@dataclass(frozen=True)
class Product:
    """`factor` times the product of extents: elements of a tensor, or multiply-accumulates of a layer."""

    factor: float
    extents: tuple[Extent, ...]

    @property
    def groups(self) -> frozenset[str]:
        """Names of the groups that change it."""
        return frozenset(name for extent in self.extents for name, _ in extent.terms)

    def at(self, widths: Widths) -> float:
        """Its value at these widths."""
        return self.factor * math.prod(extent.at(widths) for extent in self.extents)


def sizes(value: onnx_ir.Value) -> tuple[int, ...]:
    """Shape of a tensor with free sizes as 1; empty where it is unknown."""
    return tuple(size if isinstance(size, int) else 1 for size in value.shape or ())


class Extents:
    """The axes of every tensor, by the groups that lie along them."""

    def __init__(self, groups: Sequence[Group]) -> None:
        """Of these groups."""
        self._places: dict[tuple[str, int], list[tuple[str, int, int]]] = {}
        for group in groups:
            for place in (*group.weights, *group.values):
                entry = (group.name, place.index.shape[1], group.units)
                self._places.setdefault((place.tensor, place.axis), []).append(entry)

    def axis(self, value: onnx_ir.Value, axis: int) -> Extent:
        """One axis of a tensor, counted from the end where negative; a free one has 1 position."""
        known = sizes(value)
        if not known:
            return Extent(1)
        found = self._places.get((str(value.name), axis % len(known)), ())
        fixed = known[axis] - sum(count * units for _, count, units in found)
        return Extent(fixed, tuple((name, count) for name, count, _ in found))

    def axes(self, value: onnx_ir.Value) -> tuple[Extent, ...]:
        """All axes of a tensor."""
        return tuple(self.axis(value, axis) for axis in range(len(value.shape or ())))


def weight_extents(node: onnx_ir.Node, weights: onnx_ir.Value, extents: Extents) -> tuple[Extent, ...]:
    """Axes of a layer's weights; those that a grouped convolution sums over follow from the channels that it reads."""
    found = extents.axes(weights)
    groups = node.attributes.get_int("group", 1)
    if node.op_type != "Conv" or groups == 1 or node.inputs[0] is None or weights.shape is None or weights.shape[1] == 1:
        return found
    read = extents.axis(node.inputs[0], 1)
    return (found[0], replace(read, parts=groups), *found[2:])


def layer_macs(node: onnx_ir.Node, extents: Extents) -> tuple[Product, ...]:
    """Multiply-accumulates of one node as products; none where `ir.statistics` counts none."""
    count = node_macs(node) or 0
    if not count:
        return ()
    if node.op_type in _RECURRENT:
        weights = [value for value in node.inputs[1:3] if value is not None]
        elements = sum(math.prod(sizes(value)) for value in weights)
        return tuple(Product(count / elements, extents.axes(value)) for value in weights)
    weights = [value for value in node.inputs[:2] if value is not None and value.is_initializer()]
    if node.op_type in _WEIGHTED and weights:
        elements = math.prod(sizes(weights[-1]))
        return (Product(count / elements, weight_extents(node, weights[-1], extents)),)
    if node.op_type == "MatMul" and node.inputs[0] is not None:
        return (Product(1.0, (*extents.axes(node.outputs[0]), extents.axis(node.inputs[0], -1))),)
    return (Product(float(count), ()),)


class Counted:
    """The sum of products, as a cost model."""

    def __init__(self, products: Sequence[Product]) -> None:
        """Of these products."""
        self._fixed = sum(product.at({}) for product in products if not product.groups)
        self._products = [product for product in products if product.groups]
        self._by_group: dict[str, list[Product]] = {}
        for product in self._products:
            for name in product.groups:
                self._by_group.setdefault(name, []).append(product)

    def total(self, widths: Widths) -> float:
        """Cost of the whole model."""
        return self._fixed + sum(product.at(widths) for product in self._products)

    def of_group(self, name: str, widths: Widths) -> float:
        """Cost of all that the width of the group `name` changes."""
        return sum(product.at(widths) for product in self._by_group.get(name, ()))

    def neighbours(self, name: str) -> frozenset[str]:
        """Groups on whose widths `of_group` depends, itself among them."""
        return frozenset({name}).union(*(product.groups for product in self._by_group.get(name, ())))


def counted_macs(model: Model, groups: Sequence[Group]) -> Counted:
    """Multiply-accumulates, as `ir.statistics.macs` counts them."""
    extents = Extents(groups)
    return Counted([product for node in model.graph for product in layer_macs(node, extents)])
