"""int8 files on arm64 kernels beside the same files on this machine's: how far answers and accuracy differ.

    edgewright emulation prepare DIR
    python -m benchmarks.arm64_kernels --root-fs DIR [--model kws ...] [--profile raspberry-pi-4b ...]

Each model is quantized for the profile as `compile` does it, with ranges by squared error, and lowered for ONNX Runtime and
LiteRT. The same bytes then answer the same samples here and on the profile's kernels, on a CPU that qemu emulates. A row tells:
samples; how many of them got another answer at all; the largest difference, as a share of what the file's answers spread over;
how many got another class; and top-1 here and there (MobileNetV2 has random weights: held against its float file's classes).
Then the difference of the two in points, with Tango's 90 % interval for paired proportions, and the seconds that the emulated
runs took. Needs root; minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.device_profiles.detect import host_cpu
from edgewright.device_profiles.host import kernel_class
from edgewright.device_profiles.loader import load
from edgewright.device_profiles.profile import DeviceProfile
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.prepare import prepare_model
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.runtimes import registry
from edgewright.runtimes.contract import Lowered
from edgewright.runtimes.emulated.emulator import EmulatedCpu, Emulator
from edgewright.runtimes.location import Here, Location
from edgewright.runtimes.remote import RemoteExecutor
from edgewright.stats.paired import loss_bounds
from numpy.typing import NDArray

from benchmarks.zoo import ENTRIES, Entry

# An emulated run takes many times as long.
SAMPLES: Mapping[str, int] = {"kws": 1000, "resnet8": 300, "mobilenet_v2": 16}
RUNTIMES = ("onnxruntime", "litert")
_CALIBRATION_SAMPLES = 64


@dataclass(frozen=True)
class Quantized:
    """A model in one runtime's file for one profile, and its float file, which tells the classes where there are no labels."""

    runtime: str
    int8: Lowered
    float32: Lowered


def quantized(entry: Entry, profile: DeviceProfile) -> list[Quantized]:
    """The entry in both runtimes."""
    shapes = None if isinstance(entry.model, str | Path) else {"x": (None, *entry.data["x"].shape[1:])}
    model, _ = prepare_model(ingest(entry.model, samples=None, shapes=shapes))
    data = bind(open_dataset({model.inputs[0].name: entry.data["x"]}), model.inputs)
    first = Split("calib", data, tuple(range(min(_CALIBRATION_SAMPLES, len(data)))))
    seen = collect(model, first, threads=1)
    files = []
    for name in RUNTIMES:
        runtime = registry.get(name)
        scheme = runtime.scheme(profile)
        int8 = Quantize(ranges="mse").run(model, QuantizeNeeds(scheme, seen)).model
        files.append(Quantized(name, runtime.lower(int8, profile), runtime.lower(model, profile)))
    return files


def answers(file: Lowered, runtime: str, x: NDArray[Any], location: Location) -> tuple[NDArray[Any], float]:
    """The file's first output [n, ...] to samples `x` [n, ...] in a child at `location`, and the seconds that it took."""
    with RemoteExecutor(runtime, 1, location) as child:
        child.load(file.files, file.entry)
        start = time.monotonic()
        (spec,) = child.inputs
        found = child.run({spec.name: x.astype(spec.dtype)})[child.outputs[0].name]
    return found.astype(np.float64).reshape(len(x), -1), time.monotonic() - start


def row(name: str, file: Quantized, x: NDArray[Any], labels: NDArray[Any] | None, emulated: EmulatedCpu) -> str:
    """A line of the table: the same bytes here and there."""
    if labels is None:
        labels = answers(file.float32, file.runtime, x, Here())[0].argmax(1)
    here, _ = answers(file.int8, file.runtime, x, Here())
    there, seconds = answers(file.int8, file.runtime, x, emulated)
    gap = np.abs(there - here)
    right_here, right_there = (found.argmax(1) == labels for found in (here, there))
    lost, won = int(np.sum(right_here & ~right_there)), int(np.sum(~right_here & right_there))
    low, high = loss_bounds(lost, won, len(x), 0.05)
    return (
        f"| {name} | {file.runtime} | {emulated.core.model} | {len(x)} | {int(np.sum(gap.any(axis=1)))} | "
        f"{gap.max() / np.ptp(here):.1e} | {int(np.sum(here.argmax(1) != there.argmax(1)))} | "
        f"{right_here.mean():.2%} | {right_there.mean():.2%} | {100 * (won - lost) / len(x):+.2f} "
        f"({-100 * float(high):+.2f} to {-100 * float(low):+.2f}) | {seconds:.0f} |"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root-fs", type=Path, required=True, help="a folder of `edgewright emulation prepare`")
    parser.add_argument("--model", choices=SAMPLES, action="append", help="one of them; all by default")
    parser.add_argument("--profile", action="append", help="raspberry-pi-4b and raspberry-pi-5 by default")
    parser.add_argument("--samples", type=int, help="fewer or more than each model has by default")
    given = parser.parse_args()
    emulator, cpu = Emulator.open(given.root_fs), host_cpu()
    print(f"here: {cpu.model}, {kernel_class(cpu.arch, cpu.flags)}; wheels {dict(emulator.root.wheels())}\n")
    print(
        "| model | runtime | emulated | n | other answers | largest | other classes | right here | right there | points | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.model or SAMPLES:
        entry = ENTRIES[name]()
        # Those that ranges were chosen by take no part.
        part = slice(_CALIBRATION_SAMPLES, _CALIBRATION_SAMPLES + (given.samples or SAMPLES[name]))
        x, labels = np.asarray(entry.data["x"])[part], entry.data.get("y")
        for profile in map(load, given.profile or ("raspberry-pi-4b", "raspberry-pi-5")):
            for file in quantized(entry, profile):
                emulated = emulator.location(profile, file.runtime)
                if emulated is None:
                    sys.exit(f"no CPU that {given.root_fs} emulates has the kernels of {profile.name}")
                print(row(name, file, x, None if labels is None else labels[part], emulated), flush=True)


if __name__ == "__main__":
    main()
