"""CIFAR-10: ResNet-20 (He et al., 1512.03385, section 4.2) with projections in its shortcuts, on JPEG images."""

from __future__ import annotations

import io
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.references.reference import DATA, Arrays, Reference, take
from benchmarks.references.training import Schedule, cross_entropy, train

MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
_TRAIN, _SEARCH = 40000, 1500  # the rest of the training images widens what judges
_PAD = 4
_SMALL = 24  # pixels of the first images of each cycle: half the time a step


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to [n, inputs, h, w]."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNet20(nn.Module):
    """Logits [n, 10] of images [n, 3, 32, 32] that are normalised with MEAN and STD."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks, inputs = [], width
        for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            for place in range(3):
                blocks.append(Block(inputs, outputs, stride if place == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        x = functional.relu(self.bn(self.conv(x)), inplace=True)
        return self.head(self.blocks(x).mean((2, 3)))


def load(cache: Path) -> Reference:
    """Train, or load what was trained."""
    learned, judged = _images("train", cache), _images("test", cache)
    part = {"train": take(learned, slice(_TRAIN)), "search": take(learned, slice(_TRAIN, _TRAIN + _SEARCH))}
    accept = {name: np.concatenate([judged[name], learned[name][_TRAIN + _SEARCH :]]) for name in judged}
    torch.manual_seed(0)
    module = ResNet20().to(memory_format=torch.channels_last)
    x, y = part["train"]["x"], part["train"]["y"]
    # Three cycles of the rate (warm restarts, 1608.03983): the state after the first is a usable model already.
    for cycle, (epochs, peak, small) in enumerate(((16, 0.15, 11 / 16), (12, 0.1, 1 / 2), (16, 0.1, 3 / 8)), 1):
        schedule, batch = Schedule(epochs, 64, peak, is_sgd=True), partial(_batch, small)
        train(module, x, y, schedule, cross_entropy(0.05), batch, cache / f"resnet20-{cycle}.pt")
    module = module.to(memory_format=torch.contiguous_format)
    scaling = f"mean={':'.join(map(str, MEAN))},std={':'.join(map(str, STD))},layout=nchw,dtype=float32"
    gates = ("top1 >= 99% of reference",)
    return Reference("resnet20", module, part["train"], part["search"], accept, gates, 0.87, scaling)


def _batch(small: float, x: NDArray[Any], generator: np.random.Generator, done: float) -> Tensor:
    """Cut out of the padded image and mirrored; small images for the share `small` of the steps."""
    padded = np.pad(x, ((0, 0), (_PAD, _PAD), (_PAD, _PAD), (0, 0)), mode="reflect")
    corners, is_mirrored = generator.integers(0, 2 * _PAD + 1, (len(x), 2)), generator.random(len(x)) < 0.5
    cut = np.stack([image[a : a + 32, b : b + 32] for image, (a, b) in zip(padded, corners, strict=True)])
    cut[is_mirrored] = cut[is_mirrored, :, ::-1]
    images = torch.from_numpy(cut).permute(0, 3, 1, 2).float()
    images = (images - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    if done < small:
        images = functional.interpolate(images, size=(_SMALL, _SMALL), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last)


def _images(name: str, cache: Path) -> Arrays:
    """Images [n, 32, 32, 3] uint8 and classes; unpacked once."""
    with np.load(DATA / "cifar10" / f"{name}.npz") as archive:
        labels = archive["labels"].astype(np.int64)
        unpacked = cache / f"cifar10-{name}.npy"
        if not unpacked.exists():
            data, offsets = archive["jpeg"].tobytes(), archive["offsets"].tolist()
            pairs = itertools.pairwise(offsets)
            np.save(unpacked, np.stack([np.asarray(Image.open(io.BytesIO(data[a:b])).convert("RGB")) for a, b in pairs]))
    return {"x": np.load(unpacked), "y": labels}
