"""Time by stage and peak memory of whole compiles, of models of 1, 5, 25 and 100 million parameters.

Each compile folds batch norms, quantizes to int8 for ONNX Runtime, OpenVINO and LiteRT, judges every candidate by a gate on
its outputs and writes the artifact. It is watched from outside: processor time, which other work on the machine does not
lengthen, and the memory that it and its children hold together. Nothing is timed on a CPU that is not the profile's: what a
timing takes follows from how fast the model runs, which is not the compiler's.

Bars, from the second of three or more models on: processor time grows nearly linearly with the parameters (an exponent of at
most 1.1), and each byte more of a model costs at most 3 bytes of peak memory. Below that, imports and the moments that
compensated rounding goes by (at most 512 MB, whatever the model) still grow into the constant. Of two models nothing is judged.

    python -m benchmarks.compile_time [--millions 1 5 25 100] [--shape deep|wide] [--picture FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sized import random_images, write_sized
from benchmarks.watched import cpu_between, peak_between, watch

_GATE = "cosine >= 0.95"
_SAMPLES, _SEARCH, _CALIB = 700, 64, 64
_MOST_EXPONENT, _MOST_BYTES_A_BYTE = 1.1, 3.0
_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads that wait for each other spend processor time
_STAGES = ("ingest", "parity", "prepare", "calibrate", "moments", "build", "evaluate", "artifact")


@dataclass(frozen=True)
class Compiled:
    """What one compile took: `cpu` seconds and `peak` bytes of all processes by stage, "rest" being what no stage names."""

    millions: float
    model_bytes: int
    wall_seconds: float
    cpu: dict[str, float]
    peak: dict[str, int]
    own_peak: int
    outcome: str

    @property
    def cpu_seconds(self) -> float:
        """Of all stages."""
        return sum(self.cpu.values())

    @property
    def peak_bytes(self) -> int:
        """The most of all stages."""
        return max(self.peak.values())


class _Stages:
    """`core.progress.Progress` that notes when which stage begins and ends; the innermost counts."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, str]] = [(time.monotonic(), "rest")]
        self._open = ["rest"]

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Any]:
        """Count the block to the stage that `name` belongs to."""
        self._open.append(_stage_of(name) or self._open[-1])
        self.spans.append((time.monotonic(), self._open[-1]))
        try:
            yield lambda units, said=None: None
        finally:
            self._open.pop()
            self.spans.append((time.monotonic(), self._open[-1]))

    def note(self, text: str) -> None:
        """Nothing."""


def _stage_of(name: str) -> str | None:
    first = name.split(maxsplit=1)[0]
    if first in _STAGES:
        return first
    return "evaluate" if " on " in name else "timing" if first == "timing" or " against " in name else None


def compile_one(model: Path, out: Path, profile: str) -> None:
    """Compile in this process and write what happened when beside the artifact."""
    import edgewright

    stages = _Stages()
    result = edgewright.compile(
        model,
        data={"x": random_images(_SAMPLES)},
        profiles=[profile],
        gates=[_GATE],
        precisions=["int8"],
        threads=1,
        out=out,
        store=out / "store",
        ledger=out / "ledger.jsonl",
        search_samples=_SEARCH,
        calib_samples=_CALIB,
        progress=stages,
    )
    stages.spans.append((time.monotonic(), "rest"))
    (out / "spans.json").write_text(json.dumps([repr(result), stages.spans]), "utf-8")


def measure(millions: float, shape: str, profile: str) -> Compiled:
    """Make the model, compile it in a process of its own, watched."""
    with tempfile.TemporaryDirectory() as folder:
        model, out = Path(folder) / "model.onnx", Path(folder) / "out"
        out.mkdir()
        write_sized(model, round(millions * 1e6), shape)
        begin = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.compile_time", "--one", str(model), str(out), "--profile", profile]
        samples, code = watch(command, _THREADS)
        wall = time.monotonic() - begin
        if code:
            raise SystemExit(f"the compile of {millions:g} million parameters ended with {code}")
        outcome, spans = json.loads((out / "spans.json").read_text("utf-8"))
        spans = [[samples[0].at, "rest"], *spans, [samples[-1].at, "rest"]]
        cpu: dict[str, float] = {}
        peak: dict[str, int] = {}
        for (start, stage), (end, _) in itertools.pairwise(spans):
            cpu[stage] = cpu.get(stage, 0.0) + cpu_between(samples, start, end)
            peak[stage] = max(peak.get(stage, 0), peak_between(samples, start, end))
        return Compiled(millions, model.stat().st_size, wall, cpu, peak, max(sample.own_bytes for sample in samples), outcome)


