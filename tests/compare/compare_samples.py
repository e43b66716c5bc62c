"""Comparisons made by hand, for tests of what is written of them."""

from __future__ import annotations

from dataclasses import replace

from edgewright.optimizer.compare.finding import Comparison, Finding, Side


def finding(status="none", **changes):
    """A finding of p90_ms, changed as asked."""
    made = Finding(
        subject="model",
        figure="p90_ms",
        slice=None,
        rule=None if status == "shown" else "p90_ms > +5%",
        status=status,
        why="" if status == "shown" else "+1.00 % (-1.00 % to +3.00 %) lies within +5.00 %.",
        unit="ms",
        scale="relative",
        how="turns",
        n=9,
        confidence=0.99,
        base=2.0,
        head=2.02,
        measured=0.01,
        low=-0.01,
        high=0.03,
        threshold=None if status == "shown" else 0.05,
    )
    return replace(made, **changes)


def comparison(*findings, label=None, at="2026-11-26T12:00:00+00:00", notes=()):
    """A comparison of these findings."""
    side = Side("dist/model.ewa", "model", "ab" * 32, 1234, "onnxruntime")
    conditions = {"how": "turns", "cpu": "a CPU", "seconds": 1.5, "pairs": 9, "looks": 1, "threads": [1, 1]}
    return Comparison(at, "0.1.0", (side,), (replace(side, sha256="cd" * 32),), tuple(findings), 0.05, conditions, notes, label)
