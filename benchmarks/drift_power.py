"""Power, false alarms and delay of the drift tests on counts in 32 bins at the reference's quantiles.

Four questions, each answered by simulation:

    power    one window of n values against a reference of n, at level 5 %: the exact Kolmogorov-Smirnov test on the values, and
             the tests on counts, on the same draws; a normal distribution whose mean moves or whose spread grows
    year     families of 50 features, 8,760 hourly windows of 2,000 requests, references of 5,000: how many families ever raise
             an alarm, when nothing changes, and when all features lie exactly at the distance allowed (the hardest case)
    delay    hourly windows until the sequential test's alarm, when a feature's mean moves after 30 days without drift
    week     50 features looked at each hour of a week with tests of one window, corrected (Holm) or not, and with the
             sequential test, when nothing changes

With a Python that has Evidently, its defaults are asked about the first of the same draws (n = 2,000) and hours.

    python -m benchmarks.drift_power [--evidently PYTHON] [--json FILE] [--picture FILE] [--parts NAMES]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.stats.binned_tests import chi2_test, ks_test
from edgewright.stats.drift_power import windows_to_alarm
from edgewright.stats.drift_sequential import DELTA, FEW_SETS, FEW_STRENGTHS, DriftState, drift_test, level
from edgewright.stats.multiple import holm
from scipy.stats import ks_2samp, norm

ALPHA, BINS, FEATURES, HOURS, REFERENCE = 0.05, 32, 50, 8760, 5000
WEEK, SIZES = 168, ((1000, 2000), (5000, 2000), (5000, 200))  # hours; values of a reference and of a window
KINDS = ("mean", "spread")
EDGES = norm.ppf(np.arange(1, BINS) / BINS)  # of the true distribution, for streams that are drawn as counts
LEAST_POWER = 0.1  # of the exact test, where a ratio to it means something
MOVES = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # of the mean, in units of sqrt(2 / n)


def counted(reference: np.ndarray, *samples: np.ndarray) -> list[np.ndarray]:
    """Counts [..., bins] of samples [..., values] in bins at the reference's quantiles."""
    edges = np.quantile(reference, np.arange(1, BINS) / BINS)
    return [np.bincount(np.searchsorted(edges, part, side="right"), minlength=BINS) for part in samples]


def moved(shift: float, spread: float = 1.0) -> np.ndarray:
    """Shares [bins] of a normal distribution in bins at the quantiles of the standard one."""
    return np.diff(np.concatenate([[0.0], norm.cdf((EDGES - shift) / spread), [1.0]]))


# ---- power of one window


def change(kind: str, move: float, n: int) -> tuple[float, float]:
    """Shift of the mean and factor of the spread; a spread takes about 2.2 times as far for the power of a mean."""
    far = move * math.sqrt(2 / n)
    return (far, 1.0) if kind == "mean" else (0.0, 1 + 2.2 * far)