def exponent(left: tuple[float, float], right: tuple[float, float]) -> float:
    """Of y = a x ** exponent through two points."""
    return math.log(right[1] / left[1]) / math.log(right[0] / left[0])


def report(found: Sequence[Compiled]) -> bool:
    """Print both tables; True where the bars hold."""
    stages = [stage for stage in (*_STAGES, "timing", "rest") if any(stage in item.cpu for item in found)]
    print("\n| processor seconds | " + " | ".join(f"{item.millions:g} M" for item in found) + " |\n|---|" + "---|" * len(found))
    for stage in stages:
        print(f"| {stage} | " + " | ".join(f"{item.cpu.get(stage, 0):.1f}" for item in found) + " |")
    print("| all | " + " | ".join(f"{item.cpu_seconds:.1f}" for item in found) + " |")
    print("\n| peak MB | " + " | ".join(f"{item.millions:g} M" for item in found) + " |\n|---|" + "---|" * len(found))
    print("| the model's file | " + " | ".join(f"{item.model_bytes / 1e6:.1f}" for item in found) + " |")
    for stage in stages:
        print(f"| {stage} | " + " | ".join(f"{item.peak.get(stage, 0) / 1e6:.0f}" for item in found) + " |")
    print("| the compile's own process | " + " | ".join(f"{item.own_peak / 1e6:.0f}" for item in found) + " |")
    print("| all processes together | " + " | ".join(f"{item.peak_bytes / 1e6:.0f}" for item in found) + " |")
    holds = True
    if len(found) > 2:
        growth = exponent((found[1].millions, found[1].cpu_seconds), (found[-1].millions, found[-1].cpu_seconds))
        holds &= growth <= _MOST_EXPONENT
        print(f"\nprocessor time grows with parameters to the power of {growth:.2f} (bar: {_MOST_EXPONENT})")
    if len(found) > 1:
        first, last = found[min(1, len(found) - 2)], found[-1]
        cost = (last.peak_bytes - first.peak_bytes) / (last.model_bytes - first.model_bytes)
        constant = first.peak_bytes - cost * first.model_bytes
        holds &= cost <= _MOST_BYTES_A_BYTE or len(found) == 2
        print(f"peak memory: {constant / 1e6:.0f} MB and {cost:.2f} times the model (bar: {_MOST_BYTES_A_BYTE:g} times)")
    return holds


def draw(found: Sequence[Compiled], path: Path) -> None:
    """Time by stage beside the straight line of slope 1, and memory beside three times the model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    sizes = [item.millions for item in found]
    for stage in sorted({stage for item in found for stage in item.cpu}):
        left.plot(sizes, [max(item.cpu.get(stage, 0), 1e-2) for item in found], marker="o", linewidth=1, label=stage)
    left.plot(sizes, [item.cpu_seconds for item in found], "k-o", label="all")
    left.plot(sizes, [found[-1].cpu_seconds * size / sizes[-1] for size in sizes], "k:", label="linear")
    left.set(xscale="log", yscale="log", xlabel="million parameters", ylabel="processor seconds")
    left.legend(fontsize=7)
    mega = [item.model_bytes / 1e6 for item in found]
    base = found[0].peak_bytes / 1e6
    right.plot(mega, [item.peak_bytes / 1e6 for item in found], "k-o", label="all processes")
    right.plot(mega, [item.own_peak / 1e6 for item in found], "C0-o", label="the compile's own")
    right.plot(mega, [base + 3 * (size - mega[0]) for size in mega], "k:", label="3 times the model and a constant")
    right.set(xlabel="MB of model", ylabel="peak MB", ylim=(0, None))
    right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    """Measure and print; 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 5, 25, 100])
    parser.add_argument("--shape", choices=("deep", "wide"), default="deep", help="what grows: layers, or their width")
    parser.add_argument("--profile", default="x86-64-avx2")
    parser.add_argument("--picture", type=Path, help="a file for the picture (.svg, .png)")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        compile_one(Path(options.one[0]), Path(options.one[1]), options.profile)
        return 0
    found: list[Compiled] = []
    for millions in options.millions:
        found.append(measure(millions, options.shape, options.profile))
        print(f"{millions:g} M: {found[-1].outcome}, {found[-1].wall_seconds:.0f} s by the clock", flush=True)
    holds = report(found)
    if options.picture:
        draw(found, options.picture)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
