"""How small patches between artifacts are, and what applying them costs: `python -m benchmarks.deltas [--out FILE]`.

Real pairs: a CNN of 0.3 million weights on scikit-learn's digits, compiled to an .ewa for each runtime with the precision asked
for (ranges anew each time), against the same network after a fine-tune of its head, a short and a longer one of all layers.
Synthetic pairs: 4 MB of int8 weights, one scale a channel, with Gaussian noise of 0.1, 0.5 and 2 steps before rounding; a new
head of 1 %. Beside our codecs: bsdiff4 as it is, zstd with the whole old file as dictionary (--patch-from), xz of the bytewise
difference. Sizes are over the new file's, `of compressed` over its xz. Time (the process's own) and memory are a device's: a
child process applies the smallest patch with the standard library alone; memory is what its resident peak grows by.
"""

from __future__ import annotations

import argparse
import copy
import json
import lzma
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import onnx
from edgewright.core import artifact_zip
from edgewright.fleet.delta.make import make_delta
from onnx import helper, numpy_helper

RUNTIMES = ("onnxruntime", "litert", "openvino")
COLUMNS = ("tensor", "bsdiff", "zstd", "bsdiff4", "zstd patch-from", "xz of difference")
_APPLY = """
import hashlib, lzma, resource, sys, time, zlib
from pathlib import Path
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import OnDisk
from edgewright.fleet.disk import RealDisk
disk = RealDisk(Path(sys.argv[1]))
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
with (Path(sys.argv[1]) / "new").open("wb") as file:
    apply_delta(OnDisk(disk, "old"), OnDisk(disk, "patch"), file.write)
print(time.process_time() - started, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def synthetic() -> Iterator[tuple[str, bytes, bytes]]:
    """Four int8 matrices of 512 x 2048 whose scales stay."""
    random = np.random.default_rng(0)
    reals = [random.normal(size=(512, 2048)) for _ in range(4)]
    steps = [127 * real / np.abs(real).max(axis=1, keepdims=True) for real in reals]
    old = _container([np.rint(step) for step in steps])
    for noise in (0.1, 0.5, 2.0):
        moved = [np.rint(step + noise * random.normal(size=step.shape)) for step in steps]
        yield f"4 MB int8, noise {noise}", old, _container(moved)
    head = [*map(np.rint, steps[:3]), np.rint(steps[3])]
    head[3][-20:] = random.integers(-127, 128, (20, 2048))
    yield "4 MB int8, new head of 1 %", old, _container(head)


def _container(weights: list[np.ndarray[Any, Any]]) -> bytes:
    tensors = [numpy_helper.from_array(np.clip(w, -127, 127).astype(np.int8), f"w{i}") for i, w in enumerate(weights)]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:], tensors)
    return artifact_zip.pack({"manifest.json": b"{}", "model/model.onnx": helper.make_model(graph).SerializeToString()})


def real(precision: str, runtimes: Sequence[str], folder: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """The digits network compiled before and after each fine-tune."""
    networks, data = _trained()
    for runtime in runtimes:
        old = b""
        for name, network in networks.items():
            result = edgewright.compile(
                network,
                data=data,
                profiles=["intel-n100"],
                gates=["top1 >= -20pt"],
                name="digits",
                precisions=(precision,),
                runtimes=(runtime,),
                out=folder / f"{runtime}-{name}",
                store=folder / "store",
            )
            new = next(iter(result.artifacts.values())).read_bytes()
            if old:
                yield f"{runtime} {precision}, {name}", old, new
            old = old or new


def _trained() -> tuple[dict[str, Any], dict[str, Any]]:
    """Networks by what was done to them, and data to compile with that no training saw."""
    import torch
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.images[order, None].astype(np.float32) / 16, digits.target[order]
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(1024, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 10),
    )
    _fit(network, network.parameters(), x[:600], y[:600], rate=1e-3, epochs=8)
    networks = {"trained": network}
    for name, epochs, rate, part in (("head", 2, 1e-3, -1), ("all, 1 epoch", 1, 1e-5, 0), ("all, 5 epochs", 5, 1e-4, 0)):
        tuned = copy.deepcopy(network)
        _fit(tuned, tuned[part:].parameters(), x[:800], y[:800], rate=rate, epochs=epochs)
        networks[name] = tuned
    return networks, {"x": x[800:], "y": y[800:]}


def _fit(network: Any, parameters: Any, x: Any, y: Any, *, rate: float, epochs: int) -> None:
    import torch

    adam = torch.optim.Adam(parameters, rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(network(torch.tensor(x)[rows]), torch.tensor(y)[rows]).backward()
            adam.step()
    network.eval()


def measure(label: str, old: bytes, new: bytes, folder: Path) -> dict[str, Any]:
    """One row: sizes over the new file's, and what the smallest patch for the standard library costs."""
    made = {one.codec: one.data for one in make_delta(old, new, with_zstd=True)}
    sizes: dict[str, int | None] = {codec: len(data) for codec, data in made.items()}
    sizes |= {"bsdiff4": _bsdiff4(old, new), "zstd patch-from": _patch_from(old, new), "xz of difference": _xz(old, new)}
    best = min((data for codec, data in made.items() if codec != "zstd"), key=len)
    for name, data in (("old", old), ("patch", best)):
        (folder / name).write_bytes(data)
    done = subprocess.run([sys.executable, "-c", _APPLY, str(folder)], capture_output=True, text=True, check=True)
    assert (folder / "new").read_bytes() == new
    seconds, mebibytes = map(float, done.stdout.split())
    ratios = {name: None if (size := sizes.get(name)) is None else round(size / len(new), 4) for name in COLUMNS}
    compressed = round(len(best) / len(lzma.compress(new)), 4)
    return {
        "pair": label,
        "bytes": len(new),
        "best": round(len(best) / len(new), 4),
        "of_compressed": compressed,
        **ratios,
        "apply_s": round(seconds, 2),
        "apply_mib": round(mebibytes, 1),
    }


def _bsdiff4(old: bytes, new: bytes) -> int:
    import bsdiff4

    return len(bsdiff4.diff(old, new))


def _patch_from(old: bytes, new: bytes) -> int:
    import zstandard

    window = max(10, (len(old) + len(new)).bit_length())
    settings = zstandard.ZstdCompressionParameters.from_level(19, window_log=window, enable_ldm=True)
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return len(zstandard.ZstdCompressor(dict_data=dictionary, compression_params=settings).compress(new))


def _xz(old: bytes, new: bytes) -> int | None:
    """None where the files differ in length, so that there is no bytewise difference."""
    if len(old) != len(new):
        return None
    return len(lzma.compress((np.frombuffer(new, np.uint8) - np.frombuffer(old, np.uint8)).tobytes(), preset=9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="*", default=["int8", "float32"])
    parser.add_argument("--runtimes", nargs="*", default=list(RUNTIMES))
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    given = parser.parse_args()
    rows = []
    print("| pair | bytes | best | of compressed | " + " | ".join(COLUMNS) + " | apply s | apply MiB |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for pairs in (*(real(precision, given.runtimes, folder) for precision in given.precisions), synthetic()):
            for label, old, new in pairs:
                rows.append(measure(label, old, new, folder))
                print("| " + " | ".join(map(str, rows[-1].values())) + " |", flush=True)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
