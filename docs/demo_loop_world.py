"""The world of the loop's demo: digits before cameras, a small network that knows them, and the day on which lenses get dirty.

Before, the cameras show scikit-learn's digits as they are. Then dust lies on the lenses: black is no longer black, light is
lost, and each picture is grainier. A digit remains what it was, so the old network errs, and one that sees examples need not.
"""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
from demo_fleet_models import BRIGHTEST, Floats, digits
from numpy.typing import NDArray

SIDE = 8
TAUGHT, JUDGED, SEEN = 600, 420, 500  # digits to train on, to judge by, and that cameras see until a new version runs
_BLACK, _LIGHT, _GRAIN = 7.0, 0.35, 0.9  # of dirty lenses: what black becomes, the share of light that is left, deviation
Labels = NDArray[np.int64]


class World:
    """What cameras see. The digits of `judged` and of later pictures are none that any network was trained on before."""

    def __init__(self) -> None:
        x, y = digits()
        images = x.reshape(-1, 1, SIDE, SIDE)
        parts = np.split(np.arange(len(y)), np.cumsum([TAUGHT, JUDGED, SEEN]))
        self.taught, self.judged, self._seen, self._later = ((images[part], y[part]) for part in parts)
        self._known: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self.is_dirty, self.is_late = False, False

    def ask(self, draw: np.random.Generator) -> tuple[Floats, int]:
        """A picture [1, 1, 8, 8] of now, and which digit it is; `is_late` shows digits that nobody has seen before."""
        images, labels = self._later if self.is_late else self._seen
        at = int(draw.integers(len(labels)))
        image = dirty(images[at : at + 1], draw) if self.is_dirty else images[at : at + 1]
        with self._lock:
            self._known[image.tobytes()] = int(labels[at])
        return image, int(labels[at])

    def label(self, image: Floats) -> int:
        """What a person says that a picture shows."""
        with self._lock:
            return self._known[np.ascontiguousarray(image, np.float32).tobytes()]


def dirty(images: Floats, draw: np.random.Generator) -> Floats:
    """Pictures [n, 1, 8, 8] through dirty lenses."""
    seen = _BLACK + _LIGHT * images + draw.normal(0, _GRAIN, images.shape)
    return np.clip(seen, 0, BRIGHTEST).astype(np.float32)


def write_model(folder: Path, world: World) -> None:
    """Train the network on the clean digits: digits.onnx, its data old.npz, and accept.npz to judge by."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the batches are too small to share
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 48), nn.ReLU(), nn.Linear(48, 10),
    )  # fmt: skip
    x, y = (torch.from_numpy(part) for part in world.taught)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3, weight_decay=1e-4)
    for _ in range(30):
        for batch in torch.randperm(len(y)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own parts
        program = torch.onnx.export(
            net.eval(), (x[:2],), dynamo=True, input_names=["x"], output_names=["y"],
            dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False,
        )  # fmt: skip
    program.save(str(folder / "digits.onnx"))
    for name, (images, labels) in (("old", world.taught), ("accept", world.judged)):
        np.savez(folder / f"{name}.npz", x=images, y=labels)
