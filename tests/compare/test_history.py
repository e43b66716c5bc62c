"""The history in SQLite and its picture."""

from __future__ import annotations

import sqlite3

import pytest
from compare_samples import comparison, finding
from edgewright.core.errors import StoreError, UsageError
from edgewright.optimizer.compare.history import add, read
from edgewright.optimizer.compare.trend import trend


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "history.sqlite"
    for number, status in enumerate(("none", "noise", "regression"), 1):
        timed = finding(status, head=2.0 + number / 10)
        size = finding("shown", figure="size", unit="B", how="exact", head=1e6 * number, measured=0.0, low=0.0, high=0.0)
        assert add(path, comparison(timed, size, label=f"v{number}")) == number
    return path


def test_what_was_added_comes_back_in_order(kept):
    found = read(kept)
    timed = found["model", "p90_ms"]
    assert [(moment.label, moment.status) for moment in timed] == [("v1", "none"), ("v2", "noise"), ("v3", "regression")]
    assert [moment.head for moment in found["model", "size"]] == [1e6, 2e6, 3e6]
    # -1 % to +3 % about a change of +1 %.
    assert timed[0].low == pytest.approx(2.1 * 0.99 / 1.01)
    assert timed[0].high == pytest.approx(2.1 * 1.03 / 1.01)


def test_a_figure_that_two_rules_judge_counts_once(tmp_path):
    path = tmp_path / "h.sqlite"
    add(path, comparison(finding("regression"), finding("none", rule="p90_ms > 20ms", scale="level", low=1.9, high=2.1)))
    (only,) = read(path)["model", "p90_ms"]
    assert only.status == "regression"


def test_a_change_and_a_level_have_their_own_ends(tmp_path):
    path = tmp_path / "h.sqlite"
    change = finding("none", figure="top1", slice="site=a", scale="change", head=0.9, measured=-0.01, low=-0.02, high=0.0)
    add(path, comparison(change, finding("none", scale="level", low=1.9, high=2.1)))
    found = read(path)
    sliced = found["model", "top1 [site=a]"][0]
    assert (sliced.low, sliced.high) == (pytest.approx(0.89), pytest.approx(0.91))
    assert (found["model", "p90_ms"][0].low, found["model", "p90_ms"][0].high) == (1.9, 2.1)


def test_a_file_that_is_no_history_is_refused_and_left_alone(tmp_path):
    text, other = tmp_path / "text", tmp_path / "other.sqlite"
    text.write_text("not a database, and long enough to look like something else " * 20)
    before = text.read_bytes()
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    for path in (text, other, tmp_path / "no" / "folder.sqlite"):
        with pytest.raises(StoreError, match="history"):
            add(path, comparison(finding()))
    assert text.read_bytes() == before
    with sqlite3.connect(other) as database:
        assert [name for (name,) in database.execute("SELECT name FROM sqlite_master")] == ["mine"]


def test_the_trend_has_a_plot_a_figure_and_is_the_same_each_time(kept):
    made = trend(read(kept), "svg")
    assert made.count(b'<g id="axes_') == 2
    assert trend(read(kept), "svg") == made


def test_a_trend_needs_values_and_a_known_form(kept, tmp_path):
    with pytest.raises(UsageError, match="png or svg"):
        trend(read(kept), "gif")
    path = tmp_path / "empty.sqlite"
    add(path, comparison(finding("undecided", head=None, measured=None)))
    with pytest.raises(UsageError, match="no value"):
        trend(read(path), "svg")
