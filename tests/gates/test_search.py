"""What is judged on `search` with few resamples: nothing that `accept` would have seen is kept from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import edgewright
import numpy as np
import pytest
from edgewright.optimizer.exam import is_inside
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.text import parse_gate
from edgewright.optimizer.kit import SEARCH_RESAMPLES
from edgewright.stats.bootstrap import JACKKNIFE_UNITS, RESAMPLES

METRIC = """
from pathlib import Path

def hits(outputs, labels, inputs, columns):
    with Path({counts!r}).open("a") as file:
        file.write(str(len(labels)) + " ")
    return float((outputs.argmax(axis=1) == labels).mean())
"""


@pytest.mark.parametrize("gate", ["mae <= +0.02", "mae <= 102% of reference", "mae <= 0.8", "cosine >= 0.97"])
@pytest.mark.parametrize("worse", [0.0, 0.015, 0.02, 0.025, 0.3])
def test_few_resamples_let_the_same_candidates_look_at_accept(gate: str, worse: float) -> None:
    draw = np.random.default_rng(5)
    labels = draw.normal(0, 1, (200, 1))
    reference = labels + draw.normal(0, 1, labels.shape)
    candidate = reference + worse * np.sign(reference - labels) + draw.normal(0, 0.01, labels.shape)
    few, many = (
        judge(parse_gate(gate), reference, candidate, labels, resamples=resamples)
        for resamples in (SEARCH_RESAMPLES, RESAMPLES)
    )
    assert is_inside(few) == is_inside(many)
    assert few[0].measured == many[0].measured


def test_a_metric_of_the_user_s_is_called_seldom_on_search_and_often_on_accept(
    digits: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = digits
    shutil.copy(data, tmp_path / "data.npz")
    (tmp_path / "own.py").write_text(METRIC.format(counts=str(tmp_path / "counts")), "utf-8")
    result = edgewright.compile(
        model, data=tmp_path / "data.npz", profiles="arm64-linux", gates=f"{tmp_path}/own.py:hits >= -0.1",
        runtimes="onnxruntime", precisions="float32", search_samples=300, calib_samples=64,
        out=tmp_path / "out", store=tmp_path / "store",
    )  # fmt: skip
    assert result.exit_code == 0
    splits = result.report.data.splits
    counts = [int(count) for count in (tmp_path / "counts").read_text().split()]
    calls = {name: sum(count in (splits[name], splits[name] - 1) for count in counts) for name in ("search", "accept")}
    assert 2 * SEARCH_RESAMPLES <= calls["search"] <= 4 * SEARCH_RESAMPLES + 10
    assert 2 * RESAMPLES <= calls["accept"] <= 2 * (RESAMPLES + JACKKNIFE_UNITS) + 10
