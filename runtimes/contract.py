"""The contract of a runtime: what it wants, what it can do, the file it makes, and how to load that file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..core.canonical import digest_json, plain
from ..core.executor import Content, Executor
from ..device_profiles.profile import DeviceProfile

if TYPE_CHECKING:
    from ..ir.model import Model

Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")


@dataclass(frozen=True)
class Lowered:
    """Files of one lowered model.

    `files` maps names to bytes, `entry` is the one that `load` is pointed at, `debug_map` maps each operator's name or index
    in the runtime's file to the name of the IR node it came from.
    """

    files: Mapping[str, bytes]
    entry: str
    debug_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(len(data) for data in self.files.values())


@dataclass(frozen=True)
class OperatorSupport:
    """What a runtime does with one node: the arithmetic it runs in, or "no" with the reason."""

    node: str
    op_type: str
    runs: Literal["int8", "float32", "no"]
    reason: str = ""


@dataclass(frozen=True)
class OperatorRule:
    """How one operator type wants to be quantized.

    `weights`: index of the input that holds weights (per-channel where `per_channel`), or None.
    `same_scale`: inputs and output share one scale and zero point.
    `fixed_output`: (scale, zero point of the signed form) that the kernel demands of its output, or None.
    `float_output`: the kernel can give its result in float, so that it is not rounded where nothing in int8 reads it.
    """

    weights: int | None = None
    per_channel: bool = False
    same_scale: bool = False
    fixed_output: tuple[float, int] | None = None
    float_output: bool = False


@dataclass(frozen=True)
class Scheme:
    """How a runtime on a certain CPU wants a model quantized.

    `activation`, `weight`: the integer types. Activations are asymmetric per tensor, weights symmetric (uint8: around 128).
    `saturating_pairs`: two neighbouring 8-bit products (u8 x s8) are added in 16 bits and saturate (x86 without VNNI):
    the quantizer holds back a bit of weight in exactly the channels where that can happen.
    `operators`: rule by operator type; a type that is not there stays in float.
    `fused_activations`: operator types that the kernel before them absorbs, so that no tensor is quantized between.
    """

    name: str
    activation: Literal["int8", "uint8"]
    weight: Literal["int8", "uint8"]
    operators: Mapping[str, OperatorRule]
    fused_activations: frozenset[str] = frozenset({"Relu", "Clip"})
    saturating_pairs: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of all that integers depend on: everything but the name."""
        return digest_json(plain(replace(self, name="")))


class Runtime(Protocol):
    """One runtime. `lower` and `supports` may import onnx; `load` may not."""

    @property
    def name(self) -> str:
        """Folder name: "onnxruntime", "openvino", "litert"."""

    def version(self) -> str:
        """Version of the installed runtime."""

    def scheme(self, profile: DeviceProfile) -> Scheme:
        """How it wants to be quantized on that profile's CPU."""

    def supports(self, model: Model, profile: DeviceProfile) -> list[OperatorSupport]:
        """One entry a node of the model as given (float, float16 storage, or with QuantizeLinear/DequantizeLinear)."""

    def lower(self, model: Model, profile: DeviceProfile) -> Lowered:
        """The runtime's file: same input and output names, types and layouts as `model`, batch fixed as in `model`.

        The precision is in the model: DequantizeLinear of int8 or int4 initializers and QuantizeLinear/DequantizeLinear around
        quantized operators, or float16 initializers under a Cast to float32. The integers and scales reach the file
        unchanged; int4 is held in int8 where a kernel takes no other. Raises LoweringError naming the operator that cannot be
        expressed.
        """

    def load(self, files: Mapping[str, Content], entry: str, threads: int) -> Executor:
        """Load a lowered file; raises RuntimeFailure."""

    def profile_operators(
        self, files: Mapping[str, Content], entry: str, threads: int, inputs: Mapping[str, Any], runs: int
    ) -> list[tuple[str, str, float]]:
        """Median microseconds by operator: (operator's name in the file, its type, microseconds)."""
