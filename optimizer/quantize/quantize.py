"""The pass `quantize`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from onnx_ir.passes import common

from ...calibration.ranges import range_of
from ...calibration.statistics import Statistics, TensorStatistics
from ...core.errors import PassError
from ...ir.model import Model
from ...ir.passes import PassResult, stamp
from ...runtimes.contract import Scheme
from .bits import bits_by_layer, weights_by_layer
from .insert import Numbers, insert
from .plan import Plan, layer, make_plan
from .rounding import Rounder
from .weight_only import store_weights


@dataclass(frozen=True)
class QuantizeNeeds:
    """The target's scheme, and what calibration saw of this very model's tensors (None for `mode=weight-only`)."""

    scheme: Scheme
    statistics: Statistics | None
    rounder: Rounder | None = None


@dataclass(frozen=True)
class Quantize:
    """Static int8 in the target's scheme, or integers as storage of the weights alone.

    Before::

        y = Conv(x, @w, @b)
        z = Relu(y)

    After (mode=static)::

        x' = DequantizeLinear(QuantizeLinear(x, sx, zx), sx, zx)
        y = Conv(x', DequantizeLinear(@w_int8, sw, 0), DequantizeLinear(@b_int32, sx * sw, 0))
        z = Relu(y)
        z' = DequantizeLinear(QuantizeLinear(z, sz, zz), sz, zz)

    After (mode=weight-only)::

        y = Conv(x, DequantizeLinear(@w_int8, sw, 0), @b)
        z = Relu(y)

    With bits=4 the weights are int4 in [-7, 7] with a scale per channel, and all else is as above: activations in int8, bias in
    int32, so that the kernels are the same. `ends`: bits of the layers that no layer with weights comes before, or none after;
    weights of fewer than 64 elements keep 8 bits. A runtime that cannot read int4 gets the same integers in int8.

    `granularity`: a weight scale for each output channel (where the target allows it) or one a layer.
    `ranges`: how activation ranges are set from the statistics; `weights`: how weight scales are; `rounding`:
    whether errors of rounded weights cancel in the output (where the inputs' moments are known); `correct_bias`: take the mean
    error of rounded weights out of the bias; `keep_float`: layers (by first output's name) that stay in float.
    """

    name: ClassVar[str] = "quantize"
    needs: ClassVar[type[Any] | None] = QuantizeNeeds

    mode: Literal["static", "weight-only"] = "static"
    bits: Literal[8, 4] = 8
    ends: Literal[8, 4] = 8
    granularity: Literal["channel", "tensor"] = "channel"
    ranges: Literal["min-max", "percentile", "mse", "entropy"] = "mse"
    weights: Literal["max", "mse"] = "mse"
    rounding: Literal["compensated", "nearest"] = "compensated"
    correct_bias: bool = True
    keep_float: tuple[str, ...] = ()

    def run(self, model: Model, given: QuantizeNeeds) -> PassResult:
        """Quantize `model`; raises PassError when a tensor has no statistics."""
        layers = {layer(node) for node in model.graph}
        for name in self.keep_float:
            if name not in layers:
                raise PassError(
                    f"quantize: keep-float names the layer {name!r}, which the model does not have; a layer goes by the name "
                    "of its first output."
                )
        if self.mode == "weight-only":
            result, made = store_weights(model, self.bits, self.ends)
            notes: tuple[str, ...] = (f"{len(made)} weights stored as integers",)
        else:
            plan = make_plan(model, given.scheme, self.keep_float)
            result, made = insert(model, given.scheme, plan, self._numbers(model, plan, given))
            notes = (f"{len(plan.nodes)} nodes in int8, {len(plan.kept)} kept in float",)
        stamp(made, self.name)
        result = Model(common.RemoveUnusedNodesPass()(result.ir).model)
        return PassResult(result, bool(made), notes)

    def _numbers(self, model: Model, plan: Plan, given: QuantizeNeeds) -> Numbers:
        seen: Mapping[str, TensorStatistics] = given.statistics or {}
        known = {name: seen[name] for name in plan.tensors if name in seen}
        ranges = {name: range_of(entry, self.ranges) for name, entry in known.items()}
        means = {name: entry.channel_means for name, entry in known.items() if entry.channel_means is not None}
        rounder = given.rounder if self.rounding == "compensated" else None
        bits = bits_by_layer(model, weights_by_layer(model, given.scheme), self.bits, self.ends)
        return Numbers(ranges, means, self.weights, rounder, self.correct_bias, bits, self.granularity == "channel")
