"""The compiler: the same samples, and a way of it named after the task: what a peer's row stands beside.

`int8-RUNTIME` is its int8 in that runtime, `qat-litert` trained for an epoch, `half-onnxruntime` pruned to half of the
multiply-accumulates and trained for two epochs, `released` what `edgewright compile` gives without being asked for anything.
Half a classifier trained so shortly is worse than the others' gate allows, for every tool: it is given a wider one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import edgewright
from edgewright.core.artifact_read import open_artifact
from edgewright.device_profiles.detect import host_cpu

from benchmarks.peers.child import run
from benchmarks.peers.task import Cannot, Task


def _model(task: Task) -> Any:
    path = task.path("torch", "keras", "saved_model", "source", "onnx")
    if path.suffix != ".pt":
        return path
    import torch

    return torch.load(path, weights_only=False)


def convert(task: Task, out: Path) -> Path:
    way, _, runtime = sys.argv[3].partition("-")
    parts = {part: task.data(part) for part in ("accept", "search", "calib")}
    trained = {"qat": "quantize{mode=qat,epochs=1}", "half": "prune{amount=0.5,allocation=macs},distill{epochs=2}"}
    asked: dict[str, Any] = {}
    if way != "released":
        asked = {"runtimes": [runtime], "precisions": ["float32" if way == "half" else "int8"], "objective": "size"}
    if way in trained:
        parts["calib"] = task.data("train")
        asked["pipelines"] = [f"{way}: {trained[way]}"]
    flags = host_cpu().flags
    profile = "x86-64-vnni" if flags & {"avx512_vnni", "avx_vnni"} else "x86-64-avx2"
    result = edgewright.compile(
        _model(task),
        **parts,
        name=task.name,
        profiles=[profile],
        gates=["top1 >= -10pt" if way == "half" and task.metric == "top1" else task.gate],
        calib_samples=len(task.x("calib")),
        threads=1,
        trust=True,  # what is compiled here is known, and a SavedModel is a program
        out=out / "dist",
        store=out.parent / "store",  # of the model: the second runtime finds what the first one made
        ledger=out / "ledger.jsonl",  # but each row is a first look at the samples that judge, as it is for the other tools
        **asked,
    )
    if not result.artifacts:
        raise Cannot(str(result.report.targets[0].why))
    artifact = open_artifact(result.artifacts[profile])
    for name, data in artifact.files.items():
        (out / name).write_bytes(data)
    return out / artifact.manifest.entry


if __name__ == "__main__":
    run(convert, "edgewright")
