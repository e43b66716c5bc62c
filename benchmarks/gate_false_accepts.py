"""How often a gate lets a candidate through whose true loss is exactly the margin.

Outcomes are simulated so that the true loss stands exactly at the margin, then judged by the gate's own code with 10,000
bootstrap resamples. Three ways to ask:

    one look    one candidate, judged once
    search 20   20 candidates with a true loss at the margin; the best on a `search` set of the same size is judged on `accept`
    repeat 20   20 compiles on the same data, a new candidate each, all judged, at the levels that the ledger gives

In `repeat 20` the 20 outcomes are independent, the worst case for a sum of levels. A replay whose point estimate lies nearer to
the threshold than `_SCREEN` of the distance that its level asks for counts as not accepted without resampling it; `mis` counts
how many of 40 of those, the nearest half, the gate would have let through (0 shows that the shortcut is sound).

    python benchmarks/gate_false_accepts.py --replays 5000
    python benchmarks/gate_false_accepts.py --replays 500 --only auc,rmse
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.text import parse_gate
from edgewright.stats.paired import loss_bounds, normal_quantile, proportion_bounds, share_bounds
from edgewright.stats.spending import alpha_of_look
from scipy.optimize import brentq
from scipy.stats import norm

_LIMIT = 0.059
_CANDIDATES = 20
_SCREEN = 0.6
_SCREEN_CHECKS = 40

# generator -> (reference outputs, candidate outputs, labels or None, columns)
Sample = tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, np.ndarray]]
Simulate = Callable[[np.random.Generator, int], Sample]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    gate: str
    outcomes: str
    n: int
    mode: str
    replays: int
    accepted: int
    screened_missed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Share of replays accepted."""
        return self.accepted / self.replays


# ---- right-or-wrong metrics: all replays in one array


def counted(gate: str, n: int, replays: int, mode: str, psi: float, seed: int) -> int:
    """Replays accepted for a gate with a closed bound; `psi` is the share of samples that flips."""
    generator = np.random.default_rng(seed)
    parsed = parse_gate(gate)
    looks = _CANDIDATES if mode == "repeat 20" else 1

    def passes(counts: np.ndarray, alpha: float) -> np.ndarray:
        both, lost, won = counts[..., 0], counts[..., 1], counts[..., 2]
        if parsed.kind == "level":
            low = proportion_bounds(both, n, alpha)[0]
        elif parsed.kind == "share":
            low = share_bounds(both, lost, won, n, alpha)[0]
        else:
            low = -loss_bounds(lost, won, n, alpha)[1]
        return low > parsed.threshold

    def draw(flips: float) -> np.ndarray:
        return generator.multinomial(n, cells_at_margin(parsed, flips), replays)

    if mode == "search 20":
        # Candidates with different flip rates, all at the margin: choosing favours those that vary most.
        rates = np.linspace(1.0, 4.0, _CANDIDATES) * psi
        found = np.stack([draw(rate) for rate in rates], axis=1)
        gain = found[..., 0] if parsed.kind == "level" else found[..., 2] - found[..., 1]
        chosen = np.argmax(gain, axis=1)
        judged = np.stack([draw(rate) for rate in rates], axis=1)[np.arange(replays), chosen]
        return int(passes(judged, alpha_of_look(1)).sum())
    accepted = np.zeros(replays, dtype=bool)
    for look in range(1, looks + 1):
        accepted |= passes(draw(psi), alpha_of_look(look))
    return int(accepted.sum())


def cells_at_margin(gate, psi: float) -> list[float]:
    """Probabilities of both right, lost, won, neither, with the loss at the margin and the reference right in 80 %."""
    if gate.kind == "level":
        return [gate.threshold, 1 - gate.threshold, 0.0, 0.0]
    loss = gate.margin * (0.8 if gate.kind == "share" else 1.0)
    lost, won = (psi + loss) / 2, (psi - loss) / 2
    return [0.8 - lost, lost, won, 0.2 - won]


