"""A report with realistic numbers: three profiles, three runtimes, three precisions."""

from __future__ import annotations

import random
from dataclasses import replace

from edgewright.optimizer.report.parts import (
    Flip,
    Judgement,
    KeptFloat,
    Latency,
    MetricValue,
    PassInfo,
    Speedup,
    operator_times,
)
from edgewright.optimizer.report.types import Candidate, CompileReport, DataInfo, ModelInfo, TargetReport, VariantInfo

N = 2963
SLICES = {"daylight": 1804, "dusk": 731, "night": 428}
LATENCY = {
    "x86-64-avx2": {
        "onnxruntime": {"float32": 13.6, "float16": 14.1, "int8": 9.24},
        "openvino": {"float32": 12.9, "float16": 13.0, "int8": 8.87},
        "litert": {"float32": 11.1, "float16": 11.2, "int8": 12.1},
    },
    "arm64-linux": {
        "onnxruntime": {"float32": 61.0, "float16": 61.9, "int8": 34.4},
        "openvino": {"float32": 64.3, "float16": 64.9, "int8": 66.0},
        "litert": {"float32": 52.7, "float16": 53.1, "int8": 27.5},
    },
}
SIZE = {"float32": 18_532_104, "float16": 9_301_220, "int8": 4_821_008}
EXTRA = {"onnxruntime": 0, "openvino": 211_400, "litert": -60_112}
SENT = {"float32": 0.925, "float16": 0.913, "int8": 0.887}  # of the bytes, compressed
DROP = {"onnxruntime": -0.0034, "openvino": -0.0021, "litert": -0.0020}


def judgement(drop: float, half: float, n: int, slice_name: str | None, margin: float, measured_on: str) -> Judgement:
    reference = 0.7981
    low, high = drop - half, drop + half
    status = "passed" if low >= margin else "failed" if high < margin else "undecided"
    why = {
        "passed": "the lower bound lies inside the margin",
        "failed": "the upper bound lies outside the margin",
        "undecided": "the interval holds the margin; more samples would decide",
    }[status]
    needed = n if status != "undecided" else round(n * (half / max(abs(drop - margin), 0.001)) ** 2)
    return Judgement(
        metric="top1",
        status=status,
        gate=f"top1{'[light]' if slice_name else ''} >= {margin * 100:g}pt",
        slice=slice_name,
        measured=drop,
        reference=reference,
        candidate=reference + drop,
        low=low,
        high=high,
        bound=low,
        threshold=margin,
        margin=-margin,
        alpha=0.05,
        n=n,
        n_needed=needed if status == "undecided" else None,
        psi=0.041,
        negative_flips=max(0, round(n * 0.021 - n * drop / 2)),
        why=why,
        measured_on=measured_on,
    )


