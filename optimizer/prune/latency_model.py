"""How long a model takes at given widths: each layer timed alone, in the profile's runtimes, at a handful of widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir

from ...core.canonical import digest_json
from ...core.errors import LoweringError, RuntimeFailure
from ...core.progress import Progress, Silent
from ...device_profiles.host import measured_on
from ...device_profiles.profile import DeviceProfile
from ...ir.model import Model
from ...ir.statistics import node_macs
from ...runtimes import registry
from ..measure import Measurements
from .costs import Extent, Extents, Product, Widths, layer_macs, sizes
from .layer_table import Table, figure
from .places import Group
from .single_layer import Shape, shape_of, single_layer

_SHARES = (0.2, 0.5, 1.0)
# What a runtime calls the layer in its own profile; other rows change layouts for the sake of this one layer.
_LAYER_WORDS = ("conv", "gemm", "matmul", "fullyconnected", "fully_connected")
_RUNS, _REPEATS = 7, 2
_TRIES = 2
# Some runtimes count whole microseconds, and a small layer takes less than one.
_LEAST_US = 0.1


def timed_runtimes(profile: DeviceProfile | None) -> tuple[str, ...]:
    """Runtimes of the profile whose latency can be measured on this machine; none without a profile."""
    names = () if profile is None else profile.runtimes
    return tuple(name for name in names if profile and measured_on(profile, name, "latency", "float32") == "target")


@dataclass(frozen=True)
class _Layer:
    """A layer's channels, its tables by runtime where it could be timed, and its multiply-accumulates."""

    inputs: Extent
    outputs: Extent
    tables: Mapping[str, Table]
    macs: tuple[Product, ...]

    @property
    def groups(self) -> frozenset[str]:
        return frozenset[str]().union(*(product.groups for product in self.macs))


class LatencyModel:
    """Time of all layers as a share of the unpruned model's, the mean over the runtimes.

    A layer without a table (a recurrent one, a product of activations) takes the time of its multiply-accumulates at the rate
    of those that have one. What is no layer (activations, pooling) takes nothing here.
    """

    def __init__(self, layers: Sequence[_Layer], runtimes: Sequence[str], full: Widths) -> None:
        """Of these layers; `full` are the widths of the unpruned model."""
        self._layers, self._runtimes = layers, runtimes
        self._known: dict[tuple[int, str, tuple[int, int]], float] = {}
        self._rates = {runtime: self._rate(runtime, full) for runtime in runtimes}
        self.full_us = {runtime: self._sum(range(len(layers)), runtime, full) for runtime in runtimes}
        self._by_group: dict[str, list[int]] = {}
        for index, layer in enumerate(layers):
            for name in layer.groups:
                self._by_group.setdefault(name, []).append(index)

    def digest(self) -> str:
        """Digest of all times that widths are chosen by."""
        return digest_json([{runtime: asdict(table) for runtime, table in layer.tables.items()} for layer in self._layers])

    def total(self, widths: Widths) -> float:
        """Time of the whole model."""
        return self._share(range(len(self._layers)), widths)

    def of_group(self, name: str, widths: Widths) -> float:
        """Time of all that the width of the group `name` changes."""
        return self._share(self._by_group.get(name, ()), widths)

    def neighbours(self, name: str) -> frozenset[str]:
        """Groups on whose widths `of_group` depends, itself among them."""
        return frozenset({name}).union(*(self._layers[index].groups for index in self._by_group.get(name, ())))

    def time_us(self, runtime: str, widths: Widths) -> float:
        """Microseconds of all layers in one runtime."""
        return self._sum(range(len(self._layers)), runtime, widths)

    def _share(self, layers: Sequence[int], widths: Widths) -> float:
        shares = [self._sum(layers, runtime, widths) / self.full_us[runtime] for runtime in self._runtimes]
        return sum(shares) / len(shares)

    def _sum(self, layers: Sequence[int], runtime: str, widths: Widths) -> float:
        return sum(self._layer_us(index, runtime, widths) for index in layers)

    def _layer_us(self, index: int, runtime: str, widths: Widths) -> float:
        layer = self._layers[index]
        table = layer.tables.get(runtime)
        if table is None:
            return self._rates[runtime] * sum(product.at(widths) for product in layer.macs)
        channels = layer.inputs.at(widths), layer.outputs.at(widths)
        key = (index, runtime, channels)
        if key not in self._known:
            self._known[key] = table.at(*channels)
        return self._known[key]

    def _rate(self, runtime: str, full: Widths) -> float:
        """Microseconds of a multiply-accumulate in the layers that were timed."""
        timed = [layer for layer in self._layers if runtime in layer.tables]
        time_us = sum(layer.tables[runtime].at(layer.inputs.at(full), layer.outputs.at(full)) for layer in timed)
        return time_us / max(sum(product.at(full) for layer in timed for product in layer.macs), 1.0)


