"""First and second moments of what layers with weights read, position by position of their kernels.

A layer computes weights @ u for each patch u of its input. The error that rounding the weights makes depends on the mean and
the covariance of u alone, so these are all that is kept: [groups, k] and [groups, k, k], whatever the number of samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..core.canonical import dumps
from ..core.progress import Progress, Silent
from ..ir.model import Model, constant
from .collect import stream
from .dataset import Split

MOMENT_SAMPLES = 128  # as many as moments are usually taken from
# Beyond this the covariance outgrows what rounding is worth: 2304**2 float32 are 21 MB a layer.
_MOST_INPUTS = 2304
_PATCHES_A_SAMPLE = 64
_MOST_BYTES = 512 << 20
# Patches that are gathered before their products are added: a covariance is far larger than they are, and each adding walks
# through all of it.
_GATHERED_BYTES = 1 << 20
_NAMES, _MEANS = "layers.json", "means.npz"


@dataclass(frozen=True)
class Moments:
    """`mean` [groups, k] and `covariance` [groups, k, k] of a layer's patches; k is the size of one output's kernel."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def weighted_layers(model: Model) -> list[onnx_ir.Node]:
    """Convolutions, Gemm and MatMul with constant weights whose patches can be taken, as many as fit in memory."""
    found, total = [], 0
    for node in model.graph:
        array = constant(node.inputs[1]) if node.op_type in ("Conv", "Gemm", "MatMul") and len(node.inputs) > 1 else None
        if array is None or node.domain or node.inputs[0] is None or not _is_plain(node, array):
            continue
        groups, size = _kernel(node, array)
        total += 8 * groups * size * size
        if size <= _MOST_INPUTS and total <= _MOST_BYTES:
            found.append(node)
    return found


def collect_moments(
    model: Model, split: Split, *, threads: int = 2, seed: int = 0, progress: Progress | None = None
) -> dict[str, Moments]:
    """Moments of every layer of `weighted_layers`, by the name of its first output; at most 64 patches a sample.

    Raises as `calibration.collect.collect` does.
    """
    layers = weighted_layers(model)
    sums = {str(node.outputs[0].name): _Sum(*_kernel(node, _weights(node))) for node in layers}
    readers: dict[str, list[onnx_ir.Node]] = {}
    for node in layers:
        readers.setdefault(_input_name(node), []).append(node)
    random = np.random.default_rng(seed)
    with (progress or Silent()).task("moments", len(split) * max(len(readers), 1)) as advance:
        for name, values in stream(model, split, list(readers), threads) if readers else ():
            for node in readers[name]:
                for patches in _patches(node, values.astype(np.float32, copy=False), random):
                    sums[str(node.outputs[0].name)].add(patches)
            advance(len(values))
    return {name: found.moments() for name, found in sums.items()}


class _Sum:
    """Running sums over patches [n, groups, k], taken from the first patches' mean so that large means cancel no digits."""

    def __init__(self, groups: int, size: int) -> None:
        self._count = 0
        self._gathered: list[NDArray[np.float32]] = []
        self._origin: NDArray[np.float32] | None = None
        self._first = np.zeros((groups, size))
        self._second = np.zeros((groups, size, size))

    def add(self, patches: NDArray[np.float32]) -> None:
        if self._origin is None:
            self._origin = patches.mean(axis=0)
        self._count += len(patches)
        self._gathered.append(patches - self._origin)
        if sum(part.nbytes for part in self._gathered) >= _GATHERED_BYTES:
            self._sum_up()

    def moments(self) -> Moments:
        """The moments; the sums are used up, since a second copy of every covariance would be a model's worth of memory."""
        self._sum_up()
        mean = self._first / max(self._count, 1)
        covariance = self._second
        covariance /= max(self._count, 1)
        for group, row in enumerate(mean):
            covariance[group] -= np.outer(row, row)
        origin = np.zeros_like(mean) if self._origin is None else self._origin
        return Moments(mean + origin, covariance)

    def _sum_up(self) -> None:
        if not self._gathered:
            return
        shifted = np.concatenate(self._gathered)
        self._gathered.clear()
        self._first += shifted.sum(axis=0, dtype=np.float64)
        by_group = shifted.transpose(1, 0, 2)
        self._second += np.matmul(by_group.transpose(0, 2, 1), by_group)


