"""Simulated rollouts beside hawkBit's rule on the same draws: false aborts, false promotions, and how soon each sees what.

Every rollout draws its devices' failures once, in the order of assignment, and both rules look at them:

    edgewright     the tests of `stats.sequential` as `fleet.rollout.judge` uses them in the canary of a plan of several stages:
                   abort at 0.8 alpha, promote at alpha, looked at after every device
    hawkBit        the rollout stops when more than `error` percent of a group's devices failed, and the next group begins
                   when `success` percent of it finished (its ThresholdRolloutGroup conditions, whole percents): 5 and 90
                   here, with a first group of 10 and of 100 devices

A false abort is one at the allowed rate, a false promotion one at the unacceptable rate. Guards are drawn beside: devices whose
values differ, with a mean of nothing worse, at the margin, and clearly beyond it.

    python -m benchmarks.canary                      # 10,000 rollouts of each kind, under a minute on an idle core
    python -m benchmarks.canary --rollouts 2000 --json out.json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from edgewright.fleet.rollout.guard import SLOW_SHARE, Guard
from edgewright.fleet.rollout.judge import abort_levels
from edgewright.fleet.rollout.plan import Plan, Stage
from edgewright.stats.sequential import RateTest, at_least, at_most, log_bound
from edgewright.stats.sequential_arrays import first_reach, mean_paths, rate_paths

PLAN = Plan("digits", 2, stages=(Stage(0.05), Stage()))
DEVICES = 500  # of a canary; longer ones change nothing that can be seen
TARGETS = {0.10: 70, 0.20: 15, 0.50: 3}
NEVER = 10**9


@dataclass(frozen=True)
class Row:
    """What a rule did at one rate of failures: shares of rollouts, and the median of devices until it aborted."""

    rule: str
    rate: float
    aborted: float
    promoted: float
    median: int | None
    worst_tenth: int | None


def ours(failures: np.ndarray, rate: float) -> Row:
    stop = _first(rate_paths(at_most(PLAN.allowed), failures), abort_levels(PLAN, 0)[0])
    go = _first(rate_paths(at_least(PLAN.unacceptable, PLAN.allowed), failures), PLAN.alpha)
    return _row("edgewright", rate, stop, go)


def hawkbit(failures: np.ndarray, rate: float, group: int, error: int, success: int) -> Row:
    """The first group only, as a canary: what happens there is what the rule makes of it."""
    taken = failures[:, :group]
    bad = np.cumsum(taken, axis=1)
    reached = 100 * bad > error * group
    stop = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, NEVER)
    done = 100 * np.cumsum(~taken, axis=1) >= success * group
    go = np.where(done.any(axis=1), done.argmax(axis=1) + 1, NEVER)
    return _row(f"hawkBit, groups of {group}", rate, stop, go)


def exact(test: RateTest, level: float, rate: float, devices: int) -> np.ndarray:
    """Exact probability [devices] that the bound was reached, by walking over all numbers of failures."""
    bound, alive, found, total = log_bound(level), {0: 1.0}, [], 0.0
    for count in range(1, devices + 1):
        ahead: dict[int, float] = {}
        for bad, mass in alive.items():
            ahead[bad] = ahead.get(bad, 0.0) + mass * (1 - rate)
            ahead[bad + 1] = ahead.get(bad + 1, 0.0) + mass * rate
        alive = {bad: mass for bad, mass in ahead.items() if test.log_e(bad, count) < bound}
        total += sum(mass for bad, mass in ahead.items() if bad not in alive)
        found.append(total)
    return np.array(found)


def guards(rollouts: int, generator: np.random.Generator) -> list[tuple[str, float, int | None]]:
    """Share of rollouts that a guard aborts and the median of devices until then, by what is different."""
    found = []
    slow, errors = Guard("slow", 0.05), Guard("errors", 0.01)
    level = PLAN.alpha / 2
    # Devices differ in how many of their requests lie above their own bound; the mean is at most a tenth, or at the margin.
    kinds = (("equally fast", SLOW_SHARE), ("at the margin", SLOW_SHARE + slow.margin), ("half of the requests slow", 0.5))
    for name, mean in kinds:
        values = generator.beta(2, 2 * (1 - mean) / mean, (rollouts, 100))
        found.append((f"{slow}: {name}", *_aborts(mean_paths(slow.worse, values), level)))
    for name, worse in (("equal", 0.0), ("at the margin", 0.01), ("20 points more", 0.20)):
        base = generator.beta(1, 50, (2, rollouts, 100))
        values = base[0] - base[1] + worse
        found.append((f"{errors}: {name}", *_aborts(mean_paths(errors.worse, np.clip(values, -1, 1)), level)))
    return found


def _aborts(paths: np.ndarray, level: float) -> tuple[float, int | None]:
    first = _first(paths, level)
    return float(np.mean(first < NEVER)), _quantile(first, 0.5)


def _first(paths: np.ndarray, level: float) -> np.ndarray:
    first = first_reach(paths, log_bound(level))
    return np.where(first == 0, NEVER, first)


def _row(rule: str, rate: float, stop: np.ndarray, go: np.ndarray) -> Row:
    aborted = stop <= go  # together: a failure and a proof cannot come with one device, so only both never
    aborted &= stop < NEVER
    seen = np.where(aborted, stop, NEVER)
    return Row(rule, rate, float(np.mean(aborted)), float(np.mean(go < stop)), _quantile(seen, 0.5), _quantile(seen, 0.9))


def _quantile(first: np.ndarray, share: float) -> int | None:
    value = int(np.sort(first)[max(0, int(np.ceil(share * len(first))) - 1)])
    return value if value < NEVER else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    generator = np.random.default_rng(given.seed)
    rows: list[Row] = []
    for rate in (0.01, 0.02, PLAN.allowed, 0.05, PLAN.unacceptable, 0.20, 0.50):
        failures = generator.random((given.rollouts, DEVICES)) < rate
        rows += [ours(failures, rate)]
        rows += [hawkbit(failures, rate, group, 5, 90) for group in (10, 100)]
    print(f"{'rule':42} {'rate':>5}  {'aborts':>7}  {'promotes':>8}  {'median':>6}  {'90 %':>5}")
    for row in sorted(rows, key=lambda item: (item.rule, item.rate)):
        print(
            f"{row.rule:42} {row.rate:5.0%}  {row.aborted:7.2%}  {row.promoted:8.2%}  "
            f"{'-' if row.median is None else row.median:>6}  {'-' if row.worst_tenth is None else row.worst_tenth:>5}"
        )
    print("\nexact, by walking over all numbers of failures: devices until half of the rollouts are stopped")
    medians = {}
    for rate, target in TARGETS.items():
        shares = exact(at_most(PLAN.allowed), abort_levels(PLAN, 0)[0], rate, 150)
        medians[rate] = int(np.argmax(shares >= 0.5 - 1e-12)) + 1
        print(f"  {rate:4.0%}  {medians[rate]:3}  (target {target})")
    print(f"  a promotion takes at least {PLAN.fewest_to_promote} devices, all of them good")
    print(f"\n{'guard, of two in a plan':46} {'aborts':>7}  {'median':>6}")
    held = guards(given.rollouts, generator)
    for name, aborts, median in held:
        print(f"{name:46} {aborts:7.2%}  {'-' if median is None else median:>6}")
    mine = {row.rate: row for row in rows if row.rule == "edgewright"}
    wrong = [
        mine[PLAN.allowed].aborted,
        mine[PLAN.unacceptable].promoted,
        *(share for name, share, _ in held if "margin" in name),
    ]
    is_met = max(wrong) <= PLAN.alpha and all(medians[rate] <= target for rate, target in TARGETS.items())
    verdict = "all targets met" if is_met else "NOT all targets met"
    print(f"\nfalse aborts {wrong[0]:.2%}, false promotions {wrong[1]:.2%}; {verdict}")
    if given.json:
        told = {"rows": [asdict(row) for row in rows], "medians": medians, "guards": held}
        given.json.write_text(json.dumps(told, indent=1))
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
