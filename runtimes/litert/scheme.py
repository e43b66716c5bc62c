"""How LiteRT wants a model quantized (the TFLite 8-bit quantization specification).

Activations int8 with one scale and zero point a tensor, weights int8 in [-127, 127] with one scale a channel and zero point 0,
bias int32 at input scale times weight scale.
"""

from __future__ import annotations

from ...device_profiles.profile import DeviceProfile
from ..contract import OperatorRule, Scheme

_WEIGHTED = OperatorRule(weights=1, per_channel=True)
_PLAIN = OperatorRule()
_SAME = OperatorRule(same_scale=True)
_UNIT = (1.0 / 256, -128)

OPERATORS = {
    "Conv": _WEIGHTED,
    "ConvTranspose": _WEIGHTED,
    "Gemm": _WEIGHTED,
    "MatMul": _WEIGHTED,
    "Add": _PLAIN,
    "Sub": _PLAIN,
    "Mul": _PLAIN,
    "GlobalAveragePool": _PLAIN,
    "ReduceMean": _PLAIN,
    "LeakyRelu": _PLAIN,
    "HardSwish": _PLAIN,
    "Sigmoid": OperatorRule(fixed_output=_UNIT),
    "Softmax": OperatorRule(fixed_output=_UNIT),
    "Tanh": OperatorRule(fixed_output=(1.0 / 128, 0)),
    **dict.fromkeys(
        (
            "AveragePool",
            "Clip",
            "Concat",
            "DepthToSpace",
            "Expand",
            "Flatten",
            "Gather",
            "GlobalMaxPool",
            "Identity",
            "MaxPool",
            "Pad",
            "ReduceMax",
            "Relu",
            "Reshape",
            "Resize",
            "Slice",
            "SpaceToDepth",
            "Split",
            "Squeeze",
            "Tile",
            "Transpose",
            "Unsqueeze",
        ),
        _SAME,
    ),
}


def scheme(profile: DeviceProfile) -> Scheme:
    """The scheme, the same for every CPU: the kernels widen products to 32 bits before they add them."""
    return Scheme(
        name="litert",
        activation="int8",
        weight="int8",
        operators=OPERATORS,
        fused_activations=frozenset({"Relu", "Clip"}),
        saturating_pairs=False,
    )
