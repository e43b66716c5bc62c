"""Spoken digits (fsdd): a depthwise separable network (Zhang et al., 1711.07128) on log-mel features; `speaker` is a slice."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.references.reference import DATA, Arrays, Reference, take
from benchmarks.references.training import Schedule, cross_entropy, train

_RATE, _LENGTH, _HOP, _MELS, _FRAMES = 8000, 256, 128, 32, 62
_ACCEPT, _SEARCH = 1300, 200
_WIDTH = 96


class SpokenDigits(nn.Module):
    """Logits [n, 10] of features [n, 1, 32, 62]: mel bands, frames of 16 ms."""

    def __init__(self, width: int = _WIDTH) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_unit(1, width, 5, 2)]
        for stride in (1, 2, 1, 1):
            layers += [*_unit(width, width, 3, stride, groups=width), *_unit(width, width, 1, 1)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        return self.head(self.features(x).mean((2, 3)))


def _unit(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def load(cache: Path) -> Reference:
    """Train, or load what was trained."""
    data = _features()
    order = np.random.default_rng(0).permutation(len(data["y"]))
    accept, search, learned = (take(data, part) for part in np.split(order, [_ACCEPT, _ACCEPT + _SEARCH]))
    torch.manual_seed(0)
    module = SpokenDigits()
    schedule = Schedule(epochs=24, batch=32, peak=5e-3, weight_decay=1e-2)
    train(module, learned["x"], learned["y"], schedule, cross_entropy(0.05), vary, cache / "spoken_digits.pt")
    gates = ("top1 >= 99% of reference", "top1[speaker] report-only")
    return Reference("spoken_digits", module, learned, search, accept, gates, 0.95, augment=f"{__name__}:augment")


def vary(x: NDArray[Any], generator: np.random.Generator, done: float) -> Tensor:
    """Moved in time by up to six frames, louder or quieter, with a little noise, and a few bands or frames blanked."""
    result = np.empty_like(x)
    floor = x.min()
    for index, (image, moved) in enumerate(zip(x, generator.integers(-6, 7, len(x)), strict=True)):
        result[index] = np.roll(image, moved, axis=2)
        band, frame = generator.integers(0, _MELS - 4), generator.integers(0, _FRAMES - 8)
        result[index, :, band : band + generator.integers(0, 5)] = floor
        result[index, :, :, frame : frame + generator.integers(0, 9)] = floor
    result += generator.normal(0, 0.2, (len(x), 1, 1, 1)).astype(np.float32)
    result += generator.normal(0, 0.1, x.shape).astype(np.float32)
    return torch.from_numpy(result)


def augment(inputs: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """`vary` as the compiler calls it."""
    seed = int(torch.randint(1 << 31, (), generator=generator))
    return {name: vary(x.numpy(), np.random.default_rng(seed), 0.0) for name, x in inputs.items()}


def _features() -> Arrays:
    """Log-mel features [n, 1, 32, 62] of each recording's first second, digit and speaker."""
    with np.load(DATA / "fsdd" / "fsdd.npz") as archive:
        pcm, offsets = archive["pcm"], archive["offsets"]
        digits, speakers = archive["digit"].astype(np.int64), archive["speaker"]
    filters = _mel_filters()
    x = np.stack([_log_mel(pcm[a:b], filters) for a, b in itertools.pairwise(offsets)])
    x = (x - x.mean()) / x.std()
    return {"x": x[:, None].astype(np.float32), "y": digits, "speaker": speakers}


def _log_mel(pcm: NDArray[Any], filters: NDArray[Any]) -> NDArray[Any]:
    """[32, 62] of one recording [samples] int16, cut or filled up with silence."""
    wanted = _LENGTH + _HOP * (_FRAMES - 1)
    signal = np.zeros(wanted)
    signal[: min(wanted, len(pcm))] = pcm[:wanted] / 32768
    frames = np.lib.stride_tricks.sliding_window_view(signal, _LENGTH)[::_HOP] * np.hanning(_LENGTH)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    return np.log(power @ filters + 1e-6).T


def _mel_filters() -> NDArray[Any]:
    """Triangles [bins, 32], evenly spaced in mel (O'Shaughnessy's formula) from 60 Hz to half the rate."""
    edges = np.linspace(*(1127 * np.log1p(np.array([60, _RATE / 2]) / 700)), _MELS + 2)
    hertz = 700 * np.expm1(edges / 1127)
    bins = np.fft.rfftfreq(_LENGTH, 1 / _RATE)[:, None]
    low, middle, high = hertz[:-2], hertz[1:-1], hertz[2:]
    return np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