# ---- everything that is resampled


def decisions(metric: str, margin: float) -> Simulate:
    """Three classes, the rarest 10 %, the reference right in 85 %: a share of what is right is lost, 15 % of the rest won."""
    prior = np.array([0.6, 0.3, 0.1])

    def joint(q: float) -> np.ndarray:
        table = np.zeros((3, 3, 3))
        for y in range(3):
            for r in range(3):
                p = prior[y] * (0.85 if r == y else 0.075)
                others = [c for c in range(3) if c != y]
                if r == y:
                    table[y, r, y] += p * (1 - q)
                    for c in others:
                        table[y, r, c] += p * q / 2
                else:
                    table[y, r, r] += p * 0.85
                    table[y, r, y] += p * 0.15
        return table

    def value(confusion: np.ndarray) -> float:
        hits = np.diag(confusion)
        if metric == "precision":
            return float(np.mean(hits / confusion.sum(axis=0)))
        return float(np.mean(2 * hits / (confusion.sum(axis=0) + confusion.sum(axis=1))))

    def gap(q: float) -> float:
        table = joint(q)
        return value(table.sum(axis=2)) - value(table.sum(axis=1)) - margin

    cells = joint(brentq(gap, 0, 0.5)).ravel()

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label, before, after = np.unravel_index(generator.choice(27, n, p=cells), (3, 3, 3))
        return np.eye(3)[before], np.eye(3)[after], label, {}

    return simulate


def auc(margin: float) -> Simulate:
    """Binormal scores, 40 % positive; the candidate adds noise until its AUC is `margin` below."""
    distance = math.sqrt(2) * norm.ppf(0.90)
    spread = math.sqrt((distance / (math.sqrt(2) * norm.ppf(0.90 - margin))) ** 2 - 1)

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label = (generator.random(n) < 0.4).astype(int)
        before = generator.normal(size=n) + distance * label
        return before[:, None], (before + spread * generator.normal(size=n))[:, None], label, {}

    return simulate


def errors(share: float, heavy: bool) -> Simulate:
    """Regression whose candidate adds noise until its error (RMSE, and MAE where normal) is `share` of the reference's."""
    spread = math.sqrt(share**2 - 1)

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label = generator.normal(size=n)
        # Student's t with 5 degrees of freedom, scaled to variance 1, for heavy tails.
        noise = generator.standard_t(5, size=n) / math.sqrt(5 / 3) if heavy else generator.normal(size=n)
        before = label + 0.3 * noise
        return before[:, None], (before + 0.3 * spread * generator.normal(size=n))[:, None], label, {}

    return simulate


def ranks(margin: float) -> Simulate:
    """Bivariate normal with Spearman correlation 0.90; the candidate adds noise until it is `margin` lower."""
    first, second = (2 * math.sin(math.pi * rho / 6) for rho in (0.90, 0.90 - margin))
    spread = math.sqrt((first / second) ** 2 - 1)

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label = generator.normal(size=n)
        before = first * label + math.sqrt(1 - first**2) * generator.normal(size=n)
        return before[:, None], (before + spread * generator.normal(size=n))[:, None], label, {}

    return simulate


def explained(margin: float) -> Simulate:
    """Regression with R2 0.90 whose candidate adds noise until R2 is `margin` lower."""

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label = generator.normal(size=n)
        before = label + math.sqrt(0.1) * generator.normal(size=n)
        return before[:, None], (before + math.sqrt(margin) * generator.normal(size=n))[:, None], label, {}

    return simulate


def angles(level: float) -> Simulate:
    """Unit vectors whose 1 - cosine is exponential with mean 1 - `level`: most nearly alike, a few far off."""

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        cosine = 1 - np.minimum(generator.exponential(1 - level, size=n), 2)
        before = np.tile([1.0, 0.0], (n, 1))
        return before, np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1), None, {}

    return simulate


