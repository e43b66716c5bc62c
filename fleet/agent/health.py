"""Whether a new version is healthy: numbers in, a verdict with its reason out.

The test vectors decide first (the worker runs them). Then the version serves for a trial. While it does, the shares of
requests that failed and of those that were slower than promised are held against what is allowed by an e-value: the likelihood
ratio of larger shares, averaged over a grid of them, to the allowed one. Under an allowed share its mean is at most 1, so by
Ville's inequality it exceeds 1/alpha with probability alpha at most, however often one looks (Ramdas et al., Game-theoretic
statistics and safe anytime- valid inference, 2023). At the end the histogram of confidence is held against that of compile
time, by a distance that allows for the noise of so many requests. Too few requests judge nothing; then the test vectors' word
stands, and the reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..serve.generation import Health, Statistics

Word = Literal["healthy", "unhealthy", "undecided"]

_GRID = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)  # times the allowed share, up to certainty


@dataclass(frozen=True)
class Policy:
    """Bounds of a trial.

    `trial_s` seconds it lasts; `min_requests` fewer judge nothing; `max_error_share` of requests may fail; `max_slow_share`
    may take longer than `latency_factor` times the promised p99; `max_crashes` of its process are borne;
    `max_confidence_distance` is the total variation distance of the confidence's histogram beyond noise, from 0 to 1; `alpha`
    the chance of each false alarm.
    """

    trial_s: float = 300.0
    min_requests: int = 50
    max_error_share: float = 0.01
    max_slow_share: float = 0.05
    latency_factor: float = 1.5
    max_crashes: int = 0
    max_confidence_distance: float = 0.4
    alpha: float = 0.01


@dataclass(frozen=True)
class Verdict:
    """A word and its reason, in one clause."""

    word: Word
    why: str


def judge_vectors(health: Health) -> Verdict:
    """The first stage: what came of the test vectors."""
    if not health.passed:
        return Verdict("unhealthy", f"the test vectors failed: {health.why}")
    return Verdict("healthy", f"{health.samples} test vectors as expected")


def judge_trial(policy: Policy, counts: Statistics, elapsed_s: float, promised_p99_ms: float | None = None) -> Verdict:
    """The second stage, at any moment of the trial; the promise is None where it was not measured on the target."""
    if counts.crashes > policy.max_crashes:
        return Verdict("unhealthy", f"its process ended {counts.crashes} times unasked")
    if _is_more(counts.errors, counts.requests, policy.max_error_share, policy.alpha):
        allowed = f"{policy.max_error_share:.1%}"
        return Verdict("unhealthy", f"{counts.errors} of {counts.requests} requests failed, and {allowed} may")
    slow, timed = _slower(counts, promised_p99_ms, policy.latency_factor)
    if _is_more(slow, timed, policy.max_slow_share, policy.alpha):
        limit = f"{policy.latency_factor:g} times the promised {promised_p99_ms:g} ms"
        return Verdict("unhealthy", f"{slow} of {timed} requests took longer than {limit}, and {policy.max_slow_share:.0%} may")
    if elapsed_s < policy.trial_s:
        return Verdict("undecided", f"{counts.requests} requests in {elapsed_s:.0f} s of {policy.trial_s:.0f} s")
    if counts.requests < policy.min_requests:
        few = f"{counts.requests} requests in {elapsed_s:.0f} s are too few to judge by"
        return Verdict("healthy", f"the test vectors were as expected; {few}")
    distance, bound = confidence_distance(counts.confidence, counts.confidence_reference, policy)
    if distance > bound:
        return Verdict(
            "unhealthy", f"the histogram of confidence lies {distance:.2f} from the reference, and {bound:.2f} is allowed"
        )
    return Verdict("healthy", f"{counts.requests} requests in {elapsed_s:.0f} s, {counts.errors} failed")


def confidence_distance(counts: Sequence[int], reference: Sequence[int], policy: Policy) -> tuple[float, float]:
    """Total variation distance of two histograms over the same bins, and the bound that it may reach.

    The bound is the policy's plus what the distance of equal distributions is expected to be at most (half the sum of the
    bins' standard deviations, of both histograms) plus McDiarmid's deviation at `alpha`. Too few counts or no bins give 0 and
    1.
    """
    size, held = sum(counts), sum(reference)
    if len(counts) != len(reference) or size < policy.min_requests or held == 0:
        return 0.0, 1.0
    shares = [count / held for count in reference]
    distance = sum(abs(count / size - share) for count, share in zip(counts, shares, strict=True)) / 2
    noise = sum(math.sqrt(share * (1 - share) * (1 / size + 1 / held)) for share in shares) / 2
    deviation = math.sqrt(math.log(1 / policy.alpha) / 2 * (1 / size + 1 / held))
    return distance, policy.max_confidence_distance + noise + deviation


def evidence(hits: int, trials: int, allowed: float) -> float:
    """Natural logarithm of the e-value against a share of at most `allowed`, from 0 to below 1."""
    if trials == 0:
        return 0.0
    allowed = max(allowed, 1e-9)
    larger = [share for share in (allowed * factor for factor in _GRID) if share < 0.95] + [0.95 + 0.05 * allowed]
    terms = [
        hits * math.log(share / allowed) + (trials - hits) * (math.log1p(-share) - math.log1p(-allowed)) for share in larger
    ]
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms) / len(terms))


def _is_more(hits: int, trials: int, allowed: float, alpha: float) -> bool:
    return evidence(hits, trials, allowed) >= math.log(1 / alpha)


def _slower(counts: Statistics, promised_p99_ms: float | None, factor: float) -> tuple[int, int]:
    """Requests in bins that lie wholly above the limit, and all that were timed; none where nothing was promised."""
    if promised_p99_ms is None or len(counts.latency_counts) != len(counts.latency_edges_ms) + 1:
        return 0, 0
    limit = factor * promised_p99_ms
    above = [count for low, count in zip(counts.latency_edges_ms, counts.latency_counts[1:], strict=True) if low >= limit]
    return sum(above), sum(counts.latency_counts)
