"""Resize: along each axis a sum of a few places, by weights that only the sizes decide. ONNX operator Resize."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir
import torch

from .reading import Operator, array, integers, rank, unsupported

_NEAREST: Mapping[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda places: torch.ceil(places - 0.5),
    "round_prefer_ceil": lambda places: torch.floor(places + 0.5),
    "floor": torch.floor,
    "ceil": torch.ceil,
}


@dataclass(frozen=True)
class _Way:
    mode: str
    coordinates: str
    nearest: str
    cubic: float
    excludes_outside: bool

    def places(self, size: int, made: int, scale: float) -> Any:
        """Where on an axis of `size` places each of `made` places lies (float64)."""
        at = torch.arange(made, dtype=torch.float64)
        if self.coordinates == "asymmetric":
            return at / scale
        if self.coordinates == "align_corners":
            return at * ((size - 1) / (made - 1)) if made > 1 else at
        if self.coordinates == "pytorch_half_pixel" and made == 1:
            return at * 0.0
        offset = 0.5 * (size - made / scale) if self.coordinates == "half_pixel_symmetric" else 0.0
        return offset + (at + 0.5) / scale - 0.5

    def matrix(self, size: int, made: int, scale: float) -> Any:
        """Weights [made, size] of the old places in the new ones."""
        at = self.places(size, made, scale)
        if self.mode == "nearest":
            first, parts = _NEAREST[self.nearest](at), [torch.ones_like(at)]
        elif self.mode == "linear":
            first = torch.floor(at)
            parts = [1 - (at - first), at - first]
        else:
            first = torch.floor(at) - 1
            parts = [self._cubic((at - first - step).abs()) for step in range(4)]
        weights = torch.zeros(made, size, dtype=torch.float64)
        for step, part in enumerate(parts):
            which = (first + step).long()
            inside = (which >= 0) & (which < size)
            kept = torch.where(inside, part, torch.zeros_like(part)) if self.excludes_outside else part
            weights.scatter_add_(1, which.clamp(0, size - 1)[:, None], kept[:, None])
        return weights / weights.sum(1, keepdim=True) if self.excludes_outside else weights

    def _cubic(self, distance: Any) -> Any:
        a, d = self.cubic, distance
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def _resize(node: onnx_ir.Node) -> Callable[..., Any]:
    way = _Way(
        node.attributes.get_string("mode", "nearest"),
        node.attributes.get_string("coordinate_transformation_mode", "half_pixel"),
        node.attributes.get_string("nearest_mode", "round_prefer_floor"),
        node.attributes.get_float("cubic_coeff_a", -0.75),
        node.attributes.get_int("exclude_outside", 0) != 0,
    )
    if way.coordinates == "tf_crop_and_resize" or node.attributes.get_int("antialias", 0) != 0:
        raise unsupported(node, "it crops or smooths while it resizes")
    if node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise unsupported(node, "it keeps the aspect ratio")
    scales, sizes = array(node, 2), integers(node, 3)
    if (scales is None or not scales.size) and sizes is None:
        raise unsupported(node, "its sizes are not constant")
    axes = [axis % rank(node) for axis in node.attributes.get_ints("axes", range(rank(node)))]
    factors = [float(scale) for scale in scales.ravel()] if scales is not None and scales.size else None
    made_before: dict[tuple[Any, ...], Any] = {}

    def matrix(x: Any, size: int, made: int, scale: float) -> Any:
        key = (size, made, scale, x.dtype, x.device)
        if key not in made_before:
            made_before[key] = way.matrix(size, made, scale).to(x.dtype).to(x.device)
        return made_before[key]

    def resize(x: Any, *_: Any) -> Any:
        for place, axis in enumerate(axes):
            size = x.shape[axis]
            if factors is not None:
                scale, made = factors[place], int(size * factors[place])
            else:
                # The batch is never resized, whatever size the graph was exported with.
                made = size if axis == 0 else sizes[place]  # type: ignore[index]
                scale = made / size
            if made == size and scale == 1.0:
                continue
            x = torch.tensordot(x, matrix(x, size, made, scale), dims=([axis], [1])).movedim(-1, axis)
        return x

    return resize


RESIZE: Mapping[str, Operator] = {"Resize": _resize}