def candidate(profile: str, runtime: str, precision: str, measured_on: str, rng: random.Random) -> Candidate:
    is_int8 = precision == "int8"
    drop = DROP[runtime] if is_int8 else 0.0 if precision == "float32" else -0.0003
    if is_int8 and runtime == "onnxruntime" and profile == "x86-64-avx2":
        drop = -0.0493
    half = 0.0051 if is_int8 else 0.0008
    overall = judgement(drop, half, N, None, -0.01, measured_on)
    slices = [
        judgement(drop + (index - 1) * 0.0012, half * (N / n) ** 0.5, n, f"light={name}", -0.02, measured_on)
        for index, (name, n) in enumerate(SLICES.items())
    ]
    verdicts = (overall, *slices)
    ranks = ("failed", "undecided", "passed")
    status = min((item.status for item in verdicts), key=ranks.index)
    p50 = LATENCY.get(profile, {}).get(runtime, {}).get(precision)
    base = LATENCY.get(profile, {}).get("litert", {}).get("float32")
    speedup = base / p50 if p50 and base else None
    missing = {} if p50 else {"latency_ms": "no board of this profile is here", "speedup": "needs a latency on the board"}
    operators = operator_times(
        [
            (
                f"features.{index}/conv.{index % 3}/Conv_quant",
                "CONV_2D" if index % 3 else "DEPTHWISE_CONV_2D",
                rng.uniform(20, 900),
            )
            for index in range(28)
        ]
        + [("classifier/Gemm", "FULLY_CONNECTED", 240.0), ("global_pool/ReduceMean", "MEAN", 31.5)]
    )
    return Candidate(
        runtime=runtime,
        precision=precision,
        verdict=status,
        why="; ".join(f"{item.slice or item.metric}: {item.why}" for item in verdicts if item.status != "passed"),
        measured_on=measured_on,
        split="accept" if is_int8 else "search",
        size_bytes=SIZE[precision] + EXTRA[runtime],
        compressed_bytes=round((SIZE[precision] + EXTRA[runtime]) * SENT[precision]),
        latency_ms=Latency(p50, p50 * 1.04, p50 * 1.19) if p50 else None,
        speedup=Speedup(speedup, speedup * 0.975, speedup * 1.024) if speedup else None,
        metrics={"top1": MetricValue(0.7981, 0.7981 + drop, drop - half, drop + half, N)},
        verdicts=verdicts,
        help=("the weights of features.3/conv.1 lose most: keep that layer in float",) if status == "failed" else (),
        operators=operators if p50 else (),
        kept_float=(
            KeptFloat("features.16/se/Sigmoid", "Sigmoid", "no int8 kernel of this runtime"),
            KeptFloat("classifier/Softmax", "Softmax", "its output feeds the user; int8 would cost 1.3 points for 0.02 ms"),
        )
        if is_int8
        else (),
        supports={"int8": 61, "float32": 4, "no": 0} if is_int8 else {"int8": 0, "float32": 65, "no": 0},
        flips=tuple(
            Flip(
                index * 37 + 11,
                f"n{index:05d}",
                f"n{index if index % 3 else index + 1:05d}",
                f"n{index + 4 if index % 3 else index:05d}",
                "negative" if index % 3 else "positive",
            )
            for index in range(14)
        )
        if is_int8
        else (),
        flips_total=121 if is_int8 else 0,
        seconds=18.4,
        pipeline="canonicalize,fold-bn" + (",quantize{weights=int8,activations=int8,ranges=mse}" if is_int8 else ""),
        digest="9f2c" * 16,
        missing=missing,
    )


def target(profile: str, title: str, measured_on: str, rng: random.Random) -> TargetReport:
    candidates = tuple(
        candidate(profile, runtime, precision, measured_on, rng)
        for runtime in ("onnxruntime", "openvino", "litert")
        for precision in ("float32", "float16", "int8")
    )
    passed = [item for item in candidates if item.verdict == "passed"]
    best = min(passed, key=lambda item: item.latency_ms.p50 if item.latency_ms else item.size_bytes)
    return TargetReport(
        profile=profile,
        title=title,
        verdict="passed",
        candidates=candidates,
        chosen=best.key,
        artifact=f"efficientnet-lite0-{profile}.ewa",
        why="the fastest of those that passed; within 2 % the smaller one wins"
        if best.latency_ms
        else "the smallest of those that passed; latency could not be measured for this profile",
        baseline="litert/float32",
        measured_on=measured_on,
        conditions={
            "threads": 1,
            "warm-up": "until the last ten runs vary by less than 2 %",
            "windows": "5 of 50 runs, median of the windows' medians",
            "speed-ups": "interleaved with the best float32, bootstrap interval",
            "reference kernel drift": "0.6 %",
        }
        if best.latency_ms
        else {"latency": "not measured: this machine's CPU is not the profile's"},
        seconds=171.0,
    )


def refused() -> TargetReport:
    """A profile for which nothing passes."""
    weak = [
        Candidate(
            "litert",
            precision,
            "undecided",
            why="400 samples cannot decide a margin of 0.5 points",
            size_bytes=SIZE[precision],
            verdicts=(judgement(-0.002, 0.014, 400, None, -0.005, "reference"),),
            measured_on="reference",
            split="accept",
            missing={"latency_ms": "no board of this profile is here", "speedup": "needs a latency on the board"},
        )
        for precision in ("float16", "int8")
    ]
    broken = Candidate(
        "openvino",
        "int8",
        "failed",
        why="operator GridSample cannot be expressed",
        missing={
            "size_bytes": "it was not lowered",
            "latency_ms": "it was not lowered",
            "speedup": "it was not lowered",
            "verdicts": "it was not lowered",
        },
    )
    return TargetReport(
        profile="raspberry-pi-4b",
        title="Raspberry Pi 4B",
        verdict="undecided",
        candidates=(*weak, broken),
        why="400 samples cannot decide a margin of 0.5 points on top-1.",
        help=(
            "give 3,427 accepting samples instead of 400 (margin 0.5 points, 4.1 % of the samples flip)",
            "or accept a margin of 1.5 points, which 400 samples can decide",
            "keep features.3/conv.1 and features.16/conv.0 in float: they cost 71 % of the lost agreement",
        ),
        measured_on="reference",
    )


