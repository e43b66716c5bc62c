"""Is it one device, one batch, or the world? Simulated fleets of 1,000 devices, judged window by window as the server does it.

Every device has an offset and an amount of traffic of its own, and sends a window of 10 features in 32 bins an hour; the
reference is 20,000 draws of the same features. After two quiet hours one of these happens to one feature:

    nothing       for as many hours
    device        one device of 1,000 breaks: its sensor sticks at one value, is off by 1.5 deviations, is three times as noisy,
                  or sends half of its values as missing (above all bins)
    batch         a new batch of cameras, 5 % of the devices, sees the feature shifted by 0.8 deviations
    world         all devices see it shifted by 0.3 deviations

What the first window with alerts names, and after how many hours, is counted; findings on another feature or before anything
happened are counted beside. A few of these are true: where a device's own offset is extreme, it lies farther from the reference
than devices are allowed. Then speed: windows of 10,000 devices as they lie in the database, decoded, merged and judged.

    python -m benchmarks.drift_scope                    # 40 fleets of each kind, some minutes on an idle core
    python -m benchmarks.drift_scope --fleets 10 --json out.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.drift.compare import Others
from edgewright.fleet.drift.counts import Layout
from edgewright.fleet.drift.judge import Finding, Judgement, Seen, Stand, judge
from edgewright.fleet.drift.sequence import Tests, make_tests
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.drift.watched import watched_measures
from scipy.stats import norm

FEATURES, BINS, REFERENCE = 10, 32, 20_000
DEVICES, REQUESTS = 1000, 600  # requests: the median of a device and hour
QUIET, HOURS = 2, 6
FAULTS = ("stuck", "offset", "noise", "missing")
BROKEN = 3  # the feature that something happens to
SETTINGS = Settings()


@dataclass(frozen=True)
class Row:
    """Of fleets of one kind: how many were first named right, wrong, or not at all; median hours until then; other findings."""

    kind: str
    fleets: int
    right: int
    wrong: int
    unnamed: int
    hours: float | None
    others: int


class Fleet:
    """Devices with an offset and traffic of their own."""

    def __init__(self, devices: int, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.names = tuple(f"device-{number:05d}" for number in range(devices))
        self.offset = self.generator.normal(0.0, 0.1, (devices, FEATURES))
        self.traffic = REQUESTS * np.exp(self.generator.normal(0.0, 0.3, devices))
        self.new = self.generator.choice(devices, devices // 20, replace=False)
        edges = norm.ppf(np.linspace(0, 1, BINS + 1)[1:-1])
        self.edges = edges
        self.histograms = tuple(
            HistogramBins(
                f"x{at}", "input", tuple(edges),
                tuple(map(int, self.generator.multinomial(REFERENCE, np.full(BINS, 1 / BINS)))),
            )
            for at in range(FEATURES)
        )  # fmt: skip
        self.layout = Layout("camera", "ab" * 32, (BINS,) * FEATURES)
        new = set(self.new.tolist())
        self.attributes = {
            name: {"batch": "2026-06" if at in new else f"2025-{1 + at % 9:02d}", "site": f"s{at % 40}", "arch": "aarch64"}
            for at, name in enumerate(self.names)
        }

    def rows(self, kind: str, fault: str) -> np.ndarray:
        """A window of every device, int64 [devices, columns]."""
        layout, count = self.layout, len(self.names)
        requests = self.generator.poisson(self.traffic)
        found = np.zeros((count, layout.columns), np.int64)
        found[:, 1], found[:, 2] = 3600, 1
        found[:, layout.requests] = found[:, layout.samples] = found[:, layout.latency.start + 20] = requests
        found[:, [layout.latency.stop, *(at.start - 1 for at in layout.tensors)]] = [FEATURES, *layout.lengths]
        shift, scale = self.offset.copy(), np.ones((count, FEATURES))
        if kind == "world":
            shift[:, BROKEN] += 0.3
        elif kind == "batch":
            shift[self.new, BROKEN] += 0.8
        elif kind == "device":
            shift[0, BROKEN] += {"stuck": 0.7, "offset": 1.5}.get(fault, 0.0)
            scale[0, BROKEN] = {"stuck": 0.001, "noise": 3.0}.get(fault, 1.0)
        for place, at in enumerate(layout.tensors):
            below = norm.cdf((self.edges - shift[:, place, None]) / scale[:, place, None])
            shares = np.diff(below, axis=1, prepend=0.0, append=1.0)
            if kind == "device" and fault == "missing" and place == BROKEN:
                shares[0] = shares[0] / 2
                shares[0, -1] += 0.5
            found[:, at] = self.generator.multinomial(requests, shares / shares.sum(axis=1, keepdims=True))
        return found

    def right(self, kind: str) -> str:
        """What is to be named."""
        return {"device": f"device {self.names[0]}", "batch": "attribute batch = 2026-06", "world": "fleet"}.get(kind, "")


def tests_of(fleet: Fleet) -> Tests:
    return make_tests(watched_measures(fleet.histograms, None), [], SETTINGS)


def judged(fleet: Fleet, tests: Tests, stand: Stand, rows: np.ndarray, hour: int) -> Judgement:
    seen = Seen(fleet.layout, fleet.names, rows)
    return judge(tests, seen, stand, lambda scope: Others(), lambda: fleet.attributes, (), SETTINGS, hour)


def first_named(fleet: Fleet, kind: str, fault: str) -> tuple[str, int, int]:
    """What is named first of the broken feature, after how many hours, and how many findings were false."""
    tests = tests_of(fleet)
    stand, false = Stand(tests.start(), tests.start(0), ()), 0
    broken = tests.watched[BROKEN].name
    for hour in range(QUIET + HOURS):
        is_on = hour >= QUIET
        found = judged(fleet, tests, stand, fleet.rows(kind if is_on else "nothing", fault), hour)
        stand = found.stand
        false += sum(not is_on or kind == "nothing" or item.measure != broken for item in found.findings)
        told = [item for item in found.findings if item.measure == broken]
        if is_on and told and kind != "nothing":
            return _names(told), hour - QUIET + 1, false
    return "", 0, false


def _names(found: list[Finding]) -> str:
    return ", ".join(str(item.scope) for item in found)


def row_of(kind: str, fleets: int) -> Row:
    results: Counter[str] = Counter()
    hours, false = [], 0
    for number in range(fleets):
        fleet = Fleet(DEVICES, 1000 * number + len(kind))
        named, after, wrong = first_named(fleet, kind, FAULTS[number % len(FAULTS)])
        is_right = named == fleet.right(kind) and (kind != "nothing" or not wrong)
        results["right" if is_right else "wrong" if named or wrong else "unnamed"] += 1
        false += wrong
        if named:
            hours.append(after)
    median = float(np.median(hours)) if hours else None
    return Row(kind, fleets, results["right"], results["wrong"], results["unnamed"], median, false)


def speed(devices: int, tries: int = 5) -> dict[str, float]:
    """Seconds to decode, merge and judge a window of each device, while a batch drifts; the best of some tries."""
    fleet = Fleet(devices, 1)
    tests = tests_of(fleet)
    windows = [fleet.layout.window(row).encode() for row in fleet.rows("batch", "")]
    stand = Stand(tests.start(), tests.start(0), ())
    found = []
    for number in range(tries + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        rows = fleet.layout.merge(fleet.layout.decode(windows), np.arange(devices), devices)
        judgement = judged(fleet, tests, stand, rows, number)
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
        stand = judgement.stand
        told = [item for item in judgement.findings if item.measure == tests.watched[BROKEN].name]
        assert _names(told) == fleet.right("batch")
        others = len(judgement.findings) - len(told)
    return {
        "devices": devices, "features": FEATURES, "bytes": sum(map(len, windows)), "others": others,
        "cpu_s": round(min(cpu for cpu, _ in found[1:]), 3), "wall_s": round(min(wall for _, wall in found[1:]), 3),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for kind in ("nothing", "device", "batch", "world"):
        rows.append(row_of(kind, given.fleets))
        print(rows[-1], flush=True)
    quick = speed(10_000)
    print(quick, flush=True)
    if given.json:
        given.json.write_text(json.dumps({"scopes": [asdict(row) for row in rows], "speed": quick}, indent=1))
    return 0 if all(row.right >= 0.95 * row.fleets for row in rows) and quick["cpu_s"] < 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
