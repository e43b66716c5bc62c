"""What River's ADWIN and Evidently, as they come, say to the same streams.

ADWIN looks at one number after another: at whether each answer was right (so it needs every label, at once), and at each
feature, each with its own detector. Evidently compares each window's features with the reference's; its verdict is that half of
the columns drift, each by its own default test. It runs in a Python of its own (evidently_defaults.py).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from edgewright.calibration.statistic import table
from edgewright.core.statistic import CHANNEL_MEAN, CHANNEL_STD, COLUMN, MEAN, STD, Statistic

from benchmarks.drift_worlds import Piece, Stream

_MOST_COLUMNS = 128
_DRIFT_SHARE = 0.5  # of the columns, as Evidently has it


def features(some: Piece) -> pd.DataFrame:
    """What a user would hand over of samples: columns, or what is counted of images; confidence, and the predicted class."""
    x = some.x
    if x.ndim == 2 and x.shape[1] <= _MOST_COLUMNS:
        statistics = [Statistic(COLUMN, place) for place in range(x.shape[1])]
    elif x.ndim == 4:
        channels = min(x.shape[1], x.shape[3])
        statistics = [Statistic(name, place) for name in (CHANNEL_MEAN, CHANNEL_STD) for place in range(channels)]
    else:
        statistics = [Statistic(MEAN), Statistic(STD)]
    found = pd.DataFrame(table(x, statistics), columns=[str(item) for item in statistics])
    found["confidence"] = some.scores.max(axis=1)
    found["prediction"] = some.scores.argmax(axis=1).astype(str)
    return found


def adwin_errors(stream: Stream) -> list[int]:
    """Windows in which ADWIN on the errors, which it is told at once, sees a change."""
    from river.drift import ADWIN

    detector, found = ADWIN(), []
    for value in (~stream.reference.right).astype(float):
        detector.update(value)
    for number, window in enumerate(stream.windows):
        seen = False
        for value in (~window.right).astype(float):
            detector.update(value)
            seen |= bool(detector.drift_detected)
        if seen:
            found.append(number)
    return found


def adwin_features(stream: Stream) -> list[int]:
    """Windows in which one of the ADWINs on the features, scaled to the reference's spread, sees a change."""
    from river.drift import ADWIN

    reference = features(stream.reference).drop(columns="prediction")
    middle, spread = reference.mean(), reference.std().replace(0, 1)
    detectors = [ADWIN() for _ in reference.columns]

    def changed(some: pd.DataFrame) -> bool:
        seen = False
        for detector, values in zip(detectors, ((some - middle) / spread).to_numpy().T, strict=True):
            for value in values:
                detector.update(float(value))
                seen |= bool(detector.drift_detected)
        return seen

    changed(reference.iloc[np.random.default_rng(0).permutation(len(reference))])
    return [number for number, window in enumerate(stream.windows) if changed(features(window)[reference.columns])]


def evidently_drift(stream: Stream, python: str) -> tuple[list[int], list[int]]:
    """Windows in which Evidently, in that Python, says that half of the columns drift, and in which one or more do."""
    reference = features(stream.reference).drop(columns="prediction")
    windows = [features(window)[reference.columns].to_numpy(np.float64).T for window in stream.windows]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stream.npz"
        arrays = {"stream.reference": reference.to_numpy(np.float64).T, "stream.windows": np.stack(windows)}
        np.savez(file, **arrays)  # type: ignore[arg-type]
        command = [python, str(Path(__file__).with_name("evidently_defaults.py")), str(file)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    flagged = np.array(json.loads(told)["stream"]["flagged"])
    whole, some = flagged.mean(axis=1) >= _DRIFT_SHARE, flagged.any(axis=1)
    return np.flatnonzero(whole).tolist(), np.flatnonzero(some).tolist()
