"""Olive: its pass OnnxStaticQuantization, with its defaults."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from olive.workflows import run as workflow

from benchmarks.peers.child import run
from benchmarks.peers.task import Task

_SCRIPT = """
import numpy as np, torch
from olive.data.registry import Registry

@Registry.register_dataset()
def samples(data_name=None, **options):
    class Samples(torch.utils.data.Dataset):
        rows = np.load({rows!r})
        def __len__(self):
            return len(self.rows)
        def __getitem__(self, index):
            return {{{name!r}: self.rows[index]}}, 0
    return Samples()
"""


def convert(task: Task, out: Path) -> Path:
    np.save(out / "calib.npy", task.x("calib"))
    (out / "samples.py").write_text(_SCRIPT.format(rows=str(out / "calib.npy"), name=task.input), "utf-8")
    data = {
        "name": "calib",
        "user_script": str(out / "samples.py"),
        "load_dataset_config": {"type": "samples"},
        "dataloader_config": {"batch_size": 1},
    }
    recipe = {
        "input_model": {"type": "OnnxModel", "model_path": str(task.path("onnx"))},
        "data_configs": [data],
        "passes": {"quantize": {"type": "OnnxStaticQuantization", "data_config": "calib"}},
        "output_dir": str(out / "olive"),
        "cache_dir": str(out / "cache"),
        "no_artifacts": True,
    }
    (out / "recipe.json").write_text(json.dumps(recipe), "utf-8")
    workflow(recipe)
    return next((out / "olive").rglob("*.onnx"))


if __name__ == "__main__":
    run(convert, "olive-ai", "onnxruntime")
