"""What River's ADWIN and Evidently, as they come, say to the same streams.

ADWIN looks at one number after another: at whether each answer was right (so it needs every label, at once), and at each
feature, each with its own detector. Evidently compares each window's features with the reference's; its verdict is that half of
the columns drift, each by its own default test.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from edgewright.calibration.statistic import table
from edgewright.core.statistic import CHANNEL_MEAN, CHANNEL_STD, COLUMN, MEAN, STD, Statistic

from benchmarks.drift_worlds import Piece, Stream

_MOST_COLUMNS = 128


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


def evidently_drift(stream: Stream) -> tuple[list[int], list[int]]:
    """Windows in which Evidently says that the data set drifts, and in which it says so of one column or more."""
    Report, Dataset, Definition, Preset = _evidently()
    reference = features(stream.reference)
    numbers = [name for name in reference.columns if name != "prediction"]
    definition = Definition(numerical_columns=numbers, categorical_columns=["prediction"])
    known = Dataset.from_pandas(reference, data_definition=definition)
    whole, some = [], []
    for number, window in enumerate(stream.windows):
        now = Dataset.from_pandas(features(window), data_definition=definition)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = Report([Preset()]).run(now, known).dict()["metrics"][0]["value"]
        if value["share"] >= 0.5:
            whole.append(number)
        if value["count"] > 0:
            some.append(number)
    return whole, some


def _evidently() -> tuple[Any, Any, Any, Any]:
    """Evidently's classes. Version 0.7 asks pandas for a function that pandas 3 has no more; all it needs of it is here."""
    from pandas.core.dtypes import common

    def infer_dtype_from_object(dtype: Any) -> type[Any]:
        return np.dtype(dtype).type

    if not hasattr(common, "infer_dtype_from_object"):
        common.infer_dtype_from_object = infer_dtype_from_object
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    return Report, Dataset, DataDefinition, DataDriftPreset
