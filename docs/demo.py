"""The main job on two real models: a CNN trained here on handwritten digits, and magika's trained file-type model.

Run by `make demo`. Nothing is downloaded: the digits lie in scikit-learn's wheel, magika's model in its own, and its test
data are files of this machine whose endings say what they are. Results lie in dist/digits and dist/magika.
"""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
from edgewright.cli.progress import RichProgress
from edgewright.device_profiles.detect import host_cpu
from edgewright.optimizer.report.terminal import print_report
from numpy.typing import NDArray
from rich.console import Console

OUT = Path("dist")
STORE = OUT / "store"
TRAINING_SAMPLES = 600
# Endings that leave no doubt, and the label that magika has for each.
ENDINGS = {
    ".py": "python",
    ".json": "json",
    ".so": "elf",
    ".png": "png",
    ".pyc": "pythonbytecode",
    ".html": "html",
    ".gz": "gzip",
    ".svg": "svg",
    ".js": "javascript",
    ".css": "css",
    ".c": "c",
    ".pyi": "python",
}
FILES_PER_ENDING = 220


def profiles() -> list[str]:
    """This machine's kind, so that one target is measured, and two boards that are not here."""
    has_vnni = bool(host_cpu().flags & {"avx512_vnni", "avx_vnni"})
    return ["x86-64-vnni" if has_vnni else "x86-64-avx2", "raspberry-pi-4b", "intel-n100"]


def digits_network() -> Any:
    """A small CNN with batch norm, not yet trained."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    layers.insert(6, nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))


def trained_digits() -> tuple[Any, dict[str, NDArray[Any]]]:
    """The network, trained in seconds, and the digits that it has not seen."""
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.images[order, None].astype(np.float32), digits.target[order]
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the batches are too small to share
    net = digits_network()
    inputs, labels = torch.tensor(x[:TRAINING_SAMPLES]), torch.tensor(y[:TRAINING_SAMPLES])
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(25):
        for batch in torch.randperm(TRAINING_SAMPLES).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    return net.eval(), {"x": x[TRAINING_SAMPLES:], "y": y[TRAINING_SAMPLES:]}


def magika_model() -> Path:
    """The trained ONNX file inside the package (found without importing it)."""
    spec = util.find_spec("magika")
    if spec is None or spec.origin is None:
        sys.exit("the demo needs the package magika: pip install 'edgewright[demo]'")
    return Path(spec.origin).parent / "models" / "standard_v3_3" / "model.onnx"


def files_of_this_machine(labels: list[str]) -> dict[str, NDArray[Any]]:
    """Features of real files as magika takes them (the first and last 1,024 bytes) and what their endings say."""
    counts: Counter[str] = Counter()
    rows: dict[bytes, int] = {}
    for path in _candidates():
        kind = ENDINGS.get(path.suffix)
        if kind not in labels or counts[path.suffix] >= FILES_PER_ENDING:
            continue
        data = path.read_bytes()[: 1 << 22] if path.is_file() and path.stat().st_size >= 256 else b""
        feature = _features(data)
        if not data or feature.tobytes() in rows:
            continue
        rows[feature.tobytes()] = labels.index(kind)
        counts[path.suffix] += 1
    x = np.stack([np.frombuffer(row, np.int32) for row in rows])
    return {"x": x, "y": np.array(list(rows.values()))}


def _candidates() -> Iterator[Path]:
    roots = [Path(sysconfig.get_paths()["purelib"]), Path(sysconfig.get_paths()["stdlib"]), Path("/usr/share")]
    for root in roots:
        yield from sorted(path for path in root.rglob("*") if path.suffix in ENDINGS)


def _features(data: bytes) -> NDArray[np.int32]:
    """First and last 1,024 bytes of the first and last block of 4,096, white space stripped, 256 as padding."""
    first, last = data[:4096].lstrip()[:1024], data[-4096:].rstrip()[-1024:]
    row = np.full(2048, 256, np.int32)
    row[: len(first)] = np.frombuffer(first, np.uint8)
    row[2048 - len(last) :] = np.frombuffer(last, np.uint8)
    return row


def main() -> int:
    """Compile both models and show what came of it."""
    console, progress = Console(), RichProgress()
    shutil.rmtree(STORE, ignore_errors=True)
    start = time.perf_counter()
    console.rule("digits: a CNN trained now on scikit-learn's digits")
    net, digits = trained_digits()
    console.print(f"trained on {TRAINING_SAMPLES} digits in {time.perf_counter() - start:.1f} s; {len(digits['y'])} unseen")
    source = magika_model()
    labels = json.loads((source.parent / "config.min.json").read_text("utf-8"))["target_labels_space"]
    codes = []
    for name, model, data, gate in (
        ("digits", net, lambda: digits, "top1 >= -2pt"),
        ("magika", source, lambda: files_of_this_machine(labels), "top1 >= -2pt"),
    ):
        if name == "magika":
            console.rule("magika: a trained model that tells 214 kinds of files apart")
        result = edgewright.compile(
            model,
            data=data(),
            name=name,
            profiles=profiles(),
            gates=[gate],
            out=OUT / name,
            store=STORE,
            search_samples=256,
            calib_samples=128,
            progress=progress,
        )
        print_report(result.report, console, OUT / name)
        codes.append(result.exit_code)
    console.print(
        f"\n{time.perf_counter() - start:.0f} s in all; look at {OUT}/digits/report.html and {OUT}/magika/report.html"
    )
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
