"""Streams in which the world changes, real and made: when each alarm comes, what was true then, and what was estimated.

Every stream goes the way of a fleet's telemetry: bins are made as at compile time, windows are counted as on a device, and
judged as by the server (`fleet.drift.judge` with its defaults), by what is there after each window and no more. Labels come
late: of each window so many at random, after so many more windows. Beside it, on the same windows and as they come: River's
ADWIN on errors (told every label at once) and on features, and Evidently. "Covariate" streams keep what the estimate of
accuracy assumes; the mean error of the estimate must stay within two points there.

    python -m benchmarks.drift_streams --cache DIR                       # trains LeNet-5 first, some minutes
    python -m benchmarks.drift_streams --cache DIR --streams elec2 gas --seeds 0 1 2 --out DIR --no-peers

With `--out` what is done is kept there, a stream and seed at a time, and a later run goes on behind it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.executor import TensorSpec
from edgewright.core.files import write_atomic
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.drift.accuracy import contradicted
from edgewright.fleet.drift.compare import Others
from edgewright.fleet.drift.counts import Layout
from edgewright.fleet.drift.judge import Seen, Stand, judge
from edgewright.fleet.drift.scope import FLEET
from edgewright.fleet.drift.sequence import make_tests
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.drift.verdict import Judged
from edgewright.fleet.drift.watched import watched_measures
from edgewright.fleet.protocol.window import LATENCY_BINS, Window
from edgewright.fleet.telemetry.binning import Binning
from edgewright.optimizer.bins import answer_bins, input_bins, input_places, with_surplus

from benchmarks.drift_worlds import Piece, Stream, all_streams

MODEL, SHA256, DEVICE = "stream", "0" * 64, "device"
MOST_ERROR = 0.02
_AT_ONCE = 32  # samples of a request


@dataclass(frozen=True)
class Said:
    """What the server says after a window: the judgement, whether its findings are alerts, and why an estimate is withdrawn."""

    judged: Judged
    alerts: tuple[str, ...]
    withdrawn: str | None


@dataclass(frozen=True)
class Summary:
    """Of one stream, windows numbered from 0; None where something never happens. Errors are of estimates that stand."""

    alarm: int | None
    early: int
    withdrawn: int | None
    error: float
    error_of_all: float
    covered: float


def bins_of(reference: Piece) -> list[HistogramBins]:
    """As at compile time."""
    data = open_dataset({"x": reference.x})
    specs = (TensorSpec("y", "float32", (1, reference.scores.shape[1])),)
    split, given = Split("search", data, tuple(range(len(reference.y)))), {"y": reference.scores}
    inputs, answers = input_bins(split), answer_bins(given, specs, reference.y, "y")
    return with_surplus(inputs, input_places(split, inputs), answers, given, reference.y, "y")


def window_of(binning: Binning, some: Piece, number: int) -> Window:
    """As a device counts requests of a few samples each."""
    total = sum(
        binning.count({"x": some.x[at : at + _AT_ONCE]}, {"y": some.scores[at : at + _AT_ONCE]})
        for at in range(0, len(some.y), _AT_ONCE)
    )
    tensors = np.split(total, np.cumsum(binning.sizes)[:-1])
    requests = -(-len(some.y) // _AT_ONCE)
    counts = tuple(tuple(map(int, part)) for part in tensors)
    return Window(
        MODEL, SHA256, 3600 * number, 3600 * (number + 1), 1, requests, len(some.y), 0, (0,) * 4, (0,) * LATENCY_BINS, counts
    )


def judged(stream: Stream, labels: int, late: int) -> list[Said]:
    """What the server says after each window, with `labels` of each known `late` windows later."""
    settings, draw = Settings(deff=stream.deff), np.random.default_rng(0)
    histograms = bins_of(stream.reference)
    binning = Binning(histograms, {"y": stream.reference.scores})
    tests = make_tests(watched_measures(histograms, None), (), settings)
    layout = Layout(MODEL, SHA256, binning.sizes)
    stand = Stand(tests.start(), tests.start(0), ())
    said: list[Said] = []
    known = []
    for number, some in enumerate(stream.windows):
        row = layout.decode([window_of(binning, some, number).encode()])
        seen = Seen(layout, (DEVICE,), row)
        found = judge(tests, seen, stand, lambda scope: Others(), dict, (), settings, seed=number)
        stand = found.stand
        of_fleet = found.windows[FLEET][1]
        alerts = tuple(f"{item.compared.severity}: {item.measure}" for item in found.findings)
        chosen = draw.choice(len(some.y), min(labels, len(some.y)), replace=False)
        known.append((of_fleet.accuracy, int(some.right[chosen].sum()), len(chosen)))
        there = [(told, right, count) for told, right, count in known[: max(0, number + 1 - late)] if told is not None]
        doubt = "" if of_fleet.accuracy is None else of_fleet.accuracy.doubt
        withdrawn = contradicted(there, deff=stream.labels_deff) or doubt or None
        said.append(Said(of_fleet, alerts, withdrawn))
    return said


def summary(stream: Stream, said: list[Said]) -> Summary:
    alarms = [number for number, item in enumerate(said) if item.alerts]
    since = stream.changes or 0
    withdrawn = next((number for number, item in enumerate(said) if item.withdrawn), None)
    told = [
        (abs(item.judged.accuracy.accuracy - some.right.mean()), item)
        for item, some in zip(said, stream.windows, strict=True)
        if item.judged.accuracy is not None
    ]
    inside = [
        item.judged.accuracy.low <= some.right.mean() <= item.judged.accuracy.high
        for item, some in zip(said, stream.windows, strict=True)
        if item.judged.accuracy is not None
    ]
    standing = [error for error, item in told if item.withdrawn is None]
    return Summary(
        next((number for number in alarms if number >= since), None),
        sum(number < since for number in alarms),
        withdrawn,
        float(np.mean(standing)) if standing else float("nan"),
        float(np.mean([error for error, _ in told])),
        float(np.mean(inside)),
    )


def describe(stream: Stream, said: list[Said], found: Summary) -> list[str]:
    """A stream's lines of text."""
    size = len(stream.windows[0].y)
    changes = "nobody knows when it changes" if stream.changes is None else f"changes in window {stream.changes}"
    lines = [
        f"\n{stream.name} ({stream.kind}): {len(stream.windows)} windows of {size}, {changes}; "
        f"reference {len(stream.reference.y)} samples, {100 * stream.reference.right.mean():.1f} % right"
    ]
    if found.alarm is None:
        lines.append("  no alarm")
    else:
        at = found.alarm
        lines.append(f"  alarm        {_at(stream, at)} ({said[at].alerts[0]}); {found.early} before the change")
        lines.append(f"               {_accuracy(stream, said, at)}")
    if found.withdrawn is None:
        lines.append("  estimate     stands to the end")
    else:
        lines.append(f"  withdrawn    {_at(stream, found.withdrawn)}: {_accuracy(stream, said, found.withdrawn)}")
    lines.append(
        f"  mean error   {100 * found.error:.2f} points while the estimate stands, {100 * found.error_of_all:.2f} over all"
    )
    lines.append(f"               windows; {100 * found.covered:.0f} % of the intervals hold what is true")
    return lines