def example() -> CompileReport:
    """Three profiles: one timed on this CPU, one not timed, one emulated."""
    rng = random.Random(7)
    return CompileReport(
        model=ModelInfo("efficientnet-lite0.onnx", "5d41402abc4b2a76" * 4, "onnx", 4_652_008, 385_813_504, 18_608_032),
        data=DataInfo("flowers.npz", "7c211433f0207159" * 4, {"calib": 300, "search": 900, "accept": N, "audit": 0}),
        gates=("top1 >= -1pt", "top1[light] >= -2pt"),
        targets=(
            target("x86-64-avx2", "x86-64 with AVX2", "target", rng),
            target("raspberry-pi-4b", "Raspberry Pi 4B", "emulated", rng),
            target("arm64-linux", "Generic arm64 Linux board", "target", rng),
        ),
        seed=0,
        versions={
            "edgewright": "0.1.0",
            "onnxruntime": "1.32.0",
            "openvino": "2026.4.1",
            "ai-edge-litert": "2.3.0",
            "numpy": "2.4.6",
        },
        ledger={"data": "7c211433f0207159", "looks": 3, "alpha_spent": 0.05, "earlier_looks": 0},
        machine={"cpu": "Example CPU @ 2.6 GHz", "arch": "x86_64", "flags": ["avx2", "fma"], "threads": 1},
        seconds=512.3,
        notes=("the gate needs 2,938 accepting samples; there are 2,963",),
    )


def example_refused() -> CompileReport:
    """The same model where one profile gets nothing."""
    full = example()
    return CompileReport(full.model, full.data, full.gates, (refused(), full.targets[0]), full.seed, full.versions)


# Of each variant: its pipeline, its share of the plain size, what it loses in top-1.
VARIANTS = {
    "safe": ("prune{amount=0.25},distill{epochs=10},fold-bn,quantize", 0.71, -0.0004),
    "small": ("prune{amount=0.5},distill{epochs=30},fold-bn,quantize", 0.44, -0.0011),
    "tiny": ("prune{amount=0.8},distill{epochs=60},fold-bn,quantize{mode=qat}", 0.17, -0.0136),
}


def example_trained() -> CompileReport:
    """One profile, three variants beside the plain model, and one that broke."""
    rng = random.Random(7)
    full = example()
    plain = target("raspberry-pi-4b", "Raspberry Pi 4B", "reference", rng)
    made = list(plain.candidates)
    for name, (pipeline, share, loss) in VARIANTS.items():
        made += [_trained(item, name, pipeline, share, loss * (1 + 0.1 * place)) for place, item in enumerate(plain.candidates)]
    released = replace(
        plain,
        candidates=tuple(made),
        chosen="onnxruntime/int8/small",
        artifact="efficientnet-lite0-raspberry-pi-4b.ewa",
        why="the smallest of those that passed",
    )
    passes = (
        PassInfo("prune{amount=0.5}", 12.5, ("features.3/conv: 240 -> 120 channels", "multiply-adds: 50.2 % less")),
        PassInfo("distill{epochs=30}", 412.0, ("top-1 on search 79.2 % after 30 epochs",)),
    )
    variants = tuple(VariantInfo(name, text, "", passes, 2_010_000, 192_000_000) for name, (text, _, _) in VARIANTS.items())
    broken = VariantInfo("mine", "finetune{lr=1e9},fold-bn", "finetune: the loss is not finite at the first step; lower lr.")
    return replace(full, targets=(released,), variants=(*variants, broken))


def _trained(item: Candidate, name: str, pipeline: str, share: float, loss: float) -> Candidate:
    whole = item.verdicts[0]
    verdict = judgement((whole.measured or 0.0) + loss, 0.0051, N, None, -0.01, "reference")
    return replace(
        item,
        variant=name,
        size_bytes=round((item.size_bytes or 0) * share),
        compressed_bytes=round((item.compressed_bytes or 0) * share),
        verdict=verdict.status,
        why="" if verdict.status == "passed" else verdict.why,
        verdicts=(verdict,),
        pipeline=pipeline,
        split="accept" if (item.runtime, item.precision, name) == ("onnxruntime", "int8", "small") else "search",
    )


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from edgewright.optimizer.report.html import render

    reports = {"example": example, "refused": example_refused, "trained": example_trained}
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or reports:
        (out / f"{name}.html").write_text(render(reports[name]()))
