"""How OpenVINO's low-precision transformations want a model quantized."""

from __future__ import annotations

from collections.abc import Mapping

from ...device_profiles.profile import DeviceProfile
from ..contract import OperatorRule, Scheme

_PASS = OperatorRule(same_scale=True)

# Each runs in I8 or U8 in the CPU plugin: tests/openvino/test_supports.py. ConvTranspose with scales per channel, softmax
# and activations that nothing absorbs run in float whatever stands around them, so they are left alone.
OPERATORS: Mapping[str, OperatorRule] = {
    "Conv": OperatorRule(weights=1, per_channel=True, float_output=True),
    "Gemm": OperatorRule(weights=1, per_channel=True, float_output=True),
    "MatMul": OperatorRule(weights=1, per_channel=True, float_output=True),
    "Add": OperatorRule(float_output=True),
    "Concat": OperatorRule(),
    "AveragePool": OperatorRule(),
    "GlobalAveragePool": OperatorRule(),
    "ReduceMean": OperatorRule(),
    "MaxPool": _PASS,
    "Resize": _PASS,
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
    """Unsigned activations, signed weights per channel; the same integers as ONNX Runtime's on x86."""
    return Scheme(
        name="openvino-u8s8",
        activation="uint8",
        weight="int8",
        operators=OPERATORS,
        saturating_pairs=profile.has_saturating_products,
    )
