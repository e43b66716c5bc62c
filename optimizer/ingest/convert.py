"""What every way into the compiler hands over: the graph, and the source's own answers on some samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ...ir.model import Model
from .samples import Samples

TF2ONNX_OPSET = 18  # the newest that it writes; `canonicalize` brings it to the one of the house


@dataclass(frozen=True)
class Converted:
    """A graph as exported, the inputs that the source was run on, and its outputs by the graph's output names.

    `is_eight_bit`: the source rounds activations to eight bits while it runs, the graph does so elsewhere or not at all.
    """

    model: Model
    inputs: Samples
    outputs: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    is_eight_bit: bool = False
