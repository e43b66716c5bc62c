"""The text of rules: what each means, that it reads back, and what is refused with which sentence."""

from __future__ import annotations

import pytest
from edgewright.core.errors import GateError, UsageError
from edgewright.optimizer.compare.rules import parse_rule, parse_rules
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "figure", "scale", "threshold"),
    [
        ("p90_ms > +5%", "p90_ms", "relative", 0.05),
        ("p50_ms > -10%", "p50_ms", "relative", -0.1),
        ("throughput < -5%", "throughput", "relative", -0.05),
        ("size>+2%", "size", "relative", 0.02),
        ("size > +0%", "size", "relative", 0.0),
        ("p99_ms > +20us", "p99_ms", "change", 0.02),
        ("cold_start_ms > +0.1s", "cold_start_ms", "change", 100.0),
        ("memory > +2MB", "memory", "change", 2e6),
        ("first_ms > 20", "first_ms", "level", 20.0),
        ("size > 500kB", "size", "level", 5e5),
        ("throughput < 100", "throughput", "level", 100.0),
        ("top1 < -0.5pt", "top1", "change", -0.005),
        ("top1 < -2%", "top1", "relative", -0.02),
        ("top1 < 90%", "top1", "level", 0.9),
        ("mae > +0.05", "mae", "change", 0.05),
    ],
)
def test_a_rule_means_a_threshold(text, figure, scale, threshold):
    rule = parse_rule(text)
    assert (rule.figure, rule.scale) == (figure, scale)
    assert rule.threshold == pytest.approx(threshold)
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("top1 < -0.5pt", "top1 >= -0.5pt"),
        ("top1[site] by who < -1pt", "top1[site] by who >= -1pt"),
        ("top1 < -2%", "top1 >= 98% of reference"),
        ("rmse > +2%", "rmse <= 102% of reference"),
        ("mae > +0.05", "mae <= +0.05"),
        ("agreement < 98%", "agreement >= 98%"),
        ("metrics.py:profit < -0.5", "metrics.py:profit >= -0.5"),
    ],
)
def test_a_rule_on_a_metric_is_the_gate_that_asks_for_the_opposite(text, gate):
    assert str(parse_rule(text).gate) == gate


@given(st.sampled_from(["p90_ms > ", "size > ", "memory > "]), st.integers(0, 10**6), st.sampled_from(["", "%"]))
def test_a_rule_reads_back(head, number, unit):
    rule = parse_rule(f"{head}+{number / 1000}{unit}")
    assert parse_rule(str(rule)) == rule
    assert rule.threshold == pytest.approx(number / 1000 / (100 if unit else 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p90 > +5%", "did you mean 'p90_ms'"),
        ("p90_ms < +5%", "needs '>'"),
        ("throughput > +5%", "needs '<'"),
        ("top1 > -1pt", "needs '<'"),
        ("p90_ms > 5%", "write a change in %"),
        ("p90_ms > +5pt", "one of us, ms, s"),
        ("size > +5ms", "one of B, kB, MB, GB"),
        ("size[x] > +5%", "only metrics have slices"),
        ("p90_ms > 0", "level of nothing"),
        ("p90_ms > -100%", "-100 %"),
        ("top1 < 1pt", "points without a sign"),
        ("top1 < -1ms", "points ('-0.5pt')"),
        ("top1[] < -1pt", "column without a name"),
        ("p90_ms", "cannot be read"),
        ("p90_ms > +1e999%", "not finite"),
        ("", "cannot be read"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(text, told):
    with pytest.raises(UsageError) as refused:
        parse_rule(text)
    assert told in str(refused.value)


def test_a_change_of_what_is_a_comparison_already_is_refused():
    with pytest.raises(GateError, match="compares with the reference already"):
        parse_rule("agreement < -1pt")


def test_a_rule_given_twice_and_too_many_rules_are_refused():
    with pytest.raises(UsageError, match="given twice"):
        parse_rules(["size > +2%", "size>+2%"])
    with pytest.raises(UsageError, match="at most 100"):
        parse_rules([f"size > +{number}%" for number in range(101)])
