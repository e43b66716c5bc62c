"""What every tool is given: one model in the forms that it can be had in, and the samples; needs numpy alone.

A task is a folder with `task.json`, the model's forms, and `calib.npz`, `search.npz`, `accept.npz`, `train.npz` (`x`, and `y`
where there are labels).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


class Cannot(Exception):
    """A tool cannot do what was asked; the sentence stands in the table."""


@dataclass(frozen=True)
class Task:
    """A model by `name`, what it is judged by (`metric`), and its `forms`: file or folder by kind.

    Kinds: "onnx" (batch 1), "source" (the ONNX file as it came), "torch" (a pickled module), "keras" (file), "saved_model"
    (folder), "weights" (an .npz of Keras' weights in order), "tflite" (float; `tflite_by` says who made it). `source` is the
    kind that the model came in.
    """

    folder: Path
    name: str
    input: str
    metric: str
    gate: str
    source: str
    forms: dict[str, str]
    tflite_by: str

    @staticmethod
    def read(folder: Path) -> Task:
        """Of `task.json` in the folder."""
        return Task(folder, **json.loads((folder / "task.json").read_text("utf-8")))

    def write(self) -> None:
        """To `task.json`."""
        value = {name: item for name, item in asdict(self).items() if name != "folder"}
        (self.folder / "task.json").write_text(json.dumps(value, indent=1), "utf-8")

    def path(self, *kinds: str) -> Path:
        """The first of these forms; raises Cannot where the model has none of them."""
        for kind in kinds:
            if kind in self.forms:
                return self.folder / self.forms[kind]
        raise Cannot(f"takes {' or '.join(_TOLD[kind] for kind in kinds)}, and this model comes from {_TOLD[self.source]}")

    def x(self, part: str) -> np.ndarray:
        """Samples [n, ...] of a part."""
        with np.load(self.folder / f"{part}.npz") as archive:
            return archive["x"]

    def data(self, part: str) -> dict[str, Any]:
        """Arrays of a part by name."""
        with np.load(self.folder / f"{part}.npz") as archive:
            return dict(archive)


_TOLD = {
    "onnx": "ONNX",
    "source": "ONNX",
    "torch": "PyTorch",
    "keras": "Keras",
    "saved_model": "TensorFlow",
    "weights": "Keras",
    "tflite": "TFLite",
}