def _weights(node: onnx_ir.Node) -> NDArray[Any]:
    array = constant(node.inputs[1])
    return np.zeros((0,)) if array is None else array


def _input_name(node: onnx_ir.Node) -> str:
    value = node.inputs[0]
    return "" if value is None else str(value.name)


def _is_plain(node: onnx_ir.Node, weights: NDArray[Any]) -> bool:
    """Whether patches follow from pads, strides and dilations alone."""
    if node.op_type == "Conv":
        return weights.ndim == 4 and node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return weights.ndim == 2 and not node.attributes.get_int("transA", 0)


def _kernel(node: onnx_ir.Node, weights: NDArray[Any]) -> tuple[int, int]:
    """Groups, and inputs of one output."""
    if node.op_type == "Conv":
        return node.attributes.get_int("group", 1), int(np.prod(weights.shape[1:]))
    turned = node.op_type == "Gemm" and bool(node.attributes.get_int("transB", 0))
    return 1, weights.shape[1] if turned else weights.shape[0]


def _patches(node: onnx_ir.Node, x: NDArray[np.float32], random: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Patches [n, groups, k] of each sample, at random positions where there are many."""
    if node.op_type != "Conv":
        for row in x:
            rows = row.reshape(-1, x.shape[-1])
            chosen = rows if len(rows) <= _PATCHES_A_SAMPLE else rows[random.permutation(len(rows))[:_PATCHES_A_SAMPLE]]
            yield chosen[:, None, :]
        return
    weights = _weights(node)
    groups, size = _kernel(node, weights)
    pads, strides, dilations = (_numbers(node, name, fill) for name, fill in (("pads", 0), ("strides", 1), ("dilations", 1)))
    spans = [dilation * (kernel - 1) + 1 for dilation, kernel in zip(dilations, weights.shape[2:], strict=True)]
    for row in x:
        padded = np.pad(row, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
        windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))
        windows = windows[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
        places = random.permutation(windows.shape[1] * windows.shape[2])[:_PATCHES_A_SAMPLE]
        ys, xs = np.unravel_index(places, windows.shape[1:3])
        yield windows[:, ys, xs].transpose(1, 0, 2, 3).reshape(len(places), groups, size)


def _numbers(node: onnx_ir.Node, name: str, fill: int) -> Sequence[int]:
    default = [fill] * (4 if name == "pads" else 2)
    found = node.attributes.get_ints(name, default)
    return list(default if found is None else found)


def save_moments(folder: Path, moments: Mapping[str, Moments]) -> None:
    """Write `moments` to `folder`, each covariance in a file of its own."""
    (folder / _NAMES).write_bytes(dumps(list(moments)))
    np.savez(folder / _MEANS, allow_pickle=False, **{str(place): item.mean for place, item in enumerate(moments.values())})
    for place, item in enumerate(moments.values()):
        np.save(folder / f"covariance-{place}.npy", item.covariance)


class StoredMoments(Mapping[str, Moments]):
    """What `save_moments` wrote. Covariances stay on disk and are mapped into memory while somebody looks at one."""

    def __init__(self, folder: Path) -> None:
        """Read the layers' names and means."""
        names: list[str] = json.loads((folder / _NAMES).read_bytes())
        with np.load(folder / _MEANS) as means:
            self._means = {name: means[str(place)] for place, name in enumerate(names)}
        self._files = {name: folder / f"covariance-{place}.npy" for place, name in enumerate(names)}

    def __getitem__(self, layer: str) -> Moments:
        """Moments of a layer; raises KeyError."""
        return Moments(self._means[layer], np.load(self._files[layer], mmap_mode="r"))

    def __iter__(self) -> Iterator[str]:
        """The layers."""
        return iter(self._means)

    def __len__(self) -> int:
        """How many layers."""
        return len(self._means)