def groups(margin: float) -> Simulate:
    """Top-1 over groups of ten samples that share their loss rate (beta-distributed, mean at the margin plus 2 % won)."""

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        group = np.arange(n) // 10
        rate = generator.beta(2.0, 2.0 / (margin + 0.02) - 2.0, size=group[-1] + 1)[group]
        chance = generator.random(n)
        label = np.zeros(n, dtype=int)
        right_before = chance >= 0.02
        right_after = np.where(right_before, chance < 1 - rate, True)
        return np.eye(2)[(~right_before).astype(int)], np.eye(2)[(~right_after).astype(int)], label, {"g": group}

    return simulate


def whole_groups(margin: float, size: int) -> Simulate:
    """Top-1 over groups of `size` samples of which a share fails as a whole (one patient lost, all others untouched)."""

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        group = np.arange(n) // size
        is_lost = (generator.random(group[-1] + 1) < margin)[group]
        right = np.eye(2)[np.zeros(n, dtype=int)]
        return right, np.eye(2)[is_lost.astype(int)], np.zeros(n, dtype=int), {"g": group}

    return simulate


def rare_errors(gate: str, *, is_normal: bool = False) -> Simulate:
    """Regression (error 0.3) whose candidate is the reference but for rare samples, which land across the labels' range.

    Labels are uniform over [-5, 5] and the rare errors are 10, or (`is_normal`) standard normal and 6. The rare share puts the
    loss at the gate's margin.
    """
    parsed, far, base, spread = parse_gate(gate), 6.0 if is_normal else 10.0, 0.3, 0.3 * math.sqrt(2 / math.pi)
    start = spread if parsed.metric == "mae" else base
    value = start + parsed.threshold if parsed.kind == "change" else parsed.threshold
    rare = (value - spread) / (far - spread) if parsed.metric == "mae" else (value**2 - base**2) / far**2

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label = generator.normal(size=n) if is_normal else generator.uniform(-5, 5, n)
        before = label + base * generator.normal(size=n)
        after = before - np.sign(label) * far * (generator.random(n) < rare)
        return before[:, None], after[:, None], label, {}

    return simulate


def rare_positives(margin: float, positive: float) -> Simulate:
    """A perfect ranking of few positives, of which a share then ranks last."""

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        label = (generator.random(n) < positive).astype(int)
        before = generator.random(n) + 2 * label
        after = np.where((label == 1) & (generator.random(n) < margin), -1 - before, before)
        return before[:, None], after[:, None], label, {}

    return simulate


def reversals(level: float) -> Simulate:
    """Unit vectors that are the reference's, or for a share of samples its opposite."""

    def simulate(generator: np.random.Generator, n: int) -> Sample:
        sign = np.where(generator.random(n) < (1 - level) / 2, -1.0, 1.0)
        before = np.tile([1.0, 0.0], (n, 1))
        before[:, 1] = 1e-3 * generator.normal(size=n)
        before /= np.linalg.norm(before, axis=1, keepdims=True)
        return before, before * sign[:, None], None, {}

    return simulate


