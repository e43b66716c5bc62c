"""One set of models, data and machine through every peer and through the compiler: `make bench-peers`.

Each row is kept as it is finished, so that a run that is cut goes on where it was; what changed (a tool, its requirements, the
number of samples) is done anew. Results go to benchmarks/results/peers.json and from there into docs/peers.md. The command
fails when a peer is ahead in something and benchmarks/results/peers_reasons.toml does not say why.

    python -m benchmarks.peers --cache DIR [--model resnet8 ...] [--peer 'NNCF, ONNX' ...] [--samples 1000] [--rounds 50]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
from edgewright.core.files import write_atomic
from edgewright.device_profiles.detect import host_cpu

from benchmarks.peers.ahead import missing_reasons, reasons_of
from benchmarks.peers.environment import HOME, ROOT
from benchmarks.peers.making import folder_of, make
from benchmarks.peers.registry import PEERS
from benchmarks.peers.rows import row_of
from benchmarks.peers.subjects import CALIB, SEARCH, SUBJECTS, TRAIN, prepare
from benchmarks.peers.table import page
from benchmarks.peers.task import Task

RESULTS = ROOT / "benchmarks" / "results" / "peers.json"
REASONS = ROOT / "benchmarks" / "results" / "peers_reasons.toml"
PAGE = ROOT / "docs" / "peers.md"


def known_rows(work: Path, rounds: int) -> list[dict[str, Any]]:
    """The rows of all that was made, model by model; timed where `rounds` is not 0."""
    rows = []
    for name in SUBJECTS:
        if not (work / "models" / name / "stamp.json").exists():
            continue
        task = Task.read(work / "models" / name)
        for peer in PEERS:
            record = folder_of(peer, task, work) / "made.json"
            if record.exists():
                rows.append(row_of(peer, task, work, json.loads(record.read_text("utf-8")), rounds))
    return rows


def save(rows: list[dict[str, Any]], work: Path, remark: str | None) -> None:
    """Results and page."""
    versions: dict[str, dict[str, str]] = {}
    for path in sorted((work / "made").glob("*/*/result.json")):
        found = json.loads(path.read_text("utf-8"))["versions"]
        versions.setdefault(next(iter(found)), {}).update(found)
    if remark is None:
        remark = json.loads(RESULTS.read_text("utf-8"))["remark"] if RESULTS.exists() else ""
    results = {
        "schema": "edgewright-peers-1",
        "taken": datetime.now(timezone.utc).date().isoformat(),
        "remark": remark,
        "machine": {
            "cpu": host_cpu().model,
            "vnni": bool(host_cpu().flags & {"avx512_vnni", "avx_vnni"}),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30),
            "python": platform.python_version(),
        },
        "settings": {"calib": CALIB, "search": SEARCH, "train": TRAIN},
        "versions": dict(sorted(versions.items())),
        "rows": rows,
    }
    write_atomic(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    write_atomic(PAGE, page(results, reasons_of(REASONS)).encode())


def make_all(options: argparse.Namespace) -> None:
    """Every chosen tool on every chosen model."""
    for name in options.model or SUBJECTS:
        try:
            task = prepare(name, options.cache, options.work / "models" / name, options.samples)
        except (FileNotFoundError, ImportError) as error:
            print(f"{name} is left out: {error}", flush=True)
            continue
        for peer in PEERS:
            if (options.peer and peer.name not in options.peer) or (peer.models is not None and name not in peer.models):
                continue
            start = time.perf_counter()
            made = make(peer, task, options.work, retry=options.retry)
            told = made.get("why") or f"{made['bytes'] / 1e3:.1f} kB"
            print(f"{name}, {peer.name}: {told} ({time.perf_counter() - start:.0f} s)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=HOME / "cache", help="trained references")
    parser.add_argument("--work", type=Path, default=HOME / "work", help="what is kept between runs")
    parser.add_argument("--model", action="append", choices=list(SUBJECTS))
    parser.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS])
    parser.add_argument("--samples", type=int, default=1000, help="that judge, at most")
    parser.add_argument("--rounds", type=int, default=50, help="of timing in turns; 0 times nothing")
    parser.add_argument("--remark", help="a sentence about the machine for the page; the last one stays")
    parser.add_argument("--retry", action="store_true", help="try again what could not be done")
    parser.add_argument("--render", action="store_true", help="make nothing new: judge, time and render what is there")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    if not options.render:
        make_all(options)
    rows = known_rows(options.work, 0)
    save(rows, options.work, options.remark)
    if options.rounds:
        rows = known_rows(options.work, options.rounds)
        save(rows, options.work, options.remark)
    missing = missing_reasons(rows, reasons_of(REASONS))
    for key in missing:
        print(f"nobody has said why in {REASONS.relative_to(ROOT)}: {key!r}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
