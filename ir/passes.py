"""The contract of a pass: frozen dataclass in, new model out; it declares, and the pipeline checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import onnx_ir

from .model import MADE_BY, Model


@dataclass(frozen=True)
class PassResult:
    """What a pass made: the model, whether it differs from the input, and one line a thing worth telling."""

    model: Model
    changed: bool
    notes: tuple[str, ...] = ()


class Pass(Protocol):
    """A frozen dataclass whose fields are its options (text form `name{field=value}`).

    `name` is a kebab-case verb. `needs` is None, or the typed dataclass that `run` must be given. `run` never changes its
    input. The docstring of a pass shows the graph before and after.
    """

    @property
    def name(self) -> str:
        """What its text form begins with."""

    @property
    def needs(self) -> type[Any] | None:
        """Type of what `run` must be given, or None."""

    def run(self, model: Model, given: Any) -> PassResult:
        """Apply the pass to `model`; `given` is an instance of `needs`."""


def stamp(nodes: Iterable[onnx_ir.Node], pass_name: str) -> None:
    """Mark nodes with the pass that made them, so that every node of a shipped model can be explained."""
    for node in nodes:
        node.metadata_props[MADE_BY] = pass_name