def peers(stream: Stream, python: str | None) -> Mapping[str, list[int]]:
    """The windows in which each peer gives an alarm; Evidently only where a Python is given that has it."""
    from benchmarks.drift_peers import adwin_errors, adwin_features, evidently_drift

    found = {"ADWIN, errors": adwin_errors(stream), "ADWIN, features": adwin_features(stream)}
    if python is not None:
        found["Evidently, data set"], found["Evidently, a column"] = evidently_drift(stream, python)
    return found


def describe_peer(stream: Stream, name: str, alarms: list[int]) -> str:
    since = stream.changes or 0
    at = next((number for number in alarms if number >= since), None)
    before = sum(number < since for number in alarms)
    when = "no alarm" if at is None else f"{_at(stream, at)}, {100 * stream.windows[at].right.mean():.1f} % right"
    return f"  {name:<20} {when}; {before} before the change"


def write(folder: Path, name: str, stream: Stream, said: list[Said], by_peers: Mapping[str, list[int]]) -> None:
    """A line for each window."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["window", "what", "true", "estimated", "low", "high", "withdrawn", "alerts", *by_peers])
        for number, (some, item) in enumerate(zip(stream.windows, said, strict=True)):
            told = item.judged.accuracy
            estimated = ["", "", ""] if told is None else [f"{value:.4f}" for value in (told.accuracy, told.low, told.high)]
            is_withdrawn = int(item.withdrawn is not None)
            alarms = [int(number in alarms) for alarms in by_peers.values()]
            true = f"{some.right.mean():.4f}"
            rows.writerow([number, some.what, true, *estimated, is_withdrawn, "; ".join(item.alerts), *alarms])


def _at(stream: Stream, number: int) -> str:
    later = "" if stream.changes is None else f", {number - stream.changes} after the change"
    return f"window {number} ({stream.windows[number].what}{later})"


def _accuracy(stream: Stream, said: list[Said], number: int) -> str:
    told, true = said[number].judged.accuracy, 100 * stream.windows[number].right.mean()
    if told is None:
        return f"{true:.1f} % right, nothing estimated"
    return f"{true:.1f} % right, estimated {100 * told.accuracy:.1f} % ({100 * told.low:.1f} to {100 * told.high:.1f})"


def one(stream: Stream, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Judge a stream and print what is found; the lines, and whether what must hold does."""
    said = judged(stream, options.labels, options.late)
    found = summary(stream, said)
    lines = describe(stream, said, found)
    by_peers = {} if options.no_peers else peers(stream, options.evidently)
    lines += [describe_peer(stream, peer, alarms) for peer, alarms in by_peers.items()]
    print("\n".join(lines), flush=True)
    if options.out is not None:
        write(options.out, name, stream, said, by_peers)
    is_well = found.early == 0 and (stream.kind != "covariate" or found.error_of_all <= MOST_ERROR)
    return {"lines": lines, "is_well": is_well}


def main() -> int:
    """Run the streams; 0 when the estimate's error keeps its bound on every covariate stream and no alarm comes early."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="keeps trained models and slow answers")
    parser.add_argument("--streams", nargs="*", help="which; all by default")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of the streams' draws; a run of each")
    parser.add_argument("--labels", type=int, default=100, help="that are known of each window")
    parser.add_argument("--late", type=int, default=2, help="windows until they are")
    parser.add_argument("--out", type=Path, help="a folder for a table of each stream's windows, and for what was told of it")
    parser.add_argument("--no-peers", action="store_true", help="leave out River and Evidently")
    parser.add_argument("--evidently", metavar="PYTHON", help="a Python that has Evidently, which needs an older pandas")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    makers = all_streams(options.cache)
    is_well = True
    for name in options.streams or makers:
        for seed in options.seeds:
            kept = None if options.out is None else options.out / f"{name}-{seed}{'' if options.no_peers else '-peers'}.json"
            if kept is not None and kept.exists():
                done = json.loads(kept.read_text("utf-8"))
                print("\n".join(done["lines"]), flush=True)
            else:
                done = one(makers[name](seed), f"{name}-{seed}", options)
                if kept is not None:
                    write_atomic(kept, json.dumps(done).encode())
            is_well &= done["is_well"]
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
