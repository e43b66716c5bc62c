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
    """Unsigned activations and signed weights per channel on every CPU.

    x86 has instructions for u8 x s8 only (vpmaddubsw, vpdpbusd): signed activations take scalar code there, seventeen times
    slower on MobileNetV2; u8 x u8 does not saturate but has kernels of half the speed. On Arm u8 x s8 takes the same
    kernels as s8 x s8 (SMULL, UDOT, UMMLA) after one exclusive or, so that one file serves all, and what is judged on
    one CPU are the integers of the other.
    """
    return Scheme(
        name="onnxruntime-u8s8",
        activation="uint8",
        weight="int8",
        operators=OPERATORS,
        saturating_pairs=profile.has_saturating_products,
    )
