"""Streams of images whose corruptions get worse: LeNet-5 on MNIST, ResNet-8 on CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.corruptions import SEVERITIES, mixed, noise
from benchmarks.drift_worlds import Piece, Stream, piece
from benchmarks.images import cifar10
from benchmarks.references import lenet5
from benchmarks.references.reference import DATA
from benchmarks.references.training import Schedule, cross_entropy, train

QUIET, EACH = 12, 6  # windows before the change, and windows of each severity after it
_WINDOW = 500
_SEEDS = 1000  # apart, so that no two streams draw alike
_TAUGHT = 20000  # digits that are corrupted to teach
# How often a released model's data have which severity; a stream that stays within them multiplies by a rising power of _MORE.
_KNOWN = (0.5, 0.2, 0.12, 0.08, 0.06, 0.04)
_MORE = np.array([1, 1.5, 2.2, 3.3, 5, 7.5])


def shares(step: int) -> NDArray[np.float64]:
    """How often each severity comes at a step of the stream, 0 to 5; at 0 as in the reference."""
    found = np.array(_KNOWN) * _MORE ** (step / 2.5)
    return np.asarray(found / found.sum())


def mnist_known(cache: Path, seed: int = 0) -> Stream:
    """LeNet-5 taught all corruptions, of which the worse ones come more and more often."""
    known = lenet5.load(cache)
    module, x, y = known.module, known.train["x"][:_TAUGHT], known.train["y"][:_TAUGHT]
    train(module, x, y, Schedule(epochs=3, batch=128, peak=2e-3), cross_entropy(), _corrupted, cache / "lenet5-mixed.pt")
    reference, stream = known.search, known.accept
    draw = np.random.default_rng(_SEEDS * seed + 1)
    released = piece(_torch(module), mixed(reference["x"], shares(0), draw), reference["y"])
    windows = _windows(stream["x"], stream["y"], _torch(module), lambda some, step: mixed(some, shares(step), draw), seed)
    return Stream("MNIST, known corruptions", "covariate", released, windows, QUIET)


def mnist_unseen(cache: Path, seed: int = 0) -> Stream:
    """LeNet-5 trained (benchmarks.references) and released on clean digits; noise that it never saw rises."""
    known = lenet5.load(cache)
    answers, reference, stream = _torch(known.module), known.search, known.accept
    draw = np.random.default_rng(_SEEDS * seed + 1)
    windows = _windows(stream["x"], stream["y"], answers, lambda some, step: noise(some, step, draw), seed)
    return Stream("MNIST, noise", "unseen", piece(answers, reference["x"], reference["y"]), windows, QUIET)


def cifar_unseen(cache: Path, seed: int = 0) -> Stream:
    """MLPerf Tiny's ResNet-8 as it is, released on 2,000 test images; noise of a tenth of MNIST's strength rises."""
    with np.load(DATA / "cifar10" / "test.npz") as archive:
        y = archive["labels"].astype(np.int64)
    x = np.stack(list(cifar10(len(y), 32))).astype(np.float32)
    answers = _litert(DATA / "cifar10" / "pretrainedResnet.tflite")
    draw = np.random.default_rng(_SEEDS * seed + 1)

    def noisy(some: NDArray[Any], step: int) -> NDArray[Any]:
        return np.clip(some + draw.normal(0, 8 * step, some.shape), 0, 255).astype(np.float32)

    windows = _windows(x[2000:], y[2000:], answers, noisy, seed)
    return Stream("CIFAR-10, noise", "unseen", piece(answers, x[:2000], y[:2000]), windows, QUIET)


def _windows(
    x: NDArray[Any],
    y: NDArray[Any],
    answers: Callable[[Any], Any],
    change: Callable[[NDArray[Any], int], NDArray[Any]],
    seed: int,
) -> tuple[Piece, ...]:
    """Windows without a change, then of each severity; every image comes once before any comes again."""
    steps = [0] * QUIET + [severity for severity in range(1, SEVERITIES) for _ in range(EACH)]
    draw, rest, made = np.random.default_rng(_SEEDS * seed), np.empty(0, np.int64), []
    for step in steps:
        if len(rest) < _WINDOW:
            rest = np.concatenate([rest, draw.permutation(len(y))])
        chosen, rest = rest[:_WINDOW], rest[_WINDOW:]
        made.append(piece(answers, change(x[chosen], step).astype(np.float32), y[chosen], f"severity {step}"))
    return tuple(made)


def _corrupted(x: NDArray[Any], generator: np.random.Generator, done: float) -> torch.Tensor:
    return torch.from_numpy(mixed(x, shares(0), generator))


def _torch(module: torch.nn.Module) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def answers(x: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            return torch.softmax(module(torch.from_numpy(x.astype(np.float32))), 1).numpy()

    return answers


def _litert(path: Path) -> Callable[[NDArray[Any]], NDArray[Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()

    def answers(x: NDArray[Any]) -> NDArray[Any]:
        found = []
        for row in x:
            interpreter.set_tensor(given["index"], row[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(told["index"])[0].copy())
        return np.stack(found)

    return answers
