"""Each part at its middle size under pytest-benchmark, to compare commits.

python -m pytest benchmarks/speed/bench_speed.py --benchmark-timer=time.process_time --benchmark-autosave
python -m pytest benchmarks/speed/bench_speed.py --benchmark-timer=time.process_time --benchmark-compare
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed.cases import CASES


@pytest.mark.parametrize("part", list(CASES))
def test_speed(benchmark: Any, tmp_path: Path, part: str) -> None:
    """Time one part; pytest-benchmark chooses how often."""
    case = CASES[part]
    size = case.sizes[len(case.sizes) // 2]
    benchmark.extra_info.update({"grows with": case.grows_with, "size": size})
    benchmark(case.make(size, tmp_path))