FAMILIES: tuple[tuple[str, str, str, Simulate, tuple[int, ...]], ...] = (
    ("f1", "f1 >= -3pt", "3 classes", decisions("f1", 0.03), (300, 1000, 3000)),
    ("precision", "precision >= -3pt", "3 classes", decisions("precision", 0.03), (300, 1000, 3000)),
    ("auc", "auc >= -0.02", "binormal", auc(0.02), (300, 1000)),
    ("mae", "mae <= 105% of reference", "normal", errors(1.05, heavy=False), (300, 1000)),
    ("rmse", "rmse <= 105% of reference", "normal", errors(1.05, heavy=False), (300, 1000)),
    ("rmse-t", "rmse <= 105% of reference", "Student t5", errors(1.05, heavy=True), (300, 1000)),
    ("r2", "r2 >= -0.02", "normal", explained(0.02), (300,)),
    ("spearman", "spearman >= -0.02", "normal", ranks(0.02), (300, 1000)),
    ("cosine", "cosine >= 0.99", "exponential", angles(0.99), (400, 1000)),
    ("groups", "top1 by g >= -3pt", "groups of 10", groups(0.03), (500, 1000, 2000)),
    ("whole-25", "top1 by g >= -1pt", "groups of 25", whole_groups(0.01, 25), (1000,)),
    ("whole", "top1 by g >= -1pt", "groups of 3", whole_groups(0.01, 3), (300, 960, 1500, 3000)),
    ("rare-mae", "mae <= +0.1", "rare 10", rare_errors("mae <= +0.1"), (100, 300, 500, 1000)),
    ("rare-mae-n", "mae <= +0.1", "rare 6", rare_errors("mae <= +0.1", is_normal=True), (100, 300, 500)),
    ("rare-rmse-l", "rmse <= 0.8", "rare 10", rare_errors("rmse <= 0.8"), (300, 600, 1000)),
    ("rare-auc", "auc >= -0.05", "5 % positive", rare_positives(0.05, 0.05), (500, 1500)),
    ("rare-cosine", "cosine >= 0.99", "reversed", reversals(0.99), (400, 700, 1000)),
)


def resampled(gate: str, simulate: Simulate, n: int, replays: int, mode: str, seed: int, resamples: int) -> tuple[int, int]:
    """Replays accepted, and screened replays that the gate would have let through after all."""
    parsed = parse_gate(gate)
    generator = np.random.default_rng(seed)
    sign = 1 if parsed.is_higher_better else -1

    def point(sample: Sample) -> float:
        return sign * (measured_value(parsed, sample) - parsed.threshold)

    def is_passed(sample: Sample, alpha: float, number: int) -> bool:
        before, after, label, columns = sample
        return judge(parsed, before, after, label, columns, alpha=alpha, seed=number, resamples=resamples)[0].status == "passed"

    spread = float(np.std([point(simulate(generator, n)) for _ in range(400)]))
    accepted = missed = checked = 0
    for replay in range(replays):
        for look in range(1, (_CANDIDATES if mode == "repeat 20" else 1) + 1):
            candidates = [generator]
            if mode == "search 20":
                candidates = generator.spawn(_CANDIDATES)
                candidates.sort(key=lambda candidate: point(simulate(candidate, n)))
            sample, alpha = simulate(candidates[-1], n), alpha_of_look(look)
            inside = point(sample)
            if inside < _SCREEN * float(normal_quantile(alpha)) * spread:
                if checked < _SCREEN_CHECKS and inside > 0.5 * _SCREEN * float(normal_quantile(alpha)) * spread:
                    checked += 1
                    missed += is_passed(sample, alpha, replay)
                continue
            if is_passed(sample, alpha, replay):
                accepted += 1
                break
    return accepted, missed


def measured_value(gate, sample: Sample) -> float:
    """The point estimate, by plain formulas apart from the gate's own code."""
    before, after, label, _ = sample
    if gate.metric in {"f1", "precision"}:
        return _macro(gate.metric, label, after.argmax(1)) - _macro(gate.metric, label, before.argmax(1))
    if gate.metric == "top1":
        return float(np.mean(after.argmax(1) == label) - np.mean(before.argmax(1) == label))
    if gate.metric == "cosine":
        return float(np.mean((before * after).sum(axis=1)))
    a, b = after[:, 0], before[:, 0]
    if gate.metric in {"mae", "rmse"}:
        power = 1 if gate.metric == "mae" else 2
        ours, theirs = (float((np.abs(part - label) ** power).mean() ** (1 / power)) for part in (a, b))
        return {"share": ours / theirs, "change": ours - theirs, "level": ours}[gate.kind]
    if gate.metric == "r2":
        return float((((b - label) ** 2).mean() - ((a - label) ** 2).mean()) / label.var())
    return _rank_value(gate.metric, a, label) - _rank_value(gate.metric, b, label)


