"""The pass `quantize`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from onnx_ir.passes import common

from ...calibration.ranges import range_of
from ...calibration.statistics import Statistics, TensorStatistics
from ...core.errors import PassError
from ...ir.model import Model
from ...ir.passes import PassResult, stamp
from ...runtimes.contract import Scheme
from ..train.needs import TrainingNeeds
from ..train.schedule import Schedule
from .bits import WeightBits, bits_by_layer, weights_by_layer
from .insert import Numbers, insert
from .plan import layer, make_plan
from .rounding import Rounder
from .weight_only import storable, store_weights


@dataclass(frozen=True)
class QuantizeNeeds:
    """The target's scheme, and what calibration saw of this very model's tensors (`mode=weight-only` does without, too).

    `rounder` knows the moments of what layers read; `training`: what `mode=qat` trains with.
    """

    scheme: Scheme
    statistics: Statistics | None
    rounder: Rounder | None = None
    training: TrainingNeeds | None = None


@dataclass(frozen=True)
class Quantize(Schedule):
    """Static int8 in the target's scheme, integers that are trained in it, or integers as storage of the weights alone.

    Before::

        y = Conv(x, @w, @b)
        z = Relu(y)

    After (mode=static, mode=qat)::

        x' = DequantizeLinear(QuantizeLinear(x, sx, zx), sx, zx)
        y = Conv(x', DequantizeLinear(@w_int8, sw, 0), DequantizeLinear(@b_int32, sx * sw, 0))
        z = Relu(y)
        z' = DequantizeLinear(QuantizeLinear(z, sz, zz), sz, zz)

    After (mode=weight-only)::

        y = Conv(x, DequantizeLinear(@w_int8, sw, 0), @b)
        z = Relu(y)

    mode=qat chooses as mode=static does, then trains weights, biases and scales in a simulation that computes what the target's
    kernels compute, and writes the better integers into the same graph. It learns from a teacher, the ingested model unless the
    user gives another, at `temperature`, and from labels where there are any (`teacher_weight` of the loss is the teacher's).
    `freeze_scales`: share of the steps after which scales stay; `oscillation`: whether weights that swing between two integers
    are held (2203.11086); `damping`: how strongly weights are drawn to their integers at the end; the rest is a training's.
    A layer in which more than a fifth of the weights are zero keeps these zeros.

    With bits=4 the weights are int4 in [-7, 7] with a scale per channel, and all else is as above: activations in int8, bias in
    int32, so that the kernels are the same. `ends`: bits of the layers that no layer with weights comes before, or none after;
    weights of fewer than 64 elements keep 8 bits. A runtime that cannot read int4 gets the same integers in int8.

    `granularity`: a weight scale for each output channel (where the target allows it) or one a layer.
    `ranges`: how activation ranges are set from the statistics; `weights`: how weight scales are ("mse": by
    the least error of the weights or, with bits=4 and where the inputs' moments are known, of the layer's output); `rounding`:
    whether errors of rounded weights cancel in the output (with a scale a channel, where the inputs' moments are known);
    `correct_bias`: take the mean error of rounded weights out of the bias (where the inputs' moments or means are known);
    `keep_float`: layers (by first output's name) that stay in float. mode=weight-only has no activations to set `ranges` of.
    """

    name: ClassVar[str] = "quantize"
    needs: ClassVar[type[Any] | None] = QuantizeNeeds

    epochs: int = 5
    ema: float = 0.99
    mixed: bool = False
    mode: Literal["static", "qat", "weight-only"] = "static"
    bits: Literal[8, 4] = 8
    ends: Literal[8, 4] = 8
    granularity: Literal["channel", "tensor"] = "channel"
    ranges: Literal["min-max", "percentile", "mse", "entropy"] = "mse"
    weights: Literal["max", "mse"] = "mse"
    rounding: Literal["compensated", "nearest"] = "compensated"
    correct_bias: bool = True
    keep_float: tuple[str, ...] = ()
    temperature: float = 4.0
    teacher_weight: float = 0.9
    freeze_scales: float = 0.75
    oscillation: Literal["freeze", "ignore"] = "freeze"
    damping: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges, and that nothing is asked of a training that does not take place; raises PassError."""
        super().__post_init__()
        if self.mode != "qat":
            for name in _OF_TRAINING:
                if getattr(self, name) != getattr(type(self), name):
                    told = name.replace("_", "-")
                    raise PassError(f"quantize: {told} is an option of training; add mode=qat, or leave it out.")
        if self.mode == "weight-only" and self.ranges != type(self).ranges:
            raise PassError(
                f"quantize: ranges={self.ranges} is of activations, which mode=weight-only leaves in float; leave ranges out, "
                "or use mode=static."
            )
        if self.ends < self.bits:
            raise PassError(f"quantize: ends={self.ends} is an option of bits={self.ends}; add that, or leave ends out.")
        for name, holds in (
            ("temperature", 0 < self.temperature < math.inf),
            ("teacher_weight", 0 < self.teacher_weight <= 1),
            ("freeze_scales", 0 <= self.freeze_scales <= 1),
            ("damping", 0 <= self.damping < math.inf),
        ):
            if not holds:
                told = name.replace("_", "-")
                raise PassError(f"quantize: {told}={getattr(self, name)} is out of range; correct that option.")

    def run(self, model: Model, given: QuantizeNeeds) -> PassResult:
        """Quantize `model`; raises PassError when a tensor has no statistics or mode=qat has no data to train on."""
        if self.mode == "qat" and given.training is None:
            raise PassError("quantize{mode=qat} trains, and there are no data to train on; give them, or use mode=static.")
        layers = {layer(node) for node in model.graph}
        for name in self.keep_float:
            if name not in layers:
                raise PassError(
                    f"quantize: keep-float names the layer {name!r}, which the model does not have; a layer goes by the name "
                    "of its first output."
                )
        if self.mode == "weight-only":
            bits = bits_by_layer(model, storable(model), self.bits, self.ends)
            result, made = store_weights(model, self._numbers((), bits, given), self.keep_float)
            notes: tuple[str, ...] = (f"{len(made)} weights stored as integers",)
        else:
            plan = make_plan(model, given.scheme, self.keep_float)
            bits = bits_by_layer(model, weights_by_layer(model, given.scheme), self.bits, self.ends)
            result, made = insert(model, given.scheme, plan, self._numbers(plan.tensors, bits, given))
            notes = (f"{len(plan.nodes)} nodes in int8, {len(plan.kept)} kept in float",)
        stamp(made, self.name)
        result = Model(common.RemoveUnusedNodesPass()(result.ir).model)
        if self.mode == "qat" and given.training is not None:
            from .qat.training import train

            trained = train(model, result, plan, given.scheme, self, given.training)
            result, notes = trained.model, (*notes, *trained.notes)
        return PassResult(result, bool(made), notes)

    def _numbers(self, quantized: Iterable[str], bits: Mapping[str, WeightBits], given: QuantizeNeeds) -> Numbers:
        """What integers are chosen from; `quantized` are the activations that get ranges."""
        seen: Mapping[str, TensorStatistics] = given.statistics or {}
        ranges = {name: range_of(seen[name], self.ranges) for name in quantized if name in seen}
        means = {name: entry.channel_means for name, entry in seen.items() if entry.channel_means is not None}
        rounder = given.rounder if self.rounding == "compensated" else None
        return Numbers(ranges, means, self.weights, rounder, self.correct_bias, bits, self.granularity == "channel")


_OF_TRAINING = (
    *Schedule.__dataclass_fields__,
    *("temperature", "teacher_weight", "freeze_scales", "oscillation", "damping"),
)
