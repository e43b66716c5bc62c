"""docs/peers.md out of the results and the reasons: never edited by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.ahead import keys_of

_HEAD = """# Beside the peers

Written by `make bench-peers` from benchmarks/results/peers.json; never edited by hand. Every tool is given the same models, the
same calibration samples ({calib}; training ways {train}) and is judged on the same samples, its file run in its runtime by one
harness, one thread. A row stands beside the compiler's int8 (or the way named) **in the same runtime**; `edgewright released`
is what `edgewright compile` gives when nothing is asked for. The compiler also gets {search} samples to choose on; its time and
memory include its searching, gating and measuring, but steps that it shares with an earlier way are kept. What it makes must
pass a gate, which for classifiers without half of their multiply-accumulates is 10 points wide; no other tool is gated.

ai-edge-quantizer takes TFLite: TensorFlow's float file of Keras and TensorFlow models, the compiler's own of others. Tools
that take ONNX are given what tf2onnx makes of Keras and TensorFlow models, and PyTorch's own export.

- **metric**: with its 95 % interval (in brackets the float model's); *against ours*: theirs minus ours on the same samples;
  *same class*: the share of samples on which the file and the float model agree.
- **kB, of ours**: bytes of what must be shipped; below 1 the peer's is smaller.
- **time / ours**: in turns (A B A B), with one-sided 95 % bounds; below 1 the peer's is faster;
  `~` where a fixed kernel ran at another speed after than before: the machine was disturbed.
- **seconds**: of the process that converts, processor time; **MB**: largest resident memory of it and its children.

{machine}

| model | tool | runtime | metric | against ours | same class | kB | of ours | time / ours | seconds | MB |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def page(results: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """The whole page."""
    rows = results["rows"]
    settings, machine = results["settings"], results["machine"]
    told = (
        f"Taken on {results['taken']}: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}."
    )
    head = _HEAD.format(**settings, machine=f"{told} {results['remark']}".strip())
    lines = [line for row in rows if "accuracy" in row for line in [_line(row)]]
    ahead = [
        f"| {row['model']} | {row['peer']} | {by} | {reasons.get(key, '')} |"
        for row in rows
        for key, by in zip(keys_of(row), row["ahead"].values(), strict=True)
    ]
    count = sum("accuracy" in row and row["against"] is not None for row in rows)
    failed = [f"| {row['model']} | {row['peer']} | {row['why']} |" for row in rows if "accuracy" not in row]
    versions = [
        f"- **{name}**: {', '.join(f'{package} {version}' for package, version in found.items())}"
        for name, found in results["versions"].items()
    ]
    return "\n".join(
        [
            head + "\n".join(lines),
            f"\n## Where a peer is ahead\n\nOf {count} rows of peers, by how much, and why.\n",
            "| model | tool | ahead | why |\n|---|---|---|---|",
            *ahead,
            "\n## What could not be done\n",
            "| model | tool | why |\n|---|---|---|",
            *failed,
            "\n## Versions\n",
            *versions,
            "",
        ]
    )


def _line(row: Mapping[str, Any]) -> str:
    accuracy, beside = row["accuracy"], row.get("compared") or {}
    value = f"{accuracy['value']:.4f} ({accuracy['low']:.4f} to {accuracy['high']:.4f}) [{accuracy['float']:.4f}]"
    metric, time, size = beside.get("metric"), beside.get("time"), beside.get("size")
    against = "" if metric is None else f"{metric['gain']:+.4f} ({metric['low']:+.4f} to {metric['high']:+.4f})"
    times = (
        "" if time is None else f"{time['ratio']:.3f} ({time['low']:.3f} to {time['high']:.3f}){' ~' * time['is_disturbed']}"
    )
    same = f"{accuracy['agreement']:.1%}" if "agreement" in accuracy else ""
    return (
        f"| {row['model']} | {row['peer']} | {row['runtime']} | {value} | {against} | {same} | {row['bytes'] / 1e3:.1f} | "
        f"{'' if size is None else f'{size:.2f}'} | {times} | {row['process_seconds']:.0f}, {row['cpu_seconds']:.0f} | "
        f"{row['peak_bytes'] / 1e6:.0f} |"
    )
