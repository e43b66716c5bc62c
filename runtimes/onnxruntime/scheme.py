"""How ONNX Runtime's CPU kernels (MLAS) want a model quantized."""

from __future__ import annotations

from collections.abc import Mapping

from ...device_profiles.profile import DeviceProfile
from ..contract import OperatorRule, Scheme

_PASS = OperatorRule(same_scale=True)
# Softmax and sigmoid lie in 0 to 1: 1/256 uses every step.
_UNIT = OperatorRule(fixed_output=(1.0 / 256.0, -128))

# Each fuses into an integer kernel between DequantizeLinear and QuantizeLinear: tests/onnxruntime/test_supports.py.
# ReduceMean does where it is a global average pool, Resize where it is the nearest neighbour's.
OPERATORS: Mapping[str, OperatorRule] = {
    "Conv": OperatorRule(weights=1, per_channel=True),
    "Gemm": OperatorRule(weights=1, per_channel=True, float_output=True),
    "MatMul": OperatorRule(weights=1, per_channel=True, float_output=True),
    "Add": OperatorRule(),
    "Mul": OperatorRule(),
    "Concat": OperatorRule(),
    "AveragePool": OperatorRule(),
    "GlobalAveragePool": OperatorRule(),
    "ReduceMean": OperatorRule(),
    "MaxPool": _PASS,
    "Resize": _PASS,
    "Softmax": _UNIT,
    "Sigmoid": _UNIT,
    "LeakyRelu": OperatorRule(),
    "Reshape": _PASS,
    "Transpose": _PASS,
    "Flatten": _PASS,
    "Squeeze": _PASS,
    "Unsqueeze": _PASS,
    "Slice": _PASS,
    "Split": _PASS,
    "Gather": _PASS,
    "Expand": _PASS,
    "DepthToSpace": _PASS,
}


def scheme(profile: DeviceProfile) -> Scheme:
    """Unsigned activations on x86, where VNNI and vpmaddubsw multiply u8 by s8; signed ones on Arm (SMULL, SDOT).

    Both take signed weights per channel. On x86 u8 x u8 would not saturate, but takes kernels of half the speed.
    """
    is_x86 = profile.arch == "x86_64"
    return Scheme(
        name="onnxruntime-u8s8" if is_x86 else "onnxruntime-s8s8",
        activation="uint8" if is_x86 else "int8",
        weight="int8",
        operators=OPERATORS,
        saturating_pairs=profile.has_saturating_products,
    )
