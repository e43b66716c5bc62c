"""The main job on six models: three runtimes times three precisions, gated, timed, and never released slower than float.

For each model and profile this prints every candidate (size, milliseconds, metric, verdict), how far each float32 file is
from the source framework, what was released, and what would have been released without the rule "never slower": the smallest
that passes the gate.

    python -m benchmarks.main_job --out /tmp/main-job [--model resnet8 ...] [--profile x86-64-vnni ...]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
from edgewright.cli.progress import RichProgress
from edgewright.device_profiles.detect import host_cpu
from edgewright.device_profiles.loader import load
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.prepare import prepare_model
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import run_all

from benchmarks.zoo import DATA, ENTRIES, Entry

_CHECKED = 16


def float_differences(entry: Entry) -> list[str]:
    """A line a runtime: largest |file - source| / (1 + |source|) of its float32 file, over the first samples."""
    x = entry.data["x"][:_CHECKED]
    base, _ = prepare_model(ingest(entry.model, samples={"x": x[:4]}))
    theirs = entry.answers(x)
    lines = []
    for runtime in registry.NAMES:
        lowered = registry.get(runtime).lower(base, load("x86-64-avx2"))
        executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
        try:
            ours = run_all(executor, {base.inputs[0].name: x})[base.outputs[0].name]
        finally:
            executor.close()
        largest = float((np.abs(ours - theirs) / (1 + np.abs(theirs))).max())
        lines.append(f"| {entry.name} | {runtime} | {largest:.1e} |")
    return lines


def candidates(entry: Entry, target: dict[str, Any]) -> list[str]:
    """A line a candidate."""
    lines = []
    for item in target["candidates"]:
        metric = next(iter(item["metrics"].values()), None)
        ms = item["latency_ms"]["p50"] if item["latency_ms"] else None
        value, count = (None, 0) if metric is None else (metric["candidate"], metric["n"])
        lines.append(
            f"| {entry.name} | {target['profile']} | {item['runtime']} | {item['precision']} | "
            f"{item['size_bytes'] / 1e3 if item['size_bytes'] else 0:.1f} | {'-' if ms is None else f'{ms:.4f}'} | "
            f"{'-' if value is None else f'{value:.4f} (n={count})'} | "
            f"{item['verdict']}{' RELEASED' if item['released'] else ''} |"
        )
    return lines


def without_rule(target: dict[str, Any]) -> str:
    """What would have shipped without "never slower", and its time against the best float as they were timed alone."""
    passing = [item for item in target["candidates"] if item["verdict"] != "failed" and item["latency_ms"]]
    floats = [item["latency_ms"]["p50"] for item in passing if item["precision"] == "float32" and item["latency_ms"]]
    if not passing or not floats:
        return "-"
    smallest = min(passing, key=lambda item: item["size_bytes"])
    ratio = smallest["latency_ms"]["p50"] / min(floats)
    return f"{smallest['runtime']} {smallest['precision']}, {ratio:.2f} of the best float's time"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", action="append", choices=list(ENTRIES))
    parser.add_argument("--profile", action="append")
    options = parser.parse_args()
    has_vnni = bool(host_cpu().flags & {"avx512_vnni", "avx_vnni"})
    profiles = options.profile or ["x86-64-vnni" if has_vnni else "x86-64-avx2"]
    rows, differences, decisions = [], [], []
    for name in options.model or ENTRIES:
        try:
            entry = ENTRIES[name]()
        except FileNotFoundError as error:
            print(f"{name} is left out: {error} (data are read from {DATA})")
            continue
        out = options.out / name
        start = time.perf_counter()
        result = edgewright.compile(
            entry.model,
            data=entry.data,
            name=name,
            profiles=profiles,
            gates=[entry.gate],
            out=out,
            store=out / "store",
            search_samples=entry.search_samples,
            calib_samples=entry.calib_samples,
            progress=RichProgress(),
        )
        seconds = time.perf_counter() - start
        report = json.loads(result.report_path.read_text("utf-8"))
        for target in report["targets"]:
            rows += candidates(entry, target)
            speed = target["speedup"]
            times = "-" if speed is None else f"{speed['ratio']:.2f} ({speed['low']:.2f} to {speed['high']:.2f})"
            decisions.append(
                f"| {name} | {target['profile']} | {target['chosen'] or target['why']} | {times} | {without_rule(target)} | "
                f"{entry.gate} | {seconds:.0f} |"
            )
        differences += float_differences(entry)
    print("\n| model | profile | runtime | precision | kB | ms | metric | verdict |\n|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print("\n| model | float32 file of | largest difference to the source, absolute plus relative |\n|---|---|---|")
    print("\n".join(differences))
    print("\n| model | profile | released | times as fast as the best float | without the rule | gate | seconds |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(decisions))


if __name__ == "__main__":
    main()
