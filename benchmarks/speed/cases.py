"""The parts whose speed is watched: what grows, to which sizes, how time should grow with it, and what is timed.

A case makes what it needs for a size, outside the timing, and hands back the call that is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed import compiling, fleet

Timed = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """`slope`: the exponent that time should have in the size; `make(size, folder)` gives what is timed."""

    grows_with: str
    sizes: tuple[int, ...]
    slope: float
    make: Callable[[int, Path], Timed]


_PARAMETERS = (600_000, 2_400_000, 9_600_000)
CASES: Mapping[str, Case] = {
    "ingest": Case("parameters", _PARAMETERS, 1, compiling.ingesting),
    # From sizes on that no cache holds: until then each weight costs more than the last.
    "passes": Case("parameters", (2_400_000, 9_600_000, 38_400_000), 1, compiling.passes),
    "quantize": Case("parameters", _PARAMETERS, 1, compiling.quantizing),
    "calibration": Case("samples", (32, 128, 512), 1, compiling.calibrating),
    "lowering, ONNX Runtime": Case("parameters", _PARAMETERS, 1, compiling.lowering("onnxruntime")),
    "lowering, OpenVINO": Case("parameters", _PARAMETERS, 1, compiling.lowering("openvino")),
    "lowering, LiteRT": Case("parameters", _PARAMETERS, 1, compiling.lowering("litert")),
    "gate, top1": Case("samples", (10_000, 100_000, 1_000_000), 1, compiling.gating("top1 >= -1pt")),
    "gate, cosine": Case("samples", (500, 2_000, 8_000), 1, compiling.gating("cosine >= 0.9")),
    "artifact, written": Case("bytes", (1 << 20, 4 << 20, 16 << 20), 1, compiling.writing),
    "artifact, read": Case("bytes", (1 << 20, 4 << 20, 16 << 20), 1, compiling.reading),
    "agent's choice": Case("offers", (10, 100, 1_000), 1, fleet.choosing),
    "polls, 100 of them": Case("devices", (100, 1_000, 10_000), 0, fleet.polling),
    "a look at all devices": Case("devices", (100, 1_000, 10_000), 1, fleet.looking),
    "merge of windows": Case("devices", (100, 1_000, 10_000), 1, fleet.merging),
}
