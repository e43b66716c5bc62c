"""Which tensors of a student are to look like which of its teacher: as the user names them, or paired by place and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir

from ...core.errors import PassError
from ...ir.model import Model

# Where the story of a network goes on to be told: what branches meet in, and what a layer gives to the next.
_JOINTS = frozenset(
    [
        *("Add", "Concat", "BatchNormalization", "LayerNormalization", "GroupNormalization", "InstanceNormalization"),
        *("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Erf", "HardSwish", "Mish", "Tanh", "Sigmoid", "Mul"),
        *("Conv", "Gemm", "MatMul", "MaxPool", "AveragePool", "GlobalAveragePool", "LSTM", "GRU"),
    ]
)
_MOST_OF_ONE_SIZE = 3
_FEWEST_STAGES = 2


@dataclass(frozen=True)
class Feature:
    """A tensor inside a graph: `channels` on axis `axis`, its other sizes but for the batch, and its depth from 0 to 1."""

    name: str
    channels: int
    axis: int
    places: tuple[int, ...]
    depth: float


@dataclass(frozen=True)
class Pair:
    """A student's tensor and the teacher's that it is to look like."""

    student: Feature
    teacher: Feature

    def __str__(self) -> str:
        """As an option names it."""
        return f"{self.student.name}:{self.teacher.name}"


def named_pairs(texts: Sequence[str], student: Model, teacher: Model) -> tuple[Pair, ...]:
    """Pairs "student's tensor:teacher's tensor" (or one name that both have); raises PassError where one is not there."""
    ours, theirs = (_by_name(features(model, every=True)) for model in (student, teacher))
    found = []
    for text in texts:
        cuts = [place for place, sign in enumerate(text) if sign == ":"]
        options = [(text[:cut], text[cut + 1 :]) for cut in cuts] + [(text, text)]
        pair = next((Pair(ours[a], theirs[b]) for a, b in options if a in ours and b in theirs), None)
        if pair is None:
            raise PassError(
                f"pairs={text!r} names no tensor of the student and one of the teacher whose shapes are known; write "
                "student's:teacher's, with names as `edgewright opt --print-after` shows them."
            )
        if len(pair.student.places) != len(pair.teacher.places):
            raise PassError(f"pairs={text!r}: the two tensors have {_ranks(pair)} axes, and cannot be compared.")
        found.append(pair)
    return tuple(found)


def automatic_pairs(student: Model, teacher: Model) -> tuple[Pair, ...]:
    """The ends of the student's stages, each with the teacher's tensor of its name, or the end of a stage of its places.

    A stage is what computes at one resolution. Networks of a single one (transformers, perceptrons) give three tensors, evenly
    spaced. Where the teacher has no such end, its tensor of these places at the nearest depth serves. Raises PassError where
    nothing can be paired.
    """
    theirs = features(teacher)
    ends = {item.name for item in _stage_ends(theirs)}
    found: list[Pair] = []
    taken: set[str] = set()
    for ours in _stage_ends(features(student)):
        alike = [item for item in theirs if item.places == ours.places and item.axis == ours.axis and item.name not in taken]
        if not alike:
            continue
        best = min(alike, key=lambda item: (item.name != ours.name, item.name not in ends, abs(item.depth - ours.depth)))
        taken.add(best.name)
        found.append(Pair(ours, best))
    if not found:
        raise PassError(
            "no tensor of the student has the places of one of the teacher, so no features can be matched; name them with "
            "pairs=STUDENT:TEACHER, or drop features."
        )
    return tuple(found)


def features(model: Model, *, every: bool = False) -> tuple[Feature, ...]:
    """The tensors in the order in which they are made: floats that follow from the input, short of the answer.

    Only those between layers, unless `every` is asked for.
    """
    graph = model.graph
    follows: set[onnx_ir.Value] = {value for value in graph.inputs if value.name not in graph.initializers}
    is_sequence = any(node.op_type == "Conv" and _rank(node.outputs[0]) == 3 for node in graph)
    nodes = list(graph)
    found = []
    for place, node in enumerate(nodes):
        if not any(value in follows for value in node.inputs):
            continue
        follows.update(node.outputs)
        value = node.outputs[0]
        if value.is_graph_output() or not (every or node.op_type in _JOINTS):
            continue
        made = _feature(value, (place + 1) / len(nodes), is_sequence=is_sequence)
        if made is not None:
            found.append(made)
    return tuple(found)


def _feature(value: onnx_ir.Value, depth: float, *, is_sequence: bool) -> Feature | None:
    """None for what has no channels, or sizes that are not known."""
    if value.shape is None or value.dtype is None or not value.dtype.is_floating_point() or len(value.shape) < 2:
        return None
    sizes = [size for size in value.shape[1:] if isinstance(size, int)]
    if len(sizes) < len(value.shape) - 1:
        return None
    axis = 2 if len(sizes) == 2 and not is_sequence else 1
    channels = sizes.pop(axis - 1)
    return Feature(str(value.name), channels, axis, tuple(sizes), depth)


def _stage_ends(found: Sequence[Feature]) -> list[Feature]:
    """The last tensor of each resolution; of the only one, some evenly spaced."""
    stages: dict[tuple[tuple[int, ...], int], list[Feature]] = {}
    for item in found:
        stages.setdefault((item.places, item.axis), []).append(item)
    # What has no places but channels is the answer's last step, unless the network has nothing else.
    spatial = {key: items for key, items in stages.items() if key[0] and max(key[0]) > 1} or stages
    if len(spatial) >= _FEWEST_STAGES:
        return [items[-1] for items in spatial.values()]
    items = max(spatial.values(), key=len, default=[])
    count = min(_MOST_OF_ONE_SIZE, len(items))
    return [items[(index + 1) * len(items) // count - 1] for index in range(count)]


def _by_name(found: Sequence[Feature]) -> dict[str, Feature]:
    return {item.name: item for item in found}


def _ranks(pair: Pair) -> str:
    return " and ".join(str(len(item.places) + 2) for item in (pair.student, pair.teacher))


def _rank(value: onnx_ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)
