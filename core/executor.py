"""What every runtime gives: something that has named inputs and outputs and runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


# A model's file: its bytes, or where they lie, so that a runtime may map them into memory instead of copying them.
Content = bytes | Path


def read(content: Content) -> bytes:
    """The bytes of a model's file; raises OSError."""
    return content.read_bytes() if isinstance(content, Path) else content


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor: `dtype` as numpy names it ("float32"), `shape` with None where a size is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON object with the three fields."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TensorSpec:
        """Inverse of `to_json`."""
        return TensorSpec(value["name"], value["dtype"], tuple(value["shape"]))


class Executor(Protocol):
    """A loaded model file. Not thread-safe; close it when done."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs in the file's order; the first axis is the batch, which may be fixed."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs in the file's order."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one batch of exactly the file's batch size (any, where it is free); raises RuntimeFailure."""

    def close(self) -> None:
        """Release the runtime's memory."""