def _rank_value(metric: str, scores: np.ndarray, label: np.ndarray) -> float:
    rank = np.argsort(np.argsort(scores))
    if metric == "auc":
        positive = int(label.sum())
        return float((rank[label == 1].sum() - positive * (positive - 1) / 2) / (positive * (len(label) - positive)))
    return float(np.corrcoef(rank, np.argsort(np.argsort(label)))[0, 1])


def _macro(metric: str, label: np.ndarray, named: np.ndarray) -> float:
    table = np.bincount(label * 3 + named, minlength=9).reshape(3, 3)
    below = table.sum(axis=0) if metric == "precision" else (table.sum(axis=0) + table.sum(axis=1)) / 2
    return float(np.mean(np.diag(table) / np.maximum(below, 1)))


def closed_rows(replays: int, seed: int) -> list[Row]:
    plan = [("top1 >= -1pt", psi, n) for n in (300, 1000, 3000) for psi in (0.01, 0.04)]
    plan += [("top1 >= 99% of reference", 0.04, n) for n in (1000, 3000)]
    plan += [("agreement >= 98%", 0.02, n) for n in (300, 1000, 3000)]
    rows = []
    for gate, psi, n in plan:
        for mode in ("one look", "search 20", "repeat 20"):
            start = time.monotonic()
            accepted = counted(gate, n, replays, mode, psi, seed)
            rows.append(Row(gate, f"flips {psi:.0%}", n, mode, replays, accepted, 0, time.monotonic() - start))
            show(rows[-1])
    return rows


def point_accepts(replays: int, seed: int, *, n: int = 300, loss: float = 0.02, flips: float = 0.04) -> float:
    """How often a candidate that lost `loss` stays within one point of the reference on n samples, compared as two numbers.

    Of `flips` of the samples the answers go from right to wrong or back.
    """
    worse, better = (flips + loss) / 2, (flips - loss) / 2
    drawn = np.random.default_rng(seed).multinomial(n, [worse, better, 1 - flips], replays)
    return float((drawn[:, 0] - drawn[:, 1] <= 0.01 * n).mean())


def show(row: Row) -> None:
    flag = "" if row.rate <= _LIMIT else "   ABOVE THE LIMIT"
    print(
        f"{row.gate:26} {row.outcomes:13} {row.n:5d}  {row.mode:9}  {row.replays:5d}  {row.rate:7.2%}  "
        f"{row.screened_missed:3d}  {row.seconds:6.1f}{flag}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="comma-separated families: closed, " + ", ".join(f[0] for f in FAMILIES))
    parser.add_argument("--all-modes", action="store_true", help="search and repeat at every n, not only at the first")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    strange = only - {"closed", *(family[0] for family in FAMILIES)}
    if strange:
        parser.error(f"no such family: {', '.join(sorted(strange))}")
    print(f"{'gate':26} {'outcomes':13} {'n':>5}  {'mode':9}  {'plays':>5}  {'accepts':>7}  mis  seconds")
    rows = closed_rows(given.replays, given.seed) if not only or "closed" in only else []
    for name, gate, outcomes, simulate, sizes in FAMILIES:
        if only and name not in only:
            continue
        for n in sizes:
            for mode in ("one look", "search 20", "repeat 20") if given.all_modes or n == sizes[0] else ("one look",):
                start = time.monotonic()
                accepted, missed = resampled(gate, simulate, n, given.replays, mode, given.seed, given.resamples)
                rows.append(Row(gate, outcomes, n, mode, given.replays, accepted, missed, time.monotonic() - start))
                show(rows[-1])
    passed = point_accepts(given.replays, given.seed)
    print(f"compared as two numbers, 300 samples: {passed:.1%} of losses of two points pass -1pt")
    worst = max(rows, key=lambda row: row.rate)
    print(f"worst {worst.rate:.2%} ({worst.gate}, n {worst.n}, {worst.mode}); the limit is {_LIMIT:.1%}")
    if given.json:
        given.json.write_text(json.dumps([{**vars(row), "rate": row.rate} for row in rows], indent=1))
    return 0 if worst.rate <= _LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
