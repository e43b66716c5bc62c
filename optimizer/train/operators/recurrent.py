"""Recurrent layers: torch's fused kernels where they compute the same, else a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .cells import Cell, activations, gru_step, lstm_step, rnn_step
from .reading import Operator, given, integers, unsupported


@dataclass(frozen=True)
class _Kind:
    """A recurrent operator: gates in ONNX's order, `order` of them that torch wants, default activations."""

    gates: int
    order: tuple[int, ...]
    functions: tuple[str, ...]
    step: Callable[..., tuple[Any, Any]]
    has_cell: bool = False


_KINDS: Mapping[str, _Kind] = {
    # ONNX has i, o, f, c and z, r, h; torch i, f, c, o and r, z, h.
    "LSTM": _Kind(4, (0, 2, 3, 1), ("sigmoid", "tanh", "tanh"), lstm_step, has_cell=True),
    "GRU": _Kind(3, (1, 0, 2), ("sigmoid", "tanh"), gru_step),
    "RNN": _Kind(1, (0,), ("tanh",), rnn_step),
}
_FUSED: Mapping[str, Callable[..., Any]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN": torch.rnn_tanh,
    "RNN of relu": torch.rnn_relu,
}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class _Layer:
    kind: _Kind
    # For each direction, whether it goes backwards.
    backwards: tuple[bool, ...]
    cells: tuple[Cell, ...]
    # The kernel that computes the whole layer, where there is one.
    fused: Callable[..., Any] | None
    is_batch_first: bool
    outputs: int

    def run(
        self, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, c: Any = None, p: Any = None
    ) -> Any:
        """Y [time, directions, batch, hidden], Y_h and Y_c [directions, batch, hidden]; with batch first also there."""
        x = x.transpose(0, 1) if self.is_batch_first else x
        h, c = (self._state(value, x, r) for value in (h, c))
        if self.fused is not None and lengths is None:
            made = self._whole(x, w, r, b, h, c)
        else:
            made = self._stepwise(x, w, r, b, lengths, h, c, p)
        if self.is_batch_first:
            made = [made[0].permute(2, 0, 1, 3), *(value if value is None else value.transpose(0, 1) for value in made[1:])]
        return made[0] if self.outputs == 1 else made

    def _state(self, value: Any, x: Any, r: Any) -> Any:
        shape = (len(self.backwards), x.shape[1], r.shape[-1])
        if value is None:
            return torch.zeros(shape, dtype=r.dtype, device=r.device)
        return (value.transpose(0, 1) if self.is_batch_first else value).expand(shape).contiguous()

    def _whole(self, x: Any, w: Any, r: Any, b: Any, h: Any, c: Any) -> list[Any]:
        is_reverse = self.backwards == (True,)
        flat = []
        for direction in range(len(self.backwards)):
            flat += [self._ordered(w[direction]), self._ordered(r[direction])]
            if b is not None:
                flat += [self._ordered(part) for part in b[direction].chunk(2)]
        state = (h, c) if self.kind.has_cell else h
        x = x.flip(0) if is_reverse else x
        both = len(self.backwards) == 2
        y, *last = self.fused(x, state, flat, b is not None, 1, 0.0, False, both, False)  # type: ignore[misc]
        y = y.reshape(*y.shape[:2], len(self.backwards), -1).transpose(1, 2)
        return [y.flip(0) if is_reverse else y, *last]

    def _ordered(self, rows: Any) -> Any:
        """The gates' rows in torch's order."""
        if self.kind.gates == 1:
            return rows
        gates = rows.chunk(self.kind.gates)
        return torch.cat([gates[place] for place in self.kind.order])

    def _stepwise(self, x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, c: Any, p: Any) -> list[Any]:
        living = None
        if lengths is not None:
            living = (torch.arange(len(x), device=x.device)[:, None] < lengths.to(x.device))[..., None]
        found = [
            self._direction(place, x, w, r, b, living, h[place], c[place], None if p is None else p[place])
            for place in range(len(self.backwards))
        ]
        y, last_h, last_c = zip(*found, strict=True)
        made = [torch.stack(y, 1), torch.stack(last_h)]
        return [*made, torch.stack(last_c)] if self.kind.has_cell else made

    def _direction(
        self, place: int, x: Any, w: Any, r: Any, b: Any, living: Any, h: Any, c: Any, p: Any
    ) -> tuple[Any, Any, Any]:
        """(Y [time, batch, hidden], last h, last c) of one direction; past its length a sample keeps its state and gives 0."""
        b_w, b_r = b[place].chunk(2) if b is not None else (None, None)
        gates = functional.linear(x, w[place], b_w)
        made = [h] * len(x)
        times = range(len(x))
        for time in reversed(times) if self.backwards[place] else times:
            new_h, new_c = self.kind.step(self.cells[place], gates[time], h, c, r[place], b_r, p)
            if living is None:
                h, c, made[time] = new_h, new_c, new_h
                continue
            alive = living[time]
            h = torch.where(alive, new_h, h)
            c = c if new_c is None else torch.where(alive, new_c, c)
            made[time] = torch.where(alive, new_h, torch.zeros_like(new_h))
        return torch.stack(made), h, c


def _recurrent(node: onnx_ir.Node) -> Callable[..., Any]:
    kind = _KINDS[node.op_type]
    backwards = _DIRECTIONS.get(node.attributes.get_string("direction", "forward").lower())
    if backwards is None:
        raise unsupported(node, "its direction is unknown")
    names = [name.lower() for name in node.attributes.get_strings("activations", kind.functions * len(backwards))]
    clip = node.attributes.get_float("clip", None)
    forgets_input = bool(node.attributes.get_int("input_forget", 0))
    is_linear_first = bool(node.attributes.get_int("linear_before_reset", 0))
    count = len(kind.functions)
    alphas, betas = (list(node.attributes.get_floats(f"activation_{name}", ())) for name in ("alpha", "beta"))
    functions = activations(names, alphas, betas)
    if functions is None or len(functions) != count * len(backwards):
        raise unsupported(node, f"its activations {', '.join(names)} are not those of ONNX")
    cells = tuple(
        Cell(functions[place * count : (place + 1) * count], clip, is_linear_first, forgets_input)
        for place in range(len(backwards))
    )
    fused = _kernel(node, names, kind, len(backwards))
    if clip is not None or forgets_input or given(node, 7) is not None or (node.op_type == "GRU" and not is_linear_first):
        fused = None
    layer = _Layer(kind, backwards, cells, fused, bool(node.attributes.get_int("layout", 0)), len(node.outputs))
    if _has_full_lengths(node):
        return lambda x, w, r, b=None, lengths=None, *rest: layer.run(x, w, r, b, None, *rest)
    return layer.run


def _kernel(node: onnx_ir.Node, names: Sequence[str], kind: _Kind, directions: int) -> Callable[..., Any] | None:
    if node.op_type == "RNN" and set(names) == {"relu"}:
        return _FUSED["RNN of relu"]
    return _FUSED[node.op_type] if names == list(kind.functions) * directions else None


def _has_full_lengths(node: onnx_ir.Node) -> bool:
    """Whether every sample is said to be as long as the input is."""
    lengths, x = integers(node, 4), node.inputs[0]
    if lengths is None or x is None or x.shape is None:
        return False
    time = x.shape[1 if node.attributes.get_int("layout", 0) else 0]
    return all(length == time for length in lengths)


RECURRENT: Mapping[str, Operator] = dict.fromkeys(_KINDS, _recurrent)
