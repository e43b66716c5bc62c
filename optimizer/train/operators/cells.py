"""One step of each kind of recurrent cell, for what torch's fused kernels do not compute. ONNX operators LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

Function = Callable[[Any], Any]
_WITH_ALPHA_BETA: Mapping[str, tuple[float, float, Callable[[Any, float, float], Any]]] = {
    "affine": (1.0, 0.0, lambda x, a, b: x * a + b),
    "elu": (1.0, 0.0, lambda x, a, b: functional.elu(x, a)),
    "hardsigmoid": (0.2, 0.5, lambda x, a, b: torch.clamp(x * a + b, 0.0, 1.0)),
    "leakyrelu": (0.01, 0.0, lambda x, a, b: functional.leaky_relu(x, a)),
    "relu": (0.0, 0.0, lambda x, a, b: torch.relu(x)),
    "scaledtanh": (1.0, 1.0, lambda x, a, b: torch.tanh(x * b) * a),
    "sigmoid": (0.0, 0.0, lambda x, a, b: torch.sigmoid(x)),
    "softplus": (0.0, 0.0, lambda x, a, b: functional.softplus(x)),
    "softsign": (0.0, 0.0, lambda x, a, b: functional.softsign(x)),
    "tanh": (0.0, 0.0, lambda x, a, b: torch.tanh(x)),
    "thresholdedrelu": (1.0, 0.0, lambda x, a, b: torch.where(x > a, x, torch.zeros_like(x))),
}
# Those that take alpha, and those that take beta, in the lists of a node, which name no activation.
_TAKES_ALPHA = frozenset({"affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu"})
_TAKES_BETA = frozenset({"affine", "hardsigmoid", "scaledtanh"})


def activations(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> list[Function] | None:
    """The functions of these names, with the parameters in the order in which they are taken; None for an unknown name."""
    given_alphas, given_betas = iter(alphas), iter(betas)
    functions: list[Function] = []
    for name in (name.lower() for name in names):
        if name not in _WITH_ALPHA_BETA:
            return None
        alpha, beta, function = _WITH_ALPHA_BETA[name]
        alpha = next(given_alphas, alpha) if name in _TAKES_ALPHA else alpha
        beta = next(given_betas, beta) if name in _TAKES_BETA else beta
        functions.append(lambda x, function=function, alpha=alpha, beta=beta: function(x, alpha, beta))  # type: ignore[misc]
    return functions


@dataclass(frozen=True)
class Cell:
    """How a step of one direction is computed: its activations f, g, h, the bound of their arguments, and variants."""

    functions: Sequence[Function]
    clip: float | None
    is_linear_before_reset: bool = False
    forgets_input: bool = False

    def bound(self, x: Any) -> Any:
        """`x` inside of the bound."""
        return x if self.clip is None else torch.clamp(x, -self.clip, self.clip)


def lstm_step(cell: Cell, gates: Any, h: Any, c: Any, weights: Any, bias: Any, peepholes: Any) -> tuple[Any, Any]:
    """(h, c) after a step; `gates` [batch, 4 hidden] are what the input adds to i, o, f and c."""
    f, g, last = cell.functions
    i, o, forget, new = (gates + functional.linear(h, weights, bias)).chunk(4, -1)
    p_i, p_o, p_f = peepholes.chunk(3, -1) if peepholes is not None else (0.0, 0.0, 0.0)
    i = f(cell.bound(i + p_i * c))
    forget = 1 - i if cell.forgets_input else f(cell.bound(forget + p_f * c))
    c = forget * c + i * g(cell.bound(new))
    o = f(cell.bound(o + p_o * c))
    return o * last(c), c


def gru_step(cell: Cell, gates: Any, h: Any, c: Any, weights: Any, bias: Any, peepholes: Any) -> tuple[Any, Any]:
    """(h, None) after a step; `gates` [batch, 3 hidden] are what the input adds to z, r and h."""
    f, g = cell.functions
    size = h.shape[-1]
    x_z, x_r, x_h = gates.chunk(3, -1)
    b_h = None if bias is None else bias[2 * size :]
    z, r = functional.linear(h, weights[: 2 * size], None if bias is None else bias[: 2 * size]).chunk(2, -1)
    z, r = f(cell.bound(x_z + z)), f(cell.bound(x_r + r))
    if cell.is_linear_before_reset:
        inner = r * functional.linear(h, weights[2 * size :], b_h)
    else:
        inner = functional.linear(r * h, weights[2 * size :], b_h)
    return (1 - z) * g(cell.bound(x_h + inner)) + z * h, None


def rnn_step(cell: Cell, gates: Any, h: Any, c: Any, weights: Any, bias: Any, peepholes: Any) -> tuple[Any, Any]:
    """(h, None) after a step; `gates` [batch, hidden] are what the input adds."""
    return cell.functions[0](cell.bound(gates + functional.linear(h, weights, bias))), None
