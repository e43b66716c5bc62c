"""Evidently's default drift tests on arrays; runs in a Python that has Evidently (it needs pandas below 3), apart from ours.

    PYTHON benchmarks/evidently_defaults.py STREAMS.npz    prints JSON: case -> test, [runs, features] flagged

The file holds for each case NAME arrays `NAME.reference` [features, values] or [runs, features, values] and `NAME.windows`
[runs, features, values]. Which test and which threshold are Evidently's own choice for numerical columns.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd


def main() -> int:
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    found: dict[str, dict[str, object]] = {}
    with np.load(sys.argv[1]) as streams:
        for name in sorted({key.rsplit(".", 1)[0] for key in streams.files}):
            reference, windows = streams[f"{name}.reference"], streams[f"{name}.windows"]
            flagged = np.zeros(windows.shape[:2], dtype=bool)
            for run, window in enumerate(windows):
                base = reference if reference.ndim == 2 else reference[run]
                for feature, values in enumerate(window):
                    then, now = pd.Series(base[feature]), pd.Series(values)
                    test = get_stattest(then, now, ColumnType.Numerical, None)
                    flagged[run, feature] = test(then, now, ColumnType.Numerical, None).drifted
            found[name] = {"test": test.display_name, "threshold": test.default_threshold, "flagged": flagged.tolist()}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