def measured_latency(
    model: Model,
    groups: Sequence[Group],
    profile: DeviceProfile,
    runtimes: Sequence[str],
    align: int,
    measurements: Measurements | None = None,
    progress: Progress | None = None,
) -> LatencyModel:
    """Time every layer of `model` in `runtimes`; what is among `measurements` already is not timed again."""
    extents = Extents(groups)
    nodes = [node for node in model.graph if node_macs(node)]
    timer = _Timer(profile, align, measurements)
    layers = []
    with (progress or Silent()).task("timing layers", len(nodes)) as advance:
        for node in nodes:
            layers.append(_layer(node, extents, timer, runtimes))
            advance(1)
    return LatencyModel(layers, runtimes, {group.name: group.units for group in groups})


def _layer(node: onnx_ir.Node, extents: Extents, timer: _Timer, runtimes: Sequence[str]) -> _Layer:
    shape = shape_of(node)
    counted = layer_macs(node, extents)
    if shape is None or node.inputs[0] is None:
        return _Layer(Extent(1), Extent(1), {}, counted)
    inputs, outputs = extents.axis(node.inputs[0], shape.axis), extents.axis(node.outputs[0], shape.axis)
    found = {runtime: timer.table(shape, runtime, node, inputs, outputs) for runtime in runtimes}
    return _Layer(inputs, outputs, {runtime: table for runtime, table in found.items() if table is not None}, counted)


class _Timer:
    """Tables of layers, each timed once."""

    def __init__(self, profile: DeviceProfile, align: int, measurements: Measurements | None) -> None:
        self._profile, self._align, self._measurements = profile, align, measurements
        self._tables: dict[tuple[str, str], Table | None] = {}

    def table(self, shape: Shape, runtime: str, node: onnx_ir.Node, inputs: Extent, outputs: Extent) -> Table | None:
        """The layer's table, or None where the runtime cannot run the layer alone."""
        full = [sizes(value)[shape.axis] for value in (node.inputs[0], node.outputs[0]) if value is not None]
        align = math.lcm(self._align, 1 if shape.is_depthwise else shape.groups)
        ins = _grid(full[0], inputs, align)
        outs = (full[1],) if shape.is_depthwise else _grid(full[1], outputs, align)
        layer = digest_json({"layer": shape.to_json(), "inputs": list(ins), "outputs": list(outs)})
        if (layer, runtime) not in self._tables:
            self._tables[layer, runtime] = Table.from_figure(self._figure(layer, shape, runtime, ins, outs))
        return self._tables[layer, runtime]

    def _figure(self, layer: str, shape: Shape, runtime: str, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        def measure() -> Any:
            for _ in range(_TRIES):
                try:
                    rows = [[self._time_us(shape, runtime, read, made) for made in outputs] for read in inputs]
                except LoweringError:
                    break
                except RuntimeFailure:  # one that comes once must not be remembered as what the runtime cannot do
                    continue
                return figure(inputs, outputs, rows)
            return figure(inputs, outputs, None)

        if self._measurements is None:
            return measure()
        return self._measurements.get("layer", (layer,), self._profile.threads, measure, (runtime,))

    def _time_us(self, shape: Shape, runtime: str, inputs: int, outputs: int) -> float:
        """Microseconds of the layer, without what its runtime adds to a model of one layer."""
        target = registry.get(runtime)
        lowered = target.lower(
            single_layer(shape, inputs, inputs * shape.multiplier if shape.is_depthwise else outputs), self._profile
        )
        given = {"x": np.random.default_rng(0).standard_normal(shape.input_shape(inputs)).astype(np.float32)}
        rows = [
            target.profile_operators(lowered.files, lowered.entry, self._profile.threads, given, _RUNS) for _ in range(_REPEATS)
        ]
        return max(_LEAST_US, min(_layer_time_us(row) for row in rows))


def _layer_time_us(rows: Sequence[tuple[str, str, float]]) -> float:
    of_layer = [time_us for _, kind, time_us in rows if any(word in kind.lower() for word in _LAYER_WORDS)]
    return sum(of_layer) or sum(time_us for _, _, time_us in rows)


def _grid(size: int, extent: Extent, align: int) -> tuple[int, ...]:
    """Channels to time: all, and where groups lie on the axis some shares of them, as multiples of `align`."""
    if not extent.terms:
        return (size,)
    return tuple(sorted({min(size, max(1, round(share * size / align)) * align) for share in _SHARES} | {size}))
