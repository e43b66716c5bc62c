"""The headline: how small five trained models become at 99 % of their accuracy, decided by the gate on samples never seen.

Each model is compiled with the pipelines below, the smallest file that passes its gates is released, and a row a model tells
its size against the smallest float32 file, what the gate measured and how sure it is, and its time in the three runtimes. The
frontier, every candidate by size and by its metric on search, is written to frontier.json beside the report of each model.

    python -m benchmarks.headline --cache DIR --out DIR [--model lenet5 ...]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import edgewright
import torch
from edgewright.cli.progress import RichProgress
from edgewright.device_profiles.detect import host_cpu
from edgewright.runtimes.registry import NAMES

from benchmarks.references.registry import REFERENCES, score

_HALF = (  # of the multiply-accumulates
    "prune{amount=0.5,allocation=global,align=1},distill{epochs=6,optimizer=sgd,lr=0.05,weight-decay=5e-4,augment=flip-shift}"
)


def _prune(share: float) -> str:
    """So much of the parameters less; widths need no alignment, since it is bytes that count."""
    return f"prune{{amount={share},of=parameters,allocation=global,align=1}}"


def _int4(epochs: int, *options: str) -> str:
    """Trained with int4 weights in all layers."""
    return f"quantize{{{','.join(('mode=qat', 'bits=4', 'ends=4', f'epochs={epochs}', *options))}}}"


_PIPELINES: Mapping[str, tuple[str, ...]] = {
    "lenet5": (
        f"int8-75: {_prune(0.75)},distill{{epochs=4,augment=shift}},fold-bn,quantize",
        f"int4-85: {_prune(0.85)},distill{{epochs=5,augment=shift}},fold-bn,{_int4(1, 'augment=shift')}",
        f"int4-92: {_prune(0.92)},distill{{epochs=6,augment=shift}},fold-bn,{_int4(2, 'augment=shift')}",
    ),
    "spoken_digits": (f"int8-73: {_prune(0.73)},distill{{epochs=30}},fold-bn,quantize",),
    "resnet20": (
        "int4: quantize{bits=4}",
        f"int8-half: {_HALF},fold-bn,quantize",
        f"int4-half: {_HALF},fold-bn,quantize{{mode=qat,bits=4,epochs=2,augment=flip-shift}}",
    ),
    "adult": (
        f"int8-50: {_prune(0.5)},distill{{epochs=10}},fold-bn,quantize{{mode=qat,epochs=3}}",
        f"int4-75: {_prune(0.75)},distill{{epochs=15}},fold-bn,{_int4(5)}",
        f"int4-85: {_prune(0.85)},distill{{epochs=15}},fold-bn,{_int4(5)}",
        f"stored-75: {_prune(0.75)},distill{{epochs=15}},fold-bn,quantize{{mode=weight-only,bits=4,ends=4}}",
    ),
    "autoencoder": (
        f"int8-60: {_prune(0.6)},distill{{epochs=20}},fold-bn,quantize",
        f"int4-75: {_prune(0.75)},distill{{epochs=20}},fold-bn,{_int4(8)}",
        f"int4-85: {_prune(0.85)},distill{{epochs=30}},fold-bn,{_int4(8)}",
    ),
}


def compiled(
    name: str, cache: Path, out: Path, pipelines: tuple[str, ...], runtimes: tuple[str, ...], gates: tuple[str, ...]
) -> dict[str, Any]:
    """The profile's part of report.json, with the reference's own score under "reference"."""
    reference = REFERENCES[name](cache)
    found = score(reference, reference.accept)
    if found < reference.least:
        print(f"{name} reaches {found:.4f} and should reach {reference.least}", flush=True)
    has_vnni = bool(host_cpu().flags & {"avx512_vnni", "avx_vnni"})
    result = edgewright.compile(
        reference.module,
        name=name,
        accept=reference.accept,
        search=reference.search,
        calib=reference.train,
        profiles="x86-64-vnni" if has_vnni else "x86-64-avx2",
        gates=gates or reference.gates,
        objective="size",
        precisions=("float32", "int8"),
        runtimes=runtimes,
        pipelines=pipelines,
        augment=reference.augment,
        preprocess=reference.preprocess,
        out=out / name,
        store=out / "store",
        ledger=cache / f"{name}.ledger.jsonl",  # looks count whatever folder a run writes to
        progress=RichProgress(),
    )
    target: dict[str, Any] = json.loads(result.report_path.read_text("utf-8"))["targets"][0]
    return {**target, "reference": found}


def row(name: str, target: Mapping[str, Any]) -> str:
    """The line of one model."""
    candidates = target["candidates"]
    float_bytes = min(item["size_bytes"] for item in candidates if item["precision"] == "float32" and not item["variant"])
    judged = [item for item in candidates if item["split"] == "accept" and item["metrics"]]
    best = next((item for item in judged if item["released"]), min(judged, key=lambda item: item["size_bytes"], default=None))
    if best is None:
        return f"| {name} | {target['reference']:.4f} | {float_bytes / 1e3:.1f} | {target['why']} |" + " |" * 6
    whole = next(item for item in best["verdicts"] if item["slice"] is None and item["status"] != "reported")
    needed = "" if whole["n_needed"] is None or target["verdict"] == "passed" else f", {whole['n_needed']} needed"
    return (
        f"| {name} | {whole['reference']:.4f} | {float_bytes / 1e3:.1f} | {best['size_bytes'] / 1e3:.1f} "
        f"({1 - best['size_bytes'] / float_bytes:.1%} smaller) | {best['runtime']}, {best['variant'] or 'plain'} | "
        f"{whole['candidate']:.4f} | {whole['bound']:.4f} of {whole['threshold']:.4f} | {target['verdict']} | "
        f"{whole['n']}{needed} | {times(best, candidates)} |"
    )


def times(best: Mapping[str, Any], candidates: list[Mapping[str, Any]]) -> str:
    """Median milliseconds of the same variant and precision in each runtime."""
    found = {
        item["runtime"]: item["latency_ms"]
        for item in candidates
        if (item["variant"], item["precision"]) == (best["variant"], best["precision"])
    }
    return " / ".join(f"{found[name]['p50']:.4f}" if found.get(name) else "-" for name in NAMES)


def frontier(target: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every candidate that ran, smallest first: bytes, what made it, its first metric and the split that judged it."""
    points = [
        {
            "bytes": item["size_bytes"],
            "candidate": "/".join(filter(None, (item["runtime"], item["precision"], item["variant"]))),
            "metric": next(iter(item["metrics"].values()))["candidate"],
            "split": item["split"],
            "verdict": item["verdict"],
        }
        for item in target["candidates"]
        if item["metrics"]
    ]
    return sorted(points, key=lambda point: (point["bytes"], point["candidate"]))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of trained references")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", action="append", choices=list(REFERENCES))
    parser.add_argument("--pipeline", action="append", help="instead of those of the benchmark")
    parser.add_argument("--gate", action="append", help="instead of the model's")
    parser.add_argument("--runtime", action="append", choices=NAMES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.model or REFERENCES:
        pipelines = tuple(options.pipeline or _PIPELINES[name])
        runtimes, gates = tuple(options.runtime or NAMES), tuple(options.gate or ())
        target = compiled(name, options.cache, options.out, pipelines, runtimes, gates)
        (options.out / name / "frontier.json").write_text(json.dumps(frontier(target), indent=1), "utf-8")
        rows.append(row(name, target))
    print(
        "\n| model | reference | float32 kB | released kB | made by | metric | bound of gate | verdict | n | "
        f"ms in {' / '.join(NAMES)} |\n|{'---|' * 10}"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