def pairs(kind: str, move: float, n: int, runs: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """References and windows of n values each."""
    generator = np.random.default_rng([seed, n, int(move * 10), len(kind)])
    shift, spread = change(kind, move, n)
    for _ in range(runs):
        yield generator.normal(size=n), generator.normal(shift, spread, n)


def power(n: int, runs: int, seed: int) -> list[dict[str, Any]]:
    """Rejection rates at 5 %."""
    found = []
    for kind in KINDS:
        for move in MOVES:
            hits = {"exact": 0, "ks": 0, "chi2": 0}
            for then, now in pairs(kind, move, n, runs, seed):
                counts = counted(then, now, then)
                hits["exact"] += ks_2samp(now, then, method="asymp").pvalue <= ALPHA
                hits["ks"] += ks_test(*counts) <= ALPHA
                hits["chi2"] += chi2_test(*counts) <= ALPHA
            shift, spread = change(kind, move, n)
            row = {"n": n, "kind": kind, "move": shift if kind == "mean" else spread - 1, "runs": runs}
            found.append(row | {name: count / runs for name, count in hits.items()})
    return found


# ---- a year


def year(families: int, at_delta: bool, seed: int, requests: int = 2000) -> dict[str, Any]:
    """How many families of features ever raise an alarm, and the largest wealth of each feature against its bound."""
    generator = np.random.default_rng([seed, at_delta])
    base = np.full(BINS, 1 / BINS)
    tilt = np.repeat([-DELTA, DELTA], BINS // 2) / (BINS // 2)
    aim = level(ALPHA, FEATURES)
    test = drift_test(generator.multinomial(REFERENCE, base, families * FEATURES), aim.band)
    sign = np.where(np.arange(families * FEATURES) % 2, 1, -1)[:, None] * at_delta
    share = base + sign * tilt
    state, most = test.start(), np.full(test.measures, -np.inf)
    start = time.process_time()
    for _ in range(HOURS):
        state = test.update(state, generator.multinomial(requests, share))
        most = np.maximum(most, test.log_e(state))
    alarms = (most >= aim.bound).reshape(families, FEATURES)
    return {
        "world": "at the allowed distance" if at_delta else "nothing changes",
        "families": families,
        "families_with_alarm": int(alarms.any(axis=1).sum()),
        "features_with_alarm": int(alarms.sum()),
        "bound": aim.bound,
        "largest_log_e": float(most.max()),
        "quantiles_log_e": np.quantile(most, [0.5, 0.9, 0.99, 0.999]).tolist(),
        "seconds": time.process_time() - start,
    }


# ---- delay


def delay(runs: int, seed: int) -> list[dict[str, Any]]:
    """Windows to the alarm of one feature of 50 (None: not in 500), and what `windows_to_alarm` foretells."""
    found = []
    for requests in (200, 2000, 20_000):
        for shift in (0.2, 0.3, 0.5, 1.0):
            generator = np.random.default_rng([seed, requests, int(shift * 10)])
            aim, after = level(ALPHA, FEATURES), 720.0
            share = moved(shift)
            test = drift_test(generator.multinomial(REFERENCE, np.full(BINS, 1 / BINS), runs), aim.band)
            empty = test.start()
            state = DriftState(empty.money, np.full_like(empty.time, after))
            needed = np.zeros(runs)
            for number in range(1, 501):
                state = test.update(state, generator.multinomial(requests, share, runs))
                needed[(needed == 0) & (test.log_e(state) >= aim.bound)] = number
                if needed.all():
                    break
            needed[needed == 0] = np.inf
            typical = drift_test([[REFERENCE / BINS] * BINS], aim.band)
            told = int(windows_to_alarm(typical, [share], requests, aim.bound, after=after, most=500)[0]) or None
            distance = float(np.abs(np.cumsum(share - 1 / BINS)).max())
            half, most = (_or_never(np.quantile(needed, part, method="higher")) for part in (0.5, 0.9))
            found.append(
                {"requests": requests, "shift": shift, "distance": distance, "median": half, "p90": most, "foretold": told}
            )
    return found


def _or_never(windows: float) -> int | None:
    return int(windows) if math.isfinite(windows) else None


# ---- a week with tests of one window


def still(size: int, requests: int, seed: int) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """A reference [features, size] and hourly windows [features, requests] of the same distribution."""
    generator = np.random.default_rng([seed, size, requests])
    reference = generator.normal(size=(FEATURES, size))
    return reference, (generator.normal(size=(FEATURES, requests)) for _ in range(WEEK))


def week(seed: int) -> list[dict[str, Any]]:
    """Hours with an alarm when nothing changes."""
    found = []
    for size, requests in SIZES:
        reference, windows = still(size, requests, seed)
        aim = level(ALPHA, FEATURES)
        edges = [np.quantile(values, np.arange(1, BINS) / BINS) for values in reference]
        then = binned(reference, edges)
        test = drift_test(then, aim.band)
        state = test.start()
        hours = {"p": 0, "holm": 0, "sequential": 0}
        for values in windows:
            counts = binned(values, edges)
            p = ks_test(counts, then)
            state = test.update(state, counts)
            hours["p"] += bool(np.any(p <= ALPHA))
            hours["holm"] += bool(np.any(holm(p) <= ALPHA))
            hours["sequential"] += bool(np.any(test.log_e(state) >= aim.bound))
        found.append({"reference": size, "requests": requests, "hours": WEEK} | hours)
    return found


def binned(values: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Counts [features, bins] of values [features, ...] in each feature's bins."""
    where = [np.searchsorted(at, part, side="right") for at, part in zip(edges, values, strict=True)]
    return np.stack([np.bincount(part, minlength=BINS) for part in where])


# ---- Evidently, speed, and what is shown


def evidently(python: str, seed: int, runs: int = 20, hours: int = 12) -> dict[str, Any]:
    """Evidently's defaults on the first runs of the power curves at n = 2,000 and the first hours of each week."""
    streams: dict[str, np.ndarray] = {}
    for kind in KINDS:
        for move in MOVES:
            then, now = (np.stack(part)[:, None, :] for part in zip(*pairs(kind, move, 2000, runs, seed), strict=True))
            streams[f"power {kind} {move}.reference"], streams[f"power {kind} {move}.windows"] = then, now
    for size, requests in SIZES:
        reference, windows = still(size, requests, seed)
        streams[f"week {size} {requests}.reference"] = reference
        streams[f"week {size} {requests}.windows"] = np.stack(list(islice(windows, hours)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "streams.npz"
        np.savez(file, **streams)
        command = [python, str(Path(__file__).with_name("evidently_defaults.py")), str(file)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for name, case in json.loads(told.stdout).items():
        flagged = np.array(case["flagged"])
        found[name] = {
            "test": f"{case['test']}, {case['threshold']}",
            "flagged": float(flagged.mean()),
            "windows": len(flagged),
            "windows_with_any": int(flagged.any(axis=1).sum()),
        }
    return found


def judging(seed: int, devices: int = 10_000, measures: int = 10) -> float:
    """CPU seconds for one window of each device, all measures."""
    generator = np.random.default_rng(seed)
    base = np.full(BINS, 1 / BINS)
    aim = level(ALPHA, measures, scopes=devices)
    test = drift_test(generator.multinomial(REFERENCE, base, measures), aim.band, sets=FEW_SETS, strengths=FEW_STRENGTHS)
    counts, state = generator.multinomial(100, base, (devices, measures)), test.start((devices,))
    start = time.process_time()
    test.log_e(test.update(state, counts))
    return time.process_time() - start


def show(found: dict[str, Any]) -> None:
    print(f"{'n':>6} {'change':7} {'by':>7}  {'exact':>6} {'ks':>6} {'chi2':>6}  {'ks/exact':>8}")
    for row in found["power"]:
        rates = " ".join(f"{row[name]:6.3f}" for name in ("exact", "ks", "chi2"))
        ratio = f"{row['ks'] / row['exact']:8.3f}" if row["exact"] >= LEAST_POWER else ""
        print(f"{row['n']:6d} {row['kind']:7} {row['move']:7.4f}  {rates}  {ratio}")
    print()
    for row in found["year"]:
        print(
            f"year, {row['world']}: {row['families_with_alarm']} of {row['families']} families of {FEATURES} with an alarm; "
            f"largest log e {row['largest_log_e']:.2f}, bound {row['bound']:.2f} ({row['seconds']:.0f} s)"
        )
    print(f"\n{'requests':>8} {'shift':>5} {'distance':>8}  {'median':>6} {'p90':>6} {'foretold':>8}  (windows to the alarm)")
    for row in found["delay"]:
        waits = f"{row['median'] or 'never':>6} {row['p90'] or 'never':>6} {row['foretold'] or 'never':>8}"
        print(f"{row['requests']:8d} {row['shift']:5.1f} {row['distance']:8.3f}  {waits}")
    print("\nhours of 168 with an alarm of one of 50 features when nothing changes")
    for row in found["week"]:
        alarms = f"p <= 5 % {row['p']}, Holm {row['holm']}, sequential {row['sequential']}"
        print(f"reference {row['reference']}, {row['requests']} requests: {alarms}")
    for name, case in found.get("evidently", {}).items():
        seen = f"{case['flagged']:.3f} flagged, {case['windows_with_any']} of {case['windows']} windows"
        print(f"Evidently, {name}: {case['test']}: {seen}")
    print(f"\n10,000 devices of 10 measures judged in {found['judging_seconds']:.2f} s")


def draw(found: dict[str, Any], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(15, 4.4), constrained_layout=True)
    for kind, axis in zip(KINDS, axes, strict=False):
        for n, colour in ((2000, "tab:blue"), (20_000, "tab:orange")):
            rows = [row for row in found["power"] if row["n"] == n and row["kind"] == kind]
            by = [row["move"] for row in rows]
            axis.plot(by, [row["exact"] for row in rows], color=colour, lw=4, alpha=0.35, label=f"exact KS, n = {n:,}")
            axis.plot(by, [row["ks"] for row in rows], "o-", ms=4, color=colour, label="KS on 32 bins")
            axis.plot(by, [row["chi2"] for row in rows], "x:", ms=5, color=colour, label="chi-square on 32 bins")
        cases = [(name, case) for name, case in found.get("evidently", {}).items() if name.startswith(f"power {kind} ")]
        if cases:
            rows = [row for row in found["power"] if row["n"] == 2000 and row["kind"] == kind]
            cases.sort(key=lambda case: float(case[0].split()[-1]))
            axis.plot(
                [row["move"] for row in rows],
                [case["flagged"] for _, case in cases],
                "s--",
                ms=4,
                color="tab:red",
                label="Evidently's default, n = 2,000",
            )
        axis.axhline(ALPHA, color="gray", lw=0.8)
        axis.set(title=f"One window: the {kind} changes", xlabel="change, in standard deviations", ylabel="power at 5 %")
        axis.set_xlim(right=2.1 * max(row["move"] for row in found["power"] if row["kind"] == kind))
        axis.legend(fontsize=8, loc="center right")
    for requests in (200, 2000, 20_000):
        rows = [row for row in found["delay"] if row["requests"] == requests]
        hours = [row["median"] or math.nan for row in rows]
        axes[2].plot([row["distance"] for row in rows], hours, "o-", label=f"{requests:,} requests an hour")
    axes[2].set(
        title=f"Sequential test, 50 features, delta = {DELTA:g}",
        xlabel="Kolmogorov-Smirnov distance",
        ylabel="hours to the alarm (median)",
    )
    axes[2].set_yscale("log")
    axes[2].legend(fontsize=8)
    figure.savefig(file, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="draws at each point of the power curves")
    parser.add_argument("--years", type=int, default=4, help="simulated families of features, a year each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--evidently", default="", metavar="PYTHON", help="a Python that has Evidently")
    parser.add_argument("--parts", default="", help="comma-separated; the others are taken from the file of --json")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {
        "power": lambda: [row for n in (2000, 20_000) for row in power(n, given.runs, given.seed)],
        "year": lambda: [year(given.years, at_delta, given.seed) for at_delta in (False, True)],
        "delay": lambda: delay(given.runs, given.seed),
        "week": lambda: week(given.seed),
        "judging_seconds": lambda: judging(given.seed),
        "evidently": lambda: evidently(given.evidently, given.seed),
    }
    wanted = set(filter(None, given.parts.split(","))) or set(parts)
    if not wanted <= set(parts):
        parser.error(f"there are no parts {', '.join(sorted(wanted - set(parts)))}")
    found: dict[str, Any] = json.loads(given.json.read_text()) if given.parts and given.json and given.json.exists() else {}
    for name, part in parts.items():
        if name in wanted and (name != "evidently" or given.evidently):
            found[name] = part()
            if given.json:
                given.json.write_text(json.dumps(found, indent=1) + "\n")
    if not found.keys() >= set(parts) - {"evidently"}:
        return 0
    show(found)
    if given.picture:
        draw(found, given.picture)
    seen = [row for row in found["power"] if row["exact"] >= LEAST_POWER]
    kept = []
    for n in (2000, 20_000):
        rows = [row for row in seen if row["n"] == n]
        kept.append(sum(row["ks"] for row in rows) / sum(row["exact"] for row in rows))
    families, alarmed = (sum(row[name] for row in found["year"]) for name in ("families", "families_with_alarm"))
    print(f"power of the exact test kept: {kept[0]:.3f} (n 2,000), {kept[1]:.3f} (n 20,000)")
    print(f"families with an alarm in a year: {alarmed} of {families}")
    return 0 if min(kept) >= 0.95 and alarmed <= ALPHA * families else 1


if __name__ == "__main__":
    sys.exit(main())
