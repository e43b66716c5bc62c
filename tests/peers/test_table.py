"""The table of the peers: who is ahead is decided by intervals, each such row has a reason, the page is what results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
judgement = pytest.importorskip("benchmarks.peers.ahead", reason="the benchmarks are not here", exc_type=ImportError)
table = pytest.importorskip("benchmarks.peers.table", reason="the benchmarks are not here", exc_type=ImportError)
RESULTS = ROOT / "benchmarks" / "results"


def _row(**compared: Any) -> dict[str, Any]:
    return {"model": "m", "peer": "p", "against": "edgewright", "accuracy": {}, "compared": compared or None}


@pytest.mark.parametrize(
    ("compared", "what"),
    [
        ({"size": 0.98}, ["size"]),
        ({"size": 0.995}, []),
        ({"metric": {"gain": 0.01, "low": 0.001, "high": 0.02}}, ["metric"]),
        ({"metric": {"gain": 0.01, "low": -0.001, "high": 0.02}}, []),
        ({"time": {"ratio": 0.9, "low": 0.85, "high": 0.95}}, ["time"]),
        ({"time": {"ratio": 0.9, "low": 0.85, "high": 1.01}}, []),
        ({}, ["made"]),
    ],
)
def test_a_peer_is_ahead_where_the_interval_says_so(compared: dict[str, Any], what: list[str]) -> None:
    assert list(judgement.ahead(_row(**compared))) == what


def test_a_way_of_our_own_and_a_file_that_was_not_made_are_ahead_of_nothing() -> None:
    assert judgement.ahead({**_row(size=0.1), "against": None}) == {}
    assert judgement.ahead({"model": "m", "peer": "p", "against": "edgewright", "why": "no"}) == {}


def test_a_row_that_is_ahead_without_a_reason_is_named() -> None:
    row = {"model": "m", "peer": "p", "ahead": {"size": "2% smaller", "time": "0.9"}}
    assert judgement.missing_reasons([row], {"m / p / size": "because"}) == ["m / p / time"]


def test_the_page_is_what_the_results_say_and_every_lead_is_explained() -> None:
    results = json.loads((RESULTS / "peers.json").read_text("utf-8"))
    reasons = judgement.reasons_of(RESULTS / "peers_reasons.toml")
    assert judgement.missing_reasons(results["rows"], reasons) == []
    assert (ROOT / "docs" / "peers.md").read_text("utf-8") == table.page(results, reasons)
