"""Training as users bring it: scikit-learn on the samples of a job, written as ONNX."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))
import world


def with_replay(job):
    """Learn from the replay and the new samples."""
    with np.load(job.train) as file:
        return world.write_source(job.out / "model.onnx", file["x"], file[job.labels], seed=job.seed)


def new_only(job):
    """Forget the old world."""
    with np.load(job.train) as file:
        is_new = file["world"] == "new"
        return world.write_source(job.out / "model.onnx", file["x"][is_new], file[job.labels][is_new], seed=job.seed)


def nothing(job):
    """Return no model."""
    return job.out / "missing.onnx"
